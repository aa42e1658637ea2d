import asyncio
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path

import aiosqlite
import pytest
from damage import damage
from msgspec.structs import replace
from stored import sqlite_of
from waiting import until

from chatproxy.errors import ChatError
from chatproxy.store.database import Connection, DamagedError, Edit, Row
from chatproxy.store.records import NewTurn, Session
from chatproxy.store.search import words
from chatproxy.store.search.terms import PART, parts, terms, wanted
from chatproxy.store.sqlite.database import SQLiteDatabase
from chatproxy.store.sqlite.migrations import MIGRATIONS, WORDS, migrate
from chatproxy.store.sqlite.words import FTS5, _remove
from chatproxy.store.store import Store

KEY = len(terms("ann", "x", 0)) - 1  # characters of an owner's key


async def say(store: Store, session: Session, question: str, answer: str) -> None:
    _, reply = await store.messages.begin(session, NewTurn(content=question))
    await store.messages.finish(replace(reply, status="complete", content=answer))


async def titles(store: Store, q: str, owner: str = "ann") -> list[str | None]:
    sessions, _, _ = await store.sessions.search(owner, limit=500, before=None, q=q)
    return [session.title for session in sessions]


def waiting(path: Path) -> int:
    """Return how much is to be done: index texts, remove deleted sessions, build the index."""
    with closing(sqlite3.connect(path)) as connection:
        (number,) = connection.execute(
            "SELECT (SELECT count(*) FROM unindexed) + (SELECT count(*) FROM session WHERE deleted)"
            " + NOT EXISTS (SELECT 1 FROM word_index WHERE format = ?)",
            (vars(words)["FORMAT"],),
        ).fetchone()
        return int(number)


async def followed(path: Path) -> None:
    await until(lambda: waiting(path) == 0)


def indexed(path: Path) -> set[tuple[str, int]]:
    """Return each term of the index, and the row that has it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, instance)")
        return set(connection.execute("SELECT term, doc FROM temp.vocabulary"))


def expected(path: Path) -> set[tuple[str, int]]:
    """Return what the index has to hold: the terms of each title and of each message that has ended."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT owner, title, 2 * key FROM session UNION ALL SELECT owner, content, 2 * message.id + 1"
            " FROM message JOIN session ON session = key WHERE status <> 'streaming'"
        ).fetchall()
    return {
        (term, key)
        for owner, text, key in rows
        if text is not None
        for part in range(parts(text))
        for term in terms(owner, text, part).split()
    }


# -- words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, hello WORLD_9!", ["hello", "world", "9", "world9"]),
        ("Émile e\u0301mile ÉMILE", ["emile"]),
        ("Straße ﬁn ²", ["strasse", "fin", "2"]),
        ("東京都", ["東京", "京都", "都"]),
        ("iPhone手机 手", ["iphone", "手机", "机", "手", "phone手机"]),
        ("getUserName", ["getusername", "username", "name"]),
        ("a user_name, the user-name", ["a", "user", "name", "the", "username"]),
        ("XMLHttpRequest", ["xmlhttprequest", "httprequest", "request"]),
        ("json2Html", ["json2html", "2html", "html"]),
        ("MAX_SIZE Hello WORLD", ["max", "size", "hello", "world", "maxsize"]),
        ("2026-11-29", ["2026", "11", "29", "20261129", "1129"]),
        ("สวัสดี", ["สว", "วั", "ัส", "สด", "ดี", "ี"]),
        ("한국어", ["한국", "국어", "어"]),
        ("日", ["日"]),
        ("a\0b", ["a", "b"]),
        ("x" * 200, ["x" * 64]),
        ("... 😀", []),
    ],
)
def test_words_of_a_text(text: str, found: list[str]) -> None:
    assert [term[KEY:] for term in terms("ann", text, 0).split()] == found


def test_every_part_of_a_long_text_begins_with_a_word() -> None:
    numbers = [str(number) for number in range(30_000)]
    text = " ".join(numbers)
    assert parts(text) > 4
    found = [term[KEY:] for part in range(parts(text)) for term in terms("ann", text, part).split()]
    assert found == numbers
    assert terms("ann", text, parts(text)) == ""


def test_owners_share_no_terms() -> None:
    assert len({terms(owner, "tea", 0) for owner in ("", "ann", "bob")}) == 3
    assert wanted("ann", "tea") == [terms("ann", "tea", 0)]
    assert wanted("ann", "...") == []


