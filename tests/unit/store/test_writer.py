import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest
from disk import files_end_at
from waiting import PATIENCE, pause, until

import chatproxy.store.sqlite.writer
from chatproxy import clock
from chatproxy.errors import ChatError
from chatproxy.store.database import STEP, Connection, Lane, Unit
from chatproxy.store.sqlite.writer import BYTES_PER_COMMIT, UNITS_PER_COMMIT, SQLiteConnection, Writer

TABLES = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT UNIQUE, after TEXT
        REFERENCES word (text) DEFERRABLE INITIALLY DEFERRED);
    PRAGMA foreign_keys = ON;
"""


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(tmp_path / "w.db", isolation_level=None, timeout=0) as connection:
        await connection.executescript(TABLES)
        yield connection


@pytest.fixture
async def writer(connection: aiosqlite.Connection) -> AsyncIterator[Writer]:
    writer = Writer(connection)
    yield writer
    await writer.close()


@pytest.fixture
def other(connection: aiosqlite.Connection, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "w.db", isolation_level=None)) as other:
        yield other


def add(text: str, after: str | None = None) -> Unit[int]:
    async def unit(connection: Connection) -> int:
        insert = "INSERT INTO word (text, after) VALUES (:text, :after) RETURNING id"
        ((id,),) = await connection.fetch(insert, text=text, after=after)
        return int(id)

    return unit


def words(other: sqlite3.Connection) -> list[str]:
    return [text for (text,) in other.execute("SELECT text FROM word WHERE length(text) < 99 ORDER BY id")]


def codes(results: list[object]) -> list[object]:
    """Errors as their codes, the rest as it is."""
    return [result.code if isinstance(result, ChatError) else result for result in results]


async def together(*runs: object) -> list[object]:
    return await asyncio.gather(*runs, return_exceptions=True)  # type: ignore[call-overload,no-any-return]


async def test_answers_after_the_commit(writer: Writer, other: sqlite3.Connection) -> None:
    assert await writer.run(add("one")) == 1
    assert words(other) == ["one"]


async def test_commits_what_has_gathered(
    writer: Writer, connection: aiosqlite.Connection, other: sqlite3.Connection
) -> None:
    statements: list[str] = []
    await connection.set_trace_callback(statements.append)
    texts = [f"word {n:02}" for n in range(100)]
    assert await together(*(writer.run(add(text)) for text in texts)) == list(range(1, 101))
    assert words(other) == texts
    assert statements.count("COMMIT") <= 3


async def test_a_busy_event_loop_delays_a_commit_only_once(writer: Writer) -> None:
    async def many(connection: Connection) -> None:
        for number in range(200):
            await add(f"word {number}")(connection)

    commit = asyncio.create_task(writer.run(many))
    turns = 0
    while not commit.done():
        time.sleep(0.005)  # noqa: ASYNC251 - this is what makes it busy
        turns += 1
        await asyncio.sleep(0)
    assert turns < 50  # most of them while SQLite works, and none for a single statement


async def test_a_unit_may_not_wait(writer: Writer, other: sqlite3.Connection) -> None:
    async def patient(connection: Connection) -> None:
        await add("before")(connection)
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="nothing but SQL"):
        await writer.run(patient)
    assert await writer.run(add("after")) == 1
    assert words(other) == ["after"]


async def test_a_light_unit_waits_for_one_heavy_unit_at_most(writer: Writer) -> None:
    done: list[str] = []
    loop = asyncio.get_running_loop()

    def run_light() -> None:
        light.append(asyncio.create_task(writer.run(unit("light"))))

    def unit(name: str) -> Unit[None]:
        async def note(connection: Connection) -> None:
            done.append(name)
            if name == "heavy" and done.count("heavy") in {1, 10}:  # one comes while a heavy unit is at work
                loop.call_soon_threadsafe(
                    lambda: light.append(asyncio.create_task(writer.run(unit("light"))))
                )

        return note

    light: list[asyncio.Task[None]] = []
    await together(*(writer.run(unit("heavy"), size=STEP) for _ in range(100)))
    await together(*light)
    assert [place for place, name in enumerate(done) if name == "light"] == [1, 11]


async def test_a_commit_takes_a_bounded_number_of_units_and_heavy_ones_take_turns_with_light_ones(
    writer: Writer, connection: aiosqlite.Connection
) -> None:
    commits: list[list[str]] = [[]]

    def unit(name: str) -> Unit[None]:
        async def note(connection: Connection) -> None:
            commits[-1].append(name)

        return note

    def trace(statement: str) -> None:
        if statement == "COMMIT":
            commits.append([])

    await connection.set_trace_callback(trace)
    await together(
        *(writer.run(unit("heavy"), size=STEP) for _ in range(3)),
        *(writer.run(unit("light")) for _ in range(UNITS_PER_COMMIT * 2 + 1)),
    )
    lights = ["light"] * UNITS_PER_COMMIT
    assert commits == [lights, ["heavy"], lights, ["heavy"], ["light"], ["heavy"], []]


async def test_a_commit_ends_at_a_mebibyte(writer: Writer, connection: aiosqlite.Connection) -> None:
    statements: list[str] = []
    await connection.set_trace_callback(statements.append)
    await together(*(writer.run(add(f"word {n}"), size=BYTES_PER_COMMIT // 4) for n in range(20)))
    assert statements.count("COMMIT") == 5


async def test_what_somebody_waits_for_comes_before_the_steps_of_long_work(writer: Writer) -> None:
    done: list[Lane] = []

    def unit(lane: Lane) -> Unit[None]:
        async def note(connection: Connection) -> None:
            done.append(lane)

        return note

    many = [lane for lane in (Lane.STEPS, Lane.REQUESTS) for _ in range(50)] + [Lane.ENDINGS] * 2
    await together(*(writer.run(unit(lane), size=STEP, lane=lane) for lane in many))
    assert [place for place, lane in enumerate(done) if lane is Lane.ENDINGS] == [0, 3]
    assert done[4:102:2] == [Lane.REQUESTS] * 49 or done[4:102:2] == [Lane.STEPS] * 49


async def test_a_unit_that_fails_takes_only_its_own_changes_along(
    writer: Writer, other: sqlite3.Connection
) -> None:
    async def half(connection: Connection) -> None:
        await add("half")(connection)
        raise ValueError("changed its mind")

    results = await together(writer.run(add("one")), writer.run(half), writer.run(add("two")))
    assert [str(result) for result in results] == ["1", "changed its mind", "2"]
    assert words(other) == ["one", "two"]


async def test_a_caller_who_is_cancelled_leaves_the_unit_to_go_on(
    writer: Writer, other: sqlite3.Connection
) -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def slow(connection: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(PATIENCE)
        await add("slow")(connection)

    async def failing(connection: Connection) -> None:
        raise ValueError("nobody asks any more")

    callers = [asyncio.create_task(writer.run(unit)) for unit in (slow, failing)]
    await begun.wait()
    for caller in callers:
        caller.cancel()
    neighbour = asyncio.create_task(writer.run(add("next")))
    await asyncio.wait(callers)
    go.set()
    await neighbour
    assert [caller.cancelled() for caller in callers] == [True, True]
    assert words(other) == ["slow", "next"]


async def test_a_commit_that_fails_fails_only_the_unit_to_blame(
    writer: Writer, other: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    results = await together(
        writer.run(add("one")), writer.run(add("two", after="nothing")), writer.run(add("three", after="one"))
    )
    assert codes(results) == [1, "internal", 2]
    assert words(other) == ["one", "three"]
    assert [record.message for record in caplog.records] == ["the database failed"]


async def test_a_transaction_that_is_given_up_is_tried_again_without_the_unit_to_blame(
    writer: Writer, other: sqlite3.Connection
) -> None:
    async def lose(connection: Connection) -> None:
        assert isinstance(connection, SQLiteConnection)
        await add("lost")(connection)
        connection.raw.rollback()  # as SQLite does by itself on some errors
        raise sqlite3.OperationalError("gave up")

    results = await together(writer.run(add("one")), writer.run(lose), writer.run(add("two")))
    assert codes(results) == [1, "internal", 2]
    assert words(other) == ["one", "two"]


async def test_nobody_is_told_of_success_when_the_transaction_was_lost_unnoticed(
    writer: Writer, other: sqlite3.Connection
) -> None:
    async def lose(connection: Connection) -> None:
        assert isinstance(connection, SQLiteConnection)
        await add("lost")(connection)
        connection.raw.rollback()

    results = await together(writer.run(add("one")), writer.run(lose))
    assert codes(results) == [1, "internal"]
    assert words(other) == ["one"]


async def test_a_full_database(
    writer: Writer, connection: aiosqlite.Connection, other: sqlite3.Connection
) -> None:
    ((pages,),) = await connection.execute_fetchall("PRAGMA page_count")
    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages + 2}")
    results = await together(writer.run(add("one")), writer.run(add("x" * 1_000_000)), writer.run(add("two")))
    assert codes(results) == [1, "storage_full", 2]
    assert words(other) == ["one", "two"]
    await connection.execute_fetchall("PRAGMA max_page_count = 1000000")
    assert await writer.run(add("x" * 1_000_000)) == 3


async def test_a_full_disk(writer: Writer, other: sqlite3.Connection, tmp_path: Path) -> None:
    await writer.run(add("before"))
    with files_end_at((tmp_path / "w.db-wal").stat().st_size + 100_000):
        results = await together(
            writer.run(add("one")), writer.run(add("x" * 1_000_000)), writer.run(add("two"))
        )
    assert codes(results) == [2, "storage_full", 3]
    assert await writer.run(add("after")) == 4
    assert words(other) == ["before", "one", "two", "after"]


async def test_a_disk_without_room_for_anything(
    writer: Writer, other: sqlite3.Connection, tmp_path: Path
) -> None:
    await writer.run(add("before"))
    with files_end_at((tmp_path / "w.db-wal").stat().st_size):
        results = await together(*(writer.run(add(text)) for text in ("one", "two")))
    assert codes(results) == ["storage_full", "storage_full"]
    assert words(other) == ["before"]
    await writer.run(add("after"))
    assert words(other) == ["before", "after"]


async def test_a_database_that_is_locked(
    writer: Writer, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chatproxy.store.sqlite.writer, "LOCKED", 0.0)
    other.execute("BEGIN IMMEDIATE")
    results = await together(*(writer.run(add(text)) for text in ("one", "two")))
    other.execute("ROLLBACK")
    assert codes(results) == ["overloaded", "overloaded"]
    assert isinstance(results[0], ChatError)
    assert results[0].retry_after == 1
    assert await writer.run(add("three")) == 1


@pytest.mark.slow
async def test_a_unit_waits_from_when_it_was_handed_in(
    writer: Writer,
    connection: aiosqlite.Connection,
    other: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not from when the one before it has waited."""
    monkeypatch.setattr(clock, "STEP", 2.0)  # nothing else reads it here
    monkeypatch.setattr(chatproxy.store.sqlite.writer, "LOCKED", 2.0)
    statements: list[str] = []
    await connection.set_trace_callback(statements.append)
    other.execute("BEGIN IMMEDIATE")
    first = asyncio.create_task(writer.run(add("one")))
    await until(lambda: any("BEGIN" in said for said in statements))
    assert codes(await together(first, writer.run(add("two")))) == ["overloaded", "overloaded"]
    other.execute("ROLLBACK")
    waits = [int(said.strip(";").rpartition("= ")[2]) for said in statements if "busy_timeout" in said]
    assert len(waits) == 2
    assert waits[1] < 1000 < waits[0]  # milliseconds


