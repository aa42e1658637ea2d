"""What happens to the cluster, one thing after the other, and sometimes two at once."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Final

import asyncpg
from waiting import until

from faults.cluster.people import Found
from faults.cluster.place import Cluster, Replica

AWAY: Final = (*(asyncpg.PostgresError, asyncpg.InterfaceError), OSError)
DEAD_WITHIN: Final = 7.0  # seconds until the answers of a dead replica are ended
QUIET: Final = 6.5  # seconds with PostgreSQL there, after which replicas may take each other for dead
FEW: Final = 30.0  # seconds
STOPPED: Final = 8.0  # seconds
END: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < $1::double precision
"""


class Chaos:
    def __init__(self, cluster: Cluster, found: Found, chance: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self.ended: list[float] = []  # seconds until a dead replica's answers were
        self._cluster = cluster
        self._found = found
        self._chance = chance
        self._whole_since = monotonic()  # since when nothing is broken

    async def run(self, seconds: float) -> None:
        """Do it all, in rounds of a random order, for about so long; or a few once, if that is little."""
        end = monotonic() + seconds
        ways: list[Callable[[], Awaitable[None]]] = [
            self._kill_a_replica,
            self._kill_the_server,
            self._end_connections,
            self._cut,
        ]
        if seconds > FEW:
            ways += [
                self._kill_a_replica,
                self._restart_the_server,
                self._hold,
                self._stop_a_replica,
                self._two_at_once,
            ]
        while monotonic() < end:
            for way in self._chance.sample(ways, len(ways)):
                await asyncio.sleep(self._chance.uniform(0.3, 1.5))
                await way()
                if way not in (self._kill_a_replica, self._stop_a_replica):
                    self._whole_since = monotonic()
                if seconds > FEW and monotonic() > end:
                    return

    async def _be_quiet(self) -> None:
        """Let PostgreSQL be there for so long that replicas may take each other for dead."""
        await asyncio.sleep(max(0.0, self._whole_since + QUIET - monotonic()))

    def _replica(self) -> Replica:
        return self._chance.choice([each for each in self._cluster.replicas if each.process is not None])

    # -- replicas

    async def _kill_a_replica(self) -> None:
        """Kill one, with nothing else broken, and start it again before or after it is taken for dead."""
        await self._be_quiet()
        self.done["replicas killed"] += 1
        replica = self._replica()
        before = await self._cluster.living()
        await replica.kill()
        killed = monotonic()
        ends = asyncio.create_task(self._ends(before, killed))
        await asyncio.sleep(self._chance.uniform(0, 6))
        await replica.start()
        await ends

    async def _stop_a_replica(self) -> None:
        """Let one stand still for so long that it is taken for dead."""
        await self._be_quiet()
        self.done["replicas stopped for 8 s"] += 1
        replica = self._replica()
        before = await self._cluster.living()
        replica.pause()
        stopped = monotonic()
        try:
            await self._ends(before, stopped)
            await asyncio.sleep(stopped + STOPPED - monotonic())
        finally:
            replica.go_on()

    async def _ends(self, before: set[int], died: float) -> None:
        """Wait until one of the replicas is dead for the others, and all that it wrote has ended."""
        gone: set[int] = set()
        with suppress(TimeoutError):
            async with asyncio.timeout(DEAD_WITHIN + 8):
                while not gone:
                    await asyncio.sleep(0.05)
                    gone = before - await self._cluster.living()
                await until(lambda: self._none_streams(gone), DEAD_WITHIN + 8)
        seconds = monotonic() - died
        self.ended.append(seconds)
        if seconds > DEAD_WITHIN:
            self._found.note("ended late", f"{seconds:.1f} s")

    async def _none_streams(self, replicas: set[int]) -> bool:
        return not replicas & (await self._cluster.streaming()).keys()

    # -- PostgreSQL

    async def _kill_the_server(self) -> None:
        self.done["PostgreSQL killed"] += 1
        await asyncio.to_thread(self._cluster.server.kill)
        await asyncio.sleep(self._chance.choice((0.2, 1.0, 3.0, 4.0)))
        await self._cluster.start_server()

    async def _restart_the_server(self) -> None:
        self.done["PostgreSQL restarted"] += 1
        await asyncio.to_thread(self._cluster.server.stop, "fast")
        await self._cluster.start_server()

    async def _end_connections(self) -> None:
        for _ in range(4):
            with suppress(*AWAY):
                ended = await self._cluster.sql(END, self._chance.choice((0.3, 1.0)))
                self.done["connections ended"] += len(ended)
            await asyncio.sleep(self._chance.uniform(0.1, 0.6))

    async def _cut(self) -> None:
        self.done["a replica cut off for a moment"] += 1
        for _ in range(3):
            self._cluster.wire.cut()
            await asyncio.sleep(self._chance.uniform(0.1, 0.4))

    async def _hold(self) -> None:
        self.done["a replica cut off for up to 8 s"] += 1
        self._cluster.wire.hold()
        await asyncio.sleep(self._chance.choice((1, 3, 8)))
        if self._chance.random() < 0.5:
            self._cluster.wire.cut()
        self._cluster.wire.go_on()

    async def _two_at_once(self) -> None:
        """Kill a replica in the middle of something else."""
        self.done["replicas killed meanwhile"] += 1
        others = (self._kill_the_server, self._restart_the_server, self._end_connections, self._hold)
        other = asyncio.create_task(self._chance.choice(others)())
        await asyncio.sleep(self._chance.uniform(0, 1))
        replica = self._replica()
        await replica.kill()
        await asyncio.sleep(self._chance.uniform(0, 2))
        await asyncio.gather(other, replica.start())


async def settled(cluster: Cluster, found: Found) -> None:
    """Wait until nothing is being written, as nobody asks for anything."""

    async def nothing() -> bool:
        return not await cluster.streaming()

    with suppress(TimeoutError):
        await until(nothing, 15)
    for replica, answers in (await cluster.streaming()).items():
        for answer in answers:
            found.note("left streaming", (replica, answer))
    for row in await cluster.sql("SELECT DISTINCT message FROM chatproxy.piece"):
        found.note("pieces left", row["message"])
