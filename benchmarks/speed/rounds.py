"""Contestants take turns, and their figures are compared within a round: the machine's pace changes."""

from collections.abc import Awaitable, Callable, Mapping
from math import nan
from statistics import quantiles

from benchmarks.report import NONE

Sample = dict[str, float]  # the figures of one turn that apply; NaN: there is no process that could have any
Rounds = dict[str, list[Sample | str]]  # by contestant; a text says why a turn gave no figures
Spread = tuple[float, float, float]  # first quartile, median, third quartile


class Unmeasured(Exception):
    """Says why a turn gives no figures."""


async def by_turns(rounds: int, turns: Mapping[str, Callable[[], Awaitable[Sample]]]) -> Rounds:
    """Let every contestant have a turn in each round, up and down the list."""
    found: Rounds = {name: [] for name in turns}
    for number in range(rounds):
        for name in [*turns][:: -1 if number % 2 else 1]:
            try:
                found[name].append(await turns[name]())
            except Unmeasured as reason:
                found[name].append(str(reason))
    return found


def spread(found: Rounds, name: str, key: str, beside: str = "") -> Spread | str:
    """Return a figure of a contestant, or why it is missing in most rounds.

    If there is a contestant beside it: how many times its figure that is, or how much more than `direct`'s.
    """
    figures: list[float] = []
    reasons = [] if not beside or beside in found else [f"{beside} is not installed"]
    for ours, theirs in zip(found[name], found.get(beside or name, ()), strict=False):
        if isinstance(ours, str) or isinstance(theirs, str):
            reasons.append(ours if isinstance(ours, str) else str(theirs))
        elif key not in ours or key not in theirs:
            reasons.append(NONE)
        elif beside == "direct":
            figures.append(ours[key] - theirs[key])
        else:
            figures.append(ours[key] / (theirs[key] or nan) if beside else ours[key])
    if len(reasons) >= len(figures):
        return reasons[0]
    if len(figures) == 1:
        return figures[0], figures[0], figures[0]
    first, median, third = quantiles(figures, n=4, method="inclusive")
    return first, median, third
