"""Documents and their chunks, written in many small units, so that a long document delays no answer's commit.

The last unit of an upload makes the document `complete`, and no query returns one that is not. One that is
deleted, or whose upload fails, is marked as `deleted` and then removed in steps, by a task of the store's.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import asdict, replace

from chatproxy.errors import ChatError
from chatproxy.store.database import MAX_ID, Connection, Database, Row, now, one_row, split_page, to_json
from chatproxy.store.owners.visitors import Quota
from chatproxy.store.records import Document, NewChunk, NewDocument, NewNotice, Notice, Source
from chatproxy.store.search.fusion import DEPTH, fused
from chatproxy.store.search.indexes import DocumentIndexes, Place, Query
from chatproxy.store.search.places import places_of
from chatproxy.store.search.vectors import EMBEDDED, Vectors, chunks_of, remove_vectors
from chatproxy.store.sql import ALONE

CHUNKS_PER_UNIT: Final = 200
# What costs no place that the questions in tests/data/documents need, asked about all documents together.
MOST_FURTHER: Final = 2
NEARLY: Final = 0.6  # of the best score

LONGEST_UPLOAD: Final = timedelta(hours=1)
COLUMNS: Final = f"id, title, media_type, bytes, chunks, {EMBEDDED}, created_at, warnings"
_GET: Final = f"SELECT {COLUMNS} FROM document WHERE id = :id AND owner = :owner AND complete"
_SOME: Final = f"""
    SELECT {COLUMNS}
    FROM (SELECT key AS place, CAST(value AS BIGINT) AS wanted FROM json_each(:ids)) AS listed
    CROSS JOIN document WHERE id = wanted AND owner = :owner AND complete ORDER BY place
"""
_LIST: Final = f"""
    SELECT {COLUMNS} FROM document WHERE owner = :owner AND complete AND id < coalesce(:before, {MAX_ID})
    ORDER BY id DESC LIMIT :limit + 1
"""
_SAME: Final = f"SELECT {COLUMNS} FROM document WHERE owner = :owner AND hash = :hash AND complete"
_CUT: Final = f"""
    UPDATE document SET deleted = TRUE WHERE NOT complete AND ({ALONE} OR created_at < :before)
"""
_DELETE: Final = "UPDATE document SET complete = FALSE, deleted = TRUE WHERE id = :id"
_DELETE_OWN: Final = f"{_DELETE} AND owner = :owner AND complete RETURNING id"
REMOVABLE: Final = "SELECT id AS key FROM document WHERE deleted"
_EXISTS: Final = "EXISTS (SELECT 1 FROM document WHERE id = :id AND complete)"
# `numbers` is a JSON array.
_CHUNKS: Final = f"""
    SELECT number, text, page, heading
    FROM (SELECT CAST(value AS BIGINT) AS number FROM json_each(:numbers)) AS listed
    JOIN chunk ON chunk.key = (CAST(:id AS BIGINT) << 20) + number
    WHERE {_EXISTS} ORDER BY number
"""
_COMPLETE: Final = f"""
    UPDATE document SET complete = TRUE, chunks = :count, warnings = :warnings WHERE id = :id
    RETURNING {COLUMNS}
"""
_REMOVE_SOME: Final = """
    DELETE FROM chunk WHERE key IN (SELECT key FROM chunk WHERE key BETWEEN :first AND :last LIMIT :limit)
"""
_INSERT: Final = """
    INSERT INTO document (owner, hash, title, media_type, bytes, chunks, created_at)
    VALUES (:owner, :hash, :title, :media_type, :size, 0, :now) RETURNING id
