import asyncio
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import closing
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from damage import damage
from msgspec.structs import replace
from stored import sqlite_of
from systems import ODD_NAME
from waiting import until

from chatproxy.documents.parts import Chunk
from chatproxy.errors import ChatError, StartError
from chatproxy.store import messages, sessions
from chatproxy.store.database import SLOW_READS
from chatproxy.store.messages import INTERRUPTED
from chatproxy.store.records import (
    EarlierSend,
    Failure,
    Message,
    NewDocument,
    NewTurn,
    Notice,
    Piece,
    Session,
    SessionItem,
    Source,
    Usage,
)
from chatproxy.store.search import words
from chatproxy.store.search.indexes import Query
from chatproxy.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS
from chatproxy.store.store import Store

ROOT = Path(__file__).parents[3]
MANY = 1_000_000_000  # bytes
ODD_TEXT = "a\0b 😀 \u2028 \u0085 \r\n \x1b[0m é e\u0301 \U0010ffff \ufeff"


@pytest.fixture
async def session(store: Store) -> Session:
    return await new_session(store)


async def new_session(store: Store, title: str | None = None, owner: str = "ann") -> Session:
    return await store.sessions.create(owner, title=title)


async def begin(store: Store, session: Session, content: str = "Hi", **fields: object) -> tuple[int, int]:
    """The ids of the two messages."""
    asked = NewTurn(content=content, **fields)  # type: ignore[arg-type]
    question, answer = await store.messages.begin(session, asked)
    return question, answer.id


async def turn(store: Store, session: Session, content: str = "Hi", **fields: object) -> tuple[int, int]:
    """A whole turn; the ids of the two messages."""
    question, answer = await begin(store, session, content, **fields)
    await finish(store, session, answer, "")
    return question, answer


async def say(store: Store, session: Session, question: str, answer: str, **fields: object) -> int:
    """A whole turn; the question's id."""
    question_id, answer_id = await begin(store, session, question, **fields)
    await finish(store, session, answer_id, answer)
    return question_id


async def finish(store: Store, session: Session, answer_id: int, content: str) -> None:
    answer = await store.messages.get(session, answer_id)
    await store.messages.finish(replace(answer, status="complete", content=content, finish_reason="stop"))


async def shown(store: Store, session: Session) -> list[Message]:
    messages, following = await store.messages.page(session, limit=1000, before=None)
    assert following is None
    return messages


async def titles(store: Store, q: str | None, owner: str = "ann") -> list[str | None]:
    if q is None:
        sessions, _ = await store.sessions.page(owner, limit=1000, before=None)
    else:
        sessions, _, _ = await store.sessions.search(owner, limit=1000, before=None, q=q)
    return [session.title for session in sessions]


async def refused(call: Awaitable[object]) -> ChatError:
    with pytest.raises(ChatError) as caught:
        await call
    return caught.value


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def newer(store: Store, session: Session) -> None:
    """Waits until a change to the session would bear another time than it has."""
    while (await new_session(store, owner="clock")).updated_at <= session.updated_at:
        pass


# -- opening


async def test_opens_a_new_file_and_opens_it_again(tmp_path: Path) -> None:
    path = tmp_path / ODD_NAME / "chat.db"
    store = await Store.open(path)
    await store.database.ping()
    created = await new_session(store, "kept")
    assert names(path.parent) == [
        "chat.db",
        "chat.db-shm",
        "chat.db-wal",
        "chat.db.lock",
    ]
    await store.close()
    assert names(path.parent) == ["chat.db", "chat.db.lock"]
    store = await Store.open(path)
    assert await store.sessions.get("ann", created.id) == created
    await store.close()


async def test_settings_of_the_file(store: Store, tmp_path: Path) -> None:
    assert rows(tmp_path / "chat.db", "PRAGMA journal_mode") == [("wal",)]
    assert rows(tmp_path / "chat.db", "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert rows(tmp_path / "chat.db", "PRAGMA user_version") == [(len(MIGRATIONS),)]


async def test_a_file_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n" * 100, encoding="utf-8")
    with pytest.raises(StartError, match=r"is not a database that can be read .*; name another file"):
        await Store.open(path)
    assert path.read_text(encoding="utf-8") == "my notes\n" * 100
    assert names(tmp_path) == ["notes.txt", "notes.txt.lock"]


async def test_a_second_store_on_the_file_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="in use by another chatproxy"):
        await Store.open(tmp_path / "chat.db")
    await new_session(store)


async def test_a_database_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with closing(sqlite3.connect(path)) as other:
        other.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(MIGRATIONS)}"
        )
    with pytest.raises(StartError, match=r"cannot be used \(no such table: message\); see to that, or name"):
        await Store.open(path)


async def test_reads_say_what_is_wrong_with_the_database(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(tmp_path / "chat.db")) as other:
        other.execute("DROP TABLE session")
    error = await refused(store.database.ping())
    assert (error.code, error.sentence) == ("internal", "The database failed; chatproxy's log says how.")
    assert "no such table" in caplog.text


