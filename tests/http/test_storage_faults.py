"""A disk without room, a database that is locked, a file that is none: what is refused, and what is kept."""

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from aiohttp import web
from chat_client import Client, Server
from disk import files_end_at
from fake_ollama import FakeOllama, Gate, Script, answer, greet, token
from stored import sqlite_of
from waiting import until

from chatproxy import Config, clock, create_app
from chatproxy.errors import StartError
from chatproxy.generation import generation, intake
from chatproxy.store.messages import Messages
from chatproxy.store.sqlite import writer
from chatproxy.web.keys import CHAT, STORE

LONG = "x" * 200_000  # does not fit into pages that are half empty
Full = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def config(config: Config) -> Config:
    return replace(config, context_window=1_000_000)  # holds a long message


@pytest.fixture
def app(config: Config) -> web.Application:
    return create_app(config)


@pytest.fixture
async def client(app: web.Application) -> AsyncIterator[Client]:
    async with Server(app) as server:
        yield server.client


@pytest.fixture(params=["files", "pages"])
def full(request: pytest.FixtureRequest, app: web.Application, config: Config) -> Full:
    """There is no room while the block runs: for the file system's reasons, or for SQLite's own."""

    @asynccontextmanager
    async def files() -> AsyncIterator[None]:
        with files_end_at(log_size(config)):
            yield

    @asynccontextmanager
    async def pages() -> AsyncIterator[None]:
        await writing(app).execute_fetchall("PRAGMA max_page_count = 1")  # never below what there is
        yield
        await writing(app).execute_fetchall("PRAGMA max_page_count = 4294967294")

    kinds: dict[str, Full] = {"files": files, "pages": pages}
    return kinds[request.param]


one_kind = pytest.mark.parametrize("full", ["files"], indirect=True)


def writing(app: web.Application) -> aiosqlite.Connection:
    """The connection that everything is written over."""
    return sqlite_of(app[STORE])._writer._connection


def log_size(config: Config) -> int:
    """What is written goes to the end of this file first."""
    return Path(f"{config.database_path}-wal").stat().st_size


def stored(config: Config) -> list[tuple[str, str, str]]:
    """Role, status and text of all messages, as the file has them."""
    with closing(sqlite3.connect(config.database_path)) as connection:
        return connection.execute("SELECT role, status, content FROM message ORDER BY id").fetchall()


def codes(refusal: dict[str, Any]) -> tuple[str, bool]:
    """The code, and whether the sentence is of the disk."""
    return refusal["code"], refusal["error"].startswith("The disk that holds the database")


# -- no room


async def test_a_send_is_refused_and_nothing_is_stored(
    client: Client, fake: FakeOllama, config: Config, full: Full
) -> None:
    fake.script = Script(answer("Hello")[:1], end="hang")
    session = await client.new_session()
    async with full():
        for call in ("messages", "messages/stream"):
            path = f"/api/chat/sessions/{session}/{call}"
            refusal = await client.call("POST", path, status=507, json={"message": LONG})
            assert codes(refusal) == ("storage_full", True)
        assert (await client.session(session))["activeMessageId"] is None
        assert await client.messages(session) == []
    assert stored(config) == []
    await until(lambda: fake.active == 0)
    fake.script = greet
    assert (await client.ask(session, LONG)).last["type"] == "done"


async def test_a_refused_send_leaves_its_place_in_the_queue(fake: FakeOllama, config: Config) -> None:
    app = create_app(replace(config, max_concurrent_generations=1, max_queued_generations=0))
    async with Server(app) as server:
        session = await server.client.new_session()
        with files_end_at(log_size(config)):
            await server.client.send(session, LONG, status=507)
        assert (await server.client.send(session))["fullResponse"] == "Hello from a fake."


