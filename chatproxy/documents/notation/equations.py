"""How a formula is written in a line: `x²`, `(a+b)/c`, `√(x+1)`, `∑_(i=1)^n xᵢ`."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from chatproxy.documents.notation.scripts import bracketed, fraction, subscript, superscript

_ACCENTS: Final = str.maketrans(
    {
        **dict.fromkeys("¯‾ˉ―_\u0305", "\u0304"),
        **dict.fromkeys("^ˆ", "\u0302"),  # noqa: RUF001 - the signs that files have
        **dict.fromkeys("~˜∼", "\u0303"),  # noqa: RUF001
        **dict.fromkeys("→⃗", "\u20d7"),
        **dict.fromkeys("˙.", "\u0307"),
        "¨": "\u0308",
    }
)
_INVISIBLE: Final = str.maketrans({"\u2061": " ", **dict.fromkeys("\u200b\u2062\u2063\u2064")})
_LETTERS: Final = re.compile("[\U0001d400-\U0001d7ff]")  # of mathematics, in italics and other shapes
_LARGE: Final = re.compile(r"[∏-∑∫-∳⋀-⋃⨀-⨒]|lim|max|min|sup|inf|lim sup|lim inf")  # noqa: RUF001
_ENDS_IN_WORD: Final = re.compile(r"[^\W\d_]{2}$")
_OPERAND_BEFORE: Final = re.compile(r"[\w)\]}!]$")
_OPERAND_AFTER: Final = re.compile(r"[\w(\[{√]")
_ROOTS: Final = {"": "√", "2": "√", "3": "∛", "4": "∜"}


class Quotient(str):
    """A fraction with a slash, which what stands beside it must not become a part of."""


def sign(text: str) -> str:
    """Return an operator, a name or a number, without the signs that only steer how it is set."""
    return _LETTERS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text.translate(_INVISIBLE))


def row(pieces: Iterable[str]) -> str:
    """Return pieces of a formula side by side."""
    shown = [piece for piece in pieces if piece]
    if len(shown) == 1:
        return shown[0]
    written = ""
    for number, piece in enumerate(shown):
        following = shown[number + 1] if number + 1 < len(shown) else ""
        if isinstance(piece, Quotient) and (
            _OPERAND_BEFORE.search(written) or _OPERAND_AFTER.match(following)
        ):
            piece = f"({piece})"
        if _ENDS_IN_WORD.search(written) and piece[0].isalnum():
            written += " "  # `sin x`
        written += piece
    return written


def quotient(numerator: str, denominator: str) -> str:
    """Return a fraction."""
    written = fraction(numerator, denominator)
    return Quotient(written) if "/" in written else written


def scripts(base: str, low: str = "", high: str = "") -> str:
    """Return a base with an index and an exponent, or with the limits of a sum."""
    low, high = low.strip(), high.strip()
    if _LARGE.fullmatch(base.strip()):
        return base.strip() + _limit("_", low) + _limit("^", high) + " "
    if high and len(base) > 1 and (bracketed(base) != base or superscript(base[-1]) == base[-1]):
        base = f"({base})"
    return base + (subscript(low) if low else "") + (superscript(high) if high else "")


def accented(base: str, accent: str) -> str:
    """Return a base with a sign above it."""
    accent = accent.strip().translate(_ACCENTS)
    if len(accent) == 1 and accent > "\u02ff" and len(base) == 1:
        return base + accent
    return scripts(base, high=accent)


def root(radicand: str, degree: str = "") -> str:
    """Return the square root, or another one."""
    degree = degree.strip()
    return (_ROOTS.get(degree) or f"{superscript(degree)}√") + bracketed(radicand)


def matrix(rows: Iterable[Sequence[str]]) -> str:
    """Return rows and columns."""
    return f"[{'; '.join([', '.join(cells) for cells in rows])}]"


def _limit(mark: str, limit: str) -> str:
    if not limit:
        return ""
    return mark + (limit if len(limit) == 1 else f"({limit})")
