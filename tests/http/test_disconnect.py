"""A reader who leaves does not stop an answer, unless DISCONNECT_GRACE_SECONDS says so."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import aiohttp
import pytest
from chat_client import Client, Server, Stream, serving
from fake_ollama import FakeOllama, Gate, Script, answer, greet, until
from yarl import URL

from chatproxy import Config, create_app

LONGER = 1.5  # seconds: more than the moment that a sender is given to begin to read


@asynccontextmanager
async def grace(config: Config, seconds: float | None) -> AsyncIterator[Client]:
    async with serving(replace(config, disconnect_grace_seconds=seconds)) as client:
        yield client


def held_back(fake: FakeOllama) -> Gate:
    """The answer stops after two of its words, until the gate is opened."""
    fake.script = Script(answer("One two three"), gate=(gate := Gate()))
    gate.let(2)
    return gate


async def left(client: Client, session: str) -> Stream:
    """A reader who sends, reads two words, and leaves."""
    async with client.sending(session) as stream:
        await stream.has("One two")
        stream.response.close()
    return stream


async def ended(client: Client, session: str) -> tuple[str, str]:
    """Status and text of the last answer, when it has ended."""
    async with asyncio.timeout(10):
        while True:
            last = (await client.messages(session))[-1]
            if last["status"] != "streaming":
                return last["status"], last["content"]
            await asyncio.sleep(0.01)


async def watched_no_more(client: Client, fake: FakeOllama) -> None:
    """The connection to Ollama is closed before all was said."""
    chat = await fake.arrived()
    await asyncio.wait_for(chat.closed.wait(), 10)
    assert not chat.served


@pytest.mark.parametrize("seconds", [None, 60])
async def test_an_answer_goes_on_without_its_reader(
    config: Config, fake: FakeOllama, seconds: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    gate = held_back(fake)
    async with grace(config, seconds) as client:
        session = await client.new_session()
        stream = await left(client, session)
        gate.open()
        assert await ended(client, session) == ("complete", "One two three")
        async with client.resuming(session, stream.answer_id, after=stream.cursor) as resumed:
            await resumed.rest()
    assert (resumed.text(), resumed.last["type"]) == (" three", "done")
    assert caplog.messages == []


async def test_with_no_grace_an_unwatched_answer_is_cancelled_soon(config: Config, fake: FakeOllama) -> None:
    held_back(fake)
    async with grace(config, 0) as client:
        session = await client.new_session()
        await left(client, session)
        await watched_no_more(client, fake)
        assert await ended(client, session) == ("cancelled", "One two")
        fake.script = greet
        assert (await client.ask(session)).last["type"] == "done"


async def test_an_unwatched_answer_is_cancelled_after_the_grace_and_not_before(
    config: Config, fake: FakeOllama
) -> None:
    """Wherever between two looks at the readers the last of them leaves."""
    fake.script = Script(answer("One two three")[:2], end="hang")
    async with grace(config, 0.5) as client:
        lasted = await asyncio.gather(*[outlasted(client, 0.25 + 0.025 * number) for number in range(10)])
    assert [seconds for seconds in lasted if seconds < 0.5] == []


async def outlasted(client: Client, stays: float) -> float:
    """For how many seconds an answer goes on when its only reader, who stayed for so long, has left."""
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.has("One two")
        await asyncio.sleep(stays)
        since = monotonic()
        stream.response.close()
    assert await ended(client, session) == ("cancelled", "One two")
    return monotonic() - since


async def test_a_reader_who_returns_within_the_grace_keeps_the_answer(
    config: Config, fake: FakeOllama
) -> None:
    gate = held_back(fake)
    async with grace(config, 2) as client:
        session = await client.new_session()
        stream = await left(client, session)
        async with client.resuming(session, stream.answer_id, after=stream.cursor) as resumed:
            await asyncio.sleep(2.5)
            gate.open()
            await resumed.rest()
    assert (resumed.text(), resumed.last["finishReason"]) == (" three", "stop")


async def test_one_reader_is_enough_and_a_waiting_request_counts(config: Config, fake: FakeOllama) -> None:
    gate = held_back(fake)
    async with grace(config, 0) as client:
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
    config: Config, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    held_back(fake)
    async with grace(config, 0) as client:
        session = await client.new_session()
        waiting = asyncio.create_task(client.send(session))
        await fake.arrived()
        waiting.cancel()
        await watched_no_more(client, fake)
        assert await ended(client, session) == ("cancelled", "One two")
    assert caplog.messages == []


async def test_an_unwatched_answer_leaves_the_queue(config: Config, fake: FakeOllama) -> None:
    gate = held_back(fake)
    config = replace(config, max_concurrent_generations=1, disconnect_grace_seconds=0)
    async with serving(config) as client:
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
    config: Config,
    fake: FakeOllama,
    endpoint: str,
    seconds: float | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    models = Script([json.dumps({"models": fake.models}).encode()], head=(gate := Gate()))
    fake.instead["/api/tags"] = models
    fake.script = Script(answer("One two"), head=(head := Gate()))
    app = create_app(replace(config, disconnect_grace_seconds=seconds))
    async with Server(app) as server:
        session = await server.client.new_session()
        asked = fake.calls["/api/tags"]
        writer = await started(server.client, f"/api/chat/sessions/{session}/{endpoint}")
        await until(lambda: fake.calls["/api/tags"] > asked)
        writer.transport.abort()
        gate.open()
        chat = await fake.arrived()
        if seconds is None:
            head.open()
        await asyncio.wait_for(chat.closed.wait(), 10)
        told = ("complete", "One two") if seconds is None else ("cancelled", "")
        assert await ended(server.client, session) == told
    assert caplog.messages == []


async def started(client: Client, path: str, **body: Any) -> asyncio.StreamWriter:
    """A connection with a request written to it."""
    url = URL(client.base)
    said = json.dumps({"message": "Hello", **body}).encode()
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST {path} HTTP/1.1\r\nHost: {url.authority}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(said)}\r\n\r\n".encode() + said)
    return writer


async def test_readers_who_have_left_do_not_count_against_the_limit(config: Config, fake: FakeOllama) -> None:
    """Else they would count against MAX_SUBSCRIBERS."""
    gate = held_back(fake)
    async with serving(replace(config, max_subscribers=2)) as client:
        session = await client.new_session()
        async with client.sending(session) as first:
            await first.has("One two")
            for _ in range(4):
                async with asyncio.timeout(10):
                    await watched_for_a_moment(client, session, first.answer_id)
            gate.open()
            await first.rest()
    assert first.last["type"] == "done"


async def watched_for_a_moment(client: Client, session: str, message: int) -> None:
    """As soon as there is room."""
    while True:
        try:
            async with client.resuming(session, message) as stream:
                await stream.has("One two")
                stream.response.close()
                return
        except (AssertionError, aiohttp.ClientError):
            await asyncio.sleep(0.02)
