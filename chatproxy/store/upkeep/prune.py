"""Remove what was not used for long, in small units, beside the chatproxy that may be running."""

from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatproxy.store import documents, sessions
from chatproxy.store.database import Connection, to_json
from chatproxy.store.owners.unused import (
    delete_documents,
    delete_sessions,
    find_documents,
    find_sessions,
    unused_documents,
    unused_sessions,
)
from chatproxy.store.upkeep.beside import Beside, beside

_ALL: Final = "TRUE"  # documents, and sessions that may be pinned
_UNPINNED: Final = "NOT pinned"


class Unused(Struct, frozen=True):
    """How many sessions, messages in them, and documents are not used."""

    sessions: int
    messages: int
    documents: int


class Pruning(Struct, frozen=True, kw_only=True):
    """What to remove of a database: what was not used since `before`, a time as the store has it.

    `where` is a file, or the URL of PostgreSQL's database.
    """

    where: Path | str
    before: str
    pinned: bool = False  # with pinned sessions
    documents: bool = False  # with documents that no session uses

    async def count(self) -> Unused:
        """Count what `run` would remove. Raises StartError."""
        old = unused_sessions(self._sessions)
        unneeded = unused_documents(_ALL, kept=f"NOT ({old})")
        async with beside(self.where) as connection:
            numbers = [
                (await connection.fetch(f"SELECT count(*) FROM {rows}", before=self.before))[0][0]
                for rows in (
                    f"session WHERE {old}",
                    f"message WHERE session IN (SELECT key FROM session WHERE {old})",
                    f"document WHERE {unneeded if self.documents else 'FALSE'}",
                )
            ]
        return Unused(*numbers)

    async def run(self) -> bool:
        """Remove it, with what else is deleted and still there, and make SQLite's file smaller.

        Return False if that stays as large, because a chatproxy uses it: that one uses the room again. Raises
        StartError.
        """
        async with beside(self.where) as connection:
            await self._delete(connection, find_sessions(self._sessions), delete_sessions(self._sessions))
            if self.documents:
                await self._delete(connection, find_documents(_ALL), delete_documents(_ALL))
            for query, remove in (
                (sessions.REMOVABLE, sessions.remove_some),
                (documents.REMOVABLE, documents.remove_some),
            ):
                for (key,) in await connection.fetch(query):
                    while await connection.commit(partial(remove, key=key)):
                        pass
            return await connection.give_back()

    @property
    def _sessions(self) -> str:
        return _ALL if self.pinned else _UNPINNED

    async def _delete(self, connection: Beside, find: str, delete: str) -> None:
        while rows := await connection.fetch(find, before=self.before):
            keys = to_json([row["key"] for row in rows])
            await connection.commit(partial(_run, sql=delete, before=self.before, keys=keys))


async def _run(connection: Connection, sql: str, **arguments: object) -> None:
    await connection.execute(sql, **arguments)
