"""A document's text cut into chunks: the places that a question can find and an answer can cite."""

import re
from collections.abc import Iterator
from typing import Final

SIZE: Final = 1000  # characters of a chunk, at most
LEAST: Final = 500  # what a chunk holds before a boundary may end it
OVERLAP: Final = 100  # what it repeats of the one before, so that no sentence is lost to a cut

# Before a heading: one of Markdown's, a numbered line, a line without small letters.
_HEADING: Final = re.compile(
    r"\n(?=#{1,6} |[1-9][0-9]?\.(?:[0-9]+\.?)* {1,3}[^\W\d_].{0,99}\n)|\n\n(?=[^\na-z]{4,80}\n\n)"
)
# Where a chunk may end, the best first: after a section, a paragraph, a sentence, a line, a word.
_BOUNDARIES: Final = (
    _HEADING,
    re.compile(r"\n\n"),
    re.compile(r"[.!?…]['\"”’»)\]]*\s|[。！？]"),  # noqa: RUF001 - the full-width marks are meant
    re.compile(r"\n"),
    re.compile(r"\s"),
)
_WORD: Final = re.compile(r"\s(?=\S)")


def chunks(text: str) -> Iterator[str]:
    """In their order, without space around them; none is empty.

    Each one but the last advances by more than LEAST - OVERLAP characters, which bounds their number.
    """
    start = 0
    while start < len(text):
        end, heading = _end(text, start)
        if chunk := text[start:end].strip():
            yield chunk
        start = end if heading or end == len(text) else _overlapping(text, end)


def _end(text: str, start: int) -> tuple[int, bool]:
    """Where the chunk that starts there ends, and whether a heading follows."""
    if len(text) - start <= SIZE:
        return len(text), False
    for boundary in _BOUNDARIES:
        end = max((match.end() for match in boundary.finditer(text, start + LEAST, start + SIZE)), default=0)
        if end:
            return end, boundary is _HEADING
    return start + SIZE, False


def _overlapping(text: str, end: int) -> int:
    """A little before the end, at the start of a word if there is one."""
    word = _WORD.search(text, end - OVERLAP, end)
    return end - OVERLAP if word is None else word.end()