"""


class Documents:
    """The documents of all owners.

    `create`, `get`, `some`, `page` and `delete` take an owner. Everything else takes a `Document`, which
    comes only from them. Another owner's document is as missing as one that is none.
    """

    def __init__(self, database: Database, deleted: asyncio.Event, quota: Quota | None = None) -> None:
        """Set `deleted` whenever there is something for `remove_deleted`; `quota` is that of visitors."""
        self._database = database
        self._quota = quota
        self._indexes = DocumentIndexes()
        self.vectors = Vectors(database)
        self._deleted = deleted

    async def earlier(self, owner: str, new: NewDocument) -> Document | None:
        """Return the owner's document with the same content, if there is one.

        Raises `visitor_limit` if there is none, and a new one is more than a visitor may keep.
        """
        return await self._database.run(
            partial(_earlier, owner=owner, new=new, quota=self._quota, key=self.vectors.key)
        )

    async def create(
        self,
        owner: str,
        new: NewDocument,
        chunks: AsyncIterator[Sequence[NewChunk]],
        warnings: Sequence[NewNotice] = (),
    ) -> tuple[Document, bool]:
        """Store a document; return it, and whether it is new: an owner has each content only once.

        Each batch of `chunks` is a unit of its own, so it has to be short. If `chunks` raises, nothing stays.
        Raises `visitor_limit` if it is more than a visitor may keep.
        """
        run, key = self._database.run, self.vectors.key
        if earlier := await run(partial(_find_same, owner=owner, new=new, key=key)):
            return earlier, False
        document_id = await run(partial(_begin, owner=owner, new=new, quota=self._quota))
        try:
            count = 0
            async for batch in chunks:
                add = partial(_add, document_id=document_id, first=count, chunks=batch)
                await self._database.step(add)
                count += len(batch)
            found = await run(
                partial(
                    _complete,
                    owner=owner,
                    document_id=document_id,
                    new=new,
                    count=count,
                    warnings=[Notice(code=code, message=message) for code, message in warnings],
                    key=key,
                )
            )
        except BaseException:
            with suppress(ChatError):  # else the next start does this
                await self._discard(document_id)
            raise
        if found.id != document_id:
            await self._discard(document_id)
        self.vectors.due.set()
        return found, found.id == document_id

    async def _discard(self, document_id: int) -> None:
        await self._database.write(_DELETE, id=document_id)
        self._deleted.set()

    async def get(self, owner: str, document_id: int) -> Document:
        """Return the owner's document; raise `not_found`."""
        return _document(
            one_row(
                await self._database.fetch(_GET, owner=owner, id=document_id, key=self.vectors.key),
                _missing(document_id),
            )
        )

    async def some(self, owner: str, document_ids: Sequence[int]) -> list[Document]:
        """Return those of the documents that are the owner's, in this order."""
        ids = to_json([id for id in document_ids if id <= MAX_ID])
        rows = await self._database.fetch(_SOME, owner=owner, ids=ids, key=self.vectors.key)
        return [_document(row) for row in rows]

    async def page(self, owner: str, *, limit: int, before: int | None) -> tuple[list[Document], int | None]:
        """Return the newest before that id, and the next `before` (None: no more)."""
        rows = await self._database.fetch(
            _LIST, owner=owner, before=before, limit=limit, key=self.vectors.key
        )
        shown, following = split_page(rows, limit)
        return [_document(row) for row in shown], following

    async def delete(self, owner: str, document_id: int) -> None:
        """Delete the owner's document; raise `not_found`.

        Sessions keep its id, which never becomes another document's.
        """
        rows = await self._database.write(_DELETE_OWN, owner=owner, id=document_id)
        one_row(rows, _missing(document_id))
        self._indexes.discard(document_id)
        self.vectors.discard(document_id)
        self._deleted.set()

    async def remove_deleted(self) -> None:
        """Remove deleted documents, and all their chunks."""
        for row in await self._database.fetch(REMOVABLE):
            await self._database.steps(partial(remove_some, key=row["key"]))

    async def search(
        self,
        owner: str,
        documents: Sequence[Document],
        queries: Sequence[Query],
        *,
        limit: int,
        similar: Collection[Place] = (),
    ) -> list[Source]:
        """Return the chunks that hold any of the words, best first, and where; see `DocumentIndexes.search`.

        If there are `similar` ones, the closest first, these are joined with them.
        Raises `not_found` as `chunks` does, and `overloaded` if the owner has too many searches waiting.
        """
        by_words = await self._by_words(owner, documents, queries, DEPTH if similar else limit)
        found = best(fused(by_words, similar) if similar else by_words, by_words, limit)
        chunks = [
            each
            for document in documents
            for each in await self.chunks(document, [number for id, number in found if id == document.id])
        ]
        places = await asyncio.to_thread(
            places_of, [word for query in queries for word in query.words], [each.snippet for each in chunks]
        )
        sources = [
            replace(each, score=found[each.document_id, each.chunk], found=some)
            for each, some in zip(chunks, places, strict=True)
        ]
        order = {place: number for number, place in enumerate(found)}
        return sorted(sources, key=lambda each: order[each.document_id, each.chunk])

    async def similar(
        self, owner: str, documents: Sequence[Document], queries: Sequence[Query]
    ) -> dict[Place, float]:
        """Return the chunks that are closest in meaning, best first; none if that is not known soon."""
        with suppress(ChatError):  # such as too many who wait
            return await self.vectors.similar(owner, documents, queries, DEPTH)
        return {}

    async def hold(self, owner: str, documents: Sequence[Document], queries: Sequence[Query]) -> bool:
        """Return whether any chunk holds any of the words. Raises what `search` does."""
        return bool(await self._by_words(owner, documents, queries, 1))

    async def _by_words(
        self, owner: str, documents: Sequence[Document], queries: Sequence[Query], limit: int
    ) -> dict[Place, float]:
        texts = {document.id: partial(self._texts, owner, document) for document in documents}
        return await self._indexes.search(owner, texts, queries, limit)

    async def _texts(self, owner: str, document: Document) -> AsyncIterator[Sequence[str]]:
        """Yield the text of all chunks, in steps; owners take turns. Raises `not_found` as `chunks` does."""
        for first in range(0, document.chunks, CHUNKS_PER_UNIT):
            numbers = range(first, min(first + CHUNKS_PER_UNIT, document.chunks))
            arguments = _arguments(document, numbers)
            rows = await self._database.fetch_slow(_CHUNKS, owner=owner, **arguments)
            self._check_found(document, numbers, rows)
            yield [_with_heading(row["text"], row["heading"]) for row in rows]

    async def chunks(self, document: Document, numbers: Sequence[int]) -> list[Source]:
        """Return the chunks of those numbers, in the order of the document; without numbers, read nothing.

        Raises `not_found` if there are none: the document was deleted after its record was read.
        """
        rows = await self._database.fetch(_CHUNKS, **_arguments(document, numbers)) if numbers else ()
        self._check_found(document, numbers, rows)
        return [_source(row, document) for row in rows]

    def _check_found(self, document: Document, numbers: Sequence[int], rows: Sequence[Row]) -> None:
        if numbers and document.chunks and not rows:
            self._indexes.discard(document.id)
            one_row(rows, _missing(document.id))


