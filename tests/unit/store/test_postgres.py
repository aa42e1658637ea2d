"""What is particular to PostgreSQL: its schema, its words, its errors, and units that run side by side."""

import asyncio
import logging
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path

import asyncpg
import pytest
import stored
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from postgres import Server
from waiting import until

from chatproxy.documents.parts import Chunk
from chatproxy.errors import ChatError, StartError
from chatproxy.store.database import Connection
from chatproxy.store.postgres import database as module
from chatproxy.store.postgres.database import PostgresDatabase
from chatproxy.store.postgres.dialect import decoded, encoded, spelled
from chatproxy.store.postgres.pool import connect
from chatproxy.store.postgres.schema import MIGRATIONS, migrate
from chatproxy.store.postgres.words import MAX_BYTES, TextSearch
from chatproxy.store.records import NewDocument, NewTurn, Session
from chatproxy.store.store import Store
from chatproxy.values import folded

POSTGRES = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
EMPTY = f"nothing_{os.getpid()}"  # of this process
# Of SQLite's index, and of PostgreSQL's.
ONLY = {"replica", "removed", "word", "schema_version"}


@pytest.fixture
def empty(postgres_server: Server) -> Iterator[str]:
    """The URL of a database without tables."""
    postgres_server.psql(f"CREATE DATABASE {EMPTY}")
    yield postgres_server.url(EMPTY)
    postgres_server.psql(f"DROP DATABASE {EMPTY} WITH (FORCE)")


async def refusal(url: str) -> str:
    with pytest.raises(StartError) as caught:
        await Store.open(url)
    return str(caught.value)


async def texts(store: Store, session: Session) -> list[str]:
    page, _ = await store.messages.page(session, limit=100, before=None)
    return [message.content for message in page]


# -- the schema


OF_REPLICAS = {"message": {"replica"}, "session": {"gathered_by"}}  # columns, by table


