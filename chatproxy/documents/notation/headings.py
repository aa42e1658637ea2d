"""Which row of a table has its headings: the one whose cells are of another kind than those below them."""

import re
from collections.abc import Sequence
from typing import Final

SAMPLE: Final = 200  # rows to look at
_LONGEST_VALUE: Final = 40  # characters
_LONGEST_NAME: Final = 100  # of a column
_REGULAR: Final = 0.8  # the share of a column's cells that are values
# A number with its currency or unit, a date, a time, an error of a spreadsheet.
_FIGURE: Final = re.compile(
    r"(?:(?:AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|INR|JPY|NOK|PLN|SEK|USD)\s?|(?:A|C|R|US)(?=\$))?"
    r"[-+(]?[^\w\s]?\s?\d[\d.,:/\s'\u2019Tt+-]*[Zz]?\s?[)%]?\s?(?:[^\W\d_]{1,3}|[^\w\s])?"
    r"|-|#(?:N/A|[A-Z0-9/]+[!?])",
)
_WORD: Final = re.compile(r"true|false|yes|no|null|n/?a|\S+@\S+\.\w+|https?://\S+", re.IGNORECASE)
_YEAR: Final = re.compile(r"(?:19|20)\d\d(?:[/-](?:\d\d){1,2})?")
_DATE: Final = re.compile(r"(?:19|20)\d\d([-/.])\d\d?\1\d\d?|\d\d?([-/.])\d\d?\2(?:\d\d){0,2}")


def are_headings(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether columns are of another kind than the cells of the first row, or might be."""
    if not rows:
        return False
    votes = [
        _vote(name.strip(), [row[column].strip() for row in rows[:SAMPLE] if column < len(row)])
        for column, name in enumerate(names)
        if name.strip()
    ]
    return bool(votes) and sum(votes) >= 0 and (max(votes) > 0 or min(votes) == 0)


def is_figure(cell: str) -> bool:
    """Return whether a cell is a number, a date or a time; a year may be a heading, and is none."""
    return len(cell) <= _LONGEST_VALUE and bool(_FIGURE.fullmatch(cell)) and not _YEAR.fullmatch(cell)


def _vote(name: str, cells: Sequence[str]) -> int:
    """Return 1 if a name is no cell of the column, -1 if it looks like one, 0 if it may be either."""
    filled = [cell for cell in cells if cell]
    for period in (_YEAR, _DATE):
        if period.fullmatch(name):
            return -1 if any(map(period.fullmatch, filled)) else 0
    if _is_value(name) or len(name) > _LONGEST_NAME:
        return -1
    if filled and sum(map(_is_value, filled)) >= _REGULAR * len(filled):
        return 1
    pattern = _pattern(name)
    return -1 if name in filled or (pattern and pattern in map(_pattern, filled)) else 0


def _is_value(cell: str) -> bool:
    return is_figure(cell) or bool(_YEAR.fullmatch(cell)) or _is_word(cell)


def _is_word(cell: str) -> bool:
    """Return whether a cell is a truth value or an address."""
    return len(cell) <= _LONGEST_VALUE and bool(_WORD.fullmatch(cell))


def _pattern(cell: str) -> str:
    """Return what cells have in common that differ in their numbers; nothing if there is no number."""
    return re.sub(r"\d+", "0", cell) if any(map(str.isdigit, cell)) else ""
