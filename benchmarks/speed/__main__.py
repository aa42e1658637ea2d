"""Compare the speed of chatproxy, nginx and Ollama itself: `make bench`, or `python -m benchmarks.speed`.

A run of all figures writes BENCHMARKS.md; one of some, or beside other checkouts, only prints.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

import uvloop

from benchmarks import machine, report
from benchmarks.speed import tables
from benchmarks.speed.contestants import CHECKOUT, contestants
from benchmarks.speed.figures import FIGURES, Figure
from benchmarks.speed.measure import Bench

NAMES: Final = [*dict.fromkeys(figure.name for figure in FIGURES)]
BESIDE: Final = "a checkout of another version, which is measured in turns with this one; may be given again"
ABOUT: Final = """
`make bench` gives the proxy one core, and the others to the fake Ollama and the readers, which are the same
for all. chatproxy runs as its command does, with the database on disk. All are up at once, each with streams
of its own, and have turns of 0.8 s, in which the others' streams are silent. Figures are medians of the
rounds, with the quartiles in brackets; a ratio or a difference is that of the two within a round.

The delay of a token is from Ollama's write to the reader's read. It includes everything else that is busy on
the machine, and silent streams have their clocks: compare it with that of `direct`, which has no proxy.
""".strip()


async def bench(settings: Bench, figures: Sequence[Figure], besides: Sequence[str]) -> str:
    """Measure the figures, and return their tables, each of which is printed as soon as it is there."""
    since, measured, shown = monotonic(), [], []
    for figure in figures:
        print(f"{monotonic() - since:4.0f} s  {figure.heading}", file=sys.stderr, flush=True)
        measured.append((figure, await figure.measure(settings)))
        shown.append(tables.figure(*measured[-1], besides))
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
    machine.allow_many_files()
    first, rest = machine.split_cores()
    os.sched_setaffinity(0, rest)
    pace, others = machine.pace(), machine.OtherLoad()
    compared, besides = contestants(options.beside)
    settings = Bench(compared, first, options.rounds, *((0.1, 0.02) if options.tiny else (0.8, 1)))
    section = uvloop.run(bench(settings, [each for each in FIGURES if each.name in only], besides))
    paces = f"{pace:.0f} ms before, and {machine.pace():.0f} ms after"
    busy = f"Other programs used {others.share:.0%} of the machine"
    about = (
        f"{machine.describe()} {busy}; a million additions in Python took {paces}. Rounds: {options.rounds}."
    )
    measured = f"Measured on {datetime.now(UTC):%Y-%m-%d}: {about}"
    print(measured)
    if file := options.file or (only == NAMES and not besides and CHECKOUT / "BENCHMARKS.md"):
        report.write(file, "make bench", f"## Speed\n\n{ABOUT}\n\n{measured}\n\n{section}")


if __name__ == "__main__":
    main()
