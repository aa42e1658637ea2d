"""One contestant under one load: CPU per token, and the delay of the tokens."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from benchmarks.contestants import Server
from benchmarks.load import StreamReader, Tally, read

RATE: Final = 30  # tokens per second of each stream
ENDLESS: Final = 1_000_000  # tokens of an answer that is not read to its end
TRIES: Final = 3  # per level, because other programs may have been busy
OVERLOADED: Final = (TimeoutError, ConnectionError)


@dataclass(frozen=True)
class Sample:
    """A few seconds of one load."""

    tokens: int
    share: float  # of the tokens that were due
    cpu: float  # microseconds per token
    median: float  # delay in milliseconds
    p99: float  # delay in milliseconds, 99th percentile

    def is_within(self, limit: float) -> bool:
        """Return whether all tokens arrived, 99 of 100 within `limit` milliseconds."""
        return self.p99 <= limit and self.share > 0.97


@dataclass(frozen=True)
class LoadResult:
    """A sample, and what each stream costs in memory."""

    sample: Sample
    memory: float  # bytes per stream, beyond those of the idle server after its first answer


async def sample(server: Server, tally: Tally, seconds: float, due: float) -> Sample:
    """Observe a running load; `due` is the number of tokens per second that should arrive."""
    before, since = server.cpu, monotonic()
    tally.begin()
    await asyncio.sleep(seconds)
    tally.counting = False
    spent, passed = server.cpu - before, monotonic() - since
    tokens = len(tally.delays)
    delays = sorted(tally.delays) or [0]
    return Sample(
        tokens=tokens,
        share=tokens / (due * passed),
        cpu=spent * 1e6 / max(1, tokens),
        median=delays[len(delays) // 2] / 1000,
        p99=delays[len(delays) * 99 // 100] / 1000,
    )


@contextmanager
def dropping(readers: list[StreamReader]) -> Iterator[list[StreamReader]]:
    """Close the readers' connections when the block ends."""
    try:
        yield readers
    finally:
        for reader in readers:
            reader.drop()


async def under_load(server: Server, streams: int, seconds: float) -> LoadResult:
    """Measure that many streams. Raises OVERLOADED if they do not all start within the time limit."""
    idle, tally = server.memory, Tally()
    requests = await server.requests(streams, f"{RATE} {ENDLESS} 0")
    with dropping(await read(server.port, requests, tally)):
        await asyncio.sleep(seconds / 3)
        found = await sample(server, tally, seconds, streams * RATE)
        return LoadResult(found, (server.memory - idle) / streams)


async def first_token(server: Server) -> float:
    """Return the milliseconds from request to first token of a short answer, and read it to its end."""
    (request,) = await server.requests(1, "1000 1 0")
    (reader,) = await read(server.port, [request], Tally())
    await reader.ended
    return (reader.first - reader.asked) * 1000


async def climb(server: Server, levels: Sequence[int], seconds: float, limit: float) -> dict[int, Sample]:
    """Return samples by number of streams, up to the first level that is not within `limit` ms."""
    found: dict[int, Sample] = {}
    readers: list[StreamReader] = []
    tally = Tally()
    with dropping(readers):
        for level in levels:
            if level > server.contestant.max_streams:
                break
            requests = await server.requests(level - len(readers), f"{RATE} {ENDLESS} 0")
            try:
                readers += await read(server.port, requests, tally)
            except OVERLOADED:
                break
            for _ in range(TRIES):
                await asyncio.sleep(seconds / 3)
                found[level] = await sample(server, tally, seconds, level * RATE)
                if found[level].is_within(limit):
                    break
            else:
                break
    return found
