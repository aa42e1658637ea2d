"""XLS, the workbooks of Excel before 2007, by xlrd, which knows how numbers are shown."""

from collections.abc import Iterator
from io import StringIO
from typing import Any, BinaryIO, Final

from chatproxy.documents.archives import LOCKED, read_whole
from chatproxy.documents.formats.office.number_formats import GENERAL, number
from chatproxy.documents.formats.office.sheets import Sheet
from chatproxy.documents.parts import Part, Reading, locked, missing_package

_WHAT: Final = "XLS"


def read(file: BinaryIO) -> Reading:
    """Return the tables of each sheet. Raises `invalid` for a locked file."""
    try:
        import xlrd
    except ImportError as error:
        raise missing_package(error) from error
    data = file.read()
    if LOCKED in data:
        raise locked(_WHAT)
    with read_whole(_WHAT):
        try:
            book = xlrd.open_workbook(
                file_contents=data, formatting_info=True, on_demand=True, logfile=StringIO()
            )
        except xlrd.XLRDError as error:
            if "encrypted" in str(error):
                raise locked(_WHAT) from None
            raise
    return Reading(_parts(book, xlrd.error_text_from_code))


def _parts(book: Any, errors: dict[int, str]) -> Iterator[Part]:
    with read_whole(_WHAT):
        for place in range(book.nsheets):
            found = book.sheet_by_index(place)
            sheet = Sheet(found.name if found.visibility == 0 else f"{found.name} (hidden)")
            if found.has_pane_record and found.panes_are_frozen:
                sheet.frozen = found.horz_split_pos
            for row in range(found.nrows):
                cells = enumerate(found.row(row))
                sheet.add(row, {column: _value(book, cell, errors) for column, cell in cells})
            for top, bottom, left, right in found.merged_cells:
                sheet.merge(top, left, bottom - 1, right - 1)
            yield from sheet.parts()
            book.unload_sheet(place)


def _value(book: Any, cell: Any, errors: dict[int, str]) -> str:
    match cell.ctype:
        case 1:
            return str(cell.value)
        case 2 | 3:
            code = book.format_map[book.xf_list[cell.xf_index].format_key].format_str
            return number(cell.value, code or GENERAL, from_1904=bool(book.datemode))
        case 4:
            return "TRUE" if cell.value else "FALSE"
        case 5:
            return errors.get(cell.value, "#N/A")
        case _:
            return ""
