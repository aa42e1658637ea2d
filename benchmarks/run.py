"""Compare the speed of proxies in one run: `make bench`, or `python -m benchmarks.run`, writes BENCHMARKS.md.

The proxy has one core; the fake Ollama and the readers have the others. Contestants take turns, and are
restarted for every turn.
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

from benchmarks import (
    contestants,
    documents,
    fake_ollama,
    figures,
    first_text,
    formats,
    machine,
    markdown_stream,
    report,
    tables,
)
from benchmarks.contestants import CHATPROXY, DIRECT, NGINX, PASSING, Contestant, Stage
from benchmarks.measure import OVERLOADED, RATE, Sample, climb, first_token, under_load
from benchmarks.tables import OwnFigures, Round, Rounds

FILE: Final = Path(__file__).parent.parent / "BENCHMARKS.md"
TIME_LIMIT: Final = 8 * 60.0  # seconds
ABOUT: Final = """
`make bench` gives the proxy one core, and the others to the fake Ollama and the readers, which are the same
for all proxies. chatproxy runs as its command does, with the database on disk; "passed on" is the same
process, asked by Ollama's own API. Every token carries the time it was sent. Its delay includes everything
else that is busy on the machine, so compare it with the delay of `direct`, which has no proxy. Figures are
medians of rounds in which the contestants take turns; ratios are medians of the ratios within a round.

