"""A server that stops: everybody who waits is told so, what was said is stored, nothing is left behind."""

import asyncio
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_client import Client, Server, Stream
from fake_ollama import FakeOllama, Gate, Script, answer, token
from processes import Process
from waiting import until

from chatproxy import Config, chat, create_app
from chatproxy.documents import worker
from chatproxy.generation import registry
from chatproxy.store.messages import Messages
from chatproxy.store.records import Message
from chatproxy.web.keys import CHAT

QUICK: dict[str, Any] = {"shutdown_timeout": 0.3}  # seconds that aiohttp waits for readers


def alone(config: Config) -> Server:
    return Server(create_app(config), **QUICK)


def mounted(config: Config) -> Server:
    """In a host that cancels the handlers of those who leave."""
    host = web.Application()
    host.add_subapp("/chat", create_app(config))
    return Server(host, "/chat", **QUICK, handler_cancellation=True)


@pytest.fixture(params=[alone, mounted])
async def server(request: pytest.FixtureRequest, config: Config) -> AsyncIterator[Server]:
    async with request.param(config) as server:
        yield server


@asynccontextmanager
async def stopping(server: Server) -> AsyncIterator[None]:
    """It stops while the block runs, and has stopped, in good time, after it."""
    stop = asyncio.create_task(server.stop())
    try:
        yield
    finally:
        async with asyncio.timeout(8):
            await stop


def answers(config: Config) -> list[tuple[str, str]]:
    """Status and text of the answers, as the file has them; other processes see the same."""
    with closing(sqlite3.connect(config.database_path)) as connection:
        return connection.execute(
            "SELECT status, content FROM message WHERE role = 'assistant' ORDER BY id"
        ).fetchall()


def half_said() -> Script:
    """Two words of an answer that goes no further."""
    return Script([token("Two"), token(" words")], end="hang")


def terminal(sender: Stream, said: str, cursor: str) -> dict[str, Any]:
    return {
        "type": "error",
        "error": "The server is shutting down; send the message again in a moment.",
        "code": "shutting_down",
        "retryable": True,
        "requestId": sender.response.headers["X-Request-Id"],
        "assistantMessageId": sender.answer_id,
        "fullResponse": said,
        "cursor": cursor,
    }


async def reaches(client: Client, session: str, cursor: str) -> None:
    """Wait until the session's answer is stored, and has so much text."""

    async def has_reached() -> bool:
        return [message["cursor"] for message in await client.messages(session)][1:] == [cursor]

    await until(has_reached)


async def test_every_reader_is_told_once_the_text_is_stored(
    server: Server, fake: FakeOllama, config: Config
) -> None:
    fake.script = half_said()
    client = server.client
    session = await client.new_session()
    async with client.sending(session) as sender:
        message = (await sender.until("start"))["assistantMessageId"]
        async with client.resuming(session, message) as watcher:
            for stream in (sender, watcher):
                await stream.has("Two words")
            async with stopping(server):
                for stream in (sender, watcher):
                    assert await stream.until("error") == terminal(sender, "Two words", "0.9.end")
                    assert answers(config) == [("interrupted", "Two words")]
                    assert await stream.next() is None
    await asyncio.wait_for(fake.chats[0].closed.wait(), 5)


@pytest.mark.parametrize("state", ["queued", "waiting"])
async def test_answers_without_a_word_are_ended_too(fake: FakeOllama, config: Config, state: str) -> None:
    fake.script = Script(head=Gate())  # the first is with Ollama, and the second waits for it
    config = replace(config, max_concurrent_generations=1)
    async with alone(config) as server:
        client = server.client
        first, second = await client.new_session(), await client.new_session()
        async with client.sending(first) as waiting, client.sending(second) as queued:
            stream = {"waiting": waiting, "queued": queued}[state]
            while (await stream.until("status"))["state"] != state:
                pass
            async with stopping(server):
                assert [(await each.until("error"))["code"] for each in (waiting, queued)] == [
                    "shutting_down",
                    "shutting_down",
                ]
    assert answers(config) == [("interrupted", ""), ("interrupted", "")]


