import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from waiting import until

from chatproxy.documents.parts import Chunk
from chatproxy.errors import ChatError
from chatproxy.store import documents
from chatproxy.store.documents import best
from chatproxy.store.records import Document, NewDocument, Notice
from chatproxy.store.search.fusion import fused
from chatproxy.store.search.indexes import Query
from chatproxy.store.store import Store

ME = "me"
BATCH = 200


def new(content: bytes = b"1", title: str = "a.txt") -> NewDocument:
    return NewDocument(title=title, media_type="text/plain", size=7, hash=content)


async def batches(*chunks: str | Chunk) -> AsyncIterator[Sequence[Chunk]]:
    for first in range(0, len(chunks), BATCH):
        yield [Chunk(chunk) if isinstance(chunk, str) else chunk for chunk in chunks[first : first + BATCH]]


async def created(store: Store, *chunks: str | Chunk, content: bytes = b"1", owner: str = ME) -> Document:
    document, is_new = await store.documents.create(owner, new(content), batches(*(chunks or ["text"])))
    assert is_new
    return document


def rows(path: Path) -> dict[str, int]:
    """How many there are of each, seen over a connection of our own."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("document", "chunk")
        }


NOTHING = {"document": 0, "chunk": 0}


async def test_create_and_get(store: Store) -> None:
    document = await created(store, "one", "two")
    assert document == Document(
        id=document.id,
        title="a.txt",
        media_type="text/plain",
        bytes=7,
        chunks=2,
        created_at=document.created_at,
    )
    assert await store.documents.get(ME, document.id) == document


async def test_the_same_content(store: Store) -> None:
    document = await created(store)
    assert await store.documents.create(ME, new(title="b.txt"), batches("text")) == (document, False)
    assert (await created(store, owner="you")).id != document.id
    assert (await created(store, content=b"2")).id != document.id


async def test_warnings_stay_with_the_content(store: Store) -> None:
    warnings: list[tuple[str, str]] = []

    async def chunks() -> AsyncIterator[Sequence[Chunk]]:
        yield [Chunk("text")]
        warnings.append(("partial", "Page 2 is a scan."))

    document, _ = await store.documents.create(ME, new(), chunks(), warnings)
    assert document.warnings == [Notice(code="partial", message="Page 2 is a scan.")]
    assert await store.documents.create(ME, new(), batches("text")) == (document, False)
    assert await store.documents.get(ME, document.id) == document
    assert await store.documents.page(ME, limit=9, before=None) == ([document], None)


async def test_the_same_content_at_the_same_time(store: Store, path: Path) -> None:
    chunks = [f"chunk {number}" for number in range(BATCH + 1)]
    both = await asyncio.gather(*[store.documents.create(ME, new(), batches(*chunks)) for _ in range(2)])
    assert both[0][0] == both[1][0]
    assert sorted(is_new for _, is_new in both) == [False, True]
    await until(lambda: rows(path) == {"document": 1, "chunk": len(chunks)})


async def test_list(store: Store) -> None:
    made = [await created(store, content=bytes([number])) for number in range(3)]
    await created(store, owner="you")
    assert await store.documents.page(ME, limit=2, before=None) == (made[:0:-1], made[1].id)
    assert await store.documents.page(ME, limit=2, before=made[1].id) == (made[:1], None)


async def test_delete_takes_everything(store: Store, path: Path) -> None:
    kept = await created(store, "kept", content=b"2")
    gone = await created(store, *["gone"] * (2 * BATCH + 1))
    await store.documents.delete(ME, gone.id)
    with pytest.raises(ChatError):
        await store.documents.get(ME, gone.id)
    await until(lambda: rows(path) == {"document": 1, "chunk": 1})
    assert len(await store.documents.search(ME, [kept], [Query(["kept"])], limit=9)) == 1
    assert (await created(store)).id > gone.id


@pytest.mark.parametrize("document_id", [1, 2, -1, 2**63 - 1, 2**70])
async def test_what_is_not_there_or_not_ours(store: Store, document_id: int) -> None:
    await created(store, "word", owner="you")
    for call in (store.documents.get(ME, document_id), store.documents.delete(ME, document_id)):
        with pytest.raises(ChatError, match=f"no document {document_id}") as refused:
            await call
        assert refused.value.code == "not_found"


async def test_a_document_that_was_deleted_in_the_meantime(store: Store) -> None:
    document = await created(store, "word")
    await store.documents.delete(ME, document.id)
    for read in (
        store.documents.search(ME, [document], [Query(["word"])], limit=9),
        store.documents.chunks(document, [0]),
    ):
        with pytest.raises(ChatError, match=f"no document {document.id}"):
            await read


async def test_search(store: Store) -> None:
    document = await created(store, "apples and pears", "pears, pears", "Äpfel", "nothing")
    await created(store, "pears of another", content=b"2")
    found = await store.documents.search(ME, [document], [Query(["PEAR", "apple"])], limit=9)
    assert [source.chunk for source in found] == [0, 1]
    assert (found[0].document_id, found[0].title, found[0].snippet) == (
        document.id,
        "a.txt",
        "apples and pears",
    )
    assert found[0].score > found[1].score > 0
    for word, limit, expected in (("pear", 1, [1]), ("apfel", 9, [2])):
        found = await store.documents.search(ME, [document], [Query([word])], limit=limit)
        assert [source.chunk for source in found] == expected
    assert await store.documents.search(ME, [document], [Query(["another"])], limit=9) == []


async def test_a_chunk_is_found_by_the_heading_above_it(store: Store) -> None:
    chunks = [Chunk("It is weekly.", heading="2. Rent"), Chunk("2. Rent\n\nIt is due.", heading="2. Rent")]
    document = await created(store, *chunks, "nothing")
    found = await store.documents.search(ME, [document], [Query(["rent"])], limit=9)
    assert sorted(source.snippet for source in found) == ["2. Rent\n\nIt is due.", "It is weekly."]
    assert {source.snippet[slice(*place)] for source in found for place in source.found} == {"Rent"}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("distinguir", "quien no distingue los colores"),
        ("balkon", "Naturnaher Balkonkurs"),
        ("leitet", "Leitung: eine Gärtnerin"),
        ("remboursés", "Le remboursement est rapide"),
    ],
)
async def test_a_rare_word_finds_its_forms_and_parts(store: Store, question: str, expected: str) -> None:
    others = ("quien dispara", "Der Ball", "Lei und Leid", "un rempart", "nothing", "of the kind")
    document = await created(store, expected, *others)
    (source,) = await store.documents.search(ME, [document], [Query([question])], limit=9)
    assert source.snippet == expected
    assert source.found


async def test_the_word_itself_counts_more_than_its_forms(store: Store) -> None:
    document = await created(store, "Leitungen", "Leitungen", "leitet", "nothing", "at all", "of the kind")
    found = await store.documents.search(ME, [document], [Query(["leitet"])], limit=9)
    assert [source.chunk for source in found] == [2, 0, 1]
    document = await created(store, *["leitet"] * 4, "Leitungen", *["nothing"] * 9, content=b"2")
    found = await store.documents.search(ME, [document], [Query(["leitet"])], limit=9)
    assert [source.chunk for source in found] == [0, 1, 2, 3]


async def test_what_a_paragraph_begins_with_counts_twice(store: Store) -> None:
    document = await created(
        store,
        "Words of no love. " + "Words of no. " * 6,
        "x",
        "y",
        "z",
        "LOVE, n. Of words. " + "A word. " * 12,
    )
    found = await store.documents.search(ME, [document], [Query(["love"])], limit=9)
    assert [source.chunk for source in found] == [4, 0]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("灯台はいつ建てられましたか", 0),
        ("誰が蜂蜜を売りましたか", 1),
        ("灯油はどこから", 2),
        ("등대는 언제 세워졌나요", 3),
        ("谁卖蜂蜜" * 50_000, 1),
    ],
)
async def test_words_that_no_space_parts(store: Store, question: str, expected: int) -> None:
    document = await created(
        store,
        "この灯台は一八四六年に花崗岩で建てられた。",
        "番人は蜂を飼い、蜂蜜を漁師に売りました。",
        "ランプには菜種油、のちに灯油が使われた。",
        "이 등대는 화강암으로 세워졌다.",
        "Nothing of the kind.",
    )
    found = await store.documents.search(ME, [document], [Query([question])], limit=9)
    assert found[0].chunk == expected
    assert 4 not in [source.chunk for source in found]


@pytest.mark.parametrize("word", ['"', "a b", "*", "NEAR(", "\0", "text:", "'", "-", "€", ""])
async def test_search_takes_any_word(store: Store, word: str) -> None:
    document = await created(store, "plain")
    assert await store.documents.search(ME, [document], [Query([word])], limit=9) == []
    assert len(await store.documents.search(ME, [document], [Query([word, "plain"])], limit=9)) == 1


async def test_chunks_by_number(store: Store) -> None:
    document = await created(store, "zero", "one", "two")
    found = await store.documents.chunks(document, [2, 0, 7, -1])
    assert [(source.chunk, source.snippet, source.score) for source in found] == [
        (0, "zero", 0),
        (2, "two", 0),
    ]


async def test_a_start_removes_what_a_crash_left(path: Path) -> None:
    store = await Store.open(path)
    kept = await created(store, content=b"2")
    await created(store, *["left"] * (BATCH + 1))
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE document SET complete = 0 WHERE id <> ?", (kept.id,))
        connection.commit()
    store = await Store.open(path)
    await until(lambda: rows(path)["document"] == 1)  # removed in steps, after the start
    assert rows(path) == {"document": 1, "chunk": 1}
    await store.close()


async def test_nothing_stays_of_a_document_that_cannot_be_stored(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_add", AsyncMock(side_effect=[None, sqlite3.OperationalError("no room")]))
    with pytest.raises(ChatError):
        await store.documents.create(ME, new(), batches(*["a"] * (BATCH + 1)))
    await until(lambda: rows(path) == NOTHING)


async def test_a_removal_goes_on_after_a_restart(path: Path) -> None:
    store = await Store.open(path)
    document = await created(store, *["gone"] * (10 * BATCH))
    await store.documents.delete(ME, document.id)
    await store.close()
    assert rows(path)["document"] == 1
    store = await Store.open(path)
    with pytest.raises(ChatError):
        await store.documents.get(ME, document.id)
    await until(lambda: rows(path) == NOTHING)
    await store.close()


async def test_a_removal_leaves_what_is_being_stored(store: Store, path: Path) -> None:
    gone = await created(store, *["gone"] * BATCH, content=b"2")

    async def slow() -> AsyncIterator[Sequence[Chunk]]:
        yield [Chunk("one")]
        await store.documents.delete(ME, gone.id)
        await until(lambda: rows(path) == {"document": 1, "chunk": 1})
        yield [Chunk("two")]

    document, _ = await store.documents.create(ME, new(), slow())
    assert [found.snippet for found in await store.documents.chunks(document, [0, 1])] == ["one", "two"]


def test_a_document_that_has_little_of_a_question_takes_no_place_by_its_ranks() -> None:
    """Its chunk is in both rankings, near their ends, as some chunk of every document is."""
    words = {(1, number): 9.0 - number / 9 for number in range(9)} | {(2, 0): 1.0}
    similar = [(1, number) for number in range(8)] + [(2, 0), (1, 8)]
    assert {id for id, _ in best(fused(words, similar), words, 5)} == {1}
    assert {id for id, _ in best(fused(words | {(2, 0): 7.0}, similar), words | {(2, 0): 7.0}, 5)} == {1, 2}
