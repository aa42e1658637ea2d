"""The PostgreSQL database: units in transactions side by side, and two lanes for reads.

A unit runs in a transaction of its own, at READ COMMITTED: `Connection.lock` is what orders units that must
not run side by side. One that fails because of another one, or of a connection that broke before its COMMIT,
runs again. A COMMIT whose answer was lost may have succeeded, and is not repeated here.

Twelve connections at most: for units, for short reads, for the slow lane, one that reads for the index of
words, one that shows that this replica lives, and two for the bus.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Any, Final, Self, TypeVar

import asyncpg

from chatproxy.errors import ChatError, StartError, shutting_down
from chatproxy.store.database import (
    LIGHT,
    PING,
    SLOW_READS,
    Arguments,
    Lane,
    Row,
    Unit,
    Units,
    slow_reads,
)
from chatproxy.store.postgres.bus import Bus
from chatproxy.store.postgres.dialect import spelled, values_of
from chatproxy.store.postgres.errors import FAILURES, chat_error, is_conflict, is_gone, start_error, too_long
from chatproxy.store.postgres.pool import Pool, Raw, connect, set_up
from chatproxy.store.postgres.replicas import Replicas, starting
from chatproxy.store.postgres.schema import MIGRATIONS, migrate, version_of
from chatproxy.store.postgres.words import TextSearch
from chatproxy.values import without_password

WORKERS: Final = 4  # units at once
HEAVY: Final = 2  # of these
READS: Final = 2  # short ones at once
AWAY: Final = 2.0  # seconds that a unit or a read waits for a server that is away
CONFLICTS: Final = 5  # times that a unit may be in another one's way
SLOW_READ_TIMEOUT: Final = 1.0  # seconds
READ_TIMEOUT: Final = 5.0  # seconds, of a connection's statements
WRITE_TIMEOUT: Final = 10.0  # likewise
STARTING: Final = 5.0  # seconds that a start waits for a server that is starting, too
HEARD: Final = 2.0  # seconds until a notification has to have come
OLDEST: Final = 13  # the first version with gen_random_uuid()

T = TypeVar("T")


class PostgresConnection:
    """A connection as units see it, in a transaction."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        """See `Connection`."""
        text, names = spelled(sql)
        if (values := values_of(names, arguments)) is None:
            return []
        rows: Sequence[Row] = await self._raw.fetch(text, *values)
        return rows

    async def execute(self, sql: str, **arguments: object) -> int:
        """See `Connection`."""
        text, names = spelled(sql)
        if (values := values_of(names, arguments)) is None:
            return 0
        status = await self._raw.execute(text, *values)
        number = status.rpartition(" ")[2]
        return int(number) if number.isdecimal() else 0

    async def insert(self, sql: str, **arguments: object) -> int | None:
        """See `Connection`."""
        rows = await self.fetch(f"{sql} RETURNING id", **arguments)
        return int(rows[0]["id"]) if rows else None

    async def executemany(self, sql: str, arguments: Iterable[Arguments]) -> None:
        """See `Connection`."""
        text, names = spelled(sql)
        if values := [values_of(names, each) for each in arguments]:
            await self._raw.executemany(text, values)

    async def lock(self, *names: str) -> None:
        """See `Connection`. All take several names in the same order."""
        await self._raw.fetch(
            "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest($1::text[]) AS name",
            sorted(set(names)),
        )

    async def apart(self, function: Callable[..., T], *arguments: object) -> T:
        """See `Connection`."""
        return await asyncio.to_thread(function, *arguments)


class PostgresReader:
    """A connection that only reads."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, unit: Unit[T]) -> T:
        """Run a unit that only reads; it may see what is committed meanwhile."""

        async def attempt() -> T:
            async with self._pool.connection() as raw:
                return await unit(PostgresConnection(raw))

        return await _patiently(attempt)


