"""The fields of a form, and notes that are part of a page, as lines where they stand."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pypdfium2.raw as pdfium

from chatproxy.documents.formats.pdf.content.lines import Line
from chatproxy.documents.formats.pdf.content.pages import string

MAX_FIELDS: Final = 2000  # of a page
_SIZE: Final = 10.0  # of type, if nothing is beside it
_BESIDE: Final = 25  # between a label and its field, in units of the size of the type
_PASSWORD: Final = 1 << 13  # the flag of a field (ISO 32000-1, table 228)
_BOXES: Final = frozenset({pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON})
_CHOICES: Final = frozenset({pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX})
_EMPTY: Final = "(empty)"


class Field(NamedTuple):
    """What stands in a rectangle: a value, or lines of it; `drawn` if only its picture says so."""

    x0: float
    x1: float
    bottom: float
    top: float
    value: str
    label: str = ""
    box: bool = False
    drawn: bool = False


@contextmanager
def form_of(document: Any) -> Iterator[Any]:
    """Give the block PDFium's handle of the form in a document, or None."""
    if pdfium.FPDF_GetFormType(document) == pdfium.FORMTYPE_NONE:
        yield None
        return
    environment = pdfium.FPDF_FORMFILLINFO(version=2)  # without callbacks, and so without scripts
    form = pdfium.FPDFDOC_InitFormFillEnvironment(document, environment)
    try:
        yield form
    finally:
        pdfium.FPDFDOC_ExitFormFillEnvironment(form)


def read_fields(form: Any, page: Any) -> list[Field]:
    """Return the fields and notes of a page that are seen, but not comments on it."""
    found = []
    for index in range(min(pdfium.FPDFPage_GetAnnotCount(page), MAX_FIELDS)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            if not pdfium.FPDFAnnot_GetFlags(annotation) & pdfium.FPDF_ANNOT_FLAG_HIDDEN:
                field = _read(form, annotation)
                found += [field] if field else []
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
    return found


def _read(form: Any, annotation: Any) -> Field | None:
    rectangle = pdfium.FS_RECTF()
    pdfium.FPDFAnnot_GetRect(annotation, rectangle)
    place = (
        min(rectangle.left, rectangle.right),
        max(rectangle.left, rectangle.right),
        min(rectangle.bottom, rectangle.top),
        max(rectangle.bottom, rectangle.top),
    )
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind == pdfium.FPDF_ANNOT_WIDGET and form:
        return _read_field(form, annotation, place)
    if kind in {pdfium.FPDF_ANNOT_FREETEXT, pdfium.FPDF_ANNOT_STAMP}:
        if _draws_text(annotation):
            return Field(*place, "", drawn=True)
        if kind == pdfium.FPDF_ANNOT_FREETEXT:
            return Field(*place, string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents"))
    return None


def _read_field(form: Any, annotation: Any, place: tuple[float, float, float, float]) -> Field | None:
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    name = string(pdfium.FPDFAnnot_GetFormFieldName, form, annotation)
    label = string(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation).strip()
    label = label or re.sub(r"\[\d+\]$", "", name.rpartition(".")[2])
    if kind in _BOXES:
        option = string(pdfium.FPDFAnnot_GetFormFieldExportValue, form, annotation)
        value = string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
        checked = (
            pdfium.FPDFAnnot_IsChecked(form, annotation) == 1
            or (value == option != "")
            or string(pdfium.FPDFAnnot_GetStringValue, annotation, b"V") not in {"", "Off"}
        )
        if kind == pdfium.FPDF_FORMFIELD_RADIOBUTTON and option:
            label = f"{label}: {option}"
        return Field(*place, "[x]" if checked else "[ ]", label, box=True)
    if kind == pdfium.FPDF_FORMFIELD_SIGNATURE:
        signed = pdfium.FPDFAnnot_HasKey(annotation, b"V")
        drawn = _draws_text(annotation)
        return Field(*place, "(signed)" if signed else "(not signed)", label, drawn=drawn)
    if kind == pdfium.FPDF_FORMFIELD_TEXTFIELD:
        value = string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation).strip()
        if value and pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
            value = "(filled in)"
        return Field(*place, value or _EMPTY, label, drawn=not value and _draws_text(annotation))
    if kind in _CHOICES:
        chosen = [
            string(pdfium.FPDFAnnot_GetOptionLabel, form, annotation, option)
            for option in range(min(pdfium.FPDFAnnot_GetOptionCount(form, annotation), MAX_FIELDS))
            if pdfium.FPDFAnnot_IsOptionSelected(form, annotation, option)
        ]
        value = ", ".join(chosen) or string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation).strip()
        return Field(*place, value or _EMPTY, label)
    return None


def _draws_text(annotation: Any) -> bool:
    """Return whether the picture of a field or note has text in it."""
    return any(
        pdfium.FPDFPageObj_GetType(pdfium.FPDFAnnot_GetObject(annotation, index)) == pdfium.FPDF_PAGEOBJ_TEXT
        for index in range(min(pdfium.FPDFAnnot_GetObjectCount(annotation), 1000))
    )


def with_fields(lines: Sequence[Line], fields: Sequence[Field]) -> list[Line]:
    """Return the lines of a page with what its fields say, beside their labels if these are there."""
    placed = list(lines)
    for field in sorted(fields, key=lambda field: (-field.top, field.x0)):
        first, *more = field.value.splitlines() or [""]
        if not first:
            continue
        beside = _label_beside(placed, field)
        if beside is not None:
            line = placed[beside]
            if field.box and line.x0 >= field.x0:
                placed[beside] = line._replace(text=f"{first} {line.text}", x0=field.x0)
            else:
                text = " ".join([line.text, first, *more])
                placed[beside] = line._replace(text=text, x1=max(field.x1, line.x1))
            continue
        if not field.label:
            size = min(_SIZE, field.top - field.bottom)
            placed += [
                Line(text, field.x0, field.x1, field.top - size * (1.2 * number + 1), size)
                for number, text in enumerate([first, *more])
            ]
            continue
        text = f"{first} {field.label}" if field.box else " ".join([f"{field.label}:", first, *more])
        y = (field.top + field.bottom) / 2 - 0.35 * _SIZE
        placed.append(Line(text, field.x0, field.x1, y, _SIZE))
    return sorted(placed, key=lambda line: (-line.y, line.x0))


def _label_beside(lines: Sequence[Line], field: Field) -> int | None:
    """Return the line that names a field: to its left, or close to the right of a box to tick."""
    if not field.label:
        return None
    best, nearest = None, 1.0
    for number, line in enumerate(lines):
        if not field.bottom - 0.3 * line.size < line.y + 0.3 * line.size < field.top + 0.3 * line.size:
            continue
        left, right = (field.x0 - line.x1) / line.size, (line.x0 - field.x1) / line.size
        distance = 1.0
        if -1 < left < _BESIDE:
            distance = max(left, 0) / _BESIDE
        if field.box and -0.5 < right < 2:
            distance = right / 100 - 1
        if distance < nearest:
            best, nearest = number, distance
    return best
