"""What a test reads and changes in a database, over a connection of its own: a file or PostgreSQL's."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from chatproxy.store.postgres.dialect import spelled
from chatproxy.store.postgres.pool import connect, set_up
from chatproxy.store.sqlite.database import SQLiteDatabase
from chatproxy.store.store import Store


def rows(database: Path | str, sql: str, **arguments: Any) -> list[tuple[Any, ...]]:
    """Run a statement, and return its rows when it is committed; `database` is that of a `Config`."""
    if isinstance(database, Path):
        with closing(sqlite3.connect(database)) as connection, connection:
            return connection.execute(sql, arguments).fetchall()
    with ThreadPoolExecutor(1) as thread:  # this one has a running event loop
        return thread.submit(asyncio.run, _rows(database, sql, arguments)).result()


async def _rows(url: str, sql: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
    connection = await connect(url)
    await set_up(connection)
    text, names = spelled(sql)
    found = await connection.fetch(text, *[arguments[name] for name in names])
    await connection.close()
    return [tuple(row) for row in found]


def sqlite_of(store: Store) -> SQLiteDatabase:
    """Return the database of a store that has a file."""
    assert isinstance(store.database, SQLiteDatabase)
    return store.database


def columns(database: Path | str, table: str) -> list[str]:
    """Return the names of a table's columns."""
    if isinstance(database, Path):
        return [name for _, name, *_ in rows(database, f"PRAGMA table_info({table})")]
    sql = (
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'chatproxy' AND table_name = :name"
    )
    return [name for (name,) in rows(database, sql, name=table)]


@contextmanager
def changes_refused(database: Path | str, change: str, table: str, condition: str = "TRUE") -> Iterator[None]:
    """Let a change of a table fail, such as `UPDATE OF status`, where `new` is as in the condition."""
    if isinstance(database, Path):
        action = f"WHEN {condition} BEGIN SELECT RAISE (ABORT, 'no'); END"
        removal = "DROP TRIGGER refuse"
    else:
        rows(
            database, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'"
        )
        action = f"FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
        removal = "DROP FUNCTION refuse CASCADE"
    rows(database, f"CREATE TRIGGER refuse BEFORE {change} ON {table} {action}")
    try:
        yield
    finally:
        rows(database, removal)
