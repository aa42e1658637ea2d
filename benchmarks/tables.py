"""From samples to the tables that people read.

Figures are medians of the rounds; a ratio is the median of the ratios within each round.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks import documents as texts
from benchmarks.contestants import CHATPROXY, DIRECT, FASTAPI, NGINX
from benchmarks.figures import Cost, HistoryMessage, Return
from benchmarks.markdown_stream import Smoothness
from benchmarks.measure import LoadedConfig, Sample
from benchmarks.report import NONE, number, table

STUTTER: Final = 50.0  # milliseconds: a token that comes later is seen to


@dataclass(frozen=True)
class Round:
    """One contestant's turn."""

    first: float  # milliseconds to the first token
    idle: int  # bytes
    loaded: LoadedConfig


Rounds = dict[str, list[Round | None]]  # None: it did not carry the load at all


@dataclass(frozen=True)
class Own:
    """What only chatproxy is asked."""

    ready: float  # milliseconds
    idle: float  # bytes
    by_streams: Sequence[tuple[int, float | None]]  # CPU microseconds per token
    by_length: Sequence[tuple[int, float]]  # the same, by tokens of the answer
    per_reader: float  # CPU microseconds per token
    back: Return | None
    past: Sequence[tuple[tuple[int, int], HistoryMessage]]


def compared(rounds: Rounds) -> str:
    head = (
        "",
        "CPU µs per token",
        "times nginx",
        "late by ms, median",
        "99%",
        "first token after ms",
        "KiB per stream",
        "MB idle",
    )
    return table(head, [(name, *_compared(rounds, name)) for name in rounds])


def _compared(rounds: Rounds, name: str) -> Iterable[str]:
    turns = [turn for turn in rounds[name] if turn]
    if not turns:
        return [NONE] * 7
    loads = [turn.loaded for turn in turns]
    late = number(median(load.sample.half for load in loads), 2)
    latest = number(median(load.sample.most for load in loads), 2)
    first = number(median(turn.first for turn in turns), 2)
    if name == DIRECT.name:  # no process
        return [NONE, NONE, late, latest, first, NONE, NONE]
    return [
        number(cpu(turns)),
        number(ratio(rounds, name, NGINX.name), 2),
        late,
        latest,
        first,
        number(median(load.memory for load in loads) / 1024),
        number(median(turn.idle for turn in turns) / 1e6),
    ]


def cpu(turns: Sequence[Round | None]) -> float | None:
    """Microseconds per token."""
    return _middle([turn.loaded.sample.cpu for turn in turns if turn])


def ratio(rounds: Rounds, name: str, other: str) -> float | None:
    """Of CPU per token."""
    pairs = zip(rounds.get(name, ()), rounds.get(other, ()), strict=False)
    return _middle([a.loaded.sample.cpu / b.loaded.sample.cpu for a, b in pairs if a and b])


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def most(found: dict[str, dict[int, Sample]], highest: int) -> str:
    limits = (STUTTER, 20.0, 10.0)
    head = ("", *[f"99% within {limit:g} ms" for limit in limits])
    return table(
        head,
        [(name, *[_most(samples, limit, highest) for limit in limits]) for name, samples in found.items()],
    )


def _most(samples: dict[int, Sample], limit: float, highest: int) -> str:
    carried = max((level for level, sample in samples.items() if sample.carried(limit)), default=0)
    if not carried:
        return NONE
    return f"{carried:,}" if carried < highest else f"{highest:,} or more"


def targets(some: Rounds, many: Rounds, own: Own) -> str:
    return table(("", "measured", "target", ""), [*_of_the_comparison(some, many), *_of_its_own(own)])


