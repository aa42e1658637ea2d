"""The only writer: units of work gather while a commit is under way, and the next commit takes many at once.

A unit is a coroutine function that takes the writing connection. Its caller gets the result after the COMMIT
that contains it, so whatever was acknowledged is on the disk. A unit must do nothing but SQL: if a commit
fails as a whole, each of its units runs once more, in a commit of its own.

A whole commit runs in SQLite's thread as one call. If each statement were a call of its own, as aiosqlite has
it, a busy event loop would delay every one of them, and all that wait for the commit.

Every unit has a bound on its work, and says how many bytes that is; a commit takes units of 1 MiB at most, or
a single one. Units that take longer than a commit are heavy. Light and heavy commits take turns, so that a
light unit waits for one heavy commit at most. Heavy units wait in lanes, which take turns as well, so that
the end of an answer waits neither for all steps of a removal nor for everybody's images.
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Any, Final, Generic, TypeVar

import aiosqlite

from chatproxy import clock
from chatproxy.errors import ChatError, shutting_down
from chatproxy.store.database import LIGHT, Arguments, DamagedError, Lane, Unit

logger: Final = logging.getLogger(__name__)

LOCKED: Final = 5.0  # seconds that a unit waits while another process writes
UNITS_PER_COMMIT: Final = 256
BYTES_PER_COMMIT: Final = 1024 * 1024  # unless there is only one unit

T = TypeVar("T")


class SQLiteConnection:
    """The writing connection as units see it, in SQLite's thread.

    Its methods are coroutines, as a database across a network has them, but none of them waits.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.raw = connection

    async def fetch(self, sql: str, **arguments: object) -> list[sqlite3.Row]:
        """See `Connection`."""
        try:
            return self.raw.execute(sql, arguments).fetchall()
        except OverflowError:
            return []

    async def execute(self, sql: str, **arguments: object) -> int:
        """See `Connection`."""
        return self.raw.execute(sql, arguments).rowcount

    async def insert(self, sql: str, **arguments: object) -> int | None:
        """See `Connection`."""
        cursor = self.raw.execute(sql, arguments)
        return cursor.lastrowid if cursor.rowcount else None

    async def executemany(self, sql: str, arguments: Iterable[Arguments]) -> None:
        """See `Connection`."""
        self.raw.executemany(sql, arguments)

    async def lock(self, *names: str) -> None:
        """Do nothing: units run one at a time."""

    async def apart(self, function: Callable[..., T], *arguments: object) -> T:
        """Call the function here, which is not the thread of the event loop."""
        return function(*arguments)


_UNWRITABLE: Final = {
    sqlite3.SQLITE_FULL: "The disk that holds the database is full; free some space and try again.",
    sqlite3.SQLITE_IOERR: "The disk that holds the database fails or is full; check it and try again.",
    sqlite3.SQLITE_READONLY: "The database has become read-only; make its disk writable and try again.",
}


def chat_error(error: sqlite3.Error) -> ChatError:
    """Return SQLite's error as clients see it."""
    # The lowest byte is the primary code; errors of the sqlite3 module itself have no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _UNWRITABLE:
        return ChatError("storage_full", _UNWRITABLE[code])
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return ChatError("overloaded", "The database is busy; try again in a moment.", retry_after=1)
    if code == sqlite3.SQLITE_INTERRUPT:
        return ChatError(
            "overloaded",
            "The database took too long; try again in a moment, or search for longer or rarer words.",
            retry_after=1,
        )
    logger.error("the database failed", exc_info=error)
    return ChatError("internal", "The database failed; chatproxy's log says how.")


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether SQLite found the file, or the data of an index, to be damaged."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF == sqlite3.SQLITE_CORRUPT


@contextmanager
def notice_damage() -> Iterator[None]:
    """Raise DamagedError where SQLite finds damage."""
    try:
        yield
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        raise DamagedError from error


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise SQLite's errors as ChatErrors."""
    try:
        yield
    except sqlite3.Error as error:
        raise chat_error(error) from error


