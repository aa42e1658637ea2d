"""Characters with their places, as text is written with them."""

import re
import unicodedata
from functools import lru_cache
from math import cos, radians, sin
from typing import Final, NamedTuple

# Forms of letters that only fonts need: ligatures, Arabic shapes, and radicals for whole characters.
_FORMS: Final = re.compile("[\u2e80-\u2fdf\ufb00-\ufdff\ufe70-\ufefc]")
_UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_UNMAPPED: Final = re.compile("[\ue000-\uf8ff\ufffd\U000f0000-\U0010ffff]")
_UPRIGHT: Final = re.compile(
    "[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]"
)
# What the fonts for symbols hold at places that Unicode leaves to them.
_SYMBOLS: Final = {
    **dict.fromkeys("\uf0a7\uf0b7\uf06c\uf09f\uf076\uf0a8\uf071\uf06e\uf0d8\uf0e0", "•"),
    **dict.fromkeys("\uf0fc\uf0fe", "✓"),
    "\uf0b0": "°",
    "\uf0b1": "±",
    "\uf0b4": "×",  # noqa: RUF001
    "\uf0a3": "≤",
    "\uf0b3": "≥",
    "\uf06d": "µ",
    "\uf057": "Ω",
}


class Glyph(NamedTuple):
    """Text at a place: the ends of its advance, its baseline and its size, in points, and its mark."""

    text: str
    x0: float
    x1: float
    y: float
    size: float
    mark: int = -1


class Rule(NamedTuple):
    """A horizontal line."""

    x0: float
    x1: float
    y: float


@lru_cache(4096)
def written(text: str) -> str | None:
    """Return letters for what a font has for them, a space for any white space; None if nothing is known."""
    text = _SYMBOLS.get(text, text)
    if _UNMAPPED.match(text):
        return None
    if text.isspace():
        return " "
    return unicodedata.normalize("NFKC", text) if _FORMS.match(text) else _UNSEEN.sub("", text)


@lru_cache(4096)
def is_upright(text: str) -> bool:
    """Return whether text is of a script whose lines may go from the top down."""
    return bool(_UPRIGHT.match(text))


def turned(x: float, y: float, degrees: int) -> tuple[float, float]:
    """Return a place as it is where text in this direction is level."""
    if not degrees:
        return x, y
    angle = radians(degrees)
    return x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)
