"""PostgreSQL as either end of a copy."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final

from chatproxy.errors import StartError
from chatproxy.store.database import Arguments, Row
from chatproxy.store.postgres.database import PostgresConnection
from chatproxy.store.postgres.errors import FAILURES, start_error
from chatproxy.store.postgres.health import health
from chatproxy.store.postgres.pool import Raw, connect, set_up
from chatproxy.store.postgres.replicas import starting
from chatproxy.store.postgres.schema import MIGRATIONS, migrate
from chatproxy.store.postgres.words import TextSearch
from chatproxy.store.search.words import create_empty
from chatproxy.store.upkeep.backup import older
from chatproxy.store.upkeep.copying.ends import FROM, TO, Kind, insertion, naming, too_old, unfit
from chatproxy.store.upkeep.copying.tables import LEFT_OUT, Table
from chatproxy.values import without_password

_KINDS: Final = {
    "text": Kind.TEXT,
    "bytea": Kind.BYTES,
    "bigint": Kind.NUMBER,
    "smallint": Kind.NUMBER,
    "double precision": Kind.NUMBER,
    "boolean": Kind.FLAG,
}
_COLUMNS: Final = """
    SELECT CAST(attname AS text) AS name, format_type(atttypid, NULL) AS type FROM pg_attribute
    WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_SEQUENCE: Final = "CAST(pg_get_serial_sequence('{table}', '{key}') AS regclass)"
_HIGHEST: Final = (
    f"SELECT greatest((SELECT max({{key}}) FROM {{table}}), pg_sequence_last_value({_SEQUENCE}), 0) AS number"
)
# Either end may wait for the other.
_PATIENTLY: Final = "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0"
_INTEGRITY: Final = "23"  # the class of the codes of broken constraints


class _Server:
    """What both ends have."""

    flag: str

    def __init__(self, name: str, raw: Raw) -> None:
        self.name = name
        self._raw = raw
        self._connection = PostgresConnection(raw)

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        with _failing(self.name, self.flag):
            return await self._connection.fetch(sql, **arguments)

    async def columns(self, table: Table) -> Mapping[str, Kind]:
        rows = await self.fetch(_COLUMNS, table=table.name)
        return {
            row["name"]: _KINDS[row["type"]] for row in rows if f"{table.name}.{row['name']}" not in LEFT_OUT
        }


class ServerSource(_Server):
    """A `Source`."""

    flag = FROM
    unreadable = 0

    def __init__(self, name: str, raw: Raw, *, in_use: bool) -> None:
        super().__init__(name, raw)
        self.in_use = in_use

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator["ServerSource"]:
        """Open a database. Raises StartError."""
        name = without_password(url)
        with _failing(name, FROM):
            found = await health(url)
            if found.version == 0:
                raise StartError(f"There is nothing of chatproxy in the database {name}; correct {FROM}.")
            if found.version < len(MIGRATIONS):
                raise older(name)
            raw = await connect(url)
        try:
            with _failing(name, FROM):
                await set_up(raw)
                await raw.execute(f"{_PATIENTLY}; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield cls(name, raw, in_use=found.is_in_use)
        finally:
            raw.terminate()

    async def highest(self, table: Table) -> int:
        """See `Source`."""
        (row,) = await self.fetch(_HIGHEST.format(table=table.name, key=table.numbered))
        return int(row["number"])


class ServerTarget(_Server):
    """A `Target`."""

    flag = TO

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator["ServerTarget"]:
        """Open a database, whose tables are made if there are none. Raises StartError."""
        name = without_password(url)
        async with AsyncExitStack() as stack:
            with _failing(name, TO):
                found = await health(url)
                if 0 < found.version < len(MIGRATIONS):
                    raise too_old(name)
                if found.is_in_use:
                    raise StartError(
                        f"The database {name} is in use by a chatproxy; stop that one, or name another in"
                        f" {TO}."
                    )
                # No other one starts meanwhile; and its end undoes what is not committed.
                raw = await stack.enter_async_context(starting(url))
                await set_up(raw)
                await migrate(raw, name)
                await raw.execute(f"{_PATIENTLY}; BEGIN")
            yield cls(name, raw)

    async def insert(self, table: Table, rows: Sequence[Arguments]) -> None:
        """See `Target`."""
        with _failing(self.name, TO):
            try:
                await self._connection.executemany(insertion(table, rows), rows)
            except FAILURES as error:
                if getattr(error, "sqlstate", "")[:2] == _INTEGRITY:
                    raise unfit(table, error) from error
                raise

    async def start_index(self) -> None:
        """See `Target`."""
        with _failing(self.name, TO):
            await self._connection.execute("DELETE FROM unindexed")
            await create_empty(self._connection, index=TextSearch(), damaged=False)

    async def continue_after(self, highest: Mapping[Table, int]) -> None:
        """See `Target`. The order of sessions comes from sequences, too."""
        for table, number in highest.items():
            if number:
                sequence = _SEQUENCE.format(table=table.name, key=table.numbered)
                await self.fetch(f"SELECT setval({sequence}, :number)", number=number)
        await self.fetch("SELECT setval('activity', max(activity)) FROM session HAVING max(activity) > 0")
        await self.fetch("SELECT setval('imported', min(activity)) FROM session HAVING min(activity) <= 0")

    async def commit(self) -> None:
        """See `Target`."""
        with _failing(self.name, TO):
            await self._raw.execute("COMMIT")


@contextmanager
def _failing(name: str, flag: str) -> Iterator[None]:
    """Raise PostgreSQL's errors as StartErrors."""
    with naming(flag):
        try:
            yield
        except (*FAILURES, ValueError) as error:
            raise start_error(name, error) from error
