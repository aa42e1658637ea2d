"""A turn: a question is stored with its empty answer, which grows by pieces until its outcome replaces them.

Each function is a unit of work for the writer, or a part of one.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

import aiosqlite
from msgspec.structs import asdict, astuple, replace

from chatproxy.errors import ChatError
from chatproxy.store.records import Failure, Measurement, Message, NewTurn, Piece
from chatproxy.store.rows import KEY, MESSAGE, Row, fetch, json, message, now, only

INTERRUPTED: Final = Failure(
    error="The server stopped in the middle of this answer; send the message again to get a whole one.",
    code="interrupted",
    retryable=True,
)
TITLE_LENGTH: Final = 80
AT_ONCE: Final = 100  # pieces to a statement: at each one, SQLite's thread and the loop's change places

# The send that a `client_message_id` names; takes the arguments of KEY too.
SEND: Final = f"""
    SELECT question.id AS question_id, answer.id AS answer_id, question.fingerprint
    FROM message AS question JOIN message AS answer ON answer.reply_to = question.id
    WHERE question.session = {KEY} AND question.client_message_id = :client_message_id
"""
# A message that may be replaced; takes the arguments of KEY too.
REPLACEABLE: Final = f"""
    SELECT id FROM message
    WHERE id = :replaces AND session = {KEY} AND role = 'user' AND superseded = 0
"""

_FINISH: Final = """
    UPDATE message SET
        status = :status, thinking = :thinking, content = :content,
        model = :model, model_reason = :model_reason,
        sources = :sources, warnings = :warnings,
        finish_reason = :finish_reason, usage = :usage, error = :error,
        updated_at = :now
    WHERE id = :id
"""
_MEASURED: Final = """
    INSERT OR REPLACE INTO measurement (digest, tokens_per_second, load_ms, prompt_base, prompt_slope)
    VALUES (:digest, :tokens_per_second, :load_ms, :prompt_base, :prompt_slope)
"""


def check_replaceable(rows: Sequence[Row]) -> None:
    """Raises `invalid` where REPLACEABLE found no row."""
    if not rows:
        raise ChatError(
            "invalid",
            "The message to replace is not a user message of this conversation; list its messages.",
            field="replaces",
        )


async def begin(
    connection: aiosqlite.Connection, owner: str, session_id: str, question: NewTurn
) -> tuple[Message, Message]:
    """The two rows. Raises `session_busy` where the question's `client_message_id` is stored already."""
    asked = {"owner": owner, "session": session_id}
    sessions = await fetch(
        connection, "SELECT key FROM session WHERE id = :session AND owner = :owner", **asked
    )
    key = only(sessions, session_id)["key"]
    left = 0
    if question.replaces is not None:
        check_replaceable(await fetch(connection, REPLACEABLE, **asked, replaces=question.replaces))
        left = await _supersede(connection, key, question.replaces)
    try:
        said = await _insert_question(connection, key, question)
    except sqlite3.IntegrityError as error:
        (send,) = await fetch(connection, SEND, **asked, client_message_id=question.client_message_id)
        raise ChatError(
            "session_busy",
            "This clientMessageId is stored already; send the message again to read its answer.",
            activeMessageId=send["answer_id"],
        ) from error
    answer = await _insert_answer(connection, key, question, said["id"])
    await _touch(connection, key, question, gained=2 - left)
    return message(said), message(answer)


async def _supersede(connection: aiosqlite.Connection, key: int, first: int) -> int:
    """Takes that message and all after it out of the conversation; returns how many."""
    cursor = await connection.execute(
        "UPDATE message SET superseded = 1 WHERE session = ? AND superseded = 0 AND id >= ?", (key, first)
    )
    return cursor.rowcount


async def _insert_question(connection: aiosqlite.Connection, key: int, question: NewTurn) -> Row:
    row = await _insert(
        connection,
        session=key,
        role="user",
        status="complete",
        content=question.content,
        document_id=question.document_id,
        sources="[]",
        warnings="[]",
        image_count=len(question.images),
        client_message_id=question.client_message_id,
        fingerprint=question.fingerprint,
    )
    for position, image in enumerate(question.images):
        await connection.execute(
            "INSERT INTO image (message, position, bytes) VALUES (?, ?, ?)", (row["id"], position, image)
        )
    return row


