"""Compare the speed of chatproxy, nginx and Ollama itself: `make bench`, or `python -m benchmarks.speed`.

A run of all figures of a section writes it into BENCHMARKS.md; one of some, or beside other checkouts, only
prints.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

import uvloop

from benchmarks import machine, report
from benchmarks.speed import replicas, tables
from benchmarks.speed.contestants import CHECKOUT, contestants
from benchmarks.speed.figures import FIGURES, Figure
from benchmarks.speed.measure import Bench


@dataclass(frozen=True)
class Section:
    """Figures that are shown together, and the name of their section in BENCHMARKS.md."""

    name: str
    about: str
    figures: Sequence[str]


REPLICAS: Final = "replicas"
NAMES: Final = [*dict.fromkeys(figure.name for figure in FIGURES)]
BESIDE: Final = "a checkout of another version, which is measured in turns with this one; may be given again"
SPEED: Final = """
## Speed

`make bench` gives the proxy one core, and the others to the fake Ollama and the readers, which are the same
for all. chatproxy runs as its command does, with the database on disk. All are up at once, each with streams
of its own, and have turns of 0.8 s, in which the others' streams are silent. Figures are medians of the
rounds, with the quartiles in brackets; a ratio or a difference is that of the two within a round.

The delay of a token is from Ollama's write to the reader's read. It includes everything else that is busy on
the machine, and silent streams have their clocks: compare it with that of `direct`, which has no proxy.
"""
ABOUT_REPLICAS: Final = """
## Replicas

`make bench` measures this in turns, too, with the Ollama and the readers of *Speed*. `SQLite` and
`PostgreSQL` are one chatproxy on that database. `A` is one of two replicas on PostgreSQL: all streams are
sent to it and read there; where all are followed, a reader at the other replica, `B`, has each of them, too.
`A` has the proxy's core, and `B` and PostgreSQL may use all: on a machine of two cores, they are in each
other's way as they would not be elsewhere. PostgreSQL, which waits for the disk as it does by default, counts
among the other programs.

CPU is per token that is read at `A`. How much later a token is at `B` is from its read at `A` to that at `B`.
"""
SECTIONS: Final = (
    Section("make bench", SPEED, [name for name in NAMES if name != REPLICAS]),
    Section("make bench, replicas", ABOUT_REPLICAS, [REPLICAS]),
)


async def bench(settings: Bench, figures: Sequence[Figure], besides: Sequence[str]) -> str:
    """Measure the figures, and return their tables, each of which is printed as soon as it is there."""
    since, measured, shown = monotonic(), [], []
    for figure in figures:
        print(f"{monotonic() - since:4.0f} s  {figure.heading}", file=sys.stderr, flush=True)
        found = await figure.measure(settings)
        measured.append((figure, found))
        shown.append(tables.figure(figure, found, [each for each in besides if each in found]))
        print(f"{shown[-1]}\n", flush=True)
    shown.append(tables.targets(measured))
    print(f"{shown[-1]}\n\nin {monotonic() - since:.0f} s")
    return "\n\n".join(shown)


def main() -> None:
    """Measure what the command line asks for."""
    parser = ArgumentParser("python -m benchmarks.speed", description=__doc__)
    add = parser.add_argument
    add("--only", default=",".join(NAMES), metavar="FIGURES", help=f"some of {', '.join(NAMES)}")
    add("--beside", type=Path, default=[], action="append", metavar="FOLDER", help=BESIDE)
    add("--rounds", type=int, default=7, help="(default: %(default)s)")
    add("--tiny", action="store_true", help="a run of seconds, to check that it works")
    add("--file", type=Path, help="file to write the tables to")
    options = parser.parse_args()
    only = options.only.split(",")
    if unknown := [name for name in only if name not in NAMES]:
        parser.error(f"--only: there is no {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    if REPLICAS in only and (missing := replicas.missing()):
        print(f"The replicas are left out: {missing} is not installed.", file=sys.stderr)
        only.remove(REPLICAS)
    machine.allow_many_files()
    first, rest = machine.split_cores()
    os.sched_setaffinity(0, rest)
    compared, besides = contestants(options.beside)
    settings = Bench(compared, first, options.rounds, *((0.1, 0.02) if options.tiny else (0.8, 1)))
    for section in SECTIONS:
        if chosen := [each for each in FIGURES if each.name in section.figures and each.name in only]:
            text = _measured(settings, section, chosen, besides)
            is_whole = all(name in only for name in section.figures) and not besides
            if file := options.file or (is_whole and CHECKOUT / "BENCHMARKS.md"):
                report.write(file, section.name, text)


def _measured(settings: Bench, section: Section, figures: Sequence[Figure], besides: Sequence[str]) -> str:
    """Measure figures of a section, and return what it says then."""
    pace, others = machine.pace(), machine.OtherLoad()
    found = uvloop.run(bench(settings, figures, besides))
    paces = f"{pace:.0f} ms before, and {machine.pace():.0f} ms after"
    busy = f"Other programs used {others.share:.0%} of the machine"
    about = f"{machine.describe()} {busy}; a million additions in Python took {paces}."
    measured = f"Measured on {datetime.now(UTC):%Y-%m-%d}: {about} Rounds: {settings.rounds}."
    print(measured)
    return f"{section.about.strip()}\n\n{measured}\n\n{found}"


if __name__ == "__main__":
    main()
