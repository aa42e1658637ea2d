"""How the database file is, for `chatproxy doctor`: only looked at, also while a chatproxy has it open."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatproxy.store.file import check

NEEDED: Final = (3, 37)  # of SQLite: STRICT tables


class Health(Struct, frozen=True, kw_only=True):
    """`damage` is what SQLite's own check found, None where there is no file yet; sizes are in bytes."""

    damage: list[str] | None
    size: int
    free: int
    sqlite: str = sqlite3.sqlite_version
    sqlite_is_old: bool = sqlite3.sqlite_version_info < NEEDED


def health(path: Path) -> Health:
    """Raises StartError where a start would, and OSError where there is no such disk."""
    path = Path(os.path.realpath(path))
    check(path)
    exists = path.exists()
    folder = next(each for each in path.parents if each.exists())
    return Health(
        damage=_damage(path) if exists else None,
        size=path.stat().st_size if exists else 0,
        free=shutil.disk_usage(folder).free,
    )


def _damage(path: Path) -> list[str]:
    mode = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)) as connection:
            found = [row for (row,) in connection.execute("PRAGMA integrity_check(3)")]
    except sqlite3.Error as error:
        return [str(error)]
    return [row for row in found if row != "ok"]
