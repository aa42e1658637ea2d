"""The index of one document: what it finds, what it costs, and that nothing else has a part in it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from waiting import PATIENCE, until

from chatproxy.documents.parts import Chunk
from chatproxy.errors import ChatError
from chatproxy.store.records import NewDocument, Source
from chatproxy.store.search import indexes
from chatproxy.store.search.indexes import DocumentIndex, DocumentIndexes, Query
from chatproxy.store.store import Store

CHUNKS = ("A zebra and a lion.", "The zebra sleeps.", "A lion, a lion.", "Nothing of the kind.")


async def one_batch(*chunks: str) -> AsyncIterator[Sequence[Chunk]]:
    yield [Chunk(chunk) for chunk in chunks]


async def found(store: Store, owner: str, content: bytes = b"1") -> list[Source]:
    new = NewDocument(title="a.txt", media_type="text/plain", size=1, hash=content)
    document, _ = await store.documents.create(owner, new, one_batch(*CHUNKS))
    return await store.documents.search(owner, [document], [Query(["zebra", "lion"])], limit=9)


async def test_scores_do_not_depend_on_other_documents(tmp_path: Path) -> None:
    """Whether others have a rare word, or many a frequent one, cannot be seen in the scores of one's own."""
    results = []
    for number, others in enumerate([[], ["zebra"] * 500, ["other"] * 500, ["zebra lion"] * 3]):
        store = await Store.open(tmp_path / f"{number}.db")
        for place, text in enumerate(others):
            new = NewDocument(title="b.txt", media_type="text/plain", size=1, hash=bytes([place % 5]))
            await store.documents.create(f"other {place // 5}", new, one_batch(text))
        results.append([(source.chunk, source.snippet, source.score) for source in await found(store, "me")])
        await store.close()
    assert results[0]
    assert results == [results[0]] * len(results)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Rent\n\nIt is due monthly.\nReally.", "# Rent\nIt is"),
        ("7.1. Rent\nis due\n\nA line of its own", "7.1. Rent\nA line of its own"),
        ("x" * 80 + " y z", "x" * 80 + " y"),
        ("", ""),
    ],
)
def test_openings(text: str, expected: str) -> None:
    assert indexes.openings(text) == expected


class Batches:
    """Chunks, and how often they were read."""

    def __init__(self, *chunks: str) -> None:
        self.chunks = chunks
        self.reads = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> AsyncIterator[Sequence[str]]:
        self.reads += 1
        await self.go.wait()
        yield self.chunks


async def search(kept: DocumentIndexes, chunks: Batches, document: int = 1, owner: str = "me") -> list[int]:
    found = await kept.search(owner, {document: chunks}, [Query(["lion"])], 9)
    return [number for _, number in found]


async def test_questions_share_one_build() -> None:
    kept, chunks = DocumentIndexes(), Batches(*CHUNKS)
    assert await asyncio.gather(*[search(kept, chunks) for _ in range(5)]) == [[2, 0]] * 5
    assert chunks.reads == 1
    kept.discard(1)
    await search(kept, chunks)
    assert chunks.reads == 2


async def test_the_words_of_a_document_that_is_deleted_meanwhile_are_not_kept() -> None:
    kept, chunks = DocumentIndexes(), Batches(*CHUNKS)
    chunks.go.clear()
    first = asyncio.create_task(search(kept, chunks))
    await until(lambda: chunks.reads > 0)
    kept.discard(1)
    chunks.go.set()
    await first
    await search(kept, chunks)
    assert chunks.reads == 2


async def test_a_search_that_is_left_takes_its_slot_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, chunks, go, running = DocumentIndexes(), Batches(*CHUNKS), Event(), Counter[str]()

    def slow(*_: object) -> dict[int, float]:
        running["threads"] += 1
        assert go.wait(PATIENCE)
        running["threads"] -= 1
        return {}

    monkeypatch.setattr(DocumentIndex, "search", slow)
    searches = [asyncio.create_task(search(kept, chunks)) for _ in range(3)]
    for each in searches:
        await until(lambda: running["threads"] > 0)
        each.cancel()
        await asyncio.sleep(0.05)
        assert running["threads"] == 1
    go.set()
    await asyncio.wait(searches)
    assert all(each.cancelled() for each in searches)


