"""What the content of a file says of its type, whatever its name says."""

import re
import zipfile
from collections.abc import Mapping
from typing import BinaryIO, Final

from chatproxy.documents.archives import LOCKED, OLE
from chatproxy.documents.names import (
    CSV,
    DOCX,
    EPUB,
    EXCEL_97,
    HTML,
    JSON,
    JSON_LINES,
    MARKDOWN,
    ODP,
    ODS,
    ODT,
    PDF,
    PPTX,
    RTF,
    SOURCE_CODE,
    TEXT,
    UNKNOWN,
    WORD_97,
    XLSX,
)
from chatproxy.documents.parts import FORMATS, locked
from chatproxy.errors import ChatError

_HEAD: Final = 4096  # bytes to look at
_PDF: Final = re.compile(rb"%PDF-\d")
_PDF_WITHIN: Final = 1024  # bytes, as readers of PDF look for it
# What a text about a format does not have, though it may begin as the format does.
_IN_PDF: Final = re.compile(rb"\d[ \r\n]+\d+[ \r\n]+obj\b")
_IN_RTF: Final = re.compile(rb"\\(?:ansi|mac|pca?|deff\d|fonttbl|pard?|f\d)(?![a-z])")
_PAGE: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:[^-]|-(?!->))*-->\s*)*<(?P<tag>!doctype\s+html|html|head|body|table|meta|style)\b[^>]*>?",
    re.IGNORECASE,
)
_MORE_OF_PAGE: Final = re.compile(rb"\s*<[a-z!]|[^\0]*</(?:html|head|body|style)\s*>", re.IGNORECASE)
# By a member that no other kind of archive has.
_OFFICE: Final[Mapping[str, str]] = {
    "word/document.xml": DOCX,
    "xl/workbook.xml": XLSX,
    "ppt/presentation.xml": PPTX,
    "META-INF/container.xml": EPUB,
}
# The first member of others says what they are.
_NAMED: Final[Mapping[bytes, str]] = {f"mimetype{kind}".encode(): kind for kind in (EPUB, ODP, ODS, ODT)}
_TEXT_NAMES: Final = frozenset({UNKNOWN, TEXT, SOURCE_CODE, MARKDOWN, HTML, CSV, JSON, JSON_LINES})
# What text is that has the name of something else, or none.
_AS_TEXT: Final[Mapping[str, str]] = {UNKNOWN: TEXT, WORD_97: TEXT, EXCEL_97: CSV}
_MAY_BE_PAGES: Final = frozenset({UNKNOWN, PDF, DOCX, WORD_97, EXCEL_97})
# The names of streams of Office before 2007, in UTF-16.
_STREAMS: Final[Mapping[bytes, str]] = {
    "WordDocument".encode("utf-16-le"): "a Word document of before 2007; save it as DOCX and send that",
    "Workbook".encode("utf-16-le"): "an Excel workbook of before 2007; name it .xls and send that",
    "PowerPoint".encode(
        "utf-16-le"
    ): "a PowerPoint presentation of before 2007; save it as PPTX and send that",
}
# By the first bytes.
_OTHERS: Final[Mapping[bytes, str]] = {
    **dict.fromkeys(
        (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\1\0", b"BM"), "a picture"
    ),
    **dict.fromkeys((b"ID3", b"OggS", b"fLaC", b"\xff\xfb"), "a sound recording"),
    **dict.fromkeys((b"\x1aE\xdf\xa3", b"\0\0\0\x18ftyp", b"\0\0\0\x1cftyp", b"\0\0\0 ftyp"), "a video"),
    **dict.fromkeys((b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe"), "a program"),
    **dict.fromkeys((b"PK\3\4", b"PK\5\6", b"Rar!", b"7z\xbc\xaf"), "an archive; send the files in it"),
    **dict.fromkeys(
        (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd"), "a compressed file; send what is in it"
    ),
    b"RIFF": "a picture, a sound recording or a video",
    b"SQLite format 3": "a database; send what is in it as CSV",
}
# Those that no text begins with: there is a byte in them that is in none, or a mark that is nothing else's.
_SIGNATURES: Final = tuple(begin for begin in (*_OTHERS, OLE) if not 8 < min(begin) <= max(begin) < 127)


def content_type(file: BinaryIO, promised: str) -> str:
    """Return the media type of a seekable file if its content leaves no doubt, else `promised`.

    Text is read as `promised`, unless it is a page of HTML and the name does not say that it is other text.
    """
    head = file.read(_HEAD)
    file.seek(0)
    as_text = _AS_TEXT.get(promised, promised)
    is_certain = promised not in _TEXT_NAMES
    if _is_pdf(head, anywhere=promised == UNKNOWN) and (is_certain or _IN_PDF.search(head)):
        return PDF
    if head.startswith(b"PK\3\4"):
        named = next((kind for name, kind in _NAMED.items() if name in head), None)
        return named or _office(file) or as_text
    if head.startswith(b"{\\rtf") and (is_certain or _IN_RTF.search(head)):
        return RTF
    if promised in _MAY_BE_PAGES and (page := _PAGE.match(head)):
        is_page = is_certain or page["tag"].startswith(b"!") or _MORE_OF_PAGE.match(head, page.end())
        return HTML if is_page else as_text
    return EXCEL_97 if promised == EXCEL_97 and head.startswith(OLE) else as_text


def _is_pdf(head: bytes, *, anywhere: bool) -> bool:
    """Return whether a file begins as a PDF does, or may do so behind something else."""
    if head.startswith(b"%PDF-"):
        return True
    return anywhere and not head.startswith(_SIGNATURES) and bool(_PDF.search(head[:_PDF_WITHIN]))


def is_binary(data: bytes) -> bool:
    """Return whether the first bytes are those of a type that is no text, and occur in no text."""
    return any(data.startswith(begin) for begin in _SIGNATURES)


def no_text(data: bytes) -> ChatError:
    """Return the error for binary data of a type that is not read, with what it seems to be."""
    if data.startswith(OLE):
        if LOCKED in data:
            return locked("document")
        kind = next((kind for name, kind in _STREAMS.items() if name in data), None)
    else:
        kind = next((kind for begin, kind in _OTHERS.items() if data.startswith(begin)), None)
    if kind is None:
        sentence = f"The file is not text; send {FORMATS}."
    elif ";" in kind:
        sentence = f"The file is {kind}."
    else:
        sentence = f"The file is {kind}, which is not read; send {FORMATS}."
    return ChatError("unsupported_media_type", sentence)


def _office(file: BinaryIO) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        members = set()
    file.seek(0)
    return next((kind for member, kind in _OFFICE.items() if member in members), None)
