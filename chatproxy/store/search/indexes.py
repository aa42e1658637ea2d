"""Indexes of the words of single documents, in memory, so that a score depends on that document alone.

An index is built at a document's first search, in a thread. It is never out of date: a complete document does
not change.
"""

import asyncio
import sqlite3
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic
from typing import Final, TypeVar

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.fair import FairSlots, surplus
from chatproxy.store.database import phrase
from chatproxy.store.search.pairs import MOST_TERMS, UNSPACED, pairs

T = TypeVar("T")

MAX_BYTES: Final = 32 * 1024 * 1024  # of all indexes that are kept
OVERHEAD: Final = 128 * 1024  # bytes that an empty index takes
SEARCH_SECONDS: Final = 1.0

TOKENIZER: Final = "porter unicode61 remove_diacritics 2"

_CREATE: Final = (
    f"CREATE VIRTUAL TABLE words USING fts5 (text, openings, content = '', tokenize = '{TOKENIZER}')"
)
_INSERT: Final = "INSERT INTO words (rowid, text, openings) VALUES (?, ?, ?)"
_SIZE: Final = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
_FOUND: Final = "SELECT rowid + ? AS number, -rank * ? AS score FROM words WHERE words MATCH ?"
_SEARCH: Final = """
    SELECT number, sum(score) FROM ({found}) WHERE number < ?
    GROUP BY number ORDER BY 2 DESC, number LIMIT ?
"""


class Query(Struct, frozen=True):
    """Words to search for, and the weight of what they find.

    `following` is the weight that the chunk after one that is found gets: what is asked for may go on there.
    """

    words: Sequence[str]
    weight: float = 1.0
    following: float = 0.0


class DocumentIndex:
    """The words of one document's chunks, without the text itself. Its memory is freed with the last use."""

    def __init__(self) -> None:
        # SQLite takes turns between threads by itself.
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._connection.close)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(_CREATE)
        self._count = 0
        self.size = OVERHEAD  # bytes

    def add(self, chunks: Sequence[str]) -> None:
        """Add the next chunks; `search` calls them by number, from 0."""
        rows = [
            (number, text, "\n".join([openings(text), *pairs(text, ends=True)]))
            for number, text in enumerate(chunks, start=self._count)
        ]
        self._connection.executemany(_INSERT, rows)
        self._count += len(chunks)

    def finish(self) -> None:
        """Make ready for searches. Commits once, since FTS5 has to merge what each commit writes."""
        self._connection.commit()
        self.size = OVERHEAD + self._connection.execute(_SIZE).fetchone()[0]

    def search(self, queries: Sequence[Query], limit: int) -> dict[int, float]:
        """Return the scores of chunks that hold any of the words, by number, best first.

        The score is BM25's, which favours words that are rare in the document, times the weight. Raises
        `overloaded` if the search takes longer than SEARCH_SECONDS.
        """
        found = [
            (after, weight, any_of(query.words))
            for query in queries
            for after, weight in enumerate((query.weight, query.following))
            if weight
        ]
        if not found:
            return {}
        sql = _SEARCH.format(found=" UNION ALL ".join([_FOUND] * len(found)))
        arguments = [value for each in found for value in each]
        deadline = monotonic() + SEARCH_SECONDS
        self._connection.set_progress_handler(lambda: monotonic() > deadline, 1000)
        try:
            return dict(self._connection.execute(sql, (*arguments, self._count, limit)).fetchall())
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise ChatError(
                "overloaded",
                "The document takes too long to search; ask with fewer words, or try again in a moment.",
                retry_after=1,
            ) from error


class DocumentIndexes:
    """The indexes of documents that were searched last. Users take turns at building and at searching."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[str, DocumentIndex]] = {}  # by document, least recently used first
        self._building: set[int] = set()  # documents
        # Apart, so that no search in an index that is kept waits for one that is being built.
        self._builds = _slots()
        self._searches = _slots()

    async def search(
        self,
        owner: str,
        document_id: int,
        chunks: AsyncIterator[Sequence[str]],
        queries: Sequence[Query],
        limit: int,
    ) -> dict[int, float]:
        """Return what `DocumentIndex.search` does; build the index from `chunks` if it is not kept.

        Raises `overloaded` if the owner has too many searches waiting, and what `chunks` raises.
        """
        index = self._used(document_id) or await self._added(owner, document_id, chunks)
        async with self._searches.slot(owner):
            return await _in_thread(index.search, queries, limit)

    def _used(self, document_id: int) -> DocumentIndex | None:
        """Return an index that is kept, which is then the last one used."""
        kept = self._kept.pop(document_id, None)
        if kept is None:
            return None
        self._kept[document_id] = kept
        return kept[1]

    async def _added(
        self, owner: str, document_id: int, chunks: AsyncIterator[Sequence[str]]
    ) -> DocumentIndex:
        """Return a new index, which is kept unless its document is deleted meanwhile."""
        async with self._builds.slot(owner):  # of which each owner has one
            if index := self._used(document_id):
                return index
            self._building.add(document_id)
            try:
                index = await _built(chunks)
                if document_id in self._building:
                    self._kept[document_id] = owner, index
                    self._shrink()
                return index
            finally:
                self._building.discard(document_id)

    def discard(self, document_id: int) -> None:
        """Forget the index of a document that was deleted."""
        self._kept.pop(document_id, None)
        self._building.discard(document_id)

    def _shrink(self) -> None:
        """Forget indexes of the owner who has the most, least recently used first, until the rest fits."""
        sizes = {document_id: (owner, index.size) for document_id, (owner, index) in self._kept.items()}
        for document_id in surplus(sizes, MAX_BYTES):
            del self._kept[document_id]


async def _built(chunks: AsyncIterator[Sequence[str]]) -> DocumentIndex:
    index = DocumentIndex()
    async for some in chunks:
        await _in_thread(index.add, some)
    await _in_thread(index.finish)
    return index


async def _in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call a function in a thread. A caller who is cancelled waits for its end: it still takes the slot."""
    call = asyncio.create_task(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait({call})
        call.exception()  # mark as retrieved
        raise


def any_of(words: Sequence[str]) -> str:
    """Return an FTS5 query for any of the words. Runs without spaces are searched for in pairs."""
    terms = [*words, *pairs(" ".join(words))[:MOST_TERMS]]
    beginnings = [f"{phrase(word)}*" for word in words if len(word) == 1 and UNSPACED.match(word)]  # of pairs
    return " OR ".join(dict.fromkeys([*map(phrase, terms), *beginnings]))


def _slots() -> FairSlots:
    return FairSlots(
        2,
        64,
        slots_per_user=1,
        places_per_user=16,
        refusal=lambda: ChatError(
            "overloaded", "Too many searches are waiting; try again in a few seconds.", retry_after=3
        ),
    )


def openings(text: str) -> str:
    """Return what hints at each paragraph's subject: a line that may be a heading, or the first two words."""
    return "\n".join([_opening(*paragraph.strip().partition("\n")) for paragraph in text.split("\n\n")])


def _opening(line: str, _: str, rest: str) -> str:
    heading = len(line) < 80 and (not rest or line.startswith("#") or line[:1].isdecimal())
    return line if heading else " ".join(line.split(maxsplit=2)[:2])