def best(found: Mapping[Place, float], by_words: Mapping[Place, float], limit: int) -> dict[Place, float]:
    """Return the `limit` best of what was found, best first, as `found` is.

    Up to MOST_FURTHER documents that would have none get in with one, if they hold the words nearly as well
    as any, each in the place of the last one of a document that has several. So what two documents say is not
    lost to how often one of them says it. Sums of ranks do not say how good a document is: they are close to
    each other for all.
    """
    kept = [*found][:limit]
    firsts = {place[0]: place for place in reversed([*found])}
    for place in kept:
        firsts.pop(place[0], None)
    enough = NEARLY * max(by_words.values(), default=0.0)
    good = {id for (id, _), score in by_words.items() if score >= enough}
    further = [place for place in found if place in firsts.values() and place[0] in good]
    for place in further[:MOST_FURTHER]:
        counts = Counter(id for id, _ in kept)
        if several := [place for place in kept if counts[place[0]] > 1]:
            kept.remove(several[-1])
            kept.append(place)
    return {place: score for place, score in found.items() if place in kept}


def _with_heading(text: str, heading: str | None) -> str:
    """Return what a chunk is found by: its text, and the heading above it."""
    return text if heading is None or heading in text else f"{heading}\n\n{text}"


def _arguments(document: Document, numbers: Sequence[int]) -> dict[str, object]:
    return {"id": document.id, "numbers": to_json(list(numbers))}


