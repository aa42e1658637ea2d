"""XLSX and its kin: each sheet's tables, with values as they are shown.

python-calamine and openpyxl leave out how numbers are shown, and neither says which formulas have no value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, Final
from xml.etree.ElementTree import Element

from chatproxy.documents.archives import read_whole
from chatproxy.documents.formats.office.number_formats import BUILT_IN, GENERAL, number
from chatproxy.documents.formats.office.packages import Package
from chatproxy.documents.formats.office.sheets import Row, Sheet, pictured, uncalculated
from chatproxy.documents.markup import child, children, elements
from chatproxy.documents.notation.scripts import subscript, superscript
from chatproxy.documents.parts import Part, Reading, Remark

_WHAT: Final = "XLSX"
_MAX_ROW: Final = 1_048_576
_MAX_COLUMN: Final = 16_384
_REFERENCE: Final = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})")
_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")  # how a workbook writes what XML cannot hold
_SHIFTS: Final = {"superscript": superscript, "subscript": subscript}


def read(file: BinaryIO) -> Reading:
    """Return the tables of each sheet. Raises `too_large` for more than can be read within bounds."""
    remarks: list[Remark] = []
    return Reading(_parts(Package(file, _WHAT), remarks), remarks)


def _parts(package: Package, remarks: list[Remark]) -> Iterator[Part]:
    with read_whole(_WHAT):
        name, workbook = package.main("x:workbook")
        book = _Book(package, name, workbook)
        files = {related.id: related for related in package.related(name)}
        for entry in workbook.iter("x:sheet"):
            shown = entry.get("name", "")
            if entry.get("state", "visible") != "visible":
                shown += " (hidden)"
            if related := files.get(entry.get("r:id", "")):
                yield from book.sheet(shown, related.name)
        remarks += book.remarks()


class _Book:
    """What the sheets of a workbook share."""

    def __init__(self, package: Package, name: str, workbook: Element) -> None:
        self._package = package
        self._from_1904 = any(each.get("date1904") in {"1", "true"} for each in workbook.iter("x:workbookPr"))
        self._strings: Sequence[str] = []
        self._codes: Sequence[str] = []
        self._uncalculated = 0
        self._pictured: list[str] = []
        for related in package.related(name, "sharedStrings", "styles"):
            if related.kind == "styles":
                self._codes = list(_codes(package.root(related.name)))
            else:
                with package.open(related.name) as file:
                    self._strings = [_text(element) for element in elements(file, "x:si")]

    def sheet(self, shown: str, name: str) -> Iterator[Part]:
        """Yield the tables of a sheet, and what is written on shapes."""
        sheet = Sheet(shown)
        merged: list[str] = []
        place = 0
        with self._package.open(name) as file:
            for element in elements(file, "x:pane", "x:row", "x:mergeCell"):
                if element.tag == "x:row":
                    place = int(element.get("r", place + 1))
                    if 0 < place <= _MAX_ROW:
                        sheet.add(place - 1, self._row(element))
                elif element.tag == "x:mergeCell":
                    merged.append(element.get("ref", ""))
                elif element.get("state", "").startswith("frozen"):
                    sheet.frozen = int(float(element.get("ySplit", "0")))
        for area in merged:
            first, _, last = area.partition(":")
            (left, top), (right, bottom) = _place(first), _place(last)
            sheet.merge(top, left, bottom, right)
        yield from sheet.parts()
        yield from self._drawn(shown, name)

    def remarks(self) -> Iterator[Remark]:
        """Yield what could not be read."""
        yield from uncalculated(self._uncalculated)
        yield from pictured(self._pictured)

    def _row(self, element: Element) -> Row:
        row: Row = {}
        column = -1
        for cell in element:
            if cell.tag != "x:c":
                continue
            reference = cell.get("r")
            column = _place(reference)[0] if reference else column + 1
            if column < _MAX_COLUMN and (text := self._value(cell)):
                row[column] = text
        return row

    def _value(self, cell: Element) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            inline = child(cell, "x:is")
            return "" if inline is None else _text(inline)
        value = formula = ""
        for part in cell:
            if part.tag == "x:v":
                value = part.text or ""
            elif part.tag == "x:f":
                formula = part.text or "…"
        if not value:
            if not formula or kind == "str":
                return ""
            self._uncalculated += 1
            return f"={formula}"
        if kind == "s":
            return self._strings[int(value)]
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        if kind == "n":
            style = int(cell.get("s", "0"))
            code = self._codes[style] if style < len(self._codes) else GENERAL
            return number(float(value), code, from_1904=self._from_1904)
        return _unescaped(value)

    def _drawn(self, shown: str, name: str) -> Iterator[Part]:
        for drawing in self._package.related(name, "drawing"):
            with self._package.open(drawing.name) as file:
                texts = [
                    "".join([text.text or "" for text in each.iter("a:t")]) for each in elements(file, "a:p")
                ]
            if said := [text for text in texts if text.strip()]:
                yield Part("\n".join([f"## {shown}", *said]))
            if shown not in self._pictured and any(self._package.related(drawing.name, "image", "chart")):
                self._pictured.append(shown)


def _codes(styles: Element) -> Iterator[str]:
    """Yield how each style of cells shows numbers."""
    own: Mapping[str | None, str] = {
        each.get("numFmtId"): each.get("formatCode", GENERAL) for each in styles.iter("x:numFmt")
    }
    formats = child(styles, "x:cellXfs")
    for style in () if formats is None else children(formats, "x:xf"):
        code = style.get("numFmtId", "0")
        yield own.get(code) or BUILT_IN.get(int(code), GENERAL)


def _text(element: Element) -> str:
    """Return the text of a string, without how it is pronounced."""
    text = ""
    for part in element:
        if part.tag == "x:t":
            text += part.text or ""
        elif part.tag == "x:r":
            run = "".join([each.text or "" for each in children(part, "x:t")])
            shift = child(part, "x:rPr", "x:vertAlign")
            if shift is not None and (shifted := _SHIFTS.get(shift.get("val", ""))):
                run = shifted(run)
            text += run
    return _unescaped(text)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _place(reference: str) -> tuple[int, int]:
    """Return the column and the row that `B4` names, from 0."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ValueError(f"no cell: {reference[:20]}")
    column = 0
    for letter in found[1]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1, int(found[2]) - 1