# -- sessions


async def test_create_and_get(store: Store) -> None:
    session = await store.sessions.create("ann", title="T", model="m", system="s")
    assert re.fullmatch(r"[A-Za-z0-9_-]{22,}", session.id)
    assert session == Session(
        id=session.id,
        title="T",
        model="m",
        system="s",
        document_id=None,
        created_at=session.created_at,
        updated_at=session.created_at,
        used_at=session.created_at,
        message_count=0,
    )
    assert await store.sessions.get("ann", session.id) == session


async def test_update(store: Store, session: Session) -> None:
    await newer(store, session)
    changed = await store.sessions.update(session, {"title": "T", "model": "m", "system": "s"})
    assert changed == replace(session, title="T", model="m", system="s", updated_at=changed.updated_at)
    assert changed.updated_at > session.updated_at
    cleared = await store.sessions.update(session, {"model": None})
    assert (cleared.title, cleared.model, cleared.system) == ("T", None, "s")
    assert await store.sessions.get("ann", session.id) == cleared


async def test_update_of_nothing_is_activity_too(store: Store, session: Session) -> None:
    await newer(store, session)
    assert (await store.sessions.update(session, {})).updated_at > session.updated_at


def left(tmp_path: Path) -> list[int]:
    """The numbers of rows in the tables of sessions."""
    tables = ("session", "message", "piece", "image")
    return [len(rows(tmp_path / "chat.db", f"SELECT rowid FROM {table}")) for table in tables]


async def test_delete_takes_everything_along(store: Store, session: Session, tmp_path: Path) -> None:
    await say(store, session, "a question", "an answer", images=[b"1"])
    _, unfinished = await begin(store, session)
    await store.messages.checkpoint([Piece(message_id=unfinished, thinking="", content="word")])
    await store.sessions.delete(session)
    await until(lambda: left(tmp_path) == [0, 0, 0, 0])
    assert (await refused(store.sessions.get("ann", session.id))).code == "not_found"


async def test_a_deleted_session_is_unseen_at_once_and_removed_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "GATHER", 60)  # the index adds no commits meanwhile
    monkeypatch.setattr(words, "CATCH_UP", 0.1)  # and is not waited for
    commits: list[float] = []
    store = await Store.open(tmp_path / "chat.db", commits.append)
    session = await new_session(store, "word")
    await asyncio.gather(*[begin(store, session, "word") for _ in range(600)])
    await asyncio.gather(*[begin(store, session, images=[b"1" * 600_000]) for _ in range(4)])
    remaining, before = left(tmp_path), len(commits)
    assert remaining == [1, 1208, 0, 4]
    await store.sessions.delete(session)
    assert await titles(store, None) == []
    assert await titles(store, "word") == []
    assert (await refused(store.sessions.get("ann", session.id))).code == "not_found"
    assert (await refused(store.sessions.delete(session))).code == "not_found"
    await until(lambda: left(tmp_path) == [0, 0, 0, 0])
    assert len(commits) - before > 13
    await store.close()


async def test_a_removal_goes_on_after_a_restart(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "chat.db")
    session, kept = await new_session(store), await new_session(store)
    await asyncio.gather(*[begin(store, session) for _ in range(400)])
    question, answer = await begin(store, kept)
    await store.sessions.delete(session)
    await store.close()
    assert left(tmp_path)[0] == 2
    store = await Store.open(tmp_path / "chat.db")
    assert (await refused(store.sessions.get("ann", session.id))).code == "not_found"
    await until(lambda: left(tmp_path) == [1, 2, 0, 0])
    assert [message.id for message in await shown(store, kept)] == [question, answer]
    await store.close()


async def test_another_owners_session_does_not_exist(store: Store, session: Session) -> None:
    question, answer = await begin(store, session, "mine", client_message_id="c", images=[b"1"])
    for owner, id in (("bob", session.id), ("ann", "nowhere")):
        error = await refused(store.sessions.get(owner, id))
        assert error.code == "not_found"
        assert error.sentence == f"There is no session {id}; list the sessions, or create one."
    assert await titles(store, None, owner="bob") == []
    assert await titles(store, "mine", owner="bob") == []
    assert await titles(store, "mine") == ["mine"]
    assert [message.id for message in await shown(store, session)] == [question, answer]


async def test_a_session_that_was_deleted_in_the_meantime(store: Store, session: Session) -> None:
    question, answer = await turn(store, session, client_message_id="c", images=[b"1"])
    await store.sessions.delete(session)
    for call in (
        store.sessions.update(session, {"title": "T"}),
        store.sessions.delete(session),
        store.messages.begin(session, NewTurn(content="x")),
        store.messages.begin(session, NewTurn(content="x", replaces=question)),
        store.messages.get(session, question),
        store.messages.get_answer(session, answer),
        store.messages.page(session, limit=10, before=None),
        store.messages.page_after(session, "ann", limit=10, size=MANY, after=0),
        store.messages.check_replaces(session, question),
    ):
        error = await refused(call)
        assert (error.code, error.sentence) == (
            "not_found",
            f"There is no session {session.id}; list the sessions, or create one.",
        )
    assert await store.messages.history(session, limit=10, before=None) == []
    assert await store.messages.images(session, [question], MANY) == {}