The first text of short answers is measured one at a time, over kept connections, and a fiftieth of a second
after the last one. There, Ollama takes 30 ms for a prompt, as small models do, unless the row says otherwise.
""".strip()


@dataclass(frozen=True)
class Scale:
    """The size of each measurement."""

    rounds: int
    seconds: float  # per sample
    greetings: int  # short answers, to measure the time to the first token
    firsts: tuple[int, int]  # short answers of each kind, and of those after an idle second
    few: int  # streams, as in the next three
    some: int
    many: int
    levels: Sequence[int]
    already: int  # tokens of a long answer
    readers: int
    resumed_for: float  # seconds that the resumed answers last
    history: tuple[int, int]  # sessions, and messages in one of them
    repeats: int
    texts: Sequence[float]  # megabytes of documents
    searches: int
    files: float  # megabytes of text in a file of each format
    page: tuple[int, int]  # answers in the browser, and their characters


FULL: Final = Scale(
    rounds=3,
    seconds=2,
    greetings=10,
    firsts=(50, 15),
    few=10,
    some=100,
    many=1000,
    levels=(50, 100, 150, 200, 300, 400, 500, 600, 800, 1000, 1200, 1400, 1600, 2000, 2400),
    already=99_000,
    readers=100,
    resumed_for=8,
    history=(1_000_000, 100_000),
    repeats=40,
    texts=(0.25, 1, 4, 8),  # the last has 10,000 chunks
    searches=300,
    files=1,
    page=(5, 200_000),
)
TINY: Final = Scale(
    rounds=1,
    seconds=0.2,
    greetings=2,
    firsts=(2, 1),
    few=2,
    some=3,
    many=4,
    levels=(2, 4),
    already=100,
    readers=3,
    resumed_for=1.5,
    history=(30, 30),
    repeats=2,
    texts=(0.01, 0.02),
    searches=5,
    files=0.01,
    page=(1, 2_000),
)


class Bench:
    """One run of all measurements."""

    def __init__(self, stage: Stage, scale: Scale, installed: Sequence[Contestant]) -> None:
        self._stage = stage
        self._scale = scale
        self._installed = installed
        self._since = monotonic()

    async def section(self) -> str:
        """Measure everything, and return the tables with their headings."""
        scale = self._scale
        some = await self._rounds(self._installed, scale.some)
        leaders = [each for each in self._installed if each in (DIRECT, NGINX, CHATPROXY, PASSING)]
        many = await self._rounds(leaders, scale.many)
        most = await self._most()
        own = await self._own(some, many)
        self._log("chatproxy: first text")
        delays = await first_text.measure(self._stage, *scale.firsts)
        self._log("chatproxy: documents")
        texts = await documents.measure(scale.texts, scale.searches)
        files = list(formats.measure(scale.files))
        page = await self._page()
        self._log("done")
        return "\n\n".join(
            [
                f"### {scale.some:,} streams of {RATE} tokens per second",
                tables.comparison(some),
                f"### {scale.many:,} streams of {RATE} tokens per second",
                tables.overload(many, scale.many) or tables.comparison(many),
                f"### How many streams of {RATE} tokens per second one core carries",
                tables.most_streams(most, scale.levels[-1]),
                "### chatproxy and its targets",
                tables.targets(some, many, own),
                "### The first text of a short answer",
                tables.first_text(delays),
                "### Documents",
                tables.documents(texts),
                tables.formats(files),
                "### A long answer in the browser",
                page,
            ]
        )

    def _log(self, what: str) -> None:
        print(f"{monotonic() - self._since:4.0f} s  {what}", file=sys.stderr, flush=True)

    async def _rounds(self, contestants: Sequence[Contestant], streams: int) -> Rounds:
        found: Rounds = {each.name: [] for each in contestants}
        for turn in range(self._scale.rounds):
            for each in contestants:
                self._log(f"{streams:,} streams, round {turn + 1}: {each.name}")
                found[each.name].append(await self._round(each, streams))
        return found

    async def _round(self, contestant: Contestant, streams: int) -> Round | None:
        """Measure one turn; None if not all streams start within the time limit."""
        async with self._stage.running(contestant) as server:
            with suppress(*OVERLOADED):
                first = median([await first_token(server) for _ in range(self._scale.greetings)])
                return Round(first, server.memory, await under_load(server, streams, self._scale.seconds))
            return None

    async def _most(self) -> dict[str, dict[int, Sample]]:
        found = {}
        for each in self._installed:
            self._log(f"the most streams: {each.name}")
            async with self._stage.running(each) as server:
                found[each.name] = await climb(
                    server, self._scale.levels, self._scale.seconds / 2, tables.VISIBLE_DELAY
                )
        return found

    async def _page(self) -> str:
        """Measure the page, on all cores, because what counts here is the browser."""
        if not markdown_stream.is_installed():
            return "Left out: Chromium is not installed."
        self._log("a long answer in the browser")
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores | self._stage.cores)
        try:
            return tables.page(await markdown_stream.measure(*self._scale.page))
        finally:
            os.sched_setaffinity(0, cores)

    async def _own(self, some: Rounds, many: Rounds) -> OwnFigures:
        scale, stage = self._scale, self._stage
        self._log("chatproxy: starts")
        starts = [await figures.start(stage) for _ in range(scale.rounds)]
        self._log(f"chatproxy: {scale.few} streams")
        few = await self._rounds([CHATPROXY], scale.few)
        self._log("chatproxy: long answers")
        lengths = (0, scale.already)
        by_length = [
            [await figures.long_answers(stage, scale.few, already, scale.seconds) for already in lengths]
            for _ in range(scale.rounds)
        ]
        self._log("chatproxy: many readers of one answer")
        per_reader = await figures.many_readers(stage, scale.readers, scale.seconds)
        self._log("chatproxy: all readers resume at once")
        resumed = await figures.resume_all(stage, scale.many, scale.resumed_for)
        self._log("chatproxy: a long history")
        histories = await figures.short_and_long_history(stage, (10, 10), scale.history, scale.repeats)
        return OwnFigures(
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
            resumed=resumed,
            histories=[((10, 10), histories[0]), (scale.history, histories[1])],
        )


async def bench(scale: Scale, file: Path) -> None:
    """Measure everything and write the section of BENCHMARKS.md."""
    machine.allow_many_files()
    first, rest = machine.split_cores()
    os.sched_setaffinity(0, rest)
    pace, others = machine.pace(), machine.OtherLoad()
    server, port = await fake_ollama.listen()
    installed = [each for each in contestants.ALL if contestants.is_installed(each)]
    async with server, asyncio.timeout(TIME_LIMIT):
        section = await Bench(Stage(port, first), scale, installed).section()
    left_out = contestants.describe_missing(contestants.ALL)
    busy = f"Other programs used {others.share:.0%} of the machine"
    slow = f"a million additions in Python took {pace:.0f} ms before, and {machine.pace():.0f} ms after"
    about = f"{machine.describe()} {busy}; {slow}. {left_out}"
    measured = f"Measured on {datetime.now(UTC):%Y-%m-%d}: {about}".rstrip()
    report.write(file, "make bench", "\n\n".join(["## Speed", ABOUT, measured, section]))
    print(section)


def main() -> None:
    """Parse the command line and run the benchmarks."""
    parser = ArgumentParser(
        "benchmarks.run", description="Compare chatproxy with other proxies, on loopback only."
    )
    parser.add_argument("--tiny", action="store_true", help="a run of a few seconds, to check that it works")
    parser.add_argument("--file", type=Path, default=FILE, help="file to write the tables to")
    options = parser.parse_args()
    uvloop.run(bench(TINY if options.tiny else FULL, options.file))


if __name__ == "__main__":
    main()
