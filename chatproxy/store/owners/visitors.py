"""Visitors: what each may keep at most, and how long."""

import asyncio
from datetime import timedelta
from typing import Final

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.store.database import Database, fetch, now, to_json
from chatproxy.store.owners.unused import (
    delete_documents,
    delete_sessions,
    find_documents,
    find_sessions,
)
from chatproxy.store.writer import Connection, translate_errors
from chatproxy.values import VISITOR, is_visitor

LOOK_INTERVAL: Final = 3600.0  # seconds between two looks for what is old
ROW: Final = 256  # bytes that a message or a session counts for besides what is in it
UNTIL_DELETED: Final = 3600  # seconds to wait before sending it again, as something has to be deleted first

# Those that are there, and those that are being gathered.
_ITS: Final = "owner = :owner AND deleted <> 1"
_SESSIONS: Final = f"SELECT count(*) AS number FROM session WHERE {_ITS}"
_ITS_MESSAGES: Final = f"message WHERE session IN (SELECT key FROM session WHERE {_ITS})"
_BYTES: Final = f"""
    SELECT (
        SELECT total({ROW} + length(
            CAST(ifnull(title, '') || ifnull(system, '') || ifnull(options, '') AS BLOB)
        ))
        FROM session WHERE {_ITS}
    ) + (
        SELECT total({ROW} + length(CAST(content AS BLOB)) + length(CAST(thinking AS BLOB))
            + length(CAST(sources AS BLOB)))
        FROM {_ITS_MESSAGES}
    ) + (
        SELECT total(length(bytes)) FROM image WHERE message IN (SELECT id FROM {_ITS_MESSAGES})
    ) + (
        SELECT total(bytes) FROM document WHERE owner = :owner AND complete
    ) + (
        SELECT total(bytes) FROM document WHERE NOT complete AND NOT deleted AND owner = :owner
    ) AS size
"""
_VISITORS: Final = f"owner >= '{VISITOR}' AND owner < '{VISITOR[:-1]};'"  # the next character after the last


class Quota(Struct, frozen=True):
    """What a visitor may keep: sessions, bytes of all that is in them and of documents, and for how long."""

    sessions: int
    bytes: int
    days: int

    async def check_session(self, connection: Connection, owner: str) -> None:
        """Raise `visitor_limit` if a visitor has all the sessions that it may have."""
        if is_visitor(owner):
            (row,) = await fetch(connection, _SESSIONS, owner=owner)
            if row["number"] >= self.sessions:
                raise _too_much(f"{self.sessions} conversations")

    async def check_bytes(self, connection: Connection, owner: str, size: int) -> None:
        """Raise `visitor_limit` unless a visitor may keep so many bytes more."""
        if is_visitor(owner):
            (row,) = await fetch(connection, _BYTES, owner=owner)
            if row["size"] + size > self.bytes:
                raise _too_much(f"{self.bytes} bytes of conversations and documents")


def _too_much(most: str) -> ChatError:
    return ChatError(
        "visitor_limit",
        f"No more than {most} can be kept for you; delete some, and send this again.",
        retry_after=UNTIL_DELETED,
    )


async def delete_old(database: Database, days: int, deleted: asyncio.Event) -> None:
    """Delete the sessions that visitors have not used for so many days, and documents of no session."""
    before = now(-timedelta(days=days))
    with translate_errors():
        async with database.reader() as reader:  # this may read much
            for find, delete in (
                (find_sessions(_VISITORS), delete_sessions(_VISITORS)),
                (find_documents(_VISITORS), delete_documents(_VISITORS)),
            ):
                while rows := await fetch(reader, find, before=before):
                    keys = to_json([row["key"] for row in rows])
                    await database.write(delete, keys=keys, before=before)
                    deleted.set()
