"""Several replicas on one database: any of them serves, resumes and cancels any answer."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import aiohttp
import asyncpg
import postgres
import pytest
from chat_client import Client, Server, Start, Stream
from fake_ollama import FakeOllama, Gate, Script, answer, greet
from held_back import WORDS, in_the_middle
from waiting import until

from chatproxy import Config, create_app
from chatproxy.cluster.replica import Replica
from chatproxy.errors import ChatError
from chatproxy.store.postgres.database import PostgresDatabase
from chatproxy.store.records import NewTurn
from chatproxy.store.store import Store
from chatproxy.web.keys import PEERS, STORE

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def servers(start: Start, config: Config) -> list[Server]:
    return [await start(create_app(config)) for _ in range(2)]


@pytest.fixture
async def replicas(servers: list[Server]) -> list[Client]:
    return [server.client for server in servers]


async def test_another_replica_serves_an_answer_as_it_grows(replicas: list[Client], fake: FakeOllama) -> None:
    one, other = replicas
    session = await one.new_session()
    async with (
        in_the_middle(one, fake, session) as (stream, gate),
        other.resuming(session, stream.answer_id) as copy,
    ):
        await copy.has("One two")
        gate.let()
        await copy.has("One two three")
        gate.open()
        await stream.rest()
        await copy.rest()
    assert copy.last == stream.last
    assert copy.text() == stream.text() == WORDS


async def test_a_cursor_of_one_replica_is_good_at_another(replicas: list[Client], fake: FakeOllama) -> None:
    one, other = replicas
    session = await one.new_session()
    async with (
        in_the_middle(one, fake, session) as (stream, gate),
        other.resuming(session, stream.answer_id, stream.cursor) as copy,
    ):
        gate.open()
        await copy.rest()
        await stream.rest()
    assert copy.text() == " three four"
    assert "reset" not in copy.events[0]


async def test_a_reader_who_is_ahead_of_another_replica_is_not_sent_back(
    replicas: list[Client], fake: FakeOllama
) -> None:
    one, other = replicas
    words = [f"word{number}" for number in range(20)]
    fake.script = Script(answer(" ".join(words)), gate=(gate := Gate()))
    session = await one.new_session()
    async with one.sending(session) as stream, AsyncExitStack() as stack:
        for number in range(1, len(words)):
            gate.let()
            await stream.has(" ".join(words[:number]))
            copy = await stack.enter_async_context(other.resuming(session, stream.answer_id, stream.cursor))
            assert "reset" not in (await copy.until("start"))
        gate.open()
        await stream.rest()
        await copy.rest()
    assert copy.last == stream.last


async def test_another_replica_cancels_an_answer(replicas: list[Client], fake: FakeOllama) -> None:
    one, other = replicas
    session = await one.new_session()
    async with in_the_middle(one, fake, session) as (stream, _):
        message = await other.cancel(session, stream.answer_id)
        await stream.rest()
    assert (message["status"], message["content"]) == ("cancelled", "One two")
    assert stream.last["finishReason"] == "cancelled"
    chat = await fake.arrived()
    await asyncio.wait_for(chat.closed.wait(), 5)


async def test_another_replica_knows_that_a_session_is_busy(replicas: list[Client], fake: FakeOllama) -> None:
    one, other = replicas
    session = await one.new_session()
    async with in_the_middle(one, fake, session) as (stream, gate):
        busy = await other.refused(session, 409, json={"message": "Hi"})
        assert (busy["code"], busy["activeMessageId"]) == ("session_busy", stream.answer_id)
        assert (await other.session(session))["activeMessageId"] == stream.answer_id
        (listed,) = (await other.call("GET", "/api/chat/sessions"))["sessions"]
        assert listed["activeMessageId"] == stream.answer_id
        message = f"/api/chat/sessions/{session}/messages/{stream.answer_id}"
        await other.call("DELETE", message, status=409)
        gate.open()
        await stream.rest()
    assert (await other.session(session))["activeMessageId"] is None


async def test_another_replica_deletes_a_session(replicas: list[Client], fake: FakeOllama) -> None:
    one, other = replicas
    session = await one.new_session()
    async with in_the_middle(one, fake, session) as (stream, _):
        await other.call("DELETE", f"/api/chat/sessions/{session}", status=204)
        await stream.rest()
    assert stream.last["finishReason"] == "cancelled"
    await one.call("GET", f"/api/chat/sessions/{session}", status=404)


async def test_messages_with_one_id_at_once_are_one(replicas: list[Client], fake: FakeOllama) -> None:
    fake.script = greet
    session = await replicas[0].new_session()
    streams = await asyncio.gather(
        *[replicas[n % 2].ask(session, "Hello", clientMessageId="same") for n in range(20)]
    )
    assert len({stream.answer_id for stream in streams}) == 1
    assert len({str(stream.last) for stream in streams}) == 1
    assert len(fake.requests) == 1


async def test_messages_at_once_are_answered_one_by_one(replicas: list[Client], fake: FakeOllama) -> None:
    fake.script = Script(answer(WORDS), gate=(gate := Gate()))
    session = await replicas[0].new_session()
    path = f"/api/chat/sessions/{session}/messages"
    sends = [
        asyncio.create_task(replica.call("POST", path, json={"message": "Hi"}, status=409))
        for replica in replicas
    ]
    (refused,), (begun,) = await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
    assert refused.result()["code"] == "session_busy"
    gate.open()
    with pytest.raises(AssertionError, match="200"):
        await begun
    assert len(fake.requests) == 1


def database(server: Server) -> PostgresDatabase:
    found = server.app[STORE].database
    assert isinstance(found, PostgresDatabase)
    return found


async def stored(client: Client, session: str) -> Any:
    """Return the answer, which is the last message."""
    return (await client.messages(session))[-1]


# -- who lives


async def test_an_owner_that_stops_ends_its_answers_everywhere(
    servers: list[Server], replicas: list[Client], fake: FakeOllama
) -> None:
    one, other = replicas
    session = await one.new_session()
    async with (
        in_the_middle(one, fake, session) as (stream, _),
        other.resuming(session, stream.answer_id) as copy,
    ):
        await copy.has("One two")
        await servers[0].stop()
        await copy.rest()
    assert (copy.last["type"], copy.last["code"], copy.text()) == ("error", "shutting_down", "One two")
    assert (await stored(other, session))["status"] == "interrupted"


async def test_a_replica_that_stops_cuts_off_those_who_read_anothers_answer(
    servers: list[Server], replicas: list[Client], fake: FakeOllama
) -> None:
    one, other = replicas
    session = await one.new_session()
    async with in_the_middle(one, fake, session) as (stream, gate):
        async with other.resuming(session, stream.answer_id) as copy:
            await copy.has("One two")
            await servers[1].stop()
            with suppress(aiohttp.ClientError):
                await copy.rest()
            assert copy.last["type"] not in {"done", "error"}
        gate.open()
        async with one.resuming(session, stream.answer_id, copy.cursor) as again:
            await again.rest()
            await stream.rest()
    assert again.text() == " three four"
    assert again.last == stream.last


async def test_one_who_was_taken_for_dead_begins_again(
    servers: list[Server], replicas: list[Client], fake: FakeOllama
) -> None:
    one, other = replicas
    session = await one.new_session()
    async with in_the_middle(one, fake, session) as (stream, gate):
        async with other.resuming(session, stream.answer_id) as copy:
            await copy.has("One two")
            dead = database(servers[0])
            await dead.write("DELETE FROM replica WHERE id = :id", id=dead.replica)
            await copy.rest()
        gate.open()
        await stream.rest()
    for each in (stream, copy):
        assert (each.last["type"], each.last["code"]) == ("error", "interrupted")
        assert each.text() == each.last["fullResponse"] == "One two"
    fake.script = greet
    await until(lambda: _lives(database(servers[0])))
    for client in replicas:
        assert (await client.ask(session)).last["type"] == "done"


async def _lives(database: PostgresDatabase) -> bool:
    return bool(await database.fetch("SELECT 1 FROM replica WHERE id = :id", id=database.replica))


# -- losses


async def test_connections_that_break_lose_nothing(
    servers: list[Server], replicas: list[Client], fake: FakeOllama, postgres_server: postgres.Server
) -> None:
    one, other = replicas
    session = await one.new_session()
    words = " ".join([f"word{number}" for number in range(60)])
    fake.script = Script(answer(words), gate=(gate := Gate()))
    gate.let()
    async with one.sending(session) as stream:
        await stream.has("word0")
        async with other.resuming(session, stream.answer_id) as copy:
            for number in range(60):
                if number % 15 == 7:
                    name = database(servers[0])._url.rpartition("/")[2].partition("?")[0]
                    postgres_server.psql(
                        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                    )
                gate.let()
                await asyncio.sleep(0.01)
            await stream.rest()
            await copy.rest()
    assert stream.last["type"] == "done"
    assert copy.last == stream.last
    assert copy.text() == stream.text() == words


# -- who reads


async def test_a_reader_at_another_replica_keeps_an_answer_going(
    start: Start, config: Config, fake: FakeOllama
) -> None:
    patient = replace(config, disconnect_grace_seconds=0.0)
    one, other = [(await start(create_app(patient))).client for _ in range(2)]
    session = await one.new_session()
    async with (
        in_the_middle(one, fake, session) as (stream, gate),
        other.resuming(session, stream.answer_id) as copy,
    ):
        await copy.has("One two")
        stream.response.close()
        await asyncio.sleep(2)  # more than a sender has until it begins to read
        gate.let()
        await copy.has("One two three")
        copy.response.close()
    await until(lambda: _has_status(one, session, "cancelled"))
    assert (await stored(other, session))["content"] == "One two three"


async def _has_status(client: Client, session: str, status: str) -> bool:
    return bool((await stored(client, session))["status"] == status)


async def test_messages_show_the_text_of_an_answer_that_nobody_reads_there(
    replicas: list[Client], fake: FakeOllama
) -> None:
    one, other = replicas
    session = await one.new_session()
    async with in_the_middle(one, fake, session) as (stream, gate):

        async def shows() -> bool:
            answer = await stored(other, session)
            return (answer["status"], answer["content"], answer["cursor"]) == ("streaming", "One two", "0.7")

        await until(shows)
        gate.open()
        await stream.rest()


# -- the line


async def test_the_line_is_one(start: Start, config: Config, fake: FakeOllama) -> None:
    narrow = replace(config, max_concurrent_generations=1, max_queued_generations=2)
    one, other = [(await start(create_app(narrow))).client for _ in range(2)]
    sessions = [await one.new_session() for _ in range(4)]
    async with AsyncExitStack() as stack:
        first, gate = await stack.enter_async_context(in_the_middle(one, fake, sessions[0]))
        fake.script = greet
        waiting = [
            await stack.enter_async_context(client.sending(session))
            for client, session in zip((other, one), sessions[1:], strict=False)
        ]
        for position, stream in enumerate(waiting, start=1):
            status = await stream.until("status")
            assert (status["state"], status["position"]) == ("queued", position)
        refused = await other.refused(sessions[3], 503, json={"message": "Hi"})
        assert refused["code"] == "overloaded"
        gate.open()
        for stream in (first, *waiting):
            await stream.rest()
            assert stream.last["type"] == "done"
    positions = [event["position"] for event in waiting[1].events if "position" in event]
    assert positions == sorted(positions, reverse=True)


# -- a COMMIT whose answer is lost


@pytest.fixture
def lose_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Break the connection right after the next COMMIT that follows such a statement."""
    begun: dict[asyncpg.Connection, str] = {}
    wanted: list[str] = []
    fetch, execute = asyncpg.Connection.fetch, asyncpg.Connection.execute
    executemany = asyncpg.Connection.executemany

    async def fetching(self: asyncpg.Connection, sql: str, *arguments: Any, **more: Any) -> Any:
        begun[self] = begun.get(self, "") + sql
        return await fetch(self, sql, *arguments, **more)

    async def executing_many(self: asyncpg.Connection, sql: str, *arguments: Any, **more: Any) -> Any:
        begun[self] = begun.get(self, "") + sql
        return await executemany(self, sql, *arguments, **more)

    async def executing(self: asyncpg.Connection, sql: str, *arguments: Any, **more: Any) -> Any:
        begun[self] = sql if sql == "BEGIN" else begun.get(self, "") + sql
        result = await execute(self, sql, *arguments, **more)
        if sql == "COMMIT" and wanted and wanted[0] in begun[self]:
            wanted.clear()
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return result

    monkeypatch.setattr(asyncpg.Connection, "fetch", fetching)
    monkeypatch.setattr(asyncpg.Connection, "execute", executing)
    monkeypatch.setattr(asyncpg.Connection, "executemany", executing_many)
    return wanted.append


