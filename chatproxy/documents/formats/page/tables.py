"""Tables of HTML: those of data, and those that a page is laid out with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from chatproxy.documents.notation.tables import LONG_CELL, PARAGRAPH, Cell, Table, in_a_line
from chatproxy.documents.parts import Part

_TO_THE_END: Final = 65534  # rows, the most that HTML has


@dataclass(slots=True)
class _PageCell:
    content: Sequence[str | Part]
    columns: int
    rows: int
    is_name: bool  # a <th>

    def text(self) -> str:
        """Return the text in a line."""
        return "".join(map(in_a_line, self.content)).strip()


@dataclass(slots=True)
class PageTable:
    """Collects the cells of a <table>, which are data or parts of the page."""

    is_layout: bool = False  # by what is in it, or by its role; not if there are headings
    caption: str = ""
    in_head: bool = False
    in_foot: bool = False
    _head_rows: int = 0
    _rows: list[list[_PageCell]] = field(default_factory=list)
    _foot: list[list[_PageCell]] = field(default_factory=list)  # shown last, wherever it stands
    _row: list[_PageCell] = field(default_factory=list)

    def cell(self, tag: str, attributes: Mapping[str, str], content: Sequence[str | Part]) -> None:
        """Add a cell to the row that is open."""
        rows = _number(attributes.get("rowspan"), 1)
        columns = _number(attributes.get("colspan"), 1)
        self._row.append(_PageCell(content, columns, rows or _TO_THE_END, tag == "th"))

    def end_row(self) -> None:
        """End the row."""
        if self._row:
            (self._foot if self.in_foot else self._rows).append(self._row)
            self._head_rows += self.in_head
            self._row = []

    def written(self) -> Part | list[str | Part]:
        """Return the table, or what the cells of a layout hold."""
        self.end_row()
        rows = self._rows + self._foot
        named = bool(self._head_rows or self.caption or any(cell.is_name for row in rows for cell in row))
        if not named and (
            self.is_layout
            or all(len(row) == 1 for row in rows)
            or any(len(cell.text()) > LONG_CELL for row in rows for cell in row)
        ):
            return _unfolded(rows)
        table = Table(self.caption)
        if not rows:
            return table.part()
        for row in rows:
            table.add([Cell(cell.text(), cell.columns, cell.rows) for cell in row])
        return table.part(self._headings(rows))

    def _headings(self, rows: list[list[_PageCell]]) -> int | None:
        """Return how many of the first rows are headings; None if nothing says so."""
        if self._head_rows:
            return self._head_rows
        names = [all(cell.is_name or not cell.text() for cell in row) for row in rows]
        if names[0]:
            return names.index(False) if False in names else 1
        return 0 if any(cell.is_name for cell in rows[0]) else None


def _unfolded(rows: list[list[_PageCell]]) -> list[str | Part]:
    """Return what cells hold, one after the other; short ones of a row stay in a line."""
    unfolded: list[str | Part] = []
    for row in rows:
        texts = [cell.text() for cell in row]
        if any("\n" in text for text in texts) or any(
            not isinstance(each, str) for cell in row for each in cell.content
        ):
            for cell in row:
                unfolded += [*cell.content, PARAGRAPH]
        else:
            unfolded += [" ".join([text for text in texts if text]), "\n"]
    return unfolded


def _number(value: str | None, otherwise: int) -> int:
    value = (value or "").strip()[:6]
    return int(value) if value.isascii() and value.isdigit() else otherwise
