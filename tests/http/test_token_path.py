"""Both ways of a token, from Ollama's socket to the readers': as it stands, and parsed."""

import re
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import pytest
from chat_client import Client, Serve, Stream
from fake_ollama import FakeOllama, Gate, Script, error, last, token
from recordings import recorded

from chatproxy.generation.upstream import UpstreamCall
from chatproxy.ollama import stream

PARTICULAR: Final = {"sessionId", "userMessageId", "assistantMessageId", "requestId", "usage"}

ALL: Final = {
    "words": [token("Two"), token(" words"), token("."), last()],
    "letters": [token("é"), token("漢"), token("😀"), token("\u2028"), token("\x85"), token("\n"), last()],
    "thinking": [token(thinking="Hm"), token(thinking=" well"), token("So"), token(" it is"), last()],
    "tags": [
        token("<think>"),
        token("Hm"),
        token("</think>"),
        token("So"),
        token(" it"),
        token(" is"),
        last(),
    ],
    "a tag alone": [token("Hm"), token(" well"), token("</think>"), token("So"), token(" it is"), last()],
    "no tag": [token("a"), token(" [b]"), token(" <c"), token(" d"), token(" [/"), token("think"), last()],
    "past the limit": [token("0123456789")] * 7,
    "an error": [token("a"), token("b"), token("c"), error("out of memory")],
    "cut off": [token("a"), token("b"), token("c")],
    "recorded": recorded("answer_unicode").splitlines(keepends=True),
}


async def read(client: Client, fake: FakeOllama, lines: Sequence[bytes]) -> list[list[Any]]:
    """Return what three readers were sent: who sent the message, who joined, and who came later."""
    gate = Gate()
    fake.script = Script(lines, gate=gate, delays=repeat(0.005))  # so that each is mostly read by itself
    session = await client.new_session()
    async with client.sending(session) as sending:
        await sending.until("start")
        async with client.resuming(session, sending.answer_id) as joined:
            await joined.until("start")
            gate.open()
            streams = [sending, joined]
            for each in streams:
                await each.rest()
    async with client.resuming(session, sending.answer_id) as later:
        await later.rest()
    return [told(each) for each in (*streams, later)]


def told(stream: Stream) -> list[Any]:
    """Return the events without statuses, ids and times, and without how the text was divided."""
    found: list[Any] = []
    for event in stream.events:
        if event["type"] == "status":
            continue
        facts = {name: value for name, value in event.items() if name not in PARTICULAR}
        if found and event["type"] in {"thinking", "chunk"} and found[-1]["type"] == event["type"]:
            facts["content"] = found.pop()["content"] + facts["content"]
        found.append(facts)
    return found


@pytest.mark.parametrize("name", ALL)
async def test_both_ways_tell_the_same(
    serve: Serve, fake: FakeOllama, quick_disk: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async def run() -> list[list[Any]]:
        database = f"sqlite:///{quick_disk}/{len(fake.chats)}.db"  # what the first run learned is not known
        client = await serve(
            max_answer_bytes=50 if name == "past the limit" else 10_000, database_url=database
        )
        return await read(client, fake, ALL[name])

    taken = 0

    def take(self: UpstreamCall, text: str, json: bytes) -> None:
        nonlocal taken
        taken += 1
        receive_token(self, text, json)

    receive_token = UpstreamCall._receive_token
    monkeypatch.setattr(UpstreamCall, "_receive_token", take)
    as_it_stands = await run()
    assert taken
    monkeypatch.setattr(stream, "PLAIN", re.compile(rb"(?!)"))
    assert await run() == as_it_stands
    assert as_it_stands[0][1:] == as_it_stands[1][1:]
