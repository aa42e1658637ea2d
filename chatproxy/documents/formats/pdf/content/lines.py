"""From glyphs to lines of text: what stands on one line, in whatever order it was written."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from chatproxy.documents.formats.pdf.content.glyphs import Glyph, Rule
from chatproxy.documents.formats.pdf.content.writing import ACCENTS, label_of, text_of, units_of
from chatproxy.documents.notation.scripts import fraction, note

# In units of the size of the type, where not said otherwise.
APART: Final = 1.0  # what is farther from its neighbour is in another column or cell
_AFTER_MARK: Final = 4.0  # between the mark of a list and its text
_SAME: Final = 0.16  # between what is drawn twice
_LEVEL: Final = 0.2  # between baselines of one line
_RAISED, _LOWERED = 0.7, 0.5  # at most
_SMALLER: Final = 0.87  # than the text beside it
_MOST_IN_SCRIPT: Final = 12  # glyphs

_MARK: Final = re.compile(
    r"[-•‣◦▪–·*○●■□➢✓§]|\(?[0-9]{1,3}[.)]|\(?[a-zA-Z]{1,4}[.)]|(?:[0-9]{1,3}\.){1,5}[0-9]{0,3}"  # noqa: RUF001
)


class Line(NamedTuple):
    """Text on one baseline, and the mark of the note that begins with it."""

    text: str
    x0: float
    x1: float
    y: float
    size: float
    label: str = ""

    @property
    def top(self) -> float:
        return self.y + 0.8 * self.size

    @property
    def bottom(self) -> float:
        return self.y - 0.25 * self.size


class _Run:
    """Glyphs side by side; `y` and `size` are those of the largest."""

    __slots__ = ("glyphs", "size", "x0", "x1", "y")

    def __init__(self, glyph: Glyph) -> None:
        self.glyphs = [glyph]
        _, self.x0, self.x1, self.y, self.size, _ = glyph

    def continues_with(self, glyph: Glyph) -> bool:
        size = max(self.size, glyph.size)
        gap, rise = glyph.x0 - self.x1, glyph.y - self.y
        if glyph.size * _SMALLER > self.size:
            rise = -rise
        if not -_LOWERED * size < rise < _RAISED * size or gap > APART * size:
            return False
        last = self.glyphs[-1]
        return gap >= -0.3 * size or (
            gap >= -size and (glyph.x0 >= last.x0 or glyph.text in ACCENTS or last.text in ACCENTS)
        )

    def add(self, glyph: Glyph) -> None:
        self.glyphs.append(glyph)
        if glyph.text == " ":
            return
        self.x0, self.x1 = min(self.x0, glyph.x0), max(self.x1, glyph.x1)
        if glyph.size > self.size:
            self.y, self.size = glyph.y, glyph.size

    def take(self, other: "_Run") -> None:
        for glyph in other.glyphs:
            self.add(glyph)


def read_lines(glyphs: Iterable[Glyph], rules: Sequence[Rule] = ()) -> list[Line]:
    """Return the lines that glyphs make, which come in the order of the file, from the top down."""
    rules = sorted(rules, key=lambda rule: rule.y)
    runs = _stacked(_runs(glyphs), rules)
    composed = [(run, units_of(run.glyphs, rules)) for run in _merged(runs)]
    labels = {units: label_of(units) for _, units in composed}
    known = frozenset(labels.values()) - {""}
    lines = [
        Line(text, run.x0, run.x1, run.y, run.size, labels[units])
        for run, units in composed
        if (text := text_of(units, known))
    ]
    return list(_with_marks(sorted(lines, key=lambda line: (-line.y, line.x0)), known))


def _with_marks(lines: Iterable[Line], labels: frozenset[str]) -> Iterator[Line]:
    """Yield lines with the mark of a note that is alone on the next line."""
    last: Line | None = None
    for line in lines:
        if (
            last
            and line.text in labels
            and line.size < _SMALLER * last.size
            and last.y - line.y < 1.5 * last.size
        ):
            last = last._replace(text=last.text + note(line.text))
            continue
        if last:
            yield last
        last = line
    if last:
        yield last


def _runs(glyphs: Iterable[Glyph]) -> list[_Run]:
    runs: list[_Run] = []
    for glyph in glyphs:
        if runs and runs[-1].continues_with(glyph):
            runs[-1].add(glyph)
        elif glyph.text != " ":
            runs.append(_Run(glyph))
    return runs


def _stacked(runs: list[_Run], rules: Sequence[Rule]) -> list[_Run]:
    """Return the runs, with one for each numerator, bar and denominator of full size."""
    if not rules:
        return runs
    runs = sorted(runs, key=lambda run: run.y)
    heights = [run.y for run in runs]
    gone: set[int] = set()
    made: list[_Run] = []
    for rule in rules:
        width = rule.x1 - rule.x0
        near = range(bisect_left(heights, rule.y - 2 * width - 40), bisect_right(heights, rule.y + 40))
        fits = [
            number
            for number in near[:200]
            if number not in gone
            and abs(runs[number].x0 + runs[number].x1 - rule.x0 - rule.x1) < 0.5 * runs[number].size
            and runs[number].x1 - runs[number].x0 < width + 0.3 * runs[number].size
        ]
        above = [each for each in fits if 0 < runs[each].y - rule.y < 0.7 * runs[each].size]
        below = [
            each for each in fits if 0.5 * runs[each].size < rule.y - runs[each].y < 1.2 * runs[each].size
        ]
        if len(above) != 1 or len(below) != 1:
            continue
        top, bottom = runs[above[0]], runs[below[0]]
        if width > 1.3 * max(top.x1 - top.x0, bottom.x1 - bottom.x0) + 1:
            continue
        said = fraction(text_of(units_of(top.glyphs)), text_of(units_of(bottom.glyphs)))
        gone |= {above[0], below[0]}
        full = max(top.size, bottom.size)
        made.append(_Run(Glyph(said, rule.x0, rule.x1, rule.y - 0.25 * full, full)))
    return [run for number, run in enumerate(runs) if number not in gone] + made if made else runs


def _merged(runs: list[_Run]) -> list[_Run]:
    """Join what stands on one line, in whatever order it was written."""
    rows = [_joined(row) for row in _rows(runs)]
    heights = [-row[0].y for row in rows]
    for row in rows:
        for run in [run for run in row if len(run.glyphs) <= _MOST_IN_SCRIPT]:
            near = slice(
                bisect_left(heights, -run.y - 1.5 * run.size), bisect_right(heights, 1.5 * run.size - run.y)
            )
            host = next((found for other in rows[near] if (found := _host(run, other))), None)
            if host is not None:
                host.take(run)
                row.remove(run)
    return [run for row in rows for run in _joined(row)]


def _rows(runs: list[_Run]) -> Iterator[list[_Run]]:
    """Yield runs with the same baseline, from the top down."""
    row: list[_Run] = []
    for run in sorted(runs, key=lambda run: -run.y):
        if row and row[0].y - run.y > _LEVEL * max(row[0].size, run.size):
            yield row
            row = []
        row.append(run)
    if row:
        yield row


def _joined(row: list[_Run]) -> list[_Run]:
    """Return the runs of a row from left to right, those that are close made one."""
    joined: list[_Run] = []
    for run in sorted(row, key=lambda run: run.x0):
        last = joined[-1] if joined else None
        if last is None:
            joined.append(run)
            continue
        size = max(last.size, run.size)
        near = APART
        if (
            len(joined) == 1
            and len(last.glyphs) < 12
            and _MARK.fullmatch("".join([g.text for g in last.glyphs]).strip())
        ):
            near = _AFTER_MARK
        if run.x0 - last.x1 > near * size:
            joined.append(run)
        elif not (_is_same(last, run) and abs(last.x0 - run.x0) < _SAME * size):  # not one drawn twice
            if near == _AFTER_MARK:
                last.glyphs.append(Glyph(" ", last.x1, last.x1, last.y, last.size))
            last.take(run)
    return joined


def _is_same(one: _Run, other: _Run) -> bool:
    return [glyph.text for glyph in one.glyphs] == [glyph.text for glyph in other.glyphs]


def _host(run: _Run, row: list[_Run]) -> _Run | None:
    """Return what in a row a small run is raised or lowered beside."""
    starts = [each.x0 for each in row]
    after = bisect_right(starts, run.x0 + 0.1 * run.size)
    for host in row[max(after - 1, 0) : after + 1]:
        reach = 0.35 * host.size
        if (
            run.size <= _SMALLER * host.size
            and host is not run
            and -_LOWERED * host.size < run.y - host.y < _RAISED * host.size
            and run.x0 - host.x1 < reach
            and host.x0 - run.x1 < reach
            and run.x1 - run.x0 < 6 * host.size
        ):
            return host
    return None
