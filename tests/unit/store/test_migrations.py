import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite
import pytest

from chatproxy.store.sqlite.migrations import (
    APPLICATION_ID,
    DOCUMENT_INDEXES,
    MEASURED_AT,
    MIGRATIONS,
    PLACES,
    PROMPT_COUNTS,
    RESPONSES,
    SEVERAL_DOCUMENTS,
    VECTORS,
    WARNINGS_OF_DOCUMENTS,
    migrate,
)
from chatproxy.store.store import Store


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(tmp_path / "m.db", isolation_level=None) as connection:
        yield connection


async def value(connection: aiosqlite.Connection, sql: str) -> object:
    ((value,),) = await connection.execute_fetchall(sql)
    return value


async def tables(connection: aiosqlite.Connection) -> list[str]:
    rows = await connection.execute_fetchall(
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    )
    return [name for (name,) in rows]


async def test_from_an_empty_file(connection: aiosqlite.Connection) -> None:
    await migrate(connection)
    assert await value(connection, "PRAGMA user_version") == len(MIGRATIONS)
    assert await value(connection, "PRAGMA application_id") == APPLICATION_ID
    assert {"session", "message", "piece", "image", "unindexed"} <= set(await tables(connection))


async def test_takes_only_the_steps_that_are_missing(connection: aiosqlite.Connection) -> None:
    await migrate(connection, ["CREATE TABLE a (x)"])
    await migrate(connection, ["CREATE TABLE a (x)", "CREATE TABLE b (x)"])
    await migrate(connection, ["CREATE TABLE a (x)", "CREATE TABLE b (x)"])
    assert await tables(connection) == ["a", "b"]
    assert await value(connection, "PRAGMA user_version") == 2


async def test_a_step_that_fails_leaves_the_database_as_it_was(connection: aiosqlite.Connection) -> None:
    await migrate(connection, ["CREATE TABLE a (x)"])
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        await migrate(connection, ["", "CREATE TABLE b (x); DROP TABLE a; SELECT nonsense"])
    assert not connection.in_transaction
    assert await tables(connection) == ["a"]
    assert await value(connection, "PRAGMA user_version") == 1


async def test_sessions_keep_their_order_when_it_is_counted(connection: aiosqlite.Connection) -> None:
    await migrate(connection, MIGRATIONS[:3])
    await connection.executemany(
        "INSERT INTO session (id, owner, created_at, updated_at) VALUES (?, ?, '', ?)",
        [("b", "ann", "2"), ("a", "ann", "1"), ("x", "bob", "0"), ("c", "ann", "2"), ("d", "ann", "3")],
    )
    await migrate(connection)
    rows = await connection.execute_fetchall("SELECT id, activity FROM session ORDER BY owner, activity")
    assert list(rows) == [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("x", 1)]


async def test_measurements_count_as_new_when_their_time_is_kept(connection: aiosqlite.Connection) -> None:
    await migrate(connection, MIGRATIONS[: MIGRATIONS.index(MEASURED_AT)])
    await connection.execute("INSERT INTO measurement (digest, tokens_per_second) VALUES ('a', 50)")
    await migrate(connection)
    query = "SELECT tokens_per_second, unixepoch() - measured_at < 60 FROM measurement"
    assert [tuple(row) for row in await connection.execute_fetchall(query)] == [(50, 1)]


async def test_sessions_start_without_counts_and_measurements_stay(connection: aiosqlite.Connection) -> None:
    await migrate(connection, MIGRATIONS[: MIGRATIONS.index(PROMPT_COUNTS)])
    await connection.execute(
        "INSERT INTO session (id, owner, created_at, updated_at) VALUES ('a', 'ann', '', '')"
    )
    await connection.execute("INSERT INTO measurement VALUES ('a', 50, 900, 12.5, 0.25, 7)")
    await migrate(connection)
    assert await value(connection, "SELECT prompt_counts FROM session") is None
    rows = await connection.execute_fetchall("SELECT * FROM measurement")
    assert [tuple(row) for row in rows] == [("a", 50, 900, 7)]


