"""Vectors of documents' chunks: texts with similar meanings have similar ones.

They are derived from the chunks, by a model that `embedding` asks, and kept in the database with 16 bits for
each number: half of what they are computed with, for an error in a similarity of 0.0001 at most. A matrix of
those of each document searched last is kept in memory, so that a search is one product.

All vectors here are of length 1, so that the product of two is their similarity, from -1 to 1. Only those
that were made with the same `key` can be compared.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from chatproxy.fair import surplus
from chatproxy.store.database import Connection, Database
from chatproxy.store.records import Document
from chatproxy.store.search.indexes import Place, Query, in_thread, slots

if TYPE_CHECKING:
    from chatproxy.store.search.matrices import Matrix

MAX_BYTES: Final = 64 * 1024 * 1024  # of all matrices that are kept
ROWS_PER_READ: Final = 16  # of at most 64 vectors each, which are 8 MiB with 4,096 numbers
ROWS_PER_STEP: Final = 8

# How many chunks of a document have a vector of the key that counts, as a column; NULL: none counts.
EMBEDDED: Final = (
    "CASE WHEN CAST(:key AS TEXT) IS NULL THEN NULL WHEN embedded_by = :key THEN embedded ELSE 0 END"
    " AS embedded"
)
_PENDING: Final = f"""
    SELECT id, owner, chunks, {EMBEDDED}, coalesce(embedded_by = :key, FALSE) AS is_current FROM document
    WHERE complete AND chunks > 0 AND (document.embedded < chunks OR NOT coalesce(embedded_by = :key, FALSE))
    AND (CAST(:after AS TEXT) IS NULL OR owner > :after) ORDER BY owner, id DESC LIMIT 1
"""
_LATEST: Final = """
    SELECT embedded_by FROM document WHERE complete AND embedded_by IS NOT NULL ORDER BY id DESC LIMIT 1
"""
_TEXTS: Final = """
    SELECT text, heading FROM chunk
    WHERE key BETWEEN :first AND :last ORDER BY key
"""
_NUMBERS: Final = """
    SELECT key, numbers FROM vectors WHERE key BETWEEN :first AND :last AND EXISTS (
        SELECT 1 FROM document WHERE id = :id AND complete AND embedded = chunks AND embedded_by = :key
    ) ORDER BY key LIMIT :limit
"""
_REMOVE: Final = """
    DELETE FROM vectors WHERE key IN
    (SELECT key FROM vectors WHERE key BETWEEN :first AND :last LIMIT :limit)
"""
_ADVANCE: Final = """
    UPDATE document SET embedded = CAST(:first AS BIGINT) + :count, embedded_by = :key
    WHERE id = :id AND complete AND embedded = :first AND coalesce(embedded_by, :key) = :key RETURNING id
"""


def chunks_of(document_id: int) -> dict[str, int]:
    """Return the first and the last key that a document's chunks, and its vectors, may have."""
    return {"first": document_id << 20, "last": (document_id + 1 << 20) - 1}


class Pending(Struct, frozen=True):
    """A document that lacks vectors: those of its chunks from number `embedded` on.

    One that is not `is_current` may have vectors of another key.
    """

    id: int
    owner: str
    chunks: int
    embedded: int
    is_current: bool


class Meaning(Protocol):
    """What makes vectors of questions."""

    async def of_questions(self, questions: Sequence[str]) -> Sequence[Sequence[float]] | None:
        """Return a vector for each question, soon, or else None."""


