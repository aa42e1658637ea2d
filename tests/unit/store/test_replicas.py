"""Who lives: signs, and what is ended of those who give none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import pytest
from msgspec.structs import replace
from postgres import empty

from chatproxy.errors import ChatError
from chatproxy.store.messages import AlreadySentError, reconciling
from chatproxy.store.postgres.database import PostgresDatabase
from chatproxy.store.postgres.replicas import Look
from chatproxy.store.records import ImportedTurn, Message, NewSession, NewTurn, Piece, Session
from chatproxy.store.sessions import gather
from chatproxy.store.store import Store

END = reconciling()


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[list[Store]]:
    """Those of two replicas."""
    await empty(postgres_url)
    stores = [await Store.open(postgres_url) for _ in range(2)]
    yield stores
    for store in stores:
        await store.close()


def database(store: Store) -> PostgresDatabase:
    assert isinstance(store.database, PostgresDatabase)
    return store.database


async def look(store: Store) -> Look:
    found = await database(store).replicas.look()
    assert found is not None
    return found


async def begin(store: Store, session: Session, **fields: object) -> Message:
    _, answer = await store.messages.begin(session, NewTurn(content="Hi", **fields))  # type: ignore[arg-type]
    return answer


async def silent(store: Store) -> None:
    """Let a replica have given no sign for a while."""
    await database(store).write(
        "UPDATE replica SET seen = clock_timestamp() - interval '6 seconds' WHERE id = :id",
        id=database(store).replica,
    )


def patient(store: Store) -> None:
    """Let a replica have reached the database for as long as it takes to judge."""
    database(store).replicas._heard_since -= 60


async def test_replicas_see_each_other_the_oldest_first(stores: list[Store]) -> None:
    ids = [database(store).replica for store in stores]
    for store in stores:
        assert (await look(store)) == Look(living=ids, late=[], was_lost=False)
    await database(stores[0]).replicas.leave()
    assert (await look(stores[1])).living == ids[1:]


async def test_nobody_is_judged_by_one_who_could_not_reach_the_database(
    stores: list[Store], postgres_url: str
) -> None:
    one, other = stores
    await silent(one)
    ids = [database(store).replica for store in stores]
    assert (await look(other)) == Look(living=ids, late=[], was_lost=False)
    patient(other)
    assert (await look(other)) == Look(living=ids[1:], late=ids[:1], was_lost=False)
    assert (await look(one)).late == []  # that was a sign
    assert (await look(other)).living == ids


async def test_a_dead_ones_answers_are_ended_and_cannot_be_ended_again(
    stores: list[Store], postgres_url: str
) -> None:
    one, other = stores
    session = await one.sessions.create("ann")
    answer = await begin(one, session)
    await one.messages.checkpoint([Piece(message_id=answer.id, thinking="hm", content="Hel")])
    await silent(one)
    dead = database(one).replica
    assert await database(other).replicas.bury(dead)
    await database(other).replicas.end_all(reconciling(lambda id: ("hm", "Hello")))
    ended = await other.messages.get(session, answer.id)
    assert (ended.status, ended.thinking, ended.content) == ("interrupted", "hm", "Hello")
    assert ended.error is not None
    assert ended.error.code == "interrupted"
    # What the dead one would say now.
    await one.messages.checkpoint([Piece(message_id=answer.id, thinking="", content="p!")])
    stored = await one.messages.finish(replace(answer, status="complete", content="Help!"))
    assert stored is not None
    assert stored.message == ended
    with pytest.raises(ChatError, match="out of reach of its database") as caught:
        await begin(one, session)
    assert caught.value.code == "overloaded"
    assert (await look(one)).was_lost
    await database(one).replicas.come_back(end=END)
    assert not (await look(one)).was_lost
    assert (await look(other)).living == [database(other).replica, dead]
    await begin(one, session)


async def test_one_who_gave_a_sign_in_time_is_not_buried(stores: list[Store], postgres_url: str) -> None:
    one, other = stores
    answer = await begin(one, session := await one.sessions.create("ann"))
    assert not await database(other).replicas.bury(database(one).replica)
    await database(other).replicas.end_all(END)
    assert (await other.messages.get(session, answer.id)).status == "streaming"
    assert len((await look(other)).living) == 2


async def test_text_that_was_heard_otherwise_is_not_taken(stores: list[Store], postgres_url: str) -> None:
    one, other = stores
    answer = await begin(one, session := await one.sessions.create("ann"))
    await one.messages.checkpoint([Piece(message_id=answer.id, thinking="", content="Hello")])
    await silent(one)
    for heard in (("", "Hell"), ("", "Help me")):
        end = reconciling(lambda id, heard=heard: heard)  # type: ignore[misc]
        await database(other).replicas.bury(database(one).replica)
        await database(other).replicas.end_all(end)
        assert (await other.messages.get(session, answer.id)).content == "Hello"


async def test_who_starts_ends_what_is_nobodys_and_only_that(stores: list[Store], postgres_url: str) -> None:
    one, other = stores
    sessions = [await one.sessions.create("ann") for _ in range(2)]
    left, written = await begin(one, sessions[0]), await begin(other, sessions[1])
    await database(one).replicas.leave()
    third = await Store.open(postgres_url)
    assert (await third.messages.get(sessions[0], left.id)).status == "interrupted"
    assert (await third.messages.get(sessions[1], written.id)).status == "streaming"
    await third.close()


async def test_an_upload_of_another_replicas_is_left_to_it(stores: list[Store], postgres_url: str) -> None:
    one, _ = stores
    insert = """
        INSERT INTO document (owner, hash, title, media_type, bytes, chunks, created_at)
        VALUES ('ann', :hash, 'T', 'text/plain', 1, 1, :created_at)
    """
    for hash, created_at in ((b"old", "2020-01-01T00:00:00.000Z"), (b"new", "2999-01-01T00:00:00.000Z")):
        await one.database.write(insert, hash=hash, created_at=created_at)
    await (await Store.open(postgres_url)).close()
    rows = await one.database.fetch("SELECT hash FROM document WHERE deleted = FALSE AND complete = FALSE")
    assert [row["hash"] for row in rows] == [b"new"]


async def test_of_a_session_used_at_two_replicas_at_once_one_is_busy(stores: list[Store]) -> None:
    session = await stores[0].sessions.create("ann")
    results = await asyncio.gather(
        *[begin(stores[n % 2], session) for n in range(10)], return_exceptions=True
    )
    (answer,) = [result for result in results if isinstance(result, Message)]
    refused = [result for result in results if isinstance(result, ChatError)]
    assert [(each.code, each.details) for each in refused] == [
        ("session_busy", {"activeMessageId": answer.id})
    ] * 9
    for store in stores:
        assert await database(store).replicas.active([session.id, "other"]) == {session.id: answer.id}
    for change in (stores[1].sessions.delete(session), stores[1].messages.delete(session, answer.id)):
        with pytest.raises(ChatError, match="still being answered"):
            await change


async def test_a_message_sent_at_two_replicas_at_once_is_stored_once(stores: list[Store]) -> None:
    session = await stores[0].sessions.create("ann")
    results = await asyncio.gather(
        *[begin(stores[n % 2], session, client_message_id="c") for n in range(10)], return_exceptions=True
    )
    (answer,) = [result for result in results if isinstance(result, Message)]
    others = [result.earlier.answer_id for result in results if isinstance(result, AlreadySentError)]
    assert others == [answer.id] * 9


async def test_two_that_start_at_once_on_an_empty_database(postgres_url: str) -> None:
    await empty(postgres_url)
    async with AsyncExitStack() as stack:
        stores = await asyncio.gather(*[Store.open(postgres_url) for _ in range(3)])
        for store in stores:
            stack.push_async_callback(store.close)
        assert len((await look(stores[0])).living) == 3


async def test_a_server_that_is_away_gives_no_look(stores: list[Store], postgres_url: str) -> None:
    one, _ = stores
    replicas = database(one).replicas
    replicas._give_up()
    replicas._url = "postgresql://127.0.0.1:1/nowhere"
    assert await replicas.look() is None
    replicas._url = postgres_url
    assert len((await look(one)).living) == 2


async def test_who_starts_after_the_database_was_away_kills_nobody(
    stores: list[Store], postgres_url: str
) -> None:
    one, other = stores
    answer = await begin(one, session := await one.sessions.create("ann"))
    for store in stores:
        await silent(store)
    async with AsyncExitStack() as stack:
        third = await Store.open(postgres_url)
        stack.push_async_callback(third.close)
        assert (await look(third)).late == []
        assert not (await look(one)).was_lost
        assert (await other.messages.get(session, answer.id)).status == "streaming"


async def test_what_a_replica_that_is_gone_was_importing_is_given_up(
    stores: list[Store], postgres_url: str
) -> None:
    one, other = stores
    turns = [ImportedTurn(role="user", content="Hi")]
    for id, store in (("left", one), ("gathered", other)):
        await store.database.run(
            partial(gather, owner="ann", new=NewSession(id=id), replica=database(store).replica)
        )
    await database(one).replicas.leave()
    await other.sessions.give_up_left()
    await other.sessions.remove_deleted()
    assert await other.messages.import_session("ann", NewSession(id="left"), turns) is not None
    assert await other.messages.import_session("ann", NewSession(id="gathered"), turns) is None
