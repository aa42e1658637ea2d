"""The database file: claimed for one process before SQLite opens it, and examined for `chatproxy doctor`."""

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from errno import ENOTDIR
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatproxy.errors import StartError
from chatproxy.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS
from chatproxy.store.sqlite.writer import is_damage
from chatproxy.system.files import PRIVATE, is_of_another

INDEX: Final = "words"  # the FTS5 table, which `store/search/words` keeps
ELSEWHERE: Final = "name another file in DATABASE_URL"
MOST_LINES: Final = 3  # of what SQLite says about damage
EVERYTHING: Final = "1000000"  # `integrity_check` takes a table or a number of lines
_SOUND: Final = re.compile(r"ok|\*\*\* in database main \*\*\*|Page \d+(: | is )never used")
_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT GLOB ?"
OLDEST_SQLITE: Final = (3, 37)  # the first with STRICT tables


class InUseError(StartError):
    """Another chatproxy has the file open."""


@contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """Yield the file's real path, and keep other chatproxy processes from opening it while the block runs.

    Creates the folder and locks `<path>.lock`, an empty database: SQLite has locks on every system. It is
    never removed, because two processes could then each lock their own. Raises StartError if the file cannot
    be used.
    """
    path = Path(os.path.realpath(path))
    with _locked(path):
        index = Path(f"{path}-shm")
        indexed = index.exists()
        try:
            check(path)
        finally:
            # Reading a log that a crash left creates an index, which is only ours while the lock is held.
            if not indexed:
                index.unlink(missing_ok=True)
        _make_private(path)
        yield path


