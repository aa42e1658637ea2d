"""The numbers of paragraphs, which Word counts itself: `2.1.3`, `(a)`, `Article II`.

Levels and their formats are in abstract lists. Lists refer to these, and paragraphs or styles to lists. All
lists of an abstract list count on together, unless one says that it starts over.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from chatproxy.documents.formats.wordprocessing.properties import is_on, number, value
from chatproxy.documents.formats.wordprocessing.styles import Styles
from chatproxy.documents.formats.wordprocessing.symbols import symbol
from chatproxy.documents.markup import child, children
from chatproxy.documents.notation import numerals

BULLET: Final = "-"
_LEVELS: Final = 9
_LONGEST: Final = 200  # characters of what is written around the numbers
_PLACE: Final = re.compile("%([1-9])")
_BOXES: Final = frozenset("☐☑☒✓✔✗✘")  # bullets that say something
# ST_NumberFormat; others are written in digits.
_FORMATS: Final[Mapping[str, Callable[[int], str]]] = {
    "none": lambda _: "",
    "decimalZero": lambda each: f"{each:02}",
    "lowerLetter": numerals.repeated_letters,
    "upperLetter": lambda each: numerals.repeated_letters(each).upper(),
    "lowerRoman": numerals.roman,
    "upperRoman": lambda each: numerals.roman(each).upper(),
    "russianLower": numerals.russian,
    "russianUpper": lambda each: numerals.russian(each).upper(),
    "ordinal": numerals.ordinal,
    "cardinalText": numerals.cardinal_words,
    "ordinalText": numerals.ordinal_words,
    "decimalEnclosedCircle": numerals.circled,
    "chicago": lambda each: "*†‡§"[(each - 1) % 4] * min((each + 3) // 4, 9),
    **dict.fromkeys(
        [
            *("chineseCounting", "chineseCountingThousand", "ideographDigital", "japaneseCounting"),
            *("japaneseDigitalTenThousand", "taiwaneseCounting", "taiwaneseCountingThousand"),
        ],
        numerals.chinese,
    ),
}


def formatted(count: int, kind: str) -> str:
    """Return a count as a number format of Word writes it."""
    return _FORMATS.get(kind, str)(count)


@dataclass(slots=True)
class _Level:
    start: int = 1
    kind: str = "decimal"
    text: str = ""
    restart: int | None = None  # the level, from 1, after which it starts over; 0 for never
    in_digits: bool = False  # all levels in its text, as in `Section 2.01` below `Article II`
    style: str = ""
    is_hidden: bool = False

    @classmethod
    def of(cls, element: Element) -> "_Level":
        """Return what an element says of a level."""
        text, start = value(element, "w:lvlText"), number(value(element, "w:start"))
        fonts = child(element, "w:rPr", "w:rFonts")
        font = "" if fonts is None else fonts.get("w:ascii") or fonts.get("w:hAnsi") or ""
        return cls(
            start=0 if start is None else start,
            kind=value(element, "w:numFmt") or "decimal",
            text="".join([symbol(font, each) for each in (text or "")[:_LONGEST]]),
            restart=number(value(element, "w:lvlRestart")),
            in_digits=bool(is_on(element, "w:isLgl")),
            style=value(element, "w:pStyle") or "",
            is_hidden=bool(is_on(child(element, "w:rPr"), "w:vanish")),
        )


@dataclass(slots=True)
class _List:
    counts: list[int | None]  # those of the abstract list
    levels: dict[int, _Level]
    overrides: dict[int, int] = field(default_factory=dict)  # where it starts over, at its first item

    def start(self, at: int) -> int:
        """Return the number of the first item of a level."""
        return self.overrides.get(at, self.levels.get(at, _Level()).start)


class Mark(NamedTuple):
    """A number, or BULLET, or nothing; and the level of the item, from 0."""

    text: str = ""
    level: int = 0


class Numbering:
    """Counts the paragraphs of a document, in order."""

    def __init__(self, root: Element | None, styles: Styles) -> None:
        self._styles = styles
        self._lists: dict[str, _List] = {}
        if root is not None:
            self._read(root)

    def next(self, properties: Element | None) -> "Mark":
        """Return what stands before a paragraph."""
        said = child(properties, "w:numPr")
        style = self._styles.of(properties)
        name = value(said, "w:numId") or self._styles.find(style, _list_of) or ""
        if (found := self._lists.get(name)) is None:
            return Mark()
        level = number(value(said, "w:ilvl"))
        if level is None:
            level = self._level_of(style, found)
        level = min(max(level, 0), _LEVELS - 1)
        return Mark(self._count(found, level), level)

    def _level_of(self, style: str, found: _List) -> int:
        """Return the level that a style is linked to."""
        names = {each.get("w:styleId") for each in self._styles.ancestry(style)}
        linked = [number for number, level in found.levels.items() if level.style and level.style in names]
        own = [number for number in linked if found.levels[number].style == style]
        return (own or linked or [self._styles.find(style, _level_said) or 0])[0]

    def _count(self, found: _List, at: int) -> str:
        counts = found.counts
        level = found.levels.get(at, _Level())
        for skipped in range(at):  # what has no item counts as one
            if counts[skipped] is None:
                counts[skipped] = found.start(skipped)
        before = counts[at]
        counts[at] = found.start(at) if before is None or at in found.overrides else before + 1
        for each in range(at + 1):
            found.overrides.pop(each, None)
        for deeper in range(at + 1, _LEVELS):
            restart = found.levels.get(deeper, _Level()).restart
            if restart is None or at < restart:
                counts[deeper] = None
        if level.is_hidden:
            return ""
        if level.kind == "bullet":
            return level.text if level.text in _BOXES else BULLET
        return _PLACE.sub(lambda place: self._numeral(found, int(place[1]) - 1, level), level.text).strip()

    def _numeral(self, found: _List, at: int, shown_in: _Level) -> str:
        kind = found.levels.get(at, _Level()).kind
        if shown_in.in_digits and kind != "decimalZero":
            kind = "decimal"
        count = found.counts[at]
        return formatted(found.start(at) if count is None else count, kind)

    def _read(self, root: Element) -> None:
        abstract = {each.get("w:abstractNumId", ""): each for each in children(root, "w:abstractNum")}
        references = {each.get("w:numId", ""): each for each in children(root, "w:num")}
        levels: dict[str, dict[int, _Level]] = {}
        counts: dict[str, list[int | None]] = {}
        for name, reference in references.items():
            target = self._target(reference, abstract, references)
            if target not in abstract:
                continue
            if target not in levels:
                levels[target] = {
                    number(each.get("w:ilvl")) or 0: _Level.of(each)
                    for each in children(abstract[target], "w:lvl")
                }
            own = _List(counts.setdefault(target, [None] * _LEVELS), levels[target])
            for override in children(reference, "w:lvlOverride"):
                at = number(override.get("w:ilvl")) or 0
                if (replaced := child(override, "w:lvl")) is not None:
                    own.levels = {**own.levels, at: _Level.of(replaced)}
                if (start := number(value(override, "w:startOverride"))) is not None:
                    own.overrides[at] = start
            self._lists[name] = own

    def _target(
        self, reference: Element, abstract: Mapping[str, Element], references: Mapping[str, Element]
    ) -> str:
        """Return the abstract list that a list refers to, perhaps by way of a style."""
        target = value(reference, "w:abstractNumId") or ""
        link = value(abstract.get(target), "w:numStyleLink")
        if link and (linked := references.get(self._styles.find(link, _list_of) or "")) is not None:
            return value(linked, "w:abstractNumId") or ""
        return target


def _list_of(style: Element) -> str | None:
    return value(style, "w:pPr", "w:numPr", "w:numId")


def _level_said(style: Element) -> int | None:
    return number(value(style, "w:pPr", "w:numPr", "w:ilvl"))
