"""How fast, side by side in one run: `make bench`, or `python -m benchmarks.run`, writes BENCHMARKS.md.

The proxy has one core; the fake Ollama and the readers have the others. Contestants take turns, and each turn
starts them anew.
"""

import asyncio
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Final

import uvloop

from benchmarks import contestants, documents, fake_ollama, figures, machine, markdown_stream, report, tables
from benchmarks.contestants import CHATPROXY, DIRECT, NGINX, Contestant, Stage
from benchmarks.measure import OVERLOADED, RATE, Sample, climb, first_token, under_load
from benchmarks.tables import Own, Round, Rounds

FILE: Final = Path(__file__).parent.parent / "BENCHMARKS.md"
AT_MOST: Final = 8 * 60.0  # seconds
ABOUT: Final = """
`make bench`: one core for the proxy, the others for the fake Ollama and the readers, which are the same for
all; chatproxy as its command runs it, with the database on disk. Each token carries the time when it was
sent, so how late it comes has in it all that is busy on the machine: compare with direct. Figures are medians
of the rounds, in which the contestants take turns; a ratio is the median of those within each round.
""".strip()


@dataclass(frozen=True)
class Scale:
    """How much is done of each."""

    rounds: int
    seconds: float  # of one sample
    greetings: int  # short answers, for the time to the first token
    few: int  # streams, as the next two
    some: int
    many: int
    levels: Sequence[int]
    already: int  # tokens of a long answer
    readers: int
    back_for: float  # seconds that the answers go on to which everybody comes back
    past: tuple[int, int]  # sessions, and messages in one of them
    repeats: int
    texts: Sequence[float]  # megabytes, of documents
    searches: int
    page: tuple[int, int]  # answers in the browser, and their characters


FULL: Final = Scale(
    rounds=3,
    seconds=2,
    greetings=10,
    few=10,
    some=100,
    many=1000,
    levels=(50, 100, 150, 200, 300, 400, 500, 600, 800, 1000, 1200, 1400, 1600, 2000, 2400),
    already=99_000,
    readers=100,
    back_for=8,
    past=(1_000_000, 100_000),
    repeats=40,
    texts=(0.25, 1, 4, 8),  # the last one has 10,000 chunks
    searches=300,
    page=(5, 200_000),
)
TINY: Final = Scale(
    rounds=1,
    seconds=0.2,
    greetings=2,
    few=2,
    some=3,
    many=4,
    levels=(2, 4),
    already=100,
    readers=3,
    back_for=1.5,
    past=(30, 30),
    repeats=2,
    texts=(0.01, 0.02),
    searches=5,
    page=(1, 2_000),
)