async def test_any_part_of_a_run_without_spaces_is_found(store: Store) -> None:
    session = await store.sessions.create("ann", title="漢字")
    await say(store, session, "東京都に住んでいます。", "서울에서 삽니다")
    for q in ("東", "京都", "東京都", "住んで", "す", "서울", "울에서", "字"):
        assert (q, await titles(store, q)) == (q, ["漢字"])
    for q in ("都京", "大阪", "東京 서울"):
        assert (q, await titles(store, q)) == (q, [])
    other = await store.sessions.create("ann", title="ไทย")
    await say(store, other, "สวัสดีชาวโลกนี่คือเอกสาร", "ຍິນດີຕ້ອນຮັບ သင်္ဘော ភាសាខ្មែរ")
    for q in ("เอกสาร", "ชาวโลก", "โลก", "ส", "ຕ້ອນ", "ဘော", "ខ្មែរ"):
        assert (q, await titles(store, q)) == (q, ["ไทย"])
    for q in ("เอกสารา", "โลกเอก"):
        assert (q, await titles(store, q)) == (q, [])


async def test_identifiers_are_found_by_what_is_within_them(store: Store) -> None:
    for name in ("getUserName", "set_user_name", "drop-user-name"):
        session = await store.sessions.create("ann", title=name[:3])
        await say(store, session, f"The {name} function failed.", "Why?")
    for q in ("UserName", "username", "user_name", "user-name", "name", "userN"):
        assert (q, sorted(filter(None, await titles(store, q)))) == (q, ["dro", "get", "set"])
    for q, found in (("getUserName", ["get"]), ("getusername", ["get"]), ("ername", [])):
        assert (q, await titles(store, q)) == (q, found)


# -- the index


async def test_the_index_holds_exactly_what_the_texts_have(store: Store, path: Path) -> None:
    """Whatever is created, renamed, ended and deleted, and whenever the index follows."""
    chance = random.Random(7)
    sessions: list[Session] = []
    for number in range(150):
        if not sessions or chance.random() < 0.2:
            title = chance.choice([None, f"title {number}"])
            sessions.append(await store.sessions.create(chance.choice(["ann", "bob"]), title=title))
        session = chance.choice(sessions)
        match chance.choices(range(4), [3, 1, 3, 3])[0]:
            case 0:
                new = chance.choice([None, f"renamed {number}"])
                await store.sessions.update(session, {"title": new})
            case 1:
                await store.sessions.delete(session)
                sessions.remove(session)
            case 2:
                await say(
                    store, session, f"question {number}", f"an answer {number} " * chance.choice([1, 9999])
                )
            case 3:
                await store.messages.begin(session, NewTurn(content=f"unanswered {number}"))
        if chance.random() < 0.1:
            await asyncio.sleep(chance.random() / 5)
    await followed(path)
    assert indexed(path) == expected(path)
    assert len(indexed(path)) > 100
    for session in sessions:
        await store.sessions.delete(session)
    await followed(path)
    assert indexed(path) == set()


async def test_words_far_apart_in_one_message_are_found_together(store: Store, path: Path) -> None:
    session = await store.sessions.create("ann", title="long")
    text = f"alpha {'filler ' * PART} omega"
    assert parts(text) > 4
    await say(store, session, "?", text)
    await followed(path)
    assert await titles(store, "alpha omega filler") == ["long"]
    assert await titles(store, "alpha omega nowhere") == []