class _Job(Generic[T]):
    """A unit, and the future that its caller awaits."""

    def __init__(self, unit: Unit[T], size: int) -> None:
        self._unit = unit
        self.size = size
        self.since = clock.now()
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def run(self, connection: sqlite3.Connection) -> Callable[[], None]:
        """Run the unit as all of a transaction, and return what to call after the COMMIT."""
        return partial(self.succeed, run_unit(self._unit, connection))

    def attempt(self, connection: sqlite3.Connection) -> Callable[[], None]:
        """Run the unit in a savepoint, so that its failure undoes nothing else.

        Return what to call after the COMMIT. Raises if SQLite rolled back the whole transaction, as it may on
        a full disk.
        """
        connection.execute("SAVEPOINT unit")
        try:
            callback = self.run(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO unit")
            callback = partial(self.fail, error)
        connection.execute("RELEASE unit")
        return callback

    def succeed(self, result: T) -> None:
        """Give the caller the unit's result."""
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Give the caller the error."""
        if not self.future.done():
            self.future.set_exception(error)


class _NotBegunError(Exception):
    """A transaction could not be begun, so that none of its units can be at fault."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


class Writer:
    """Commits units of work, many at a time."""

    def __init__(
        self, connection: aiosqlite.Connection, observe: Callable[[float], None] = lambda seconds: None
    ) -> None:
        """Take over a connection in autocommit mode; its opener closes it, after the writer.

        Call `observe` with the seconds that each commit took.
        """
        self._connection = connection
        self._observe = observe
        self._light: deque[_Job[Any]] = deque()
        self._heavy: dict[Lane, deque[_Job[Any]]] = {lane: deque() for lane in Lane}  # the next one first
        self._wakeup = asyncio.Event()
        self._closed = False
        self._patience = -1.0  # seconds that SQLite waits for other processes, as it was told last
        self._task = asyncio.create_task(self._work(), name="database writer")

    async def run(self, unit: Unit[T], *, size: int = 0, lane: Lane = Lane.REQUESTS) -> T:
        """Run a unit, even if the caller is cancelled, and return its result once it is committed.

        `size` is how many bytes it writes, without what is always small; beyond LIGHT, it waits in `lane`.
        A unit that changes hundreds of rows counts as STEP. Raises `shutting_down` after `close`, what the
        unit raises, and SQLite's errors as ChatErrors.
        """
        if self._closed:
            raise shutting_down("try again in a moment")
        job = _Job(unit, size)
        (self._light if size <= LIGHT else self._heavy[lane]).append(job)
        self._wakeup.set()
        with translate_errors():
            return await job.future

    async def close(self) -> None:
        """Accept no more units, and return once all are committed."""
        self._closed = True
        self._wakeup.set()
        await self._task

    async def _work(self) -> None:
        while not self._closed or self._waiting():
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._waiting():
                if self._light:
                    await self._commit(_take(self._light))
                if jobs := self._take_heavy():
                    await self._commit(jobs)

    def _waiting(self) -> bool:
        return bool(self._light) or any(self._heavy.values())

    def _take_heavy(self) -> list[_Job[Any]]:
        for lane, jobs in self._heavy.items():
            if jobs:
                self._heavy[lane] = self._heavy.pop(lane)
                return _take(jobs)
        return []

    async def _commit(self, jobs: list[_Job[Any]]) -> None:
        patience = round(max(0.0, LOCKED - (clock.now() - jobs[0].since)), 1)
        changed = patience != self._patience  # most often, nothing has waited
        self._patience = patience
        try:
            commit = partial(_commit, jobs, patience if changed else None)
            callbacks, seconds = await in_thread(self._connection, commit)
        except _NotBegunError as error:
            for job in jobs:
                job.fail(error.cause)
        except Exception as error:
            await self._undo(jobs, error)
        else:
            self._observe(seconds)
            for callback in callbacks:
                callback()

    async def _undo(self, jobs: list[_Job[Any]], error: Exception) -> None:
        """Roll back, and try each job in a commit of its own, so that none fails because of another."""
        with suppress(Exception):
            await self._connection.rollback()
        if len(jobs) == 1:
            jobs[0].fail(error)
        else:
            for job in jobs:
                await self._commit([job])


def _take(jobs: deque[_Job[Any]]) -> list[_Job[Any]]:
    """Take the units of the next commit."""
    taken: list[_Job[Any]] = []
    size = 0
    while jobs and len(taken) < UNITS_PER_COMMIT and (not taken or size + jobs[0].size <= BYTES_PER_COMMIT):
        taken.append(jobs.popleft())
        size += taken[-1].size
    return taken


async def in_thread(connection: aiosqlite.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    """Call a function in the connection's thread. aiosqlite itself has only single statements there."""
    result: T = await connection._execute(function, connection._conn)  # type: ignore[no-untyped-call]
    return result


# -- in SQLite's thread


def run_unit(unit: Unit[T], connection: sqlite3.Connection) -> T:
    """Run a unit to its end."""
    coroutine = unit(SQLiteConnection(connection))
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a unit waits for something, but may do nothing but SQL")


def _commit(
    jobs: Sequence[_Job[Any]], patience: float | None, connection: sqlite3.Connection
) -> tuple[list[Callable[[], None]], float]:
    """Run the jobs in one transaction.

    Return what to call afterwards, and the seconds that the COMMIT took. Waits `patience` seconds for other
    processes from now on, unless it is None.
    """
    try:
        if patience is not None:
            connection.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
        connection.execute("BEGIN IMMEDIATE")
    except Exception as error:
        raise _NotBegunError(error) from error
    callbacks = [job.attempt(connection) for job in jobs] if len(jobs) > 1 else [jobs[0].run(connection)]
    began = perf_counter()
    connection.execute("COMMIT")  # fails if a unit has lost the transaction
    return callbacks, perf_counter() - began
