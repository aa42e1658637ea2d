"""How fast a model is here: as measured, or estimated from what was measured of others.

A token takes as long as it takes to read what it needs of the weights: all of them, or a few experts. So the
speed is inverse to that size, and the estimate is that of the measured model whose size is nearest. Loading
takes a second, and a time that is proportional to the whole size.

Where nothing was measured, a modest computer is assumed. It also is for the loading of a model that is over
five times as large as any that was seen loading, if that would take longer: small files are often in memory
already, and such a large one may not fit in.
"""

from bisect import bisect
from collections.abc import Iterable, Sequence
from math import log
from typing import Final, NamedTuple

from msgspec import Struct

from chatproxy.models.catalog import KnownModel

ASSUMED_READING: Final = 50e9  # bytes per second of memory: two channels of DDR4
ASSUMED_LOADING: Final = 0.25e9  # bytes per second of a disk
PER_PARAMETER: Final = 0.5  # bytes at least, whatever the size of the file is said to be
START: Final = 1.0  # seconds that loading takes whatever the size
FAR: Final = 5.0  # how many times larger than one that was seen loading
TYPICAL: Final = 200  # tokens in an answer


class Pace(Struct, frozen=True):
    """Tokens per second, and how long loading takes, in seconds; 0 if the model is loaded.

    `measured` says whether the speed is the model's own, `assumed` whether no model's was measured here.
    """

    tokens_per_second: float
    load: float
    measured: bool = False
    assumed: bool = False

    @property
    def answer(self) -> float:
        """How many seconds a typical answer takes, without loading."""
        return TYPICAL / self.tokens_per_second


UNKNOWN: Final = Pace(tokens_per_second=10.0, load=0.0, assumed=True)  # if nothing is known


class _Sample(NamedTuple):
    """A time in seconds that was measured for a size in bytes."""

    size: float
    seconds: float


class Machine:
    """What was measured of all models here."""

    def __init__(self, models: Iterable[KnownModel]) -> None:
        """Take the measurements of those that run on this machine."""
        local = [model for model in models if not model.remote]
        self._tokens = sorted(
            _Sample(_read(model), 1 / model.tokens_per_second) for model in local if model.tokens_per_second
        )
        self._loads = sorted(
            _Sample(_bytes(model), max(0.0, model.measured.load_ms / 1000 - START))
            for model in local
            if model.measured.load_ms is not None
        )

    def pace(self, model: KnownModel) -> Pace:
        """Return how fast a model is, or would be."""
        load = 0.0 if model.warm else self._load(model)
        if rate := model.tokens_per_second:
            return Pace(rate, load, measured=True)
        seconds = _scaled(self._tokens, _read(model))
        if seconds is None:
            return Pace(ASSUMED_READING / _read(model), load, assumed=True)
        return Pace(1 / seconds, load)

    def _load(self, model: KnownModel) -> float:
        if model.measured.load_ms is not None:
            return model.measured.load_ms / 1000
        size = _bytes(model)
        assumed = size / ASSUMED_LOADING
        estimated = _scaled(self._loads, size)
        if estimated is None:
            return START + assumed
        return START + (max(estimated, assumed) if size > FAR * self._loads[-1].size else estimated)


def pace_of(model: KnownModel | None) -> Pace:
    """Return how fast a model is, as far as can be told without the others; None is one not installed."""
    if model is None or (model.tokens_per_second is None and (model.remote or model.tags is None)):
        return UNKNOWN
    return Machine([model]).pace(model)


def _scaled(samples: Sequence[_Sample], size: float) -> float | None:
    """Return the seconds for a size, in proportion to the nearest one that was measured."""
    place = bisect(samples, size, key=lambda sample: sample.size)
    near = samples[max(0, place - 1) : place + 1]
    if not near:
        return None
    nearest = min(near, key=lambda sample: abs(log(sample.size / size)))
    return nearest.seconds * size / nearest.size


def _bytes(model: KnownModel) -> float:
    """Return the size of the weights; 1 if nothing tells it, so that it does not count."""
    file = model.tags.size if model.tags else None
    return max(file or 1.0, model.size * PER_PARAMETER)


def _read(model: KnownModel) -> float:
    """Return how much of them a token needs."""
    return _bytes(model) * model.active
