"""ODS: each sheet's tables, with values as they are shown."""

from collections.abc import Iterator
from typing import BinaryIO, Final
from xml.etree.ElementTree import Element

from chatproxy.documents.archives import read_whole
from chatproxy.documents.formats.office.number_formats import general
from chatproxy.documents.formats.office.sheets import Row, Sheet, pictured, uncalculated
from chatproxy.documents.formats.open_document.blocks import Writer
from chatproxy.documents.formats.open_document.package import OpenDocument, Styles
from chatproxy.documents.parts import Part, Reading, Remark

_WHAT: Final = "ODS"
_MAX_COLUMN: Final = 16_384


def read(file: BinaryIO) -> Reading:
    """Return the tables of each sheet. Raises `too_large` for more than can be read within bounds."""
    remarks: list[Remark] = []
    return Reading(_parts(OpenDocument(file, _WHAT, "spreadsheet"), remarks), remarks)


def _parts(document: OpenDocument, remarks: list[Remark]) -> Iterator[Part]:
    with read_whole(_WHAT):
        reader = _Reader(document.styles())
        for element in document.rows():
            if element.tag == "table:table":
                yield from reader.take()
                reader.begin(element)
            elif element.tag == "table:table-row":
                reader.add(element)
            else:
                yield from reader.shapes(element)
        yield from reader.take()
        remarks += uncalculated(reader.uncalculated)
        remarks += pictured(reader.pictured)


class _Reader:
    """Gathers the rows of one sheet after another."""

    def __init__(self, styles: Styles) -> None:
        self.uncalculated = 0
        self.pictured: list[str] = []
        self._styles = styles
        self._writer = Writer(styles)
        self._sheet = Sheet("")
        self._place = 0
        self._merged: list[tuple[int, int, int, int]] = []

    def begin(self, table: Element) -> None:
        """Begin a sheet."""
        name = table.get("table:name", "")
        shown = self._styles.property("table", table.get("table:style-name"), "table:display") != "false"
        self._sheet = Sheet(name if shown else f"{name} (hidden)")
        self._place = 0
        self._merged = []

    def add(self, element: Element) -> None:
        """Add a row, as often as it repeats if there is anything in it."""
        times = int(element.get("table:number-rows-repeated", "1"))
        row = self._row(element)
        for place in range(self._place, self._place + times) if row else ():
            self._sheet.add(place, row)
        self._place += times

    def take(self) -> Iterator[Part]:
        """Yield the tables of the sheet."""
        for area in self._merged:
            self._sheet.merge(*area)
        if self._writer.pictures:
            self._writer.pictures = 0
            self.pictured.append(self._sheet.name)
        yield from self._sheet.parts()

    def shapes(self, element: Element) -> Iterator[Part]:
        """Yield what is written on shapes of the sheet; not what comments on it."""
        if element.tag == "table:shapes" and (text := self._writer.text(element)):
            yield Part(f"## {self._sheet.name}\n{text}")

    def _row(self, element: Element) -> Row:
        row: Row = {}
        column = 0
        for cell in element:
            if cell.tag not in {"table:table-cell", "table:covered-table-cell"}:
                continue
            times = int(cell.get("table:number-columns-repeated", "1"))
            if cell.tag == "table:table-cell" and (text := self._value(cell)):
                row |= dict.fromkeys(range(column, min(column + times, _MAX_COLUMN)), text)
                across = int(cell.get("table:number-columns-spanned", "1"))
                down = int(cell.get("table:number-rows-spanned", "1"))
                if across > 1 or down > 1:
                    area = (self._place, column, self._place + down - 1, column + across - 1)
                    self._merged.append(area)
            column += times
        return row

    def _value(self, cell: Element) -> str:
        kind = cell.get("office:value-type")
        if kind == "date":  # which the cell shows as the country has it
            return cell.get("office:date-value", "").replace("T", " ").removesuffix(":00")
        if text := self._writer.text(cell):
            return text
        if value := cell.get("office:value"):
            return general(float(value))
        formula = cell.get("table:formula")
        if formula and kind is None:
            self.uncalculated += 1
            return formula.partition(":")[2]
        return ""