@POSTGRES
async def test_both_databases_have_the_same_columns(store: Store, where: str, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    await (await Store.open(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%STRICT'"
        )
        tables = {name for (name,) in names} - ONLY
    found = stored.rows(where, "SELECT tablename FROM pg_tables WHERE schemaname = 'chatproxy'")
    assert {name for (name,) in found} - ONLY == tables
    for table in tables:
        columns = set(stored.columns(where, table)) - OF_REPLICAS.get(table, set())
        assert columns == set(stored.columns(path, table)), table


async def test_processes_that_start_at_once_make_the_tables_once(empty: str) -> None:
    connections = await asyncio.gather(*[connect(empty) for _ in range(6)])
    await asyncio.gather(*[migrate(connection, "it") for connection in connections])
    assert await connections[0].fetchval("SELECT number FROM chatproxy.schema_version") == len(MIGRATIONS)
    for connection in connections:
        await connection.close()


async def test_a_schema_that_an_administrator_made_is_used(empty: str, postgres_server: Server) -> None:
    postgres_server.psql(
        "CREATE ROLE modest LOGIN; CREATE SCHEMA chatproxy AUTHORIZATION modest", database=EMPTY
    )
    store = await Store.open(postgres_server.url(EMPTY, "modest"))
    await store.sessions.create("ann")
    await store.close()
    postgres_server.psql("DROP OWNED BY modest CASCADE; DROP ROLE modest", database=EMPTY)


# -- refused starts


async def test_a_database_of_a_newer_version_is_refused(empty: str, postgres_server: Server) -> None:
    await (await Store.open(empty)).close()
    postgres_server.psql("UPDATE chatproxy.schema_version SET number = 99", database=EMPTY)
    assert re.fullmatch(
        rf"The database postgresql://tests@/{EMPTY} was written by a newer .*", await refusal(empty)
    )


async def test_a_user_who_may_create_nothing_is_refused(empty: str, postgres_server: Server) -> None:
    postgres_server.psql("CREATE ROLE guest LOGIN")
    said = await refusal(postgres_server.url(EMPTY, "guest"))
    postgres_server.psql("DROP ROLE guest")
    assert re.search(r"may not create or use the schema chatproxy \(permission denied .*GRANT CREATE", said)


async def test_an_encoding_that_cannot_hold_every_text_is_refused(postgres_server: Server) -> None:
    postgres_server.psql(
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    said = await refusal(postgres_server.url("latin"))
    postgres_server.psql("DROP DATABASE latin WITH (FORCE)")
    assert "has the encoding LATIN1; create one with the encoding UTF8" in said


async def test_what_is_not_there_is_named(
    postgres_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "STARTING", 0.1)
    said = await refusal(postgres_server.url("absent"))
    assert said.startswith("There is no database postgresql://tests@/absent; create it (CREATE DATABASE)")
    said = await refusal("postgresql://ann:secret@/x?host=/dev/null/nowhere&password=hidden")
    assert said.startswith("The database postgresql://ann@/x cannot be reached (")
    said = await refusal("postgresql://ann:secret@localhost:1/x?sslmode=nonsense")
    assert said.startswith("The URL postgresql://ann@localhost:1/x cannot be used (")
    said = await refusal("postgresql://ann:secret@localhost:1/x")
    assert said.startswith("The database postgresql://ann@localhost:1/x cannot be reached (")
    assert "secret" not in said
    said = await refusal("postgresql://ann:secret/key@localhost/x")
    assert said.startswith(
        "The URL postgresql://ann@localhost/x cannot be used; correct DATABASE_URL, and write"
    )
    assert "secret" not in said


async def test_connections_are_needed(empty: str, postgres_server: Server) -> None:
    postgres_server.psql("CREATE ROLE few LOGIN SUPERUSER CONNECTION LIMIT 1; ALTER ROLE few NOSUPERUSER")
    said = await refusal(postgres_server.url(EMPTY, "few"))
    postgres_server.psql("DROP ROLE few")
    assert f"has no connection left for postgresql://few@/{EMPTY}; raise its max_connections" in said


# -- statements


def test_arguments_are_numbered_and_casts_are_none() -> None:
    assert spelled("SELECT :b, :a, :b::text || ':' FROM x WHERE y = ':' || :a") == (
        "SELECT $1, $2, $1::text || ':' FROM x WHERE y = ':' || $2",
        ["b", "a"],
    )


@given(st.text(st.sampled_from("\0\x1a01ab"), max_size=12))
def test_any_text_is_kept(text: str) -> None:
    assert decoded(encoded(text)) == text
    assert "\0" not in encoded(text)


@POSTGRES
async def test_hostile_texts(store: Store) -> None:
    session = await store.sessions.create("ann", title="\0\x1a0\x1a1\x1a", system="\x1a")
    assert await store.sessions.get("ann", session.id) == session
    for text in (
        "\0",
        "\x1a0",
        "a\0b\x1ac",
        "\U0010ffff\ufffe\ufdd0",
        "'; DROP TABLE session; --",
        "\\x00\\",
    ):
        _, answer = await store.messages.begin(session, NewTurn(content=text))
        await store.messages.finish(replace(answer, status="complete", content=text))
        assert (await texts(store, session))[-2:] == [text, text]
    with pytest.raises(Exception, match="surrogates not allowed"):
        await store.sessions.create("ann", title="\ud800")


@POSTGRES
async def test_an_owner_with_any_name_finds_its_words(store: Store) -> None:
    for owner in ("\0", "ann", "zoë", "'", "日本"):
        await store.sessions.create(owner, title="Green tea, getUserName")
        for q in ("tea", "gre te", "username", "'tea' & !green:*"):
            found, _, _ = await store.sessions.search(owner, limit=9, before=None, q=q)
            assert len(found) == 1, (owner, q)


@POSTGRES
async def test_a_part_with_too_many_words_for_one_row_has_as_many_as_it_may(
    store: Store, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatproxy.store.postgres.words.MAX_BYTES", 200)
    assert MAX_BYTES > 200
    await store.sessions.create("ann", title=" ".join(f"word{number}" for number in range(100)))
    found, _, _ = await store.sessions.search("ann", limit=9, before=None, q="word0 word1")
    assert len(found) == 1
    assert stored.rows(where, "SELECT length(terms) FROM word")[0][0] < 20


# -- units


@POSTGRES
async def test_messages_sent_at_once_get_a_place_each(store: Store) -> None:
    sessions = [await store.sessions.create("ann") for _ in range(5)]

    async def send(session: Session, content: str) -> None:
        while True:
            with suppress(ChatError):  # `session_busy`
                _, answer = await store.messages.begin(session, NewTurn(content=content))
                await store.messages.finish(replace(answer, status="complete"))
                return
            await asyncio.sleep(0.01)

    await asyncio.gather(*[send(session, f"{n}") for n in range(20) for session in sessions])
    for session in sessions:
        found = await store.sessions.get("ann", session.id)
        assert found.message_count == 40
        shown = (await texts(store, session))[::2]
        assert sorted(shown, key=int) == [f"{n}" for n in range(20)]
    listed, _ = await store.sessions.page("ann", limit=9, before=None)
    assert len({session.id for session in listed}) == 5


@POSTGRES
async def test_a_unit_in_the_way_of_another_runs_again(store: Store) -> None:
    """Two that lock the same rows in opposite orders: PostgreSQL ends one."""
    ids = [(await store.sessions.create("ann")).id for _ in range(2)]
    runs = 0
    first = asyncio.Barrier(2)

    def unit(order: list[str]) -> object:
        async def change(connection: Connection) -> None:
            nonlocal runs
            runs += 1
            for place, id in enumerate(order):
                await connection.execute(
                    "UPDATE session SET title = coalesce(title, '') || 'x' WHERE id = :id", id=id
                )
                if place == 0 and runs <= 2:
                    await first.wait()

        return change

    await asyncio.gather(*[store.database.run(unit(order)) for order in (ids, ids[::-1])])  # type: ignore[arg-type]
    assert runs == 3
    assert [(await store.sessions.get("ann", id)).title for id in ids] == ["xx", "xx"]


@POSTGRES
async def test_a_unit_that_goes_on_after_a_failure_is_not_taken_for_committed(store: Store) -> None:
    async def careless(connection: Connection) -> None:
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.execute("DELETE FROM nothing_here WHERE TRUE = :yes", yes=True)

    with pytest.raises(RuntimeError, match="goes on after a statement that has failed"):
        await store.database.run(careless)


@POSTGRES
async def test_a_caller_who_is_cancelled_leaves_the_unit_to_go_on(store: Store) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    session = await store.sessions.create("ann")

    async def slow(connection: Connection) -> None:
        begun.set()
        await go.wait()
        await connection.execute("UPDATE session SET title = 'slow' WHERE id = :id", id=session.id)

    caller = asyncio.create_task(store.database.run(slow))
    await begun.wait()
    caller.cancel()
    await asyncio.wait({caller})
    go.set()
    await until(lambda: _title(store, session, "slow"))
    assert caller.cancelled()


async def _title(store: Store, session: Session, title: str) -> bool:
    return (await store.sessions.get("ann", session.id)).title == title


@POSTGRES
async def test_slow_reads_end_at_their_deadline_and_with_their_caller(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_READ_TIMEOUT", 0.1)
    endless = "SELECT pg_sleep(600), :owner AS owner"
    with pytest.raises(ChatError) as caught:
        await store.database.fetch_slow(endless, owner="ann")
    assert (caught.value.code, caught.value.retry_after) == ("overloaded", 1)
    monkeypatch.setattr(module, "SLOW_READ_TIMEOUT", 600)
    for _ in range(5):
        read = asyncio.create_task(store.database.fetch_slow(endless, owner="ann"))
        await asyncio.sleep(0.01)
        read.cancel()
        await asyncio.wait({read})
    (row,) = await store.database.fetch_slow("SELECT :owner AS owner", owner="ann")
    assert row["owner"] == "ann"


# -- a server in trouble


@pytest.fixture
async def fragile(empty: str, postgres_server: Server) -> AsyncIterator[Store]:
    store = await Store.open(empty)
    yield store
    postgres_server.psql(f"ALTER DATABASE {EMPTY} RESET ALL")
    await store.close()


def end_connections(server: Server) -> None:
    server.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{EMPTY}'")


async def test_connections_that_break_are_replaced_without_a_word(
    fragile: Store, postgres_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    session = await fragile.sessions.create("ann", title="Tea")
    await until(lambda: _finds(fragile, "tea"))
    for number in range(5):
        end_connections(postgres_server)
        await fragile.sessions.update(session, {"title": f"Tea {number}"})
        end_connections(postgres_server)
        assert (await fragile.sessions.get("ann", session.id)).title == f"Tea {number}"
        end_connections(postgres_server)
        found, _, _ = await fragile.sessions.search("ann", limit=9, before=None, q="tea")
        assert [each.id for each in found] == [session.id]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def _finds(store: Store, q: str) -> bool:
    with suppress(ChatError):  # the index is being built
        found, _, _ = await store.sessions.search("ann", limit=9, before=None, q=q)
        return len(found) == 1
    return False


async def test_a_unit_that_lost_its_connection_runs_again(fragile: Store, postgres_server: Server) -> None:
    runs = 0

    async def unit(connection: Connection) -> int:
        nonlocal runs
        runs += 1
        if runs == 1:
            await asyncio.to_thread(end_connections, postgres_server)
        await connection.execute("DELETE FROM session WHERE id = :id", id="x")
        return runs

    assert await fragile.database.run(unit) == 2


async def test_a_database_that_became_read_only(
    fragile: Store, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AWAY", 0.3)
    postgres_server.psql(f"ALTER DATABASE {EMPTY} SET default_transaction_read_only = on")
    end_connections(postgres_server)
    with pytest.raises(ChatError, match="has become read-only; make it writable and try again") as caught:
        await fragile.sessions.create("ann")
    assert caught.value.code == "storage_full"
    postgres_server.psql(f"ALTER DATABASE {EMPTY} RESET default_transaction_read_only")
    await fragile.sessions.create("ann")  # over another connection


async def test_no_connection_left(
    fragile: Store, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AWAY", 0.1)
    async with AsyncExitStack() as stack:
        stack.callback(postgres_server.psql, "ALTER ROLE tests CONNECTION LIMIT -1")
        postgres_server.psql(f"ALTER DATABASE {EMPTY} ALLOW_CONNECTIONS true CONNECTION LIMIT 0")
        stack.callback(postgres_server.psql, f"ALTER DATABASE {EMPTY} CONNECTION LIMIT -1")
        postgres_server.psql(
            "CREATE ROLE plain LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA chatproxy TO plain", EMPTY
        )
        stack.callback(postgres_server.psql, "DROP OWNED BY plain; DROP ROLE plain", EMPTY)
        database = PostgresDatabase(postgres_server.url(EMPTY, "plain"))
        with pytest.raises(
            ChatError, match="has no connection left; try again in a moment, or raise"
        ) as caught:
            await database.ping()
        assert (caught.value.code, caught.value.retry_after) == ("overloaded", 1)
        await database.close()


def test_a_query_of_the_index_is_quoted() -> None:
    assert TextSearch().query(["tea", "日"]) == ["'tea':*", "'日':*"]


async def test_owners_become_one(empty: str) -> None:
    store = await Store.open(empty)
    names = ["Zoë", "zoe\u0308", "ZOË"]
    for number in range(6):
        await store.sessions.create(names[number % 3], title=str(number))
    for name in names:
        new = NewDocument(title=name, media_type="text/plain", size=1, hash=b"same")
        await store.documents.create(name, new, _chunks())
    await store.close()
    store = await Store.open(empty, owner_form=folded)
    for number in range(6, 9):  # after all that there were
        await store.sessions.create("zoë", title=str(number))
    listed, _ = await store.sessions.page("zoë", limit=20, before=None)
    assert [session.title for session in listed][:3] == ["8", "7", "6"]
    assert sorted(str(session.title) for session in listed) == [str(number) for number in range(9)]
    documents, _ = await store.documents.page("zoë", limit=9, before=None)
    assert {document.title for document in documents} == {*names}
    again, is_new = await store.documents.create("zoë", new, _chunks())
    assert (again.title, is_new) == ("Zoë", False)
    await store.close()


async def _chunks() -> AsyncIterator[Sequence[Chunk]]:
    yield [Chunk("text")]
