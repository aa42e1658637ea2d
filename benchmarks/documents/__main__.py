"""What documents cost: `python -m benchmarks.documents` writes BENCHMARKS.md."""

import asyncio
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from benchmarks.documents import formats, texts
from benchmarks.documents.formats import FormatCost
from benchmarks.documents.texts import DocumentCost
from benchmarks.report import number, table, write

FILE: Final = Path(__file__).parents[2] / "BENCHMARKS.md"
SIZES: Final = (0.25, 1, 4, 8)  # megabytes of text; the last has 10,000 chunks
ABOUT: Final = """
## Documents

An upload goes over HTTP on loopback; a search goes directly to the store, by words, and then by words and
meaning, without Ollama's own time for vectors. What was aimed at is 1 s to upload 1 MB, and for a search in
10,000 chunks 10 ms by words, and 30 ms by meaning, too.
""".strip()


def main() -> None:
    """Measure, and write the section."""
    parser = ArgumentParser("python -m benchmarks.documents", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a run of seconds, to check that it works")
    parser.add_argument("--file", type=Path, default=FILE, help="file to write the tables to")
    options = parser.parse_args()
    sizes, searches, megabytes = ((0.01, 0.02), 5, 0.01) if options.tiny else (SIZES, 300, 1)
    measured = asyncio.run(texts.measure(sizes, searches))
    tables = f"{_texts(measured)}\n\n{_formats(formats.measure(megabytes))}"
    print(tables)
    write(options.file, "documents", f"{ABOUT}\n\n{tables}")


def _texts(costs: Iterable[DocumentCost]) -> str:
    head = ("text", "chunks", "upload", "per MB", "search, median", "95%", "by meaning, too", "95%")
    rows = [
        (
            f"{cost.megabytes:g} MB",
            f"{cost.chunks:,}",
            f"{number(cost.upload, 0)} ms",
            f"{number(cost.upload / cost.megabytes, 0)} ms",
            f"{number(cost.search, 2)} ms",
            f"{number(cost.slow_search, 2)} ms",
            f"{number(cost.by_meaning, 2)} ms",
            f"{number(cost.slow_by_meaning, 2)} ms",
        )
        for cost in costs
    ]
    return table(head, rows)


def _formats(costs: Iterable[FormatCost]) -> str:
    """Return the costs of files that hold the same amount of text."""
    rows = [
        (
            cost.name,
            f"{number(cost.megabytes, 2)} MB",
            f"{cost.chunks:,}",
            f"{number(cost.cpu, 2)} s",
            f"{number(cost.memory, 0)} MiB",
        )
        for cost in costs
    ]
    return table(("format", "file", "chunks", "CPU", "memory"), rows)


if __name__ == "__main__":
    main()
