"""One chatproxy for each database: a lock of PostgreSQL's, held by a connection of its own.

A second one would take the first one's unfinished answers for what a crash left behind.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from chatproxy.background import background
from chatproxy.errors import StartError
from chatproxy.store.postgres.errors import FAILURES
from chatproxy.store.postgres.pool import Raw, connect

logger: Final = logging.getLogger(__name__)

LOCK: Final = int.from_bytes(b"cprx-one")
PATIENCE: Final = 2.0  # seconds for a predecessor's connection to end
REST: Final = 0.5  # seconds between two attempts


@asynccontextmanager
async def claimed(url: str, database: str) -> AsyncIterator[None]:
    """Keep other chatproxies from opening the database while the block runs. Raises StartError."""
    connection = await connect(url)
    try:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not await _lock(connection):
            if asyncio.get_running_loop().time() > deadline:
                raise StartError(
                    f"The database {database} is in use by another chatproxy; stop that one, or name another "
                    "database in DATABASE_URL."
                )
            await asyncio.sleep(0.1)
    except BaseException:
        connection.terminate()
        raise
    async with background(_hold(url, connection), name="claim of the database"):
        yield


async def _lock(connection: Raw) -> bool:
    return bool(await connection.fetchval(f"SELECT pg_try_advisory_lock({LOCK})"))


async def _hold(url: str, connection: Raw) -> None:
    """Hold the lock until this is cancelled, and take it again whenever the connection was lost."""
    said = False
    while True:
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _, event=lost: event.set())
            if not connection.is_closed():
                await lost.wait()
        finally:
            connection.terminate()
        while connection.is_closed():
            await asyncio.sleep(REST)
            with suppress(*FAILURES):
                connection = await connect(url)
                if await _lock(connection):
                    break
                if not said:
                    logger.error("another chatproxy uses the database; stop one of them")
                    said = True
                connection.terminate()
