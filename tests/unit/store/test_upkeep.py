"""Backups, checks and the removal of what is old, beside a store that is open and without one."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace
from systems import is_private

from chatproxy.errors import StartError
from chatproxy.store.database import now
from chatproxy.store.records import NewChunk, NewDocument, NewTurn, Session
from chatproxy.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS
from chatproxy.store.store import Store
from chatproxy.store.upkeep.backup import back_up
from chatproxy.store.upkeep.contents import contents
from chatproxy.store.upkeep.prune import Pruning, Unused

OLD: Final = now(-timedelta(days=100))
BEFORE: Final = now(-timedelta(days=90))
LONG: Final = "wintergarten " * 1000


async def talk(
    store: Store, owner: str = "", *, ended: bool = True, documents: tuple[int, ...] = ()
) -> Session:
    session = await store.sessions.create(owner)
    turn = NewTurn(
        content=LONG,
        model="m",
        model_reason="r",
        documents=[(id, "a") for id in documents],
        images=[b"an image"],
    )
    _, answer = await store.messages.begin(session, turn)
    if ended:
        await store.messages.finish(replace(answer, status="complete"))
    return session


async def document(store: Store, text: str) -> int:
    async def chunks() -> AsyncIterator[list[NewChunk]]:
        yield [(text, None, None), (LONG, None, None)]

    new = NewDocument(title="a", media_type="text/plain", size=len(text), hash=text[:16].encode())
    return (await store.documents.create("", new, chunks()))[0].id


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def make_old(path: Path) -> None:
    change(path, f"UPDATE session SET updated_at = '{OLD}'", f"UPDATE document SET created_at = '{OLD}'")


def pruning(path: Path, *, pinned: bool = False, documents: bool = False) -> Pruning:
    return Pruning(where=path, before=BEFORE, pinned=pinned, documents=documents)


def sentence(call: Callable[[], object]) -> str:
    with pytest.raises(StartError) as caught:
        call()
    return str(caught.value)


# -- backups


async def test_a_backup_holds_everything_and_is_for_its_owner_only(store: Store, path: Path) -> None:
    await talk(store)
    backup = path.parent / "backup.db"
    for _ in range(2):  # into the same file
        assert back_up(path, backup) == backup.stat().st_size > 0
        assert is_private(backup)
    assert contents(backup) == contents(path)
    assert [each for each in path.parent.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("chat.db", None, "is part of the database itself"),
        ("chat.db-wal", None, "is part of the database itself"),
        ("chat.db.lock", None, "is part of the database itself"),
        ("chat.db.token", None, "is part of the database itself"),
        ("notes.txt", b"important", "is not a database that can be read"),
        ("other.db", "CREATE TABLE a (x)", "belongs to another program"),
        (
            "newer.db",
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(MIGRATIONS) + 1}",
            "was written by a newer chatproxy",
        ),
        ("missing/backup.db", None, "cannot be written (No such file or directory)"),
        (".", None, "is not a file"),
    ],
)
async def test_a_backup_replaces_nothing_but_backups(
    store: Store, path: Path, name: str, content: str | bytes | None, why: str
) -> None:
    target = path.parent / name
    if isinstance(content, str):
        with closing(sqlite3.connect(target)) as connection:
            connection.executescript(content)
    elif content is not None:
        target.write_bytes(content)
    os.link(path, path.parent / "link.db")
    before = {each.name: each.stat().st_ino for each in path.parent.iterdir()}
    said = sentence(lambda: back_up(path, target))
    assert why in said
    assert "another file" in said
    assert {each.name: each.stat().st_ino for each in path.parent.iterdir()} == before


async def test_a_backup_does_not_replace_the_database_of_another_chatproxy(store: Store, path: Path) -> None:
    other = path.parent / "served.db"
    await (await Store.open(other)).close()
    assert "is the database of a chatproxy, or was" in sentence(lambda: back_up(path, other))


def test_without_a_database_there_is_nothing_to_back_up_or_to_prune(tmp_path: Path) -> None:
    for call in (
        lambda: back_up(tmp_path / "x.db", tmp_path / "b.db"),
        lambda: asyncio.run(pruning(tmp_path / "x.db").count()),
        lambda: asyncio.run(pruning(tmp_path / "x.db").run()),
    ):
        assert "There is no database" in sentence(call)
    assert list(tmp_path.iterdir()) == []


# -- checks

BREAKS: Final = {
    "rows of message without their session": "DELETE FROM session",
    "rows of image without their message": "DELETE FROM message",
    "sessions without all of their messages": "DELETE FROM message WHERE role = 'assistant'",
    "answers to a message that is not there": "DELETE FROM message WHERE role = 'user'",
    "messages without all of their images": "DELETE FROM image",
    "pieces of an answer that has ended": (
        "INSERT INTO piece (message, thinking, content) SELECT id, '', '' FROM message LIMIT 1"
    ),
    "passages of no document": "DELETE FROM document",
    "documents without all of their passages": "DELETE FROM chunk WHERE text LIKE 'w%'",
    "vectors of no document": "INSERT INTO vectors (key, numbers) VALUES (77 << 20, x'00')",
    "documents with more vectors than passages": "UPDATE document SET embedded = 9",
    "removed texts that the index of words does not wait for": (
        "INSERT INTO removed (id, text) VALUES (1000000, 'x')"
    ),
}


@pytest.mark.parametrize(("what", "statement"), BREAKS.items())
async def test_each_kind_of_orphan_is_found(store: Store, path: Path, what: str, statement: str) -> None:
    await talk(store, documents=(await document(store, "first"),))
    found = contents(path)
    assert found.orphans == {}
    assert (found.counts["sessions"], found.counts["messages"], found.counts["documents"]) == (1, 2, 1)
    await store.close()
    triggers = [f"DROP TRIGGER {name}" for name in ("session_emptied", "session_deleted", "message_deleted")]
    change(path, *triggers, statement)
    assert what in contents(path).orphans


async def test_what_is_being_removed_is_no_orphan(store: Store, path: Path) -> None:
    await talk(store)
    await store.close()
    change(path, "UPDATE session SET deleted = 1", "DELETE FROM message WHERE role = 'assistant'")
    assert (contents(path).orphans, contents(path).removed) == ({}, 1)


# -- what is old


async def test_what_is_old_goes_and_the_file_becomes_smaller(store: Store, path: Path) -> None:
    used, _ = await document(store, "used"), await document(store, "unused")
    old = [(owner, await talk(store, owner)) for owner in ("", "ann") for _ in range(20)]
    pinned, answering = await talk(store), await talk(store, ended=False)
    await store.sessions.update(pinned, {"pinned": True})
    make_old(path)
    recent = await talk(store, documents=(used,))
    assert await pruning(path).count() == Unused(sessions=40, messages=80, documents=0)
    assert (await pruning(path, documents=True).count()).documents == 1
    assert (await pruning(path, pinned=True).count()).sessions == 41
    # While a store is open, what is free stays in the file.
    assert await pruning(path, documents=True).run() is False
    for owner, session in old:
        assert await store.sessions.find(owner, session.id) is None
    for session in (pinned, answering, recent):
        assert await store.sessions.find("", session.id) is not None
    assert [each.id for each in (await store.documents.page("", limit=9, before=None))[0]] == [used]
    await store.close()
    size = await asyncio.to_thread(os.path.getsize, path)
    assert await pruning(path).count() == Unused(sessions=0, messages=0, documents=0)
    assert await pruning(path).run() is True
    assert await asyncio.to_thread(os.path.getsize, path) < size
    found = contents(path)
    assert (found.orphans, found.removed, found.unfollowed) == ({}, 0, 0)
    assert (found.counts["sessions"], found.counts["documents"]) == (3, 1)


async def test_documents_that_only_old_sessions_use_are_counted(store: Store, path: Path) -> None:
    both = (await document(store, "first"), await document(store, "second"))
    await talk(store, documents=both)
    make_old(path)
    assert await pruning(path, documents=True).count() == Unused(sessions=1, messages=2, documents=2)
    await talk(store, documents=both[1:])
    assert await pruning(path, documents=True).count() == Unused(sessions=1, messages=2, documents=1)


async def test_removed_texts_leave_no_trace(path: Path) -> None:
    """Also where they were not in the index of words yet, or are noted for it as removed."""
    store = await Store.open(path)
    await talk(store)
    await store.close()
    make_old(path)
    assert await pruning(path).run() is True
    left = await asyncio.to_thread(path.read_bytes)
    assert b"wintergarten" not in left


async def test_a_file_of_an_older_version_waits_for_the_next_start(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(MIGRATIONS[0])
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
    assert (contents(path).version, contents(path).counts) == (1, {})
    with pytest.raises(StartError, match="written by an older chatproxy"):
        await pruning(path).run()
