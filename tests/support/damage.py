"""Damage to a database file, as a bad disk does it: pages of one table are overwritten with garbage."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


def damage(path: Path, table: str) -> None:
    """Overwrite all pages of a table but its root, or the root if it is the only one.

    No process may have the file open. The test is skipped where SQLite is built without the table of pages.
    """
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'").fetchone():
            pytest.skip("this SQLite does not tell which pages a table has")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        pages = {page for (page,) in connection.execute("SELECT pageno FROM dbstat WHERE name = ?", (table,))}
    with path.open("r+b") as file:
        for page in pages - {root} or {root}:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)
