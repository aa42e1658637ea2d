"""Tables that a tagged file names: its structure tree says which marked content is in which cell.

ISO 32000-1, 14.8.4.3.4 (table elements) and 14.8.5.7 (their attributes).
"""

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pypdfium2.raw as pdfium
from msgspec import Struct

from chatproxy.documents.formats.pdf.content.pages import string

_MAX_ELEMENTS: Final = 50_000  # of a page
_GROUPS: Final = frozenset({"THead", "TBody", "TFoot"})


class TaggedCell(Struct):
    """The marked content of a cell, and how many columns and rows it covers."""

    marks: list[int]
    columns: int = 1
    rows: int = 1
    heading: bool = False


class TaggedTable(Struct):
    """The rows of a table that are on a page."""

    rows: list[list[TaggedCell]]

    @property
    def headings(self) -> int:
        """The number of rows at the top in which all cells are headings."""
        return next(
            (n for n, row in enumerate(self.rows) if not all(cell.heading for cell in row)), len(self.rows)
        )


def tables(page: Any) -> list[TaggedTable]:
    """Return the tables of a page, in the order of the structure tree; those within others are their text."""
    tree = pdfium.FPDF_StructTree_GetForPage(page)
    if not tree:
        return []
    try:
        roots = [
            pdfium.FPDF_StructTree_GetChildAtIndex(tree, index)
            for index in range(min(pdfium.FPDF_StructTree_CountChildren(tree), _MAX_ELEMENTS))
        ]
        return list(_tables(roots))
    finally:
        pdfium.FPDF_StructTree_Close(tree)


def _tables(roots: list[Any]) -> Iterator[TaggedTable]:
    waiting, left = list(reversed(roots)), _MAX_ELEMENTS
    while waiting and left > 0:
        element, left = waiting.pop(), left - 1
        if not element:
            continue
        if _kind(element) == "Table":
            rows: list[list[TaggedCell]] = []
            for row in _rows(element):
                rows.append(_row(row))
                left -= len(rows[-1])
                if left < 0:
                    return
            yield TaggedTable(rows)
        else:
            waiting += reversed(_children(element))


def _rows(table: Any) -> Iterator[Any]:
    for child in _children(table):
        kind = _kind(child) if child else ""
        if kind == "TR":
            yield child
        elif kind in _GROUPS:
            yield from [row for row in _children(child) if row and _kind(row) == "TR"]


def _row(row: Any) -> list[TaggedCell]:
    """Return the cells of a row. PDFium does not give those without content, but counts them."""
    return [_cell(cell) if cell else TaggedCell([]) for cell in _children(row)]


def _cell(cell: Any) -> TaggedCell:
    return TaggedCell(
        _marks(cell), _attribute(cell, b"ColSpan"), _attribute(cell, b"RowSpan"), _kind(cell) == "TH"
    )


def _marks(element: Any) -> list[int]:
    marks: list[int] = []
    waiting, left = [element], _MAX_ELEMENTS
    while waiting and left:
        element, left = waiting.pop(), left - 1
        for index in range(min(pdfium.FPDF_StructElement_CountChildren(element), _MAX_ELEMENTS)):
            mark = pdfium.FPDF_StructElement_GetChildMarkedContentID(element, index)
            if mark >= 0:
                marks.append(mark)
        waiting += [child for child in _children(element) if child]
    return marks


def _children(element: Any) -> list[Any]:
    count = min(pdfium.FPDF_StructElement_CountChildren(element), _MAX_ELEMENTS)
    return [pdfium.FPDF_StructElement_GetChildAtIndex(element, index) for index in range(count)]


def _kind(element: Any) -> str:
    return string(pdfium.FPDF_StructElement_GetType, element)


def _attribute(element: Any, name: bytes) -> int:
    """Return a positive number among an element's attributes, or 1."""
    value = ctypes.c_float()
    for index in range(min(pdfium.FPDF_StructElement_GetAttributeCount(element), 100)):
        attribute = pdfium.FPDF_StructElement_GetAttributeAtIndex(element, index)
        found = pdfium.FPDF_StructElement_Attr_GetValue(attribute, name)
        if found and pdfium.FPDF_StructElement_Attr_GetNumberValue(found, value):
            with suppress(ValueError, OverflowError):
                return max(int(value.value), 1)
    return 1
