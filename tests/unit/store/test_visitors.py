"""What visitors keep is bounded, and deleted when they have not used it for long."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace
from waiting import until

from chatproxy.errors import ChatError
from chatproxy.store.database import now
from chatproxy.store.owners.visitors import Quota, delete_old
from chatproxy.store.records import NewChunk, NewDocument, NewTurn
from chatproxy.store.store import Store
from chatproxy.values import VISITOR

QUOTA: Final = Quota(sessions=3, bytes=100_000, days=30)
ANN: Final = f"{VISITOR}ann"
BOB: Final = f"{VISITOR}bob"
USERS: Final = ("", "ann", "visitor:ann", "\tvisitos", "\tvisitor", "zoe")


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = await Store.open(path, quota=QUOTA)
    yield store
    await store.close()


async def document(store: Store, owner: str, text: str) -> int:
    async def chunks() -> AsyncIterator[list[NewChunk]]:
        yield [(text, None, None)]

    new = NewDocument(title="a", media_type="text/plain", size=len(text), hash=text[:16].encode())
    return (await store.documents.create(owner, new, chunks()))[0].id


async def rows(store: Store, table: str) -> list[Any]:
    return [row["owner"] for row in await store.database.fetch(f"SELECT owner FROM {table} ORDER BY owner")]


async def age(store: Store, owner: str, days: float) -> None:
    """Let all that an owner has be that old."""
    then = now(-timedelta(days=days))
    await store.database.write(
        "UPDATE session SET updated_at = :then WHERE owner = :owner", then=then, owner=owner
    )
    await store.database.write(
        "UPDATE document SET created_at = :then WHERE owner = :owner", then=then, owner=owner
    )


async def test_what_visitors_have_not_used_for_long_is_deleted_and_nothing_else(store: Store) -> None:
    for owner in (ANN, BOB, *USERS):
        session = await store.sessions.create(owner)
        turn = NewTurn(content="Hello", model="m", model_reason="r")
        _, answer = await store.messages.begin(session, turn)
        await store.messages.finish(replace(answer, status="complete"))
        await document(store, owner, f"text of {owner!r}")
        await age(store, owner, 29.9 if owner == BOB else 30.1)
    before = await rows(store, "session")
    await delete_old(store.database, 30, store._deleted)
    left = sorted(set(before) - {ANN})
    await until(lambda: _is(store, "session", left))
    await until(lambda: _is(store, "document", left))


async def _is(store: Store, table: str, owners: list[str]) -> bool:
    return await rows(store, table) == owners


async def test_a_document_stays_with_its_conversation(store: Store) -> None:
    session = await store.sessions.create(ANN)
    used, unused = await document(store, ANN, "used"), await document(store, ANN, "unused text")
    turn = NewTurn(content="Hello", model="m", model_reason="r", documents=[(1, "gone"), (used, "used")])
    await store.messages.begin(session, turn)
    await store.database.write("UPDATE document SET created_at = :then", then=now(-timedelta(days=100)))
    await delete_old(store.database, 30, store._deleted)
    assert (await store.documents.get(ANN, used)).id == used
    with pytest.raises(ChatError, match="There is no document"):
        await store.documents.get(ANN, unused)


async def test_more_than_fits_into_a_unit_is_deleted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    then = now(-timedelta(days=31))
    await store.database.write(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)"
        " INSERT INTO session (id, owner, created_at, updated_at, activity)"
        " SELECT 's' || i, :owner || i, :then, :then, 1 FROM n",
        owner=VISITOR,
        then=then,
    )
    await delete_old(store.database, 30, store._deleted)
    await until(lambda: _is(store, "session", []))


async def test_it_happens_at_the_start_and_only_with_visitors(path: Path) -> None:
    store = await Store.open(path)
    await store.sessions.create(ANN)
    await age(store, ANN, 400)
    await store.close()
    store = await Store.open(path)
    assert await rows(store, "session") == [ANN]
    await store.close()
    store = await Store.open(path, quota=QUOTA)
    await until(lambda: _is(store, "session", []))
    await store.close()


async def test_users_have_no_quota(store: Store) -> None:
    for owner in USERS:
        for _ in range(QUOTA.sessions + 1):
            session = await store.sessions.create(owner, system="s" * 60_000)
        await store.messages.begin(session, NewTurn(content="c" * 200_000, model="m", model_reason="r"))
        await document(store, owner, "d" * 200_000)


async def test_one_visitor_does_not_count_for_another(store: Store) -> None:
    for _ in range(QUOTA.sessions):
        await store.sessions.create(ANN)
    with pytest.raises(ChatError, match="No more than 3 conversations can be kept for you; delete some"):
        await store.sessions.create(ANN)
    await document(store, ANN, "d" * 99_000)
    await store.sessions.create(BOB)
    await document(store, BOB, "e" * 99_000)


async def test_what_is_deleted_or_was_refused_does_not_count(store: Store) -> None:
    session = await store.sessions.create(ANN)
    turn = NewTurn(content="c" * 60_000, model="m", model_reason="r")
    await store.messages.begin(session, turn)
    for _ in range(3):
        with pytest.raises(
            ChatError, match="No more than 100000 bytes of conversations and documents can be kept"
        ):
            await store.messages.begin(session, turn)
    await store.sessions.delete(session)
    await store.messages.begin(await store.sessions.create(ANN), turn)


async def test_forms_of_a_name_are_also_those_of_visitors(path: Path) -> None:
    """A server of one's own may sign visitors' names, of any form."""
    store = await Store.open(path)
    await store.sessions.create(f"{VISITOR}Ann")
    await store.sessions.create(f"{VISITOR}0123abcd")
    await store.close()
    store = await Store.open(path, owner_form=str.casefold, quota=QUOTA)
    assert await rows(store, "session") == [f"{VISITOR}0123abcd", ANN]
    await store.close()