class PostgresDatabase(Units):
    """A `Database` in PostgreSQL's schema `chatproxy`."""

    def __init__(self, url: str, committed: Callable[[float], None] = lambda seconds: None) -> None:
        self.index = TextSearch()
        self.replica = random.getrandbits(62) + 1  # a number would come again with another database
        self.replicas = Replicas(url, self.replica, self, self._drop_idle)
        self._url = url
        self._committed = committed
        self._workers = Pool(url, WORKERS, WRITE_TIMEOUT)
        self._readers = Pool(url, READS, READ_TIMEOUT)
        self._slow_readers = Pool(url, SLOW_READS, READ_TIMEOUT)
        self._slow_slots = slow_reads()
        self._heavy = asyncio.Semaphore(HEAVY)
        self._steps = asyncio.Semaphore(1)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        url: str,
        reconcile: Sequence[Unit[bool]] = (),
        committed: Callable[[float], None] = lambda seconds: None,
    ) -> Self:
        """Open the database of that URL; make its tables if there are none. See `store.open_database`.

        Raises StartError.
        """
        name = without_password(url)
        database = cls(url, committed)
        try:
            await check(url, name)
            async with starting(url) as connection:
                await set_up(connection)
                await migrate(connection, name)
                await database.replicas.enter(connection)
                for unit in reconcile:
                    while await database.run(unit):
                        pass
        except BaseException as error:
            await database.close()
            if isinstance(error, ChatError):
                raise StartError(f"The database {name} cannot be used: {error.sentence}") from error
            if isinstance(error, (*FAILURES, ValueError)):
                raise start_error(name, error) from error
            raise
        return database

    @classmethod
    async def beside(cls, url: str) -> Self:
        """Open the database of that URL, of this version, beside a chatproxy. Raises StartError."""
        name = without_password(url)
        try:
            connection = await connect(url)
            try:
                version = await version_of(connection, name)
            finally:
                await connection.close(timeout=1)
        except (*FAILURES, ValueError) as error:
            raise start_error(name, error) from error
        if version < len(MIGRATIONS):
            raise StartError(
                f"The database {name} was not written by this version of chatproxy; start it once, then try "
                "again."
            )
        return cls(url)

    async def close(self) -> None:
        """See `Database`."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.replicas.leave()
        for pool in (self._workers, self._readers, self._slow_readers):
            await pool.close()

    def bus(
        self, heard: Callable[[int, str], None], lost: Callable[[int | None], None]
    ) -> AbstractAsyncContextManager[Bus]:
        """Open a bus to the other replicas; see `Bus.open`."""
        return Bus.open(self.replica, partial(connect, self._url), heard, lost)

    def _drop_idle(self) -> None:
        for pool in (self._workers, self._readers, self._slow_readers):
            pool.drop_idle()

    async def ping(self) -> None:
        """See `Database`."""
        await self.fetch(PING)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[PostgresReader]:
        """See `Database`."""
        pool = Pool(self._url, 1)
        try:
            yield PostgresReader(pool)
        finally:
            await pool.close()

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        """See `Database`."""

        async def attempt() -> Sequence[Row]:
            async with self._readers.connection() as raw:
                return await PostgresConnection(raw).fetch(sql, **arguments)

        return await _patiently(attempt)

    async def fetch_slow(self, sql: str, *, owner: str, **arguments: object) -> Sequence[Row]:
        """See `Database`."""

        async def attempt() -> Sequence[Row]:
            async with self._slow_readers.connection() as raw:
                try:
                    async with asyncio.timeout(SLOW_READ_TIMEOUT):
                        return await PostgresConnection(raw).fetch(sql, owner=owner, **arguments)
                except TimeoutError:  # what asyncpg has asked the server to end
                    raise too_long() from None

        async with self._slow_slots.slot(owner):
            return await _patiently(attempt)

    async def search(self, sql: str, *, owner: str, **arguments: object) -> Sequence[Row]:
        """See `Database`."""
        return await self.fetch_slow(sql, owner=owner, **arguments)

    async def run(self, unit: Unit[T], *, size: int = 0, lane: Lane = Lane.REQUESTS) -> T:
        """See `Database`."""
        if self._closed:
            raise shutting_down("try again in a moment")
        task = asyncio.create_task(self._run(unit, size, lane), name="database unit")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # mark as retrieved: the caller may have left

    async def _run(self, unit: Unit[T], size: int, lane: Lane) -> T:
        async with AsyncExitStack() as stack:
            if size > LIGHT:
                if lane is Lane.STEPS:
                    await stack.enter_async_context(self._steps)
                await stack.enter_async_context(self._heavy)
            return await _patiently(lambda: self._commit(unit))

    async def _commit(self, unit: Unit[T]) -> T:
        async with self._workers.connection() as raw:
            await raw.execute("BEGIN")
            try:
                result = await unit(PostgresConnection(raw))
            except BaseException:
                with suppress(*FAILURES):
                    await raw.execute("ROLLBACK")
                raise
            began = perf_counter()
            try:
                status = await raw.execute("COMMIT")
            except FAILURES as error:
                raise chat_error(error) from error
            if status != "COMMIT":
                raise RuntimeError("a unit goes on after a statement that has failed")
        self._committed(perf_counter() - began)
        return result


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Return what an attempt returns, which is repeated while the server is away, or another is in its way.

    Raises PostgreSQL's errors as ChatErrors.
    """
    deadline = perf_counter() + AWAY
    pause, conflicts = 0.0, 0
    while True:
        try:
            return await attempt()
        except FAILURES as error:
            if is_conflict(error):
                conflicts += 1  # and a moment for the other one to end
                passes, pause = conflicts < CONFLICTS, max(pause, 0.02)
            else:
                passes = is_gone(error) and not isinstance(error, TimeoutError)
                passes = passes and perf_counter() + pause < deadline
            if not passes:
                raise chat_error(error) from error
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(2 * pause + 0.01, 0.2)


async def check(url: str, name: str) -> None:
    """Raise StartError unless this is a server that can be used, and that is reached without detours."""
    connection = await _first_connection(url)
    try:
        version, encoding = connection.get_server_version(), connection.get_settings().server_encoding
        if version.major < OLDEST:
            raise StartError(
                f"The database {name} is of PostgreSQL {version.major}; use version {OLDEST} or newer."
            )
        if encoding != "UTF8":
            raise StartError(
                f"The database {name} has the encoding {encoding}; create one with the encoding UTF8."
            )
        await _check_hears(url, name, connection)
    finally:
        connection.terminate()


async def _first_connection(url: str) -> Raw:
    deadline = perf_counter() + STARTING
    while True:
        try:
            return await connect(url)
        except (asyncpg.CannotConnectNowError, ConnectionRefusedError):
            if perf_counter() > deadline:
                raise
        await asyncio.sleep(0.2)


async def _check_hears(url: str, name: str, connection: Raw) -> None:
    """Raise StartError unless one connection hears what another one notifies.

    It does not behind a pooler that gives a connection away after each transaction, and nothing that belongs
    to a connection would last there: neither settings nor locks nor statements.
    """
    heard = asyncio.Event()
    channel = f"chatproxy_{random.getrandbits(62)}"
    refusal = StartError(
        f"The database {name} is behind a pooler that pools transactions; connect to PostgreSQL itself, or "
        "let the pooler pool sessions."
    )
    try:
        await connection.add_listener(channel, lambda *_: heard.set())
        other = await connect(url)
        try:
            await other.execute(f"NOTIFY {channel}")
            async with asyncio.timeout(HEARD):
                await heard.wait()
        finally:
            other.terminate()
    except (TimeoutError, asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
        raise refusal from None
