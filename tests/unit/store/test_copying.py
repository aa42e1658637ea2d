"""Copies of a database, from SQLite to PostgreSQL and back: nothing is lost, or nothing is copied."""

import os
import re
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
import stored
from msgspec.structs import replace
from waiting import until

from chatproxy.errors import StartError
from chatproxy.store.postgres import database as postgres
from chatproxy.store.records import (
    Failure,
    ImportedTurn,
    NewDocument,
    NewSession,
    NewTurn,
    Notice,
    Piece,
    Session,
    Source,
    Usage,
)
from chatproxy.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS
from chatproxy.store.store import Store
from chatproxy.store.upkeep.copying import copy as module
from chatproxy.store.upkeep.copying.copy import copy
from chatproxy.store.upkeep.copying.tables import COPIED, LEFT_OUT

Database = Path | str

HOSTILE: Final = "a\0b \x1a0\x1a1\x1a 😀 \u2028 \r\n ' \" \\ %s :x $1 e\u0301 \U0010ffff \ufeff"
LARGE: Final = 2**53 + 1
TEXT_TYPES: Final = {"TEXT": HOSTILE, "BLOB": bytes(range(256)), "INTEGER": LARGE, "REAL": 1e300 / 3}
FLAGS: Final = {"pinned", "swapped", "complete", "deleted"}
LONG: Final = "wintergarten " * 30_000