def _missing(document_id: int) -> str:
    return f"document {document_id}; list the documents, or send it again"


def _document(row: Row) -> Document:
    warnings = msgspec.json.decode(row["warnings"], type=list[Notice])
    return Document(**dict(row) | {"warnings": warnings})


def _source(row: Row, document: Document) -> Source:
    return Source(
        document_id=document.id,
        title=document.title,
        chunk=row["number"],
        snippet=row["text"],
        page=row["page"],
        heading=row["heading"],
        score=0.0,
    )


# -- units of work, for the writer


async def _find_same(
    connection: Connection, owner: str, new: NewDocument, key: str | None
) -> Document | None:
    """Return the owner's document with that content."""
    rows = await connection.fetch(_SAME, owner=owner, hash=new.hash, key=key)
    return _document(rows[0]) if rows else None


async def _earlier(
    connection: Connection, owner: str, new: NewDocument, quota: Quota | None, key: str | None
) -> Document | None:
    earlier = await _find_same(connection, owner, new, key)
    if earlier is None and quota is not None:
        await quota.check_bytes(connection, owner, new.size)
    return earlier


async def _begin(connection: Connection, owner: str, new: NewDocument, quota: Quota | None) -> int:
    """Insert a document that is not complete yet; return its id."""
    if quota is not None:
        await quota.check_bytes(connection, owner, new.size)
    (row,) = await connection.fetch(_INSERT, **asdict(new) | {"owner": owner, "now": now()})
    return int(row["id"])


async def _add(connection: Connection, document_id: int, first: int, chunks: Sequence[NewChunk]) -> None:
    """Add chunks; `first` is the number of the first one."""
    await connection.executemany(
        "INSERT INTO chunk (key, text, page, heading) VALUES (:key, :text, :page, :heading)",
        [
            {"key": key, "text": text, "page": page, "heading": heading}
            for key, (text, page, heading) in enumerate(chunks, start=(document_id << 20) + first)
        ],
    )


async def _complete(
    connection: Connection,
    owner: str,
    document_id: int,
    new: NewDocument,
    count: int,
    warnings: Sequence[Notice],
    key: str | None,
) -> Document:
    """Complete the document and return it, or an earlier one with the same content, completed meanwhile."""
    await connection.lock(f"content {new.hash.hex()} {owner}")
    if earlier := await _find_same(connection, owner, new, key):
        return earlier
    (row,) = await connection.fetch(
        _COMPLETE, id=document_id, count=count, warnings=to_json(warnings), key=key
    )
    return _document(row)


async def remove_some(connection: Connection, key: int) -> bool:
    """Delete some vectors or chunks of a deleted document or, after the last, the document itself.

    Return whether there is more to delete.
    """
    if await remove_vectors(connection, key):
        return True
    if await connection.execute(_REMOVE_SOME, **chunks_of(key), limit=CHUNKS_PER_UNIT):
        return True
    await connection.execute("DELETE FROM document WHERE id = :id", id=key)
    return False


async def reconcile(connection: Connection) -> bool:
    """Delete what a crash left of uploads. Return False: one unit is enough.

    Where others use the database, too, an upload may be theirs, unless it takes too long to be one.
    """
    await connection.execute(_CUT, before=now(-LONGEST_UPLOAD))
    return False
