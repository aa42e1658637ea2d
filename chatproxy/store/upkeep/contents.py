"""What a database holds, and rows that belong to nothing, which a sound one has not."""

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatproxy.errors import StartError
from chatproxy.store.sqlite import file
from chatproxy.store.sqlite.migrations import MIGRATIONS
from chatproxy.store.upkeep.beside import beside

_COUNTS: Final[Mapping[str, str]] = {
    "sessions": "session WHERE deleted = 0",
    "messages": "message",
    "images": "image",
    "documents": "document WHERE complete",
    "passages": "chunk",
}
_VECTORS: Final = "SELECT CAST(coalesce(sum(embedded), 0) AS BIGINT) FROM document WHERE complete"
_UNFOLLOWED: Final = "SELECT count(*) FROM unindexed"
_REMOVED: Final = """
    SELECT (SELECT count(*) FROM session WHERE deleted <> 0) + (SELECT count(*) FROM document WHERE deleted)
"""
_PLACES: Final = """
    SELECT count(DISTINCT place) FROM message
    WHERE message.session = session.key AND place BETWEEN 1 AND message_count
"""
# Besides what foreign keys say. Each is a table with a condition.
_ORPHANS: Final[Mapping[str, str]] = {
    "sessions without all of their messages": f"session WHERE deleted = 0 AND message_count <> ({_PLACES})",
    "answers to a message that is not there": (
        "message WHERE reply_to IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM message AS question WHERE question.id = message.reply_to)"
    ),
    "messages without all of their images": (
        "message WHERE image_count <> (SELECT count(*) FROM image WHERE message = message.id)"
    ),
    "pieces of an answer that has ended": (
        "piece WHERE message IN (SELECT id FROM message WHERE status <> 'streaming')"
    ),
    "passages of no document": ("chunk WHERE NOT EXISTS (SELECT 1 FROM document WHERE id = chunk.key >> 20)"),
    "documents without all of their passages": (
        "document WHERE complete AND chunks <>"
        " (SELECT count(*) FROM chunk WHERE key BETWEEN document.id << 20 AND (document.id + 1 << 20) - 1)"
    ),
    "vectors of no document": (
        "vectors WHERE NOT EXISTS (SELECT 1 FROM document WHERE id = vectors.key >> 20)"
    ),
    "documents with more vectors than passages": "document WHERE complete AND embedded > chunks",
    "removed texts that the index of words does not wait for": (
        "removed WHERE id NOT IN (SELECT id FROM unindexed)"
    ),
}


class Contents(Struct, frozen=True, kw_only=True):
    """What is in a database.

    `counts` are of rows by kind, `orphans` of rows that belong to nothing, by what is wrong with them. Both
    are empty for a `version` before the `newest`, whose tables are others. `unfollowed` texts are not in the
    index of words yet; `removed` sessions and documents are deleted, and have yet to be removed.
    """

    version: int
    newest: int = len(MIGRATIONS)
    counts: Mapping[str, int] = {}
    orphans: Mapping[str, int] = {}
    unfollowed: int = 0
    removed: int = 0


def contents(path: Path) -> Contents:
    """Count what is in a database, as of one moment. Changes nothing. Raises StartError."""
    path = Path(os.path.realpath(path))
    try:
        with file.read_only(path) as connection:
            connection.execute("BEGIN")
            version = _number(connection, "PRAGMA user_version")
            if version < len(MIGRATIONS):
                return Contents(version=version)
            counts = {
                what: _number(connection, f"SELECT count(*) FROM {rows}") for what, rows in _COUNTS.items()
            }
            return Contents(
                version=version,
                counts=counts | {"vectors": _number(connection, _VECTORS)},
                orphans=_orphans(connection),
                unfollowed=_number(connection, _UNFOLLOWED),
                removed=_number(connection, _REMOVED),
            )
    except sqlite3.Error as error:
        raise StartError(f"The database {path} cannot be read ({error}); restore the last backup.") from error


async def contents_beside(url: str) -> Contents:
    """Count what is in a database of PostgreSQL's. Raises StartError."""
    async with beside(url) as database:

        async def number(rows: str) -> int:
            (row,) = await database.fetch(rows)
            return int(row[0])

        counts = {what: await number(f"SELECT count(*) FROM {rows}") for what, rows in _COUNTS.items()}
        found = {
            what: await number(f"SELECT count(*) FROM {rows}")
            for what, rows in _ORPHANS.items()
            if not rows.startswith("removed ")  # of SQLite's index
        }
        return Contents(
            version=len(MIGRATIONS),
            counts=counts | {"vectors": await number(_VECTORS)},
            orphans={what: count for what, count in found.items() if count},
            unfollowed=await number(_UNFOLLOWED),
            removed=await number(_REMOVED),
        )


def _orphans(connection: sqlite3.Connection) -> dict[str, int]:
    found: dict[str, int] = {}
    for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        what = f"rows of {table} without their {parent}"
        found[what] = found.get(what, 0) + 1
    for what, rows in _ORPHANS.items():
        if number := _number(connection, f"SELECT count(*) FROM {rows}"):
            found[what] = number
    return found


def _number(connection: sqlite3.Connection, sql: str) -> int:
    return int(connection.execute(sql).fetchone()[0])