class Vectors:
    """The vectors of all documents. `key` is of those that count now; None: no model makes any.

    `due` is set when there may be chunks without a vector. `meaning` makes those of questions.
    """

    def __init__(self, database: Database) -> None:
        self.key: str | None = None
        self.meaning: Meaning | None = None
        self.due = asyncio.Event()
        self.due.set()  # an earlier process may have left some
        self._database = database
        self._kept: dict[int, _Matrix] = {}  # by document, least recently used first
        self._loading: set[int] = set()  # documents
        self._loads = slots()

    async def use(self, key: str | None) -> None:
        """Let the vectors of that key count, and no others; load numpy for the first one."""
        if key is not None:
            await asyncio.to_thread(import_module, "chatproxy.store.search.matrices")
        self.key = key

    # -- of chunks

    async def has_documents(self) -> bool:
        """Return whether there are any documents."""
        (row,) = await self._database.fetch("SELECT EXISTS (SELECT 1 FROM document WHERE complete) AS some")
        return bool(row["some"])

    async def latest_key(self) -> str | None:
        """Return the key of the newest document's vectors, which an earlier process may have made."""
        rows = await self._database.fetch(_LATEST)
        return rows[0]["embedded_by"] if rows else None

    async def pending(self, key: str, after: str | None) -> Pending | None:
        """Return the newest document that lacks vectors, of the next owner `after` one, or of the first."""
        for start in dict.fromkeys([after, None]):
            if rows := await self._database.fetch_slow(_PENDING, owner="", key=key, after=start):
                return Pending(**dict(rows[0]))
        return None

    async def texts(self, document: Pending, most: int) -> list[str]:
        """Return the texts, each below its heading, of the next chunks; none if the document was deleted."""
        first, last = document.id << 20, min(document.chunks, document.embedded + most) - 1
        rows = await self._database.fetch_slow(
            _TEXTS, owner=document.owner, first=first + document.embedded, last=first + last
        )
        return [f"{row['heading']}\n{row['text']}" if row["heading"] else row["text"] for row in rows]

    async def add(self, document: Pending, key: str, vectors: Sequence[Sequence[float]]) -> None:
        """Store the vectors of the next chunks, unless the document was deleted meanwhile."""
        from chatproxy.store.search import matrices

        if not document.is_current:
            await self._database.steps(partial(_clear, document_id=document.id))
        numbers = await asyncio.to_thread(matrices.pack, vectors)
        await self._database.step(
            partial(_add, document=document, key=key, count=len(vectors), numbers=numbers)
        )

    # -- of questions

    async def similar(
        self, owner: str, documents: Sequence[Document], queries: Sequence[Query], limit: int
    ) -> dict[Place, float]:
        """Return the similarities of the chunks that are closest in meaning, best first.

        A document counts once all of its chunks have vectors. What is searched for is the sum of the queries'
        meanings by their weights. Nothing is found if the vectors of the queries are not made in time.
        """
        key = self.key
        ready = [document for document in documents if document.embedded == document.chunks]
        if len(ready) < len(documents):
            self.due.set()
        if not ready or key is None or self.meaning is None:
            return {}
        from chatproxy.store.search import matrices

        asked = await self.meaning.of_questions([query.text for query in queries])
        if asked is None:
            return {}
        wanted = await in_thread(matrices.direction, asked, [query.weight for query in queries])
        found: dict[Place, float] = {}
        for document in ready:
            matrix = self._used(document, key, wanted.size) or await self._added(
                owner, document, key, wanted.size
            )
            nearest = await in_thread(matrices.nearest, matrix.rows, wanted, limit)
            found.update({(document.id, number): similarity for number, similarity in nearest.items()})
        return dict(sorted(found.items(), key=lambda each: -each[1])[:limit])

    def _used(self, document: Document, key: str, width: int) -> "_Matrix | None":
        """Return a matrix that is kept, which is then the last one used."""
        kept = self._kept.pop(document.id, None)
        if kept is None or kept.key != key or kept.rows.shape[1] != width:
            return None
        self._kept[document.id] = kept
        return kept

    async def _added(self, owner: str, document: Document, key: str, width: int) -> "_Matrix":
        """Return a new matrix, which is kept; `width` is the length of each vector."""
        from chatproxy.store.search import matrices

        async with self._loads.slot(owner):  # of which each owner has one
            if kept := self._used(document, key, width):
                return kept
            self._loading.add(document.id)
            try:
                parts = await self._numbers(owner, document, key)
                matrix = _Matrix(owner, key, await in_thread(matrices.unpack, parts, document.chunks, width))
                if len(matrix.rows) and document.id in self._loading:
                    self._kept[document.id] = matrix
                    self._shrink()
                return matrix
            finally:
                self._loading.discard(document.id)

    async def _numbers(self, owner: str, document: Document, key: str) -> list[bytes]:
        parts: list[bytes] = []
        first, last = chunks_of(document.id).values()
        while rows := await self._database.fetch_slow(
            _NUMBERS, owner=owner, id=document.id, key=key, first=first, last=last, limit=ROWS_PER_READ
        ):
            parts += [row["numbers"] for row in rows]
            first = rows[-1]["key"] + 1
        return parts

    def _shrink(self) -> None:
        """Forget matrices of the owner who has the most, least recently used first, until the rest fits."""
        sizes = {each: (kept.owner, kept.rows.nbytes) for each, kept in self._kept.items()}
        for each in surplus(sizes, MAX_BYTES):
            del self._kept[each]

    def discard(self, document_id: int) -> None:
        """Forget the matrix of a document that was deleted."""
        self._kept.pop(document_id, None)
        self._loading.discard(document_id)


class _Matrix(Struct, frozen=True):
    """The vectors of a document's chunks, whose it is, and their key.

    Without rows, they were just being replaced by those of another key.
    """

    owner: str
    key: str
    rows: "Matrix"


# -- units of work, for the writer


async def _add(connection: Connection, document: Pending, key: str, count: int, numbers: bytes) -> None:
    """Add the vectors of the chunks that come next, if they still do."""
    arguments = {"id": document.id, "first": document.embedded, "count": count, "key": key}
    if await connection.fetch(_ADVANCE, **arguments):
        await connection.execute(
            "INSERT INTO vectors (key, numbers) VALUES (:key, :numbers)",
            key=(document.id << 20) + document.embedded,
            numbers=numbers,
        )


async def _clear(connection: Connection, document_id: int) -> bool:
    """Remove some of the vectors of an earlier key; return whether there may be more."""
    await connection.execute(
        "UPDATE document SET embedded = 0, embedded_by = NULL WHERE id = :id", id=document_id
    )
    return await remove_vectors(connection, document_id)


async def remove_vectors(connection: Connection, document_id: int) -> bool:
    """Remove some of a document's vectors; return whether there may be more."""
    return await connection.execute(_REMOVE, **chunks_of(document_id), limit=ROWS_PER_STEP) > 0
