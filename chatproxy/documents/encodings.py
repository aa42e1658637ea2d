"""Decode bytes of unknown encoding: by byte order mark, as UTF-8, then by what the bytes look like.

A general detector was tried and is worse at short Western text: charset-normalizer reads "naïve café" as
cp1006 and "Größe" as cp037.
"""

import codecs
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from chatproxy.documents.encoding_names import CODECS, usual_name

_MARKS: Final[Mapping[bytes, str]] = {  # UTF-32 first: its little-endian mark begins with UTF-16's
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32LE",
    codecs.BOM_UTF32_BE: "UTF-32BE",
    codecs.BOM_UTF16_LE: "UTF-16LE",
    codecs.BOM_UTF16_BE: "UTF-16BE",
}
# The most frequent characters of the languages that each encoding was made for.
_FREQUENT: Final[Mapping[str, str]] = {
    "windows-1251": "оеаинтсрвлк",
    "KOI8-R": "оеаинтсрвлк",
    "windows-1253": "αοιετσνηυρπκ",
    "Shift_JIS": "のにはをたがでとしてい",
    "EUC-JP": "のにはをたがでとしてい",
    "EUC-KR": "이다는의에을가고하지로한은도",
    "GB18030": "的一是不了在人有我他这个们来到时大地为子中",
    "Big5": "的一是不了在人有我他這個們來到時大地為子中",
}
# `charset` or `encoding` in a page's `<meta>` or in an XML declaration.
_DECLARATION: Final = re.compile(
    rb"""<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)=["']?([\w.:-]{1,40})""", re.IGNORECASE
)
_DECLARATION_WITHIN: Final = 2048  # bytes; browsers look at 1024 (WHATWG HTML, 13.2.3.2)
_CONTROLS: Final = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd]")
_SAMPLE: Final = 64 * 1024  # bytes to look at when guessing


class Decoded(Struct, frozen=True):
    """The text of a file, without a byte order mark, and the usual name of the encoding that it is in.

    `alternative` is another encoding that is as likely and in which the text reads otherwise.
    """

    text: str
    encoding: str
    alternative: str | None = None


def decode(data: bytes, encoding: str | None = None) -> Decoded | None:
    """Return the text of a file; None for binary data.

    `encoding` is what the user says that it is, as `usual_name` returned it. Only a byte order mark
    outweighs it.
    """
    for mark, marked in _MARKS.items():
        if data.startswith(mark):
            return Decoded(data[len(mark) :].decode(CODECS[marked], "replace"), marked)
    if encoding is not None:
        text = data.decode(CODECS[encoding], "replace")
        return Decoded(text, encoding) if _control_share(text) <= 0.3 else None
    declared = _DECLARATION.search(data[:_DECLARATION_WITHIN])
    for guess, controls in (
        ("UTF-8", 0.3),
        (_guess_utf16(data), 0.02),
        (usual_name(declared[1].decode("ascii", "replace")) if declared else None, 0.02),
        (_guess_legacy(data), 0.02),
    ):
        strict = _decode_strictly(data, guess) if guess else None
        if guess and strict is not None and _control_share(strict) <= controls:
            return Decoded(strict, guess)
    return None


def _decode_strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(CODECS[encoding])
    except UnicodeError:
        return None


def _control_share(text: str) -> float:
    """Return the share of characters that do not occur in text; in binary data it is large."""
    return len(_CONTROLS.findall(text)) / max(len(text), 1)


def _guess_utf16(data: bytes) -> str | None:
    """Return which UTF-16 the bytes are in, if any: in European text, every other byte is NUL."""
    sample = data[:_SAMPLE]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 4 < len(sample) or min(even, odd) * 8 > max(even, odd):
        return None
    return "UTF-16BE" if even > odd else "UTF-16LE"


def _guess_legacy(data: bytes) -> str:
    """Return the most likely 8-bit or East Asian encoding.

    It is a Western one unless more than every fourth byte is outside ASCII, which happens in no Western
    language.
    """
    sample = data[:_SAMPLE].rpartition(b"\n")[0] or data[:_SAMPLE]
    if sum(byte >= 0x80 for byte in sample) * 4 > len(sample):
        best = max(_FREQUENT, key=lambda encoding: _score(sample, encoding))
        if _score(sample, best) > 0:
            return best
    return "windows-1252"


def _score(sample: bytes, encoding: str) -> float:
    text = sample.decode(CODECS[encoding], "replace")
    return sum(map(text.count, _FREQUENT[encoding])) / len(text) - text.count("\ufffd")
