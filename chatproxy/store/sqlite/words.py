"""The index of words as one FTS5 table without content.

A text is one row there, to which each of its parts is added. What the index has of a text that is replaced or
deleted is kept in `removed` until it has followed.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, cast

from chatproxy.store.database import Connection, DamagedError, Edit
from chatproxy.store.sqlite import file
from chatproxy.store.sqlite.file import INDEX
from chatproxy.store.sqlite.writer import SQLiteConnection, is_damage, notice_damage

MOST_FORGOTTEN: Final = 20  # per unit

_OBSOLETE: Final = ("session_words", "message_words", "chunk_words")  # of earlier versions
_SHADOWS: Final = ("_data", "_idx", "_config", "_docsize", "_content")  # tables of an FTS5 table

_CREATE: Final = f"""
    CREATE VIRTUAL TABLE {INDEX} USING fts5(
        terms, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
    )
"""
_CURRENT: Final = "FROM unindexed WHERE id = :id AND version = :version"
_EDIT: Final = f"INSERT INTO {INDEX} ({INDEX}, rowid, terms) SELECT :command, key, :terms {_CURRENT}"
_ADVANCE: Final = "UPDATE unindexed SET indexed = :indexed WHERE id = :id AND version = :version"
_FORGET: Final = f"DELETE FROM removed WHERE id = (SELECT id {_CURRENT})"


async def _remove(connection: Connection, name: str, *, damaged: bool) -> None:
    """Remove an FTS5 table. The pages of a damaged one cannot be reused until a VACUUM."""
    if not damaged:
        with _noticing_damage(connection):
            await connection.execute(f"DROP TABLE IF EXISTS {name}")
        return
    tables = [{"table": f"{name}{suffix}"} for suffix in ("", *_SHADOWS)]
    try:
        await connection.execute("PRAGMA writable_schema = ON")
        await connection.executemany("DELETE FROM sqlite_schema WHERE tbl_name = :table", tables)
    finally:
        await connection.execute("PRAGMA writable_schema = RESET")


@contextmanager
def _noticing_damage(connection: Connection) -> Iterator[None]:
    """Raise DamagedError if a change of an FTS5 table fails because of damage.

    The whole transaction is rolled back then: nothing else would succeed in it.
    """
    try:
        with notice_damage():
            yield
    except DamagedError:
        cast("SQLiteConnection", connection).raw.rollback()
        raise


class FTS5:
    """An `Index` in a database file."""

    found: Final = f"SELECT rowid AS key FROM {INDEX} WHERE {INDEX} MATCH :words"
    unindexed: Final = """
        SELECT id, owner, key, version, indexed,
            EXISTS (SELECT 1 FROM removed WHERE id = unindexed.id) AS removing
        FROM unindexed WHERE owner = :owner ORDER BY id LIMIT :limit
    """
    removed: Final = "SELECT CAST(text AS BLOB) AS text FROM removed WHERE id = :id"
    obsolete: Final = [partial(_remove, name=name) for name in _OBSOLETE]

    def __init__(self, path: Path) -> None:
        self._path = path

    def query(self, terms: Sequence[str]) -> str:
        """See `Index`."""
        return " ".join([f'"{term}"*' for term in terms])

    def may_pass(self, error: Exception) -> bool:
        """See `Index`."""
        return isinstance(error, sqlite3.Error) and not is_damage(error)

    def is_damaged(self) -> bool:
        """See `Index`."""
        return file.index_is_damaged(self._path)

    async def create(self, connection: Connection, *, damaged: bool) -> None:
        """See `Index`."""
        await _remove(connection, INDEX, damaged=damaged)
        await connection.execute(_CREATE)

    async def apply(self, connection: Connection, edits: Sequence[Edit]) -> None:
        """See `Index`."""
        with _noticing_damage(connection):
            await connection.executemany(_EDIT, [edit for edit in edits if edit["terms"]])
            # A savepoint makes FTS5 write what it has in memory: so damage shows here, not at the COMMIT.
            await connection.execute("SAVEPOINT written")
            await connection.execute("RELEASE written")
        await connection.executemany(_ADVANCE, [edit for edit in edits if not edit["finished"]])
        forgotten = [edit for edit in edits if edit["command"] and not edit["indexed"]]
        await connection.executemany(_FORGET, forgotten)
        await connection.executemany(f"DELETE {_CURRENT}", [edit for edit in edits if edit["finished"]])

    async def forget_some(self, connection: Connection) -> bool:
        """See `Index`."""
        some = f"(SELECT id FROM removed ORDER BY id LIMIT {MOST_FORGOTTEN})"
        await connection.execute(
            f"DELETE FROM unindexed WHERE id IN {some} AND (indexed IS NULL OR indexed <> 0)"
        )
        return await connection.execute(f"DELETE FROM removed WHERE id IN {some}") > 0
