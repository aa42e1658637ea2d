"""How a table is written: a line for each row, with ` | ` between the cells."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from chatproxy.documents.notation.headings import SAMPLE, are_headings
from chatproxy.documents.parts import MAX_REPEATED, MAX_TEXT, Part
from chatproxy.errors import ChatError

MAX_COLUMNS: Final = 1000  # of one cell; more are none, as in browsers
MAX_CELLS: Final = 2_000_000  # with those that merged cells cover
_MAX_NAMED: Final = MAX_TEXT // 2  # characters of a table that names each cell
LONG_CELL: Final = 1000  # characters, which make no readable row
PARAGRAPH: Final = "\n\n"  # between paragraphs


class Cell(NamedTuple):
    """A cell, and how many columns and rows it covers. Its text is None if it goes on with the one above."""

    text: str | None
    columns: int = 1
    rows: int = 1


class Table:
    """Collects the rows of a table, and writes them.

    What covers several rows stands in each, so that each can be understood alone. What covers several columns
    stands in the first, or in all of them if it is a heading. Columns line up: empty cells stay, unless there
    is nothing in the whole column or row. What has one column is text.
    """

    def __init__(self, caption: str = "") -> None:
        self.caption = caption
        self._rows: list[list[str | None]] = []  # None is covered by the cell to the left
        self._hanging: dict[int, tuple[str | None, int]] = {}  # by column: its text, and how many more rows
        self._joined: set[int] = set()  # rows that go on with the one above in a column
        self._size = 0

    def add(self, cells: Iterable[Cell]) -> None:
        """Add a row. Raises `too_large` if there are more than MAX_CELLS."""
        row: list[str | None] = []
        for text, columns, rows in cells:
            self._fill(row)
            start, columns = len(row), max(1, min(columns, MAX_COLUMNS))
            if text is None:
                self._joined.add(len(self._rows))
                above = self._rows[-1] if self._rows else []
                row += (above[start : start + columns] + [""] * columns)[:columns]
            else:
                row += [" ".join(text.split()), *[None] * (columns - 1)]
            if rows > 1:
                self._joined.add(len(self._rows) + 1)
                self._hanging |= {column: (row[column], rows - 1) for column in range(start, len(row))}
        self._fill(row)
        width = max(self._hanging, default=-1) + 1
        while len(row) < width:
            row.append("")
            self._fill(row)
        self._size += len(row) + 1
        if self._size > MAX_CELLS:
            raise ChatError(
                "too_large", f"A table in the file has more than {MAX_CELLS} cells; send less of it."
            )
        self._rows.append(row)

    def part(self, headings: int | None = None) -> Part:
        """Return the table; the caption and the first rows, which are `headings`, repeat.

        So do rows that belong to these: headings of several columns have others below. If it is None, the
        first row below titles has headings if its cells are of another kind than those of the others.
        """
        used = sorted({column for row in self._rows for column, text in enumerate(row) if text})
        if len(used) <= 1:
            cells = [text for row in self._rows for text in row if text]
            return Part(PARAGRAPH.join([*([self.caption] if self.caption else []), *cells]))
        headings = self._found_headings() if headings is None else self._all_headings(headings)
        lines = [_line(row, used, heading=number < headings) for number, row in enumerate(self._rows)]
        top = [line for line in (self.caption, *lines[:headings]) if line]
        body = [line for line in lines[headings:] if line]
        written = "\n".join(top + body)
        names = len("\n".join(lines[:headings]))
        if names > MAX_REPEATED and names * len(body) + len(written) <= _MAX_NAMED:
            return Part("\n".join([*top, *self._named(used, headings)]), lines=True)
        return Part(written, repeated="\n".join(top) if body else "")

    def _named(self, used: list[int], headings: int) -> Iterator[str]:
        """Yield the rows below headings that are too long to repeat: `heading: value`, a line for each cell.

        All but the first cell of a row are indented, and so below it.
        """
        above = [_shown(row, heading=True) for row in self._rows[:headings] if not _goes_across(row)]
        names = {
            column: " / ".join(dict.fromkeys([name for row in above for name in row[column:][:1] if name]))
            for column in used
        }
        for row in self._rows[headings:]:
            if _goes_across(row):
                yield row[0] or ""
                continue
            indent = ""
            for column, text in enumerate(row):
                if text:
                    yield f"{indent}{names[column] or column + 1}: {text}"
                    indent = "  "

    def _found_headings(self) -> int:
        """Return how many of the first rows are titles and, below them, headings."""
        titles = next((number for number, row in enumerate(self._rows) if not _goes_across(row)), 0)
        below = self._all_headings(titles + 1)
        names, *others = [
            [text or "" for text in row]
            for row in (*self._rows[titles : titles + 1], *self._rows[below : below + SAMPLE])
        ]
        return below if are_headings(names, others) else titles

    def _all_headings(self, headings: int) -> int:
        """Return how many rows there are to headings, a title across the table and headings of groups."""
        for number, row in enumerate(self._rows[headings - 1 :], start=headings) if headings else ():
            is_grouped = None in row and (not row[0] or number in self._joined)
            if not (is_grouped or _goes_across(row)):
                return number
        return headings

    def _fill(self, row: list[str | None]) -> None:
        """Add what cells of earlier rows cover of this one, from where it ends."""
        while (column := len(row)) in self._hanging:
            text, rows = self._hanging.pop(column)
            row.append(text)
            if rows > 1:
                self._hanging[column] = (text, rows - 1)


def in_a_line(content: str | Part) -> str:
    """Return what is in a cell; the rows of a table in it follow each other."""
    return content if isinstance(content, str) else content.text.replace(" | ", ", ").replace("\n", "; ")


def parts_of(blocks: Iterable[str | Part]) -> Iterator[Part]:
    """Yield the parts of a document that is made of paragraphs and tables."""
    paragraphs: list[str] = []
    for block in blocks:
        if isinstance(block, str):
            paragraphs.append(block)
            continue
        if paragraphs:
            yield Part(PARAGRAPH.join(paragraphs))
            paragraphs = []
        yield block
    if paragraphs:
        yield Part(PARAGRAPH.join(paragraphs))


def _line(row: list[str | None], columns: list[int], *, heading: bool) -> str:
    if not any(row):
        return ""
    if _goes_across(row):
        return row[0] or ""
    shown = _shown(row, heading=heading)
    return line_of(shown[column] if column < len(shown) else "" for column in columns)


def line_of(cells: Iterable[str]) -> str:
    """Return cells as a line of a table; a bar within one is escaped."""
    return " | ".join([cell.replace("|", r"\|") for cell in cells])


def _shown(row: list[str | None], *, heading: bool) -> list[str]:
    shown, last = [], ""
    for text in row:
        last = (last if heading else "") if text is None else text
        shown.append(last)
    return shown


def _goes_across(row: list[str | None]) -> bool:
    return len(row) > 1 and all(text is None for text in row[1:])
