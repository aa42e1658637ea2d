"""Split a document's text into chunks, the units that a search finds and an answer cites.

A chunk begins with what makes it readable where it was cut out: the headings of its table, or the lines that
what is indented is below.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final

from chatproxy.documents.parts import MAX_REPEATED, Chunk, Part

SEPARATOR: Final = "\n\n"  # of parts
MAX_CHUNK: Final = 1000  # characters
MAX_OUTLINE: Final = 300  # of them, for the lines that one is below
MAX_LINE: Final = 100  # characters of such a line
MAX_HEADING: Final = 100  # characters of one that is shown
MIN_CHUNK: Final = 500  # characters before a boundary may end a chunk
OVERLAP: Final = 100  # characters repeated from the previous chunk, so that no sentence is lost to a cut

# Ideographs and syllables, which say about as much as two letters do, or more. Where most characters are such
# ones, all lengths above are half as many characters.
_DENSE: Final = re.compile(r"[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]")

# Before a heading: one of Markdown's, a numbered line, or a line without lower-case letters.
_HEADING: Final = re.compile(
    r"\n(?=#{1,6} |[1-9][0-9]?\.(?:[0-9]+(?:\.[0-9]+)*\.?)? {1,3}(?:[^\w\s]{1,2} ?)?[^\W\d_].{0,99}\n)"
    r"|\n\n(?=[^\na-z]{4,80}\n\n)"
)
_SENTENCE: Final = re.compile(r"[.!?…]['\"”’»)\]]*\s|[。！？]")  # noqa: RUF001 - full-width marks are intended
_WORD: Final = re.compile(r"\s")
# Where a chunk may end, best first: after a section, a paragraph, a sentence, a line, a word.
_BOUNDARIES: Final = (_HEADING, re.compile(r"\n\n"), _SENTENCE, re.compile(r"\n"), _WORD)
_WORD_START: Final = re.compile(r"\s(?=\S)")
_LINE_START: Final = re.compile(r"\n(?=([ \t]*+)[^\s}\])])")  # but not what only ends something
_TEXT: Final = re.compile(r"\S")
_LETTER: Final = re.compile(r"\w")


# What may be a heading that is shown: the only line of a paragraph, or a line that Markdown marks as one.
_LINE: Final = re.compile(r"\n(?:\n[^\n]{2,200}+(?=\n\n)|#{2,6} [^\n]{1,200}+(?=\n))")
# "7.1. Rent", "§ 3 Rent", "Chapter 4. Rent", but no sentence of a numbered list.
_NUMBERED: Final = re.compile(
    r"(?:§ ?|[^\W\d_]{4,9} )?[1-9][0-9]?(?:\.[0-9]+)*\.? {1,3}(?:[^\w\s]{1,2} ?)?[^\W\d_].*[^.,;:!?。]"
    r"|第[^ ]{1,4}[章条節节].*"
)


def split(parts: Sequence[Part]) -> Iterator[Chunk]:
    """Yield the chunks of a document in order, stripped and never empty.

    Each but the last starts more than MIN_CHUNK - OVERLAP characters after the one before; where lines stand
    for themselves, that is a third on average, and where most characters are ideographs or syllables, half.
    This bounds their number. One that begins above the first heading gets that, if it is in the chunk.
    """
    cutter = _Cutter(parts)
    headings = _headings(cutter.text)
    heading, following = None, next(headings, None)
    for above, start, end in cutter.spans():
        while following and (following[0] <= start or (heading is None and following[0] < end)):
            heading, following = following[1], next(headings, None)
        yield Chunk(above + cutter.text[start:end], cutter.part(start).page, heading)


def _headings(text: str) -> Iterator[tuple[int, str]]:
    """Yield where each heading begins, and what it says."""
    for found in _LINE.finditer(f"\n\n{text}"):
        line = found[0].strip()
        if line.startswith("#") or _is_upper(line) or _NUMBERED.fullmatch(line):
            said = " ".join(line.lstrip("#").split())
            shown = said if len(said) <= MAX_HEADING else f"{said[: MAX_HEADING - 1]}…"
            if shown:
                yield found.end() - len(found[0].lstrip()) - 2, shown


def _is_upper(line: str) -> bool:
    """Return whether there are only capital letters, and few that have no case."""
    return line.isupper() and 2 * sum(map(str.isupper, line)) > sum(map(str.isalpha, line))


class _Cutter:
    """Finds where to cut the text of all parts together."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.text = SEPARATOR.join([part.text for part in parts])
        self._parts = parts
        self._starts = [0, *accumulate(len(part.text) + len(SEPARATOR) for part in parts)]
        self._outline = _Outline(self.text)

    def part(self, place: int) -> Part:
        """Return the part at a place in the text."""
        return self._parts[self._number(place)]

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """Yield what stands above each chunk, and where that begins and ends in the text."""
        place = 0
        while found := _TEXT.search(self.text, place):
            start = found.start()
            above = self._above(start)
            share = _share(self.text[start : start + MAX_CHUNK])
            end, place = self._end(start, start + (MAX_CHUNK - len(above)) // share)
            yield above, start, start + len(self.text[start:end].rstrip())

    def _number(self, place: int) -> int:
        return bisect_right(self._starts, place) - 1

    def _stands_alone(self, place: int) -> bool:
        part = self.part(place)
        return part.lines or bool(part.repeated)

    def _above(self, start: int) -> str:
        """Return what stands above a chunk that starts there, as far as that is not in it."""
        number = self._number(start)
        part, begin = self._parts[number], self._starts[number]
        if not self._stands_alone(start) or start - begin < len(part.repeated):
            return ""
        if part.repeated and self.text[start - 1] == "\n":
            return f"{_shortened(part.repeated, MAX_REPEATED)}\n"
        self._outline.go_to(start, begin)
        if part.repeated:
            return f"{_shortened(part.repeated, MAX_REPEATED)}\n{self._outline.begun(start)}"
        return self._outline.above(start)

    def _end(self, start: int, limit: int) -> tuple[int, int]:
        """Return where the chunk at `start` ends, before `limit`, and where the next one starts."""
        if len(self.text) <= limit:
            return len(self.text), len(self.text)
        if self._stands_alone(limit):
            place = self._line_end(start, limit)
            return place, place
        half = (start + limit) // 2
        for boundary in _BOUNDARIES:
            ends = [match.end() for match in boundary.finditer(self.text, half, limit)]
            if boundary is _HEADING:
                ends = ends[:1] + [end for begin, end in pairwise(ends) if self._has_text(begin, end)]
            if ends:
                return ends[-1], ends[-1] if boundary is _HEADING else self._overlap(ends[-1])
        return limit, self._overlap(limit)

    def _has_text(self, begin: int, end: int) -> bool:
        """Return whether there is more than the heading that begins there."""
        return "\n" in self.text[begin:end].strip()

    def _overlap(self, end: int) -> int:
        """Return where the next chunk starts: some words before `end`, so that it repeats these."""
        if self._stands_alone(end - 1):
            return end
        overlap = OVERLAP // _share(self.text[end - OVERLAP : end])
        first = max(end - overlap, self._starts[self._number(end - 1)])
        word = _WORD_START.search(self.text, first, end)
        return first if word is None else word.end()

    def _line_end(self, start: int, limit: int) -> int:
        """Return where a chunk ends that would reach into lines that stand for themselves.

        It is where their part ends or begins, if the chunk is long enough then; else before the last of the
        least indented lines, one after an empty line if there is any; else after a line that is no heading.
        """
        number = self._number(limit)
        begin, half = self._starts[number], (start + limit) // 2
        if limit >= self._starts[number + 1] - len(SEPARATOR):
            return self._starts[number + 1]
        if begin >= half:
            return begin
        lines = _LINE_START.finditer(self.text, half, limit)
        if line := min(lines, key=self._rank, default=None):
            return line.end()
        if (end := self.text.rfind("\n", start, limit) + 1) > begin + len(self._parts[number].repeated) + 1:
            return end
        if start < begin:
            return begin
        return max((word.end() for word in _WORD.finditer(self.text, half, limit)), default=limit)

    def _rank(self, line: re.Match[str]) -> tuple[int, bool, int]:
        return len(line[1]), self.text[line.start() - 1] != "\n", -line.end()


def _share(text: str) -> int:
    """Return by what the lengths of chunks are divided where that is the text."""
    return 2 if len(_DENSE.findall(text)) * 2 > len(text) else 1


class _Outline:
    """The lines that a line is below, because each is indented less than the next one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._begin = -1  # of the part
        self._lines: list[tuple[int, int]] = []  # where the text of each begins, and how far it is indented
        self._first = self._indent = self._end = 0  # of the current line: its text, and where the next one is

    def go_to(self, start: int, begin: int) -> None:
        """Make the line at `start` the current one, which is not above it; its part begins at `begin`."""
        if begin != self._begin:
            self._begin, self._lines = begin, []
            self._take(begin)
        while self._end <= start:
            if self._first < self._end:
                self._lines.append((self._first, self._indent))
            self._take(self._end)

    def above(self, start: int) -> str:
        """Return what the current line is below, and how it begins if it does so before `start`."""
        above = self.begun(start) or self._white(self._first, self._indent)
        for first, indent in reversed(self._lines):
            said = self._text[first : first + MAX_LINE + 1].partition("\n")[0]
            if not _LETTER.search(said):  # a bracket
                continue
            line = f"{self._white(first, indent)}{_shortened(said, MAX_LINE)}\n"
            if len(line) + len(above) > MAX_OUTLINE:
                break
            above = line + above
        return above.lstrip(" \t")

    def begun(self, start: int) -> str:
        """Return how the current line begins, if it does so before `start`."""
        if self._first == start:
            return ""
        said = self._text[self._first : min(start, self._first + MAX_LINE)]
        return f"{self._white(self._first, self._indent)}{said.rstrip()} …\n"

    def _white(self, first: int, indent: int) -> str:
        return self._text[first - indent : first][:MAX_LINE]

    def _take(self, place: int) -> None:
        """Make the line that begins there the current one."""
        self._end = self._text.find("\n", place) + 1 or len(self._text) + 1
        found = _TEXT.search(self._text, place)
        if found is None or found.start() >= self._end:  # a line without text
            self._first = self._end
            return
        self._first, self._indent = found.start(), found.start() - place
        while self._lines and self._lines[-1][1] >= self._indent:
            self._lines.pop()


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