async def test_conversations_keep_their_document(connection: aiosqlite.Connection, tmp_path: Path) -> None:
    await migrate(connection, MIGRATIONS[: MIGRATIONS.index(SEVERAL_DOCUMENTS)])
    await connection.execute(
        "INSERT INTO session (id, owner, activity, message_count, document_id, created_at, updated_at)"
        " VALUES ('a', 'ann', 1, 2, 7, '', ''), ('b', 'ann', 2, 0, NULL, '', '')"
    )
    await connection.executemany(
        "INSERT INTO message (session, place, document_id, role, status, content, sources, warnings,"
        " image_count, created_at, updated_at) VALUES (1, ?, ?, 'user', '', '', '[]', '[]', 0, '', '')",
        [(1, 7), (2, None)],
    )
    store = await Store.open(tmp_path / "m.db")
    session = await store.sessions.get("ann", "a")
    messages, _ = await store.messages.page(session, limit=9, before=None)
    history = await store.messages.history(session, limit=9, before=None)
    assert (session.document_id, session.document_ids) == (7, [7])
    assert (await store.sessions.get("ann", "b")).document_ids == []
    assert [message.document_ids for message in messages] == [[7], []]
    assert [message.document_ids for message in history] == [[], [7]]
    assert await store.sessions.document_titles(session) == {}
    await store.close()


async def test_documents_keep_their_text_without_the_common_index(connection: aiosqlite.Connection) -> None:
    await migrate(connection, MIGRATIONS[: MIGRATIONS.index(DOCUMENT_INDEXES)])
    await connection.execute("INSERT INTO chunk (key, text, openings) VALUES (1048576, 'Rent', 'Rent')")
    await migrate(connection)
    assert [tuple(row) for row in await connection.execute_fetchall("SELECT * FROM chunk")] == [
        (1048576, "Rent", None, None)
    ]


async def test_documents_that_were_stored_have_no_warnings(connection: aiosqlite.Connection) -> None:
    await migrate(connection, MIGRATIONS[: MIGRATIONS.index(WARNINGS_OF_DOCUMENTS)])
    await connection.execute(
        "INSERT INTO document (owner, hash, title, media_type, bytes, chunks, created_at)"
        " VALUES ('ann', x'00', 'lease', '', 1, 1, '')"
    )
    await migrate(connection)
    rows = await connection.execute_fetchall("SELECT title, warnings FROM document")
    assert [tuple(row) for row in rows] == [("lease", "[]")]


async def test_answers_that_were_stored_are_no_responses(connection: aiosqlite.Connection) -> None:
    await migrate(connection, MIGRATIONS[: MIGRATIONS.index(RESPONSES)])
    await connection.execute(
        "INSERT INTO session (id, owner, created_at, updated_at) VALUES ('a', 'ann', '', '')"
    )
    await connection.execute(
        "INSERT INTO message (session, place, role, status, content, sources, warnings, image_count,"
        " created_at, updated_at) VALUES (1, 1, 'assistant', 'complete', 'Hi', '[]', '[]', 0, '', '')"
    )
    await migrate(connection)
    rows = await connection.execute_fetchall("SELECT content, thought, asked FROM message")
    assert list(rows) == [("Hi", None, None)]


async def test_conversations_stay_as_they_are_when_messages_get_places(
    connection: aiosqlite.Connection,
) -> None:
    await migrate(connection, MIGRATIONS[: MIGRATIONS.index(PLACES)])
    await connection.executemany(
        "INSERT INTO session (id, owner, message_count, activity, created_at, updated_at)"
        " VALUES (?, 'ann', ?, ?, '', '')",
        [("a", 3, 1), ("b", 1, 2)],
    )
    await connection.executemany(
        "INSERT INTO message (session, superseded, role, status, content, sources, warnings, image_count,"
        " created_at, updated_at) VALUES (?, ?, '', '', '', '[]', '[]', 0, '', '')",
        [(1, 0), (1, 0), (2, 0), (1, 1), (1, 1), (1, 0)],
    )
    await migrate(connection)
    rows = await connection.execute_fetchall("SELECT id, place FROM message ORDER BY id")
    assert list(rows) == [(1, 1), (2, 2), (3, 1), (4, 0), (5, 0), (6, 3)]
    rows = await connection.execute_fetchall("SELECT message_count FROM session ORDER BY key")
    assert list(rows) == [(3,), (1,)]


async def test_documents_lack_vectors_at_first(connection: aiosqlite.Connection) -> None:
    await migrate(connection, MIGRATIONS[: MIGRATIONS.index(VECTORS)])
    await connection.execute(
        "INSERT INTO document (owner, hash, title, media_type, bytes, chunks, created_at)"
        " VALUES ('ann', x'00', 'Lease', '', 5, 2, '')"
    )
    await migrate(connection)
    rows = await connection.execute_fetchall("SELECT title, chunks, embedded, embedded_by FROM document")
    assert list(rows) == [("Lease", 2, 0, None)]
