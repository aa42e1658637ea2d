"""The SQLite database: the file, a fast and a slow lane for reads, and one writer that commits.

Reads of the fast lane share one connection, so each must be short: single rows and pages found by an index.
Searches take the slow lane, and so do exports, a document's text that is to be indexed, and images. Each read
has a connection to itself there, a deadline, and ends with its caller.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import aiosqlite

from chatproxy.errors import StartError
from chatproxy.store.database import PING, SLOW_READS, Lane, Row, Unit, Units, slow_reads
from chatproxy.store.sqlite import file
from chatproxy.store.sqlite.migrations import migrate
from chatproxy.store.sqlite.words import FTS5
from chatproxy.store.sqlite.writer import Writer, in_thread, notice_damage, run_unit, translate_errors

SLOW_READ_TIMEOUT: Final = 1.0  # seconds

T = TypeVar("T")


class SQLiteDatabase(Units):
    """A `Database` in a file."""

    replica: Final = None  # the file is claimed

    def __init__(
        self,
        path: Path,
        reader: aiosqlite.Connection,
        slow_lane: "_SlowLane",
        writer: Writer,
        resources: AsyncExitStack,
    ) -> None:
        self.path = path
        self.index = FTS5(path)
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
        """See `Database`."""
        await self.fetch(PING)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator["SQLiteReader"]:
        """See `Database`."""
        async with _connection(self.path, "ro") as connection:
            yield SQLiteReader(connection)

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        """See `Database`."""
        with translate_errors():
            return await fetch(self._reader, sql, **arguments)

    async def fetch_slow(self, sql: str, *, owner: str, **arguments: object) -> Sequence[Row]:
        """See `Database`."""
        with translate_errors():
            return await self._slow_lane.fetch(sql, owner=owner, **arguments)

    async def search(self, sql: str, *, owner: str, **arguments: object) -> Sequence[Row]:
        """See `Database`."""
        with translate_errors(), notice_damage():
            return await self._slow_lane.fetch(sql, owner=owner, **arguments)

    async def run(self, unit: Unit[T], *, size: int = 0, lane: Lane = Lane.REQUESTS) -> T:
        """Run a unit of work and return its result, once committed; see `Writer.run`."""
        return await self._writer.run(unit, size=size, lane=lane)


class SQLiteReader:
    """A connection that only reads."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def run(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, in SQLite's thread. Raises SQLite's errors as ChatErrors."""
        with translate_errors():
            return await in_thread(self._connection, partial(run_unit, unit))


class _SlowLane:
    """Connections for reads that may take long, shared among owners."""

    def __init__(self, connections: Iterable[aiosqlite.Connection]) -> None:
        self._idle: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for connection in connections:
            self._idle.put_nowait(connection)
        self._slots = slow_reads()

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


@asynccontextmanager
async def _connection(path: Path, mode: str) -> AsyncIterator[aiosqlite.Connection]:
    address = f"{path.as_uri()}?mode={mode}"
    async with aiosqlite.connect(address, uri=True, isolation_level=None, timeout=5) as connection:
        connection.row_factory = sqlite3.Row
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


async def fetch(connection: aiosqlite.Connection, sql: str, **arguments: object) -> Sequence[Row]:
    """Run a query and return all rows; none as `Connection.fetch` does."""
    try:
        return list(await connection.execute_fetchall(sql, arguments))
    except OverflowError:
        return []
