"""Decode bytes of unknown encoding: by byte order mark, as UTF-8, then by what the bytes look like.

A general detector was tried and is worse at short Western text: charset-normalizer reads "naïve café" as
cp1006 and "Größe" as cp037.
"""

import codecs
import re
from collections.abc import Mapping
from typing import Final

_MARKS: Final[Mapping[bytes, str]] = {  # UTF-32 first: its little-endian mark begins with UTF-16's
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# The most frequent characters of the languages that each encoding was made for.
_FREQUENT: Final[Mapping[str, str]] = {
    "cp1251": "оеаинтсрвлк",
    "koi8_r": "оеаинтсрвлк",
    "cp1253": "αοιετσνηυρπκ",
    "shift_jis": "のにはをたがでとしてい",
    "euc_jp": "のにはをたがでとしてい",
    "euc_kr": "이다는의에을가고하지로한은도",
    "gb18030": "的一是不了在人有我他这个们来到时大地为子中",
    "big5": "的一是不了在人有我他這個們來到時大地為子中",
}
# `charset` or `encoding` in a page's `<meta>` or in an XML declaration.
_DECLARATION: Final = re.compile(
    rb"""<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)=["']?([\w.:-]{1,40})""", re.IGNORECASE
)
_DECLARATION_WITHIN: Final = 2048  # bytes; browsers look at 1024 (WHATWG HTML, 13.2.3.2)
_CONTROLS: Final = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd]")
_SAMPLE: Final = 64 * 1024  # bytes to look at when guessing


def decode(data: bytes) -> str | None:
    """Return the text of a file, without a byte order mark; None for binary data."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if (text := _decode_strictly(data, "utf-8")) is not None:
        return text if _control_share(text) <= 0.3 else _decode_strictly(data, _guess_utf16(data))
    declared = _DECLARATION.search(data[:_DECLARATION_WITHIN])
    for guess in (_guess_utf16(data), declared[1].decode() if declared else None, _guess_legacy(data)):
        if (text := _decode_strictly(data, guess)) is not None and _control_share(text) <= 0.02:
            return text
    return None


def _decode_strictly(data: bytes, encoding: str | None) -> str | None:
    try:
        return None if encoding is None else data.decode(encoding)
    except (UnicodeError, LookupError):
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
    return "utf-16-be" if even > odd else "utf-16-le"


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
    return "cp1252"


def _score(sample: bytes, encoding: str) -> float:
    text = sample.decode(encoding, "replace")
    return sum(map(text.count, _FREQUENT[encoding])) / len(text) - text.count("\ufffd")
