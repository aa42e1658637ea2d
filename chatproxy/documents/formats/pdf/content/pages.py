"""What PDFium knows of a file and its pages."""

import ctypes
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import atan2, degrees, hypot
from typing import Any, Final

import pypdfium2.raw as pdfium
from msgspec import Struct

from chatproxy.documents.formats.pdf.content.glyphs import Glyph, Rule, is_upright, turned, written
from chatproxy.documents.formats.pdf.content.mended import mended
from chatproxy.documents.parts import damaged, locked

_MAX_OBJECTS: Final = 20_000  # of a page, that are looked at
_MAX_DEPTH: Final = 4  # of forms in forms
_MAX_STRING: Final = 1024 * 1024  # bytes
_HYPHEN: Final = 2  # PDFium's code for one at the end of a line
_THIN: Final = 2.0  # points
_FEW_SHAPES: Final = 20
_DOWN: Final = 270  # degrees


class Page(Struct):
    """A page: glyphs by the direction in which they are written, horizontal lines, and pictures.

    `glyphs` are in the order of the file, and placed as if their direction were level. `directions` begins
    with the most frequent one, in which `rules` and the ends of the page are placed, too. `picture` is the
    share of the page that images cover, and `drawn` says whether there is anything to see but text.
    `unreadable` counts characters that the file does not say.
    """

    bottom: float
    top: float
    directions: list[int]
    glyphs: dict[int, list[Glyph]]
    rules: list[Rule]
    picture: float
    drawn: bool
    unreadable: int


@contextmanager
def opened(data: bytes) -> Iterator[Any]:
    """Give the block PDFium's handle of a document. Raises `invalid` for a locked or damaged one."""
    document = pdfium.FPDF_LoadMemDocument64(data, len(data), None)
    if not document and pdfium.FPDF_GetLastError() in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}:
        raise locked("PDF")
    if not document:
        data = mended(data)
        document = pdfium.FPDF_LoadMemDocument64(data, len(data), None)
    if not document:
        raise damaged("PDF")
    try:
        yield document
    finally:
        pdfium.FPDF_CloseDocument(document)


@contextmanager
def loaded(document: Any, number: int, form: Any = None) -> Iterator[tuple[Any, Any]]:
    """Give the block the handles of a page, from 0, and of its text; both None if there is no such page."""
    page = pdfium.FPDF_LoadPage(document, number)
    text = pdfium.FPDFText_LoadPage(page) if page else None
    if page and form:
        pdfium.FORM_OnAfterLoadPage(page, form)
    try:
        yield (page, text) if text else (None, None)
    finally:
        if text:
            pdfium.FPDFText_ClosePage(text)
        if page and form:
            pdfium.FORM_OnBeforeClosePage(page, form)
        if page:
            pdfium.FPDF_ClosePage(page)


def read_page(page: Any, text: Any) -> Page:
    """Return what is on a page."""
    glyphs, unreadable = _read_glyphs(text)
    directions = sorted(glyphs, key=lambda angle: -len(glyphs[angle]))
    level = directions[0] if directions else 0
    rules, covered, shapes = _read_objects(page, level)
    box = pdfium.FS_RECTF()
    pdfium.FPDF_GetPageBoundingBox(page, box)
    picture = covered / max((box.right - box.left) * (box.top - box.bottom), 1)
    heights = [turned(x, y, level)[1] for x in (box.left, box.right) for y in (box.bottom, box.top)]
    return Page(
        bottom=min(heights),
        top=max(heights),
        directions=directions,
        glyphs=glyphs,
        rules=rules,
        picture=picture,
        drawn=picture > 0 or shapes > _FEW_SHAPES,
        unreadable=unreadable,
    )


def flattened(document: Any, number: int, page: Any) -> Page | None:
    """Return a page, from 0, with the pictures of its fields and notes drawn on it; None if that fails."""
    if pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY) == pdfium.FLATTEN_FAIL:
        return None
    with loaded(document, number) as (handle, text):
        return read_page(handle, text) if handle else None


