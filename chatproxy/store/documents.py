"""Documents and their chunks, written in many small units, so that a long document delays no answer's commit.

The last unit of an upload makes the document `complete`, and the first unit of a deletion undoes that. No
query returns a document that is not complete. If a crash leaves one, the next start removes it.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import aiosqlite
from msgspec.structs import asdict

from chatproxy.errors import ChatError
from chatproxy.store.database import MAX_ID, Database, Row, fetch, now, one_row, phrase, split_page, to_json
from chatproxy.store.records import Document, NewDocument, Source

CHUNKS_PER_UNIT: Final = 200
MAX_PAIRS: Final = 64  # per search

COLUMNS: Final = "id, title, media_type, bytes, chunks, created_at"
_GET: Final = f"SELECT {COLUMNS} FROM document WHERE id = :id AND owner = :owner AND complete"
_LIST: Final = f"""
    SELECT {COLUMNS} FROM document WHERE owner = :owner AND complete AND id < ifnull(:before, {MAX_ID})
    ORDER BY id DESC LIMIT :limit + 1
"""
_SAME: Final = f"SELECT {COLUMNS} FROM document WHERE owner = :owner AND hash = :hash AND complete"
_WITHDRAW: Final = """
    UPDATE document SET complete = 0 WHERE id = :id AND owner = :owner AND complete RETURNING id
"""
_EXISTS: Final = "EXISTS (SELECT 1 FROM document WHERE id = :id AND complete)"
# The range limits the search to this document's part of the index. A word's rarity counts over all documents.
_SEARCH: Final = f"""
    SELECT found.number, text, found.score FROM (
        SELECT rowid AS key, rowid - (:id << 20) AS number, -rank AS score FROM chunk_words
        WHERE chunk_words MATCH :words AND rowid BETWEEN :id << 20 AND (:id + 1 << 20) - 1 AND {_EXISTS}
        ORDER BY rank LIMIT :limit
    ) AS found JOIN chunk USING (key) ORDER BY found.score DESC
"""
# `numbers` is a JSON array.
_CHUNKS: Final = f"""
    SELECT value AS number, text, 0.0 AS score
    FROM json_each(:numbers) JOIN chunk ON chunk.key = (:id << 20) + value
    WHERE {_EXISTS} ORDER BY value
"""
_INSERT: Final = """
    INSERT INTO document (owner, hash, title, media_type, bytes, chunks, created_at)
    VALUES (:owner, :hash, :title, :media_type, :size, :chunks, :now) RETURNING id
"""


class Documents:
    """The documents of all owners.

    `create`, `get`, `page` and `delete` take an owner. Everything else takes a `Document`, which comes only
    from them. Another owner's document raises the same `not_found` as a missing one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, owner: str, new: NewDocument) -> tuple[Document, bool]:
        """Store a document; return it, and whether it is new: an owner has each content only once."""
        run = self._database.run
        if earlier := await run(partial(_find_same, owner=owner, new=new)):
            return earlier, False
        document_id = await run(partial(_begin, owner=owner, new=new))
        try:
            for first in range(0, len(new.chunks), CHUNKS_PER_UNIT):
                some = new.chunks[first : first + CHUNKS_PER_UNIT]
                await run(partial(_add, document_id=document_id, first=first, chunks=some), heavy=True)
            found = await run(partial(_complete, owner=owner, document_id=document_id, new=new))
        except ChatError:
            with suppress(ChatError):  # else the next start removes it
                await self._remove(document_id)
            raise
        if found.id != document_id:
            await self._remove(document_id)
        return found, found.id == document_id

    async def get(self, owner: str, document_id: int) -> Document:
        """Return the owner's document; raise `not_found`."""
        return _document(
            one_row(await self._database.fetch(_GET, owner=owner, id=document_id), _missing(document_id))
        )

    async def page(self, owner: str, *, limit: int, before: int | None) -> tuple[list[Document], int | None]:
        """Return the newest before that id, and the next `before` (None: no more)."""
        rows = await self._database.fetch(_LIST, owner=owner, before=before, limit=limit)
        shown, following = split_page(rows, limit)
        return [_document(row) for row in shown], following

    async def delete(self, owner: str, document_id: int) -> None:
        """Delete the owner's document; raise `not_found`.

        Sessions keep its id, which never becomes another document's.
        """
        one_row(await self._database.write(_WITHDRAW, owner=owner, id=document_id), _missing(document_id))
        with suppress(ChatError):  # no query returns it any more; the next start removes the rest
            await self._remove(document_id)

    async def _remove(self, document_id: int) -> None:
        while await self._database.run(partial(_remove_some, document_id=document_id), heavy=True):
            pass

    async def search(self, document: Document, words: Sequence[str], *, limit: int) -> list[Source]:
        """Return the chunks that hold any of the words, best first by BM25, which favours rare words."""
        wanted = dict.fromkeys([*words, *pairs(" ".join(words))[:MAX_PAIRS]])
        any_of = " OR ".join([phrase(word) for word in wanted])
        rows = await self._database.fetch(_SEARCH, id=document.id, words=any_of, limit=limit)
        return [_source(row, document) for row in rows]

    async def chunks(self, document: Document, numbers: Sequence[int]) -> list[Source]:
        """Return the chunks of those numbers, in the order of the document.

        Raises `not_found` if there are none: the document was deleted after its record was read.
        """
        rows = await self._database.fetch(_CHUNKS, id=document.id, numbers=to_json(list(numbers)))
        if numbers and document.chunks:
            one_row(rows, _missing(document.id))
        return [_source(row, document) for row in rows]


