"""What is measured: in each function the contestants take turns, and it returns what these gave.

Times are in milliseconds, CPU per token in microseconds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from time import monotonic
from typing import Final, Self, TypeVar

from benchmarks.machine import cpu_seconds
from benchmarks.speed.contestants import Contestant, Server, one_more, running
from benchmarks.speed.load import StreamReader, Tally, open_all, open_one
from benchmarks.speed.rounds import Rounds, Sample, Unmeasured, by_turns

ENDLESS: Final = 1_000_000  # tokens of an answer that is not read to its end
ANSWER: Final = 180  # tokens of one that is
PAUSE: Final = 0.02  # seconds before a send: a person's is not the next thing that the server does
PROMPT: Final = 30  # milliseconds that a small model takes for a short prompt
PATIENCE: Final = 10.0  # seconds for sends to be answered
STEADY: Final = 30  # tokens per second
FEW: Final = 3  # rounds of what hardly differs

T = TypeVar("T")


@dataclass(frozen=True)
class Bench:
    """Who is compared, on which cores, and for how long."""

    contestants: Sequence[Contestant]
    cores: set[int]
    rounds: int
    seconds: float  # of tokens in a turn
    size: float = 1.0  # of each load: a fraction to try everything out

    @property
    def proxies(self) -> list[Contestant]:
        """Those that have a process."""
        return [each for each in self.contestants if each.command]

    @property
    def settling(self) -> float:
        """Seconds of a load that do not count, and of silence after it."""
        return self.seconds / 4

    def some(self, number: int) -> int:
        """Return a number of streams or sends in the size of this run."""
        return max(2, int(number * self.size))

    @asynccontextmanager
    async def loads(
        self, contestants: Sequence[Contestant], streams: int = 0, rate: float = STEADY
    ) -> AsyncIterator[dict[str, "Load"]]:
        """Run the contestants until the block ends, all at once, each with so many streams."""
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(running(each, self.cores)) for each in contestants]
            loads = {each.name: stack.enter_context(Load(self, each, rate)) for each in servers}
            for load in loads.values() if streams else []:
                await load.open(self.some(streams))
            yield loads

    async def turns(self, turn: Callable[[T], Awaitable[Sample]], each: Mapping[str, T]) -> Rounds:
        """Let each have its turns."""
        return await by_turns(self.rounds, {name: partial(turn, of) for name, of in each.items()})


class Load:
    """The streams of one contestant."""

    def __init__(self, bench: Bench, server: Server, rate: float) -> None:
        self.server = server
        self.readers: list[StreamReader] = []
        self.tally = Tally()
        self.copies = Tally()  # of those who read the same from another replica
        self.others: dict[str, int] = {}  # processes whose CPU is told, too, by its key in the sample
        self._rate = rate
        self._bench = bench
        self._keepers: list[asyncio.Task[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        for reader in self.readers:
            reader.drop()

    async def open(self, streams: int, tokens: int = ENDLESS) -> None:
        """Add streams."""
        await self.ask(await self.server.requests(streams, tokens))

    async def ask(self, requests: Sequence[bytes]) -> None:
        """Add the streams that answer these requests."""
        self.readers += await open_all(self.server.port, requests, self.tally)

    async def open_answers(self, streams: int) -> None:
        """Add streams that are asked for again whenever an answer is over, each at another time."""
        for number, again in enumerate(await self.server.requests(streams, ANSWER)):
            await self.open(1, 2 + ANSWER * number // streams)
            self._keepers.append(asyncio.create_task(self._keep(self.readers[-1], again)))

    async def _keep(self, reader: StreamReader, request: bytes) -> None:
        while True:
            await reader.ended
            reader = await open_one(self.server.port, request, self.tally)

    async def turn(self) -> Sample:
        """Let the tokens come, and return CPU per token, and the tokens' delay."""
        with self.server.ollama.flowing(self._rate):
            await asyncio.sleep(self._bench.settling)
            before, since = self._cpu, monotonic()
            self.tally.begin()
            self.copies.begin()
            await asyncio.sleep(self._bench.seconds)
            self.tally.counting = self.copies.counting = False
            after, passed = self._cpu, monotonic() - since
        await asyncio.sleep(self._bench.settling)
        delays = self.tally.delays
        if (share := len(delays) / (passed * self._rate * len(self.readers))) < 0.95:
            raise Unmeasured(f"{share:.0%} of the tokens arrived")
        spent = {key: (after[key] - before[key]) * 1e6 / len(delays) for key in after}
        return spent | {"median": percent(delays, 50) / 1000, "p99": percent(delays, 99) / 1000}

    @property
    def _cpu(self) -> dict[str, float]:
        """CPU seconds used so far, by key."""
        return {"cpu": self.server.cpu} | {key: cpu_seconds(pid) for key, pid in self.others.items()}

    async def send(self, request: bytes, pause: float = 0) -> StreamReader:
        """Send a request after a pause, and read the answer to its end."""
        await asyncio.sleep(pause)
        reader = await open_one(self.server.port, request, Tally())
        await reader.ended
        return reader


async def tokens(bench: Bench, streams: int, rate: float) -> Rounds:
    """Measure tokens of answers that have begun."""
    async with bench.loads(bench.contestants, streams, rate) as loads:
        return await bench.turns(Load.turn, loads)


