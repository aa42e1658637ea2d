"""Measure how often the right passage is found: `make retrieval`, or `python -m benchmarks.retrieval`.

Writes BENCHMARKS.md. With `--tuned`, prints the figures of that half and what was not found, and writes
nothing.
"""

import asyncio
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.report import NONE
from benchmarks.retrieval.measure import FOUND, Outcome, ask_by_meaning, ask_by_words
from benchmarks.retrieval.model import ollama
from benchmarks.retrieval.questions import ABSENT, ACROSS, LANGUAGES, LONG, TURNS, WHOLE, read_all
from benchmarks.retrieval.vectors import NAME, Vectors

Pair = tuple[Outcome, ...]  # by words, and by meaning, too

FILE: Final = Path(__file__).parents[2] / "BENCHMARKS.md"
OTHERS: Final = (WHOLE, ABSENT)
FALSE: Final = "found, and yet a warning"
PLACES: Final = (*LANGUAGES.values(), LONG, *TURNS[1:], ACROSS)
ABOUT: Final = f"""
How many questions have their right place among the {FOUND} passages that the model gets. The documents of the
first rows were written for this, in six languages and four kinds of file, and so were the questions, many of
them in other words than the document's, short, or with a slip of the finger. Those of the long documents and
of the dialogues are older. Chunks, search terms and stop words are tuned on one half; the other one was set
apart by lot before anything was measured, and nobody looks at what it misses.

By meaning is with an embedding model beside the words: multilingual-e5-small of 2023, one of the smallest
that know many languages, with 4 bits for each parameter. Those that people install for Ollama are larger.

A question about the whole document is right if it gets passages from all over it. One that the document does
not answer is right if the reader is warned; a warning beside the right place is a false one.
""".strip()


def main() -> None:
    """Ask all questions, or those of the tuned half."""
    parser = ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--tuned", action="store_true", help="only the half that may be looked at")
    parser.add_argument(
        "--file", type=Path, default=FILE, help="where the tables go (default: BENCHMARKS.md)"
    )
    options = parser.parse_args()
    asked = [each for each in read_all() if not (options.tuned and each.held_out)]
    by_words = asyncio.run(ask_by_words(asked))
    vectors = Vectors()
    by_meaning = asyncio.run(ask_by_meaning(asked, ollama(vectors), NAME))
    print(shown := _table([*zip(by_words, by_meaning, strict=True)]))
    if options.tuned:
        for way, found in (("by words", by_words), ("by meaning", by_meaning)):
            print(f"\nNot found {way}:")
            for each in found:
                if not each.is_right:
                    print(f"{each.question.document.name}: {each.question.text} [{each.question.phrase}]")
    else:
        vectors.save()
        report.write(options.file, "make retrieval", f"## The right place\n\n{ABOUT}\n\n{shown}")


def _table(found: Sequence[Pair]) -> str:
    places = [pair for pair in found if pair[0].question.kind == "place"]
    rows = [
        *[_row(group, [pair for pair in places if pair[0].question.group == group]) for group in PLACES],
        _row("all of these", places),
        *[_row(group, [pair for pair in found if pair[0].question.group == group]) for group in OTHERS],
        _row(
            FALSE,
            [
                tuple(replace(each, is_right=each.is_right and each.is_warned) for each in pair)
                for pair in places
            ],
        ),
    ]
    ways = ("by words", "and by meaning")
    return report.table(("", "tuned", *ways, "held out", *ways), rows)


def _row(name: str, pairs: Sequence[Pair]) -> Sequence[str]:
    """Return how many questions of each half there are, and how many of them are right in each way."""
    row = [name]
    for held_out in (False, True):
        half = [pair for pair in pairs if pair[0].question.held_out == held_out]
        right = [sum(each.is_right for each in way) for way in zip(*half, strict=True)] or [0, 0]
        row += [str(len(half)), *[f"{each} ({each / len(half):.1%})" if half else NONE for each in right]]
    return row


if __name__ == "__main__":
    main()
