"""The replicas that share a database, each of which shows by a row that it lives.

What a replica writes is nobody's once its row is gone: it says goodbye, or is taken for dead by another one
that has heard nothing of it for DEAD_AFTER seconds, by the database's clock. Only who could reach the
database for all of that time may do so, so that a database that was away kills nobody. Who finds its row gone
was taken for dead: what it wrote is ended, and cannot be ended again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Final

from msgspec import Struct

from chatproxy.store.database import Database, Unit, to_json
from chatproxy.store.postgres.errors import FAILURES, chat_error
from chatproxy.store.postgres.pool import SCHEMA, UNKEPT, Raw, connect
from chatproxy.store.postgres.schema import LOCK

SIGN_EVERY: Final = 1.0  # seconds
SIGN_WITHIN: Final = 2.0  # seconds that a sign may take
DEAD_AFTER: Final = 5.0  # seconds
STARTS_WITHIN: Final = 60.0  # seconds that a start waits for others

IS_LATE: Final = f"clock_timestamp() - seen > interval '{DEAD_AFTER} seconds'"
# There is a row of the same id if nobody heard that the first attempt was committed. Who begins leaves those
# of others alone, however late they are: the database may have been away.
_ENTER: Final = f"""
    INSERT INTO {SCHEMA}.replica (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET seen = clock_timestamp()
"""
_LOOK: Final = f"""
    WITH sign AS (UPDATE {SCHEMA}.replica SET seen = clock_timestamp() WHERE id = $1)
    SELECT id, {IS_LATE} AS is_late FROM {SCHEMA}.replica ORDER BY number
"""
_BURY: Final = f"DELETE FROM replica WHERE id = :id AND {IS_LATE} RETURNING id"
_LEAVE: Final = f"DELETE FROM {SCHEMA}.replica WHERE id = $1"
_ACTIVE: Final = """
    SELECT session.id AS session, max(message.id) AS message
    FROM message JOIN session ON session.key = message.session
    WHERE status = 'streaming' AND session.id IN (SELECT value FROM json_each(:ids)) GROUP BY session.id
"""


class Look(Struct, frozen=True):
    """The replicas as they are: `living`, the oldest first, and those that may be `late`.

    `was_lost` says that this one was taken for dead.
    """

    living: Sequence[int]
    late: Sequence[int]
    was_lost: bool


@asynccontextmanager
async def starting(url: str) -> AsyncIterator[Raw]:
    """Give the block a connection, and let no other replica start, or come back, while it runs."""
    connection = await connect(url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({LOCK})", timeout=STARTS_WITHIN)
        yield connection
    finally:
        connection.terminate()


class Replicas:
    """What one replica tells, and knows, of all."""

    def __init__(self, url: str, me: int, database: Database, lost: Callable[[], None]) -> None:
        """Have `lost` called whenever the database cannot be reached."""
        self.me = me
        self._lost = lost
        self._url = url
        self._database = database
        self._connection: Raw | None = None
        self._heard_since = monotonic()  # since when the database has answered each time
        self._heard_at = monotonic()
        self._has_entered = False

    async def enter(self, connection: Raw) -> None:
        """Begin to live. Raises PostgreSQL's errors."""
        await connection.execute(_ENTER, self.me)
        self._has_entered = True

    async def leave(self) -> None:
        """Say goodbye, so that nobody waits for this one. What it has not ended is nobody's then."""
        if self._has_entered:
            with suppress(*FAILURES):
                async with asyncio.timeout(SIGN_WITHIN):
                    await (await self._connected()).execute(_LEAVE, self.me)
            self._has_entered = False
        self._give_up()

    async def look(self) -> Look | None:
        """Show that this one lives, and return who does; None if the database cannot be reached."""
        try:
            async with asyncio.timeout(SIGN_WITHIN):
                rows = await (await self._connected()).fetch(_LOOK, self.me)
        except FAILURES:
            self._give_up()
            self._lost()
            return None
        now = monotonic()
        if now - self._heard_at > SIGN_EVERY + SIGN_WITHIN:
            self._heard_since = now
        self._heard_at = now
        may_judge = now - self._heard_since >= DEAD_AFTER
        others = [(row["id"], row["is_late"] and row["id"] != self.me) for row in rows]
        return Look(
            living=[id for id, is_late in others if not (is_late and may_judge)],
            late=[id for id, is_late in others if is_late and may_judge],
            was_lost=self.me not in [id for id, _ in others],
        )

    async def bury(self, replica: int) -> bool:
        """Take a replica for dead; return False if it has given a sign, or another one did so first."""
        return bool(await self._database.write(_BURY, id=replica))

    async def come_back(self, *, end: Unit[bool]) -> None:
        """Live again, as the youngest, once what this one was writing is ended."""
        try:
            async with starting(self._url) as connection:
                await self.end_all(end)
                await self.enter(connection)
        except FAILURES as error:
            raise chat_error(error) from error

    async def end_all(self, end: Unit[bool]) -> None:
        """End what is nobody's."""
        while await self._database.run(end):
            pass

    async def active(self, session_ids: Iterable[str]) -> Mapping[str, int]:
        """Return the answers that are being written in some sessions, by session."""
        rows = await self._database.fetch(_ACTIVE, ids=to_json([*session_ids]))
        return {row["session"]: row["message"] for row in rows}

    async def _connected(self) -> Raw:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url)
            await self._connection.execute(UNKEPT)
        return self._connection

    def _give_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