async def test_a_pause_of_the_process_shortens_no_wait(
    writer: Writer, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chatproxy.store.sqlite.writer, "LOCKED", 0.5)
    monkeypatch.setattr(clock, "STEP", 0.01)
    other.execute("BEGIN IMMEDIATE")
    unit = asyncio.create_task(writer.run(add("one")))
    await asyncio.sleep(0)  # it is handed in, but not begun
    pause(0.6)
    asyncio.get_running_loop().call_later(0.1, other.execute, "ROLLBACK")
    assert await unit == 1


async def test_a_database_that_has_become_read_only(writer: Writer, connection: aiosqlite.Connection) -> None:
    await connection.execute("PRAGMA query_only = true")
    with pytest.raises(ChatError, match="read-only") as caught:
        await writer.run(add("one"))
    assert caught.value.code == "storage_full"


async def test_closing_commits_what_was_asked_for(connection: aiosqlite.Connection) -> None:
    writer = Writer(connection)
    calls = [asyncio.create_task(writer.run(add(text))) for text in ("one", "two")]
    await asyncio.sleep(0)  # they have asked
    await writer.close()
    assert [call.done() for call in calls] == [True, True]
    assert await together(*calls) == [1, 2]
    with pytest.raises(ChatError) as caught:
        await writer.run(add("three"))
    assert caught.value.code == "shutting_down"


async def test_closing_without_work(connection: aiosqlite.Connection) -> None:
    await Writer(connection).close()
