"""What glyphs on one line say: where words end, what is raised or lowered, and which way it is read."""

# ruff: noqa: RUF001 - the signs are meant

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from chatproxy.documents.formats.pdf.content.glyphs import Glyph, Rule, is_upright
from chatproxy.documents.notation.scripts import fraction, note, subscript, superscript, with_fractions

_WORD: Final = 0.16  # between words, beyond what is between letters, in units of the size of the type
_WORD_UPRIGHT: Final = 0.6  # where scripts have no spaces
_SMALLEST: Final = 0.1  # points
_NOTED: Final = re.compile(r"[^\W\d_]{3}[.,;:!?)\]”’\"»]?$|[.,;:!?)\]”’\"»]$|\b(?:19|20)[0-9]{2}$")
_LONG_WORD: Final = re.compile(r"[^\W\d_]{4}[.,;:!?)\]”’\"»]?$")
_SOFT_HYPHEN: Final = re.compile("(?<=[^\\W\\d_])\N{SOFT HYPHEN}(?=[^\\W\\d_])")
_LABEL: Final = re.compile(r"[0-9]{1,3}|[*†‡§¶]{1,3}|[a-z]")
ACCENTS: Final = {
    "`": "\u0300", "´": "\u0301", "ˆ": "\u0302", "^": "\u0302", "˜": "\u0303", "¨": "\u0308", "¸": "\u0327",
    "ˇ": "\u030c", "˘": "\u0306", "˙": "\u0307", "˚": "\u030a", "˛": "\u0328", "˝": "\u030b", "¯": "\u0304",
}  # fmt: skip
_DOTLESS: Final = {"ı": "i", "ȷ": "j"}


class Unit(NamedTuple):
    """Text in a line, and whether it is raised (1) or lowered (-1)."""

    text: str
    x0: float
    x1: float
    shift: int = 0


def units_of(glyphs: Iterable[Glyph], rules: Sequence[Rule] = ()) -> tuple[Unit, ...]:
    """Return what a line consists of, from left to right, with spaces between words."""
    glyphs = _accented(sorted(glyphs, key=lambda glyph: glyph.x0))
    size, y = _base(glyphs)
    units: list[Unit] = []
    gaps = [b.x0 - a.x1 for a, b in pairwise(glyphs) if a.text != " " != b.text]
    usual = min(max(median(gaps), 0), 0.5 * size) if len(gaps) > 2 else 0
    spaced, end, last = False, 0.0, ""
    for glyph in glyphs:
        if glyph.text == " ":
            spaced = bool(units)
            continue
        word = _WORD_UPRIGHT if is_upright(last) and is_upright(glyph.text) else _WORD
        if units and (spaced or glyph.x0 - end > usual + word * max(size, glyph.size)):
            units.append(Unit(" ", end, glyph.x0))
        shift = _shift(glyph, size, y) or _below_slash(glyph, size, units)
        units.append(Unit(glyph.text, glyph.x0, glyph.x1, shift))
        spaced, end, last = False, glyph.x1, glyph.text[-1]
    if any(unit.shift for unit in units):
        units = _scripts(units, [rule for rule in rules if abs(rule.y - y) < size])
    return tuple(units)


def _accented(glyphs: list[Glyph]) -> list[Glyph]:
    """Return glyphs with accents that were drawn over letters as parts of these."""
    if not any(glyph.text in ACCENTS for glyph in glyphs):
        return glyphs
    made: list[Glyph] = []
    for glyph in glyphs:
        last = made[-1] if made else None
        if last is None or min(last.x1, glyph.x1) - max(last.x0, glyph.x0) < 0.6 * min(
            last.x1 - last.x0, glyph.x1 - glyph.x0
        ):
            made.append(glyph)
            continue
        letter, accent = (glyph, last) if last.text in ACCENTS else (last, glyph)
        if accent.text in ACCENTS and (letter.text.isalpha() and letter.text not in ACCENTS):
            text = _DOTLESS.get(letter.text, letter.text) + ACCENTS[accent.text]
            made[-1] = letter._replace(text=unicodedata.normalize("NFC", text))
        else:
            made.append(glyph)
    return made


def _base(glyphs: Iterable[Glyph]) -> tuple[float, float]:
    """Return the size and the baseline of what is neither raised nor lowered."""
    counts: dict[tuple[float, float], int] = {}
    for glyph in glyphs:
        if glyph.text[0].isalnum() or glyph.text[0] in ")]}/%":
            key = max(round(glyph.size, 1), _SMALLEST), round(glyph.y, 1)
            counts[key] = counts.get(key, 0) + 1
    if not counts:
        first = next(iter(glyphs))
        return max(first.size, _SMALLEST), first.y
    largest = max(size for size, _ in counts)
    return max(
        (key for key in counts if key[0] * 1.05 >= largest), key=lambda key: (counts[key], key[0], -key[1])
    )


def _shift(glyph: Glyph, size: float, y: float) -> int:
    rise = (glyph.y - y) / size
    if glyph.size > 1.05 * size:
        return 0
    small = glyph.size <= 0.92 * size
    if rise > (0.12 if small else 0.2):
        return 1
    return -1 if rise < (-0.06 if small else -0.2) else 0


def _below_slash(glyph: Glyph, size: float, units: list[Unit]) -> int:
    """Return -1 for a small figure behind a raised one and a slash."""
    if glyph.size > 0.8 * size or not glyph.text.isdigit() or len(units) < 2:
        return 0
    *_, before, last = units
    return -(last.shift < 0 or (last.text in "/\N{FRACTION SLASH}" and before.shift > 0))


