"""Styles, which say of paragraphs and runs what these do not say themselves."""

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeVar
from xml.etree.ElementTree import Element

from chatproxy.documents.formats.wordprocessing.properties import number, value
from chatproxy.documents.markup import child, children

_MAX_ANCESTORS: Final = 20  # which also ends a cycle
_HEADING: Final = re.compile(r"heading ([1-9])", re.IGNORECASE)

T = TypeVar("T")


class Styles:
    """The styles of a document, by id."""

    def __init__(self, root: Element | None) -> None:
        styles = [] if root is None else list(children(root, "w:style"))
        self._styles = {style.get("w:styleId", ""): style for style in styles}
        self._default = next(
            (
                style.get("w:styleId", "")
                for style in styles
                if style.get("w:type") == "paragraph" and style.get("w:default") in {"1", "true", "on"}
            ),
            "",
        )
        self._found: dict[tuple[str, object], object] = {}

    def of(self, properties: Element | None) -> str:
        """Return the id of a paragraph's style."""
        return value(properties, "w:pStyle") or self._default

    def find(self, style: str, wanted: Callable[[Element], T | None]) -> T | None:
        """Return what a style says, or the one that it is based on.

        `wanted` gives what one style says, or None. It must be a function that lasts: results are kept.
        """
        key = (style, wanted)
        if key not in self._found:
            said = (wanted(each) for each in self.ancestry(style))
            self._found[key] = next((each for each in said if each is not None), None)
        return self._found[key]  # type: ignore[return-value]

    def run(
        self, properties: Element | None, paragraph: str, wanted: Callable[[Element | None], T | None]
    ) -> T | None:
        """Return what a run's properties say, or its style, or its paragraph's; `wanted` is as in `find`."""
        said = wanted(properties)
        if said is None and (style := value(properties, "w:rStyle")):
            said = self._in_runs(style, wanted)
        return self._in_runs(paragraph, wanted) if said is None else said

    def _in_runs(self, style: str, wanted: Callable[[Element | None], T | None]) -> T | None:
        key = (style, wanted)
        if key not in self._found:
            said = (wanted(child(each, "w:rPr")) for each in self.ancestry(style))
            self._found[key] = next((each for each in said if each is not None), None)
        return self._found[key]  # type: ignore[return-value]

    def ancestry(self, style: str) -> Iterator[Element]:
        """Yield a style and those that it is based on."""
        for _ in range(_MAX_ANCESTORS):
            if (element := self._styles.get(style)) is None:
                return
            yield element
            style = value(element, "w:basedOn") or ""

    def level(self, properties: Element | None) -> int:
        """Return the level of a heading, from 1; 0 for other paragraphs."""
        level = number(value(properties, "w:outlineLvl"))
        if level is None:
            level = self.find(self.of(properties), _outline_level)
        return level + 1 if level is not None and 0 <= level < 9 else 0

    def is_caption(self, properties: Element | None) -> bool:
        """Tell whether a paragraph is the caption of a table or a picture."""
        return self.find(self.of(properties), _name) == "caption"


def _name(style: Element) -> str | None:
    return (value(style, "w:name") or "").lower() or None


def _outline_level(style: Element) -> int | None:
    level = number(value(child(style, "w:pPr"), "w:outlineLvl"))
    if level is not None:
        return level
    name = _name(style) or ""
    if found := _HEADING.fullmatch(name):
        return int(found[1]) - 1
    return 0 if name == "title" else None
