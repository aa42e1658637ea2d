"""Visitors: what each may keep at most, and how long."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.store.database import Connection, Database, Row, now, to_json
from chatproxy.store.owners.unused import (
    delete_documents,
    delete_sessions,
    find_documents,
    find_sessions,
)
from chatproxy.store.sql import octets
from chatproxy.values import VISITOR, is_visitor

LOOK_INTERVAL: Final = 3600.0  # seconds between two looks for what is old
ROW: Final = 256  # bytes that a message or a session counts for besides what is in it
UNTIL_DELETED: Final = 3600  # seconds to wait before sending it again, as something has to be deleted first

# Those that are there, and those that are being gathered.
_ITS: Final = "owner = :owner AND deleted <> 1"
_SESSIONS: Final = f"SELECT count(*) AS number FROM session WHERE {_ITS}"
_ITS_MESSAGES: Final = f"message WHERE session IN (SELECT key FROM session WHERE {_ITS})"
_SETTINGS: Final = octets("coalesce(title, '') || coalesce(system, '') || coalesce(options, '')")
_BYTES: Final = f"""
    SELECT CAST((
        SELECT coalesce(sum({ROW} + {_SETTINGS}), 0)
        FROM session WHERE {_ITS}
    ) + (
        SELECT coalesce(sum({ROW} + {octets("content")} + {octets("thinking")} + {octets("sources")}), 0)
        FROM {_ITS_MESSAGES}
    ) + (
        SELECT coalesce(sum(length(bytes)), 0) FROM image WHERE message IN (SELECT id FROM {_ITS_MESSAGES})
    ) + (
        SELECT coalesce(sum(bytes), 0) FROM document WHERE owner = :owner AND complete
    ) + (
        SELECT coalesce(sum(bytes), 0) FROM document WHERE NOT complete AND NOT deleted AND owner = :owner
    ) AS BIGINT) AS size
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
            await connection.lock(f"quota {owner}")
            (row,) = await connection.fetch(_SESSIONS, owner=owner)
            if row["number"] >= self.sessions:
                raise _too_much(f"{self.sessions} conversations")

    async def check_bytes(self, connection: Connection, owner: str, size: int) -> None:
        """Raise `visitor_limit` unless a visitor may keep so many bytes more."""
        if is_visitor(owner):
            await connection.lock(f"quota {owner}")
            (row,) = await connection.fetch(_BYTES, owner=owner)
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
    async with database.reader() as reader:  # this may read much
        for find, delete in (
            (find_sessions(_VISITORS), delete_sessions(_VISITORS)),
            (find_documents(_VISITORS), delete_documents(_VISITORS)),
        ):
            while rows := await reader.run(partial(_fetch, sql=find, before=before)):
                keys = to_json([row["key"] for row in rows])
                await database.write(delete, keys=keys, before=before)
                deleted.set()


async def _fetch(connection: Connection, sql: str, **arguments: object) -> Sequence[Row]:
    return await connection.fetch(sql, **arguments)
