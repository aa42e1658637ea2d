"""The text of a whole file: what repeats once, and what could not be read."""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Final

import pypdfium2.raw as pdfium

from chatproxy.documents.formats.pdf.content.fields import form_of
from chatproxy.documents.formats.pdf.content.lines import Line
from chatproxy.documents.formats.pdf.content.pages import opened, string
from chatproxy.documents.formats.pdf.content.sheets import Sheet, read_sheet
from chatproxy.documents.formats.pdf.content.words import undivided, vocabulary
from chatproxy.documents.formats.pdf.layout import blocks
from chatproxy.documents.formats.pdf.running import running
from chatproxy.documents.notation.tables import parts_of
from chatproxy.documents.parts import PARTIAL, Part, Reading, Remark, damaged, listed, without_text

_PICTURE: Final = 0.5  # of a page that images cover
_MAX_NAMES: Final = 5  # of attached files
_DIVIDED: Final = re.compile(r"\w-$")


def read_document(data: bytes) -> Reading:
    """Return the parts of a PDF, and what could not be read. Raises `invalid` for a locked or damaged one."""
    sheets: dict[int, Sheet] = {}
    missing: list[int] = []
    with opened(data) as document:
        with form_of(document) as form:
            for number in range(1, pdfium.FPDF_GetPageCount(document) + 1):
                if sheet := read_sheet(document, form, number):
                    sheets[number] = sheet
                else:
                    missing.append(number)
        whole = bool(pdfium.FPDF_DocumentHasValidCrossReferenceTable(document))
        remarks = list(_remarks_on_file(document, any(sheet.fields for sheet in sheets.values())))
    if not sheets:
        raise damaged("PDF")
    if not whole:
        missing = sorted(missing + [number for number, sheet in sheets.items() if _is_blank(sheet)])
    heads, again = running(sheets)
    return Reading(
        list(_parts(sheets, again)), [*_remarks_on_pages(sheets, heads, missing, whole=whole), *remarks]
    )


def _parts(sheets: Mapping[int, Sheet], again: Mapping[int, Set[Line]]) -> Iterator[Part]:
    """Yield the parts of pages, without lines that were there before."""
    known = vocabulary(line.text for sheet in sheets.values() for lines in sheet.lines for line in lines)
    heading = ""
    for number, sheet in sheets.items():
        main, *others = sheet.lines
        found = blocks([*[line for line in main if line not in again[number]], *sheet.grids], sheet.rules)
        for lines in others:
            found += blocks(lines, ())
        texts: list[str | Part] = []
        for block in found:
            if isinstance(block, Part):
                block, heading = _below(block, heading)
                texts.append(block)
                continue
            if len(block) > 1 or sum(isinstance(each, str) for each in texts[-2:]) > 1:
                heading = ""
            text = "\n".join([line.text for line in block])
            if texts and isinstance(texts[-1], str) and _DIVIDED.search(texts[-1]) and text[0].islower():
                texts[-1] += f"\n{text}"
            else:
                texts.append(text)
        joined = [undivided(each, known) if isinstance(each, str) else each for each in texts]
        for part in parts_of(joined):
            yield part._replace(page=number)


def _below(table: Part, heading: str) -> tuple[Part, str]:
    """Return a table with the heading of the one before it, if it goes on with that; and its heading."""
    if table.repeated or not heading:
        return table, table.repeated
    if heading.rpartition("\n")[2].count(" | ") != table.text.partition("\n")[0].count(" | "):
        return table, ""
    return table._replace(text=f"{heading}\n{table.text}", repeated=heading), heading


def _is_blank(sheet: Sheet) -> bool:
    return not (sheet.drawn or sheet.unreadable or sheet.grids or any(sheet.lines))


def _remarks_on_pages(
    sheets: Mapping[int, Sheet], heads: Mapping[int, Set[Line]], missing: Sequence[int], *, whole: bool
) -> Iterator[Remark]:
    pictures = [
        number
        for number, sheet in sheets.items()
        if (not sheet.unreadable and not sheet.grids and (sheet.drawn and not any(sheet.lines)))
        or (sheet.picture > _PICTURE and not {*sheet.lines[0]} - heads[number])
    ]
    if pictures:
        yield without_text(pictures)
    if unreadable := [number for number, sheet in sheets.items() if sheet.unreadable]:
        yield Remark(
            PARTIAL,
            f"Characters on {_pages(unreadable)} could not be read, because their fonts do not say which "
            "these are; print the file to a PDF with text recognition and send that.",
        )
    if missing:
        yield Remark(PARTIAL, f"The PDF is damaged: {_pages(missing)} could not be read; save it again.")
    elif not whole:
        yield Remark(PARTIAL, "The PDF is damaged, and some of it may be missing; save it again.")


def _pages(numbers: Sequence[int]) -> str:
    return f"page{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def _remarks_on_file(document: Any, has_fields: bool) -> Iterator[Remark]:
    if not has_fields and pdfium.FPDF_GetFormType(document) in {
        pdfium.FORMTYPE_XFA_FULL,
        pdfium.FORMTYPE_XFA_FOREGROUND,
    }:
        yield Remark(
            PARTIAL,
            "The fields of the form are kept as XFA, which is not read; print it to a PDF and send that.",
        )
    if count := pdfium.FPDFDoc_GetAttachmentCount(document):
        names = [
            string(pdfium.FPDFAttachment_GetName, pdfium.FPDFDoc_GetAttachment(document, index))[:100]
            for index in range(min(count, _MAX_NAMES))
        ]
        more = f" and {count - _MAX_NAMES} more" if count > _MAX_NAMES else ""
        yield Remark(
            PARTIAL,
            f"Files that are attached to the PDF are not read: {', '.join(names)}{more}; send them, too.",
        )
