"""Imported messages: all of them or none, in the conversation as if they had been written in it."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest
from msgspec.structs import replace
from waiting import until

from chatproxy.errors import ChatError
from chatproxy.store import messages, sessions
from chatproxy.store.database import STEP, Connection, Lane, Unit
from chatproxy.store.records import (
    Failure,
    ImportedTurn,
    Message,
    NewSession,
    NewTurn,
    Notice,
    Session,
    Source,
)
from chatproxy.store.sqlite.writer import Writer
from chatproxy.store.store import Store

LONG_AGO = "2024-05-06T07:08:09.123Z"


def user(content: str, **fields: object) -> ImportedTurn:
    return ImportedTurn(role="user", content=content, **fields)  # type: ignore[arg-type]


def assistant(content: str, **fields: object) -> ImportedTurn:
    return ImportedTurn(role="assistant", content=content, **fields)  # type: ignore[arg-type]


def system(content: str) -> ImportedTurn:
    return ImportedTurn(role="system", content=content)


async def shown(store: Store, session: Session) -> list[Message]:
    page, following = await store.messages.page(session, limit=10_000, before=None)
    assert following is None
    return page


async def texts(store: Store, session: Session) -> list[str]:
    return [f"{message.role}: {message.content}" for message in await shown(store, session)]


async def ids(store: Store, q: str | None = None, owner: str = "ann") -> list[str]:
    if q is None:
        page, _ = await store.sessions.page(owner, limit=1000, before=None)
    else:
        page, _, _ = await store.sessions.search(owner, limit=1000, before=None, q=q)
    return [session.id for session in page]


async def refused(call: Awaitable[object]) -> str:
    with pytest.raises(ChatError) as caught:
        await call
    return caught.value.code


async def send(store: Store, session: Session, content: str, **fields: object) -> int:
    question, _ = await store.messages.begin(session, NewTurn(content=content, **fields))  # type: ignore[arg-type]
    return question


@pytest.fixture
async def held(store: Store, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Holds up an import of one message a unit after its third message, until it is set."""
    monkeypatch.setattr(messages, "TURNS_PER_UNIT", 1)
    event, run = asyncio.Event(), store.database.run

    async def until_set(unit: Unit[object], *, size: int = 0, lane: Lane = Lane.REQUESTS) -> object:
        if (
            "turns" in getattr(unit, "keywords", ())
            and len(await store.database.fetch("SELECT 1 FROM message")) == 3
        ):
            await event.wait()
        return await run(unit, size=size, lane=lane)

    monkeypatch.setattr(store.database, "run", until_set)
    return event


async def _gathered(store: Store) -> bool:
    return len(await store.database.fetch("SELECT 1 FROM message")) == 3


# -- ids of sessions


async def test_a_client_may_choose_an_id(store: Store) -> None:
    created = await store.sessions.create("ann", id="a.B_9:-", title="T")
    assert (created.id, created.title) == ("a.B_9:-", "T")
    assert await store.sessions.get("ann", "a.B_9:-") == created


@pytest.mark.parametrize("id", ["", ".", "..", "a" * 45, "a/b", "a b", "é", "a\n", "%2e", "a\0"])
async def test_refuses_what_is_no_id(store: Store, id: str) -> None:
    assert await refused(store.sessions.create("ann", id=id)) == "invalid"
    if id:
        with pytest.raises(ChatError):
            await store.sessions.get_or_create("ann", id)


async def test_an_id_that_exists_is_not_found_for_anybody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def kept(connection: Connection, key: int) -> bool:
        return False

    monkeypatch.setattr(sessions, "remove_some", kept)  # also by a removal that is under way
    session = await store.sessions.create("ann", id="one")
    for owner in ("ann", "bob"):
        assert await refused(store.sessions.create(owner, id="one")) == "not_found"
    await store.sessions.delete(session)  # and while it is removed
    assert await refused(store.sessions.get_or_create("bob", "one")) == "not_found"


async def test_all_who_ask_for_one_id_at_once_get_the_same_session(store: Store) -> None:
    found = await asyncio.gather(*[store.sessions.get_or_create("ann", "one", title="T") for _ in range(8)])
    assert found == [await store.sessions.get("ann", "one")] * 8
    assert await refused(store.sessions.get_or_create("bob", "one")) == "not_found"
    assert await store.sessions.get_or_create("ann", "one", title="other") == found[0]


# -- into a session that exists


