"""From the cells of a sheet to its tables, each a part with its own heading."""

from collections.abc import Iterator, Sequence
from itertools import dropwhile
from typing import Final, NamedTuple

from chatproxy.documents.notation.headings import SAMPLE, are_headings, is_figure
from chatproxy.documents.notation.tables import MAX_CELLS, Cell, Table
from chatproxy.documents.parts import MAX_TEXT, PARTIAL, Part, Remark, too_long, too_many

MAX_MERGED: Final = 10_000  # cells that one merged cell covers and is shown in
MAX_HEADINGS: Final = 5  # rows
MAX_NAMES: Final = 10  # of sheets that a remark names
MAX_TITLES: Final = 5  # rows above a table

Row = dict[int, str]  # the text of cells that have some, by column from 0


class Sheet:
    """The cells of a sheet, by row and column from 0, bounded."""

    def __init__(self, name: str) -> None:
        """Begin a sheet without rows; `name` becomes the heading of its tables."""
        self.name = name
        self.frozen = 0  # rows above that stay on the screen
        self._rows: dict[int, Row] = {}
        self._reach: dict[int, int] = {}  # by row: the last one that merged cells of it cover
        self._text = self._cells = self._merged = 0

    def add(self, number: int, row: Row) -> None:
        """Add a row. Raises `too_large` beyond MAX_TEXT and MAX_CELLS."""
        row = {column: text for column, text in row.items() if text.strip()}
        self._text += sum(map(len, row.values()))
        self._cells += len(row)
        if self._text > MAX_TEXT:
            raise too_long()
        if self._cells > MAX_CELLS:
            raise too_many("cells")
        if row:
            self._rows[number] = row

    def merge(self, top: int, left: int, bottom: int, right: int) -> None:
        """Show the text of a merged cell in all rows and columns that it covers, so that each row is clear.

        Not a number, which is there once, and not a title, beside which there is nothing.
        """
        text = self._rows.get(top, {}).get(left)
        if not text or is_figure(text) or (bottom - top + 1) * (right - left + 1) > MAX_MERGED:
            return
        self._merged += bottom - top + 1
        if self._merged > MAX_CELLS:
            raise too_many("cells")
        self._reach[top] = max(bottom, self._reach.get(top, top))
        for number in range(top, bottom + 1):
            row = self._rows.get(number)
            if row and (number > top or len(row) > 1):
                self.add(number, dict.fromkeys(range(left, right + 1), text) | row)

    def parts(self) -> Iterator[Part]:
        """Yield the tables of the sheet, which empty rows separate, below its name and their titles."""
        titles: list[str] = []
        above = _Columns((), frozenset())
        blocks = list(_blocks(self._rows))
        for place, (first, block) in enumerate(blocks):
            rows = list(dropwhile(_is_line, block))
            lines = block[: len(block) - len(rows)]
            titles += [text for row in lines for text in row.values()]
            if not rows and len(lines) <= MAX_TITLES and place + 1 < len(blocks):
                continue  # it is about what follows
            caption = "\n".join([f"## {self.name}", *titles])
            titles = []
            if not rows:
                yield Part(caption)
                continue
            columns = frozenset().union(*rows)
            top = first + len(lines)
            found = _headings(rows, self.frozen - top, self._reach.get(top, top) - top + 1)
            if found == 0 and columns <= above.used:  # the table goes on
                rows, columns, found = [*above.heading, *rows], above.used, len(above.heading)
            above = _Columns(rows[:found], columns)
            if len(columns) * len(rows) > MAX_CELLS:
                raise too_many("cells")
            table = Table(caption)
            for row in rows:
                table.add([Cell(row.get(column, "")) for column in sorted(columns)])
            yield table.part(found)


def uncalculated(formulas: int) -> Iterator[Remark]:
    """Yield what to say of formulas whose values a file does not have."""
    if formulas:
        yield Remark(
            PARTIAL,
            f"The values of {formulas} formulas were never calculated;"
            " open the file in a spreadsheet program, save it and send that.",
        )


def pictured(sheets: Sequence[str]) -> Iterator[Remark]:
    """Yield what to say of sheets with charts and pictures."""
    if sheets:
        more = len(sheets) - MAX_NAMES
        names = ", ".join([*sheets[:MAX_NAMES], *([f"{more} more"] if more > 0 else [])])
        yield Remark(PARTIAL, f"Charts and pictures are not read: there are some on {names}.")


class _Columns(NamedTuple):
    """The columns of a table, and the rows that say what they are."""

    heading: Sequence[Row]
    used: frozenset[int]


def _is_line(row: Row) -> bool:
    """Return whether there is one text in a row, as in that of a title."""
    return len(row) == 1 and not any(map(is_figure, row.values()))


def _blocks(rows: dict[int, Row]) -> Iterator[tuple[int, list[Row]]]:
    """Yield the number of the first row and the rows of what empty rows separate."""
    block: list[Row] = []
    last = -1
    for number in sorted(rows):
        if block and number > last + 1:
            yield last + 1 - len(block), block
            block = []
        block.append(rows[number])
        last = number
    if block:
        yield last + 1 - len(block), block


def _headings(rows: Sequence[Row], frozen: int, reach: int) -> int:
    """Return how many of the first rows say what the columns are.

    These are those that stay on the screen, or else the first one, with those that its cells `reach` into,
    if it is of another kind than what follows.
    """
    if 0 < frozen <= MAX_HEADINGS and frozen < len(rows):
        return frozen
    columns = sorted(rows[0])
    names, *others = [
        [row.get(column, "") for column in columns] for row in (rows[0], *rows[reach : reach + SAMPLE])
    ]
    found = reach <= MAX_HEADINGS and len(columns) > 1 and are_headings(names, others)
    return reach if found else 0
