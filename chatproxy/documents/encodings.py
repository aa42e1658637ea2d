"""Decode bytes of unknown encoding: what is certain first, then what is said, then what is likeliest.

Certain are a byte order mark, valid UTF-8, escape sequences of ISO-2022 and what only UTF-16 can be. Said is
what a page, a source file or a header declares, unless the bytes cannot be that. `likelihood` does the rest.
"""

import codecs
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from chatproxy.documents.encoding_names import CODECS, usual_name
from chatproxy.documents.likelihood import Guess, guesses

_MARKS: Final[Mapping[bytes, str]] = {  # UTF-32 first: its little-endian mark begins with UTF-16's
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32LE",
    codecs.BOM_UTF32_BE: "UTF-32BE",
    codecs.BOM_UTF16_LE: "UTF-16LE",
    codecs.BOM_UTF16_BE: "UTF-16BE",
}
_ESCAPES: Final[Mapping[str, re.Pattern[bytes]]] = {
    "ISO-2022-JP": re.compile(rb"\x1b(?:\$[@B]|\$\(D|\([IJ])"),
    "ISO-2022-KR": re.compile(rb"\x1b\$\)C"),
}
_DECLARATION: Final = re.compile(
    rb"""<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]{1,40})"""
    rb"""|^@charset\s"([\w.:-]{1,40})"""  # CSS
    rb"""|^"?Content-Type:[^\r\n]{1,60}charset=["']?([\w.:-]{1,40})"""  # mail, and gettext's files
    rb"""|\\usepackage\[([\w.:-]{1,40})\]\{inputenc\}""",  # LaTeX
    re.IGNORECASE | re.MULTILINE,
)
_DECLARATION_WITHIN: Final = 2048  # bytes; browsers look at 1024 (WHATWG HTML, 13.2.3.2)
# What Python (PEP 263), Emacs and Vim read in a comment in one of the first two lines.
_COMMENT: Final = re.compile(
    rb"""\A(?:[^\r\n]{0,200}\r?\n)?[ \t]*(?:\#|//|/\*|;|--|%|"|<!--)[^\r\n]{0,200}?"""
    rb"""coding[:=][ \t]*([\w.:-]{1,40})"""
)
_WITHOUT_CONTROLS: Final = {"ISO-8859-1": "windows-1252", "ISO-8859-9": "windows-1254"}
_UNDEFINED: Final = re.compile(r"[\x80-\x9f\uf8f0-\uf8f3]")  # the last four in Shift_JIS
_CONTROLS: Final = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd]+")
_CONTROL_BYTES: Final = bytes([*range(9), *range(14, 27), *range(28, 32)])
_IN_TEXT: Final = 0.02  # share of controls; binary data has more
_IN_UTF8: Final = 0.3  # that bytes are valid UTF-8 says enough
_COMMON: Final = re.compile("[ \n,.、。\uff0c]")
_COMMAS: Final = str.maketrans("ŞşŢţ", "ȘșȚț")
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
_SAMPLE: Final = 16 * 1024  # bytes to look at
_AS_LIKELY: Final = 2.0  # natural logarithm: up to seven times less
_AS_COMMON: Final = 1.35  # of `rarity`


class Decoded(Struct, frozen=True):
    """The text of a file, without a byte order mark, and the usual name of the encoding that it is in.

    `alternative` is another encoding that is as likely and in which the text reads otherwise.
    """

    text: str
    encoding: str
    alternative: str | None = None


def decode(data: bytes, encoding: str | None = None) -> Decoded | None:
    """Return the text of a file; None for binary data.

    `encoding` is what the user says that it is, as `usual_name` returned it; None if it cannot be that. Only
    a byte order mark outweighs it.
    """
    for mark, marked in _MARKS.items():
        if data.startswith(mark):
            return _decoded(data[len(mark) :], marked)
    if encoding is not None:
        found = _decoded(data, encoding)
        if _text(data, found.encoding) is None and not _is_mostly_right(found.text):
            return None
        return found if _control_share(found.text) <= _IN_UTF8 else None
    return _escaped(data) or _utf8(data) or _utf16(data) or _declared(data) or _likeliest(data)


def _decoded(data: bytes, name: str) -> Decoded:
    """Return the text of data that are said to be in an encoding, whether all of it can be read or not."""
    text = _text(data, name)
    if name in _WITHOUT_CONTROLS and text is not None and _UNDEFINED.search(text):
        return _decoded(data, _WITHOUT_CONTROLS[name])
    return Decoded(_text(data, name, "replace") or "", name)


def _text(data: bytes, name: str, errors: str = "strict") -> str | None:
    try:
        text = data.decode(CODECS[name], errors)
    except UnicodeError:
        return None
    # windows-1258 has tones of their own, which no other text in Vietnamese has.
    return unicodedata.normalize("NFC", text) if name == "windows-1258" else text


def _is_mostly_right(text: str) -> bool:
    """Return whether more characters outside ASCII could be read than not."""
    return text.count("\ufffd") * 2 < len(text) - len(text.encode("ascii", "ignore"))


