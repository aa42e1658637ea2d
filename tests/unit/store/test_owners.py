"""What is stored under other forms of a user's name belongs to the one form, and nothing is lost."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatproxy.documents.parts import Chunk
from chatproxy.errors import ChatError
from chatproxy.store.owners import names
from chatproxy.store.records import NewDocument, NewTurn
from chatproxy.store.search.indexes import Query
from chatproxy.store.sqlite.writer import SQLiteConnection
from chatproxy.store.store import Store
from chatproxy.values import folded

FORMS = ["Zoë", "zoe\u0308", "ZOË"]


async def reopened(store: Store, path: Path) -> Store:
    await store.close()
    return await Store.open(path, owner_form=folded)


async def titles(store: Store, owner: str) -> list[str | None]:
    """Return those of all pages, latest activity first."""
    found: list[str | None] = []
    before: str | None = None
    while True:
        page, before = await store.sessions.page(owner, limit=2, before=before)
        found += [session.title for session in page]
        if before is None:
            return found


def set_times(path: Path, times: dict[str, str]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "UPDATE session SET updated_at = ? WHERE title = ?",
            [(time, title) for title, time in times.items()],
        )


def activities(path: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT owner, activity FROM session").fetchall()


async def chunks(*texts: str) -> AsyncIterator[Sequence[Chunk]]:
    yield [Chunk(text) for text in texts]


async def test_the_sessions_of_all_forms_are_merged_by_the_time_of_their_use(
    store: Store, path: Path
) -> None:
    ids = {}
    for number in range(9):
        session = await store.sessions.create(FORMS[number % 3], title=str(number))
        ids[session.id] = session.title
        _, answer = await store.messages.begin(session, NewTurn(content=f"in {number}"))
        await store.messages.finish(replace(answer, status="complete"))
    bobs = await store.sessions.create("bob", title="Bob's")
    nameless = await store.sessions.create("", title="of nobody")
    set_times(path, {str(number): f"2026-01-0{number + 1}" for number in range(9)})
    store = await reopened(store, path)
    assert await titles(store, "zoë") == [str(number) for number in reversed(range(9))]
    for id, title in ids.items():
        session = await store.sessions.get("zoë", id)
        assert (session.title, session.message_count) == (title, 2)
        for form in FORMS:
            with pytest.raises(ChatError):
                await store.sessions.get(form, id)
    assert (await store.sessions.get("bob", bobs.id)).title == "Bob's"
    assert (await store.sessions.get("", nameless.id)).title == "of nobody"
    assert len(set(activities(path))) == 11
    latest = await store.sessions.create("zoë", title="latest")
    assert (await titles(store, "zoë"))[0] == latest.title
    await store.close()


async def test_each_form_keeps_the_order_of_its_own_sessions(store: Store, path: Path) -> None:
    """It is that of their use, whatever the clock said."""
    for title in ("a1", "a2", "a3"):
        await store.sessions.create("Ann", title=title)
    for title in ("b1", "b2", "b3"):
        await store.sessions.create("ann", title=title)
    times = {
        "a1": "2026-09",
        "a2": "2026-01",
        "a3": "2026-02",
        "b1": "2026-03",
        "b2": "2027",
        "b3": "2026-08",
    }
    set_times(path, times)
    store = await reopened(store, path)
    merged = [str(title) for title in reversed(await titles(store, "ann"))]
    for form in "ab":
        own = [title for title in merged if title[0] == form]
        assert own == sorted(own)
    assert merged.index("b1") < merged.index("a1")
    await store.close()


async def test_the_documents_of_all_forms_stay_and_one_of_equal_ones_is_found_again(
    store: Store, path: Path
) -> None:
    made = {}
    for form in FORMS:
        for content in (b"the same", form.encode()):
            new = NewDocument(title=form, media_type="text/plain", size=1, hash=content)
            document, _ = await store.documents.create(form, new, chunks(f"text of {form}"))
            made[document.id] = form
    store = await reopened(store, path)
    page, _ = await store.documents.page("zoë", limit=50, before=None)
    assert {document.id: document.title for document in page} == made
    for document in page:
        (source,) = await store.documents.search("zoë", [document], [Query(["text"])], limit=1)
        assert source.snippet == f"text of {document.title}"
    new = NewDocument(title="again", media_type="text/plain", size=1, hash=b"the same")
    again, is_new = await store.documents.create("zoë", new, chunks("text"))
    assert (is_new, again.id in made) == (False, True)
    await store.close()


async def test_it_is_done_once_and_not_undone(store: Store, path: Path) -> None:
    for form in FORMS:
        await store.sessions.create(form)
    store = await reopened(store, path)
    once = activities(path)
    store = await reopened(store, path)
    assert activities(path) == once
    await store.close()
    store = await Store.open(path)
    assert activities(path) == once
    assert await titles(store, "Zoë") == []
    await store.close()


async def test_a_unit_ends_with_an_owner_and_a_crash_is_made_good_by_the_next_start(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        for form in ("User", "USER"):
            await store.sessions.create(f"{form} {number}", title=form)
    await store.close()
    monkeypatch.setattr(names, "SESSIONS_PER_UNIT", 5)
    unit = names.renaming(folded)
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        for _ in range(3):
            assert await unit(SQLiteConnection(connection))
            connection.commit()
        assert await unit(SQLiteConnection(connection))  # and a crash before the commit
    stored = [owner for owner, _ in activities(path)]
    assert sum(owner.islower() for owner in stored) == 3 * 3 * 2  # 3 owners of 2 sessions in each unit
    assert {stored.count(f"user {number}") for number in range(20)} == {0, 2}
    store = await Store.open(path, owner_form=folded)
    for number in range(20):
        assert sorted(map(str, await titles(store, f"user {number}"))) == ["USER", "User"]
    await store.close()
