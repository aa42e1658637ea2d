"""Split a document's text into chunks, the units that a search finds and an answer cites."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from chatproxy.documents.parts import Part

SEPARATOR: Final = "\n\n"  # of parts
MAX_CHUNK: Final = 1000  # characters
MAX_HEADING: Final = 100  # characters of one that is shown
MIN_CHUNK: Final = 500  # characters before a boundary may end a chunk
OVERLAP: Final = 100  # characters repeated from the previous chunk, so that no sentence is lost to a cut

# Before a heading: one of Markdown's, a numbered line, or a line without lower-case letters.
_HEADING: Final = re.compile(
    r"\n(?=#{1,6} |[1-9][0-9]?\.(?:[0-9]+(?:\.[0-9]+)*\.?)? {1,3}[^\W\d_].{0,99}\n)"
    r"|\n\n(?=[^\na-z]{4,80}\n\n)"
)
# Where a chunk may end, best first: after a section, a paragraph, a sentence, a line, a word.
_BOUNDARIES: Final = (
    _HEADING,
    re.compile(r"\n\n"),
    re.compile(r"[.!?…]['\"”’»)\]]*\s|[。！？]"),  # noqa: RUF001 - full-width marks are intended
    re.compile(r"\n"),
    re.compile(r"\s"),
)
_WORD_START: Final = re.compile(r"\s(?=\S)")


# What may be a heading that is shown: the only line of a paragraph, or a line that Markdown marks as one.
_LINE: Final = re.compile(r"\n(?:\n[^\n]{2,200}+(?=\n\n)|#{2,6} [^\n]{1,200}+(?=\n))")
# "7.1. Rent", "§ 3 Rent", "Chapter 4. Rent", but no sentence of a numbered list.
_NUMBERED: Final = re.compile(
    r"(?:§ ?|[^\W\d_]{4,9} )?[1-9][0-9]?(?:\.[0-9]+)*\.? {1,3}[^\W\d_].*[^.,;:!?。]|第[^ ]{1,4}[章条節节].*"
)


class Chunk(NamedTuple):
    """A part of a text, the page on which it begins, from 1, and the heading below which it does."""

    text: str
    page: int | None = None
    heading: str | None = None


def split(parts: Sequence[Part]) -> Iterator[Chunk]:
    """Yield the chunks of a document in order, stripped and never empty.

    Each chunk but the last starts more than MIN_CHUNK - OVERLAP characters after the one before, which bounds
    their number. One that begins above the first heading gets that, if it is in the chunk.
    """
    text = SEPARATOR.join([part.text for part in parts])
    starts = [0, *accumulate(len(part.text) + len(SEPARATOR) for part in parts)]
    headings = _headings(text)
    heading, following = None, next(headings, None)
    for start, end in _spans(text):
        while following and (following[0] <= start or (heading is None and following[0] < end)):
            heading, following = following[1], next(headings, None)
        yield Chunk(text[start:end], parts[bisect_right(starts, start) - 1].page, heading)


def _headings(text: str) -> Iterator[tuple[int, str]]:
    """Yield where each heading begins, and what it says."""
    for found in _LINE.finditer(f"\n\n{text}"):
        line = found[0].strip()
        if line.startswith("#") or line.isupper() or _NUMBERED.fullmatch(line):
            said = " ".join(line.lstrip("#").split())
            shown = said if len(said) <= MAX_HEADING else f"{said[: MAX_HEADING - 1]}…"
            if shown:
                yield found.end() - len(found[0].lstrip()) - 2, shown


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each chunk begins and ends, without white space around it."""
    start = 0
    while start < len(text):
        end, at_heading = _find_end(text, start)
        if chunk := text[start:end].strip():
            first = text.index(chunk[0], start)
            yield first, first + len(chunk)
        if at_heading or end == len(text):
            start = end
        else:  # overlap, from the start of a word if there is one
            word = _WORD_START.search(text, end - OVERLAP, end)
            start = end - OVERLAP if word is None else word.end()


def _find_end(text: str, start: int) -> tuple[int, bool]:
    """Return where the chunk at `start` ends, and whether a heading follows it."""
    if len(text) - start <= MAX_CHUNK:
        return len(text), False
    for boundary in _BOUNDARIES:
        matches = boundary.finditer(text, start + MIN_CHUNK, start + MAX_CHUNK)
        if end := max((match.end() for match in matches), default=0):
            return end, boundary is _HEADING
    return start + MAX_CHUNK, False