async def test_appends_messages_in_their_order(store: Store) -> None:
    session = await store.sessions.create("ann")
    await send(store, session, "before", client_message_id="b")
    (*_, answer) = await shown(store, session)
    await store.messages.finish(answer)
    assert await refused(store.messages.import_turns(session, [user("now")])) == "session_busy"
    await store.messages.finish(replace(answer, status="complete", content="yes"))
    turns = [
        user("Why?", created_at=LONG_AGO, images=[b"picture"], client_message_id="c"),
        assistant("Because.", thinking="hm", model="m", created_at=LONG_AGO),
    ]
    await store.messages.import_turns(session, turns)
    assert await texts(store, session) == [
        "user: before",
        "assistant: yes",
        "user: Why?",
        "assistant: Because.",
    ]
    *_, question, reply = await shown(store, session)
    assert (question.created_at, question.image_count, question.client_message_id) == (LONG_AGO, 1, "c")
    assert (reply.status, reply.thinking, reply.model, reply.created_at) == ("complete", "hm", "m", LONG_AGO)
    assert await store.messages.images(session, [question.id], 100) == {question.id: [b"picture"]}
    stored = await store.messages.get_answer(session, reply.id)
    assert (stored.message, stored.question_id) == (reply, question.id)
    session = await store.sessions.get("ann", session.id)
    assert (session.message_count, session.title) == (4, "before")
    assert await ids(store, "because") == [session.id]


async def test_any_order_of_roles(store: Store) -> None:
    session = await store.sessions.create("ann", system="Be brief.")
    turns = [
        system("Speak French."),
        assistant("Hello, what is it?"),
        user("one"),
        user("two"),
        assistant("two a"),
        system("Now German."),
        assistant("two b"),
        user("three"),
    ]
    await store.messages.import_turns(session, turns)
    assert await texts(store, session) == [
        f"{turn.role}: {turn.content}" for turn in turns if turn.role != "system"
    ]
    greeting, _, two, first, second, _ = await shown(store, session)
    session = await store.sessions.get("ann", session.id)
    assert session.system == "Be brief.\n\nSpeak French.\n\nNow German."
    assert (session.message_count, session.title) == (6, "one")
    assert (await store.messages.get_answer(session, greeting.id)).question_id is None
    for answer in (first, second):
        assert (await store.messages.get_answer(session, answer.id)).question_id == two.id


async def test_what_was_imported_is_replaced_like_anything_else(store: Store) -> None:
    session = await store.sessions.create("ann")
    await store.messages.import_turns(session, [user("a"), assistant("b"), user("c"), assistant("d")])
    third = (await shown(store, session))[2]
    await send(store, session, "new", replaces=third.id)
    assert await texts(store, session) == ["user: a", "assistant: b", "user: new", "assistant: "]


async def test_a_client_message_id_stays_unique(store: Store) -> None:
    session = await store.sessions.create("ann")
    await store.messages.import_turns(session, [user("unanswered", client_message_id="c")])
    assert await refused(send(store, session, "again", client_message_id="c")) == "idempotency_conflict"
    for turns in ([user("x", client_message_id="c")], [user("x", client_message_id="d")] * 2):
        assert await refused(store.messages.import_turns(session, turns)) == "idempotency_conflict"
    assert await texts(store, session) == ["user: unanswered"]


async def test_does_not_mix_with_what_is_sent_meanwhile(store: Store, held: asyncio.Event) -> None:
    session = await store.sessions.create("ann")
    task = asyncio.create_task(store.messages.import_turns(session, [user(str(n)) for n in range(5)]))
    await until(lambda: _gathered(store))
    await send(store, session, "meanwhile")
    held.set()
    assert await refused(task) == "session_busy"
    assert await texts(store, session) == ["user: meanwhile", "assistant: "]


# -- as a new session


async def test_a_new_session_keeps_its_times(store: Store) -> None:
    await store.sessions.create("ann", id="before")
    new = NewSession(id="new", title="T", model="m", system="s", created_at=LONG_AGO, updated_at=LONG_AGO)
    made = await store.messages.import_session("ann", new, [user("Hi"), assistant("Hello")])
    assert made == await store.sessions.get("ann", "new")
    assert made is not None
    assert (made.title, made.model, made.system) == ("T", "m", "s")
    assert (made.created_at, made.updated_at, made.message_count) == (LONG_AGO, LONG_AGO, 2)
    await store.messages.import_session("ann", NewSession(id="newer"), [user("Title\nText")])
    assert (await store.sessions.get("ann", "newer")).title == "Title"
    assert await store.messages.import_session("bob", new, []) is None


