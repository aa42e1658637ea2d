"""How text is written that is raised, lowered or stacked, and the marks of notes."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

_RAISED: Final[Mapping[str, str]] = dict(
    zip(
        "0123456789+-−–=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWβγδθφχ",  # noqa: RUF001 - minus signs
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵝᵞᵟᶿᵠᵡ",
        strict=True,
    )
)
_LOWERED: Final[Mapping[str, str]] = dict(
    zip(
        "0123456789+-−–=()aehijklmnoprstuvxβγρφχ",  # noqa: RUF001 - minus signs
        "₀₁₂₃₄₅₆₇₈₉₊₋₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ",
        strict=True,
    )
)
# Raised only as a matter of style, behind a digit.
_ORDINAL: Final = re.compile(r"st|nd|rd|th|ers?|i?[eè]res?|nde?s?|i?[eè]mes?|[oa]s|ste|de", re.IGNORECASE)
_SIGNS: Final[Mapping[str, str]] = {"tm": "™", "sm": "℠"}
_APART: Final = re.compile(r"\W+|\[.*\]")  # which nothing beside it can be taken for
_WORD: Final = re.compile(r"[^\W\d_]{2}")
_SLASH: Final = "\N{FRACTION SLASH}"
_STACKED: Final = re.compile("([⁰¹²³⁴-⁹]{1,9})[/\N{DIVISION SLASH}\N{FRACTION SLASH}]([₀-₉]{1,9})")
_VULGAR: Final[Mapping[str, str]] = {
    unicodedata.normalize("NFKC", sign): sign for sign in "½⅓¼⅕⅙⅐⅛⅑⅒⅔¾⅖⅗⅘⅚⅜⅝⅞"
}


def superscript(text: str, before: str = "") -> str:
    """Return raised text: `⁶`, `⁻³`, or `^(ab)` if there are no such signs for it, or it is a word.

    `before` is what stands before it, where `st` makes an ordinal, `1st`.
    """
    raised = text.strip()
    if before[-1:].isdigit() and _ORDINAL.fullmatch(raised):
        return text
    return _SIGNS.get(raised.lower()) or _shifted(text, _RAISED, "^")


def subscript(text: str) -> str:
    """Return lowered text: `₂`, or `_(max)`."""
    return _shifted(text, _LOWERED, "_")


def struck(text: str) -> str:
    """Return text that is struck through, which is no longer valid: `~~$900~~`."""
    said = text.strip()
    return text.replace(said, f"~~{said}~~") if said and "\n" not in said else text


def note(mark: str) -> str:
    """Return the mark of a note as Markdown writes it, apart from the word or the number before it: `[^3]`.

    `[3]` is what an answer cites its third source with.
    """
    mark = mark.strip().strip("[^]()").strip()
    return f"[^{mark}]" if mark else ""


def fraction(numerator: str, denominator: str) -> str:
    """Return `½`, or raised and lowered digits, which no digit before them changes, or `(a+b)/c`."""
    numerator, denominator = numerator.strip(), denominator.strip()
    if re.fullmatch("[0-9]{1,9}/[0-9]{1,9}", f"{numerator}/{denominator}"):
        sign = _VULGAR.get(numerator + _SLASH + denominator)
        return sign or _shifted(numerator, _RAISED, "") + _SLASH + _shifted(denominator, _LOWERED, "")
    return f"{bracketed(numerator)}/{bracketed(denominator)}"


def bracketed(term: str) -> str:
    """Return a term of a formula so that it stays one, whatever stands beside it."""
    return term if re.fullmatch(r"\w*|\(.[^()]*\)|\d+[.,]\d+", term) else f"({term})"


def with_fractions(text: str) -> str:
    """Return text with `½` for a raised 1, a slash and a lowered 2."""
    return _STACKED.sub(
        lambda found: fraction(*[unicodedata.normalize("NFKC", each) for each in found.groups()]), text
    )


def _shifted(text: str, signs: Mapping[str, str], otherwise: str) -> str:
    """Return raised or lowered text; white space before it goes, that after it stays."""
    shifted = text.strip()
    if not shifted:
        return text
    if all(each in signs for each in shifted) and not _WORD.search(shifted):
        shifted = "".join([signs[each] for each in shifted])
    elif not (_APART.fullmatch(shifted) or all(each in signs.values() for each in shifted)):
        shifted = f"{otherwise}({shifted})"
    return shifted + text[len(text.rstrip()) :]
