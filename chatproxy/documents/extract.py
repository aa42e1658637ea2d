"""Extract the text of a file, and check that the file is of the type that its name says.

A hostile file can keep these functions busy for hours, so `documents.worker` runs them in a process that it
can stop.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, Final

from msgspec import Struct

from chatproxy.documents.formats import html, pdf, text, word
from chatproxy.documents.names import media_type
from chatproxy.documents.parts import Part, Reading, Remark, invalid
from chatproxy.errors import ChatError

MAX_TEXT: Final = 10 * 1024 * 1024  # bytes in UTF-8; a small file can expand into many

_READERS: Final[Mapping[str, Callable[[BinaryIO], Reading]]] = {
    media_type("a.json"): text.read_json,
    media_type("a.html"): html.read,
    media_type("a.pdf"): pdf.read,
    media_type("a.docx"): word.read,
}


class ExtractedText(Struct, frozen=True):
    """The parts of a file that have text, as `clean` returns it, and what could not be read."""

    parts: Sequence[Part]
    remarks: Sequence[Remark] = ()


def extract(file: BinaryIO, promised: str) -> ExtractedText:
    """Return the text of a seekable file; `promised` is what `names.media_type` returned for its name.

    Raises `unsupported_media_type` if the file is of another type, `too_large` if there is too much text
    in it, and `invalid` if there is none or the file is damaged.
    """
    reading = _READERS.get(promised, text.read)(file)
    parts, size = [], 0
    for part in reading.parts:
        size += len(part.text.encode("utf-8", "replace"))
        if size > MAX_TEXT:
            raise ChatError(
                "too_large", f"The file holds more than {MAX_TEXT} bytes of text; send it in parts."
            )
        if cleaned := clean(part.text):
            parts.append(part._replace(text=cleaned, repeated=clean(part.repeated)))
    if not parts:
        raise invalid("There is no text in the file; a scan has to go through text recognition first.")
    return ExtractedText(parts, reading.remarks)


_LINE_ENDS: Final = re.compile(r"\r\n?|[\x0b\x85\u2028]")
_PARAGRAPH_ENDS: Final = re.compile(r"[\f\u2029]")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_TRAILING_SPACE: Final = re.compile(r"(?<![ \t])[ \t]+(?=\n)")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    """Normalise whitespace: `\\n` ends a line, one empty line separates paragraphs, no control characters."""
    text = _PARAGRAPH_ENDS.sub("\n\n", _LINE_ENDS.sub("\n", text))
    return _EMPTY_LINES.sub("\n\n", _TRAILING_SPACE.sub("", _CONTROLS.sub("", text))).strip()
