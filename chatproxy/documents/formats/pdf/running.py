"""Running heads and feet: lines that pages repeat at the same place."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from chatproxy.documents.formats.pdf.content.lines import Line
from chatproxy.documents.formats.pdf.content.sheets import Sheet

_ROWS: Final = 3  # at either end of a page
_MARGIN: Final = 0.15  # of the page
_PAGES: Final = 3  # on which a line stands at least, or all of two
_NUMBER: Final = re.compile(r"(?<![\w.,])(?:[0-9]{1,4}|[ivxl]{1,7})(?![\w,]|\.[0-9])", re.IGNORECASE)
# What may stand beside the number of a page, where other numbers are not that.
_PAGE_WORDS: Final = re.compile(
    r"(?i:page|p|pages|seite|s|of|von|folio|feuille|sur|página|pág|pagina|pag|de|di|sida|side|av|af|blad|van|strona|"
    r"z|str|стр|страница|из)|[0-9]+|[^\w]|[第頁页共쪽]"
)
_SET_APART: Final = "|–—·•"  # noqa: RUF001
_ROMAN: Final = {"i": 1, "v": 5, "x": 10, "l": 50}


def running(sheets: Mapping[int, Sheet]) -> tuple[dict[int, set[Line]], dict[int, set[Line]]]:
    """Return, for each page, the lines that run through the file, and those that were there before."""
    seen: defaultdict[tuple[str, int, int], set[int]] = defaultdict(set)
    keys = {page: {line: list(_keys(line, page)) for line in _outer(sheet)} for page, sheet in sheets.items()}
    for page, lines in keys.items():
        for found in lines.values():
            for key in found:
                seen[key].add(page)
    least = min(_PAGES, max(len(sheets), 2))
    heads: dict[int, set[Line]] = {}
    again: dict[int, set[Line]] = {}
    for page, lines in keys.items():
        repeated = {line: [key for key in found if len(seen[key]) >= least] for line, found in lines.items()}
        heads[page] = {line for line, found in repeated.items() if found}
        again[page] = {
            line for line, found in repeated.items() if any(min(seen[key]) < page for key in found)
        }
    return heads, again


def _outer(sheet: Sheet) -> set[Line]:
    """Return the first and the last lines in the margins of a page."""
    margin = _MARGIN * (sheet.top - sheet.bottom)
    heights = sorted({round(line.y) for line in sheet.lines[0]})
    ends = {
        *[height for height in heights[:_ROWS] if height < sheet.bottom + margin],
        *[height for height in heights[-_ROWS:] if height > sheet.top - margin],
    }
    return {line for line in sheet.lines[0] if round(line.y) in ends}


def _keys(line: Line, page: int) -> Iterator[tuple[str, int, int]]:
    """Yield what a line has in common with those like it: its words, and how far a number is from the page's.

    The height is in steps, of which each line has two, so that no two lines at about the same height differ.
    """
    said = [line.text]
    for number in _NUMBER.finditer(line.text):
        before, after = line.text[: number.start()], line.text[number.end() :]
        if not (
            _PAGE_WORDS.sub("", before + after) == ""
            or (not before and after.lstrip()[:1] in _SET_APART)
            or (not after and before.rstrip()[-1:] in _SET_APART)
        ):
            continue
        value = int(number[0]) if number[0].isdigit() else _roman(number[0].lower())
        said.append(f"{before}\0{value - page}{after}")
    for text in said:
        yield text, 0, round(line.y / 6)
        yield text, 1, round(line.y / 6 + 0.5)


def _roman(number: str) -> int:
    values = [_ROMAN[letter] for letter in number]
    return sum(-value if value < max(values[index:]) else value for index, value in enumerate(values))