def _of_the_comparison(some: Rounds, many: Rounds) -> Iterable[Sequence[object]]:
    name = CHATPROXY.name
    loads = [turn.loaded for turn in many[name] if turn]
    added = [
        proxied.first - direct.first
        for proxied, direct in zip(some[name], some[DIRECT.name], strict=True)
        if proxied and direct
    ]
    yield _row("CPU per token, times nginx, the fewer streams", ratio(some, name, NGINX.name), 2.5, "", 2)
    yield _row("CPU per token, times FastAPI", ratio(some, name, FASTAPI.name), 0.33, "", 2)
    yield _row("CPU per token, times nginx, the more streams", ratio(many, name, NGINX.name), 2.0, "", 2)
    yield _row("late there, 99%", _middle([load.sample.most for load in loads]), 20, " ms")
    memory = _middle([load.memory / 1024 for load in loads])
    yield _row("memory per stream there", memory, 64, " KiB")
    yield _row("first token after, beyond direct", _middle(added), 3, " ms", 2)


def _of_its_own(own: Own) -> Iterable[Sequence[object]]:
    yield _row("start to `/readyz`", own.ready, 500, " ms", 0)
    yield _row("memory idle", own.idle / 1e6, 60, " MB")
    for streams, cost in own.by_streams:
        yield _row(f"CPU per token at {streams:,} streams", cost, None, " µs")
    for tokens, of_length in own.by_length:
        yield _row(f"CPU per token of an answer of {tokens:,} tokens", of_length, None, " µs")
    yield _flat("answers of the last to the first length", [cost for _, cost in own.by_length])
    yield _row("CPU per token for one more reader of an answer", own.per_reader, None, " µs")
    if own.back is not None:
        what = f"{own.back.streams:,} readers resume at once: all served after"
        yield _row(what, own.back.all_back, None, " s", 2)
        yield ("tokens lost or doubled by that", own.back.lost, 0, _verdict(own.back.lost, 0))
    for (sessions, messages), past in own.past:
        yield (f"a send into a session of {messages:,} messages", _cost(past.send), "", "")
        yield _row("its way to Ollama, after the commit", past.send.asking, 5, " ms", 2)
        yield (f"a list among {sessions:,} sessions", _cost(past.listing), "", "")
    yield _flat("sends, CPU, long past to short", [past.send.cpu for _, past in own.past])
    yield _flat("lists, CPU, long past to short", [past.listing.cpu for _, past in own.past])


def documents(costs: Sequence[texts.Cost]) -> str:
    """Of 1 MB: an upload within a second; of 10,000 chunks: a search within 10 ms."""
    head = ("text", "chunks", "upload", "per MB", "search, median", "95%")
    return table(
        head,
        [
            (
                f"{cost.megabytes:g} MB",
                f"{cost.chunks:,}",
                f"{number(cost.upload, 0)} ms",
                f"{number(cost.upload / cost.megabytes, 0)} ms",
                f"{number(cost.search, 2)} ms",
                f"{number(cost.slow, 2)} ms",
            )
            for cost in costs
        ],
    )


def page(found: Smoothness) -> str:
    return table(
        ("", "measured", "target", ""),
        [
            _row("long tasks (over 50 ms), median of the runs", found.long_tasks, 2, "", 0),
            _row("the longest of all", found.longest, None, " ms", 0),
            _row("elements, one below the other", found.elements, found.blocks, "", 0),
        ],
    )


def _cost(cost: Cost) -> str:
    return f"{number(cost.wall, 2)} ms, {number(cost.cpu, 2)} ms CPU"


def _flat(what: str, costs: Sequence[float]) -> Sequence[object]:
    return _row(what, costs[-1] / costs[0], 1.15, "", 2)


def _row(
    what: str, value: float | None, target: float | None, unit: str, digits: int = 1
) -> Sequence[object]:
    measured = NONE if value is None else number(value, digits) + unit
    return (what, measured, "" if target is None else f"{target:g}{unit}", _verdict(value, target))


def _verdict(value: float | None, target: float | None) -> str:
    if value is None or target is None:
        return ""
    return "met" if value <= target else "**missed**"
