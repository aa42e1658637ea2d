"""One page of a file: its lines, fields and tables, before they are put in order."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from chatproxy.documents.formats.pdf.content import tags
from chatproxy.documents.formats.pdf.content.fields import Field, read_fields, with_fields
from chatproxy.documents.formats.pdf.content.glyphs import Glyph, Rule, turned
from chatproxy.documents.formats.pdf.content.lines import Line, read_lines
from chatproxy.documents.formats.pdf.content.pages import Page, flattened, loaded, read_page
from chatproxy.documents.formats.pdf.content.words import undivided
from chatproxy.documents.notation.tables import Cell, Table
from chatproxy.documents.parts import Part

_UNREADABLE: Final = 0.05  # of the characters of a page
_MAX_CELL: Final = 1000  # characters; a table with more in a cell is one for layout
_MARGIN: Final = 2.0  # points around a field


class Grid(NamedTuple):
    """A table that has been read otherwise, at its place."""

    part: Part
    x0: float
    x1: float
    top: float
    bottom: float
    size: float = 1.0

    @property
    def y(self) -> float:
        return self.top


class Sheet(Struct):
    """What has been read of a page: the lines of each direction, most frequent first, and its ends in that.

    `picture` is the share of it that images cover; `drawn` says whether there is anything to see but text,
    and `unreadable` whether there are many characters that the file does not say.
    """

    lines: list[list[Line]]
    bottom: float
    top: float
    grids: Sequence[Grid] = ()
    rules: Sequence[Rule] = ()
    picture: float = 0.0
    drawn: bool = False
    unreadable: bool = False
    fields: int = 0


def read_sheet(document: Any, form: Any, number: int) -> Sheet | None:
    """Return a page of PDFium's document by its number, from 1; None if there is nothing of it."""
    with loaded(document, number - 1, form) as (handle, text):
        if not handle:
            return None
        page = read_page(handle, text)
        fields = read_fields(form, handle)
        tables = tags.tables(handle)
        drawn = [field for field in fields if field.drawn]
        picture = flattened(document, number - 1, handle) if drawn else None
    level = page.directions[0] if page.directions else 0
    glyphs = page.glyphs.get(level, [])
    if picture is not None:
        fields = [_read_off(field, page, picture) for field in fields]
    grids, inside = _grids(tables, glyphs)
    main = read_lines([glyph for glyph in glyphs if glyph.mark not in inside], page.rules)
    others = [read_lines(page.glyphs[angle]) for angle in page.directions[1:]]
    read = sum(map(len, page.glyphs.values()))
    return Sheet(
        lines=[with_fields(main, [_turned(field, level) for field in fields]), *others],
        bottom=page.bottom,
        top=page.top,
        grids=grids,
        rules=page.rules,
        picture=page.picture,
        drawn=page.drawn,
        unreadable=page.unreadable > _UNREADABLE * (read + page.unreadable),
        fields=len(fields),
    )


def _turned(field: Field, angle: int) -> Field:
    (x0, y0), (x1, y1) = turned(field.x0, field.bottom, angle), turned(field.x1, field.top, angle)
    return field._replace(x0=min(x0, x1), x1=max(x0, x1), bottom=min(y0, y1), top=max(y0, y1))


def _read_off(field: Field, page: Page, picture: Page) -> Field:
    """Return a field with the text of its picture; `picture` is the page with all fields drawn on it."""
    if not field.drawn:
        return field
    said = []
    for angle, glyphs in picture.glyphs.items():
        place = _turned(field, angle)
        known = {(glyph.text, round(glyph.x0), round(glyph.y)) for glyph in page.glyphs.get(angle, [])}
        said += read_lines(
            glyph
            for glyph in glyphs
            if place.x0 - _MARGIN < glyph.x0 < place.x1 + _MARGIN
            and place.bottom - _MARGIN < glyph.y < place.top + _MARGIN
            and (glyph.text, round(glyph.x0), round(glyph.y)) not in known
        )
    return field._replace(value="\n".join([line.text for line in said]) or field.value)


def _grids(tables: Sequence[tags.TaggedTable], glyphs: Sequence[Glyph]) -> tuple[list[Grid], set[int]]:
    """Return the tables of a page with their text, and the marks of what is in them."""
    if not tables:
        return [], set()
    marked: dict[int, list[Glyph]] = {}
    for glyph in glyphs:
        marked.setdefault(glyph.mark, []).append(glyph)
    grids, inside = [], set[int]()
    for table in tables:
        marks = {mark for row in table.rows for cell in row for mark in cell.marks} & marked.keys()
        there = [glyph for mark in marks for glyph in marked[mark]]
        written = Table()
        longest = 0
        for row in table.rows:
            cells = [Cell(_said(cell.marks, marked), cell.columns, cell.rows) for cell in row]
            longest = max([longest, *[len(cell.text or "") for cell in cells]])
            written.add(cells)
        if there and longest <= _MAX_CELL and any(len(row) > 1 for row in table.rows):
            inside |= marks
            grids.append(
                Grid(
                    written.part(headings=table.headings),
                    min(glyph.x0 for glyph in there),
                    max(glyph.x1 for glyph in there),
                    max(glyph.y + 0.8 * glyph.size for glyph in there),
                    min(glyph.y - 0.25 * glyph.size for glyph in there),
                )
            )
    return grids, inside


def _said(marks: Sequence[int], marked: Mapping[int, Sequence[Glyph]]) -> str:
    lines = read_lines([glyph for mark in marks for glyph in marked.get(mark, ())])
    return undivided("\n".join([line.text for line in lines]), ())
