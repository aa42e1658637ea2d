"""A connection for work beside the chatproxy that may be serving, which that has room for its own with."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TypeVar

from chatproxy.errors import ChatError, StartError
from chatproxy.store.database import Row, Unit
from chatproxy.store.search.words import Words
from chatproxy.store.sqlite.database import SQLiteDatabase
from chatproxy.store.sqlite.file import InUseError
from chatproxy.store.sqlite.migrations import MIGRATIONS
from chatproxy.store.sqlite.writer import SQLiteConnection, run_unit
from chatproxy.store.upkeep.backup import connected, existing, older
from chatproxy.values import without_password

if TYPE_CHECKING:
    from chatproxy.store.postgres.database import PostgresDatabase

T = TypeVar("T")


class Beside(Protocol):
    """A connection beside a chatproxy."""

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query."""

    async def commit(self, unit: Unit[T]) -> T:
        """Run a unit in a transaction of its own, and leave others as much time for theirs."""

    async def give_back(self) -> bool:
        """Let the index of words follow, and what was removed take no more room.

        Return False if that has to wait until the chatproxy that serves has stopped.
        """


@asynccontextmanager
async def beside(where: Path | str) -> AsyncIterator[Beside]:
    """Open a database of this version, a file or a URL, beside a chatproxy. Raises StartError."""
    if isinstance(where, Path):
        path = existing(where)
        with connected(path) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] < len(MIGRATIONS):
                raise older(where)
            yield _SQLiteBeside(path, connection)
        return
    from chatproxy.store.postgres import postgres_database

    database = await postgres_database().beside(where)
    try:
        yield _PostgresBeside(database)
    except ChatError as error:
        name = without_password(where)
        raise StartError(f"The database {name} cannot be worked on: {error.sentence}") from error
    finally:
        await database.close()


class _SQLiteBeside:
    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        return await SQLiteConnection(self._connection).fetch(sql, **arguments)

    async def commit(self, unit: Unit[T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        began = perf_counter()
        try:
            result = run_unit(unit, self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise
        await asyncio.sleep(perf_counter() - began)
        return result

    async def give_back(self) -> bool:
        try:
            database = await SQLiteDatabase.open(self._path)
        except InUseError:
            return False
        try:
            await Words(database, asyncio.Event()).catch_up()
            self._connection.execute("VACUUM")
        finally:
            await database.close()
        return True


class _PostgresBeside:
    def __init__(self, database: "PostgresDatabase") -> None:
        self._database = database

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        return await self._database.fetch(sql, **arguments)

    async def commit(self, unit: Unit[T]) -> T:
        began = perf_counter()
        result = await self._database.run(unit)
        await asyncio.sleep(perf_counter() - began)
        return result

    async def give_back(self) -> bool:
        """Leave it to PostgreSQL's autovacuum, and the index to whichever chatproxy serves next."""
        return True