def _scripts(units: list[Unit], rules: Sequence[Rule]) -> list[Unit]:
    """Return units with neighbours that are raised or lowered as one, and fractions."""
    gathered: list[Unit] = []
    for unit in units:
        if unit.shift and unit.text != " ":
            beside = [
                number
                for number in range(max(len(gathered) - 2, 0), len(gathered))
                if gathered[number].shift == unit.shift
                and (number == len(gathered) - 1 or gathered[-1].shift == -unit.shift)
            ]
            if beside:
                before = gathered[beside[0]]
                gathered[beside[0]] = before._replace(text=before.text + unit.text, x1=unit.x1)
                continue
        gathered.append(unit)
    made: list[Unit] = []
    for unit in gathered:
        last = made[-1] if made else None
        if (
            last
            and unit.shift
            and last.shift == -unit.shift
            and min(unit.x1, last.x1) - max(unit.x0, last.x0)
            > 0.3 * min(unit.x1 - unit.x0, last.x1 - last.x0)
        ):
            raised, lowered = (unit, last) if unit.shift > 0 else (last, unit)
            if any(rule.x0 < unit.x1 and rule.x1 > unit.x0 for rule in rules):
                made[-1] = Unit(
                    fraction(raised.text, lowered.text), min(unit.x0, last.x0), max(unit.x1, last.x1)
                )
            else:
                made[-1:] = [lowered, raised]
            continue
        made.append(unit)
    return made


def label_of(units: tuple[Unit, ...]) -> str:
    """Return the raised mark with which a line begins, as a note does."""
    if len(units) > 2 and units[0].shift > 0 and _LABEL.fullmatch(units[0].text):
        return units[0].text
    return ""


def text_of(units: Sequence[Unit], labels: frozenset[str] = frozenset()) -> str:
    """Return what a line says; `labels` are the marks of the notes on the page."""
    text = ""
    for number, unit in enumerate(_logical(units)):
        if unit.shift > 0:
            said = text.rstrip()
            noted = unit.text in labels and (number == 0 or _NOTED.search(said))
            noted = noted or (unit.text.isdigit() and len(unit.text) < 4 and _LONG_WORD.search(said))
            text += note(unit.text) if noted else superscript(unit.text, text[-1:])
            text += " " if noted and not number and units[1].text != " " else ""
        elif unit.shift < 0:
            text += subscript(unit.text)
        else:
            text += unit.text
    text = with_fractions(" ".join(text.split(" "))) if "/" in text or "\N{FRACTION SLASH}" in text else text
    text = _SOFT_HYPHEN.sub("", text).replace("\N{SOFT HYPHEN}", "-")
    return unicodedata.normalize("NFC", text.strip())


# -- right to left


_MIRRORED: Final = dict(zip("()[]{}<>«»‹›", ")(][}{><»«›‹", strict=True))


def _logical(units: Sequence[Unit]) -> Sequence[Unit]:
    """Return units in the order in which they are read; they come as they are seen, from left to right."""
    kinds = [_direction(unit.text) for unit in units]
    if "R" not in kinds:
        return units
    for number, kind in enumerate(kinds):
        before, after = kinds[max(number - 1, 0)], kinds[min(number + 1, len(kinds) - 1)]
        if (kind == "ET" and "EN" in {before, after}) or (kind in {"ES", "CS"} and before == after == "EN"):
            kinds[number] = "EN"
    if kinds.count("R") >= kinds.count("L"):
        return _turned(units, kinds)
    ordered: list[Unit] = []
    start = 0
    while start < len(units):
        if kinds[start] != "R":
            ordered.append(units[start])
            start += 1
            continue
        end = start + 1
        for number in range(start + 1, len(units)):
            if kinds[number] == "L":
                break
            if kinds[number] == "R":
                end = number + 1
        ordered += _turned(units[start:end], kinds[start:end])
        start = end
    return ordered


def _turned(units: Sequence[Unit], kinds: Sequence[str]) -> list[Unit]:
    """Return units from right to left, but numbers and words of other scripts as they are."""
    turned: list[Unit] = []
    waiting: list[Unit] = []  # from left to right
    held: list[Unit] = []  # what is left of these, and may be between two of them
    foreign = False  # whether there is a word among them
    for unit, kind in zip(reversed(units), reversed(kinds), strict=True):
        if kind == "L" or (kind == "EN" and (foreign or not held)):
            waiting, held = [unit, *reversed(held), *waiting], []
            foreign |= kind == "L"
        elif kind in {"R", "EN"} or not waiting:
            turned += [*waiting, *held]
            waiting, held, foreign = [], [], False
            (waiting if kind == "EN" else turned).append(unit)
        else:
            held.append(unit)
    turned += [*waiting, *held]
    brackets = [unit.text for unit in turned if unit.text in _MIRRORED]
    if brackets and brackets[0] in ")]}>»›":
        turned = [unit._replace(text=_MIRRORED.get(unit.text, unit.text)) for unit in turned]
    return turned


@lru_cache(4096)
def _direction(text: str) -> str:
    """Return R, L, or the class of another character (Unicode Standard Annex 9, table 4)."""
    kind = unicodedata.bidirectional(text[0])
    return {"AL": "R", "AN": "EN"}.get(kind, kind)
