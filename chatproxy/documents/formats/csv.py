"""Tables as text: what stands between commas, semicolons, tabs or bars."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from io import StringIO
from itertools import chain, islice, zip_longest
from typing import BinaryIO, Final, NamedTuple

from chatproxy.documents.chunks import MAX_CHUNK
from chatproxy.documents.formats.text import decoded, unified
from chatproxy.documents.notation.headings import SAMPLE, are_headings
from chatproxy.documents.notation.tables import line_of
from chatproxy.documents.parts import MAX_REPEATED, MAX_TEXT, Part, Reading

_DELIMITERS: Final = "\t;|,"  # in the order of trust: a comma also stands within numbers and sentences
_NAMED: Final = re.compile(r'"?sep=([^\n"])"?\n', re.IGNORECASE)  # Excel's first line
_FILLED: Final = 0.6  # the share of columns that have a heading; a title above them has fewer cells
_REGULAR: Final = 0.8  # the share of rows that have as many cells as most
_MOST_LINES: Final = 100  # of one row; where more follow a quote, it was none


class Row(NamedTuple):
    """A row: its cells, and the line that it is written as."""

    cells: Sequence[str]
    line: str


def read(file: BinaryIO, encoding: str | None = None) -> Reading:
    """Return the rows, a line for each; those that belong to a row of headings have it with every chunk.

    A row that is too long for a chunk is a line for each cell, with the heading of its column. What is no
    table is text.
    """
    text, remarks = decoded(file, encoding)
    text = unified(text)
    named = _NAMED.match(text)
    lines = text[named.end() if named else 0 :].strip("\n").split("\n")
    delimiter = named[1] if named else _delimiter(lines)
    if delimiter is None:
        return Reading([Part(text, lines=True)], remarks)
    rows = _rows(lines, delimiter)
    sample = [*islice(rows, SAMPLE)]
    place = _headings(sample)
    rows = chain(sample, rows)
    if place is None:
        return Reading([Part("\n".join([row.line for row in rows]), lines=True)], remarks)
    title = "\n".join([row.line for row in islice(rows, place)])
    headings = next(rows)
    names = len(lines) * (len(headings.line) + 2 * len(headings.cells))  # as many characters at most
    if len(headings.line) > MAX_REPEATED and names > MAX_TEXT - len(text):
        return Reading(
            [Part(title), Part("\n".join([row.line for row in chain([headings], rows)]), lines=True)], remarks
        )
    return Reading(chain([Part(title)], _table(headings, rows)), remarks)


def _table(headings: Row, rows: Iterable[Row]) -> Iterator[Part]:
    """Yield the rows that fit into a chunk below their headings, and each of the others by itself."""
    most = MAX_CHUNK - len(headings.line) - 1 if len(headings.line) <= MAX_REPEATED else 0
    if not most:
        yield Part("\n".join(headings.cells), lines=True)
    together, is_first = [headings.line], bool(most)
    for row in rows:
        if len(row.line) <= most:
            together.append(row.line)
            continue
        if is_first or len(together) > 1:
            yield _together(together)
        together, is_first = [headings.line], False
        cells = [
            f"{name.strip() or number}: {' '.join(cell.split())}"
            for number, (name, cell) in enumerate(
                zip_longest(headings.cells, row.cells, fillvalue=""), start=1
            )
            if cell.strip()
        ]
        yield Part("\n".join(cells), repeated=cells[0])
    if is_first or len(together) > 1:
        yield _together(together)


def _together(lines: Sequence[str]) -> Part:
    return Part("\n".join(lines), repeated=lines[0] if len(lines) > 1 else "", lines=True)


# -- rows


def _delimiter(lines: Sequence[str]) -> str | None:
    """Return what stands between the cells; None if there are none."""
    best, most = None, _REGULAR
    for delimiter in _DELIMITERS:
        widths = Counter(len(row.cells) for row in islice(_rows(lines, delimiter), SAMPLE))
        regular = widths[_usual(widths)] / max(widths.total(), 1)
        if regular > most:
            best, most = delimiter, regular
    return best


def _usual(widths: Counter[int]) -> int:
    """Return how many cells most rows have that have several, 0 if there is none."""
    return max((width for width in widths if width > 1), key=lambda width: widths[width], default=0)


def _rows(lines: Sequence[str], delimiter: str) -> Iterator[Row]:
    """Yield the rows that have any text."""
    place = 0
    while place < len(lines):
        cells, used = lines[place].split(delimiter), 1
        if '"' in lines[place]:
            some = range(place, min(place + _MOST_LINES, len(lines)))
            reader = csv.reader((f"{lines[number]}\n" for number in some), delimiter=delimiter, strict=True)
            with suppress(csv.Error):  # a quote that is none
                cells, used = next(reader), reader.line_num
        if any(map(str.strip, cells)):
            yield Row(cells, lines[place] if used == 1 and delimiter != "\t" else _joined(cells, delimiter))
        place += used


def _joined(cells: Sequence[str], delimiter: str) -> str:
    """Return cells on one line. What a table has instead of tabs stays where white space is stripped."""
    shown = [" ".join(cell.split()) for cell in cells]
    if delimiter == "\t":
        return line_of(shown)
    line = StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(shown)
    return line.getvalue()


# -- headings


def _headings(rows: Sequence[Row]) -> int | None:
    """Return which row has the headings; None if there are none, or nothing shows it."""
    width = _usual(Counter(len(row.cells) for row in rows))
    for place, row in enumerate(rows):
        if sum(map(bool, map(str.strip, row.cells))) >= max(2, _FILLED * width):
            return place if are_headings(row.cells, [each.cells for each in rows[place + 1 :]]) else None
    return None
