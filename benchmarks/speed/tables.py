"""From rounds to tables: medians, and in brackets the first and the third quartile."""

from collections.abc import Sequence
from math import isnan

from benchmarks.report import number, table
from benchmarks.speed.figures import Column, Figure
from benchmarks.speed.rounds import Rounds, Spread, spread


def figure(shown: Figure, found: Rounds, others: Sequence[str]) -> str:
    """Return a figure's table; what decides something is compared with `others`, too."""
    columns = []
    for column in shown.columns:
        if (shown_by_itself := (column.heading, column.key, "", column.digits)) not in columns:
            columns.append(shown_by_itself)
        compared = others if column.beside or column.most else ()
        for beside in filter(None, (column.beside, *compared)):
            columns.append((_relation(beside), column.key, beside, 2))
    head = ["", *[heading for heading, *_ in columns]]
    rows = [
        [name, *[_cell(spread(found, name, key, beside), digits) for _, key, beside, digits in columns]]
        for name in found
    ]
    return f"### {shown.heading}\n\n{table(head, rows)}"


def targets(measured: Sequence[tuple[Figure, Rounds]]) -> str:
    """Return figures beside what they should be."""
    rows = [
        _target(figure.heading, column, column.most, found)
        for figure, found in measured
        for column in figure.columns
        if column.most is not None
    ]
    return f"### Targets\n\n{table(('', 'measured', 'at most', ''), rows)}"


def _target(heading: str, column: Column, most: float, found: Rounds) -> Sequence[str]:
    whose = "" if column.of == "chatproxy" else f" ({column.of})"
    what = f"{heading}{whose}: {column.heading}{column.beside and f', {_relation(column.beside)}'}"
    values = spread(found, column.of, column.key, column.beside)
    verdict = "" if isinstance(values, str) else "met" if values[1] <= most else "**missed**"
    return (what, _cell(values, 2 if column.beside else column.digits), f"{most:g}", verdict)


def _relation(beside: str) -> str:
    return f"later than {beside}" if beside == "direct" else f"times {beside}"


def _cell(values: Spread | str, digits: int) -> str:
    if isinstance(values, str):
        return values
    first, median, third = values
    if isnan(median):
        return "no process"
    return f"{number(median, digits)} ({number(first, digits)} to {number(third, digits)})"
