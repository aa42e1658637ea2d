"""Documents: stored in many small units, so that a long one keeps no answer's commit waiting.

A document comes to be with the last of its units and is gone with the first that takes it away;
in between it is not `complete`, and nobody sees it. What a crash left so is swept away at the next start.
Each function is a unit of work for the writer, or a part of one.
"""

import re
from collections.abc import Sequence
from typing import Final

import aiosqlite
from msgspec.structs import asdict

from chatproxy.errors import ChatError
from chatproxy.store.records import Document, NewDocument, Source
from chatproxy.store.rows import LARGEST, Row, fetch, now

AT_ONCE: Final = 200  # chunks of one unit
MAX_PAIRS: Final = 64  # of a search

COLUMNS: Final = "id, title, media_type, bytes, chunks, created_at"
GET: Final = f"SELECT {COLUMNS} FROM document WHERE id = :id AND owner = :owner AND complete"
LIST: Final = f"""
    SELECT {COLUMNS} FROM document WHERE owner = :owner AND complete AND id < ifnull(:before, {LARGEST})
    ORDER BY id DESC LIMIT :limit + 1
"""
_SAME: Final = f"SELECT {COLUMNS} FROM document WHERE owner = :owner AND hash = :hash AND complete"
_OWNED: Final = "EXISTS (SELECT 1 FROM document WHERE id = :id AND owner = :owner AND complete)"
# The range keeps the search to this document's part of the index; how rare a word is, is counted over all.
SEARCH: Final = f"""
    SELECT found.number, text, found.score FROM (
        SELECT rowid AS key, rowid - (:id << 20) AS number, -rank AS score FROM chunk_words
        WHERE chunk_words MATCH :words AND rowid BETWEEN :id << 20 AND (:id + 1 << 20) - 1 AND {_OWNED}
        ORDER BY rank LIMIT :limit
    ) AS found JOIN chunk USING (key) ORDER BY found.score DESC
"""
# Takes `numbers` as a JSON array.
CHUNKS: Final = f"""
    SELECT value AS number, text, 0.0 AS score
    FROM json_each(:numbers) JOIN chunk ON chunk.key = (:id << 20) + value
    WHERE {_OWNED} ORDER BY value
"""
_INSERT: Final = """
    INSERT INTO document (owner, hash, title, media_type, bytes, chunks, created_at)
    VALUES (:owner, :hash, :title, :media_type, :size, :chunks, :now) RETURNING id
"""


def document(row: Row) -> Document:
    return Document(**{name: row[name] for name in COLUMNS.split(", ")})


def source(row: Row, document: Document) -> Source:
    return Source(
        document_id=document.id,
        title=document.title,
        chunk=row["number"],
        snippet=row["text"],
        score=row["score"],
    )


def only(rows: Sequence[Row], document_id: int) -> Row:
    """The one row that was asked for; `not_found` where there is none."""
    if not rows:
        raise ChatError(
            "not_found", f"There is no document {document_id}; list the documents, or send it again."
        )
    return rows[0]


async def same(connection: aiosqlite.Connection, owner: str, new: NewDocument) -> Document | None:
    """The owner's document with that content."""
    rows = await fetch(connection, _SAME, owner=owner, hash=new.hash)
    return document(rows[0]) if rows else None


async def begin(connection: aiosqlite.Connection, owner: str, new: NewDocument) -> int:
    """The id of a document that is not complete."""
    (row,) = await fetch(
        connection, _INSERT, **asdict(new) | {"owner": owner, "chunks": len(new.chunks), "now": now()}
    )
    return int(row["id"])


async def add(connection: aiosqlite.Connection, document_id: int, first: int, chunks: Sequence[str]) -> None:
    """`first` is the number of the first of these."""
    await connection.executemany(
        "INSERT INTO chunk (key, text, openings) VALUES (?, ?, ?)",
        [
            (key, text, "\n".join([openings(text), *pairs(text)]))
            for key, text in enumerate(chunks, start=(document_id << 20) + first)
        ],
    )


def openings(text: str) -> str:
    """What tells each paragraph's subject: its first line where that may be a heading, else two words."""
    return "\n".join([_opening(*paragraph.strip().partition("\n")) for paragraph in text.split("\n\n")])


def _opening(line: str, _: str, rest: str) -> str:
    heading = len(line) < 80 and (not rest or line.startswith("#") or line[:1].isdecimal())
    return line if heading else " ".join(line.split()[:2])


# Chinese, Japanese, Korean: nothing parts their words, or endings are one with them.
_UNPARTED: Final = re.compile(r"[\u3005\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff\uac00-\ud7a3]{2,}")


def pairs(text: str) -> list[str]:
    """Every two neighbours of such characters, which stand for words that the index would not see."""
    return [run[place : place + 2] for run in _UNPARTED.findall(text) for place in range(len(run) - 1)]


async def complete(
    connection: aiosqlite.Connection, owner: str, document_id: int, new: NewDocument
) -> Document:
    """The document; another one where the same content has been completed meanwhile."""
    if earlier := await same(connection, owner, new):
        return earlier
    (row,) = await fetch(
        connection, f"UPDATE document SET complete = 1 WHERE id = :id RETURNING {COLUMNS}", id=document_id
    )
    return document(row)


async def withdraw(connection: aiosqlite.Connection, owner: str, document_id: int) -> None:
    """From now on nobody sees it. Raises `not_found`."""
    sql = "UPDATE document SET complete = 0 WHERE id = :id AND owner = :owner AND complete RETURNING id"
    only(await fetch(connection, sql, id=document_id, owner=owner), document_id)


async def remove(connection: aiosqlite.Connection, document_id: int) -> bool:
    """Takes away some chunks of a document that is not complete, or, after the last, the document itself;
    whether there is more to take away."""
    cursor = await connection.execute(
        "DELETE FROM chunk WHERE key IN"
        " (SELECT key FROM chunk WHERE key BETWEEN :id << 20 AND (:id + 1 << 20) - 1 LIMIT :limit)",
        {"id": document_id, "limit": AT_ONCE},
    )
    if cursor.rowcount:
        return True
    await connection.execute("DELETE FROM document WHERE id = ?", (document_id,))
    return False


async def reconcile(connection: aiosqlite.Connection) -> None:
    """Removes what a crash left of documents that were coming or going."""
    for row in await fetch(connection, "SELECT id FROM document WHERE NOT complete"):
        while await remove(connection, row["id"]):
            pass