async def test_a_request_that_waits_for_the_whole_answer_gets_503(
    server: Server, fake: FakeOllama, config: Config
) -> None:
    fake.script = half_said()
    client = server.client
    session = await client.new_session()
    waiting = asyncio.create_task(client.send(session, status=503))
    await fake.arrived()
    await reaches(client, session, "0.9")
    async with stopping(server):
        refusal = await waiting
    assert refusal | {"error": "", "requestId": ""} == {
        "error": "",
        "requestId": "",
        "code": "shutting_down",
        "assistantMessageId": 2,
        "fullResponse": "Two words",
    }
    assert answers(config) == [("interrupted", "Two words")]


async def test_while_it_drains_reads_go_on_and_sends_do_not(fake: FakeOllama, config: Config) -> None:
    """On connections that are kept: a host application may go on serving for a while."""
    app = create_app(config)
    async with Server(app) as server:
        client = server.client
        session = await client.new_session()
        await client.ask(session)
        assert (await client.call("GET", "/readyz"))["status"] == "ready"
        await app.shutdown()
        assert (await client.call("GET", "/readyz", status=503))["code"] == "shutting_down"
        assert (await client.call("GET", "/healthz"))["status"] == "alive"
        assert (await client.refused(session, 503, json={"message": "Hello"}))["code"] == "shutting_down"
        assert (await client.send(session, status=503))["code"] == "shutting_down"
        assert [message["content"] for message in await client.messages(session)] == [
            "Hello",
            "Hello from a fake.",
        ]
        async with client.resuming(session, 2) as stream:
            assert (await stream.rest())[-1]["type"] == "done"
    assert len(fake.chats) == 1


def send_without_reading(client: Client, session: str) -> socket.socket:
    """The connection of a reader that takes nothing: its window is small, and stays shut."""
    _, _, host, *path = client.base.split("/")
    address, port = host.split(":")
    prefix = "".join(f"/{part}" for part in path)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((address, int(port)))
    connection.sendall(
        f"POST {prefix}/api/chat/sessions/{session}/messages/stream HTTP/1.1\r\nHost: {host}\r\n"
        'Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{"message":"Hello"}'.encode()
    )
    return connection


async def test_a_reader_that_takes_nothing_is_dropped(
    server: Server, fake: FakeOllama, config: Config
) -> None:
    fake.script = Script([token("\0" * 100_000)] * 20, end="hang")  # 12 MB: more than any socket buffer holds
    session = await server.client.new_session()
    with closing(send_without_reading(server.client, session)):
        await fake.arrived()
        await reaches(server.client, session, "0.2000000")
        async with stopping(server):
            pass
    with closing(sqlite3.connect(config.database_path)) as connection:  # length() in SQL stops at NUL
        stored = connection.execute("SELECT status, length(hex(content)) FROM message WHERE id = 2")
        assert stored.fetchall() == [("interrupted", 4_000_000)]


@pytest.mark.parametrize("call", ["messages", "messages/stream"])
async def test_a_send_that_waits_for_ollama_is_refused(fake: FakeOllama, config: Config, call: str) -> None:
    """Nothing is stored yet, and Ollama does not say which models there are."""
    asked, fake.instead["/api/tags"] = fake.calls, Script(head=Gate())
    async with alone(replace(config, default_model="auto")) as server:
        session = await server.client.new_session()
        sending = asyncio.create_task(
            server.client.call(
                "POST", f"/api/chat/sessions/{session}/{call}", status=503, json={"message": "Hello"}
            )
        )
        await until(lambda: asked["/api/tags"] > 0)
        async with stopping(server):
            assert (await sending)["code"] == "shutting_down"
    assert answers(config) == []


