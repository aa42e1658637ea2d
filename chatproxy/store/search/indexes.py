"""Indexes of the words of documents, in memory, one for each, so that scores depend on those searched alone.

An index is built at a document's first search, in a thread. It is never out of date: a complete document does
not change. Several documents are searched as if they were one: how rare a word is counts over all of them, as
else a word that is rare in one document would outweigh what another one is about.
"""

import asyncio
import sqlite3
import weakref
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from math import log
from time import monotonic
from typing import Any, Final, TypeVar

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.fair import FairSlots, surplus
from chatproxy.store.database import to_json
from chatproxy.store.search.pairs import MOST_TERMS, UNSPACED, pairs
from chatproxy.store.search.spellings import plain

T = TypeVar("T")

MAX_BYTES: Final = 32 * 1024 * 1024  # of all indexes that are kept
OVERHEAD: Final = 128 * 1024  # bytes that an empty index takes
SEARCH_SECONDS: Final = 1.0  # in each document
MOST_GROUPS: Final = (
    64  # of a query's phrases; SQLite takes 500 parts of a query, with up to seven times as many
)

SHORTEST: Final = 5  # letters of a word that is also searched for by how it begins
BEGINNING: Final = 0.7  # of its letters
FORMS: Final = 0.3  # the weight of what begins so, by that of the word
FEW: Final = 3  # chunks that may hold such a word; more are enough to find it by

TOKENIZER: Final = "porter unicode61 remove_diacritics 2"

_CREATE: Final = (
    f"CREATE VIRTUAL TABLE words USING fts5 (text, openings, content = '', tokenize = '{TOKENIZER}')"
)
_INSERT: Final = "INSERT INTO words (rowid, text, openings) VALUES (?, ?, ?)"
_SIZE: Final = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
_HOLDING: Final = "SELECT value, (SELECT count(*) FROM words WHERE words MATCH value) FROM json_each(?)"
_FOUND: Final = "SELECT rowid + ? AS number, -rank * ? AS score FROM words WHERE words MATCH ?"
_SEARCH: Final = """
    SELECT number, sum(score) FROM ({found}) WHERE number < ?
    GROUP BY number ORDER BY 2 DESC, number LIMIT ?
"""


class Query(Struct, frozen=True):
    """Words to search for, the weight of what they find, and the question's text, for its meaning.

    `following` is the weight that the chunk after one that is found gets: what is asked for may go on there.
    """

    words: Sequence[str]
    weight: float = 1.0
    following: float = 0.0
    text: str = ""


class Counts(Struct, frozen=True):
    """How many chunks there are, and how many of them hold each phrase."""

    chunks: int
    holding: Mapping[str, int]

    def inverse_frequency(self, phrase: str) -> float:
        """Return how rare a phrase is to FTS5, whose scores are in proportion to it."""
        held = self.holding[phrase]
        return max(log((self.chunks - held + 0.5) / (held + 0.5)), 1e-6)


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
            for number, text in enumerate(map(plain, chunks), start=self._count)
        ]
        self._connection.executemany(_INSERT, rows)
        self._count += len(chunks)

    def finish(self) -> None:
        """Make ready for searches. Commits once, since FTS5 has to merge what each commit writes."""
        self._connection.commit()
        self.size = OVERHEAD + self._connection.execute(_SIZE).fetchone()[0]

    def counts(self, phrases: Collection[str]) -> Counts:
        """Return how many chunks hold each of the phrases; see `phrases_of`. Raises what `search` does."""
        with self._in_time() as execute:
            return Counts(self._count, dict(execute(_HOLDING, (to_json([*phrases]),))))

    def search(
        self, queries: Sequence[Query], limit: int, factors: Mapping[str, float] | None = None
    ) -> dict[int, float]:
        """Return the scores of chunks that hold any of the words, by number, best first.

        The score is BM25's, which favours words that are rare in the document, times the weight and the
        phrase's factor. Phrases that have none are left out; without `factors`, those of this document alone
        count. Raises `overloaded` if the search takes longer than SEARCH_SECONDS.
        """
        if factors is None:
            (factors,) = _factors({0: self.counts(_asked(queries))}, queries).values()
        found = [
            (after, weight * factor, match)
            for query in queries
            for factor, match in _matches(query, factors)
            for after, weight in enumerate((query.weight, query.following))
            if weight
        ]
        if not found:
            return {}
        sql = _SEARCH.format(found=" UNION ALL ".join([_FOUND] * len(found)))
        arguments = [value for each in found for value in each]
        with self._in_time() as execute:
            return dict(execute(sql, (*arguments, self._count, limit)))

    @contextmanager
    def _in_time(self) -> Iterator[Callable[..., list[Any]]]:
        """Give the block a function that runs a statement, and returns its rows."""
        deadline = monotonic() + SEARCH_SECONDS
        self._connection.set_progress_handler(lambda: monotonic() > deadline, 1000)
        try:
            yield lambda *statement: self._connection.execute(*statement).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise ChatError(
                "overloaded",
                "The document takes too long to search; ask with fewer words, or try again in a moment.",
                retry_after=1,
            ) from error


Place = tuple[int, int]  # the id of a document, and the number of a chunk
Texts = Callable[[], AsyncIterator[Sequence[str]]]  # of a document's chunks


