"""A server that drains: what is under way goes on to its end, all else is served, and nothing begins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import pytest
from aiohttp import web
from chat_client import Server
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, token
from sockets import request, unread
from waiting import until
from yarl import URL

from chatproxy import Config, create_app, drain

HELLO: Final = [{"role": "user", "content": "Hello"}]
ASKED: Final = {"model": MODEL, "messages": HELLO, "stream": True}
HELLO_AGAIN: Final = {"message": "Hello again"}
PART: Final = {"id": "u9", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
# All that begins an answer, but for the two calls of chatproxy's own: there, a body that would do.
SENDS: Final[dict[str, dict[str, Any]]] = {
    "/api/chat/ui": {"id": "c9", "trigger": "submit-message", "messages": [PART]},
    "/v1/responses": {"model": MODEL, "input": "Hello", "store": True},
    "/api/chat": ASKED,
    "/api/generate": {"model": MODEL, "prompt": "Hello"},
    "/api/embed": {"model": MODEL, "input": "Hello"},
    "/api/embeddings": {"model": MODEL, "prompt": "Hello"},
    "/v1/chat/completions": ASKED,
    "/v1/completions": {"model": MODEL, "prompt": "Hello"},
    "/v1/embeddings": {"model": MODEL, "input": "Hello"},
    "/v1/messages": {**ASKED, "max_tokens": 10},
    "/v1/images/generations": {"model": MODEL, "prompt": "A rainbow"},
}


class Drained:
    """A server, and its `drain` as a task, which the test begins."""

    def __init__(self, app: web.Application, server: Server) -> None:
        self.client = server.client
        self._app = app
        self._draining: asyncio.Task[None]

    async def begin(self) -> None:
        self._draining = asyncio.create_task(drain(self._app))
        await asyncio.sleep(0)  # it has begun

    async def goes_on(self) -> None:
        """Check that it has not ended, although it could have."""
        await asyncio.wait({self._draining}, timeout=0.4)
        assert not self._draining.done()

    async def ended(self) -> None:
        async with asyncio.timeout(10):
            await self._draining


@asynccontextmanager
async def started(config: Config, prefix: str = "", seconds: float = 60) -> AsyncIterator[Drained]:
    app = create_app(replace(config, drain_seconds=seconds))
    host = app
    if prefix:
        host = web.Application()
        host.add_subapp(prefix, app)
    async with Server(host, prefix, shutdown_timeout=0.3) as server:
        yield Drained(app, server)


@pytest.fixture(params=["", "/chat"], ids=["alone", "mounted"])
async def server(request: pytest.FixtureRequest, config: Config) -> AsyncIterator[Drained]:
    async with started(config, request.param) as server:
        yield server


def three_words(fake: FakeOllama) -> Gate:
    """Make the answer stop after one of its three words."""
    fake.script = Script(answer("One two three"), gate=(gate := Gate()))
    gate.let(1)
    return gate


async def test_answers_go_on_to_their_end_and_are_resumed_and_cancelled(
    server: Drained, fake: FakeOllama
) -> None:
    client, gate = server.client, three_words(fake)
    first, second = await client.new_session(), await client.new_session()
    async with client.sending(first) as stream, client.sending(second) as other:
        await stream.has("One")
        await other.until("status")
        await server.begin()
        assert (await client.call("GET", "/readyz", status=503))["code"] == "shutting_down"
        assert (await client.call("GET", "/healthz"))["status"] == "alive"
        assert (await client.cancel(second, other.answer_id))["status"] == "cancelled"
        assert (await other.rest())[-1]["finishReason"] == "cancelled"
        async with client.resuming(first, stream.answer_id, "0.1") as again:
            await server.goes_on()
            gate.open()
            assert (await stream.rest())[-1]["fullResponse"] == "One two three"
            assert (await again.rest())[-1]["type"] == "done"
        assert again.text() == "ne two three"
    await server.ended()
    assert [each["content"] for each in await client.messages(first)] == ["Hello", "One two three"]


async def test_nothing_begins(server: Drained, fake: FakeOllama) -> None:
    client = server.client
    session = await client.new_session()
    await client.ask(session)
    asked = len(fake.chats)
    await server.begin()
    own = f"/api/chat/sessions/{session}/messages"
    for path, body in {own: HELLO_AGAIN, f"{own}/stream": HELLO_AGAIN, **SENDS}.items():
        async with client.http.post(client.url(path), json=body) as response:
            assert response.status == 503, path
            assert "The server is shutting down" in await response.text(), path
            assert response.headers["Retry-After"] == "1"
            # Whoever balances connections sends the next one elsewhere.
            assert response.headers["Connection"] == "close"
    assert len(fake.chats) == asked
    assert len(await client.messages(session)) == 2
    await server.ended()


async def test_all_else_is_served(server: Drained, fake: FakeOllama) -> None:
    client = server.client
    session = await client.new_session()
    await client.ask(session)
    await server.begin()
    await server.ended()  # as far as answers are concerned
    assert await client.call("GET", "/v1/models")
    assert await client.call("GET", "/api/tags")
    await client.call("POST", "/api/show", json={"model": MODEL})
    await client.call("PATCH", f"/api/chat/sessions/{session}", json={"title": "Seen"})
    await client.call("POST", "/api/documents", status=201, json={"title": "A", "text": "B."})
    await client.call("DELETE", f"/api/chat/sessions/{await client.new_session()}", status=204)
    async with client.resuming(session, 2) as stream:
        assert (await stream.rest())[-1]["type"] == "done"


async def test_what_was_sent_before_is_not_refused(server: Drained, fake: FakeOllama) -> None:
    """A client whose connection broke sends its message again, and attaches."""
    client, gate = server.client, three_words(fake)
    session = await client.new_session()
    async with client.sending(session, clientMessageId="a") as stream:
        await stream.has("One")
        await server.begin()
        stream.response.close()
    async with client.sending(session, clientMessageId="a") as again:
        gate.open()
        assert (await again.rest())[-1]["fullResponse"] == "One two three"
    await server.ended()
    assert len(fake.requests) == 1


async def test_what_waits_in_the_line_is_answered(fake: FakeOllama, config: Config) -> None:
    gate = three_words(fake)
    async with started(replace(config, max_concurrent_generations=1)) as server:
        client = server.client
        first, second = await client.new_session(), await client.new_session()
        async with client.sending(first) as stream, client.sending(second) as queued:
            await stream.has("One")
            assert (await queued.until("status"))["state"] == "queued"
            await server.begin()
            gate.open()
            assert (await queued.rest())[-1]["type"] == "done"
        await server.ended()


async def test_a_send_that_is_being_checked_is_answered(fake: FakeOllama, config: Config) -> None:
    fake.instead["/api/tags"] = Script(head=(head := Gate()))
    async with started(replace(config, default_model="auto")) as server:
        session, asked = await server.client.new_session(), fake.calls["/api/tags"]
        sending = asyncio.create_task(server.client.send(session, model=MODEL))
        await until(lambda: fake.calls["/api/tags"] > asked)
        await server.begin()
        await server.goes_on()
        del fake.instead["/api/tags"]
        head.open()
        assert (await sending)["fullResponse"] == "Hello from a fake."
        await server.ended()


async def test_a_reader_who_is_behind_is_waited_for(server: Drained, fake: FakeOllama) -> None:
    """The answer is over, but more than a socket holds has not been taken."""
    fake.script = Script([token("x" * 1_000_000)] * 3 + [*answer("End")])
    client = server.client
    session = await client.new_session()
    path = URL(client.url(f"/api/chat/sessions/{session}/messages/stream")).path
    with unread(client, request("POST", path, body={"message": "Hello"})):

        async def is_over() -> bool:
            messages = await client.messages(session)
            return bool(messages) and messages[-1]["status"] == "complete"

        await until(is_over)
        await server.begin()
        await server.goes_on()
    await server.ended()  # it has left


async def test_a_request_to_ollama_goes_on_to_its_end(server: Drained, fake: FakeOllama) -> None:
    fake.script = Script(lines := answer("One two three"), gate=(gate := Gate()))
    client = server.client
    gate.let(1)
    async with client.http.post(client.url("/api/chat"), json=ASKED) as response:
        first = await response.content.readany()
        await server.begin()
        await server.goes_on()
        gate.open()
        assert first + await response.read() == b"".join(lines)
    await server.ended()


async def test_it_takes_no_longer_than_was_set(fake: FakeOllama, config: Config) -> None:
    fake.script = Script([token("One")], end="hang")
    async with started(config, seconds=0.3) as server:
        client = server.client
        session = await client.new_session()
        async with client.sending(session) as stream:
            await stream.has("One")
            await server.begin()
            await server.ended()
            assert (await client.messages(session))[1]["status"] == "streaming"
            assert (await client.cancel(session, stream.answer_id))["content"] == "One"


async def test_a_refused_message_of_use_chat_does_not_end_the_last_answer(
    server: Drained, fake: FakeOllama
) -> None:
    """A new one would end an answer that nobody watches any more."""
    client, gate = server.client, three_words(fake)
    first = {**SENDS["/api/chat/ui"], "messages": [{**PART, "id": "u1"}]}
    async with client.http.post(client.url("/api/chat/ui"), json=first) as response:
        await response.content.readany()
        response.close()
    await until(lambda: fake.chats[0].sent == 1)
    await server.begin()
    async with client.http.post(client.url("/api/chat/ui"), json=SENDS["/api/chat/ui"]) as response:
        assert response.status == 503
    gate.open()
    await server.ended()
    assert (await client.messages("c9"))[-1]["content"] == "One two three"
