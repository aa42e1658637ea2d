"""Bytes of unknown encoding as text: marks first, then UTF-8, then what the bytes look like."""

import codecs
import re
from collections.abc import Mapping
from typing import Final

_MARKS: Final[Mapping[bytes, str]] = {  # UTF-32's begins as UTF-16's does
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# Frequent characters of the languages that an encoding was made for.
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
_DECLARED: Final = re.compile(
    rb"""<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)=["']?([\w.:-]{1,40})""", re.IGNORECASE
)
_CONTROLS: Final = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd]")
SAMPLE: Final = 64 * 1024  # bytes, enough to tell


def decoded(data: bytes) -> str | None:
    """None for what is no text."""
    for mark, marked in _MARKS.items():
        if data.startswith(mark):
            return data[len(mark) :].decode(marked, "replace")
    if (text := _strictly(data, "utf-8")) is not None:
        return text if _controls(text) <= 0.3 else _strictly(data, _wide(data))
    for encoding in (_wide(data), _declared(data), _legacy(data)):
        if (text := _strictly(data, encoding)) is not None and _controls(text) <= 0.02:
            return text
    return None


def _strictly(data: bytes, encoding: str | None) -> str | None:
    try:
        return None if encoding is None else data.decode(encoding)
    except (UnicodeError, LookupError):
        return None


def _controls(text: str) -> float:
    """The share of characters that no text has; binary data has many."""
    return len(_CONTROLS.findall(text)) / max(len(text), 1)


def _wide(data: bytes) -> str | None:
    """UTF-16 without its mark shows in European text: every second byte is NUL."""
    sample = data[:SAMPLE]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 4 < len(sample) or min(even, odd) * 8 > max(even, odd):
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _declared(data: bytes) -> str | None:
    """What a page says of itself."""
    declared = _DECLARED.search(data[:2048])
    return None if declared is None else declared[1].decode()


def _legacy(data: bytes) -> str:
    """Western unless every fourth byte is outside ASCII, which no Western language does."""
    sample = data[:SAMPLE].rpartition(b"\n")[0] or data[:SAMPLE]
    if sum(byte >= 0x80 for byte in sample) * 4 > len(sample):
        best = max(_FREQUENT, key=lambda encoding: _likeness(sample, encoding))
        if _likeness(sample, best) > 0:
            return best
    return "cp1252"


def _likeness(sample: bytes, encoding: str) -> float:
    text = sample.decode(encoding, "replace")
    return sum(map(text.count, _FREQUENT[encoding])) / len(text) - text.count("\ufffd")