@pytest.fixture(params=["sqlite", "postgresql"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Database]:
    """Makes databases of one kind: names of files that are not there, or databases without tables."""
    if request.param == "postgresql":
        made: Callable[[], str] = request.getfixturevalue("new_postgres")
        return made
    numbers = iter(range(100))
    return lambda: tmp_path / f"new-{next(numbers)}.db"


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of the tables that are copied, with the values in the order of the columns' names."""
    found = {}
    for table in COPIED:
        columns = [
            name
            for name in sorted(stored.columns(database, table.name))
            if f"{table.name}.{name}" not in LEFT_OUT
        ]
        listed = ", ".join(columns)
        rows = stored.rows(database, f"SELECT {listed} FROM {table.name} ORDER BY {', '.join(table.key)}")
        found[table.name] = [
            tuple([int(value) if isinstance(value, bool) else value for value in row]) for row in rows
        ]
    return found


def deleted(database: Database) -> list[tuple[Any, ...]]:
    return stored.rows(
        database,
        "SELECT id FROM session WHERE deleted <> 0 UNION ALL"
        " SELECT CAST(id AS TEXT) FROM document WHERE deleted OR NOT complete",
    )


def is_empty(database: Database) -> bool:
    return not any(contents(database).values())


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def refusal(source: Database, target: Database) -> str:
    with pytest.raises(StartError) as caught:
        await copy(source, target)
    return str(caught.value)


async def turn(store: Store, session: Session, question: str, answer: str, **fields: Any) -> tuple[int, int]:
    asked, begun = await store.messages.begin(session, NewTurn(content=question, **fields))
    ended = replace(
        begun,
        status="complete",
        content=answer,
        thinking=f"thinking of {answer}",
        sources=[Source(document_id=1, title="a", chunk=0, snippet=answer, score=0.1)],
        warnings=[Notice(code="a", message=HOSTILE)],
        usage=Usage(prompt_tokens=LARGE, tokens_per_second=0.1),
        finish_reason="stop",
    )
    await store.messages.finish(ended)
    return asked, begun.id


async def document(store: Store, owner: str, hash: bytes) -> int:
    async def chunks() -> AsyncIterator[list[tuple[str, int | None, str | None]]]:
        yield [(HOSTILE, 1, HOSTILE), (LONG, None, None)]

    new = NewDocument(title=HOSTILE, media_type="text/plain", size=3, hash=hash)
    return (await store.documents.create(owner, new, chunks()))[0].id


async def fill(store: Store) -> None:
    """Keep something of every kind, as chatproxy does: of users, visitors and nobody."""
    for owner in ("", "ann", "visitor:0f"):
        session = await store.sessions.create(owner, title=f"Garden {owner} {HOSTILE}", system=HOSTILE)
        await store.sessions.update(session, {"think": "high", "options": {"seed": 2**40}, "pinned": True})
        await turn(store, session, f"Roses {HOSTILE}", LONG, images=[bytes(range(256)) * 9, b""])
        await turn(store, session, "Tulips", HOSTILE, client_message_id=f"one {owner}", fingerprint="f")
        await document(store, owner, owner.encode() + b"\0")
        _, failed = await store.messages.begin(session, NewTurn(content="?"))
        error = Failure(error="No.", code="internal", retryable=False)
        await store.messages.finish(replace(failed, status="failed", error=error))
    session = await store.sessions.create("ann", title="Gone")
    await turn(store, session, "Gone", "Gone")
    await store.sessions.delete(session)
    await document(store, "ann", b"gone")
    await store.documents.delete("ann", 4)
    for number in range(2):  # which have a place before all others
        imported = [
            ImportedTurn(role="user", content=f"Imported {number}", created_at="2024-05-06T07:08:09.123Z")
        ]
        await store.messages.import_session("ann", NewSession(id=f"imported-{number}"), imported)
    streaming = await store.sessions.create("ann", title="Going on")
    _, answer = await store.messages.begin(streaming, NewTurn(content="Go on"))
    for text in ("One ", HOSTILE):
        await store.messages.checkpoint([Piece(message_id=answer.id, thinking=f"t{text}", content=text)])


def fill_columns(path: Path) -> None:
    """Add a row to every table that has something unusual in every column, whichever there are."""
    for table in COPIED:
        columns: dict[str, Any] = {}
        for _, name, kind, *_ in stored.rows(path, f"PRAGMA table_info({table.name})"):
            columns[name] = 1 if name in FLAGS else TEXT_TYPES[kind]
        parents = {"message": {"session": LARGE}, "piece": {"message": LARGE}, "image": {"message": LARGE}}
        columns |= parents.get(table.name, {})
        values = ", ".join([f":{name}" for name in columns])
        stored.rows(path, f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({values})", **columns)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A file with everything in it, of a chatproxy that was killed."""
    path = tmp_path / "chat.db"
    store = await Store.open(path)
    await fill(store)
    await until(lambda: not deleted(path))  # what is removed in the background
    await store.close()
    fill_columns(path)
    return path


async def found(store: Store, owner: str, q: str) -> list[str]:
    sessions, _, _ = await store.sessions.search(owner, limit=100, before=None, q=q)
    return [session.id for session in sessions]


# -- nothing is lost


async def test_everything_arrives_in_postgresql_and_comes_back(
    path: Path, tmp_path: Path, new_postgres: Callable[[], str]
) -> None:
    before, url, back = contents(path), new_postgres(), tmp_path / "back.db"
    assert all(before.values())
    sequences = stored.rows(path, "SELECT * FROM sqlite_sequence WHERE name <> 'unindexed' ORDER BY name")
    there = await copy(path, url)
    assert contents(url) == before
    assert stored.rows(url, "SELECT count(*) FROM session WHERE title LIKE :part", part="%a\0b%") == [(4,)]
    assert await copy(url, back) == there
    assert contents(back) == before == contents(path)
    again = stored.rows(back, "SELECT * FROM sqlite_sequence WHERE name <> 'unindexed' ORDER BY name")
    assert again == sequences
    assert {name: rows for name, (rows, _) in there.tables.items()} == {
        name: len(rows) for name, rows in before.items()
    }
    assert (there.streaming, there.unreadable) == (1, 0)


async def test_a_copy_of_the_same_kind_is_the_same(path: Path, new: Callable[[], Database]) -> None:
    first, second = new(), new()
    assert await copy(path, first) == await copy(first, second)
    assert contents(first) == contents(second) == contents(path)


@pytest.mark.slow
async def test_any_portions_are_the_same(
    path: Path, new: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(path)
    whole = await copy(path, new())
    monkeypatch.setattr(module, "KEYS", 2)
    for step in (1, 3000):
        monkeypatch.setattr(module, "STEP", step)
        target = new()
        assert await copy(path, target) == whole
        assert contents(target) == before


async def test_a_target_that_was_started_once_is_as_good_as_a_new_one(
    path: Path, new: Callable[[], Database]
) -> None:
    target = new()
    store = await Store.open(target)
    session = await store.sessions.create("ann", title="Garden")
    await turn(store, session, "Garden", LONG)
    await store.sessions.delete(session)
    await store.sessions.remove_deleted()
    await store.close()
    await copy(path, target)
    assert contents(target) == contents(path)
    await (await Store.open(target)).close()


async def test_the_copy_goes_on_where_the_source_was(path: Path, new: Callable[[], Database]) -> None:
    change(
        path,
        "PRAGMA foreign_keys = ON",
        f"DELETE FROM session WHERE key = {LARGE}",
        f"DELETE FROM document WHERE id = {LARGE}",
        "UPDATE sqlite_sequence SET seq = 1000",
    )
    target, source = new(), path.with_name("source.db")
    await copy(path, source)
    await copy(source, target)
    for database in (source, target):
        store = await Store.open(database)
        sessions, _ = await store.sessions.page("ann", limit=100, before=None)
        titles = [session.title for session in sessions]
        assert [titles[0], *titles[-2:]] == ["Going on", "Imported 0", "Imported 1"]
        for owner in ("ann", "visitor:0f"):
            assert len(await found(store, owner, "wintergarten")) == 1
            assert await found(store, owner, "nothing") == []
        assert len(await found(store, "ann", "imported")) == 2
        going_on = await store.sessions.get("ann", sessions[0].id)
        answer = (await store.messages.page(going_on, limit=1, before=None))[0][-1]
        assert (answer.status, answer.content) == ("interrupted", f"One {HOSTILE}")
        session = await store.sessions.create("ann", title="Later")
        assert await turn(store, session, "New", "Wintergarten") == (1001, 1002)
        assert await document(store, "ann", b"new") == 1001
        late = [ImportedTurn(role="user", content="Old", created_at="2024-05-06T07:08:09.123Z")]
        await store.messages.import_session("ann", NewSession(id="late"), late)
        assert (await found(store, "ann", "wintergarten"))[0] == session.id
        listed, _ = await store.sessions.page("ann", limit=100, before=None)
        assert (listed[0].title, listed[-1].id) == ("Later", "late")
        await store.close()


async def test_vectors_still_count(path: Path, new: Callable[[], Database]) -> None:
    change(
        path,
        "UPDATE document SET embedded = chunks, embedded_by = 'model'",
        "INSERT INTO vectors SELECT id << 20, x'003c003c' FROM document WHERE complete AND id < 100",
    )
    target = new()
    await copy(path, target)
    store = await Store.open(target)
    await store.documents.vectors.use("model")
    page, _ = await store.documents.page("ann", limit=10, before=None)
    assert [(each.chunks, each.embedded) for each in page] == [(2, 2)]
    await store.close()


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_database(tmp_path: Path, new: Callable[[], Database]) -> None:
    path = tmp_path / "large.db"
    store = await Store.open(path)
    session = await store.sessions.create("ann")
    for _ in range(8):
        await turn(store, session, "a picture", "b" * 500_000, images=[os.urandom(4_000_000)] * 2)
    await store.close()
    target = new()
    tracemalloc.start()
    try:
        await copy(path, target)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32_000_000  # several of 68
    assert contents(target) == contents(path)


async def test_texts_that_are_no_utf_8_become_readable(path: Path, new: Callable[[], Database]) -> None:
    change(path, "UPDATE session SET title = CAST(x'61edb08062ff' AS TEXT) WHERE owner = 'ann'")
    target = new()
    assert (await copy(path, target)).unreadable == 4
    titles = stored.rows(target, "SELECT DISTINCT title FROM session WHERE owner = 'ann'")
    assert titles == [("a\ufffd\ufffd\ufffdb\ufffd",)]


async def test_a_source_that_is_in_use_is_copied_as_of_one_moment(
    tmp_path: Path, new: Callable[[], Database]
) -> None:
    source, target = new(), tmp_path / "copy.db"
    store = await Store.open(source)
    await fill(store)
    # So that no unit of the store's is in the way of what is written below.
    await until(lambda: not deleted(source) and not stored.rows(source, "SELECT id FROM unindexed"))
    said: list[str] = []
    seen: list[str] = []

    def write(line: str) -> None:
        """Write to the source while it is copied."""
        if not seen:
            stored.rows(source, "UPDATE session SET title = 'later'")
            stored.rows(source, "DELETE FROM message")
        seen.append(line)

    before = contents(source)
    done = await copy(source, target, said.append, write)
    assert contents(target) == before != contents(source)
    assert done.streaming == 1
    assert re.fullmatch(r"chatproxy is running with \S+: what it writes .* stop it first\.", said[0])
    assert "session: 6 rows copied" in seen
    assert "session: 6 of 6 rows compared" in seen
    await store.close()


# -- or nothing is copied


async def test_a_copy_needs_an_empty_target(path: Path, new: Callable[[], Database]) -> None:
    target = new()
    store = await Store.open(target)
    await store.sessions.create("ann")
    await store.close()
    before = contents(target)
    said = await refusal(path, target)
    assert re.fullmatch(
        r"The database \S+ is not empty: the table session has rows; name a new file in --to, or .*\.", said
    )
    assert contents(target) == before
    assert "is not empty" in await refusal(target, target)


async def test_a_copy_that_fails_leaves_nothing(path: Path, new: Callable[[], Database]) -> None:
    target = new()
    await (await Store.open(target)).close()
    with stored.changes_refused(target, "INSERT", "vectors"):
        await refusal(path, target)
        assert is_empty(target)
    await copy(path, target)
    assert contents(target) == contents(path)


async def test_a_copy_that_is_broken_off_leaves_nothing(path: Path, new: Callable[[], Database]) -> None:
    target = new()

    def stop(line: str) -> None:
        if line.startswith("vectors"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copy(path, target, tell=stop)
    assert is_empty(target)
    await copy(path, target)
    assert contents(target) == contents(path)


@pytest.mark.parametrize("row", ["another", "none"])
async def test_a_target_that_has_something_else_is_noticed(
    path: Path, new: Callable[[], Database], row: str
) -> None:
    target = new()
    await (await Store.open(target)).close()
    action = "UPDATE document SET title = 'other'" if row == "another" else "DELETE FROM document"
    if isinstance(target, Path):
        trigger = f"AFTER INSERT ON document BEGIN {action}; END"
    else:
        function = f"BEGIN {action}; RETURN NULL; END".replace("'", "''")
        stored.rows(target, f"CREATE FUNCTION alter_() RETURNS trigger LANGUAGE plpgsql AS '{function}'")
        trigger = "AFTER INSERT ON document EXECUTE FUNCTION alter_()"
    stored.rows(target, f"CREATE TRIGGER alter_ {trigger}")
    number = len(contents(path)["document"]) if row == "another" else 0
    assert re.fullmatch(
        rf"The table document would not be the same in \S+, so that nothing was copied: {4} rows with the "
        rf"checksum [0-9a-f]{{32}} became {number} with [0-9a-f]{{32}}; please report this\.",
        await refusal(path, target),
    )
    assert is_empty(target)


async def test_rows_that_belong_to_nothing_are_refused(path: Path, new: Callable[[], Database]) -> None:
    change(path, "PRAGMA foreign_keys = OFF", "UPDATE piece SET message = 77")
    target = new()
    said = await refusal(path, target)
    assert re.fullmatch(
        r"The table piece in --from has a row that belongs to nothing \(.*\); run `chatproxy check` for that "
        r"database, and copy the last backup that is sound\.",
        said,
    )
    assert is_empty(target)


async def test_a_target_that_is_in_use_is_refused(path: Path, new: Callable[[], Database]) -> None:
    target = new()
    store = await Store.open(target)
    said = await refusal(path, target)
    assert re.search(r"is in use by a(nother)? chatproxy; stop that one, or name another .*in --to\.", said)
    await store.close()


NEWER: Final = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(MIGRATIONS) + 1}"
OLDER: Final = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(MIGRATIONS) - 1}"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"a letter " * 99,
            "is not a database that can be read (file is not a database); name another file in {}.",
        ),
        ("CREATE TABLE a (x)", "belongs to another program; name another file in {}."),
        (NEWER, "was written by a newer chatproxy; start that version, or name another file in {}."),
        (OLDER, None),
    ],
    ids=["a letter", "another program", "a newer version", "an older version"],
)
async def test_other_files_are_refused_and_left_alone(
    path: Path, tmp_path: Path, content: str | bytes, sentence: str | None
) -> None:
    other = tmp_path / "other.db"
    if isinstance(content, str):
        with closing(sqlite3.connect(other)) as connection:
            connection.executescript(content)
    else:
        other.write_bytes(content)
    before = other.read_bytes()
    as_source, as_target = await refusal(other, tmp_path / "new.db"), await refusal(path, other)
    older = "was written by an older chatproxy; "
    assert as_source.endswith(
        sentence.format("--from") if sentence else f"{older}start this version once, then try again."
    )
    assert as_target.endswith(sentence.format("--to") if sentence else f"{older}name an empty one in --to.")
    assert other.read_bytes() == before
    assert not (tmp_path / "new.db").exists()


