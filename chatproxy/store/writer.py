"""The one writer: units of work gather while a commit is under way, and the next commit takes them all.

A unit is a coroutine function over the writing connection. Its caller is answered after the COMMIT that
holds it, so what was answered is on the disk. A unit must do nothing but SQL: where a commit fails as
a whole, each of its units is run once more, on its own.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Final, Generic, TypeVar

import aiosqlite

from chatproxy.errors import ChatError, shutting_down

logger: Final = logging.getLogger(__name__)

LOCKED: Final = 5.0  # seconds that a unit waits for another process that writes

T = TypeVar("T")
Unit = Callable[[aiosqlite.Connection], Awaitable[T]]

_UNWRITABLE: Final = {
    sqlite3.SQLITE_FULL: "The disk that holds the database is full; free some space and try again.",
    sqlite3.SQLITE_IOERR: "The disk that holds the database fails or is full; check it and try again.",
    sqlite3.SQLITE_READONLY: "The database has become read-only; make its disk writable and try again.",
}


def chat_error(error: sqlite3.Error) -> ChatError:
    """How everybody is told of what SQLite says."""
    # The lowest byte is the primary code; the module's own errors have none.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _UNWRITABLE:
        return ChatError("storage_full", _UNWRITABLE[code])
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return ChatError("overloaded", "The database is busy; try again in a moment.", retry_after=1)
    logger.error("the database failed", exc_info=error)
    return ChatError("internal", "The database failed; chatproxy's log says how.")


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raises SQLite's errors as ChatErrors."""
    try:
        yield
    except sqlite3.Error as error:
        raise chat_error(error) from error


class _Job(Generic[T]):
    """A unit and the caller who waits for it, or has stopped waiting."""

    def __init__(self, unit: Unit[T]) -> None:
        self._unit = unit
        self.since = monotonic()
        self.answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def attempt(self, connection: aiosqlite.Connection) -> Callable[[], None]:
        """Runs the unit so that its failure undoes it alone; returns what to call after the COMMIT.

        Raises where SQLite gave up the whole transaction, as it may on a full disk.
        """
        await connection.execute("SAVEPOINT unit")
        try:
            tell = partial(self.succeed, await self._unit(connection))
        except Exception as error:
            if not connection.in_transaction:
                raise
            await connection.execute("ROLLBACK TO unit")
            tell = partial(self.fail, error)
        await connection.execute("RELEASE unit")
        return tell

    def succeed(self, result: T) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Writer:
    """Takes over a connection in autocommit mode; whoever opened it closes it, after the writer."""

    def __init__(
        self, connection: aiosqlite.Connection, observe: Callable[[float], None] = lambda seconds: None
    ) -> None:
        """`observe` is told how long each commit took."""
        self._connection = connection
        self._observe = observe
        self._jobs: list[_Job[Any]] = []
        self._called = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._work(), name="database writer")

    async def run(self, unit: Unit[T]) -> T:
        """Returns once the unit is committed. A caller who is cancelled leaves the unit to go on."""
        if self._closed:
            raise shutting_down("try again in a moment")
        job = _Job(unit)
        self._jobs.append(job)
        self._called.set()
        with translate_errors():
            return await job.answer

    async def close(self) -> None:
        """Returns once everything that was asked for is committed; nothing more is taken."""
        self._closed = True
        self._called.set()
        await self._task

    async def _work(self) -> None:
        while not self._closed or self._jobs:
            await self._called.wait()
            self._called.clear()
            jobs, self._jobs = self._jobs, []
            if jobs:
                await self._commit(jobs)

    async def _commit(self, jobs: list[_Job[Any]]) -> None:
        try:
            await self._begin(jobs[0].since)
        except Exception as error:
            for job in jobs:
                job.fail(error)
            return
        try:
            tells = [await job.attempt(self._connection) for job in jobs]
            began = perf_counter()
            await self._connection.commit()
            self._observe(perf_counter() - began)
        except Exception as error:
            await self._undo(jobs, error)
        else:
            for tell in tells:
                tell()

    async def _begin(self, since: float) -> None:
        """Waits for who else is writing until LOCKED after `since`, when the oldest unit was handed in."""
        left = max(0.0, LOCKED - (monotonic() - since))
        await self._connection.executescript(f"PRAGMA busy_timeout = {left * 1000:.0f}; BEGIN IMMEDIATE")

    async def _undo(self, jobs: list[_Job[Any]], error: Exception) -> None:
        """Nothing of these jobs is on the disk: each is tried on its own, so that none fails for another."""
        with suppress(Exception):
            await self._connection.rollback()
        if len(jobs) == 1:
            jobs[0].fail(error)
        else:
            for job in jobs:
                await self._commit([job])