@one_kind
async def test_other_changes_are_refused_and_reads_go_on(client: Client, full: Full) -> None:
    session = await client.new_session()
    await client.ask(session, "Is it there?")

    async def is_found() -> bool:
        page = await client.call("GET", "/api/chat/sessions", params={"q": "there"})
        return [each["id"] for each in page["sessions"]] == [session]

    await until(is_found)  # the index has followed
    async with full():
        changes: dict[str, Any] = {
            "method": "PATCH",
            "path": f"/api/chat/sessions/{session}",
            "json": {"system": LONG},
        }
        assert codes(await client.call(status=507, **changes)) == ("storage_full", True)
        creation: dict[str, Any] = {"method": "POST", "path": "/api/chat/sessions", "json": {"system": LONG}}
        assert codes(await client.call(status=507, **creation)) == ("storage_full", True)
        assert await is_found()
        assert (await client.messages(session))[1]["content"] == "Hello from a fake."
        async with client.resuming(session, 2) as stream:
            assert (await stream.rest())[-1]["fullResponse"] == "Hello from a fake."
        assert (await client.call("GET", "/readyz"))["status"] == "ready"
    assert (await client.call(**changes))["system"] == LONG


async def test_an_answer_whose_last_commit_fails(
    client: Client, fake: FakeOllama, config: Config, full: Full
) -> None:
    """It is told as failed, stays readable, and is stored as it was told when there is room again."""
    fake.script = Script(answer(LONG), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        message = (await stream.until("start"))["assistantMessageId"]
        async with full():
            gate.open()
            end = await stream.until("error")
            assert codes(end) == ("storage_full", True)
            assert (end["fullResponse"], end["retryable"]) == (LONG, True)
            assert await stream.next() is None
            assert stream.text() == LONG
            assert (await client.session(session))["activeMessageId"] is None
            told = (await client.messages(session))[1]
            failure = {name: end[name] for name in ("error", "code", "retryable", "requestId")}
            assert (told["status"], told["content"], told["error"]) == ("failed", LONG, failure)
            assert told["finishReason"] is None
            assert await replayed(client, session, message) == (LONG, end)
            assert stored(config) == [("user", "complete", "Hello"), ("assistant", "streaming", "")]
    await until(lambda: stored(config)[1] == ("assistant", "failed", LONG))
    now = (await client.messages(session))[1]
    assert now == told | {"updatedAt": now["updatedAt"]}
    assert await replayed(client, session, message) == (LONG, end)


async def replayed(client: Client, session: str, message: int) -> tuple[str, dict[str, Any]]:
    async with client.resuming(session, message) as stream:
        await stream.rest()
    return stream.text(), stream.last


@one_kind
async def test_a_request_that_waits_is_told_too(
    client: Client, fake: FakeOllama, config: Config, full: Full
) -> None:
    fake.script = Script(answer(LONG), gate=(gate := Gate()))
    session = await client.new_session()
    waiting = asyncio.create_task(client.send(session, status=507))
    await until(lambda: len(stored(config)) == 2)
    async with full():
        gate.open()
        failure = await waiting
    assert codes(failure) == ("storage_full", True)
    assert (failure["assistantMessageId"], failure["fullResponse"]) == (2, LONG)


@one_kind
async def test_a_cancel_that_cannot_be_stored(
    client: Client, fake: FakeOllama, config: Config, full: Full
) -> None:
    fake.script = Script([token(LONG)], gate=(gate := Gate()), end="hang")
    session = await client.new_session()
    async with client.sending(session) as stream:
        message = (await stream.until("start"))["assistantMessageId"]
        async with full():
            gate.open()
            await stream.has(LONG)
            told = await client.cancel(session, message)
            assert (told["status"], told["content"], told["error"]["code"]) == (
                "failed",
                LONG,
                "storage_full",
            )
            assert codes(await stream.until("error")) == ("storage_full", True)
            await asyncio.wait_for(fake.chats[0].closed.wait(), 5)
    await until(lambda: stored(config)[1] == ("assistant", "failed", LONG))


@one_kind
@pytest.mark.slow
async def test_the_session_goes_on_before_the_failed_answer_is_stored(
    client: Client, fake: FakeOllama, config: Config, full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "RETRY", 4)  # seconds, in which the session has gone on
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    fake.script = Script(answer(LONG), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.until("start")
        async with full():
            gate.open()
            await stream.until("error")
    fake.script = Script(answer("The second."))
    assert (await client.ask(session, "And now?")).last["fullResponse"] == "The second."
    assert stored(config)[1] == ("assistant", "streaming", "")
    assert [turn["content"] for turn in fake.requests[1]["messages"]] == ["Hello", LONG, "And now?"]
    await until(lambda: stored(config)[1] == ("assistant", "failed", LONG))
    assert (await client.session(session))["activeMessageId"] is None
    assert problems == []


async def test_an_answer_that_is_not_stored_by_a_fault_of_our_own(
    client: Client,
    fake: FakeOllama,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(*given: object, **more: object) -> None:
        raise RuntimeError("no store is like that")

    monkeypatch.setattr(generation, "RETRY", 0.1)
    session = await client.new_session()
    with monkeypatch.context() as breaking:
        breaking.setattr(Messages, "finish", broken)
        told = (await client.ask(session)).last
        assert (told["code"], told["fullResponse"]) == ("storage_full", "Hello from a fake.")
        assert (await client.session(session))["activeMessageId"] is None
        await asyncio.sleep(0.5)  # it is tried again
    await until(lambda: stored(config)[1] == ("assistant", "failed", "Hello from a fake."))
    assert caplog.text.count("RuntimeError: no store is like that") == 1


@one_kind
async def test_a_session_with_an_unstored_answer_can_be_deleted(
    client: Client, fake: FakeOllama, config: Config, full: Full
) -> None:
    fake.script = Script(answer(LONG), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.until("start")
        async with full():
            gate.open()
            await stream.until("error")
    await client.call("DELETE", f"/api/chat/sessions/{session}", status=204)
    await until(lambda: stored(config) == [])
    await client.call("GET", f"/api/chat/sessions/{session}", status=404)


async def test_checkpoints_that_fail_do_not_end_the_answer(
    app: web.Application,
    client: Client,
    fake: FakeOllama,
    config: Config,
    full: Full,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "LOOK", 0.02)
    statements: list[str] = []
    await writing(app).set_trace_callback(statements.append)
    fake.script = Script(answer(f"{LONG} and the end."), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.until("start")
        async with full():
            gate.let()
            await stream.has(LONG)
            statements.clear()
            await until(lambda: sum("INTO piece" in each for each in statements) > 2)  # it goes on trying
        gate.open()
        assert (await stream.until("done"))["fullResponse"] == f"{LONG} and the end."
    assert stored(config)[1] == ("assistant", "complete", f"{LONG} and the end.")


async def test_checkpoints_go_on_when_there_is_room_again(
    client: Client, fake: FakeOllama, config: Config, full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "LOOK", 0.02)
    fake.script = Script([token(LONG), token(" more")], gate=(gate := Gate()), end="hang")
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.until("start")
        async with full():
            gate.let()
            await stream.has(LONG)
        gate.let()
        await until(lambda: pieces(config) == f"{LONG} more")


async def test_a_checkpoint_that_fails_by_a_fault_of_its_own_is_not_the_last_one(
    app: web.Application,
    client: Client,
    fake: FakeOllama,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(clock, "LOOK", 0.02)
    fake.script = Script([token("One"), token(" two")], end="hang")
    async with client.sending(await client.new_session()) as stream:
        with monkeypatch.context() as broken:
            broken.setattr(app[STORE].messages, "checkpoint", lambda pieces: 1 / 0)
            await stream.has("One two")
            await until(lambda: "a periodic task failed" in caplog.text)
        await until(lambda: pieces(config) == "One two")


def pieces(config: Config) -> str:
    """What a crash would leave of the answer that is being produced."""
    with closing(sqlite3.connect(config.database_path)) as connection:
        return "".join(content for (content,) in connection.execute("SELECT content FROM piece ORDER BY key"))


async def test_a_start_without_room(fake: FakeOllama, config: Config) -> None:
    with files_end_at(0), pytest.raises(StartError, match="cannot be used"):
        async with Server(create_app(config)):
            pass
    async with Server(create_app(config)) as server:
        await server.client.new_session()


# -- a lock

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def locked(config: Config) -> AsyncIterator[Callable[[], None]]:
    """By another process, to the end of the block, or until what is yielded is called."""
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOCK, str(config.database_path), stdin=PIPE, stdout=PIPE
    )
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert await other.stdout.readline() == b"locked\n"
        yield other.stdin.close
    finally:
        other.stdin.close()
        await other.wait()


async def test_a_lock_of_a_second_only_delays(client: Client, fake: FakeOllama, config: Config) -> None:
    fake.script = Script(answer("It ends meanwhile."), gate=(gate := Gate()))
    running, other = await client.new_session(), await client.new_session()
    async with client.sending(running) as stream:
        await stream.until("start")
        async with locked(config) as unlock:
            sending = asyncio.create_task(client.send(other))
            gate.open()
            asyncio.get_running_loop().call_later(1, unlock)
            assert (await stream.until("done"))["fullResponse"] == "It ends meanwhile."
            assert (await sending)["fullResponse"] == "It ends meanwhile."


async def test_while_commits_wait_few_sends_do(
    app: web.Application, client: Client, fake: FakeOllama, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SLOTS", 1), ("HELD", 3600.0), ("LONGEST", 0.0)):
        monkeypatch.setattr(intake, name, value)
    app[CHAT].intake = taken_in = intake.Intake()
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    running, *others = [await client.new_session() for _ in range(4)]
    async with client.sending(running) as stream:
        await stream.until("start")
        async with locked(config) as unlock:
            sending = [asyncio.create_task(client.send(others[0]))]
            await until(lambda: not taken_in._free)
            sending.append(asyncio.create_task(client.send(others[1])))
            await until(lambda: bool(taken_in._lines))
            path = f"/api/chat/sessions/{others[2]}/messages/stream"
            async with client.http.post(client.url(path), data=b"is not read") as refused:
                assert refused.status == 503
                assert int(refused.headers["Retry-After"]) >= 1
                assert (await refused.json())["code"] == "overloaded"
            gate.let()
            await stream.has("One")  # what is under way goes on
            gate.open()
            unlock()
            assert [(await each)["fullResponse"] for each in sending] == ["One two"] * 2
            await stream.until("done")
    assert await client.messages(others[2]) == []
    assert (await client.ask(others[2])).last["type"] == "done"


async def test_a_lock_for_longer_than_anybody_waits(
    client: Client, fake: FakeOllama, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOCKED", 0.3)
    fake.script = Script(answer("It ends meanwhile."), gate=(gate := Gate()))
    running, other = await client.new_session(), await client.new_session()
    async with client.sending(running) as stream:
        await stream.until("start")
        async with locked(config):
            path = f"/api/chat/sessions/{other}/messages"
            async with client.http.post(client.url(path), json={"message": "Hello"}) as refused:
                assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
                assert (await refused.json())["code"] == "overloaded"
            gate.open()
            end = await stream.until("error")
            assert (end["fullResponse"], end["retryable"]) == ("It ends meanwhile.", True)
            assert (await client.messages(running))[1]["status"] == "failed"
            assert await client.messages(other) == []
    await until(lambda: stored(config)[1] == ("assistant", "failed", "It ends meanwhile."))
    assert len(stored(config)) == 2


# -- a file that is no database


@pytest.mark.parametrize("content", [b"Dear diary,\n" * 1000, b"SQLite format 3\0" + bytes(range(256)) * 64])
async def test_a_file_that_is_no_database_stays_as_it_is(config: Config, content: bytes) -> None:
    config.database_path.write_bytes(content)
    with pytest.raises(StartError) as refusal:
        async with Server(create_app(config)):
            pass
    assert str(refusal.value).startswith(f"The file {config.database_path} is not a database")
    assert str(refusal.value).endswith("; name another file in DATABASE_URL.")
    assert config.database_path.read_bytes() == content
    assert sorted(path.name for path in config.database_path.parent.iterdir()) == ["chat.db", "chat.db.lock"]
