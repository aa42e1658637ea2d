"""From samples to the tables of BENCHMARKS.md.

Figures are medians of the rounds; a ratio is the median of the ratios within each round.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks import documents as texts
from benchmarks.contestants import CHATPROXY, DIRECT, FASTAPI, NGINX, PASSING
from benchmarks.figures import Cost, HistoryCost, ResumeResult
from benchmarks.first_text import Delay
from benchmarks.formats import FormatCost
from benchmarks.load import TIMEOUT
from benchmarks.markdown_stream import Smoothness
from benchmarks.measure import LoadResult, Sample
from benchmarks.report import NONE, number, table

VISIBLE_DELAY: Final = 50.0  # milliseconds; people notice a longer one
LATEST_TEXT: Final = 3.0  # milliseconds after Ollama's own
HISTORY_GROWTH: Final = 1.15  # the most that a cost may grow with the length of the history


@dataclass(frozen=True)
class Round:
    """One contestant's turn."""

    first: float  # milliseconds to the first token
    idle: int  # bytes
    loaded: LoadResult


Rounds = dict[str, list[Round | None]]  # None: not all streams started


@dataclass(frozen=True)
class OwnFigures:
    """What is measured for chatproxy alone."""

    ready: float  # milliseconds
    idle: float  # bytes
    by_streams: Sequence[tuple[int, float | None]]  # CPU microseconds per token, by streams: few, some, many
    by_length: Sequence[tuple[int, float]]  # the same, by tokens of the answer
    per_reader: float  # CPU microseconds per token
    resumed: ResumeResult | None
    histories: Sequence[tuple[tuple[int, int], HistoryCost]]


def overload(rounds: Rounds, streams: int) -> str | None:
    """Return why there is nothing to compare, if the fake Ollama and the readers were overloaded."""
    direct = [turn.loaded.sample.p99 for turn in rounds[DIRECT.name] if turn]
    if direct and median(direct) <= VISIBLE_DELAY:
        return None
    reason = (
        f"without a proxy, 1% of the tokens were late by more than {median(direct):.0f} ms"
        if direct
        else f"without a proxy, not all streams started within {TIMEOUT:.0f} s"
    )
    return f"Left out, because {streams:,} streams overloaded the fake Ollama and the readers: {reason}."


def comparison(rounds: Rounds) -> str:
    """Return the contestants under one load, side by side."""
    head = (
        "",
        "CPU µs per token",
        "times nginx",
        "delay ms, median",
        "delay ms, 99%",
        "first token ms",
        "KiB per stream",
        "idle MB",
    )
    return table(head, [(name, *_compared(rounds, name)) for name in rounds])


def _compared(rounds: Rounds, name: str) -> Iterable[str]:
    turns = [turn for turn in rounds[name] if turn]
    if not turns:
        return [f"overloaded: not all streams started within {TIMEOUT:.0f} s", *[NONE] * 6]
    loads = [turn.loaded for turn in turns]
    delay = number(median(load.sample.median for load in loads), 2)
    p99 = number(median(load.sample.p99 for load in loads), 2)
    first = number(median(turn.first for turn in turns), 2)
    if name == DIRECT.name:  # there is no process in between
        return [NONE, NONE, delay, p99, first, NONE, NONE]
    return [
        number(cpu(turns)),
        number(ratio(rounds, name, NGINX.name), 2),
        delay,
        p99,
        first,
        number(median(load.memory for load in loads) / 1024),
        number(median(turn.idle for turn in turns) / 1e6),
    ]


def cpu(turns: Sequence[Round | None]) -> float | None:
    """Return CPU microseconds per token."""
    return _median([turn.loaded.sample.cpu for turn in turns if turn])


def ratio(rounds: Rounds, name: str, other: str) -> float | None:
    """Return the ratio of two contestants' CPU per token."""
    pairs = zip(rounds.get(name, ()), rounds.get(other, ()), strict=False)
    costs = [(a.loaded.sample.cpu, b.loaded.sample.cpu) for a, b in pairs if a and b]
    return _median([cost / beside for cost, beside in costs if beside])


def _memory(rounds: Rounds, name: str) -> float | None:
    """Return KiB per stream."""
    return _median([turn.loaded.memory / 1024 for turn in rounds[name] if turn])


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def most_streams(found: dict[str, dict[int, Sample]], highest: int) -> str:
    """Return how many streams each contestant carries within some limits on the delay."""
    limits = (VISIBLE_DELAY, 20.0, 10.0)
    head = ("", *[f"99% within {limit:g} ms" for limit in limits])
    return table(
        head,
        [(name, *[_most(samples, limit, highest) for limit in limits]) for name, samples in found.items()],
    )


def _most(samples: dict[int, Sample], limit: float, highest: int) -> str:
    most = max((level for level, sample in samples.items() if sample.is_within(limit)), default=0)
    if not most:
        return NONE
    return f"{most:,}" if most < highest else f"{highest:,} or more"


def targets(some: Rounds, many: Rounds, own: OwnFigures) -> str:
    """Return chatproxy's figures beside what they should be."""
    return table(("", "measured", "target", ""), [*_relative_figures(some, many, own), *_own_figures(own)])


