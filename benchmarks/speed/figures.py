"""The figures: how each is measured, what its table shows, and what chatproxy's should be."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.speed import measure, replicas
from benchmarks.speed.measure import Bench
from benchmarks.speed.rounds import Rounds


@dataclass(frozen=True)
class Column:
    """A figure of each contestant. It is shown once if the next column only compares it with another one."""

    heading: str
    key: str
    digits: int = 2
    beside: str = ""  # contestant that it is compared with, too
    most: float | None = None  # that it should be, or that it should be times nginx's or later than direct's
    of: str = "chatproxy"  # the contestant of whom that is asked


@dataclass(frozen=True)
class Figure:
    """A table."""

    name: str
    heading: str
    measure: Callable[[Bench], Awaitable[Rounds]]
    columns: Sequence[Column]


def _tokens(name: str, streams: int, rate: int, most: float) -> Figure:
    cpu = Column("CPU µs per token", "cpu", 1, "nginx", most)
    delays = (Column("delay ms, median", "median"), Column("delay ms, 99%", "p99"))
    heading = f"{streams:,} streams of {rate} tokens a second"
    return Figure(name, heading, partial(measure.tokens, streams=streams, rate=rate), [cpu, *delays])


def _rate(rate: int, done: float | None = None, first: float | None = None) -> Figure:
    columns = [
        Column("answered a second", "achieved", 0),
        Column("s until all are over", "done", most=done),
        Column("first token ms, median", "first", 1, most=first),
        Column("first token ms, 99%", "first99", 1),
        Column("CPU ms per send", "cpu", 2, "nginx"),
    ]
    heading = f"{rate} sends a second for 2 s"
    return Figure("rate", heading, partial(measure.open_loop, rate=rate, seconds=2), columns)


def _replicas(streams: int, rate: int) -> Figure:
    columns = [
        Column("CPU µs per token", "cpu", 1, replicas.SQLITE, 1.2, replicas.NONE_FOLLOWED),
        Column("CPU µs per token", "cpu", 1, replicas.NONE_FOLLOWED, 1.5, replicas.ALL_FOLLOWED),
        Column("CPU µs per token of B", "b", 1),
        Column("CPU µs per token of PostgreSQL", "postgres", 1),
        Column("delay ms, median", "median"),
        Column("delay ms, 99%", "p99"),
        Column("ms later at B, median", "later", most=5.0, of=replicas.ALL_FOLLOWED),
        Column("ms later at B, 99%", "later99"),
    ]
    heading = f"{streams:,} streams of {rate} tokens a second"
    return Figure("replicas", heading, partial(replicas.tokens, streams=streams, rate=rate), columns)


FIGURES: Final = (
    _tokens("tokens", 100, 30, 1.75),
    _tokens("many", 1000, 8, 2.0),
    Figure(
        "answers",
        "100 streams of 30 tokens a second; after 180 tokens each is over, closed, and sent again",
        partial(measure.answers, streams=100),
        [
            Column("CPU µs per token, of all", "cpu", 1, "nginx", 2.4),
            Column("CPU ms per answer", "answer", 1),
            Column("of it, of its beginning and end", "ends", 1),
        ],
    ),
    Figure(
        "sends",
        "A send and its answer of one token, one at a time",
        partial(measure.sends, number=20),
        [
            Column("CPU ms, 20 ms after the one before", "cpu", most=2.5),
            Column("CPU ms, at once after it", "together", most=2.5),
            Column("ms from the request until Ollama is asked, checks included", "asked"),
            Column("first token ms", "first", 2, "direct", 2.0),
            Column("first token ms, of a prompt of 30 ms", "prompted", 2, "direct", 2.0),
        ],
    ),
    Figure(
        "busy",
        "A send while 100 streams have 30 tokens a second",
        partial(measure.sends, number=10, streams=100),
        [Column("first token ms", "first", 2, "direct", 2.0)],
    ),
    _rate(300),
    _rate(400, 2.1, 5.0),
    Figure(
        "overload",
        "800 sends a second for 2 s, while 100 streams have 30 tokens a second",
        partial(measure.open_loop, rate=800, seconds=2, streams=100),
        [
            Column("answered", "answered", 0),
            Column("refused, with `Retry-After`", "refused", 0),
            Column("neither", "failed", 0),
            Column("s until all are over", "done"),
            Column("first token ms, median", "first", 1),
            Column("delay ms of the streams' tokens, 99%", "p99", 1, most=50.0),
        ],
    ),
    Figure(
        "readers",
        "50 answers of 30 tokens a second, each with four further readers",
        partial(measure.readers, streams=50, more=4),
        [
            Column("CPU µs per token without them", "cpu", 1),
            Column("CPU µs per token for each of them", "further", 1, most=10.0),
        ],
    ),
    Figure(
        "memory",
        "Memory per stream",
        partial(measure.memory, fewer=200, many=1000, rate=8),
        [
            Column("KiB for each from 200 to 1,000", "further", 1),
            Column("KiB for each of 1,000", "each", 1, most=42.0),
        ],
    ),
    Figure(
        "start",
        "Start",
        measure.start,
        [
            Column("ms until it is ready", "ready", 0, most=240.0),
            Column("MB in memory after the first answer", "idle", 1, most=45.0),
        ],
    ),
    _replicas(100, 30),
    _replicas(400, 30),
    Figure(
        "replicas",
        "A send and its answer of one token, one at a time",
        partial(replicas.sends, number=20),
        [
            Column("CPU ms, 20 ms after the one before", "cpu"),
            Column("CPU ms, at once after it", "together", 2, replicas.SQLITE),
            Column("ms from the request until Ollama is asked, checks included", "asked"),
            Column("first token ms", "first", 2, "direct"),
            Column("first token ms, of a prompt of 30 ms", "prompted", 2, "direct"),
        ],
    ),
)