async def test_imported_sessions_are_listed_after_the_others_in_their_order(store: Store) -> None:
    for id in ("x", "y"):
        await store.messages.import_session("ann", NewSession(id=id), [user(id)])
    await store.sessions.create("ann", id="mine")
    for id in ("z", "last"):
        await store.messages.import_session("ann", NewSession(id=id), [user(id)])
    assert await ids(store) == ["mine", "x", "y", "z", "last"]
    before, seen = None, []
    while True:
        page, before = await store.sessions.page("ann", limit=1, before=before)
        seen += [session.id for session in page]
        if before is None:
            break
    assert seen == ["mine", "x", "y", "z", "last"]
    used = await store.sessions.get("ann", "last")
    await send(store, used, "again")
    assert await ids(store) == ["last", "mine", "x", "y", "z"]


async def begun(store: Store) -> asyncio.Task[Session | None]:
    """An import that has stored a part."""
    turns = [user(f"word {n}") for n in range(5)]
    task = asyncio.create_task(store.messages.import_session("ann", NewSession(id="half"), turns))
    await until(lambda: _gathered(store))
    return task


async def test_half_of_an_import_is_not_seen(store: Store, held: asyncio.Event) -> None:
    task = await begun(store)
    assert await ids(store) == await ids(store, "word") == []
    assert await refused(store.sessions.get("ann", "half")) == "not_found"
    assert await refused(store.sessions.get_or_create("ann", "half")) == "not_found"
    held.set()
    await task
    assert await ids(store) == await ids(store, "word") == ["half"]


async def test_an_import_that_is_cancelled_leaves_nothing(store: Store, held: asyncio.Event) -> None:
    task = await begun(store)
    task.cancel()
    await asyncio.wait({task})
    await until(lambda: _empty(store))
    made = await store.messages.import_session("ann", NewSession(id="half"), [user("whole")])
    assert made is not None
    assert await texts(store, made) == ["user: whole"]


async def _empty(store: Store) -> bool:
    return not await store.database.fetch("SELECT 1 FROM session UNION ALL SELECT 1 FROM message")


@pytest.mark.parametrize("after", range(8))
async def test_cancelled_at_any_moment(store: Store, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    monkeypatch.setattr(messages, "TURNS_PER_UNIT", 1)
    runs = 0
    run = Writer.run

    async def counted(self: Writer, unit: object, **more: object) -> object:
        nonlocal runs
        runs += 1
        if runs == after:
            asyncio.get_running_loop().call_soon(task.cancel)
        return await run(self, unit, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "run", counted)
    turns = [user(str(n)) for n in range(4)]
    task = asyncio.create_task(store.messages.import_session("ann", NewSession(id="one"), turns))
    await asyncio.wait({task})
    if await ids(store):
        assert await texts(store, await store.sessions.get("ann", "one")) == [f"user: {n}" for n in range(4)]
    else:
        await until(lambda: _empty(store))


async def test_what_a_crash_cut_is_removed_at_the_next_start(
    store: Store, tmp_path: Path, held: asyncio.Event
) -> None:
    task = await begun(store)
    copy = tmp_path / "copy.db"
    async with store.database.reader() as reader:
        await reader.run(lambda connection: connection.execute("VACUUM INTO :copy", copy=str(copy)))
    held.set()
    await task
    other = await Store.open(copy)
    assert await ids(other) == []
    await until(lambda: _empty(other))
    await other.close()


async def test_bounds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await store.sessions.create("ann")
    monkeypatch.setattr(messages, "MAX_TURNS", 2)
    assert await refused(store.messages.import_turns(session, [user("x")] * 3)) == "too_large"
    long = [system("x" * 200 * 1024), system("y" * 100 * 1024)]
    assert await refused(store.messages.import_turns(session, long)) == "too_large"
    assert await refused(store.messages.import_session("ann", NewSession(id="n"), long)) == "too_large"
    assert await store.sessions.get("ann", session.id) == session


LONG = "x" * 200 * 1024


@pytest.mark.parametrize(
    "fields",
    [
        {"warnings": [Notice(code="a", message=LONG)]},
        {"error": Failure(error=LONG, code="a", retryable=True)},
        {"sources": [Source(document_id=0, title=LONG, chunk=0, snippet="", score=0)]},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_all_that_a_message_has_counts_in_units_and_pages(
    store: Store, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object]
) -> None:
    sizes, run = [], store.database.run

    async def noted(unit: Unit[object], *, size: int = 0, lane: Lane = Lane.REQUESTS) -> object:
        if "turns" in getattr(unit, "keywords", ()):
            sizes.append(size)
        return await run(unit, size=size, lane=lane)

    monkeypatch.setattr(store.database, "run", noted)
    new = NewSession(id="n" * 22)
    session = await store.messages.import_session("ann", new, [assistant("x", **fields)] * 12)
    assert session is not None
    assert len(sizes) == 3
    assert all(200 * 1024 * 4 < size <= STEP for size in sizes[:-1])
    page, following = await store.messages.page(session, limit=100, before=None)
    assert following == page[0].id
    assert len(page) == 5