async def test_an_answer_whose_begin_was_lost_leaves_no_session_busy(
    replicas: list[Client], fake: FakeOllama, lose_commit: Callable[[str], None]
) -> None:
    one, other = replicas
    session = await one.new_session()
    lose_commit("INSERT INTO message")
    refused = await one.refused(session, 507, json={"message": "Hi", "clientMessageId": "c"})
    assert refused["code"] == "storage_full"
    await until(lambda: _has_status(other, session, "interrupted"))
    fake.script = greet
    for client in replicas:
        assert (await client.ask(session)).last["type"] == "done"
    again = await one.ask(session, "Hi", clientMessageId="c")
    assert again.last["code"] == "interrupted"


async def test_a_checkpoint_that_was_lost_is_not_stored_twice(
    replicas: list[Client], fake: FakeOllama, lose_commit: Callable[[str], None]
) -> None:
    one, other = replicas
    session = await one.new_session()
    lose_commit("INTO piece")
    async with in_the_middle(one, fake, session) as (stream, gate):
        await until(lambda: _shows(other, session, "One two"))
        gate.let()
        await stream.has("One two three")
        await until(lambda: _shows(other, session, "One two three"))


async def _shows(client: Client, session: str, text: str) -> bool:
    content = (await stored(client, session))["content"]
    assert text.startswith(content)
    return bool(content == text)


