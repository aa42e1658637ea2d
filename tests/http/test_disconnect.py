"""An answer goes on when its readers leave, unless DISCONNECT_GRACE_SECONDS limits that."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from functools import partial
from time import monotonic

import aiohttp
import pytest
from chat_client import Client, Serve, Stream
from fake_ollama import FakeOllama, Gate, Script, answer, greet
from sockets import opened, request
from waiting import until

from chatproxy.store import sessions
from chatproxy.store.sqlite import database

LONGER = 1.5  # seconds: more than a sender has until it begins to read


def held_back(fake: FakeOllama) -> Gate:
    """Make the answer stop after two of its three words, until the gate is opened."""
    fake.script = Script(answer("One two three"), gate=(gate := Gate()))
    gate.let(2)
    return gate


async def left(client: Client, session: str) -> Stream:
    """Send a message, read two words of the answer, and leave."""
    async with client.sending(session) as stream:
        await stream.has("One two")
        stream.response.close()
    return stream


async def ended(client: Client, session: str) -> tuple[str, str]:
    """Wait for the end of the last answer; return its status and text."""

    async def has_ended() -> bool:
        messages = await client.messages(session)  # Ollama may have been asked before any is stored
        return bool(messages) and messages[-1]["status"] != "streaming"

    await until(has_ended)
    last = (await client.messages(session))[-1]
    return last["status"], last["content"]


async def stopped(fake: FakeOllama) -> None:
    """Wait until the connection to Ollama is closed before the end of the answer."""
    chat = await fake.arrived()
    await asyncio.wait_for(chat.closed.wait(), 10)
    assert not chat.served


@pytest.mark.parametrize("seconds", [None, 60])
async def test_an_answer_goes_on_without_its_reader(
    serve: Serve, fake: FakeOllama, seconds: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    gate = held_back(fake)
    client = await serve(disconnect_grace_seconds=seconds)
    session = await client.new_session()
    stream = await left(client, session)
    gate.open()
    assert await ended(client, session) == ("complete", "One two three")
    async with client.resuming(session, stream.answer_id, after=stream.cursor) as resumed:
        await resumed.rest()
    assert (resumed.text(), resumed.last["type"]) == (" three", "done")
    assert caplog.messages == []


async def test_with_no_grace_an_unwatched_answer_is_cancelled_soon(serve: Serve, fake: FakeOllama) -> None:
    held_back(fake)
    client = await serve(disconnect_grace_seconds=0)
    session = await client.new_session()
    await left(client, session)
    await stopped(fake)
    assert await ended(client, session) == ("cancelled", "One two")
    fake.script = greet
    assert (await client.ask(session)).last["type"] == "done"


async def test_an_unwatched_answer_is_cancelled_after_the_grace_and_not_before(
    serve: Serve, fake: FakeOllama
) -> None:
    """Whenever the last reader leaves, between two ticks of the clock that counts readers."""
    fake.script = Script(answer("One two three")[:2], end="hang")
    client = await serve(disconnect_grace_seconds=0.5)
    lasted = await asyncio.gather(*[outlasted(client, 0.25 + 0.025 * number) for number in range(10)])
    assert [seconds for seconds in lasted if seconds < 0.5] == []


async def outlasted(client: Client, stays: float) -> float:
    """Return the seconds that an answer goes on after its only reader, who stays for so long, has left."""
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.has("One two")
        await asyncio.sleep(stays)
        since = monotonic()
        stream.response.close()
    assert await ended(client, session) == ("cancelled", "One two")
    return monotonic() - since


async def test_a_reader_who_will_be_back_keeps_the_answer_for_so_long(serve: Serve, fake: FakeOllama) -> None:
    gate = held_back(fake)
    client = await serve(disconnect_grace_seconds=0)
    session = await client.new_session()
    async with client.sending(session) as first:
        await first.has("One two")
        for away in (60, 1):
            async with client.resuming(session, first.answer_id, away=away) as second:
                await second.until("status")
        first.response.close()
    await asyncio.sleep(LONGER)
    gate.open()
    assert await ended(client, session) == ("complete", "One two three")


async def test_one_who_is_not_back_in_time_counts_no_longer(serve: Serve, fake: FakeOllama) -> None:
    held_back(fake)
    client = await serve(disconnect_grace_seconds=0)
    session = await client.new_session()
    async with client.sending(session) as first:
        await first.has("One two")
        async with client.resuming(session, first.answer_id, away=1) as second:
            await second.until("status")
    await stopped(fake)
    assert await ended(client, session) == ("cancelled", "One two")


@pytest.mark.parametrize("away", ["0", "121", "-1", "1.5", "x"])
async def test_how_long_one_is_away_has_a_bound(client: Client, away: str) -> None:
    session = await client.new_session()
    answer_id = (await client.ask(session)).answer_id
    path = f"/api/chat/sessions/{session}/messages/{answer_id}/stream?away={away}"
    refusal = await client.call("GET", path, status=422)
    assert (refusal["code"], refusal["field"]) == ("invalid", "away")


@pytest.mark.slow
async def test_a_reader_who_returns_within_the_grace_keeps_the_answer(serve: Serve, fake: FakeOllama) -> None:
    gate = held_back(fake)
    client = await serve(disconnect_grace_seconds=2)
    session = await client.new_session()
    stream = await left(client, session)
    async with client.resuming(session, stream.answer_id, after=stream.cursor) as resumed:
        await asyncio.sleep(2.5)
        gate.open()
        await resumed.rest()
    assert (resumed.text(), resumed.last["finishReason"]) == (" three", "stop")


async def test_one_reader_is_enough_and_a_waiting_request_counts(serve: Serve, fake: FakeOllama) -> None:
    gate = held_back(fake)
    client = await serve(disconnect_grace_seconds=0)
    session, elsewhere = await client.new_session(), await client.new_session()
    waiting = asyncio.create_task(client.send(elsewhere))
    async with client.sending(session) as first:
        await first.until("start")
        async with client.resuming(session, first.answer_id) as second:
            first.response.close()
            await asyncio.sleep(LONGER)
            gate.open()
            await second.rest()
    answered = await waiting
    assert (second.text(), second.last["finishReason"]) == ("One two three", "stop")
    assert (answered["fullResponse"], answered["finishReason"]) == ("One two three", "stop")


async def test_a_waiting_request_that_leaves_is_noticed(
    serve: Serve, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    held_back(fake)
    client = await serve(disconnect_grace_seconds=0)
    session = await client.new_session()
    waiting = asyncio.create_task(client.send(session))
    await fake.arrived()
    waiting.cancel()
    await stopped(fake)
    assert await ended(client, session) == ("cancelled", "One two")
    assert caplog.messages == []


async def test_an_unwatched_answer_leaves_the_queue(serve: Serve, fake: FakeOllama) -> None:
    gate = held_back(fake)
    client = await serve(max_concurrent_generations=1, disconnect_grace_seconds=0)
    running, queued = await client.new_session(), await client.new_session()
    async with client.sending(running) as first:
        await first.has("One two")
        async with client.sending(queued) as second:
            await second.until("status")
            second.response.close()
        assert await ended(client, queued) == ("cancelled", "")
        gate.open()
        await first.rest()
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("endpoint", "seconds"), [("messages", None), ("messages/stream", None), ("messages/stream", 0)]
)
async def test_a_reader_who_leaves_before_the_response_begins(
    serve: Serve,
    fake: FakeOllama,
    endpoint: str,
    seconds: float | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    models = Script([json.dumps({"models": fake.models}).encode()], head=(gate := Gate()))
    fake.instead["/api/tags"] = models
    fake.script = Script(answer("One two"), head=(head := Gate()))
    client = await serve(disconnect_grace_seconds=seconds)
    session = await client.new_session()
    asked = fake.calls["/api/tags"]
    async with opened(client) as (_, writer):
        path = f"/api/chat/sessions/{session}/{endpoint}"
        writer.write(request("POST", path, body={"message": "Hello"}))
        await until(lambda: fake.calls["/api/tags"] > asked)
        writer.transport.abort()
    gate.open()
    chat = await fake.arrived()
    if seconds is None:
        head.open()
    await asyncio.wait_for(chat.closed.wait(), 10)
    expected = ("complete", "One two") if seconds is None else ("cancelled", "")
    assert await ended(client, session) == expected
    assert caplog.messages == []


async def test_readers_who_have_left_do_not_count_against_the_limit(serve: Serve, fake: FakeOllama) -> None:
    gate = held_back(fake)
    client = await serve(max_subscribers=2)
    session = await client.new_session()
    async with client.sending(session) as first:
        await first.has("One two")
        for _ in range(4):
            await until(partial(watched, client, session, first.answer_id))
        gate.open()
        await first.rest()
    assert first.last["type"] == "done"


async def watched(client: Client, session: str, message: int) -> bool:
    """Read and leave; return whether there was room for another reader."""
    with suppress(AssertionError, aiohttp.ClientError):
        async with client.resuming(session, message) as stream:
            await stream.has("One two")
            stream.response.close()
            return True
    return False


async def test_a_search_ends_when_its_client_leaves(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those would run for ever. They delay neither a send nor a probe, nor the next search once they left."""
    endless = (
        "WITH RECURSIVE counted (n) AS (SELECT :words UNION ALL SELECT 1 FROM counted) SELECT * FROM counted"
    )
    session = await client.new_session(title="Rainbows")
    with monkeypatch.context() as patch:
        patch.setattr(database, "SLOW_READ_TIMEOUT", 1e9)
        patch.setattr(
            sessions, "_SEARCH", f"SELECT count(*), :owner, :updated_at, :key, :limit FROM ({endless})"
        )
        async with AsyncExitStack() as connections:
            for _ in range(5):
                _, writer = await connections.enter_async_context(opened(client))
                writer.write(request("GET", "/api/chat/sessions?q=rain"))
            await client.ask(session)
            await client.call("GET", "/readyz")
    page = await client.call("GET", "/api/chat/sessions?q=rain")
    assert [session["title"] for session in page["sessions"]] == ["Rainbows"]
