"""How much of a conversation is told follows from what Ollama counted in it, and in no other one."""

import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from chat_client import Client, Stream, serving
from fake_ollama import MODEL, FakeOllama, Request, Script, answer
from recordings import recorded

from chatproxy import Config

WINDOW: Final = 4096
PROSE: Final = (
    "A lighthouse is a tower with a strong light at the top. It warns ships of rocks, and shows them "
    "the way into the harbour at night; in fog, a horn does. Who keeps it lit? "
)
NUMBERS: Final = " ".join(map(str, range(1000, 1250)))
THINKER: Final = "thinker:270m"


def counted(request: Request) -> int:
    """As a tokenizer that knows English well, but takes numbers digit by digit and Chinese by halves."""
    return 20 + sum(
        4 + sum(2 if word > "\u3000" else 1 for word in re.findall(r"[a-zA-Z]{1,6}|\d|[^\w\s]|\w", text))
        for text in (message["content"] for message in request["messages"])
    )


def saying(text: str, window: int = WINDOW) -> Callable[[Request], Script]:
    def script(request: Request) -> Script:
        tokens = counted(request)
        if tokens <= window:
            return Script(answer(text, model=request["model"], prompt_eval_count=tokens))
        body = recorded("history_too_long_refused").replace(b"5371", str(tokens).encode())
        return Script([body.replace(b"4096", str(window).encode())], status=400)

    return script


def warnings(stream: Stream) -> list[str]:
    return [event["code"] for event in stream.events if event["type"] == "warning"]


async def talked(fake: FakeOllama, client: Client, *, turns: int = 10, **session: Any) -> str:
    """Return a session with so many turns of English, about 230 tokens each."""
    name = await client.new_session(**session)
    fake.script = saying(PROSE * 5)
    for number in range(turns):
        assert (await client.ask(name, f"Question {number}: what is that?")).last["type"] == "done"
    return name


async def test_numbers_of_another_session_make_none_forget(fake: FakeOllama, client: Client) -> None:
    english = await talked(fake, client)
    fake.script = saying("Yes.")
    other = await client.new_session()
    await client.ask(other, NUMBERS)
    await client.ask(other, f"And these? {NUMBERS}")
    stream = await client.ask(english, "And then?")
    assert 2000 < stream.last["usage"]["promptTokens"] < WINDOW - WINDOW // 4
    assert (len(fake.requests[-1]["messages"]), warnings(stream)) == (21, [])


async def test_nor_after_a_restart_or_with_another_model(fake: FakeOllama, config: Config) -> None:
    async with serving(config) as client:
        english = await talked(fake, client)
        fake.script = saying("Yes.")
        for _ in range(2):
            await client.ask(await client.new_session(), f"{NUMBERS} {NUMBERS[:400]}")
    async with serving(config) as client:
        for model in (MODEL, THINKER, MODEL):
            stream = await client.ask(english, "And then?", model=model)
            assert (stream.last["type"], warnings(stream)) == ("done", [])
    assert [len(request["messages"]) for request in fake.requests[-3:]] == [21, 23, 25]


async def test_what_was_refused_once_is_not_sent_again(fake: FakeOllama, config: Config) -> None:
    """Numbers after English: what they cost is learned from the refusal, and kept through a restart."""
    async with serving(config) as client:
        session = await talked(fake, client)
        asked = len(fake.requests)
        first = await client.ask(session, f"Add these: {NUMBERS} {NUMBERS}")
        assert (first.last["type"], warnings(first)) == ("done", ["history_truncated"])
        refused = len(fake.requests) - asked
        assert refused <= 2
        sent = await client.messages(session, limit=2)
    async with serving(config) as client:
        asked = len(fake.requests)
        again = await client.ask(session, sent[0]["content"], replaces=sent[0]["id"])
        assert (again.last["type"], len(fake.requests) - asked) == ("done", 1)
        for number in range(4):
            assert (await client.ask(session, f"And {number}?")).last["type"] == "done"
    assert len(fake.requests) - asked == 5


@pytest.mark.parametrize("text", ["灯塔是一座高塔。顶上有强光。" * 12, NUMBERS[:400], PROSE * 2])
async def test_a_conversation_goes_on_over_its_window(fake: FakeOllama, client: Client, text: str) -> None:
    """In any script: the window stays filled, all is told while it fits, and hardly anything is refused."""
    session = await client.new_session()
    fake.script = saying(text)
    for number in range(40):
        stream = await client.ask(session, f"{number}: {text[:60]}")
        assert stream.last["type"] == "done"
        if not warnings(stream):
            assert len(fake.requests[-1]["messages"]) == 2 * number + 1
        else:
            assert stream.last["usage"]["promptTokens"] > WINDOW // 2
    assert len(fake.requests) <= 41


async def test_an_edit_of_the_first_message_starts_over(fake: FakeOllama, client: Client) -> None:
    session = await talked(fake, client, turns=6)
    first = (await client.messages(session))[0]["id"]
    fake.script = saying(NUMBERS[:300])
    stream = await client.ask(session, "1 2 3", replaces=first)
    for number in range(6):
        stream = await client.ask(session, f"{number} 2 3")
        assert (len(fake.requests[-1]["messages"]), warnings(stream)) == (2 * number + 3, [])
