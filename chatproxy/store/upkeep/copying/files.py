"""A file as either end of a copy."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from chatproxy.errors import StartError
from chatproxy.store.database import Arguments, Row
from chatproxy.store.search.words import create_empty
from chatproxy.store.sqlite import file
from chatproxy.store.sqlite.database import SQLiteDatabase
from chatproxy.store.sqlite.migrations import MIGRATIONS
from chatproxy.store.sqlite.words import FTS5
from chatproxy.store.sqlite.writer import SQLiteConnection
from chatproxy.store.upkeep.backup import connected, existing, older
from chatproxy.store.upkeep.copying.ends import FROM, TO, Kind, insertion, naming, too_old, unfit
from chatproxy.store.upkeep.copying.tables import Table

_KINDS: Final = {"TEXT": Kind.TEXT, "BLOB": Kind.BYTES, "INTEGER": Kind.NUMBER, "REAL": Kind.NUMBER}
_HIGHEST: Final = """
    SELECT max(coalesce((SELECT max({key}) FROM {table}), 0),
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0)) AS number
"""
_COUNTED: Final = "SELECT 1 FROM sqlite_schema WHERE name = :table AND sql LIKE '%AUTOINCREMENT%'"


class _File:
    """What both ends have."""

    flag: str

    def __init__(self, path: Path, raw: sqlite3.Connection) -> None:
        self.name = str(path)
        self._path = path
        self._raw = raw
        self._connection = SQLiteConnection(raw)

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        with self._failing():
            return await self._connection.fetch(sql, **arguments)

    async def columns(self, table: Table) -> Mapping[str, Kind]:
        rows = await self.fetch(f"PRAGMA table_info({table.name})")
        return {row["name"]: _KINDS[row["type"]] for row in rows}

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Raise SQLite's errors as StartErrors."""
        try:
            yield
        except sqlite3.Error as error:
            raise StartError(
                f"The database {self.name} cannot be worked on ({error}); see to that, or name another "
                f"file in {self.flag}."
            ) from error


class FileSource(_File):
    """A `Source`."""

    flag = FROM

    def __init__(self, path: Path, raw: sqlite3.Connection) -> None:
        super().__init__(path, raw)
        self.in_use = file.is_in_use(path)
        self.unreadable = 0
        raw.text_factory = self._text

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator["FileSource"]:
        """Open a file. Raises StartError."""
        with naming(FROM):
            real = existing(path)
        with connected(real) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            if connection.execute("PRAGMA user_version").fetchone()[0] < len(MIGRATIONS):
                raise older(path)
            yield cls(real, connection)

    async def highest(self, table: Table) -> int:
        """See `Source`."""
        (row,) = await self.fetch(_HIGHEST.format(table=table.name, key=table.numbered))
        return int(row["number"])

    def _text(self, stored: bytes) -> str:
        """Return a text. Another program, or an earlier version, may have written no UTF-8."""
        try:
            return stored.decode()
        except UnicodeDecodeError:
            self.unreadable += 1
            return stored.decode(errors="replace")


class FileTarget(_File):
    """A `Target`."""

    flag = TO

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator["FileTarget"]:
        """Open a file, which is created if there is none. Raises StartError."""
        with ExitStack() as stack:
            with naming(TO):
                _check(path)
                await (await SQLiteDatabase.open(path)).close()
                path = stack.enter_context(file.claimed(path))
            connection = stack.enter_context(connected(path))
            connection.execute("BEGIN IMMEDIATE")
            yield cls(path, connection)

    async def insert(self, table: Table, rows: Sequence[Arguments]) -> None:
        """See `Target`."""
        with self._failing():
            try:
                await self._connection.executemany(insertion(table, rows), rows)
            except sqlite3.IntegrityError as error:
                raise unfit(table, error) from error

    async def start_index(self) -> None:
        """See `Target`."""
        with self._failing():
            await self._connection.execute("DELETE FROM removed")
            await self._connection.execute("DELETE FROM unindexed")
            await create_empty(self._connection, index=FTS5(self._path), damaged=False)

    async def continue_after(self, highest: Mapping[Table, int]) -> None:
        """See `Target`. Only some tables remember ids that are no more."""
        for table, number in highest.items():
            if number and await self.fetch(_COUNTED, table=table.name):
                arguments = {"table": table.name, "number": number}
                with self._failing():
                    await self._connection.execute(
                        "DELETE FROM sqlite_sequence WHERE name = :table", **arguments
                    )
                    await self._connection.execute(
                        "INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)", **arguments
                    )

    async def commit(self) -> None:
        """See `Target`."""
        with self._failing():
            self._raw.execute("COMMIT")


def _check(path: Path) -> None:
    """Raise StartError unless the file may become a target. Changes nothing: an old one is not migrated."""
    file.check(path)
    if path.exists():
        with file.read_only(path) as connection:
            if 0 < connection.execute("PRAGMA user_version").fetchone()[0] < len(MIGRATIONS):
                raise too_old(path)
