"""The SQLite database: the file, a fast and a slow lane for reads, and one writer that commits.

Reads of the fast lane share one connection, so each must be short: single rows and pages found by an index.
Searches take the slow lane, and so do exports, a document's text that is to be indexed, and images. Each read
has a connection to itself there, a deadline, and ends with its caller. The queries are in the repositories
beside this module.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import aiosqlite
import msgspec

from chatproxy.errors import ChatError, StartError
from chatproxy.fair import FairSlots
from chatproxy.store import file
from chatproxy.store.migrations import migrate
from chatproxy.store.writer import (
    STEP,
    Connection,
    Lane,
    Unit,
    Writer,
    in_thread,
    notice_damage,
    run_unit,
    size_of,
    translate_errors,
)

MAX_ID: Final = 2**63 - 1  # SQLite's largest integer
SLOW_READS: Final = 2  # at once; a user has one of them at most
SLOW_READ_TIMEOUT: Final = 1.0  # seconds
WAITING_READS: Final = 1024  # for the slow lane
WAITING_READS_PER_USER: Final = 256  # all people together, where users are not told apart

Row = sqlite3.Row
T = TypeVar("T")


class Database:
    """An open database. Reads and writes raise SQLite's errors as ChatErrors."""

    def __init__(
        self,
        path: Path,
        reader: aiosqlite.Connection,
        slow_lane: "_SlowLane",
        writer: Writer,
        resources: AsyncExitStack,
    ) -> None:
        self.path = path
        self._reader = reader
        self._slow_lane = slow_lane
        self._writer = writer
        self._resources = resources

    @classmethod
    async def open(
        cls,
        path: Path,
        reconcile: Sequence[Unit[bool]] = (),
        committed: Callable[[float], None] = lambda seconds: None,
    ) -> Self:
        """Open the file at `path`; create it, and its folder, if they do not exist.

        The units of `reconcile` clean up what a crash left behind, before anything is read; each runs again,
        in a transaction of its own, for as long as it returns True. `committed` is called with the seconds
        that each commit took. Raises StartError, and leaves the file as it was, if it belongs to another
        program.
        """
        async with AsyncExitStack() as resources:
            path = resources.enter_context(file.claimed(path))
            try:
                connection = await resources.enter_async_context(_connection(path, "rwc"))
                await _prepare(connection, reconcile)
                reader, *slow = [
                    await resources.enter_async_context(_connection(path, "ro"))
                    for _ in range(1 + SLOW_READS)
                ]
            except sqlite3.Error as error:
                raise StartError(
                    f"The database {path} cannot be used ({error}); see to that, or {file.ELSEWHERE}."
                ) from error
            writer = Writer(connection, committed)
            resources.push_async_callback(writer.close)
            return cls(path, reader, _SlowLane(slow), writer, resources.pop_all())

    async def close(self) -> None:
        """Commit all pending units, and close the file."""
        await self._resources.aclose()

    async def ping(self) -> None:
        """Raise ChatError unless the file can be read: the newest rows, and the indexes that lead to them."""
        await self.fetch(
            "SELECT (SELECT max(activity) FROM session WHERE owner = last.owner), last.title, status FROM"
            " (SELECT owner, title, key FROM session ORDER BY key DESC LIMIT 1) AS last"
            " LEFT JOIN message ON message.id = (SELECT max(id) FROM message WHERE session = last.key)"
        )

    def reader(self) -> AbstractAsyncContextManager[aiosqlite.Connection]:
        """Open another connection that only reads, for the time of a block."""
        return _connection(self.path, "ro")

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query, as of the last commit."""
        with translate_errors():
            return await fetch(self._reader, sql, **arguments)

    async def fetch_slow(self, sql: str, *, owner: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query that may take long. It ends with its caller.

        Owners take turns; the owner is an argument of the query, too. Raises `overloaded` if it takes too
        long, or if too many wait.
        """
        with translate_errors():
            return await self._slow_lane.fetch(sql, owner=owner, **arguments)

    async def search(self, sql: str, *, owner: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query of the index, as `fetch_slow` does. Raises DamagedError, too."""
        with translate_errors(), notice_damage():
            return await self._slow_lane.fetch(sql, owner=owner, **arguments)

    async def write(self, sql: str, **arguments: object) -> Sequence[Row]:
        """Run one statement as a unit of its own and return its rows, once committed."""
        size = size_of(*arguments.values())
        return await self.run(lambda connection: fetch(connection, sql, **arguments), size=size)

    async def run(self, unit: Unit[T], *, size: int = 0, lane: Lane = Lane.REQUESTS) -> T:
        """Run a unit of work and return its result, once committed; see `Writer.run`."""
        return await self._writer.run(unit, size=size, lane=lane)

    async def step(self, unit: Unit[T]) -> T:
        """Run one of the units that long work is cut into."""
        return await self.run(unit, size=STEP, lane=Lane.STEPS)

    async def steps(self, unit: Unit[bool]) -> None:
        """Run a step again for as long as it returns True."""
        while await self.step(unit):
            pass


class _SlowLane:
    """Connections for reads that may take long, shared among owners."""

    def __init__(self, connections: Iterable[aiosqlite.Connection]) -> None:
        self._idle: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for connection in connections:
            self._idle.put_nowait(connection)
        self._slots = FairSlots(
            self._idle.qsize(),
            WAITING_READS,
            slots_per_user=1,
            places_per_user=WAITING_READS_PER_USER,
            refusal=_too_many_reads,
        )

    async def fetch(self, sql: str, *, owner: str, **arguments: object) -> Sequence[Row]:
        """Return the rows. Interrupt the query at its deadline, and if the caller is cancelled."""
        async with self._slots.slot(owner):
            connection = await self._idle.get()
            query = asyncio.create_task(fetch(connection, sql, owner=owner, **arguments))
            query.add_done_callback(partial(self._take_back, connection))
            try:
                await asyncio.wait({query}, timeout=SLOW_READ_TIMEOUT)
            finally:
                while not query.done():
                    # Repeated, because it does nothing before the query has begun in its thread.
                    await connection.interrupt()
                    await asyncio.wait({query}, timeout=0.01)
            return query.result()

    def _take_back(self, connection: aiosqlite.Connection, query: asyncio.Task[Sequence[Row]]) -> None:
        """Let the next query have the connection, which no interrupt for this one can reach any more."""
        self._idle.put_nowait(connection)
        if not query.cancelled():
            query.exception()  # mark as retrieved: the caller may have left


def _too_many_reads() -> ChatError:
    return ChatError(
        "overloaded", "Too many searches and exports are waiting; try again in a moment.", retry_after=1
    )


@asynccontextmanager
async def _connection(path: Path, mode: str) -> AsyncIterator[aiosqlite.Connection]:
    address = f"{path.as_uri()}?mode={mode}"
    async with aiosqlite.connect(address, uri=True, isolation_level=None, timeout=5) as connection:
        connection.row_factory = Row
        yield connection


async def _prepare(connection: aiosqlite.Connection, reconcile: Sequence[Unit[bool]]) -> None:
    # Without `fullfsync`, which others ignore, macOS leaves in the disk's cache what was committed.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "foreign_keys = ON"):
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    await migrate(connection)
    # What a statement may have to undo would otherwise be a file, opened and deleted with each send.
    await connection.execute_fetchall("PRAGMA temp_store = MEMORY")
    for unit in reconcile:
        more = True
        while more:
            await connection.execute("BEGIN IMMEDIATE")
            more = await in_thread(connection, partial(run_unit, unit))
            await connection.commit()


# -- for the repositories


async def fetch(
    connection: aiosqlite.Connection | Connection, sql: str, **arguments: object
) -> Sequence[Row]:
    """Run a query and return all rows.

    There are none if an argument is an integer too large for SQLite: no row has such an id.
    """
    try:
        return list(await connection.execute_fetchall(sql, arguments))
    except OverflowError:
        return []


def one_row(rows: Sequence[Row], what: str) -> Row:
    """Return the row that was asked for; raise `not_found` if there is none.

    `what` continues "There is no": the thing, its id, and what to do instead.
    """
    if not rows:
        raise ChatError("not_found", f"There is no {what}.")
    return rows[0]


def split_page(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], int | None]:
    """Split `limit + 1` rows into a page and the id to continue from, None on the last page."""
    shown = rows[:limit]
    return shown, shown[-1]["id"] if len(rows) > limit else None


def now(later: timedelta = timedelta()) -> str:
    """Return the time, `later` than now, as the HTTP API has it: ISO 8601, UTC, milliseconds, `Z`."""
    return (datetime.now(UTC) + later).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(value: object) -> str | None:
    """Return a value as JSON for a column; None, which becomes NULL, for None."""
    return None if value is None else msgspec.json.encode(value).decode()


def phrase(text: str) -> str:
    """Quote text for FTS5, so that nothing in it is query syntax. SQLite stops reading at NUL."""
    return '"{}"'.format(text.replace("\0", "\ufffd").replace('"', '""'))
