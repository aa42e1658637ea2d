"""The order in which a page is read: bands, columns, and tables by the places of their cells."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from chatproxy.documents.formats.pdf.content.glyphs import Rule
from chatproxy.documents.formats.pdf.content.lines import Line
from chatproxy.documents.formats.pdf.content.sheets import Grid
from chatproxy.documents.formats.pdf.content.words import undivided
from chatproxy.documents.notation.tables import Cell, Table
from chatproxy.documents.parts import Part

GUTTER: Final = 0.8  # between columns, at least, in units of the size of the type
MAX_ITEMS: Final = 3000  # of a page that is looked at for columns
_LEVEL: Final = 0.3  # between baselines of one row, in units of the size of the type
_PARAGRAPH: Final = 1.35  # lines of the usual leading
_HEADING: Final = 1.1  # of the usual size of type
_DIGIT: Final = re.compile(r"\d")


Item = Line | Grid
_Row = dict[int, list[Item]]
Block = Sequence[Line] | Part  # a paragraph, or a table


class _Column(NamedTuple):
    x0: float
    x1: float
    items: list[Item]


def blocks(items: Sequence[Item], rules: Sequence[Rule]) -> list[Block]:
    """Return the paragraphs and tables of a page in the order in which they are read, notes last."""
    placed: list[Block] = []
    notes: list[Block] = []
    body = median(item.size for item in items if isinstance(item, Line)) if items else 0
    regions = list(_regions(sorted(items, key=lambda item: -item.top), rules))
    for number, region in enumerate(regions, start=1):
        if isinstance(region, Part):
            placed.append(region)
            continue
        found = [_as_heading(each, body) for each in _paragraphs(region)]
        first = next((n for n, each in enumerate(found) if _is_note(each, body)), len(found))
        if all(_is_note(each, body) or not _begins(each) for each in found[first:]) and number < len(regions):
            notes += found[first:]
            found = found[:first]
        placed += found
    return placed + notes


def _as_heading(block: Block, body: float) -> Block:
    """Return a heading of several lines as one."""
    if isinstance(block, Part) or block[0].size < _HEADING * body or not 1 < len(block) < 4:
        return block
    text = undivided("\n".join([line.text for line in block]), ()).replace("\n", " ")
    return [block[0]._replace(text=text)]


def _is_note(block: Block, body: float) -> bool:
    return not isinstance(block, Part) and bool(block[0].label) and block[0].size < 0.95 * body


def _begins(block: Block) -> bool:
    return isinstance(block, Part) or not block[0].label


def _regions(items: Sequence[Item], rules: Sequence[Rule]) -> Iterator[list[Item] | Part]:
    """Yield what stands in one column, and tables; items come from the top down."""
    plain: list[Item] = []
    start = 0
    while start < len(items):
        end, columns = _band(items, start) if len(items) <= MAX_ITEMS else (start + 1, [])
        inside = [rule for rule in rules if _crosses(rule, columns)] if columns else []
        if not columns:
            plain += items[start:end]
        elif not _are_beside(columns):
            end = start + 1
            plain += items[start:end]
        elif not _is_table(columns, inside):
            if plain:
                yield plain
                plain = []
            for column in columns:
                yield from _regions(column.items, rules)
        else:
            before, rows, after = _trimmed(_table_rows(columns, inside))
            plain += _items(before)
            if len(rows) > 1:
                if plain:
                    yield plain
                    plain = []
                yield _table(rows, len(columns))
            else:
                plain += _items(rows)
            plain += _items(after)
        start = end
    if plain:
        yield plain


def _band(items: Sequence[Item], start: int) -> tuple[int, list[_Column]]:
    """Return the end of what shares columns, and these; a single item, and none, if it is in no column."""
    whole = min(item.x0 for item in items), max(item.x1 for item in items)
    spans: list[tuple[float, float]] = []
    found = 0
    for end, item in enumerate(items[start:], start=start + 1):
        grown = _union(spans, item)
        if len(grown) < 2 and (found or grown[0][1] - grown[0][0] > 0.8 * (whole[1] - whole[0])):
            break
        spans = grown
        if len(spans) > 1:
            found = end
    if not found:
        return start + 1, []
    spans = []
    for item in items[start:found]:
        spans = _union(spans, item)
    edges = [left for left, _ in spans]
    columns = [_Column(left, right, []) for left, right in spans]
    for item in items[start:found]:
        columns[bisect_right(edges, item.x0) - 1].items.append(item)
    return found, columns


def _union(spans: list[tuple[float, float]], item: Item) -> list[tuple[float, float]]:
    """Return the horizontal spans that are covered with this item, too; a gap is wider than a gutter."""
    left, right = item.x0, item.x1
    gutter = GUTTER * (item.size if isinstance(item, Line) else 10)
    apart = []
    for span in spans:
        if span[1] + gutter < left or span[0] - gutter > right:
            apart.append(span)
        else:
            left, right = min(left, span[0]), max(right, span[1])
    return sorted([*apart, (left, right)])


def _are_beside(columns: Sequence[_Column]) -> bool:
    return all(
        min(left.items[0].top, right.items[0].top) > max(left.items[-1].bottom, right.items[-1].bottom)
        for left, right in pairwise(columns)
    )


def _crosses(rule: Rule, columns: Sequence[_Column]) -> bool:
    tops = [item.top for column in columns for item in column.items]
    bottoms = [item.bottom for column in columns for item in column.items]
    return min(bottoms) - 20 < rule.y < max(tops) + 20


def _is_table(columns: Sequence[_Column], rules: Sequence[Rule]) -> bool:
    """Return whether columns are read across: their lines are level, and they are not columns of prose."""
    if any(isinstance(item, Grid) for column in columns for item in column.items):
        return False
    levels = sorted({rule.y for rule in rules if _covers(rule, columns)})
    if sum(later - earlier > 3 for earlier, later in pairwise(levels)) >= 2:
        return True
    if all(_is_prose(column) for column in columns):
        return False
    few, many = sorted(columns, key=lambda column: len(column.items))[:: len(columns) - 1]
    others = sorted(item.y for column in columns if column is not few for item in column.items)
    level = sum(
        any(abs(y - item.y) < _LEVEL * item.size for y in _near(others, item.y)) for item in few.items
    )
    return level >= 0.6 * len(few.items) and not (_is_prose(few) and _is_prose(many))


def _covers(rule: Rule, columns: Sequence[_Column]) -> bool:
    return any(rule.x0 < left.x1 and rule.x1 > right.x0 for left, right in pairwise(columns)) or any(
        rule.x0 <= column.x0 + 1 and rule.x1 >= column.x1 - 1 for column in columns
    )


def _near(ordered: Sequence[float], value: float) -> Sequence[float]:
    after = bisect_right(ordered, value)
    return ordered[max(after - 1, 0) : after + 1]


def _is_prose(column: _Column) -> bool:
    """Return whether a column holds running text: lines of several words that fill it."""
    lines = [item for item in column.items if isinstance(item, Line)]
    if len(lines) < 3:
        return False
    width = column.x1 - column.x0
    filled = median((line.x1 - line.x0) / width for line in lines)
    words = median(max(line.text.count(" ") + 1, len(line.text) / 8) for line in lines)
    return filled > 0.6 and words >= 2.5


def _table_rows(columns: Sequence[_Column], rules: Sequence[Rule]) -> list[_Row]:
    """Return what is in each row, by the number of the column; what is between two lines across it is one."""
    items = sorted(
        [(item, number) for number, column in enumerate(columns) for item in column.items],
        key=lambda each: (-each[0].y, each[1]),
    )
    levels = sorted({rule.y for rule in rules if _covers(rule, columns)})
    if sum(later - earlier > 3 for earlier, later in pairwise(levels)) < 3:
        levels = []
    rows: list[_Row] = []
    place = reach = 0.0
    for item, column in items:
        between = bisect_right(levels, item.y)
        if 0 < between < len(levels):
            within = between == place
        else:
            within = bool(rows) and reach - item.y < _LEVEL * item.size
        if not rows or not within:
            if rows and not levels and _goes_on(rows, item, column):
                rows[-1].setdefault(column, []).append(item)
                continue
            rows.append({})
            place, reach = between, item.y
        rows[-1].setdefault(column, []).append(item)
    return rows


def _trimmed(rows: Sequence[_Row]) -> tuple[Sequence[_Row], Sequence[_Row], Sequence[_Row]]:
    """Return the rows without those of one cell at the top and the bottom, between these."""
    full = [number for number, row in enumerate(rows) if len(row) > 1] or [len(rows)]
    return rows[: full[0]], rows[full[0] : full[-1] + 1], rows[full[-1] + 1 :]


def _items(rows: Iterable[_Row]) -> list[Item]:
    return [item for row in rows for cell in row.values() for item in cell]


def _table(rows: Sequence[_Row], columns: int) -> Part:
    table = Table()
    for row in rows:
        table.add([Cell(_cell(row.get(number, []))) for number in range(columns)])
    return table.part(headings=_headings(rows, columns))


def _goes_on(rows: Sequence[_Row], item: Item, column: int) -> bool:
    """Return whether a line is the next one of a cell: it is nearer to that than rows are to each other."""
    if 0 not in rows[-1] or column == 0 or column not in rows[-1]:
        return False
    firsts = [row[0][0].y for row in rows if 0 in row]
    pitch = median([a - b for a, b in pairwise(firsts)]) if len(firsts) > 1 else 3 * item.size
    gap = rows[-1][column][-1].y - item.y
    return gap < min(0.85 * pitch, 1.5 * item.size)


def _cell(items: Iterable[Item]) -> str:
    return " ".join([item.text for item in items if isinstance(item, Line)])


def _headings(rows: Sequence[_Row], columns: int) -> int:
    """Return 1 if the first row has words in each column, and figures are below, else 0."""
    first = [_cell(rows[0].get(number, [])) for number in range(columns)]
    if len(rows) < 3 or any(_DIGIT.search(cell) for cell in first) or not all(first[1:]):
        return 0
    below = [_cell(row.get(number, [])) for row in rows[1:] for number in range(columns)]
    return int(any(_DIGIT.search(cell) for cell in below))


def _paragraphs(items: Sequence[Item]) -> Iterator[Block]:
    """Yield paragraphs: lines at the usual distance and of one size."""
    rows = list(_rows(items))
    gaps = [a[0].y - b[0].y for a, b in pairwise(rows) if isinstance(a[0], Line) and isinstance(b[0], Line)]
    size = median(row[0].size for row in rows)
    close = [gap for gap in gaps if 0 < gap < 2.5 * size]
    usual = min(median(close), 1.6 * size) if close else 1.2 * size
    paragraph: list[Line] = []
    for row in rows:
        first = row[0]
        if isinstance(first, Grid):
            if paragraph:
                yield paragraph
            yield first.part
            paragraph = []
            continue
        line = _across(row)
        if paragraph:
            last = paragraph[-1]
            if (
                last.y - line.y > _PARAGRAPH * usual * max(line.size / size, 1)
                or abs(last.size - line.size) > 0.15 * max(last.size, line.size)
                or line.y > last.y
            ):
                yield paragraph
                paragraph = []
        paragraph.append(line)
    if paragraph:
        yield paragraph


def _rows(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield what stands on one line."""
    row: list[Item] = []
    for item in sorted(items, key=lambda item: (-item.y, item.x0)):
        if row and (
            isinstance(item, Grid) or isinstance(row[0], Grid) or row[0].y - item.y > _LEVEL * item.size
        ):
            yield sorted(row, key=lambda item: item.x0)
            row = []
        row.append(item)
    if row:
        yield sorted(row, key=lambda item: item.x0)


def _across(row: Sequence[Item]) -> Line:
    lines = [item for item in row if isinstance(item, Line)]
    return lines[0]._replace(text="  ".join([line.text for line in lines]), x1=lines[-1].x1)