class DocumentIndexes:
    """The indexes of documents that were searched last. Users take turns at building and at searching."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[str, DocumentIndex]] = {}  # by document, least recently used first
        self._building: set[int] = set()  # documents
        # Apart, so that no search in an index that is kept waits for one that is being built.
        self._builds = slots()
        self._searches = slots()

    async def search(
        self, owner: str, texts: Mapping[int, Texts], queries: Sequence[Query], limit: int
    ) -> dict[Place, float]:
        """Return the scores of the `limit` best chunks of each document, best first.

        Those of several documents are as if they were one. `texts` are theirs by id; the index of one that is
        not kept is built of them. Between two documents, others take their turns. Raises `overloaded` if the
        owner has too many searches waiting, and what `texts` raise.
        """

        async def in_each(call: Callable[[int, DocumentIndex], T]) -> dict[int, T]:
            results = {}
            for document_id, chunks in texts.items():
                index = self._used(document_id) or await self._added(owner, document_id, chunks)
                async with self._searches.slot(owner):
                    results[document_id] = await in_thread(call, document_id, index)
            return results

        factors: Mapping[int, Mapping[str, float] | None] = dict.fromkeys(texts)
        if len(texts) > 1:
            phrases = _asked(queries)
            factors = _factors(await in_each(lambda _, index: index.counts(phrases)), queries)
        found = await in_each(lambda id, index: index.search(queries, limit, factors[id]))
        scores = {(id, number): score for id, some in found.items() for number, score in some.items()}
        return dict(sorted(scores.items(), key=lambda each: each[1], reverse=True))

    def _used(self, document_id: int) -> DocumentIndex | None:
        """Return an index that is kept, which is then the last one used."""
        kept = self._kept.pop(document_id, None)
        if kept is None:
            return None
        self._kept[document_id] = kept
        return kept[1]

    async def _added(self, owner: str, document_id: int, chunks: Texts) -> DocumentIndex:
        """Return a new index, which is kept unless its document is deleted meanwhile."""
        async with self._builds.slot(owner):  # of which each owner has one
            if index := self._used(document_id):
                return index
            self._building.add(document_id)
            try:
                index = await _built(chunks())
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
        await in_thread(index.add, some)
    await in_thread(index.finish)
    return index


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call a function in a thread. A caller who is cancelled waits for its end: it still takes the slot."""
    call = asyncio.create_task(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait({call})
        call.exception()  # mark as retrieved
        raise


def any_of(words: Sequence[str]) -> str:
    """Return an FTS5 query for any of the words, in any form."""
    return " OR ".join([*phrases_of(words), *_beginnings(words).values()])


def phrases_of(words: Sequence[str]) -> list[str]:
    """Return FTS5 queries for each of the words. Runs without spaces are searched for in pairs."""
    terms = [*words, *pairs(" ".join(words))[:MOST_TERMS]]
    beginnings = [f"{phrase(word)}*" for word in words if len(word) == 1 and UNSPACED.match(word)]  # of pairs
    return list(dict.fromkeys([*map(phrase, terms), *beginnings]))


def _beginnings(words: Sequence[str]) -> dict[str, str]:
    """Return queries for the forms and compounds of words, by the word's phrase: for how it begins.

    TOKENIZER knows the forms of English words, and no other language's.
    """
    return {
        phrase(word): f"{phrase(word[: max(SHORTEST - 1, round(len(word) * BEGINNING))])}*"
        for word in words
        if len(word) >= SHORTEST and word.isalpha() and not UNSPACED.search(word)
    }


def _asked(queries: Sequence[Query]) -> set[str]:
    """Return all phrases that stand for what is asked."""
    return {
        each for query in queries for each in (*phrases_of(query.words), *_beginnings(query.words).values())
    }


def _factors(counts: Mapping[int, Counts], queries: Sequence[Query]) -> dict[int, dict[str, float]]:
    """Return what makes scores in each document those in all of them, by the phrases that it holds.

    How a word begins is among these only if FEW chunks hold the word itself.
    """
    holding = Counter[str]()
    for own in counts.values():
        holding.update(own.holding)
    every = Counts(sum(own.chunks for own in counts.values()), holding)
    weights = {
        begun: FORMS if holding[word] <= FEW else 0.0
        for query in queries
        for word, begun in _beginnings(query.words).items()
    }
    return {
        document_id: {
            each: every.inverse_frequency(each) / own.inverse_frequency(each) * weight
            for each, held in own.holding.items()
            if held and (weight := weights.get(each, 1.0))
        }
        for document_id, own in counts.items()
    }


def _matches(query: Query, factors: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    """Yield FTS5 queries for what a query's words stand for, each with the factor that its phrases share."""
    groups: defaultdict[float, list[str]] = defaultdict(list)
    for each in (*phrases_of(query.words), *_beginnings(query.words).values()):
        if each in factors:
            groups[factors[each]].append(each)
    for factor, phrases in islice(groups.items(), MOST_GROUPS):
        yield factor, " OR ".join(phrases)


def phrase(text: str) -> str:
    """Quote text for FTS5, so that nothing in it is query syntax. SQLite stops reading at NUL."""
    return '"{}"'.format(text.replace("\0", "\ufffd").replace('"', '""'))


def slots() -> FairSlots:
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