async def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert await refusal(tmp_path / "none.db", tmp_path / "new.db") == (
        f"There is no database {tmp_path}/none.db; start chatproxy once, or name another file in --from."
    )
    assert os.listdir(tmp_path) == []


async def test_other_databases_of_postgresql_are_refused(
    path: Path, tmp_path: Path, new_postgres: Callable[[], str]
) -> None:
    url = new_postgres()
    assert re.search(
        r"^There is nothing of chatproxy in the database \S+; correct --from\.$",
        await refusal(url, tmp_path / "new.db"),
    )
    await (await Store.open(url)).close()
    stored.rows(url, "UPDATE schema_version SET number = 99")
    for said in (await refusal(url, tmp_path / "new.db"), await refusal(path, url)):
        assert re.search(r"written by a newer .* or name another database in --(from|to)\.$", said)
    gone = url.replace("/new_", "/gone_")
    assert re.search(r"^There is no database .*, or name another in --to\.$", await refusal(path, gone))
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("url", ["postgresql://ann:sesame@127.0.0.1:1/x", "postgresql://ann:ses/ame@h/x"])
async def test_no_password_is_told(path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "STARTING", 0.1)
    for source, target in ((path, url), (url, path)):
        said = await refusal(source, target)
        assert "ses" not in said.replace("session", "")
        assert "ame@" not in said


