"""Copy all of a database to an empty one, in portions, and compare what has arrived.

The source is read as of one moment. What is written is one transaction: a copy that fails or is killed leaves
the target empty.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from chatproxy.errors import StartError
from chatproxy.store.database import STEP, Row
from chatproxy.store.sql import octets
from chatproxy.store.upkeep.copying.ends import TO, End, Kind, Source, Target
from chatproxy.store.upkeep.copying.files import FileSource, FileTarget
from chatproxy.store.upkeep.copying.tables import COPIED, Table

KEYS: Final = 1000  # that are read at once
_BITS: Final = 128  # of a checksum

_encode: Final = msgspec.msgpack.Encoder().encode

T = TypeVar("T")
Opening = Callable[[], AbstractAsyncContextManager[T]]
Tell = Callable[[str], None]


def _silently(line: str) -> None:
    """Tell nobody."""


class Checksum:
    """A number of rows, and what they sum up to in whichever order."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, rows: Sequence[Sequence[object]]) -> None:
        """Count rows, whose values are in the order of their columns' names."""
        self.rows += len(rows)
        for row in rows:
            self._sum += int.from_bytes(blake2b(_encode(row), digest_size=_BITS // 8).digest())

    def __str__(self) -> str:
        return f"{self._sum % 2**_BITS:0{_BITS // 4}x}"


class Copied(Struct, frozen=True, kw_only=True):
    """What was copied: the rows of each table, with a checksum.

    `streaming` answers were being written. `unreadable` texts were not UTF-8, and have U+FFFD in the copy.
    """

    tables: Mapping[str, tuple[int, str]]
    streaming: int
    unreadable: int


async def copy(
    origin: Path | str, destination: Path | str, warn: Tell = _silently, tell: Tell = _silently
) -> Copied:
    """Copy from one file or URL to another one. Raises StartError.

    `warn` is called with what has to be known before it is done, `tell` with each portion that is done.
    """
    async with AsyncExitStack() as stack:
        (open_source, _), (_, open_target) = _ends(origin), _ends(destination)
        source = await stack.enter_async_context(open_source())
        target = await stack.enter_async_context(open_target())
        await _check_is_empty(target)
        if source.in_use:
            warn(
                f"chatproxy is running with {source.name}: what it writes from now on is not copied. To "
                "move, stop it first."
            )
        await target.start_index()
        checksums = {table: await _copy(source, target, table, tell) for table in COPIED}
        await target.continue_after(
            {table: await source.highest(table) for table in COPIED if table.numbered}
        )
        for table, checksum in checksums.items():
            await _compare(target, table, checksum, tell)
        (row,) = await source.fetch("SELECT count(*) AS number FROM message WHERE status = 'streaming'")
        await target.commit()
        return Copied(
            tables={table.name: (checksum.rows, str(checksum)) for table, checksum in checksums.items()},
            streaming=int(row["number"]),
            unreadable=source.unreadable,
        )


def _ends(where: Path | str) -> tuple[Opening[Source], Opening[Target]]:
    """Return what opens a database to be read, and to be written. Raises StartError without a driver."""
    if isinstance(where, Path):
        return partial(FileSource.opened, where), partial(FileTarget.opened, where)
    from chatproxy.store.postgres import postgres_database

    postgres_database()
    from chatproxy.store.upkeep.copying.servers import ServerSource, ServerTarget

    return partial(ServerSource.opened, where), partial(ServerTarget.opened, where)


async def _check_is_empty(target: Target) -> None:
    for table in COPIED:
        if await target.fetch(f"SELECT 1 FROM {table.name} LIMIT 1"):
            raise StartError(
                f"The database {target.name} is not empty: the table {table.name} has rows; name a new "
                f"file in {TO}, or a new database (CREATE DATABASE), or drop the schema chatproxy if nobody "
                "needs it."
            )


async def _copy(source: Source, target: Target, table: Table, tell: Tell) -> Checksum:
    columns, theirs = await source.columns(table), await target.columns(table)
    flags = [name for name, kind in theirs.items() if kind is Kind.FLAG]
    checksum = Checksum()
    async for rows in _portions(source, table, columns):
        checksum.add(rows)
        given = [dict(zip(sorted(columns), row, strict=True)) for row in rows]
        for each in given:
            for name in flags:
                each[name] = bool(each[name])
        await target.insert(table, given)
        tell(f"{table.name}: {checksum.rows} rows copied")
    return checksum


async def _compare(target: Target, table: Table, expected: Checksum, tell: Tell) -> None:
    """Raise StartError unless the target has the rows that were read."""
    found = Checksum()
    async for rows in _portions(target, table, await target.columns(table)):
        found.add(rows)
        tell(f"{table.name}: {found.rows} of {expected.rows} rows compared")
    if (found.rows, str(found)) != (expected.rows, str(expected)):
        raise StartError(
            f"The table {table.name} would not be the same in {target.name}, so that nothing was copied: "
            f"{expected.rows} rows with the checksum {expected} became {found.rows} with {found}; please "
            "report this."
        )


async def _portions(end: End, table: Table, columns: Mapping[str, Kind]) -> AsyncIterator[list[list[Any]]]:
    """Yield all rows in the order of their keys: a STEP of bytes at once, unless a single row has more.

    Each is its values in the order of the columns' names, with flags as numbers.
    """
    names = sorted(columns)
    flags = [number for number, name in enumerate(names) if columns[name] is Kind.FLAG]
    key, wanted = _listed(table.key), _listed(names)
    sizes = " + ".join([_size(name, kind) for name, kind in columns.items()])
    after = f"({key}) > ({_arguments('after', table.key)})"
    until = f"({key}) <= ({_arguments('until', table.key)})"
    begun: dict[str, object] = {}
    more = True
    while more:
        follows = after if begun else "TRUE"
        keys = await end.fetch(
            f"SELECT {key}, {sizes} AS size FROM {table.name} WHERE {follows} ORDER BY {key} LIMIT {KEYS}",
            **begun,
        )
        more = len(keys) == KEYS
        for last in _cuts(keys):
            follows = after if begun else "TRUE"
            ended = {f"until_{name}": last[name] for name in table.key}
            found = await end.fetch(
                f"SELECT {wanted} FROM {table.name} WHERE {follows} AND {until}", **begun, **ended
            )
            rows = [list(row) for row in found]
            for row in rows:
                for number in flags:
                    row[number] = int(row[number])
            yield rows
            begun = {f"after_{name}": last[name] for name in table.key}


def _listed(names: Iterable[str]) -> str:
    return ", ".join([f'"{name}"' for name in names])


def _arguments(prefix: str, names: Iterable[str]) -> str:
    return ", ".join([f":{prefix}_{name}" for name in names])


def _size(name: str, kind: Kind) -> str:
    """Return how many bytes a column has, as an expression."""
    if kind is Kind.TEXT:
        return f"coalesce({octets(_listed([name]))}, 0)"
    return f"coalesce(length({_listed([name])}), 0)" if kind is Kind.BYTES else "8"


def _cuts(keys: Sequence[Row]) -> Iterator[Row]:
    """Yield the last row of each portion; `keys` are the next rows, with their sizes."""
    size = 0
    for number, row in enumerate(keys, 1):
        size += row["size"]
        following = keys[number]["size"] if number < len(keys) else STEP
        if size + following > STEP:
            yield row
            size = 0