def _read_glyphs(text: Any) -> tuple[dict[int, list[Glyph]], int]:
    """Return the glyphs by their direction in degrees, and how many characters are unknown."""
    x, y, box, matrix = ctypes.c_double(), ctypes.c_double(), pdfium.FS_RECTF(), pdfium.FS_MATRIX()
    glyphs: dict[int, list[Glyph]] = {}
    group: list[Glyph] = []
    unreadable, last, angle, size, mark = 0, 0, 0, 1.0, -1
    for index in range(pdfium.FPDFText_CountChars(text)):
        part = pdfium.FPDFText_GetTextObject(text, index)
        if not part:  # a space or the end of a line that PDFium has made up
            continue
        code = pdfium.FPDFText_GetUnicode(text, index)
        said = "-" if code == _HYPHEN else written(chr(code)) if code else None
        if said is None or pdfium.FPDFText_HasUnicodeMapError(text, index) == 1:
            unreadable += 1
            continue
        place = ctypes.cast(part, ctypes.c_void_p).value or 0
        if place != last:
            last = place
            pdfium.FPDFText_GetMatrix(text, index, matrix)
            angle = round(degrees(atan2(matrix.b, matrix.a))) % 360
            size = abs(pdfium.FPDFText_GetFontSize(text, index)) * hypot(matrix.c, matrix.d) or 1.0
            mark = pdfium.FPDFPageObj_GetMarkedContentID(part)
            group = glyphs.setdefault(angle, [])
        if not said:  # what follows is as near to what was before
            pdfium.FPDFText_GetLooseCharBox(text, index, box)
            group[-1:] = [each._replace(x1=max(each.x1, box.right)) for each in group[-1:]]
            continue
        if group and unicodedata.combining(said[0]):
            group[-1] = group[-1]._replace(text=unicodedata.normalize("NFC", group[-1].text + said))
            continue
        pdfium.FPDFText_GetCharOrigin(text, index, x, y)
        pdfium.FPDFText_GetLooseCharBox(text, index, box)
        if angle == 0:
            group.append(Glyph(said, x.value, box.right, y.value, size, mark))
        else:
            x0, baseline = turned(x.value, y.value, angle)
            ends = [turned(*corner, angle)[0] for corner in ((box.left, box.bottom), (box.right, box.top))]
            x1 = max(ends) if angle % 90 == 0 else x0 + size / 2
            group.append(Glyph(said, x0, x1, baseline, size, mark))
    if level := glyphs.get(0):
        glyphs[0], downwards = _parted(level)
        glyphs.setdefault(_DOWN, []).extend(downwards)
    return {angle: group for angle, group in glyphs.items() if group}, unreadable


def _parted(glyphs: Sequence[Glyph]) -> tuple[list[Glyph], list[Glyph]]:
    """Return glyphs that are written from left to right, and those from the top down, turned."""
    down = [
        abs(b.x0 - a.x0) < 0.1 * a.size and 0.5 * a.size < a.y - b.y < 1.6 * a.size and is_upright(a.text)
        for a, b in pairwise(glyphs)
    ]
    level, turned_down = [], []
    for glyph, before, after in zip(glyphs, [False, *down], [*down, False], strict=True):
        if (before or after) and is_upright(glyph.text):
            top = -glyph.y - 0.88 * glyph.size
            turned_down.append(glyph._replace(x0=top, x1=top + glyph.size, y=glyph.x0))
        else:
            level.append(glyph)
    return level, turned_down


def _read_objects(page: Any, angle: int) -> tuple[list[Rule], float, int]:
    """Return horizontal lines, the area that images cover, and how many other shapes there are."""
    rules: list[Rule] = []
    covered, shapes = 0.0, Counter[int]()
    sides = [ctypes.c_float() for _ in range(4)]
    for drawn in _objects(page, pdfium.FPDFPage_CountObjects, pdfium.FPDFPage_GetObject):
        kind = pdfium.FPDFPageObj_GetType(drawn)
        shapes[kind] += 1
        if kind not in {pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_SHADING}:
            continue
        if not pdfium.FPDFPageObj_GetBounds(drawn, *sides):
            continue
        left, bottom, right, top = [side.value for side in sides]
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            covered += abs((right - left) * (top - bottom))
        elif kind == pdfium.FPDF_PAGEOBJ_PATH and angle % 90 == 0:
            (x0, y0), (x1, y1) = turned(left, bottom, angle), turned(right, top, angle)
            x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
            if y1 - y0 <= _THIN:
                rules.append(Rule(x0, x1, (y0 + y1) / 2))
            elif x1 - x0 > _THIN:
                rules += [Rule(x0, x1, y0), Rule(x0, x1, y1)]
    return rules, covered, shapes[pdfium.FPDF_PAGEOBJ_PATH] + shapes[pdfium.FPDF_PAGEOBJ_SHADING]


def _objects(parent: Any, count: Any, get: Any, depth: int = 0) -> Iterator[Any]:
    """Yield what is drawn on a page, and within what is drawn as one."""
    for index in range(min(count(parent), _MAX_OBJECTS)):
        drawn = get(parent, index)
        yield drawn
        if depth < _MAX_DEPTH and pdfium.FPDFPageObj_GetType(drawn) == pdfium.FPDF_PAGEOBJ_FORM:
            yield from _objects(
                drawn, pdfium.FPDFFormObj_CountObjects, pdfium.FPDFFormObj_GetObject, depth + 1
            )


def string(call: Any, *arguments: Any) -> str:
    """Return what a function of PDFium's says in UTF-16, which ends with a NUL."""
    size = call(*arguments, None, 0)
    if not 2 < size <= _MAX_STRING:
        return ""
    buffer = ctypes.create_string_buffer(size)
    call(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", "replace")
