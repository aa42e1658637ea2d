"""Between SQLite's rows and the records: the columns of each, how they are read, and what makes them."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import aiosqlite
import msgspec

from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError
from chatproxy.store.records import Failure, Message, Notice, Session, Source, Usage

# The columns that a record is made of, under the names of its fields.
SESSION: Final = "id, title, model, system, document_id, created_at, updated_at, message_count"
MESSAGE: Final = (
    "id, role, content, thinking, status, model, model_reason, document_id, sources, warnings, "
    "finish_reason, usage, error, image_count, client_message_id, created_at, updated_at, "
    "(SELECT session.id FROM session WHERE key = message.session) AS session_id"
)
# Of the session that is asked for, or NULL.
KEY: Final = "(SELECT key FROM session WHERE id = :session AND owner = :owner)"

_JSON: Final[Mapping[str, Any]] = {
    "sources": list[Source],
    "warnings": list[Notice],
    "usage": Usage | None,
    "error": Failure | None,
}

LARGEST: Final = 2**63 - 1  # of SQLite's integers

Row = sqlite3.Row


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json(value: object) -> str | None:
    """A column's content: NULL for None."""
    return None if value is None else msgspec.json.encode(value).decode()


async def fetch(connection: aiosqlite.Connection, sql: str, **arguments: object) -> Sequence[Row]:
    """All rows; none where an argument is a number past SQLite's integers, which can be nothing's id."""
    try:
        return list(await connection.execute_fetchall(sql, arguments))
    except OverflowError:
        return []


def only(rows: Sequence[Row], session_id: str) -> Row:
    """The one row that was asked for by the session's id; `not_found` where there is none."""
    if not rows:
        raise ChatError("not_found", f"There is no session {session_id}; list the sessions, or create one.")
    return rows[0]


def session(row: Row) -> Session:
    return Session(**{name: row[name] for name in SESSION.split(", ")})


def message(row: Row) -> Message:
    fields = {name: row[name] for name in Message.__struct_fields__ if name != "cursor"}
    for name, shape in _JSON.items():
        if fields[name] is not None:
            fields[name] = msgspec.json.decode(fields[name], type=shape)
    if fields["role"] == "assistant":
        # Counted here, because length() in SQL stops at NUL.
        end = fields["status"] != "streaming"
        fields["cursor"] = str(Cursor(len(fields["thinking"]), len(fields["content"]), end))
    return Message(**fields)
