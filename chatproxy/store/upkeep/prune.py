"""Remove what was not used for long, in small units, beside the chatproxy that may be running."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Final, TypeVar

from msgspec import Struct

from chatproxy.errors import StartError
from chatproxy.store import documents, sessions
from chatproxy.store.database import Database, fetch, to_json
from chatproxy.store.file import InUseError
from chatproxy.store.migrations import MIGRATIONS
from chatproxy.store.owners.unused import (
    delete_documents,
    delete_sessions,
    find_documents,
    find_sessions,
    unused_documents,
    unused_sessions,
)
from chatproxy.store.search.words import Words
from chatproxy.store.upkeep.backup import connected, existing
from chatproxy.store.writer import Connection, run_unit

_ALL: Final = "TRUE"  # documents, and sessions that may be pinned
_UNPINNED: Final = "NOT pinned"

T = TypeVar("T")


class Unused(Struct, frozen=True):
    """How many sessions, messages in them, and documents are not used."""

    sessions: int
    messages: int
    documents: int


class Pruning(Struct, frozen=True, kw_only=True):
    """What to remove of a database: what was not used since `before`, a time as the store has it."""

    path: Path
    before: str
    pinned: bool = False  # with pinned sessions
    documents: bool = False  # with documents that no session uses

    def count(self) -> Unused:
        """Count what `run` would remove. Raises StartError."""
        old = unused_sessions(self._sessions)
        unneeded = unused_documents(_ALL, kept=f"NOT ({old})")
        with self._connected() as connection:
            numbers = [
                connection.execute(f"SELECT count(*) FROM {rows}", {"before": self.before}).fetchone()[0]
                for rows in (
                    f"session WHERE {old}",
                    f"message WHERE session IN (SELECT key FROM session WHERE {old})",
                    f"document WHERE {unneeded if self.documents else 'FALSE'}",
                )
            ]
        return Unused(*numbers)

    def run(self) -> bool:
        """Remove it, with what else is deleted and still there, and make the file smaller.

        Return False if the file stays as large, because a chatproxy uses it: that one uses the room again.
        Raises StartError.
        """
        with self._connected() as connection:
            self._delete(connection, find_sessions(self._sessions), delete_sessions(self._sessions))
            if self.documents:
                self._delete(connection, find_documents(_ALL), delete_documents(_ALL))
            for query, remove in (
                (sessions.REMOVABLE, sessions.remove_some),
                (documents.REMOVABLE, documents.remove_some),
            ):
                for (key,) in connection.execute(query).fetchall():
                    while _commit(connection, partial(remove, key=key)):
                        pass
            return asyncio.run(_give_back(self.path, connection))

    @property
    def _sessions(self) -> str:
        return _ALL if self.pinned else _UNPINNED

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with connected(existing(self.path)) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] < len(MIGRATIONS):
                raise StartError(
                    f"The database {self.path} was written by an older chatproxy; start this version once, "
                    "then try again."
                )
            yield connection

    def _delete(self, connection: sqlite3.Connection, find: str, delete: str) -> None:
        while rows := connection.execute(find, {"before": self.before}).fetchall():
            keys = to_json([row["key"] for row in rows])
            _commit(connection, partial(fetch, sql=delete, before=self.before, keys=keys))


def _commit(connection: sqlite3.Connection, unit: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
    """Run a unit in a transaction of its own, and leave others as much time for theirs."""
    connection.execute("BEGIN IMMEDIATE")
    began = perf_counter()
    try:
        result = run_unit(unit, connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    sleep(perf_counter() - began)
    return result


async def _give_back(path: Path, connection: sqlite3.Connection) -> bool:
    """Let the index of words follow, and the file become smaller, unless a chatproxy uses the file."""
    try:
        database = await Database.open(path)
    except InUseError:
        return False
    try:
        await Words(database, asyncio.Event()).catch_up()
        connection.execute("VACUUM")
    finally:
        await database.close()
    return True