async def test_messages_of_another_session_are_missing(store: Store, session: Session) -> None:
    question, answer = await begin(store, await new_session(store), images=[b"1"])
    await turn(store, session)
    for message_id in (question, 12345, 2**70):
        error = await refused(store.messages.get(session, message_id))
        assert (error.code, error.sentence) == (
            "not_found",
            f"There is no message {message_id} in this session; list its messages.",
        )
    assert (await refused(store.messages.get_answer(session, answer))).code == "not_found"
    assert await store.messages.images(session, [question], MANY) == {}
    for call in (
        store.messages.check_replaces(session, question),
        store.messages.begin(session, NewTurn(content="x", replaces=question)),
    ):
        error = await refused(call)
        assert (error.code, error.details) == ("invalid", {"field": "replaces"})


# -- the list of sessions


async def test_pages_of_sessions(store: Store) -> None:
    for n in range(7):
        await new_session(store, f"{n}")
    pages: list[list[str | None]] = []
    before: str | None = None
    while before is not None or not pages:
        sessions, before = await store.sessions.page("ann", limit=3, before=before)
        pages.append([session.title for session in sessions])
    assert pages == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert await store.sessions.page("ann", limit=7, before=None) == (
        (await store.sessions.page("ann", limit=100, before=None))[0],
        None,
    )


async def test_a_page_does_not_shift_when_sessions_become_active(store: Store) -> None:
    sessions = [await new_session(store, f"{n}") for n in range(6)]
    await newer(store, sessions[-1])
    _, following = await store.sessions.page("ann", limit=3, before=None)
    for active in (sessions[4], sessions[1]):
        await begin(store, active)
    second, end = await store.sessions.page("ann", limit=3, before=following)
    assert ([session.title for session in second], end) == (["2", "0"], None)
    assert (await titles(store, None))[2:] == ["5", "3", "2", "0"]


async def test_pages_of_what_is_found(store: Store) -> None:
    for n in range(5):
        await new_session(store, f"tea {n}")
        await new_session(store, f"coffee {n}")
    first, following, _ = await store.sessions.search("ann", limit=3, before=None, q="tea")
    second, end, _ = await store.sessions.search("ann", limit=3, before=following, q="tea")
    assert [session.title for session in first + second] == [f"tea {n}" for n in (4, 3, 2, 1, 0)]
    assert end is None