def _control_share(text: str) -> float:
    """Return the share of characters that do not occur in text; in binary data it is large."""
    return sum(map(len, _CONTROLS.findall(text))) / max(len(text), 1)


# -- what is certain


def _strictly(data: bytes, name: str) -> Decoded | None:
    """Return the text if all of it can be read and is text."""
    text = _text(data, name)
    return None if text is None or _control_share(text) > _IN_TEXT else Decoded(text, name)


def _escaped(data: bytes) -> Decoded | None:
    """Return the text if there are escape sequences of ISO-2022 in it, which is in ASCII otherwise."""
    if b"\x1b" not in data or not data.isascii():
        return None
    names = (name for name, escape in _ESCAPES.items() if escape.search(data))
    return next(filter(None, (_strictly(data, name) for name in names)), None)


def _utf8(data: bytes) -> Decoded | None:
    """Return the text if it is in UTF-8, apart from a cut end or a few damaged places.

    Letters of other encodings look like UTF-8 only by chance.
    """
    text = data.decode("utf-8", "replace")
    valid = text.removesuffix("\ufffd") if _is_cut(data) else text
    wrong = valid.count("\ufffd")
    right = len(valid) - len(valid.encode("ascii", "ignore")) - wrong
    if "\ufffd" in text and right <= 10 * wrong + (wrong > 0):
        return None
    return Decoded(text, "UTF-8") if _control_share(valid) <= _IN_UTF8 else None


def _is_cut(data: bytes) -> bool:
    """Return whether data end within a character of UTF-8."""
    _, used = codecs.utf_8_decode(data[-3:], "ignore")
    return used < len(data[-3:])


def _utf16(data: bytes) -> Decoded | None:
    """Return the text if it is in UTF-16 without a mark.

    Many bytes of such a text are control characters, of which others have none. Of the two orders, the right
    one has spaces and the ends of lines and sentences.
    """
    sample = data[:_SAMPLE]
    if len(sample.translate(None, _CONTROL_BYTES)) > len(sample) * (1 - _IN_TEXT):
        return None
    found = []
    for name in ("UTF-16LE", "UTF-16BE"):
        text = sample[: len(sample) & ~1].decode(CODECS[name], "replace")
        strange = sum(unicodedata.category(c) in {"Cn", "Co", "Cc"} for c in text if c not in "\t\n\r\f")
        common = len(_COMMON.findall(text))
        if strange <= _IN_TEXT * len(text) <= 2 * common:
            found.append((common, name))
    return _strictly(data[: len(data) & ~1], max(found)[1]) if found else None


# -- what is said, or likeliest


def _declared(data: bytes) -> Decoded | None:
    """Return the text as the file itself says that it is to be read, unless that cannot be right."""
    head = data[:_DECLARATION_WITHIN]
    said = _COMMENT.match(head) or _DECLARATION.search(head)
    if said is None:
        return None
    label = next(filter(None, said.groups()))
    name = usual_name(label.decode("ascii", "replace"))
    # A declaration that can be read before it is known is in ASCII, and so is not in UTF-16 or EBCDIC.
    if name is None or label.decode(CODECS[name], "replace") != label.decode("ascii", "replace"):
        return None
    found = _strictly(data, name)
    if found and _UNDEFINED.search(found.text):
        return _strictly(data, _WITHOUT_CONTROLS[name]) if name in _WITHOUT_CONTROLS else None
    return found


def _likeliest(data: bytes) -> Decoded | None:
    """Return the text in the likeliest encoding, or in one that is as likely if that cannot be read."""
    possible = [guess for guess in guesses(_sample(data)) if _control_share(guess.text) <= _IN_TEXT]
    if not possible:
        return None
    best = possible[0]
    likely = [guess for guess in possible if guess.cost - best.cost < _AS_LIKELY]
    likely.sort(
        key=lambda guess: (not _alike(guess, best), guess.rarity)
    )  # the usual one of those that agree
    chosen = next((guess for guess in likely if _text(data, guess.encoding) is not None), likely[0])
    found = _decoded(data, chosen.encoding)
    if _control_share(found.text) > _IN_TEXT:
        return None
    others = [
        guess for guess in likely if not _alike(guess, chosen) and guess.rarity <= chosen.rarity + _AS_COMMON
    ]
    has_letters = any(c.isalpha() for c in chosen.text if not c.isascii())
    return Decoded(found.text, found.encoding, min(others).encoding if others and has_letters else None)


def _sample(data: bytes) -> bytes:
    """Return lines from all over the data, each with something that is not ASCII."""
    if len(data) <= _SAMPLE:
        return data
    lines = []
    for line in data.splitlines(keepends=True):
        if not line.isascii() and (letter := _NOT_ASCII.search(line)):
            start = max(letter.start() - 100, 0)
            lines.append(line[start : start + _SAMPLE])
    return b"".join(lines[:: sum(map(len, lines)) // _SAMPLE + 1])[:_SAMPLE]


def _alike(one: Guess, other: Guess) -> bool:
    """Return whether two texts are the same but for two ways to write Romanian letters, cedilla and comma."""
    return one.text == other.text or one.text.translate(_COMMAS) == other.text.translate(_COMMAS)
