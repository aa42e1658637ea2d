"""What the two ends of a copy have to do; `files` and `servers` do it.

Each raises its errors as StartErrors, whose sentences name the flag that says where the end is.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Final, Protocol

from chatproxy.errors import StartError
from chatproxy.store.database import Arguments, Row
from chatproxy.store.upkeep.copying.tables import Table

FROM: Final = "--from"
TO: Final = "--to"


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    BYTES = "bytes"
    NUMBER = "number"
    FLAG = "flag"  # in PostgreSQL; a number in SQLite


class End(Protocol):
    """A database of this version, within one transaction.

    `name` is its path, or its URL without a password.
    """

    name: str

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query."""

    async def columns(self, table: Table) -> Mapping[str, Kind]:
        """Return a table's columns."""


class Source(End, Protocol):
    """The end that is read, as of one moment.

    `in_use` is whether a chatproxy has it open; `unreadable` counts the texts that were not UTF-8 until now.
    """

    in_use: bool
    unreadable: int

    async def highest(self, table: Table) -> int:
        """Return the highest id that a numbered table ever had; 0: none."""


class Target(End, Protocol):
    """The end that is written. Nothing is kept unless `commit` returns."""

    async def insert(self, table: Table, rows: Sequence[Arguments]) -> None:
        """Insert rows, which all have the same columns."""

    async def start_index(self) -> None:
        """Put an empty index of words in place. Texts that are inserted afterwards are noted for it."""

    async def continue_after(self, highest: Mapping[Table, int]) -> None:
        """Let ids go on after these, once all rows are there."""

    async def commit(self) -> None:
        """Keep everything."""


@contextmanager
def naming(flag: str) -> Iterator[None]:
    """Name that flag in the errors of a block, instead of the setting."""
    try:
        yield
    except StartError as error:
        raise StartError(str(error).replace("DATABASE_URL", flag)) from error


def too_old(name: object) -> StartError:
    """Return the error for a target that has yet to be migrated."""
    return StartError(f"The database {name} was written by an older chatproxy; name an empty one in {TO}.")


def insertion(table: Table, rows: Sequence[Arguments]) -> str:
    """Return the statement that inserts rows with the columns of the first one."""
    names = ", ".join([f'"{name}"' for name in rows[0]])
    values = ", ".join([f":{name}" for name in rows[0]])
    return f"INSERT INTO {table.name} ({names}) VALUES ({values})"


def unfit(table: Table, error: Exception) -> StartError:
    """Return the error for rows that break a rule which every chatproxy keeps."""
    reason = str(error).partition("\n")[0]
    return StartError(
        f"The table {table.name} in {FROM} has a row that belongs to nothing ({reason}); run "
        "`chatproxy check` for that database, and copy the last backup that is sound."
    )
