"""One contestant under one load: CPU per token, and how late the tokens come."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import Final

from benchmarks.contestants import Server
from benchmarks.load import Reader, Tally, read

RATE: Final = 30  # tokens per second of each stream
ENDLESS: Final = 1_000_000  # tokens: nobody waits for the end
TRIES: Final = 3  # of a level, before it counts as too much: something else may have been busy
OVERLOADED: Final = (TimeoutError, ConnectionError)


@dataclass(frozen=True)
class Sample:
    tokens: int
    share: float  # of the tokens that were due
    cpu: float  # microseconds per token
    half: float  # milliseconds late: the median
    most: float  # and the 99th percentile

    def carried(self, limit: float) -> bool:
        """Whether all tokens came, and 99 of 100 within so many milliseconds."""
        return self.most <= limit and self.share > 0.97


@dataclass(frozen=True)
class LoadedConfig:
    sample: Sample
    memory: float  # bytes per stream, beyond what the idle server has after its first answer


async def sample(server: Server, tally: Tally, seconds: float, due: float) -> Sample:
    """What happens meanwhile; `due` is how many tokens per second should come."""
    before, since = server.cpu, monotonic()
    tally.begin()
    await asyncio.sleep(seconds)
    tally.counting = False
    spent, passed = server.cpu - before, monotonic() - since
    late = sorted(tally.late) or [0]
    return Sample(
        tokens=len(tally.late),
        share=len(tally.late) / (due * passed),
        cpu=spent * 1e6 / max(1, len(tally.late)),
        half=late[len(late) // 2] / 1000,
        most=late[len(late) * 99 // 100] / 1000,
    )


def middle(samples: Sequence[Sample]) -> Sample:
    """The median of each figure."""
    names = Sample.__dataclass_fields__
    return Sample(**{name: median(getattr(each, name) for each in samples) for name in names})


@contextmanager
def dropping(readers: list[Reader]) -> Iterator[list[Reader]]:
    try:
        yield readers
    finally:
        for reader in readers:
            reader.drop()


async def under_load(server: Server, streams: int, seconds: float) -> LoadedConfig:
    """Raises OVERLOADED where not even so many start within the time."""
    idle, tally = server.memory, Tally()
    requests = await server.requests(streams, f"{RATE} {ENDLESS} 0")
    with dropping(await read(server.port, requests, tally)):
        await asyncio.sleep(seconds / 3)
        found = await sample(server, tally, seconds, streams * RATE)
        return LoadedConfig(found, (server.memory - idle) / streams)


async def first_token(server: Server) -> float:
    """Milliseconds from the request to the first token of a short answer, which is read to its end."""
    (request,) = await server.requests(1, "1000 1 0")
    (reader,) = await read(server.port, [request], Tally())
    await reader.ended
    return (reader.first - reader.asked) * 1000


async def climb(server: Server, levels: Sequence[int], seconds: float, limit: float) -> dict[int, Sample]:
    """Samples of more and more streams, up to the first at which too many are later than `limit` ms."""
    found: dict[int, Sample] = {}
    readers: list[Reader] = []
    tally = Tally()
    with dropping(readers):
        for level in levels:
            if level > server.contestant.most:
                break
            requests = await server.requests(level - len(readers), f"{RATE} {ENDLESS} 0")
            try:
                readers += await read(server.port, requests, tally)
            except OVERLOADED:
                break
            for _ in range(TRIES):
                await asyncio.sleep(seconds / 3)
                found[level] = await sample(server, tally, seconds, level * RATE)
                if found[level].carried(limit):
                    break
            else:
                break
    return found