# -- what is copied


async def test_no_table_is_forgotten(tmp_path: Path, new_postgres: Callable[[], str]) -> None:
    """Each table is copied, or left out for a reason; what the two databases have is the same."""
    path, url = tmp_path / "chat.db", new_postgres()
    for database in (path, url):
        store = await Store.open(database)
        await found(store, "ann", "index")  # which is there now
        await store.close()
    files = {name for (name,) in stored.rows(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")}
    servers = {
        name for (name,) in stored.rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'chatproxy'")
    }
    copied = {table.name for table in COPIED}
    assert copied & {*LEFT_OUT} == set()
    left_out = {name for name in LEFT_OUT if "." not in name}
    assert copied | left_out == files | servers
    assert copied <= files & servers
    for table in COPIED:
        columns = [name for name in stored.columns(url, table.name) if f"{table.name}.{name}" not in LEFT_OUT]
        assert sorted(stored.columns(path, table.name)) == sorted(columns)
        info = stored.rows(path, f"PRAGMA table_info({table.name})")
        assert tuple([name for _, name, _, _, _, place in info if place]) == table.key
    identities = stored.rows(
        url,
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'chatproxy' AND is_identity = 'YES'",
    )
    numbered = {(table.name, table.numbered) for table in COPIED if table.numbered}
    assert {pair for pair in identities if pair[0] not in LEFT_OUT} == numbered


async def test_parents_come_before_their_children(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    await (await Store.open(path)).close()
    names = [table.name for table in COPIED]
    for number, name in enumerate(names):
        parents = stored.rows(path, f"PRAGMA foreign_key_list({name})")
        assert {parent for _, _, parent, *_ in parents} <= {*names[:number]}