async def _insert_answer(connection: aiosqlite.Connection, key: int, question: NewTurn, reply_to: int) -> Row:
    return await _insert(
        connection,
        session=key,
        reply_to=reply_to,
        role="assistant",
        status="streaming",
        content="",
        model=question.model,
        model_reason=question.model_reason,
        document_id=question.document_id,
        sources=json(question.sources),
        warnings=json(question.warnings),
        image_count=0,
    )


async def _insert(connection: aiosqlite.Connection, **columns: object) -> Row:
    names, values = ", ".join(columns), ", ".join([f":{name}" for name in columns])
    sql = f"""
        INSERT INTO message ({names}, created_at, updated_at) VALUES ({values}, :now, :now)
        RETURNING {MESSAGE}
    """
    (row,) = await fetch(connection, sql, **columns, now=now())
    return row


async def _touch(connection: aiosqlite.Connection, key: int, question: NewTurn, gained: int) -> None:
    """Brings the session up to date with its new turn; the first one names it."""
    await connection.execute(
        "UPDATE session SET updated_at = ?, message_count = message_count + ?, document_id = ?,"
        " title = coalesce(title, ?) WHERE key = ?",
        (now(), gained, question.document_id, title(question.content), key),
    )


def title(content: str) -> str | None:
    """The first line, cut at a word where it is long; None where there are no words at all."""
    lines = content.strip().splitlines()
    if not lines:
        return None
    line = " ".join(lines[0].split())
    if len(line) <= TITLE_LENGTH:
        return line
    words, _, _ = line[:TITLE_LENGTH].rpartition(" ")
    return (words or line[: TITLE_LENGTH - 1]) + "…"


async def checkpoint(connection: aiosqlite.Connection, pieces: Sequence[Piece]) -> None:
    """Keeps what answers have gained; pieces of those that are deleted or over are dropped."""
    for first in range(0, len(pieces), AT_ONCE):
        some = pieces[first : first + AT_ONCE]
        await connection.execute(
            f"WITH gained (id, thinking, content) AS (VALUES {', '.join(['(?, ?, ?)'] * len(some))})"
            " INSERT INTO piece (message, thinking, content) SELECT id, gained.thinking, gained.content"
            " FROM gained JOIN message USING (id) WHERE status = 'streaming'",
            [value for piece in some for value in astuple(piece)],
        )


async def finish(
    connection: aiosqlite.Connection, outcome: Message, measurement: Measurement | None = None
) -> None:
    """Puts the whole text in the place of its pieces. An answer that is deleted is no error."""
    if measurement is not None:
        await connection.execute(_MEASURED, asdict(measurement))
    columns = asdict(outcome) | {
        "sources": json(outcome.sources),
        "warnings": json(outcome.warnings),
        "usage": json(outcome.usage),
        "error": json(outcome.error),
        "now": now(),
    }
    await connection.execute(_FINISH, columns)
    await connection.execute("DELETE FROM piece WHERE message = ?", (outcome.id,))
    await connection.execute(
        "UPDATE session SET updated_at = ? WHERE key = (SELECT session FROM message WHERE id = ?)",
        (columns["now"], outcome.id),
    )


async def reconcile(connection: aiosqlite.Connection) -> None:
    """Ends the answers that a crash left unfinished, with the text that their pieces hold."""
    for row in await fetch(connection, f"SELECT {MESSAGE} FROM message WHERE status = 'streaming'"):
        pieces = await fetch(
            connection, "SELECT thinking, content FROM piece WHERE message = :id ORDER BY key", id=row["id"]
        )
        outcome = replace(
            message(row),
            status="interrupted",
            thinking="".join([piece["thinking"] for piece in pieces]),
            content="".join([piece["content"] for piece in pieces]),
            error=INTERRUPTED,
        )
        await finish(connection, outcome)
