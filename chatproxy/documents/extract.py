"""Extract the text of a file, and check that the file is of the type that its name says.

A hostile file can keep these functions busy for hours, so `documents.worker` runs them in a process that it
can stop.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, Final

from msgspec import Struct

from chatproxy.documents.formats import csv, epub, html, json, open_document, pdf, rtf, text, word
from chatproxy.documents.formats.content import content_type
from chatproxy.documents.formats.office import older_workbooks, presentations, workbooks
from chatproxy.documents.names import (
    CSV,
    DOCX,
    EPUB,
    EXCEL_97,
    HTML,
    JSON,
    JSON_LINES,
    MHTML,
    ODP,
    ODS,
    ODT,
    PDF,
    PPTX,
    RTF,
    SOURCE_CODE,
    TEXT,
    XLSX,
)
from chatproxy.documents.parts import MAX_TEXT, Part, Reading, Remark, invalid, too_long

_READERS: Final[Mapping[str, Callable[[BinaryIO], Reading]]] = {
    DOCX: word.read,
    EPUB: epub.read,
    EXCEL_97: older_workbooks.read,
    MHTML: html.read_archive,
    ODP: open_document.slides.read,
    ODS: open_document.sheets.read,
    ODT: open_document.text.read,
    PDF: pdf.read,
    PPTX: presentations.read,
    RTF: rtf.read,
    XLSX: workbooks.read,
}
# Those of text take the encoding, if the user has named one. What is not here is read as plain text.
_TEXT_READERS: Final[Mapping[str, Callable[[BinaryIO, str | None], Reading]]] = {
    CSV: csv.read,
    HTML: html.read,
    JSON: json.read,
    JSON_LINES: json.read,
    SOURCE_CODE: text.read_lines,
}
_SHOWN: Final[Mapping[str, str]] = {SOURCE_CODE: TEXT}


class ExtractedText(Struct, frozen=True):
    """The type of a file, its parts that have text, as `clean` returns it, and what could not be read."""

    media_type: str
    parts: Sequence[Part]
    remarks: Sequence[Remark] = ()


def extract(file: BinaryIO, promised: str, encoding: str | None = None) -> ExtractedText:
    """Return the text of a seekable file; `promised` is what `names.media_type` returned for its name.

    `encoding` is what the user says that text is in, as `encoding_names.usual_name` returned it.

    Raises `unsupported_media_type` if the file is of another type, `too_large` if there is too much text
    in it, and `invalid` if there is none or the file is damaged.
    """
    kind = content_type(file, promised)
    read = _READERS.get(kind)
    reading = read(file) if read else _TEXT_READERS.get(kind, text.read)(file, encoding)
    parts, size = [], 0
    for part in reading.parts:
        size += len(part.text.encode("utf-8", "replace"))
        if size > MAX_TEXT:
            raise too_long()
        if cleaned := clean(part.text):
            parts.append(part._replace(text=cleaned, repeated=clean(part.repeated)))
    if not parts:
        scan = "; a scan has to go through text recognition first" if kind in _READERS else ""
        raise invalid(f"There is no text in the file{scan}.")
    return ExtractedText(_SHOWN.get(kind, kind), parts, reading.remarks)


_LINE_ENDS: Final = re.compile(r"\r\n?|[\x0b\x85\u2028]")
_PARAGRAPH_ENDS: Final = re.compile(r"[\f\u2029]")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_TRAILING_SPACE: Final = re.compile(r"(?<![ \t])[ \t]+(?=\n)")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    """Normalise whitespace: `\\n` ends a line, one empty line separates paragraphs, no control characters."""
    text = _PARAGRAPH_ENDS.sub("\n\n", _LINE_ENDS.sub("\n", text))
    return _EMPTY_LINES.sub("\n\n", _TRAILING_SPACE.sub("", _CONTROLS.sub("", text))).strip()