async def answers(bench: Bench, streams: int) -> Rounds:
    """Measure answers that are asked for, read to their end and closed, and beside them tokens of others."""

    async def turn(load: Load) -> Sample:
        found, others = await load.turn(), await begun[load.server.name].turn()
        ends = (found["cpu"] - others["cpu"]) * ANSWER / 1000
        return found | {"answer": found["cpu"] * ANSWER / 1000, "ends": ends}

    async with bench.loads(bench.proxies) as loads, bench.loads(bench.proxies, streams) as begun:
        for load in loads.values():
            await load.open_answers(bench.some(streams))
        return await bench.turns(turn, loads)


async def readers(bench: Bench, streams: int, more: int) -> Rounds:
    """Measure what each further reader of an answer adds to the CPU of its tokens."""

    async def turn(load: Load) -> Sample:
        found, single = await load.turn(), await alone[load.server.name].turn()
        return single | {"further": (found["cpu"] * (1 + more) - single["cpu"]) / more}

    proxies = bench.proxies
    async with bench.loads(proxies, streams) as loads, bench.loads(proxies, streams) as alone:
        shared = {}
        for name, load in loads.items():
            if again := [each for each in map(one_more, load.readers) if each]:
                await load.ask(again * more)
                shared[name] = load
        return await bench.turns(turn, shared)


async def sends(bench: Bench, number: int, streams: int = 0) -> Rounds:
    """Measure short answers, one at a time, beside other streams: a while after each other, then at once."""

    async def turn(load: Load) -> Sample:
        spaced, prompted, together = [
            await load.server.requests(bench.some(number), 1, prompt) for prompt in (0, PROMPT, 0)
        ]
        with load.server.ollama.flowing(STEADY):
            await asyncio.sleep(bench.settling)
            cpu = [load.server.cpu]
            apart = [await load.send(request, PAUSE) for request in spaced]
            cpu.append(load.server.cpu)
            for request in together:
                await load.send(request)
            cpu.append(load.server.cpu)
            late = [await load.send(request, PAUSE) for request in prompted]
        return {
            "cpu": (cpu[1] - cpu[0]) * 1000 / len(spaced),
            "together": (cpu[2] - cpu[1]) * 1000 / len(together),
            "asked": median(each.reached - each.asked for each in apart) * 1000,
            "first": median(each.first - each.asked for each in apart) * 1000,
            "prompted": median(each.first - each.asked for each in late) * 1000,
        }

    async with bench.loads(bench.contestants, streams) as loads:
        return await bench.turns(turn, loads)


async def open_loop(bench: Bench, rate: int, seconds: float, streams: int = 0) -> Rounds:
    """Measure so many sends a second, whether those before are answered or not, beside other streams."""

    async def turn(load: Load) -> Sample:
        requests = await load.server.requests(bench.some(int(rate * seconds)), 1)
        asked = []
        with load.server.ollama.flowing(STEADY):
            await asyncio.sleep(bench.settling)
            before, since = load.server.cpu, monotonic()
            load.tally.begin()
            for number, request in enumerate(requests):
                await asyncio.sleep(since + number / rate - monotonic())
                asked.append(asyncio.create_task(load.send(request)))
            over, late = await asyncio.wait(asked, timeout=PATIENCE)
            load.tally.counting = False
        passed, spent = monotonic() - since, load.server.cpu - before
        for each in late:
            each.cancel()
        read = [each.result() for each in over if not each.exception()]
        waited = [each.first - each.asked for each in read if each.status == 200]
        refused = sum(each.is_refusal for each in read)
        return {
            "achieved": len(waited) / passed,
            "done": passed,
            "answered": len(waited),
            "refused": refused,
            "failed": len(requests) - len(waited) - refused,
            "first": percent(waited, 50) * 1000,
            "first99": percent(waited, 99) * 1000,
            "cpu": spent * 1000 / len(requests),
            "p99": percent(load.tally.delays, 99) / 1000,
        }

    async with bench.loads(bench.proxies, streams) as loads:
        return await bench.turns(turn, loads)


async def memory(bench: Bench, fewer: int, many: int, rate: float) -> Rounds:
    """Measure what streams take, in KiB: each further one, and each of many."""
    fewer, many = bench.some(fewer), bench.some(many)

    async def turn(contestant: Contestant) -> Sample:
        async with bench.loads([contestant], rate=rate) as loads:
            (load,) = loads.values()
            for request in await load.server.requests(1, 1):
                await load.send(request)
            taken = [load.server.memory / 1024]
            for streams in (fewer, many - fewer):
                await load.open(streams)
                await load.turn()
                taken.append(load.server.memory / 1024)
        return {"further": (taken[2] - taken[1]) / (many - fewer), "each": (taken[2] - taken[0]) / many}

    some = replace(bench, rounds=min(bench.rounds, FEW))
    return await some.turns(turn, {each.name: each for each in bench.proxies})


async def start(bench: Bench) -> Rounds:
    """Measure the time from `exec` until it is ready, and the memory after its first answer, in MB."""

    async def turn(contestant: Contestant) -> Sample:
        since = monotonic()
        async with bench.loads([contestant]) as loads:
            (load,) = loads.values()
            ready = (monotonic() - since) * 1000
            for request in await load.server.requests(1, 1):
                await load.send(request)
            return {"ready": ready, "idle": load.server.memory / 1e6}

    return await bench.turns(turn, {each.name: each for each in bench.proxies})


def percent(values: Sequence[float], percent: int) -> float:
    """Return the value below which so many percent are; 0 if there are none."""
    return sorted(values)[len(values) * percent // 100] if values else 0.0