def _missing(document_id: int) -> str:
    return f"document {document_id}; list the documents, or send it again"


def _document(row: Row) -> Document:
    return Document(**{name: row[name] for name in COLUMNS.split(", ")})


def _source(row: Row, document: Document) -> Source:
    return Source(
        document_id=document.id,
        title=document.title,
        chunk=row["number"],
        snippet=row["text"],
        score=row["score"],
    )


# -- units of work, for the writer


async def _find_same(connection: aiosqlite.Connection, owner: str, new: NewDocument) -> Document | None:
    """Return the owner's document with that content."""
    rows = await fetch(connection, _SAME, owner=owner, hash=new.hash)
    return _document(rows[0]) if rows else None


async def _begin(connection: aiosqlite.Connection, owner: str, new: NewDocument) -> int:
    """Insert a document that is not complete yet; return its id."""
    (row,) = await fetch(
        connection, _INSERT, **asdict(new) | {"owner": owner, "chunks": len(new.chunks), "now": now()}
    )
    return int(row["id"])


async def _add(connection: aiosqlite.Connection, document_id: int, first: int, chunks: Sequence[str]) -> None:
    """Add chunks; `first` is the number of the first one."""
    await connection.executemany(
        "INSERT INTO chunk (key, text, openings) VALUES (?, ?, ?)",
        [
            (key, text, "\n".join([openings(text), *pairs(text)]))
            for key, text in enumerate(chunks, start=(document_id << 20) + first)
        ],
    )


def openings(text: str) -> str:
    """Return what hints at each paragraph's subject: a line that may be a heading, or the first two words."""
    return "\n".join([_opening(*paragraph.strip().partition("\n")) for paragraph in text.split("\n\n")])


def _opening(line: str, _: str, rest: str) -> str:
    heading = len(line) < 80 and (not rest or line.startswith("#") or line[:1].isdecimal())
    return line if heading else " ".join(line.split()[:2])


# Chinese and Japanese do not separate words, Korean does not separate them from their endings.
_CJK: Final = re.compile(r"[\u3005\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff\uac00-\ud7a3]{2,}")


def pairs(text: str) -> list[str]:
    """Return all pairs of adjacent CJK characters, which stand in for words that the index cannot see."""
    return [run[place : place + 2] for run in _CJK.findall(text) for place in range(len(run) - 1)]


async def _complete(
    connection: aiosqlite.Connection, owner: str, document_id: int, new: NewDocument
) -> Document:
    """Complete the document and return it, or an earlier one with the same content, completed meanwhile."""
    if earlier := await _find_same(connection, owner, new):
        return earlier
    (row,) = await fetch(
        connection, f"UPDATE document SET complete = 1 WHERE id = :id RETURNING {COLUMNS}", id=document_id
    )
    return _document(row)


async def _remove_some(connection: aiosqlite.Connection, document_id: int) -> bool:
    """Delete some chunks of an incomplete document or, after the last, the document itself.

    Return whether there is more to delete.
    """
    cursor = await connection.execute(
        "DELETE FROM chunk WHERE key IN"
        " (SELECT key FROM chunk WHERE key BETWEEN :id << 20 AND (:id + 1 << 20) - 1 LIMIT :limit)",
        {"id": document_id, "limit": CHUNKS_PER_UNIT},
    )
    if cursor.rowcount:
        return True
    await connection.execute("DELETE FROM document WHERE id = ?", (document_id,))
    return False


async def reconcile(connection: aiosqlite.Connection) -> None:
    """Remove what a crash left of documents that were being created or deleted."""
    for row in await fetch(connection, "SELECT id FROM document WHERE NOT complete"):
        while await _remove_some(connection, row["id"]):
            pass
