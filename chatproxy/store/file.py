"""The database file, before SQLite writes to it: it is this program's, and nobody else has it open."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from chatproxy.errors import StartError
from chatproxy.store.migrations import APPLICATION_ID, MIGRATIONS

ELSEWHERE: Final = "name another file in DATABASE_URL"


@contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """Yields the file's real path, once it is known to be usable and as long as no other chatproxy opens it.

    Creates the folder and holds `<path>.lock`: a file of its own, because closing any descriptor of the
    database file would drop SQLite's locks. It stays, because two processes could come to hold one each
    if it were removed.
    """
    path = Path(os.path.realpath(path))
    with _lock_file(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"The database {path} is in use by another chatproxy; stop that one, or {ELSEWHERE}."
            ) from error
        check(path)
        yield path


def _lock_file(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(f"{path}.lock").open("ab")
    except OSError as error:
        raise StartError(
            f"The folder of the database {path} cannot be used ({error.strerror}); "
            f"make it writable, or {ELSEWHERE}."
        ) from error


def check(path: Path) -> None:
    """Only looks. Raises StartError unless the file is absent, empty, or a database of this program."""
    if not path.exists():
        return
    if not path.is_file():
        raise StartError(f"The database {path} is not a file; {ELSEWHERE}.")
    if not os.access(path, os.R_OK | os.W_OK):
        raise StartError(
            f"The database {path} cannot be read and written; change its permissions, or {ELSEWHERE}."
        )
    try:
        application_id, version, tables = _header(path)
    except sqlite3.Error as error:
        raise StartError(
            f"The file {path} is not a database that can be read ({error}); {ELSEWHERE}."
        ) from error
    if application_id != APPLICATION_ID and (application_id or version or tables):
        raise StartError(f"The database {path} belongs to another program; {ELSEWHERE}.")
    if version > len(MIGRATIONS):
        raise StartError(
            f"The database {path} was written by a newer chatproxy; start that version, or {ELSEWHERE}."
        )


def _header(path: Path) -> tuple[int, int, int]:
    """Application id, user version, number of tables.

    SQLite is asked to take the file as immutable: it then creates nothing beside it. Where a crash left
    a log, its content counts too; reading it needs an index, which is removed again.
    """
    log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
    indexed = index.exists()
    mode = "mode=ro" if log.exists() else "immutable=1"
    try:
        if path.stat().st_size == 1:  # SQLite would take it for an empty file
            raise sqlite3.DatabaseError("file is not a database")
        with closing(sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)) as connection:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return application_id, version, tables
    finally:
        if not indexed:
            index.unlink(missing_ok=True)