class Bench:
    def __init__(self, stage: Stage, scale: Scale, present: Sequence[Contestant]) -> None:
        self._stage = stage
        self._scale = scale
        self._present = present
        self._since = monotonic()

    async def section(self) -> str:
        scale = self._scale
        some = await self._rounds(self._present, scale.some)
        leaders = [each for each in self._present if each in (DIRECT, NGINX, CHATPROXY)]
        many = await self._rounds(leaders, scale.many)
        most = await self._most()
        own = await self._own(some, many)
        self._say("chatproxy: documents")
        texts = await documents.measure(scale.texts, scale.searches)
        page = await self._page()
        self._say("done")
        return "\n\n".join(
            [
                f"### {scale.some:,} streams of {RATE} tokens per second",
                tables.compared(some),
                f"### {scale.many:,} streams of {RATE} tokens per second",
                tables.compared(many),
                f"### The most streams of {RATE} tokens per second that one core carries",
                tables.most(most, scale.levels[-1]),
                "### chatproxy and its targets",
                tables.targets(some, many, own),
                "### Documents",
                tables.documents(texts),
                "### A long answer in the browser",
                page,
            ]
        )

    def _say(self, what: str) -> None:
        print(f"{monotonic() - self._since:4.0f} s  {what}", file=sys.stderr, flush=True)

    async def _rounds(self, who: Sequence[Contestant], streams: int) -> Rounds:
        found: Rounds = {each.name: [] for each in who}
        for turn in range(self._scale.rounds):
            for each in who:
                self._say(f"{streams:,} streams, round {turn + 1}: {each.name}")
                found[each.name].append(await self._round(each, streams))
        return found

    async def _round(self, contestant: Contestant, streams: int) -> Round | None:
        """None where it does not carry the load at all."""
        async with self._stage.running(contestant) as server:
            with suppress(*OVERLOADED):
                first = median([await first_token(server) for _ in range(self._scale.greetings)])
                return Round(first, server.memory, await under_load(server, streams, self._scale.seconds))
            return None

    async def _most(self) -> dict[str, dict[int, Sample]]:
        found = {}
        for each in self._present:
            self._say(f"the most streams: {each.name}")
            async with self._stage.running(each) as server:
                found[each.name] = await climb(
                    server, self._scale.levels, self._scale.seconds / 2, tables.STUTTER
                )
        return found

    async def _page(self) -> str:
        """The browser has all cores: it is not the proxy that is measured."""
        if not markdown_stream.present():
            return "Left out: Chromium is not installed."
        self._say("a long answer in the browser")
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, ours | self._stage.cores)
        try:
            return tables.page(await markdown_stream.measure(*self._scale.page))
        finally:
            os.sched_setaffinity(0, ours)

    async def _own(self, some: Rounds, many: Rounds) -> Own:
        scale, stage = self._scale, self._stage
        self._say("chatproxy: starts")
        starts = [await figures.start(stage) for _ in range(scale.rounds)]
        self._say(f"chatproxy: {scale.few} streams")
        few = await self._rounds([CHATPROXY], scale.few)
        self._say("chatproxy: long answers")
        lengths = (0, scale.already)
        by_length = [
            [
                await figures.long_answers(stage, scale.few, already, scale.seconds)
                for already in (0, scale.already)
            ]
            for _ in range(scale.rounds)
        ]
        self._say("chatproxy: many readers of one answer")
        per_reader = await figures.many_readers(stage, scale.readers, scale.seconds)
        self._say("chatproxy: everybody comes back at once")
        back = await figures.all_come_back(stage, scale.many, scale.back_for)
        self._say("chatproxy: a long past")
        past = await figures.short_and_long_past(stage, (10, 10), scale.past, scale.repeats)
        return Own(
            ready=median(ready for ready, _ in starts),
            idle=median(idle for _, idle in starts),
            by_streams=[
                (streams, tables.cpu(rounds[CHATPROXY.name]))
                for streams, rounds in ((scale.few, few), (scale.some, some), (scale.many, many))
            ],
            by_length=[
                (already + 100, median(costs))
                for already, costs in zip(lengths, zip(*by_length, strict=True), strict=True)
            ],
            per_reader=per_reader,
            back=back,
            past=[((10, 10), past[0]), (scale.past, past[1])],
        )


async def bench(scale: Scale, file: Path) -> None:
    machine.allow_many_files()
    first, rest = machine.split_cores()
    os.sched_setaffinity(0, rest)
    pace, others = machine.pace(), machine.Others()
    server, port = await fake_ollama.listen()
    present = [each for each in contestants.ALL if contestants.present(each)]
    async with server, asyncio.timeout(AT_MOST):
        section = await Bench(Stage(port, first), scale, present).section()
    left_out = contestants.missing(contestants.ALL)
    busy = f"Other programs had {others.share:.0%} of the machine meanwhile"
    slow = f"a million additions took {pace:.0f} ms in Python before, and {machine.pace():.0f} ms after"
    about = f"{machine.describe()} {busy}; {slow}. {left_out}"
    measured = f"Measured on {datetime.now(UTC):%Y-%m-%d}: {about}".rstrip()
    report.write(file, "make bench", "\n\n".join(["## Speed", ABOUT, measured, section]))
    print(section)


def main() -> None:
    parser = ArgumentParser(
        "benchmarks.run", description="Measures chatproxy beside others, on loopback only."
    )
    parser.add_argument("--tiny", action="store_true", help="only show that it runs, in seconds")
    parser.add_argument("--file", type=Path, default=FILE, help="where the tables go")
    options = parser.parse_args()
    uvloop.run(bench(TINY if options.tiny else FULL, options.file))


if __name__ == "__main__":
    main()
