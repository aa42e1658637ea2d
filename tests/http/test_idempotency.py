"""One `clientMessageId`, at most one answer, whatever becomes of the connections that ask for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import stored
from chat_client import Client, Server
from fake_ollama import FakeOllama, Gate, Script, answer, refused
from waiting import until
from yarl import URL

from chatproxy import Config, create_app

IMAGE = "aW1hZ2U="


async def attached(client: Client, session: str, **body: Any) -> tuple[int, int, str]:
    """What the stream endpoint gives: the ids and the text."""
    stream = await client.ask(session, **body)
    assert stream.last["type"] == "done"
    return stream.events[0]["userMessageId"], stream.answer_id, stream.text()


async def waited(client: Client, session: str, **body: Any) -> tuple[int, int, str]:
    """The same from the JSON endpoint."""
    told = await client.send(session, **body)
    return told["userMessageId"], told["assistantMessageId"], told["fullResponse"]


def rows(config: Config) -> list[tuple[str, str | None]]:
    """Role and status of all that is stored, oldest first."""
    return stored.rows(config.database, "SELECT role, status FROM message ORDER BY id")


@pytest.mark.parametrize("running", [False, True])
async def test_fifty_at_once_are_one(client: Client, fake: FakeOllama, config: Config, running: bool) -> None:
    fake.script = Script(answer("One two three"), gate=(gate := Gate()))
    gate.let(1 if running else 100)
    session = await client.new_session()
    sends = [
        asyncio.create_task((attached if number % 2 else waited)(client, session, clientMessageId="a"))
        for number in range(50)
    ]
    await fake.arrived()
    gate.open()
    told = await asyncio.gather(*sends)
    assert told == [(told[0][0], told[0][1], "One two three")] * 50
    assert [message["id"] for message in await client.messages(session)] == [told[0][0], told[0][1]]
    assert rows(config) == [("user", "complete"), ("assistant", "complete")]
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"message": "Hello!"}),
        ({}, {"model": "echo:270m"}),
        ({}, {"system": "Be brief."}),
        ({}, {"images": [IMAGE]}),
        ({}, {"options": {"temperature": 0}}),
        ({}, {"think": False}),
        ({}, {"format": "json"}),
        ({}, {"options": {"stop": ["."]}}),
        ({}, {"replaces": 1}),
        ({}, {"document_id": None}),
        ({"documentId": None}, {}),
        ({"options": {"seed": 1}}, {"options": {"seed": 2}}),
    ],
    ids=str,
)
@pytest.mark.parametrize("ask", [attached, waited])
async def test_another_body_is_a_conflict(
    client: Client, fake: FakeOllama, ask: Any, first: dict[str, Any], second: dict[str, Any]
) -> None:
    session = await client.new_session()
    await ask(client, session, clientMessageId="a", **first)
    told = await client.send(
        session, second.get("message", "Hello"), status=422, clientMessageId="a", **_without(second)
    )
    assert told["code"] == "idempotency_conflict"
    assert (len(fake.requests), len(await client.messages(session))) == (1, 2)


def _without(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "message"}


@pytest.mark.parametrize(
    "again",
    [
        {},
        {"unknown": "field"},
        {"options": {"top_k": 1, "seed": 2}},
        {"model": None},
    ],
    ids=str,
)
async def test_the_same_fields_are_the_same_message(
    client: Client, fake: FakeOllama, again: dict[str, Any]
) -> None:
    session = await client.new_session()
    first = await attached(client, session, **{"options": {"seed": 2, "top_k": 1}, "clientMessageId": "a"})
    again = {"options": {"seed": 2, "top_k": 1}, "clientMessageId": "a"} | again
    assert await attached(client, session, **again) == first
    assert len(fake.requests) == 1


async def test_sessions_do_not_share_ids(client: Client, fake: FakeOllama) -> None:
    answers = [await attached(client, await client.new_session(), clientMessageId="a") for _ in range(2)]
    assert answers[0][1] != answers[1][1]
    assert len(fake.requests) == 2


async def test_a_running_answer_is_read_from_its_beginning(client: Client, fake: FakeOllama) -> None:
    """And it is no reason to say that the session is busy."""
    fake.script = Script(answer("One two three", thinking="Hm"), gate=(gate := Gate()))
    gate.let(3)
    session = await client.new_session()
    async with client.sending(session, clientMessageId="a") as first:
        await first.has("One two")
        async with client.sending(session, clientMessageId="a") as second:
            await second.has("One two")
            gate.open()
            await second.rest()
            await first.rest()
    assert (second.text("thinking"), second.text()) == ("Hm", "One two three")
    assert (second.events[0], second.last) == (first.events[0], first.last)
    assert second.ids == [None] * len(second.events)


async def test_a_finished_answer_is_read_from_its_beginning(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two", thinking="Hm"))
    session = await client.new_session()
    first = await client.ask(session, clientMessageId="a")
    second = await client.ask(session, clientMessageId="a")
    assert second.kinds() == ["start", "thinking", "chunk", "done"]
    assert (second.text("thinking"), second.text()) == ("Hm", "One two")
    assert (second.events[0], second.last) == (first.events[0], first.last)
    waited = [await client.send(session, clientMessageId="a") for _ in range(2)]
    assert waited[0] == waited[1]
    assert (waited[0]["fullResponse"], waited[0]["usage"]) == ("One two", first.last["usage"])
    assert len(fake.requests) == 1


async def test_a_failed_answer_fails_again(client: Client, fake: FakeOllama) -> None:
    fake.script = refused(500, "it broke")
    session = await client.new_session()
    first = await client.ask(session, clientMessageId="a")
    again = await client.ask(session, clientMessageId="a")
    told = await client.send(session, status=502, clientMessageId="a")
    assert again.last == first.last
    assert (told["code"], told["error"]) == (first.last["code"], first.last["error"])
    assert len(fake.requests) == 1


async def test_a_cancelled_answer_stays_cancelled(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    gate.let(1)
    session = await client.new_session()
    async with client.sending(session, clientMessageId="a") as stream:
        await stream.has("One")
        await client.cancel(session, stream.answer_id)
    again = await client.send(session, clientMessageId="a")
    assert (again["fullResponse"], again["finishReason"]) == ("One", "cancelled")
    assert len(fake.requests) == 1


async def test_what_was_replaced_is_still_answered_from_memory(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    first = await attached(client, session, clientMessageId="a")
    await attached(client, session, clientMessageId="b", replaces=first[0])
    before = await client.messages(session)
    assert await attached(client, session, clientMessageId="a") == first
    assert await client.messages(session) == before
    assert len(fake.requests) == 2


async def test_a_replacing_send_may_be_repeated(client: Client, fake: FakeOllama) -> None:
    """Though what it replaces has left the conversation by then."""
    session = await client.new_session()
    first = await attached(client, session)
    second = await attached(client, session, clientMessageId="b", replaces=first[0])
    assert await attached(client, session, clientMessageId="b", replaces=first[0]) == second
    assert len(fake.requests) == 2


async def test_a_refused_send_leaves_its_id_free(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    body = {"message": "Hello", "clientMessageId": "a"}
    await client.refused(session, 422, json=body | {"model": "nobody:1b"})
    assert (await attached(client, session, clientMessageId="a"))[2] == "Hello from a fake."


# -- readers who leave in the middle of a send


async def sent_and_left(
    client: Client, session: str, turns: int = 0, part: float = 1, after: Callable[[], bool] = lambda: True
) -> None:
    """Writes a send, or the first part of its body, and closes the connection a little later."""
    url = URL(client.base)
    body = json.dumps({"message": "Hello", "clientMessageId": "a"}).encode()
    head = (
        f"POST /api/chat/sessions/{session}/messages/stream HTTP/1.1\r\nHost: {url.authority}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head.encode() + body[: int(len(body) * part)])
    await until(after)
    for _ in range(turns):
        await asyncio.sleep(0)
    writer.transport.abort()


@pytest.mark.parametrize("cancelling", [False, True], ids=["disconnects", "disconnects cancel handlers"])
async def test_a_send_happens_as_a_whole_or_not_at_all(
    config: Config, fake: FakeOllama, cancelling: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The reader leaves earlier or later; the same send again finds the answer, or begins it."""
    async with Server(create_app(config), handler_cancellation=cancelling) as server:
        for turns in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 25, 30, 40, 60, 100):
            session = await server.client.new_session()
            asked = len(fake.requests)
            await sent_and_left(server.client, session, turns)
            stored = len(await server.client.messages(session))
            assert stored in (0, 2)
            assert (await attached(server.client, session, clientMessageId="a"))[2] == "Hello from a fake."
            assert len(await server.client.messages(session)) == 2
            assert len(fake.requests) == asked + 1
    assert set(rows(config)) == {("user", "complete"), ("assistant", "complete")}
    assert caplog.messages == []


