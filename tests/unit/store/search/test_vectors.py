import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chatproxy.documents.parts import Chunk
from chatproxy.store.records import Document, NewDocument
from chatproxy.store.search import vectors
from chatproxy.store.search.fusion import fused
from chatproxy.store.search.indexes import Query
from chatproxy.store.search.vectors import Vectors
from chatproxy.store.store import Store

ME = "me"


class Known:
    """Makes vectors of questions by a table."""

    def __init__(self, **table: Sequence[float]) -> None:
        self.table = table

    async def of_questions(self, questions: Sequence[str]) -> Sequence[Sequence[float]] | None:
        return [self.table[question] for question in questions]


async def created(store: Store, count: int, owner: str = ME) -> Document:
    async def batches() -> AsyncIterator[Sequence[Chunk]]:
        yield [Chunk(f"chunk {number}", heading="Part" if number else None) for number in range(count)]

    new = NewDocument(title="a.txt", media_type="text/plain", size=7, hash=os.urandom(8))
    return (await store.documents.create(owner, new, batches()))[0]


async def embed(store: Store, key: str, made: Sequence[Sequence[float]]) -> None:
    """Give the only document that lacks vectors these."""
    found = store.documents.vectors
    found.key = key
    pending = await found.pending(key, None)
    assert pending is not None
    await found.add(pending, key, made)


async def found(store: Store, document: Document, *queries: Query, limit: int = 9) -> list[int]:
    document = await store.documents.get(ME, document.id)
    similar = await store.documents.vectors.similar(ME, [document], queries, limit)
    return [number for _, number in similar]


async def test_owners_take_turns_and_the_newest_comes_first(store: Store) -> None:
    made = [await created(store, 3, owner) for owner in ("a", "b", "a", "c")]
    owners, last = [], None
    while pending := await store.documents.vectors.pending("key", last):
        last = pending.owner
        texts = await store.documents.vectors.texts(pending, 2)
        owners.append((made[pending.id - made[0].id].id, len(texts)))
        await store.documents.vectors.add(pending, "key", [[1.0, 0.0]] * len(texts))
    first = made[0].id
    assert owners == [
        *[(first + 2, 2), (first + 1, 2), (first + 3, 2)],
        *[(first + 2, 1), (first + 1, 1), (first + 3, 1)],
        *[(first, 2), (first, 1)],
    ]


async def test_texts_stand_below_their_headings(store: Store) -> None:
    await created(store, 2)
    pending = await store.documents.vectors.pending("key", None)
    assert pending is not None
    assert await store.documents.vectors.texts(pending, 9) == ["chunk 0", "Part\nchunk 1"]


async def test_the_closest_come_first_once_all_are_there(store: Store) -> None:
    document = await created(store, 3)
    store.documents.vectors.meaning = Known(up=[0, 5], right=[1, 0])
    up, right = Query(["x"], text="up"), Query(["y"], 0.5, text="right")
    await embed(store, "key", [[1, 0], [0.1, 2]])
    assert await found(store, document, up) == []
    await embed(store, "key", [[3, 3]])
    assert await found(store, document, up) == [1, 2, 0]
    assert await found(store, document, up, limit=1) == [1]
    assert await found(store, document, up, right) == [2, 1, 0]


async def test_vectors_of_another_key_are_replaced(store: Store, path: Path) -> None:
    document = await created(store, 2)
    store.documents.vectors.meaning = Known(up=[0, 1], higher=[0, 0, 1])
    await embed(store, "old", [[1, 0]])
    await embed(store, "old", [[0, 1]])
    assert await found(store, document, Query(["x"], text="up")) == [1, 0]
    await embed(store, "new", [[0, 0, 1]])
    assert (await store.documents.get(ME, document.id)).embedded == 1
    assert await found(store, document, Query(["x"], text="higher")) == []
    await embed(store, "new", [[0, 1, 0]])
    assert await found(store, document, Query(["x"], text="higher")) == [0, 1]
    assert await found(store, document, Query(["x"], text="up")) == []  # of another length


async def test_nothing_is_added_to_a_document_that_is_gone_or_has_it(store: Store) -> None:
    document = await created(store, 2)
    pending = await store.documents.vectors.pending("key", None)
    assert pending is not None
    for _ in range(2):
        await store.documents.vectors.add(pending, "key", [[1, 0]])
    store.documents.vectors.key = "key"
    assert (await store.documents.get(ME, document.id)).embedded == 1
    await store.documents.delete(ME, document.id)
    pending = await store.documents.vectors.pending("key", None)
    assert pending is None


async def test_matrices_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "MAX_BYTES", 2 * 2 * 4)
    store.documents.vectors.meaning = Known(up=[0, 1])
    made = [await created(store, 1) for _ in range(3)]
    for _ in made:
        await embed(store, "key", [[0, 1]])
    for _ in range(2):
        for document in made:
            assert await found(store, document, Query(["x"], text="up")) == [0]
            assert held(store.documents.vectors) <= vectors.MAX_BYTES


async def test_nothing_is_kept_of_a_matrix_that_is_being_replaced(store: Store) -> None:
    document = await created(store, 2)
    await embed(store, "one", [[1.0, 0.0], [0.0, 1.0]])
    kept = store.documents.vectors
    kept.meaning = Known(east=[1.0, 0.0])
    before = await store.documents.get(ME, document.id)
    await embed(store, "two", [[1.0, 0.0], [0.0, 1.0]])
    kept.key = "one"  # as of a question that was asked before
    assert await kept.similar(ME, [before], [Query(["east"], text="east")], 9) == {}
    await embed(store, "one", [[1.0, 0.0], [0.0, 1.0]])
    assert await found(store, document, Query(["east"], text="east")) == [0, 1]


async def test_nothing_is_kept_of_a_document_that_is_deleted_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await created(store, 2)
    await embed(store, "key", [[1.0, 0.0], [0.0, 1.0]])
    kept = store.documents.vectors
    kept.meaning = Known(east=[1.0, 0.0])
    read = kept._numbers

    async def delete_meanwhile(*arguments: Any) -> list[bytes]:
        numbers = await read(*arguments)
        await store.documents.delete(ME, document.id)
        return numbers

    monkeypatch.setattr(kept, "_numbers", delete_meanwhile)
    assert await found(store, document, Query(["east"], text="east")) == [0, 1]
    assert held(kept) == 0


def held(kept: Vectors) -> int:
    return sum(matrix.rows.nbytes for matrix in kept._kept.values())


def test_what_two_rankings_have_is_before_what_one_has() -> None:
    words, meaning = [(1, number) for number in (4, 5, 6)], [(1, number) for number in (7, 6, 8)]
    assert [number for _, number in fused(words, meaning)] == [6, 4, 7, 5, 8]
    assert fused([(1, number) for number in range(99)]).keys() == {(1, number) for number in range(50)}


def test_what_one_ranking_has_first_is_before_what_both_have_late() -> None:
    """Else the place that only the words or only the meaning find is lost among those that touch on both."""
    late = [(1, number) for number in range(20, 40)]
    words = [(1, 1), *[(2, number) for number in range(19)], *late]
    meaning = [(1, 2), *[(3, number) for number in range(19)], *late]
    assert {(1, 1), (1, 2)} <= set([*fused(words, meaning)][:5])