async def test_a_document_that_is_being_read_is_refused(
    server: Server, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def endless(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(worker, "_value", endless)
    document = {"title": "Rainbows", "text": "Sunlight, bent by drops of water."}
    sending = asyncio.create_task(server.client.call("POST", "/api/documents", status=503, json=document))
    await begun.wait()
    async with stopping(server):
        assert (await sending)["code"] == "shutting_down"


class SlowDisk:
    """The commit of the two rows is answered when the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        begin = Messages.begin

        async def slowly(messages: Messages, *given: Any) -> tuple[int, Message]:
            rows = await begin(messages, *given)
            self.asked.set()
            await self.answers.wait()
            return rows

        monkeypatch.setattr(Messages, "begin", slowly)


async def test_a_send_that_is_being_stored_becomes_an_answer_that_is_ended(
    fake: FakeOllama, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "LAST_CHECKS", 0.1)
    monkeypatch.setattr(registry, "LAST_COMMITS", 5)
    disk = SlowDisk(monkeypatch)
    async with alone(config) as server:
        session = await server.client.new_session()
        sending = asyncio.create_task(server.client.ask(session))
        await disk.asked.wait()
        async with stopping(server):
            await asyncio.sleep(0.5)  # longer than LAST_CHECKS
            disk.answers.set()
            stream = await sending
    assert stream.kinds() == ["start", "error"]
    assert stream.last == terminal(stream, "", "0.0.end")
    assert answers(config) == [("interrupted", "")]
    await until(lambda: fake.active == 0)


async def test_a_send_that_is_not_stored_in_time_is_not_waited_for(
    fake: FakeOllama, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "LAST_COMMITS", 0.1)
    disk = SlowDisk(monkeypatch)
    async with alone(config) as server:
        session = await server.client.new_session()
        sending = asyncio.create_task(server.client.send(session, status=503))
        await disk.asked.wait()
        async with stopping(server):
            refusal = await sending
    assert refusal == {
        "error": "The server is shutting down; see later whether it stored this message.",
        "code": "shutting_down",
    }
    assert answers(config) == [("streaming", "")]  # for the next start to end


@pytest.mark.slow
async def test_readers_are_told_also_where_the_text_cannot_be_stored_in_time(
    server: Server, fake: FakeOllama, config: Config
) -> None:
    fake.script = half_said()
    session = await server.client.new_session()
    with closing(sqlite3.connect(config.database_path, isolation_level=None)) as other:
        async with server.client.sending(session) as stream:
            await stream.has("Two words")
            other.execute("BEGIN IMMEDIATE")
            async with stopping(server):
                assert await stream.until("error") == terminal(stream, "Two words", "0.9.end")
                assert await stream.next() is None
                other.execute("ROLLBACK")
    async with alone(config) as again:
        ((_, message),) = [await again.client.messages(session)]
    assert message["status"] == "interrupted"


@pytest.mark.parametrize("start", [alone, mounted])
async def test_no_task_is_left(fake: FakeOllama, config: Config, start: Callable[[Config], Server]) -> None:
    before = asyncio.all_tasks()
    async with start(config) as server:
        done, running = await server.client.new_session(), await server.client.new_session()
        await server.client.ask(done)
        fake.script = half_said()
        async with server.client.sending(running) as stream:
            await stream.until("chunk")
            async with stopping(server):
                await stream.rest()
    await until(lambda: asyncio.all_tasks() <= before)


async def test_an_answer_that_ends_meanwhile_stays_whole(
    server: Server, fake: FakeOllama, config: Config
) -> None:
    fake.script = Script(answer("All of it."))
    session = await server.client.new_session()
    async with server.client.sending(session) as stream:
        await stream.until("done")
        async with stopping(server):
            assert await stream.next() is None
    assert answers(config) == [("complete", "All of it.")]


@pytest.mark.slow
async def test_twenty_five_answers_and_three_sends_end_in_time_on_a_slow_disk(
    fake: FakeOllama, tmp_path: Path
) -> None:
    fake.script = half_said()
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(
            Process.running(
                tmp_path, ollama_host=fake.url, default_model="gemma3:270m", max_concurrent_generations=20
            )
        )
        client = process.client
        sessions = [await client.new_session() for _ in range(28)]
        streams = [await stack.enter_async_context(client.sending(each)) for each in sessions[:25]]
        for stream in streams[:20]:
            await stream.has("Two words")
        for stream in streams[20:]:
            assert (await stream.until("status"))["state"] == "queued"
        with closing(sqlite3.connect(tmp_path / "chatproxy.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            sends = [asyncio.create_task(client.ask(each)) for each in sessions[25:]]
            await asyncio.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(1)
            other.execute("ROLLBACK")
        assert await process.ended() == 0
        for stream in streams:
            await stream.rest()
        for stream in [*streams, *(await asyncio.gather(*sends))]:
            assert [event["type"] for event in stream.events].count("error") == 1
            assert (stream.last["type"], stream.last["code"]) == ("error", "shutting_down")


async def test_closing_may_be_repeated(fake: FakeOllama, config: Config) -> None:
    app = create_app(config)
    async with Server(app, **QUICK):
        await app[CHAT].close()
        await app[CHAT].close()
