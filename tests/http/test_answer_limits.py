"""Answers that do not end by themselves."""

import asyncio
from itertools import repeat

import pytest
from chat_client import Serve
from fake_ollama import FakeOllama, Script, answer, error, last, token


@pytest.mark.parametrize(
    ("limit", "thinking", "said"),
    [(14, "Hmm", " Ja: ééé"), (11, "Hmm", " Ja: é"), (9, "Hmm", " Ja: "), (2, "Hm", ""), (1, "H", "")],
)
async def test_an_answer_ends_at_its_limit(
    serve: Serve, fake: FakeOllama, limit: int, thinking: str, said: str
) -> None:
    client = await serve(max_answer_bytes=limit)
    lines = [token(thinking="Hmm"), token(" Ja:"), token(" ééé"), *[token(" und so weiter")] * 100]
    fake.script = Script(lines, end="hang")
    session = await client.new_session()
    stream = await client.ask(session)
    _, stored = await client.messages(session)
    assert (stream.text("thinking"), stream.text()) == (thinking, said)
    assert (stored["thinking"], stored["content"]) == (thinking, said)
    assert (stored["status"], stored["finishReason"], stored["usage"]) == ("complete", "length", None)
    (warning,) = stored["warnings"]
    assert warning["code"] == "answer_limit"
    assert "MAX_ANSWER_BYTES" in warning["message"]
    assert [event["type"] for event in stream.events][-1] == "done"
    assert [event["code"] for event in stream.events if event["type"] == "warning"] == ["answer_limit"]
    assert (stream.last["finishReason"], stream.last["fullResponse"]) == ("length", said)
    await asyncio.wait_for(fake.chats[0].closed.wait(), 10)


async def test_an_answer_of_exactly_that_length_is_whole(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(max_answer_bytes=9)
    fake.script = Script(answer("Two words"))
    stream = await client.ask(await client.new_session())
    assert (stream.last["finishReason"], stream.last["fullResponse"]) == ("stop", "Two words")
    assert not [event for event in stream.events if event["type"] == "warning"]


@pytest.mark.parametrize("whole", [False, True], ids=["slices", "a read"])
async def test_a_limit_holds_within_what_comes_with_the_last_line(
    serve: Serve, fake: FakeOllama, whole: bool
) -> None:
    client = await serve(max_answer_bytes=5)
    lines = [token("Two"), token(" words"), last()]
    fake.script = Script([b"".join(lines)] if whole else lines)
    given = await client.send(await client.new_session())
    assert (given["fullResponse"], given["finishReason"], given["usage"]) == ("Two w", "length", None)


async def test_lines_without_text_come_to_an_end(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(max_answer_bytes=50_000)
    fake.script = Script(repeat(b"{}\n" * 20_000))
    given = await client.send(await client.new_session())
    assert (given["fullResponse"], given["finishReason"]) == ("", "length")


@pytest.mark.parametrize("endless", [b"\n" * 60_000, token(" word")], ids=["blank", "slow"])
async def test_an_answer_takes_no_longer_than_its_limit(
    serve: Serve, fake: FakeOllama, endless: bytes
) -> None:
    client = await serve(max_answer_seconds=0.5)
    fake.script = Script(repeat(endless), delays=repeat(0.02))
    given = await client.send(await client.new_session())
    assert given["finishReason"] == "length"
    assert "MAX_ANSWER_SECONDS" in given["warnings"][0]["message"]
    await asyncio.wait_for(fake.chats[0].closed.wait(), 10)


async def test_another_model_has_the_rest_of_the_time_only(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(max_answer_seconds=1.5)
    scripts = iter(
        [
            Script([error("out of memory")], delays=[1.2]),
            Script(repeat(token(" word")), delays=repeat(0.05)),
        ]
    )
    fake.script = lambda _: next(scripts)
    given = await client.send(await client.new_session(), model="auto")
    assert given["finishReason"] == "length"
    assert [notice["code"] for notice in given["warnings"]] == ["model_fallback", "answer_limit"]
    assert given["fullResponse"].count("word") < 20


async def test_what_raises_the_number_of_answers_at_once_has_a_limit_too(
    serve: Serve, fake: FakeOllama
) -> None:
    """Its text begins while it is believed to wait for the other one."""
    client = await serve(max_answer_seconds=1)
    fake.script = Script(repeat(token(" word")), delays=repeat(0.05))
    sessions = [await client.new_session() for _ in range(2)]
    given = await asyncio.gather(*[client.send(session) for session in sessions])
    assert [each["finishReason"] for each in given] == ["length", "length"]


async def test_a_session_goes_on_after_a_limit(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(max_answer_bytes=3)
    session = await client.new_session()
    for _ in range(2):
        fake.script = Script(answer("Two words"))
        assert (await client.ask(session)).last["fullResponse"] == "Two"
    assert fake.requests[1]["messages"][1] == {"role": "assistant", "content": "Two"}
