"""Characters of the symbol fonts, whose codes mean other signs than Unicode's."""

from collections.abc import Mapping
from typing import Final

UNKNOWN: Final = "•"
_PRIVATE: Final = range(0xF000, 0xF100)  # where files put these codes

# https://www.unicode.org/Public/MAPPINGS/VENDORS/ADOBE/symbol.txt
_SYMBOL: Final = {
    0x20 + place: sign
    for place, sign in enumerate(
        " !∀#∃%&∋()∗+,−./0123456789:;<=>?"  # noqa: RUF001 - the signs of the font
        "≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_"
        "‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼\x7f"  # noqa: RUF001
    )
} | {
    0xA0 + place: sign
    for place, sign in enumerate(
        "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵"  # noqa: RUF001
        "ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓"  # noqa: RUF001
        "◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪\uf8ff〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭"
    )
}
_WINGDINGS: Final = {
    **dict(zip(b'!"(*6AEFJLNRTl', "✏✂☎✉⌛✌☜☞☺☹☠☼❄●", strict=True)),
    **dict(zip(b"mnopqrstuvwxz", "❍■☐☐❑❒◆◆◆❖◆☒⌘", strict=True)),
    **{0x81 + place: chr(0x2460 + place) for place in range(10)},
    **{0x8C + place: chr(0x2776 + place) for place in range(10)},
    **dict(zip(range(0xDF, 0xE7), "←→↑↓↖↗↙↘", strict=True)),
    **dict(zip(range(0xEF, 0xF4), "⇦⇨⇧⇩⇔", strict=True)),
    **{0xA8: "☐", 0xAB: "★", 0xD8: "➢", 0xE8: "➔", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"},
}
_FONTS: Final[Mapping[str, Mapping[int, str]]] = {
    "symbol": _SYMBOL,
    "wingdings": _WINGDINGS,
    "wingdings 2": dict(zip(b"OPQRSTUV\xa3", "✗✓☒☑☒☒☒☒☐", strict=True)),
    "wingdings 3": dict(zip(b"fghipqtu", "←→↑↓▲▼◀▶", strict=True)),
    "webdings": dict(zip(b"acrgn", "✓☐✗■●", strict=True)),
}


def symbol(font: str, text: str) -> str:
    """Return text in a font, with the signs that the font shows for it."""
    signs = _FONTS.get(font.lower())
    if signs is None and not any(ord(each) in _PRIVATE for each in text):
        return text
    return "".join([_sign(signs or {}, each, signs is not None) for each in text])


def _sign(signs: Mapping[int, str], character: str, is_symbol: bool) -> str:
    code = ord(character)
    if code in _PRIVATE:
        code -= _PRIVATE.start
    elif not is_symbol or code >= 0x100 or character.isspace():
        return character
    return signs.get(code, UNKNOWN)
