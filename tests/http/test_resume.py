"""Cursors: a reader that has a part of an answer gets exactly the rest, also from another process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import accumulate
from random import Random
from typing import Any

import pytest
import stored
from chat_client import Client, Serve, Server, Stream, serving
from fake_ollama import FakeOllama, Gate, Script, answer, last, replay, token
from matrix import matrix
from recordings import by_line, recorded, texts

from chatproxy import Config, create_app
from chatproxy.ollama.wire import parse

TEXTS = ("Hm. So.", "One 😀 three.")  # thinking and answer of `said`
END = "7.12.end"


def said() -> list[bytes]:
    return answer(TEXTS[1], thinking=TEXTS[0])


def seen(stream: Stream) -> tuple[str, str]:
    return stream.text("thinking"), stream.text()


def length(stream: Stream) -> int:
    return sum(map(len, seen(stream)))


def known(lines: list[bytes]) -> list[int]:
    """Return the length of the text after each number of lines."""
    return [0, *accumulate(len(line.thinking + line.content) for line in map(parse, lines))]


async def answered(client: Client, fake: FakeOllama) -> tuple[str, int]:
    """Return a session and the id of its finished answer, which is `said`."""
    fake.script = Script(said())
    session = await client.new_session()
    return session, (await client.ask(session)).last["assistantMessageId"]


async def replayed(client: Client, session: str, message: int, after: str | None = None) -> Stream:
    async with client.resuming(session, message, after) as stream:
        await stream.rest()
    return stream


def watching(session: str, message: int | str) -> str:
    return f"/api/chat/sessions/{session}/messages/{message}/stream"


@asynccontextmanager
async def paused(client: Client, fake: FakeOllama, lines: int) -> AsyncIterator[tuple[str, int, Gate]]:
    """Start an answer and read that many of its lines; yield session, id, and the gate before the others."""
    pieces, gate = said(), Gate()
    gate.let(lines)
    fake.script = Script(pieces, gate=gate)
    session = await client.new_session()
    async with client.sending(session) as stream:
        message = (await stream.until("start"))["assistantMessageId"]
        while length(stream) < known(pieces)[lines]:
            await stream.next()
    yield session, message, gate


def change(config: Config, sql: str, **arguments: Any) -> None:
    """Change the database, which no application has open."""
    stored.rows(config.database, sql, **arguments)


# -- the rest, from everywhere


async def test_without_a_cursor_the_whole_answer_is_replayed(client: Client, fake: FakeOllama) -> None:
    session, message = await answered(client, fake)
    stream = await replayed(client, session, message)
    assert [event["type"] for event in stream.events] == ["start", "thinking", "chunk", "done"]
    assert seen(stream) == TEXTS
    assert stream.last["cursor"] == END


async def test_a_replay_has_the_same_start_and_end_as_the_live_stream(
    client: Client, fake: FakeOllama
) -> None:
    fake.script = Script(said())
    session = await client.new_session()
    live = await client.ask(session)
    again = await replayed(client, session, live.last["assistantMessageId"])
    assert (again.events[0], again.last) == (live.events[0], live.last)


async def test_a_finished_answer_is_resumed_after_the_cursor(client: Client, fake: FakeOllama) -> None:
    session, message = await answered(client, fake)
    with matrix() as cases:
        for place in range(8):
            stream = await replayed(client, session, message, f"{place}.{place}")
            got = seen(stream), "reset" in stream.events[0], stream.last["fullResponse"]
            cases.expect(((TEXTS[0][place:], TEXTS[1][place:]), False, TEXTS[1]), got, place)


@pytest.mark.parametrize("lines", [1, 3])
async def test_a_streaming_answer_is_resumed_after_the_cursor(
    client: Client, fake: FakeOllama, lines: int
) -> None:
    async with paused(client, fake, lines) as (session, message, gate):
        async with client.resuming(session, message) as first:
            while length(first) < known(said())[lines]:
                await first.next()
        async with client.resuming(session, message, first.cursor) as second:
            await second.until("status")
            gate.open()
            await second.rest()
    assert tuple(a + b for a, b in zip(seen(first), seen(second), strict=True)) == TEXTS
    assert second.kinds()[0] == "start"
    assert "reset" not in second.events[0]


async def test_a_cursor_is_valid_after_a_restart(config: Config, fake: FakeOllama) -> None:
    async with serving(config) as client:
        session, message = await answered(client, fake)
    async with serving(config) as client:
        assert seen(await replayed(client, session, message)) == TEXTS
        assert seen(await replayed(client, session, message, "3.5")) == (" So.", TEXTS[1][5:])
        assert await client.call("GET", watching(session, message), status=204, params={"after": END}) is None


@pytest.mark.parametrize(
    "name", ["answer_many_scripts", "answer_emoji", "answer_emoji_split", "thinking_only"]
)
async def test_many_reconnects_add_up_to_the_exact_text(client: Client, fake: FakeOllama, name: str) -> None:
    lines, random, gate = by_line(recorded(name)), Random(name), Gate()
    lengths = known(lines)
    fake.script = Script(lines, gate=gate)
    session = await client.new_session()
    async with client.sending(session) as stream:
        message = (await stream.until("start"))["assistantMessageId"]
    got, cursor, sent, reconnects = ["", ""], "", 0, 0
    while sent < len(lines) - 1 or sum(map(len, got)) < lengths[sent]:
        more = min(random.randint(0, 2), len(lines) - 1 - sent)
        gate.let(more)
        sent, frames, reconnects = sent + more, random.randint(1, 4), reconnects + 1
        async with client.resuming(session, message, cursor) as stream:
            await stream.until("start")
            for _ in range(frames):
                if sum(map(len, (*got, *seen(stream)))) < lengths[sent]:
                    await stream.next()
        assert "reset" not in stream.events[0]
        got = [a + b for a, b in zip(got, seen(stream), strict=True)]
        cursor = stream.cursor if any("cursor" in event for event in stream.events) else cursor
    gate.open()
    assert (await replayed(client, session, message, cursor)).last["type"] == "done"
    assert tuple(got) == texts(name)
    assert reconnects >= 50


async def test_reconnects_to_a_finished_answer_add_up_to_the_exact_text(
    client: Client, fake: FakeOllama
) -> None:
    random, text = Random(1), "é☃😀" * 100_000
    fake.script = Script([token(text), last()])
    session = await client.new_session()
    message, got, cursor = (await client.ask(session)).last["assistantMessageId"], "", ""
    while not cursor.endswith(".end"):
        async with client.resuming(session, message, cursor) as stream:
            for _ in range(random.randint(2, 4)):
                if await stream.next() is None:
                    break
        got, cursor = got + stream.text(), stream.cursor
    assert got == text


async def test_the_cursor_of_a_listed_answer_resumes_it(client: Client, fake: FakeOllama) -> None:
    async with paused(client, fake, 3) as (session, message, gate):
        _, shown = await client.messages(session)
        async with client.resuming(session, message, shown["cursor"]) as stream:
            await stream.until("start")
            gate.open()
            await stream.rest()
    assert (shown["thinking"], shown["content"]) == ("Hm. So.", "One")
    assert seen(stream) == ("", " 😀 three.")


# -- where nothing follows, and where the place is not there


async def test_the_cursor_of_the_end_gets_no_content(client: Client, fake: FakeOllama) -> None:
    session, message = await answered(client, fake)
    assert (await replayed(client, session, message)).cursor == END
    path = watching(session, message)
    async with client.http.get(client.url(path), headers={"Last-Event-ID": END}) as response:
        assert (response.status, await response.read()) == (204, b"")


async def test_a_cursor_at_the_end_of_the_text_gets_the_terminal_event(
    client: Client, fake: FakeOllama
) -> None:
    session, message = await answered(client, fake)
    stream = await replayed(client, session, message, END.removesuffix(".end"))
    assert [event["type"] for event in stream.events] == ["start", "done"]


async def test_a_cursor_past_the_text_resets_the_stream(client: Client, fake: FakeOllama) -> None:
    session, message = await answered(client, fake)
    with matrix() as cases:
        for after in ("8.0", "0.13", "7.13", "7.11.end", "6.12.end", "0.0.end", "7.999999999999999"):
            stream = await replayed(client, session, message, after)
            got = stream.events[0].get("reset"), seen(stream), stream.last["cursor"]
            cases.expect((True, TEXTS, END), got, after)


@pytest.mark.parametrize("after", ["7.4", "7.3.end", END])
async def test_a_cursor_past_the_text_of_a_streaming_answer_resets_the_stream(
    client: Client, fake: FakeOllama, after: str
) -> None:
    async with (
        paused(client, fake, 3) as (session, message, gate),
        client.resuming(session, message, after) as stream,
    ):
        assert (await stream.until("start"))["reset"] is True
        gate.open()
        await stream.rest()
    assert seen(stream) == TEXTS


async def test_text_lost_in_a_crash_resets_the_stream(config: Config, fake: FakeOllama) -> None:
    async with serving(config) as client:
        session, message = await answered(client, fake)
    empty = "UPDATE message SET status = 'streaming', thinking = '', content = '', finish_reason = NULL"
    change(config, f"{empty}, usage = NULL WHERE id = :id", id=message)
    change(config, "INSERT INTO piece (message, thinking, content) VALUES (:id, 'Hm.', 'One')", id=message)
    async with serving(config) as client:
        stream = await replayed(client, session, message, "7.12")
        assert stream.events[0]["reset"] is True
        assert seen(stream) == ("Hm.", "One")
        assert (stream.last["type"], stream.last["code"]) == ("error", "interrupted")
        kept = await replayed(client, session, message, "3.1")
        assert ("reset" in kept.events[0], seen(kept)) == (False, ("", "ne"))


MALFORMED = ["x", "1", "1.", ".1", "1.2.", "1.2.END", "-1.2", "1.2.end.end", "1 .2", "\u0661.\u0662"]


async def test_a_malformed_cursor_is_refused(client: Client, fake: FakeOllama) -> None:
    url = client.url(watching(*await answered(client, fake)))
    with matrix() as cases:
        for after in MALFORMED:
            sent: list[dict[str, Any]] = [{"headers": {"Last-Event-ID": after}}, {"params": {"after": after}}]
            for more in sent:
                async with client.http.get(url, **more) as response:
                    got = response.status, (await response.json())["code"]
                    cases.expect((400, "invalid_cursor"), got, more)


async def test_last_event_id_wins_and_an_empty_cursor_counts_as_absent(
    client: Client, fake: FakeOllama
) -> None:
    path = watching(*await answered(client, fake))
    with matrix() as cases:
        for header, query, thinking in (
            ("", "", "Hm. So."),
            ("", "3.0", " So."),
            (None, "", "Hm. So."),
            (None, "3.0", " So."),
            ("7.0", "3.0", ""),
            ("7.0", "malformed", ""),
            ("7.0", "", ""),
        ):
            headers = {} if header is None else {"Last-Event-ID": header}
            async with client.stream("GET", path, headers=headers, params={"after": query}) as stream:
                await stream.rest()
            got = "reset" in stream.events[0], seen(stream)
            cases.expect((False, (thinking, TEXTS[1])), got, repr(header), repr(query))


# -- the frames


@pytest.mark.parametrize("live", [True, False], ids=["live", "stored"])
async def test_frames_with_a_cursor_have_it_as_their_id(client: Client, fake: FakeOllama, live: bool) -> None:
    async with paused(client, fake, 3) as (session, message, gate):
        if live:
            async with client.resuming(session, message) as stream:
                await stream.until("status")
                gate.open()
                await stream.rest()
        else:
            gate.open()
            await replayed(client, session, message)
            stream = await replayed(client, session, message)
    assert stream.ids == [event.get("cursor") for event in stream.events]
    assert stream.ids[0] is None
    assert stream.ids[-1] == END


async def test_frames_of_a_send_have_no_ids(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(said())
    stream = await client.ask(await client.new_session())
    assert set(stream.ids) == {None}
    assert stream.cursor == END


async def test_cursors_increase(client: Client, fake: FakeOllama) -> None:
    fake.script = replay("thinking")
    stream = await client.ask(await client.new_session())
    places = [event["cursor"].split(".") for event in stream.events if "cursor" in event]
    ends = list(accumulate(len(event["content"]) for event in stream.events if "content" in event))
    assert [int(place[0]) + int(place[1]) for place in places] == [*ends, ends[-1]]


# -- every ending


async def _fails(client: Client, fake: FakeOllama) -> tuple[str, Stream]:
    fake.script = replay("runner_killed")
    session = await client.new_session()
    return session, await client.ask(session)


async def _is_cancelled(client: Client, fake: FakeOllama) -> tuple[str, Stream]:
    fake.script = Script([token("One"), token(" two")], end="hang")
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.has("One two")
        await client.cancel(session, stream.events[0]["assistantMessageId"])
        await stream.rest()
    return session, stream


@pytest.mark.parametrize("ends", [_fails, _is_cancelled], ids=["failed", "cancelled"])
async def test_every_kind_of_end_is_replayed(config: Config, fake: FakeOllama, ends: Any) -> None:
    async with serving(config) as client:
        session, live = await ends(client, fake)
        message = live.last["assistantMessageId"]
        again = await replayed(client, session, message)
        assert (again.text(), again.last) == (live.text(), live.last)
    async with serving(config) as client:
        again = await replayed(client, session, message)
        assert (again.text(), again.last) == (live.text(), live.last)
        await client.call("GET", watching(session, message), status=204, params={"after": live.cursor})


async def test_an_interrupted_answer_is_replayed_with_its_text(config: Config, fake: FakeOllama) -> None:
    fake.script = Script([token("One"), token(" two")], end="hang")
    async with Server(create_app(config)) as server, AsyncExitStack() as opened:
        session = await server.client.new_session()
        stream = await opened.enter_async_context(server.client.sending(session))
        await stream.has("One two")
        stopping = asyncio.create_task(server.stop())
        await stream.rest()
        await stopping
    async with serving(config) as client:
        again = await replayed(client, session, stream.last["assistantMessageId"])
        assert (again.text(), again.last) == ("One two", stream.last)
        assert again.last["type"] == "error"
        assert (await client.messages(session))[1]["status"] == "interrupted"


async def test_warnings_are_repeated_after_start(config: Config, fake: FakeOllama) -> None:
    async with serving(config) as client:
        session, message = await answered(client, fake)
    notices = '[{"code":"model_fallback","message":"a"},{"code":"history_truncated","message":"b"}]'
    change(config, "UPDATE message SET warnings = :notices WHERE id = :id", notices=notices, id=message)
    async with serving(config) as client:
        stream = await replayed(client, session, message, "7.0")
    assert [event["type"] for event in stream.events] == ["start", "warning", "warning", "chunk", "done"]
    assert stream.events[1:3] == [
        {"type": "warning", "code": "model_fallback", "message": "a"},
        {"type": "warning", "code": "history_truncated", "message": "b"},
    ]
    assert stream.ids[:3] == [None] * 3


# -- nothing to resume


async def test_only_an_answer_can_be_resumed(client: Client, fake: FakeOllama) -> None:
    session, message = await answered(client, fake)
    question = (await client.messages(session))[0]["id"]
    nothing = [(session, which) for which in (question, "999999", "0", "-1", "x", "1.5", 2**63, 2**70)]
    for path in (watching(*each) for each in (*nothing, ("unknown", message))):
        assert (await client.call("GET", path, status=404))["code"] == "not_found"


async def test_an_answer_of_another_session_cannot_be_resumed(client: Client, fake: FakeOllama) -> None:
    _, message = await answered(client, fake)
    other, _ = await answered(client, fake)
    assert (await client.call("GET", watching(other, message), status=404))["code"] == "not_found"


@pytest.mark.parametrize("live", [True, False], ids=["live", "stored"])
async def test_an_answer_of_another_user_cannot_be_resumed(
    serve: Serve, fake: FakeOllama, live: bool
) -> None:
    fake.script = Script(said(), end="hang" if live else "clean", head=Gate() if live else None)
    client = await serve(trusted_user_header="X-User")
    hers, his = {"X-User": "her"}, {"X-User": "him"}
    session = await client.new_session(headers=hers)
    path = f"/api/chat/sessions/{session}/messages/stream"
    async with client.stream("POST", path, json={"message": "Hi"}, headers=hers) as stream:
        message = (await stream.until("start"))["assistantMessageId"]
        if not live:
            await stream.rest()
        body = await client.call("GET", watching(session, message), status=404, headers=his)
        assert body["code"] == "not_found"
        async with client.stream("GET", watching(session, message), headers=hers) as mine:
            await mine.until("start")