async def test_another_asks_when_the_first_one_leaves() -> None:
    kept, chunks = DocumentIndexes(), Batches(*CHUNKS)
    chunks.go.clear()
    first, second = [asyncio.create_task(search(kept, chunks)) for _ in range(2)]
    await until(lambda: chunks.reads > 0)
    first.cancel()
    chunks.go.set()
    assert await second == [2, 0]
    assert first.cancelled()


async def test_a_user_with_many_documents_loses_only_their_own_indexes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, mine, theirs = DocumentIndexes(), Batches(*CHUNKS), Batches(*CHUNKS)
    monkeypatch.setattr(indexes, "MAX_BYTES", 4.5 * indexes.OVERHEAD)
    await search(kept, mine)
    for document in range(2, 12):
        await search(kept, theirs, document, owner="other")
    await search(kept, mine)
    assert (mine.reads, theirs.reads) == (1, 10)
    await search(kept, theirs, 11, owner="other")  # the last one is kept
    await search(kept, theirs, 2, owner="other")
    assert theirs.reads == 11


async def test_users_take_turns_at_building() -> None:
    kept, hers, his = DocumentIndexes(), Batches(*CHUNKS), Batches(*CHUNKS)
    hers.go.clear()
    many = [asyncio.create_task(search(kept, hers, number, owner="her")) for number in range(10)]
    assert await asyncio.wait_for(search(kept, his, 99, owner="him"), 20) == [2, 0]
    assert hers.reads == 1
    hers.go.set()
    await asyncio.gather(*many)


@pytest.mark.parametrize("documents", [1, 30])
async def test_a_user_with_too_many_searches_is_refused(documents: int) -> None:
    kept, chunks = DocumentIndexes(), Batches(*CHUNKS)
    chunks.go.clear()
    many = [asyncio.create_task(search(kept, chunks, number % documents)) for number in range(30)]
    await until(lambda: sum(search.done() for search in many) == 13)
    chunks.go.set()
    results: list[Any] = await asyncio.gather(*many, return_exceptions=True)
    refused = [result.code for result in results if isinstance(result, ChatError)]
    assert refused == ["overloaded"] * 13


def test_a_search_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    index = DocumentIndex()
    index.add(["a b c d e f g h " * 60] * 500)
    index.finish()
    monkeypatch.setattr(indexes, "SEARCH_SECONDS", 0)
    with pytest.raises(ChatError, match="fewer words") as refused:
        index.search([Query(["a", "b", "c"])], 5)
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 1)
    monkeypatch.undo()
    assert len(index.search([Query(["a", "b", "c"])], 5)) == 5


async def test_several_documents_are_searched_as_if_they_were_one() -> None:
    """Words are in many chunks of one and in few of others, so that each has another idea of what is rare."""
    parts = [
        ["a lion sleeps", "a lion eats", "a zebra eats", "the lion roars"],
        ["a zebra sleeps", "a zebra roars", "a zebra runs", "the lion runs"],
        ["an ape sleeps", "an ape eats", "an ape runs", "a lion eats"],
    ]
    queries = [Query(["zebra", "lion"]), Query(["eats"], weight=0.5, following=0.25)]
    whole = DocumentIndex()
    whole.add([chunk for part in parts for chunk in part])
    whole.finish()
    texts = {number: Batches(*part) for number, part in enumerate(parts)}
    found = await DocumentIndexes().search("me", texts, queries, 12)
    expected = whole.search(queries, 12)
    assert found == pytest.approx({divmod(place, 4): score for place, score in expected.items()})
    assert list(found.values()) == sorted(found.values(), reverse=True)