@pytest.mark.parametrize(
    "before", ["", "x", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z.1", "\ud800", "٣", "1.2", "-1"]
)
async def test_a_malformed_place_in_the_list(store: Store, before: str) -> None:
    error = await refused(store.sessions.page("ann", limit=3, before=before))
    assert error.code == "invalid_cursor"


async def test_a_place_beyond_the_end_of_the_list(store: Store, session: Session) -> None:
    assert await store.sessions.page("ann", limit=3, before="1") == ([], None)


async def test_a_clock_that_is_set_back_does_not_change_the_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, third = [await new_session(store, f"{n}") for n in (1, 2, 3)]
    for module in (messages, sessions):
        monkeypatch.setattr(module, "now", lambda: "2001-01-01T00:00:00.000Z")
    await new_session(store, "4")
    assert await titles(store, None) == ["4", "3", "2", "1"]
    await turn(store, first)
    assert await titles(store, None) == ["1", "4", "3", "2"]
    _, answer = await begin(store, third)
    assert await titles(store, None) == ["3", "1", "4", "2"]
    await begin(store, first)
    await finish(store, third, answer, "x")
    assert await titles(store, None) == ["3", "1", "4", "2"]
    assert (await store.sessions.get("ann", third.id)).updated_at == "2001-01-01T00:00:00.000Z"


# -- search


async def test_search_finds_beginnings_of_words(store: Store) -> None:
    await say(
        store, await new_session(store, "Cooking with Émile"), "How long does rice cook?", "Ten minutes."
    )
    await say(store, await new_session(store, "Gardening"), "When do I plant rice?", "In spring, in water.")
    both = ["Gardening", "Cooking with Émile"]
    for q, expected in {
        "rice": both,
        "RI": both,
        "emil": ["Cooking with Émile"],
        "ÉMILE cook": ["Cooking with Émile"],
        "rice pla": ["Gardening"],
        "spring-time": [],
        "...": [],
        "in-wat": ["Gardening"],
        "ice": [],
        "rice water": [],  # of two messages
        "gardening rice": [],  # of a title and a message
        "minutes!": ["Cooking with Émile"],
    }.items():
        assert (q, await titles(store, q)) == (q, expected)


async def test_search_follows_the_text(store: Store, session: Session) -> None:
    question, answer = await begin(store, session, "apple")
    await store.messages.checkpoint([Piece(message_id=answer, thinking="", content="banana")])
    assert await titles(store, "banana") == []
    await finish(store, session, answer, "banana")
    assert await titles(store, "banana") == ["apple"]
    change = "UPDATE message SET content = :content WHERE id = :id"
    await store.database.write(change, id=answer, content="cherry")
    assert await titles(store, "banana") == []
    await store.database.write(change, id=answer, content="")
    assert await titles(store, "cherry") == []
    await store.sessions.update(session, {"title": "date"})
    await begin(store, session, "elderberry", replaces=question)
    assert await titles(store, "apple") == []
    assert await titles(store, "elder") == ["date"]
    await store.sessions.update(session, {"title": None})
    assert await titles(store, "date") == []


async def test_search_after_many_changes_has_a_sound_index(
    store: Store, session: Session, tmp_path: Path
) -> None:
    for n in range(20):
        kept = await new_session(store, f"title {n}" if n % 2 else None)
        question = await say(store, kept, f"question {n}", f"answer\0{n}")
        await say(store, kept, "again", "once more", replaces=question)
        await store.sessions.update(kept, {"title": f"renamed {n}" if n % 3 else None})
        if n % 4 == 0:
            await store.sessions.delete(kept)
    await store.close()
    with closing(sqlite3.connect(tmp_path / "chat.db")) as connection:
        connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


HOSTILE = [
    *"\"*^-+:(){}[],.;!?\\/|&%_~`'=<>@#$\0\x01\u200b\ufeff😀«»",
    '""',
    '"""',
    '"unclosed',
    "* *",
    "NOT",
    "( OR )",
    "title:",
    "-nothing",
    "{title content} : nothing",
    "NEAR(nothing here, 5)",
    "nothing OR *",
    '" OR 1=1 --',
    "'; DROP TABLE session; --",
    "nothing\0",
    "\0\0 \0",
    "content MATCH 'x'",
    "*reads",
    "rank",
    "x" * 8000,
    "nothing " * 1000,
    "( " * 1000,
    '" ' * 1000,
]


async def test_nothing_in_a_search_is_syntax(store: Store) -> None:
    assert len(HOSTILE) >= 50
    await say(store, await new_session(store, "Weather report"), "Will it rain?", "It will.")
    assert {q: found for q in HOSTILE if (found := await titles(store, q))} == {}
    await say(store, await new_session(store, "AND OR NOT NEAR title"), "x", "y")
    for q in ("AND", "or", "NOT near", "title", '"title"', "near*", "(and)", "-title", "^or", "! or", "AN\0"):
        assert (q, await titles(store, q)) == (q, ["AND OR NOT NEAR title"])


# -- the list of messages


async def test_pages_of_messages(store: Store, session: Session) -> None:
    for n in range(5):
        await say(store, session, f"question {n}", f"answer {n}")
    pages: list[list[str]] = []
    before: int | None = None
    while before is not None or not pages:
        messages, before = await store.messages.page(session, limit=4, before=before)
        pages.append([message.content for message in messages])
    assert pages == [
        ["question 3", "answer 3", "question 4", "answer 4"],
        ["question 1", "answer 1", "question 2", "answer 2"],
        ["question 0", "answer 0"],
    ]
    assert await store.messages.page(session, limit=4, before=1) == ([], None)
    assert await store.messages.page(session, limit=4, before=2**70) == ([], None)
    assert len(await shown(store, session)) == 10


async def test_pages_of_messages_from_the_beginning(store: Store, session: Session) -> None:
    replaced = await say(store, session, "question", "answer")
    for n in range(2):
        await say(store, session, f"question {n}", f"answer {n}", replaces=None if n else replaced)
    pages: list[list[str]] = []
    after: int | None = 0
    while after is not None:
        messages, after = await store.messages.page_after(session, "ann", after=after, limit=3, size=MANY)
        pages.append([message.content for message in messages])
    assert pages == [["question 0", "answer 0", "question 1"], ["answer 1"]]


async def test_a_page_ends_at_a_mebibyte_of_text_too(store: Store, session: Session) -> None:
    sizes = [300, 200, 3000, 400, 300, 300, 300, 1023, 1, 500]  # KiB, of questions and answers
    for question, reply in zip(sizes[::2], sizes[1::2], strict=True):
        await say(store, session, "é" * (question * 512), "\0" + "x" * (reply * 1024 - 1))
    latest_first: list[list[int]] = []
    before: int | None = None
    while before is not None or not latest_first:
        messages, before = await store.messages.page(session, limit=500, before=before)
        latest_first.append([len(message.content.encode()) // 1024 for message in messages])
    assert latest_first == [[1, 500], [1023], [300, 300, 300], [400], [3000], [300, 200]]

    history = await store.messages.history(session, limit=500, before=None)
    assert [len(message.content.encode()) // 1024 for message in history] == [500, 1]

    oldest_first: list[int] = []
    after: int | None = 0
    while after is not None:
        messages, after = await store.messages.page_after(
            session, "ann", limit=500, size=601 * 1024, after=after
        )
        oldest_first.append(len(messages))
    assert oldest_first == [2, 1, 1, 2, 1, 1, 2]


async def test_a_session_without_messages(store: Store, session: Session) -> None:
    assert await shown(store, session) == []


# -- a turn


async def test_a_turn(store: Store, session: Session) -> None:
    source = Source(document_id=3, title="Doc\u2028", chunk=0, snippet='a "snippet"\0', score=0.5)
    notice = Notice(code="history_truncated", message="Older messages were left out.")
    question_id, answer = await store.messages.begin(
        session,
        NewTurn(
            content=ODD_TEXT,
            images=[b"one", b"\0two"],
            documents=[(3, "Doc"), (2, "other")],
            model="m",
            model_reason="asked for",
            sources=[source],
            warnings=[notice],
            client_message_id="c-1",
        ),
    )
    question = await store.messages.get(session, question_id)
    assert question == Message(
        id=question_id,
        session_id=session.id,
        role="user",
        content=ODD_TEXT,
        status="complete",
        document_id=3,
        document_ids=[3, 2],
        image_count=2,
        client_message_id="c-1",
        created_at=question.created_at,
        updated_at=question.created_at,
    )
    assert answer == Message(
        id=answer.id,
        session_id=session.id,
        role="assistant",
        content="",
        status="streaming",
        cursor="0.0",
        model="m",
        model_reason="asked for",
        document_id=3,
        document_ids=[3, 2],
        sources=[source],
        warnings=[notice],
        created_at=answer.created_at,
        updated_at=answer.created_at,
    )
    assert await shown(store, session) == [question, answer]

    await store.messages.checkpoint([Piece(message_id=answer.id, thinking="hm", content="x")])
    assert await shown(store, session) == [question, answer]
    stored = await store.messages.get_answer(session, answer.id)
    so_far = replace(answer, thinking="hm", content="x", cursor="2.1")
    assert (stored.message, stored.question_id) == (so_far, question.id)
    assert await store.messages.so_far(session, answer) == so_far

    usage = Usage(prompt_tokens=1, tokens_per_second=2.5)
    await store.messages.finish(
        replace(
            answer,
            status="failed",
            thinking=ODD_TEXT,
            content=ODD_TEXT + "!",
            model="other",
            model_reason="fallback",
            warnings=[],
            usage=usage,
            error=Failure(error="It broke.", code="upstream_error", retryable=True),
        )
    )
    finished = await store.messages.get(session, answer.id)
    assert finished == replace(
        answer,
        status="failed",
        thinking=ODD_TEXT,
        content=ODD_TEXT + "!",
        cursor=f"{len(ODD_TEXT)}.{len(ODD_TEXT) + 1}.end",
        model="other",
        model_reason="fallback",
        warnings=[],
        usage=usage,
        error=Failure(error="It broke.", code="upstream_error", retryable=True),
        updated_at=finished.updated_at,
    )
    assert (await refused(store.messages.get_answer(session, question.id))).code == "not_found"


async def test_where_the_thinking_before_the_content_ends_is_kept(store: Store, session: Session) -> None:
    _, answer = await begin(store, session)
    for content, thought in (("", None), ("x", 2), ("y", None)):
        piece = Piece(message_id=answer, thinking="hm", content=content, thought=thought)
        await store.messages.checkpoint([piece])
    assert (await store.messages.get_answer(session, answer)).thought == 2
    await finish(store, session, answer, "xy")
    assert (await store.messages.get_answer(session, answer)).thought == 2


async def test_what_follows_an_answer(store: Store, session: Session) -> None:
    _, first = await turn(store, session)
    assert await store.messages.is_alone(session, first)
    question, second = await turn(store, session)
    assert await store.messages.following(session, first) == question
    assert await store.messages.following(session, second) is None
    assert not await store.messages.is_alone(session, first)
    replacing, _ = await begin(store, session, replaces=question)
    assert await store.messages.following(session, first) == replacing
    for gone in (second, question, 99):
        assert (await refused(store.messages.following(session, gone))).code == "invalid"


async def test_an_outcome_takes_the_place_of_its_pieces(
    store: Store, session: Session, tmp_path: Path
) -> None:
    _, answer = await begin(store, session, model="m", model_reason="r")
    await store.messages.checkpoint([Piece(message_id=answer, thinking="", content="x")])
    await finish(store, session, answer, "x")
    finished = await store.messages.get(session, answer)
    assert (finished.model, finished.model_reason, finished.finish_reason) == ("m", "r", "stop")
    assert rows(tmp_path / "chat.db", "SELECT count(*) FROM piece") == [(0,)]


async def test_a_turn_brings_its_session_up_to_date(store: Store, session: Session) -> None:
    await newer(store, session)
    _, answer = await begin(store, session, "The first line\nand more", documents=[(3, "Doc"), (2, "")])
    begun = await store.sessions.get("ann", session.id)
    assert begun.used_at == begun.updated_at
    assert begun == replace(
        session,
        title="The first line",
        document_id=3,
        document_ids=[3, 2],
        message_count=2,
        updated_at=begun.updated_at,
        used_at=begun.used_at,
    )
    assert begun.updated_at > session.updated_at
    await newer(store, begun)
    await finish(store, session, answer, "x")
    finished = await store.sessions.get("ann", session.id)
    assert finished.updated_at > begun.updated_at
    await begin(store, session, "Another line")
    latest = (await titled(store)).updated_at
    assert await store.sessions.get("ann", session.id) == replace(
        finished, document_id=None, document_ids=[], message_count=4, updated_at=latest, used_at=latest
    )


async def titled(store: Store) -> SessionItem:
    """The session that was active last."""
    ((session,), _) = await store.sessions.page("ann", limit=1, before=None)
    return session


async def test_a_blank_message_does_not_name_the_session(store: Store, session: Session) -> None:
    await say(store, session, " \n ", "?")
    assert (await store.sessions.get("ann", session.id)).title is None
    await say(store, session, "Now with words", "!")
    assert (await store.sessions.get("ann", session.id)).title == "Now with words"


async def test_replaces(store: Store, session: Session) -> None:
    await say(store, session, "one", "1")
    second = await say(store, session, "two", "2")
    third = await say(store, session, "three", "3")
    await say(store, session, "zwei", "II", replaces=second)
    assert [message.content for message in await shown(store, session)] == ["one", "1", "zwei", "II"]
    assert (await store.sessions.get("ann", session.id)).message_count == 4
    assert (await store.messages.get(session, third)).content == "three"
    for gone in (second, third, 2**70):
        error = await refused(store.messages.begin(session, NewTurn(content="x", replaces=gone)))
        assert (error.code, error.details) == ("invalid", {"field": "replaces"})
    answer = (await shown(store, session))[1].id
    assert (await refused(store.messages.check_replaces(session, answer))).code == "invalid"
    await store.messages.check_replaces(session, answer - 1)
    assert len(await shown(store, session)) == 4


async def test_images(store: Store, session: Session) -> None:
    first = await say(store, session, "look", "seen", images=[b"one", b"two"])
    plain = await say(store, session, "plain", "so")
    assert await store.messages.images(session, [first, plain, 2**70], MANY) == {first: [b"one", b"two"]}
    assert await store.messages.images(session, [], MANY) == {}

    other = await say(store, session, "look here", "seen", replaces=first, images=[b"three"])
    assert (await store.messages.get(session, other)).image_count == 1
    assert await store.messages.images(session, [first, other], MANY) == {
        first: [b"one", b"two"],
        other: [b"three"],
    }


async def test_what_replaces_many_messages_is_all_or_nothing(
    store: Store, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await turn(store, session, "kept")
    replaced, _ = await turn(store, session, "replaced")
    for _ in range(100):
        await turn(store, session)
    before = await shown(store, session)
    with monkeypatch.context() as patch:
        patch.setattr(messages, "_insert_answer", AsyncMock(side_effect=ChatError("storage_full", "Full.")))
        await refused(store.messages.begin(session, NewTurn(content="again", replaces=replaced)))
    assert await shown(store, session) == before
    new = await begin(store, session, "again", replaces=replaced)
    assert [message.id for message in await shown(store, session)] == [*kept, *new]
    assert (await store.sessions.get("ann", session.id)).message_count == 4


async def test_to_replace_a_message_costs_the_same_however_many_follow(
    store: Store, session: Session, tmp_path: Path
) -> None:
    def written() -> int:
        return (tmp_path / "chat.db-wal").stat().st_size

    async def cost(turns: int) -> int:
        replaced, _ = await begin(store, session, "first")
        await asyncio.gather(*[begin(store, session, "x" * 5000) for _ in range(turns)])
        await until(lambda: rows(tmp_path / "chat.db", "SELECT * FROM unindexed") == [])
        rows(tmp_path / "chat.db", "PRAGMA wal_checkpoint(TRUNCATE)")
        await begin(store, session, "again", replaces=replaced)
        return written()

    assert await cost(400) < 2 * await cost(4)


async def test_pages_go_on_where_they_were_when_messages_are_replaced(store: Store, session: Session) -> None:
    first, *others = [await say(store, session, f"{n}", f"{n}!") for n in range(5)]
    new = await turn(store, session, "new", replaces=others[1])
    page, _ = await store.messages.page(session, limit=3, before=others[3])
    assert [message.id for message in page] == [others[0] + 1, *new]
    page, _ = await store.messages.page(session, limit=2, before=others[1])
    assert [message.id for message in page] == [others[0], others[0] + 1]
    assert await store.messages.page_after(session, "ann", limit=2, size=MANY, after=others[3]) == ([], None)
    assert await store.messages.count_from(session, others[0]) == 4
    assert await store.messages.count_from(session, others[1]) == 0
    await say(store, session, "once more", "!", replaces=first)
    assert [message.content for message in await shown(store, session)] == ["once more", "!"]


async def test_the_oldest_images_are_left_out_message_by_message(store: Store, session: Session) -> None:
    ids = [await say(store, session, "look", "seen", images=[b"12345"] * n) for n in (1, 2, 3)]
    for size, newest in ((14, 0), (15, 1), (24, 1), (25, 2), (29, 2), (30, 3)):
        found = await store.messages.images(session, ids, size)
        assert sorted(found) == ids[3 - newest :]


async def test_pieces_of_what_is_deleted_or_over_are_dropped(
    store: Store, session: Session, tmp_path: Path
) -> None:
    other = await new_session(store)
    _, deleted = await begin(store, other)
    _, over = await begin(store, session)
    _, unfinished = await begin(store, session)
    lost = await store.messages.get(other, deleted)
    await store.sessions.delete(other)
    await finish(store, session, over, "done")
    await store.messages.checkpoint(
        [Piece(message_id=id, thinking="", content="x") for id in (deleted, over, unfinished, 12345)]
    )
    # What is deleted is removed in the background, with the pieces that were added meanwhile.
    await until(lambda: rows(tmp_path / "chat.db", "SELECT message FROM piece") == [(unfinished,)])
    await store.messages.finish(lost)


async def test_pieces_do_not_become_more_with_the_checkpoints(
    store: Store, session: Session, tmp_path: Path
) -> None:
    ids = [(await begin(store, session))[1] for _ in range(2)]
    for number in range(1000):
        await store.messages.checkpoint(
            [Piece(message_id=id, thinking="", content=f"\0{number:06} ") for id in ids]
        )
    pieces = rows(tmp_path / "chat.db", f"SELECT content FROM piece WHERE message = {ids[0]} ORDER BY key")
    assert "".join([str(text) for (text,) in pieces]) == "".join(
        [f"\0{number:06} " for number in range(1000)]
    )
    assert len(pieces) <= 3


# -- sending the same again


async def test_an_earlier_send_is_found(store: Store, session: Session) -> None:
    question, answer = await turn(store, session, client_message_id="c", fingerprint="f")
    sent = EarlierSend(question_id=question, answer_id=answer, fingerprint="f")
    other = await new_session(store)
    assert (await store.sessions.open("ann", session.id, "c")).earlier == sent
    assert (await store.sessions.open("ann", session.id, "other")).earlier is None
    assert (await store.sessions.open("ann", session.id, None)).earlier is None
    assert (await store.sessions.open("ann", other.id, "c")).earlier is None
    await begin(store, session, replaces=question)
    assert (await store.sessions.open("ann", session.id, "c")).earlier == sent


async def test_of_two_sends_at_once_with_one_id_only_one_is_stored(store: Store, session: Session) -> None:
    results = await asyncio.gather(
        *(begin(store, session, client_message_id="c") for _ in range(10)), return_exceptions=True
    )
    ((question, answer),) = [result for result in results if isinstance(result, tuple)]
    others = [result.earlier for result in results if isinstance(result, messages.AlreadySentError)]
    assert others == [EarlierSend(question_id=question, answer_id=answer, fingerprint=None)] * 9
    assert len(await shown(store, session)) == 2
    assert (await store.sessions.get("ann", session.id)).message_count == 2
    await begin(store, await new_session(store), client_message_id="c")


# -- a crash

CRASHING = """
import asyncio, sys
from pathlib import Path
from chatproxy.store.records import NewTurn, Notice, Piece
from chatproxy.store.store import Store

async def main():
    store = await Store.open(Path(sys.argv[1]))
    session = await store.sessions.create("ann")
    question = NewTurn(content="Hi", model="m", warnings=[Notice(code="c", message="m")])
    _, first = await store.messages.begin(session, question)
    _, second = await store.messages.begin(session, NewTurn(content="Hi"))
    for n in range(12):
        await store.messages.checkpoint([Piece(message_id=first.id, thinking=f"t{n} ", content=f"\\0{n} ")])
    print(session.id, first.id, second.id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_pieces_that_changed_sides_are_stored_so_whenever_a_crash_comes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "chat.db")
    session = await new_session(store)
    _, answer = await begin(store, session)
    for piece in (
        Piece(message_id=answer, thinking="", content="Let ", thought=0),
        Piece(message_id=answer, thinking="", content="me"),
        Piece(message_id=answer, thinking=" see", content="", swaps=True),
        Piece(message_id=answer, thinking=".", content="Hel", thought=11),
        Piece(message_id=answer, thinking="", content="lo"),
    ):
        await store.messages.checkpoint([piece])
    await store.close()
    store = await Store.open(tmp_path / "chat.db")
    stored = await store.messages.get_answer(session, answer)
    assert (stored.message.thinking, stored.message.content) == ("Let me see.", "Hello")
    assert (stored.thought, stored.swapped) == (11, True)
    await store.close()


async def test_what_a_crash_left_unfinished_is_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CRASHING, str(path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    session_id, first, second = (await process.stdout.readline()).decode().split()
    with pytest.raises(StartError, match="in use by another chatproxy"):
        await Store.open(path)
    process.kill()
    await process.wait()

    store = await Store.open(path)
    session = await store.sessions.get("ann", session_id)
    message = await store.messages.get(session, int(first))
    assert (message.status, message.error, message.finish_reason) == ("interrupted", INTERRUPTED, None)
    assert message.thinking == "".join(f"t{n} " for n in range(12))
    assert message.content == "".join(f"\0{n} " for n in range(12))
    assert message.cursor == f"{len(message.thinking)}.{len(message.content)}.end"
    assert (message.model, message.warnings) == ("m", [Notice(code="c", message="m")])
    message = await store.messages.get(session, int(second))
    assert (message.status, message.content, message.cursor) == ("interrupted", "", "0.0.end")
    await store.close()
    assert rows(path, "SELECT count(*) FROM piece") == [(0,)]


@pytest.mark.parametrize("table", ["session", "message"])
async def test_a_probe_notices_that_conversations_cannot_be_read(
    store: Store, session: Session, tmp_path: Path, table: str
) -> None:
    await say(store, session, "Hi", "Hello")
    await store.database.ping()
    await store.close()
    damage(tmp_path / "chat.db", table)
    damaged = await Store.open(tmp_path / "chat.db")
    assert (await refused(damaged.database.ping())).code == "internal"
    await damaged.close()


# -- speed


async def test_nothing_but_a_search_scans_or_sorts(store: Store, session: Session, tmp_path: Path) -> None:
    assert await titles(store, "word") == []  # the index is built
    statements: list[str] = []
    for connection in (sqlite_of(store)._reader, sqlite_of(store)._writer._connection):
        await connection.set_trace_callback(statements.append)
    question = await say(store, session, "Hi", "Hello", client_message_id="c", images=[b"1"])
    await say(store, session, "Hi", "Hello", replaces=question)
    _, unfinished = await begin(store, session)
    await store.messages.checkpoint([Piece(message_id=unfinished, thinking="", content="x")])
    await store.sessions.update(session, {"title": "T"})
    await store.sessions.page("ann", limit=10, before=None)
    await store.sessions.page("ann", limit=10, before="1")
    await store.messages.page(session, limit=10, before=None)
    await store.messages.page_after(session, "ann", after=0, limit=10, size=MANY)
    await store.messages.get_answer(session, unfinished)
    await store.messages.images(session, [question], MANY)
    await store.sessions.open("ann", session.id, "c")
    await store.sessions.delete(session)
    slow = {
        statement: steps
        for statement in statements
        if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)", statement)
        if (
            steps := [
                step for step in plan(tmp_path, statement) if re.search("SCAN (?!json|page|sized)|TEMP", step)
            ]
        )
    }
    assert slow == {}
    assert len(statements) > 50


@pytest.mark.sqlite
async def test_the_fast_lane_reads_nothing_long(store: Store, session: Session) -> None:
    """Not even the probe, which reads of the newest message what precedes its text."""
    question = await say(store, session, "Hi", "Hello", images=[b"1"])
    document, _ = await store.documents.create(
        "ann", NewDocument(title="d", media_type="text/plain", hash=b"h", size=1), chunks()
    )
    statements: list[str] = []
    await sqlite_of(store)._reader.set_trace_callback(statements.append)
    await store.database.ping()
    assert [statement for statement in statements if "content" in statement] == []
    await store.messages.page_after(session, "ann", after=0, limit=10, size=MANY)
    await store.messages.images(session, [question], MANY)
    found = await store.documents.search("ann", [document], [Query(["absent"])], limit=9)
    assert found == []
    assert [name for name in ("thinking", "bytes", "[0]") if any(name in each for each in statements)] == []


async def chunks() -> AsyncIterator[Sequence[Chunk]]:
    yield [Chunk("some text")]


async def test_a_search_looks_only_at_what_it_finds(store: Store, tmp_path: Path) -> None:
    statements: list[str] = []
    for _ in range(SLOW_READS):
        connection = await sqlite_of(store)._slow_lane._idle.get()
        await connection.set_trace_callback(statements.append)
        sqlite_of(store)._slow_lane._idle.put_nowait(connection)
    await titles(store, "word")
    ((search),) = [statement for statement in statements if "MATCH" in statement]
    steps = plan(tmp_path, search)
    assert [step for step in steps if "SCAN session " in step or step.startswith("SCAN message ")] == []
    assert "SEARCH session USING INTEGER PRIMARY KEY (rowid=?)" in steps
    assert "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)" in steps


def plan(tmp_path: Path, statement: str) -> list[str]:
    return [str(step) for *_, step in rows(tmp_path / "chat.db", f"EXPLAIN QUERY PLAN {statement}")]


@pytest.mark.sqlite
async def test_the_reading_connection_cannot_write(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await sqlite_of(store)._reader.execute("DELETE FROM session")