async def test_a_disconnect_during_the_checks_does_not_stop_the_send(
    config: Config, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    async with during_the_checks(config, fake) as (server, session, gate):
        gate.open()
        chat = await fake.arrived()
        await chat.closed.wait()
        assert (await attached(server.client, session, clientMessageId="a"))[2] == "Hello from a fake."
    assert len(fake.requests) == 1
    assert caplog.messages == []


async def test_a_host_that_cancels_handlers_ends_a_send_during_its_checks(
    config: Config, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is stored, and the session is not kept busy."""
    async with during_the_checks(config, fake, handler_cancellation=True) as (server, session, gate):
        gate.open()
        assert await server.client.messages(session) == []
        assert (await attached(server.client, session, clientMessageId="a"))[2] == "Hello from a fake."
        assert len(await server.client.messages(session)) == 2
    assert len(fake.requests) == 1
    assert caplog.messages == []


@asynccontextmanager
async def during_the_checks(
    config: Config, fake: FakeOllama, *, handler_cancellation: bool = False
) -> AsyncIterator[tuple[Server, str, Gate]]:
    """A send whose client left while Ollama was asked for its models; the gate lets it answer."""
    fake.instead["/api/tags"] = Script([json.dumps({"models": fake.models}).encode()], head=(gate := Gate()))
    async with Server(create_app(config), handler_cancellation=handler_cancellation) as server:
        session = await server.client.new_session()
        asked = fake.calls["/api/tags"]
        await sent_and_left(server.client, session, after=lambda: fake.calls["/api/tags"] > asked)
        yield server, session, gate


@pytest.mark.parametrize("cancelling", [False, True], ids=["disconnects", "disconnects cancel handlers"])
async def test_half_a_send_is_none(
    config: Config, fake: FakeOllama, cancelling: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server(create_app(config), handler_cancellation=cancelling) as server:
        session = await server.client.new_session()
        for turns in (0, 5, 50):
            await sent_and_left(server.client, session, turns, part=0.5)
        assert await server.client.messages(session) == []
    assert (fake.requests, rows(config), caplog.messages) == ([], [], [])
