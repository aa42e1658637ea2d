"""Connections to PostgreSQL: made when they are needed, kept, and replaced when they break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

import asyncpg

from chatproxy.store.postgres.dialect import decoded, encoded
from chatproxy.store.postgres.errors import FAILURES, is_gone

CONNECT_TIMEOUT: Final = 5.0  # seconds
COMMAND_TIMEOUT: Final = 30.0  # seconds; nothing that a statement here does takes so long
SCHEMA: Final = "chatproxy"

# Set, because a pooler refuses them as parameters of a connection. Statements here are short: to compile
# them would take longer.
_SETTINGS: Final = (
    f"SET search_path = {SCHEMA}; SET default_transaction_isolation = 'read committed'; SET jit = off"
)

# For what is worth nothing after a crash of the server, so that no disk is waited for.
UNKEPT: Final = "SET synchronous_commit = off"

Raw: TypeAlias = asyncpg.Connection


async def connect(url: str, patience: float = COMMAND_TIMEOUT) -> Raw:
    """Open a connection, which has no settings yet; its statements take `patience` seconds at most."""
    return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT, command_timeout=patience)


async def set_up(connection: Raw) -> None:
    """Let a connection use the schema, and any text."""
    await connection.execute(_SETTINGS)
    await connection.set_type_codec("text", encoder=encoded, decoder=decoded, schema="pg_catalog")


class Pool:
    """Connections for one kind of work, at most `size` at once. Who waits for one gets it in turn.

    A connection that was cut silently says nothing: its statement fails after `patience` seconds.
    """

    def __init__(self, url: str, size: int, patience: float = COMMAND_TIMEOUT) -> None:
        self._url = url
        self._patience = patience
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Raw] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Raw]:
        """Lend a connection for a block. One that breaks there, or is left in a transaction, is closed."""
        async with self._slots:
            connection = await self._take()
            try:
                yield connection
            except BaseException as error:
                if is_gone(error):
                    connection.terminate()
                raise
            finally:
                if connection.is_closed() or connection.is_in_transaction():
                    connection.terminate()
                else:
                    self._idle.append(connection)

    async def _take(self) -> Raw:
        while self._idle:
            if not (connection := self._idle.pop()).is_closed():
                return connection
        connection = await connect(self._url, self._patience)
        try:
            await set_up(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def drop_idle(self) -> None:
        """Give up the connections that nobody has, because the server was out of reach."""
        while self._idle:
            self._idle.pop().terminate()

    async def close(self) -> None:
        """Close the connections that nobody has."""
        while self._idle:
            with suppress(*FAILURES):
                await self._idle.pop().close(timeout=1)
