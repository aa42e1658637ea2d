"""How items of lists and headings are numbered, as they are shown."""

from typing import Final
from xml.etree.ElementTree import Element

from chatproxy.documents.formats.open_document.package import Styles
from chatproxy.documents.notation.numerals import letters, repeated_letters, roman

MAX_LEVELS: Final = 10
BULLET: Final = "-"


class Counts:
    """The counts of one list, by level from 1."""

    def __init__(self, styles: Styles, style: Element | None) -> None:
        self._styles = styles
        self._style = style
        self._counts = [0] * (MAX_LEVELS + 1)

    def next(self, level: int, start: str | None = None) -> str:
        """Count an item, and return its number or bullet; empty if it has none."""
        level = min(level, MAX_LEVELS)
        how = self._styles.level(self._style, level)
        self._counts[level + 1 :] = [0] * (MAX_LEVELS - level)
        if start is not None:
            self._counts[level] = int(start)
        elif self._counts[level]:
            self._counts[level] += 1
        else:
            self._counts[level] = self._first(level)
        if how is None or "style:num-format" not in how.attrib:
            return BULLET
        shown = int(how.get("text:display-levels", "1"))
        numbers = [self._numeral(each) for each in range(max(level - shown + 1, 1), level + 1)]
        written = ".".join(filter(None, numbers))
        if not how.get("style:num-format"):
            return ""
        return f"{how.get('style:num-prefix', '')}{written}{how.get('style:num-suffix', '')}".strip()

    def _first(self, level: int) -> int:
        how = self._styles.level(self._style, level)
        return 1 if how is None else int(how.get("text:start-value", "1"))

    def _numeral(self, level: int) -> str:
        how = self._styles.level(self._style, level)
        count = self._counts[level] or self._first(level)
        kind = "" if how is None else how.get("style:num-format", "")
        synchronised = how is not None and how.get("style:num-letter-sync") == "true"
        written = repeated_letters if synchronised else letters
        match kind:
            case "":
                return ""
            case "a" | "A":
                shown = written(count)
            case "i" | "I":
                shown = roman(count)
            case _:
                shown = str(count)
        return shown.upper() if kind.isupper() else shown
