"""Split a document's text into chunks, the units that a search finds and an answer cites."""

import re
from collections.abc import Iterator
from typing import Final

MAX_CHUNK: Final = 1000  # characters
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


def split_text(text: str) -> Iterator[str]:
    """Yield the chunks of a text in order, stripped and never empty.

    Each chunk but the last starts more than MIN_CHUNK - OVERLAP characters after the one before, which bounds
    their number.
    """
    start = 0
    while start < len(text):
        end, at_heading = _find_end(text, start)
        if chunk := text[start:end].strip():
            yield chunk
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