async def test_a_search_costs_the_same_whatever_others_wrote(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word in 400 conversations of another user, and a word in none: SQLite makes the same steps."""
    await asyncio.gather(*(store.sessions.create("bob", title=f"secret {n}") for n in range(400)))
    await say(store, await store.sessions.create("ann", title="Tea"), "How hot?", "80 degrees.")
    await followed(path)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    lane = sqlite_of(store)._slow_lane._idle
    for _ in range(lane.qsize()):
        connection = await lane.get()
        await connection.set_progress_handler(count, 1)
        lane.put_nowait(connection)

    async def cost(q: str) -> int:
        nonlocal steps
        for _ in range(2 * lane.qsize()):  # each has read the schema
            steps = 0
            assert await titles(store, q) == []
        return steps

    assert await cost("secret") == await cost("absent")


async def test_the_next_start_indexes_what_is_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "GATHER", 60)
    store = await Store.open(path)
    await followed(path)
    await say(store, await store.sessions.create("ann", title="Tea"), "How hot?", "80 degrees.")
    await store.close()
    assert waiting(path) == 3
    monkeypatch.undo()
    store = await Store.open(path)
    assert await titles(store, "degrees") == ["Tea"]
    await store.close()


async def test_another_way_of_cutting_builds_the_index_again(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.sessions.create("ann", title="Tea")
    await followed(path)
    await store.close()
    monkeypatch.setattr(words, "FORMAT", "another")
    again = await Store.open(path)
    await followed(path)
    assert indexed(path) == expected(path) != set()
    await again.close()


async def test_the_words_of_an_owner_follow_a_new_form_of_the_name(store: Store, path: Path) -> None:
    """Whether they were indexed or not; and nothing stays under the old form, also of what is deleted."""
    for owner in ("Ann", "ANN", "ann", "bob"):
        session = await store.sessions.create(owner, title=f"Tea of {owner}")
        await say(store, session, f"question of {owner}", f"answer {owner} " * 9999)
    await followed(path)
    deleted = await store.sessions.create("ANN", title="Secret")
    await say(store, deleted, "a secret", "another secret")
    await store.sessions.delete(deleted)
    late = await store.sessions.create("Ann", title="Late tea")
    await say(store, late, "late", "later")
    await store.close()
    again = await Store.open(path, owner_form=str.lower)
    await followed(path)
    assert indexed(path) == expected(path) != set()
    assert set(await titles(again, "tea")) == {"Tea of Ann", "Tea of ANN", "Tea of ann", "Late tea"}
    assert await titles(again, "secret") == []
    assert await titles(again, "tea", "Ann") == []
    await again.close()


@pytest.mark.parametrize("table", [None, "message_words_data", "session_words_config"])
async def test_a_database_of_an_earlier_version_is_indexed(path: Path, table: str | None) -> None:
    """Even if its own index is damaged."""
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        await migrate(connection, MIGRATIONS[: MIGRATIONS.index(WORDS)])
        await connection.execute("BEGIN")
        await connection.execute(
            "INSERT INTO session (id, owner, title, created_at, updated_at)"
            " VALUES ('s', 'ann', 'Tea', '', '')"
        )
        await connection.executemany(
            "INSERT INTO message (session, role, status, content, sources, warnings, image_count,"
            " created_at, updated_at) VALUES (1, 'user', 'complete', ?, '[]', '[]', 0, '', '')",
            [(f"green{number} tea",) for number in range(2000)],
        )
        await connection.commit()
    if table:
        damage(path, table)
    store = await Store.open(path)
    await followed(path)
    assert indexed(path) == expected(path)
    assert await titles(store, "green1999") == ["Tea"]
    with closing(sqlite3.connect(path)) as file:
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_schema")}
    assert not {name for name in tables if name.startswith(("session_words", "message_words", "chunk_words"))}
    await store.close()


async def test_texts_are_noted_in_steps_between_which_they_may_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await Store.open(path)
    sessions = [await store.sessions.create("ann", title=f"Tea {number}") for number in range(20)]
    for session in sessions:
        await say(store, session, "How hot?", "80 degrees.")
    await followed(path)
    await store.close()
    monkeypatch.setattr(words, "FORMAT", "another")
    monkeypatch.setattr(words, "MOST_NOTED", 4, raising=False)
    noted, changed = [0], 0

    def change(_: float) -> None:
        """Between two steps, change an early text and a late one, and remove another two."""
        nonlocal changed
        noted.append(waiting(path))
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("PRAGMA foreign_keys = ON")
            for key in (1 + changed, 20 - changed):
                file.execute("UPDATE session SET title = 'Coffee' WHERE key = ?", (key,))
                file.execute("UPDATE message SET content = 'Cold' WHERE id = ?", (2 * key,))
                file.execute("DELETE FROM session WHERE key = ?", (key + 1,))
                file.execute("DELETE FROM message WHERE id = ?", (2 * key - 1,))
            changed += 1

    store = await Store.open(path, change)
    await followed(path)
    assert changed > 8
    assert indexed(path) == expected(path) != set()
    assert max(after - before for before, after in pairwise(noted)) <= 8 + 6  # a step, and the changes
    await store.close()


# -- damage


async def filled(path: Path) -> None:
    """Make an index of many pages."""
    store = await Store.open(path)
    for number in range(10):
        text = " ".join([f"word{number * 1000 + each}" for each in range(1000)])
        await say(store, await store.sessions.create("ann", title=f"Title {number}"), f"q{number}", text)
    await followed(path)
    await store.close()


async def works(store: Store, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Everything but a search goes on with a damaged index, which is soon built again."""
    session = await store.sessions.create("ann", title="Tea")
    await say(store, session, "How hot?", "80 degrees.")
    await store.database.ping()
    session = await store.sessions.update(session, {"title": "Green tea"})
    (other, *_), _ = await store.sessions.page("ann", limit=1, before="4")
    await store.sessions.delete(await store.sessions.get("ann", other.id))

    async def is_found() -> bool:
        with suppress(ChatError):
            return await titles(store, "word7003 word7999") == ["Title 7"]
        return False

    await until(is_found)
    await followed(path)
    assert indexed(path) == expected(path)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["the index for searches is damaged, and is built again"]


@pytest.mark.parametrize("table", ["words_data", "words_idx", "words_config"])
async def test_a_damaged_index_is_built_again_and_stops_nothing(
    path: Path, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path)
    damage(path, table)
    store = await Store.open(path)
    await works(store, path, caplog)
    await store.close()


@pytest.mark.parametrize("first", ["search", "write"])
async def test_an_index_that_is_damaged_later_is_noticed_by_whoever_uses_it(
    path: Path, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path)
    store = await Store.open(path)
    await store.sessions.create("bob", title="Since the start, the index is sound")
    await followed(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE words_data SET block = randomblob(length(block)) WHERE id > 1")
    if first == "search":
        with pytest.raises(ChatError, match="search again soon"):
            await titles(store, "word7003")
    await works(store, path, caplog)
    await store.close()


# -- owners apart


async def test_a_search_waits_for_its_own_texts_only(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another owner has yet to be indexed neither delays a search nor wakes it."""
    await store.sessions.create("ann", title="Tea")
    await followed(path)
    looks = 0

    def no_edits(texts: object, connection: object) -> list[object]:
        nonlocal looks
        looks += 1
        return []

    monkeypatch.setattr(words._Texts, "edits", no_edits)  # nothing more is indexed
    await store.sessions.create("eve", title="Milk")
    await until(lambda: looks > 0)  # a look that began before may have found it
    await store.sessions.create("bob", title="Coffee")
    async with asyncio.timeout(10):
        assert await titles(store, "tea") == ["Tea"]
    search = asyncio.create_task(titles(store, "coffee", "bob"))
    await asyncio.sleep(0.1)
    assert not search.done()
    search.cancel()


async def test_a_search_does_not_wait_for_what_came_after_it(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            await store.sessions.create("ann", title="Milk")

    writing = asyncio.create_task(write())
    await store.sessions.create("ann", title="Tea")
    async with asyncio.timeout(20):
        assert await titles(store, "tea") == ["Tea"]
    stop.set()
    await writing


async def test_owners_take_turns_at_the_index(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short text of one owner waits for one unit, however much another has waiting before it."""
    with monkeypatch.context() as patch:
        patch.setattr(words, "GATHER", 60)
        store = await Store.open(path)
        await followed(path)
        session = await store.sessions.create("ann", title="Long")
        for number in range(200):
            await say(store, session, f"question {number}", "answer " * 5000)
        await store.sessions.create("bob", title="Short")
        await store.close()
    turns: list[set[str]] = []
    apply = FTS5.apply

    async def watched(index: FTS5, connection: Connection, edits: Sequence[Edit]) -> None:
        turns.append({edit["owner"] for edit in edits})
        await apply(index, connection, edits)

    monkeypatch.setattr(FTS5, "apply", watched)
    store = await Store.open(path)
    await followed(path)
    assert "bob" in turns[0] | turns[1]
    assert len(turns) > 20
    await store.close()


async def test_short_texts_are_indexed_many_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(words, "GATHER", 60)
        store = await Store.open(path)
        await followed(path)
        for number in range(3 * words.MOST_TEXTS):
            await store.sessions.create("ann", title=f"Title {number}")
        await store.close()
    units: list[int] = []
    apply = FTS5.apply

    async def watched(index: FTS5, connection: Connection, edits: Sequence[Edit]) -> None:
        units.append(len(edits))
        await apply(index, connection, edits)

    monkeypatch.setattr(FTS5, "apply", watched)
    store = await Store.open(path)
    await followed(path)
    assert units == [words.MOST_TEXTS] * 3
    await store.close()


async def test_the_key_of_a_deleted_session_may_become_another_owners(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await Store.open(path)
    session = await store.sessions.create("ann", title="Tea")
    await followed(path)
    await store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM session")
        connection.execute(
            "INSERT INTO session (key, id, owner, title, created_at, updated_at, activity)"
            " VALUES (1, ?, 'bob', 'Coffee', '', '', 1)",
            (session.id,),
        )
    store = await Store.open(path)
    await followed(path)
    assert indexed(path) == expected(path) != set()
    assert await titles(store, "coffee", "bob") == ["Coffee"]
    await store.close()


async def test_the_index_rests_when_it_has_followed(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own commits are nothing to follow."""
    passes = 0
    edits = words._Texts.edits

    async def counted(texts: words._Texts, connection: Connection) -> tuple[list[Edit], bool]:
        nonlocal passes
        passes += 1
        return await edits(texts, connection)

    await followed(path)
    await asyncio.sleep(3 * words.GATHER)
    monkeypatch.setattr(words._Texts, "edits", counted)
    await store.sessions.create("ann", title="Tea")
    await followed(path)
    await asyncio.sleep(5 * words.GATHER)
    assert passes == 2  # one finds the title, one finds nothing


# -- cost


async def test_indexing_and_removing_a_text_costs_as_much_as_it_is_long(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each text is read once, however many parts it has."""
    read: list[int] = []
    original = words._Texts._read

    async def counted(texts: words._Texts, connection: Connection, row: Row) -> str:
        text = await original(texts, connection, row)
        read.append(len(text))
        return text

    monkeypatch.setattr(words._Texts, "_read", counted)
    session = await store.sessions.create("ann")
    text = "many words " * PART
    await say(store, session, "?", text)
    await followed(path)
    assert [size for size in read if size > PART] == [len(text)]
    read.clear()
    await store.sessions.delete(session)
    await followed(path)
    assert [size for size in read if size > PART] == [len(text)]
    assert indexed(path) == set()


# -- failures


async def test_a_text_that_cannot_be_cut_stops_no_other(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = terms

    def failing(owner: str, text: str, part: int) -> str:
        if text == "Impossible":
            raise ValueError
        return original(owner, text, part)

    monkeypatch.setattr(words, "terms", failing)
    await store.sessions.create("ann", title="Impossible")
    await store.sessions.create("ann", title="Tea")
    await followed(path)
    assert await titles(store, "tea") == ["Tea"]
    assert len([record for record in caplog.records if "cannot be indexed" in record.getMessage()]) == 1


@pytest.mark.parametrize("error", [RuntimeError(), DamagedError(), ChatError("storage_full", "Full.")])
async def test_the_index_goes_on_after_any_failure(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await followed(path)
    monkeypatch.setattr(words, "REST", 0.05)
    apply = FTS5.apply
    failures = 0

    async def failing(index: FTS5, connection: Connection, edits: Sequence[Edit]) -> None:
        nonlocal failures
        failures += 1
        if failures < 4:
            raise error
        await apply(index, connection, edits)

    monkeypatch.setattr(FTS5, "apply", failing)
    await store.sessions.create("ann", title="Tea")
    await followed(path)
    assert await titles(store, "tea") == ["Tea"]
    assert failures == 4


async def test_an_index_that_cannot_be_built_stops_nothing_else(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: the start succeeds, and the index is built later."""
    session = await store.sessions.create("ann", title="Tea")
    await followed(path)
    await store.close()
    monkeypatch.setattr(words, "FORMAT", "another")
    monkeypatch.setattr(words, "REST", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(words, "_note", full)
        patch.setattr(words, "CATCH_UP", 0.1)
        store = await Store.open(path)
        await say(store, await store.sessions.get("ann", session.id), "How hot?", "80 degrees.")
        with pytest.raises(ChatError, match="being built; search again soon"):
            await titles(store, "tea")
    await followed(path)
    assert await titles(store, "degrees") == ["Tea"]
    await store.close()


async def full(connection: Connection, texts: str, after: int) -> int | None:
    raise ChatError("storage_full", "Full.")


async def test_a_start_that_fails_closes_the_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SQLiteDatabase, "reader", refuse)
        with pytest.raises(sqlite3.OperationalError):
            await Store.open(path)
    await (await Store.open(path)).close()  # it is not in use


def refuse(database: SQLiteDatabase) -> None:
    raise sqlite3.OperationalError


async def test_a_failure_leaves_no_schema_writable(store: Store, path: Path) -> None:
    await followed(path)

    async def remove(connection: Connection) -> object:
        with pytest.raises(UnicodeEncodeError):
            await _remove(connection, "\ud800", damaged=True)
        (row,) = await connection.fetch("PRAGMA writable_schema")
        return row[0]

    assert await store.database.run(remove) == 0