def held_at_the_session(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold each send after it has read its session; return what tells of it, and what lets it go on."""
    sessions = server.app[STORE].sessions
    is_open, goes_on = asyncio.Event(), asyncio.Event()

    async def opening(*arguments: Any) -> Any:
        opened = await type(sessions).open(sessions, *arguments)
        is_open.set()
        await goes_on.wait()
        return opened

    monkeypatch.setattr(sessions, "open", opening)
    return is_open, goes_on


async def test_a_message_begun_elsewhere_while_it_is_checked_is_not_refused(
    servers: list[Server], replicas: list[Client], fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replicas
    session = await one.new_session()
    is_open, goes_on = held_at_the_session(servers[1], monkeypatch)
    fake.script = greet
    second = asyncio.create_task(other.ask(session, "Hi", clientMessageId="c"))
    await is_open.wait()
    async with in_the_middle(one, fake, session, message="Hi", clientMessageId="c") as (stream, gate):
        goes_on.set()
        await asyncio.sleep(0.5)
        gate.open()
        await stream.rest()
    assert (await second).last == stream.last
    assert len(fake.requests) == 1


async def test_who_comes_while_a_copy_is_not_up_to_date_is_sent_nothing_again(
    servers: list[Server], replicas: list[Client], fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replicas
    session = await one.new_session()
    fake.script = Script(answer(WORDS), gate=(gate := Gate()))
    peers = servers[1].app[PEERS]
    assert isinstance(peers, Replica)
    sends, held = peers.send, []
    monkeypatch.setattr(peers, "send", lambda *arguments, **more: held.append((arguments, more)))
    async with one.sending(session) as stream:
        gate.let(2)
        await stream.has("One two")
        copies = [
            asyncio.create_task(_resumed(other, session, stream.answer_id, stream.cursor)) for _ in range(3)
        ]
        await until(lambda: bool(held))
        late = asyncio.create_task(_resumed(other, session, stream.answer_id, stream.cursor))
        await asyncio.sleep(0.2)
        monkeypatch.undo()
        for arguments, more in held:
            sends(*arguments, **more)
        gate.open()
        await stream.rest()
    for copy in (*copies, late):
        assert "reset" not in (await copy).events[0]
        assert (await copy).text() == " three four"


async def _resumed(client: Client, session: str, answer_id: int, cursor: str) -> Stream:
    async with client.resuming(session, answer_id, cursor) as stream:
        await stream.rest()
    return stream


async def test_a_message_whose_session_is_deleted_elsewhere_does_not_wait_for_ever(
    start: Start, config: Config, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = [await start(create_app(replace(config, heartbeat_seconds=1.0))) for _ in range(2)]
    one, other = [server.client for server in servers]
    session = await one.new_session()
    peers = servers[1].app[PEERS]
    assert isinstance(peers, Replica)
    is_open, goes_on = held_at_the_session(servers[1], monkeypatch)
    sends = peers.send

    def sending(address: int, line: str, *, urgent: bool = False) -> None:
        if not line.startswith("follow"):
            sends(address, line, urgent=urgent)

    monkeypatch.setattr(peers, "send", sending)
    path = f"/api/chat/sessions/{session}/messages"
    body = {"message": "Hi", "clientMessageId": "c"}
    second = asyncio.create_task(other.call("POST", path, json=body, status=404))
    await is_open.wait()
    async with in_the_middle(one, fake, session, **body):
        goes_on.set()
        await until(lambda: peers.followed == 1)
        await one.call("DELETE", f"/api/chat/sessions/{session}", status=204)
        async with asyncio.timeout(10):
            assert (await second)["code"] == "not_found"


async def test_what_is_left_is_ended_though_the_database_fails_at_first(
    servers: list[Server], replicas: list[Client], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await replicas[0].new_session()
    left = await Store.open(str(config.database))
    await until(lambda: _sees(servers, 3))
    record = await left.sessions.get("", session)
    await left.messages.begin(record, NewTurn(content="Hi"))
    failed = asyncio.Event()

    async def failing(*_: object) -> None:
        monkeypatch.undo()
        failed.set()
        raise ChatError("storage_full", "The database cannot be reached.")

    await servers[1].stop()
    monkeypatch.setattr(database(servers[0]).replicas, "end_all", failing)
    await left.close()
    await failed.wait()
    await until(lambda: _has_status(replicas[0], session, "interrupted"), 5)


def _sees(servers: list[Server], number: int) -> bool:
    return all(server.app[PEERS].replicas == number for server in servers)
