"""Replicas on PostgreSQL: what it costs that answers of one are read at another, and how much later that is.

The owner of the answers has the proxy's core. The other replica and PostgreSQL may use all, as they would be
elsewhere. Each database has a server of its own, so that it is known what that takes.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from benchmarks.speed import measure
from benchmarks.speed.contestants import CHECKOUT, DIRECT, chatproxy, one_more, running
from benchmarks.speed.load import open_all
from benchmarks.speed.measure import Bench, Load, percent
from benchmarks.speed.rounds import Rounds, Sample, Unmeasured

if TYPE_CHECKING:
    from postgres import Server

SQLITE: Final = "SQLite"
POSTGRES: Final = "PostgreSQL"
NONE_FOLLOWED: Final = "A, none followed"
ALL_FOLLOWED: Final = "A, all followed"
DATABASE: Final = "chat"
SETTINGS: Final = ("fsync = on", "synchronous_commit = on", "full_page_writes = on", "autovacuum = off")


def missing() -> str | None:
    """Return what has to be installed for these figures."""
    if find_spec("asyncpg") is None:
        return "asyncpg"
    sys.path.insert(0, str(CHECKOUT / "tests" / "support"))
    import postgres

    return None if postgres.programs() else "PostgreSQL's server"


async def sends(bench: Bench, number: int) -> Rounds:
    """Measure short answers, one at a time, of one chatproxy on each database."""
    async with _server(bench) as server:
        beside = [DIRECT, chatproxy(SQLITE), chatproxy(POSTGRES, server.url(DATABASE))]
        return await measure.sends(replace(bench, contestants=beside), number)


async def tokens(bench: Bench, streams: int, rate: float) -> Rounds:
    """Measure tokens of answers that have begun, without and with another replica, where others read them."""
    async with AsyncExitStack() as stack:
        loads = await stack.enter_async_context(bench.loads([chatproxy(SQLITE)], streams, rate))
        for name in (POSTGRES, NONE_FOLLOWED, ALL_FOLLOWED):
            server = await stack.enter_async_context(_server(bench))
            database = server.url(DATABASE)
            owner = bench.loads([chatproxy(name, database)], streams, rate)
            loads |= await stack.enter_async_context(owner)
            loads[name].others["postgres"] = _pid(server)
            if name != POSTGRES:
                other = chatproxy("B", database)
                b = await stack.enter_async_context(running(other, _everywhere(bench)))
                assert b.pid is not None
                loads[name].others["b"] = b.pid
        followed = loads[ALL_FOLLOWED]
        again = [each for each in map(one_more, followed.readers) if each]
        for reader in await open_all(b.port, again, followed.copies):
            stack.callback(reader.drop)
        return await bench.turns(_turn, loads)


async def _turn(load: Load) -> Sample:
    found = await load.turn()
    if load.server.name == ALL_FOLLOWED:
        at_owner = dict(zip(load.tally.stamps, load.tally.delays, strict=True))
        at_other = zip(load.copies.stamps, load.copies.delays, strict=True)
        later = [delay - at_owner[stamp] for stamp, delay in at_other if stamp in at_owner]
        if (share := len(later) / len(at_owner)) < 0.9:
            raise Unmeasured(f"{share:.0%} of the tokens arrived at B")
        found |= {"later": percent(later, 50) / 1000, "later99": percent(later, 99) / 1000}
    return found


@asynccontextmanager
async def _server(bench: Bench) -> AsyncIterator["Server"]:
    """Run a server with an empty database."""
    import postgres

    with TemporaryDirectory(prefix="bench") as folder:
        server = postgres.Server(Path(folder) / "server")
        await asyncio.to_thread(_start, server, _everywhere(bench))
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)


def _start(server: "Server", cores: set[int]) -> None:
    server.folder.parent.chmod(0o755)  # it does not run as root
    server.create()
    with (server.folder / "data" / "postgresql.conf").open("a") as file:
        file.write("\n".join(SETTINGS) + "\n")
    server.start()
    os.sched_setaffinity(_pid(server), cores)
    server.psql(f"CREATE DATABASE {DATABASE}")


def _pid(server: "Server") -> int:
    return int((server.folder / "data" / "postmaster.pid").read_text().split()[0])


def _everywhere(bench: Bench) -> set[int]:
    return bench.cores | os.sched_getaffinity(0)