def _relative_figures(some: Rounds, many: Rounds, own: OwnFigures) -> Iterable[Sequence[object]]:
    name = CHATPROXY.name
    _, (fewer, _), (more, _) = own.by_streams
    loads = [turn.loaded for turn in many[name] if turn]
    added = [
        proxied.first - direct.first
        for proxied, direct in zip(some[name], some[DIRECT.name], strict=True)
        if proxied and direct
    ]
    for_some, for_many = f"at {fewer:,} streams", f"at {more:,} streams"
    yield _row(f"CPU per token {for_some}, times nginx", ratio(some, name, NGINX.name), 2.5, "", 2)
    yield _row(f"CPU per token {for_some}, times FastAPI", ratio(some, name, FASTAPI.name), 0.33, "", 2)
    yield _row(f"CPU per token {for_many}, times nginx", ratio(many, name, NGINX.name), 2.0, "", 2)
    yield _row(f"delay {for_many}, 99%", _median([load.sample.p99 for load in loads]), 20, " ms")
    yield _row(f"memory per stream {for_many}", _memory(many, name), 64, " KiB")
    passed = "of what is passed on"
    yield _row(f"CPU per token {passed}, times nginx", ratio(some, PASSING.name, NGINX.name), 1.6, "", 2)
    yield _row(f"memory per stream {passed}", _memory(many, PASSING.name), 25, " KiB")
    yield _row("first token, later than direct by", _median(added), 3, " ms", 2)


def _own_figures(own: OwnFigures) -> Iterable[Sequence[object]]:
    yield _row("from start to `/readyz`", own.ready, 500, " ms", 0)
    yield _row("idle memory", own.idle / 1e6, 60, " MB")
    for streams, cost in own.by_streams:
        yield _row(f"CPU per token at {streams:,} streams", cost, None, " µs")
    for tokens, of_length in own.by_length:
        yield _row(f"CPU per token of an answer of {tokens:,} tokens", of_length, None, " µs")
    yield _growth("ratio of these two", [cost for _, cost in own.by_length])
    yield _row("CPU per token for each further reader of an answer", own.per_reader, None, " µs")
    if own.resumed is not None:
        what = f"{own.resumed.streams:,} readers resume at once: all are served after"
        yield _row(what, own.resumed.all_resumed, None, " s", 2)
        yield ("tokens lost or doubled by that", own.resumed.lost, 0, _verdict(own.resumed.lost, 0))
    for (sessions, messages), history in own.histories:
        yield (f"sending to a session of {messages:,} messages", _format_cost(history.send), "", "")
        yield _row("until Ollama is called, commit included", history.send.until_ollama, 5, " ms", 2)
        yield (f"listing 10 of {sessions:,} sessions", _format_cost(history.listing), "", "")
    yield _growth("CPU of sending, long history to short", [each.send.cpu for _, each in own.histories])
    yield _growth("CPU of listing, long history to short", [each.listing.cpu for _, each in own.histories])


def documents(costs: Sequence[texts.DocumentCost]) -> str:
    """Return the costs of documents.

    Targets: 1 s to upload 1 MB; for a search in 10,000 chunks 10 ms by words, and 30 ms by meaning, too.
    """
    head = ("text", "chunks", "upload", "per MB", "search, median", "95%", "by meaning, too", "95%")
    return table(
        head,
        [
            (
                f"{cost.megabytes:g} MB",
                f"{cost.chunks:,}",
                f"{number(cost.upload, 0)} ms",
                f"{number(cost.upload / cost.megabytes, 0)} ms",
                f"{number(cost.search, 2)} ms",
                f"{number(cost.slow_search, 2)} ms",
                f"{number(cost.by_meaning, 2)} ms",
                f"{number(cost.slow_by_meaning, 2)} ms",
            )
            for cost in costs
        ],
    )


def formats(costs: Sequence[FormatCost]) -> str:
    """Return the costs of files that hold the same amount of text."""
    return table(
        ("format", "file", "chunks", "CPU", "memory"),
        [
            (
                cost.name,
                f"{number(cost.megabytes, 2)} MB",
                f"{cost.chunks:,}",
                f"{number(cost.cpu, 2)} s",
                f"{number(cost.memory, 0)} MiB",
            )
            for cost in costs
        ],
    )


def first_text(delays: Sequence[Delay]) -> str:
    """Return how much later than from Ollama itself the first text of a short answer comes."""
    return table(
        ("first text, later than direct by", "median", "90%", "target", ""),
        [
            (
                delay.case,
                f"{number(delay.median, 2)} ms",
                f"{number(delay.late, 2)} ms",
                f"{LATEST_TEXT:g} ms",
                _verdict(delay.median, LATEST_TEXT),
            )
            for delay in delays
        ],
    )


def page(found: Smoothness) -> str:
    """Return how smoothly the browser showed a long answer."""
    return table(
        ("", "measured", "target", ""),
        [
            _row("long tasks (over 50 ms), median of the runs", found.long_tasks, 2, "", 0),
            _row("longest task of all runs", found.longest, None, " ms", 0),
            _row("top-level elements", found.elements, found.blocks, "", 0),
        ],
    )


def _format_cost(cost: Cost) -> str:
    return f"{number(cost.wall, 2)} ms, {number(cost.cpu, 2)} ms CPU"


def _growth(what: str, costs: Sequence[float]) -> Sequence[object]:
    # A short sample may use less CPU time than the kernel counts.
    return _row(what, costs[-1] / costs[0] if costs[0] else None, HISTORY_GROWTH, "", 2)


def _row(
    what: str, value: float | None, target: float | None, unit: str, digits: int = 1
) -> Sequence[object]:
    measured = "not measured" if value is None else number(value, digits) + unit
    return (what, measured, "" if target is None else f"{target:g}{unit}", _verdict(value, target))


def _verdict(value: float | None, target: float | None) -> str:
    if value is None or target is None:
        return ""
    return "met" if value <= target else "**missed**"
