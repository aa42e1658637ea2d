"""Backups: the whole database in one file, as of one moment, while a chatproxy may be writing to it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import Final

from chatproxy.errors import StartError
from chatproxy.store.sqlite import file
from chatproxy.store.sqlite.writer import LOCKED
from chatproxy.system import files

ELSEWHERE: Final = "name another file for the backup"
# What chatproxy and SQLite keep beside a database, by the ends of their names.
BESIDE: Final = ("", "-wal", "-shm", "-journal", ".lock", ".token", ".jwt")


def existing(path: Path) -> Path:
    """Return the real path of a database of this program. Raises StartError if there is none."""
    if not path.exists():
        demo = file.of_the_demo(path)
        way = (
            f"set DATABASE_URL=sqlite:///{demo} for that of --demo"
            if demo.exists()
            else "start chatproxy once"
        )
        raise StartError(f"There is no database {path}; {way}, or {file.ELSEWHERE}.")
    path = Path(os.path.realpath(path))
    file.check(path)
    return path


def older(where: object) -> StartError:
    """Return the error for a database that has yet to be migrated."""
    return StartError(
        f"The database {where} was written by an older chatproxy; start this version once, then try again."
    )


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database beside the chatproxy that may be running; raise SQLite's errors as StartErrors.

    It is opened for writing even to be read: so SQLite's locks hold, whichever process comes or goes.
    """
    address = f"{path.as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=LOCKED)) as connection:
            connection.row_factory = sqlite3.Row
            for pragma in (
                "synchronous = FULL",
                "fullfsync = ON",
                "foreign_keys = ON",
                "temp_store = MEMORY",
            ):
                connection.execute(f"PRAGMA {pragma}")
            yield connection
    except sqlite3.Error as error:
        raise StartError(
            f"The database {path} cannot be worked on ({error}); see to that, or run `chatproxy check`."
        ) from error


def check_is_file(database: Path | str) -> Path:
    """Return the path of a database; raise StartError for PostgreSQL's."""
    if isinstance(database, Path):
        return database
    raise StartError(
        "PostgreSQL makes its own backups; run `pg_dump --schema=chatproxy`, or let the server archive its "
        "log."
    )


def back_up(database: Path, target: Path) -> int:
    """Write all that is committed to `target`, and return how many bytes that are.

    It takes the place of an earlier backup only when it is whole and on the disk, and is readable for its
    owner alone. Raises StartError, and leaves what is there as it was.
    """
    database, target = existing(database), Path(os.path.realpath(target))
    _check_target(database, target)
    with _new_file(target) as new, connected(database) as connection:
        connection.execute("VACUUM INTO ?", (str(new),))
        files.write_through(new)
        size = new.stat().st_size
        new.replace(target)
        files.write_folder_through(target.parent)
    return size


def _check_target(database: Path, target: Path) -> None:
    """Raise StartError unless the file may be replaced: it is none yet, or a backup."""
    if target in [Path(f"{database}{end}") for end in BESIDE]:
        raise StartError(f"The file {target} is part of the database itself; {ELSEWHERE}.")
    if any(Path(f"{target}{end}").exists() for end in ("-wal", "-shm", "-journal", ".lock")):
        raise StartError(
            f"The file {target} is the database of a chatproxy, or was; {ELSEWHERE}, or remove those beside "
            "it whose names begin with its own."
        )
    file.check(target, ELSEWHERE)


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Yield an empty file beside `target`, which only its owner may read; remove it if it is still there."""
    try:
        descriptor, name = mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise StartError(
            f"The backup {target} cannot be written ({error.strerror}); see to that, or {ELSEWHERE}."
        ) from error