def _locked(path: Path) -> closing[sqlite3.Connection]:
    """Hold a database's lock during the block. Closing any other descriptor of that file would drop it."""
    lock = Path(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create_private(lock)
        connection = sqlite3.connect(lock, timeout=0, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = OFF")  # which would be a file, too
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise InUseError(
                f"The database {path} is in use by another chatproxy; stop that one, or {ELSEWHERE}."
            ) from error
        raise _unusable_folder(path, getattr(error, "strerror", error)) from error
    return closing(connection)


def of_the_demo(path: Path) -> Path:
    """Return the file beside a database in which a demo keeps its talk."""
    return path.with_stem(f"{path.stem}-demo")


def is_in_use(path: Path) -> bool:
    """Return whether a chatproxy has the database open. Changes nothing."""
    lock = Path(f"{os.path.realpath(path)}.lock")
    try:
        with closing(sqlite3.connect(f"{lock.as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:  # such as that there is no such file
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
    return False


def _unusable_folder(path: Path, reason: object) -> StartError:
    return StartError(
        f"The folder of the database {path} cannot be used ({reason}); make it writable, or {ELSEWHERE}."
    )


def _create_private(path: Path) -> None:
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE))


def _make_private(path: Path) -> None:
    """Let only the owner open the database and the files beside it; create the database if need be.

    SQLite gives its log and index the mode of the database. A file of another user stays as it is.
    """
    with suppress(OSError):  # SQLite will say why it cannot be created
        _create_private(path)
    for each in (path, *(Path(f"{path}{suffix}") for suffix in ("-wal", "-shm", ".lock"))):
        # File systems without modes refuse to change them.
        with suppress(OSError):
            if not is_of_another(each.stat()):
                each.chmod(PRIVATE)


def check(path: Path, elsewhere: str = ELSEWHERE) -> None:
    """Raise StartError unless the file is absent, empty, or a database of this program. Changes nothing.

    `elsewhere` says what to do instead of using it.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise StartError(f"The database {path} is not a file; {elsewhere}.")
    if not os.access(path, os.R_OK | os.W_OK):
        raise StartError(
            f"The database {path} cannot be read and written; change its permissions, or {elsewhere}."
        )
    try:
        application_id, version, tables = _header(path)
    except sqlite3.Error as error:
        raise StartError(
            f"The file {path} is not a database that can be read ({error}); {elsewhere}."
        ) from error
    if application_id != APPLICATION_ID and (application_id or version or tables):
        raise StartError(f"The database {path} belongs to another program; {elsewhere}.")
    if version > len(MIGRATIONS):
        raise StartError(
            f"The database {path} was written by a newer chatproxy; start that version, or {elsewhere}."
        )


def _header(path: Path) -> tuple[int, int, int]:
    """Return the application id, the user version and the number of tables."""
    if path.stat().st_size == 1:  # SQLite would take it for an empty file
        raise sqlite3.DatabaseError("file is not a database")
    with read_only(path) as connection:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return application_id, version, tables


def read_only(path: Path) -> closing[sqlite3.Connection]:
    """Open a database without changing it.

    Without a write-ahead log, `immutable` keeps SQLite from creating files beside it. A log that a crash left
    is part of the content, and SQLite needs an index to read it.
    """
    mode = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    return closing(sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True))


class Health(Struct, frozen=True, kw_only=True):
    """The state of a database file; sizes are in bytes.

    `damage` is what SQLite's own check found: empty if the file is sound, None if there is no file yet. If
    only the index for searches is damaged, `index_is_damaged` says so instead. A file that `is_in_use` is
    open in a chatproxy.
    """

    damage: list[str] | None
    index_is_damaged: bool
    is_in_use: bool
    size: int
    free: int
    sqlite: str = sqlite3.sqlite_version
    sqlite_is_old: bool = sqlite3.sqlite_version_info < OLDEST_SQLITE


def health(path: Path) -> Health:
    """Examine the file without changing it, even while a chatproxy has it open.

    Raises StartError where a start would, and OSError if the disk cannot be examined.
    """
    path = Path(os.path.realpath(path))
    check(path)
    exists = path.exists()
    folder = next(each for each in path.parents if each.exists())
    if not folder.is_dir():
        raise _unusable_folder(path, os.strerror(ENOTDIR))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unusable_folder(path, "it is read-only")
    damage, index_is_damaged = _damage(path) if exists else (None, False)
    return Health(
        damage=damage,
        index_is_damaged=index_is_damaged,
        is_in_use=is_in_use(path),
        size=path.stat().st_size if exists else 0,
        free=shutil.disk_usage(folder).free,
    )


def _damage(path: Path) -> tuple[list[str], bool]:
    """Return what is damaged but the index for searches, and whether that is."""
    try:
        with read_only(path) as connection:
            if not _index_is_damaged(connection):
                return _check(connection, EVERYTHING), False
            tables = connection.execute(_TABLES, (f"{INDEX}_*",)).fetchall()
            return [line for (table,) in tables for line in _check(connection, table)][:MOST_LINES], True
    except sqlite3.Error as error:
        return [str(error)], False


def _check(connection: sqlite3.Connection, what: str) -> list[str]:
    """Check a table or the whole file, where pages that a damaged index has left behind are no damage."""
    try:
        rows = connection.execute(f"PRAGMA integrity_check({what})").fetchall()
    except sqlite3.Error as error:
        return [str(error)]
    return [line for (text,) in rows for line in text.splitlines() if not _SOUND.fullmatch(line)][:MOST_LINES]


def index_is_damaged(path: Path) -> bool:
    """Return whether the index for searches is damaged, after reading it as a whole. Changes nothing."""
    with read_only(path) as connection:
        return _index_is_damaged(connection)


def _index_is_damaged(connection: sqlite3.Connection) -> bool:
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (INDEX,)).fetchone():
        return False  # an earlier version wrote the file
    try:
        for suffix in ("data", "idx", "config"):
            if connection.execute(f"PRAGMA integrity_check({INDEX}_{suffix})").fetchone() != ("ok",):
                return True
        connection.execute(f"CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, {INDEX}, row)")
        connection.execute("SELECT count(*) FROM temp.vocabulary").fetchone()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return True
    return False
