"""How fast a model is here: as measured, or estimated from what was measured of others.

A token takes as long as it takes to read what it needs of the weights: all of them, or a few experts. So the
speed is inverse to that size, and the estimate is that of the measured model whose size is nearest. Loading
takes a second, and a time that is proportional to the whole size.

Where nothing was measured, a modest computer is assumed. It also is for what is over five times as large as
any model that was measured: small files are often in memory already, so that their loading tells little, and
such a large one may not fit in. What does not fit is read from the disk, again for every token. Memory that
is read faster is taken to be larger in proportion, as it usually is.
"""

import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from math import log
from typing import Final, NamedTuple

from msgspec import Struct

from chatproxy.models.catalog import KnownModel

ASSUMED_READING: Final = 50e9  # bytes per second of memory: two channels of DDR4
ASSUMED_LOADING: Final = 0.25e9  # bytes per second of a disk
ASSUMED_MEMORY: Final = 10e9  # bytes that a model may take: of 16 GB, what others leave
PER_PARAMETER: Final = 0.5  # bytes at least, whatever the size of the file is said to be
START: Final = 1.0  # seconds that loading takes whatever the size
FAR: Final = 5.0  # how many times larger than one that was measured
TYPICAL: Final = 200  # tokens in an answer

# What names say of the billions of parameters that a token needs: "gemma3n:e4b", "LFM2-24B-A2B".
_ACTIVE: Final = re.compile(r"\b[ae](\d{1,3}(?:\.\d{1,2})?)b\b", re.IGNORECASE)


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


UNKNOWN: Final = Pace(tokens_per_second=10.0, load=START, assumed=True)  # if nothing is known


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
        measured = [
            _bytes(model) for model in local if model.tokens_per_second or model.measured.load_ms is not None
        ]
        reading = max((sample.size / sample.seconds for sample in self._tokens), default=0.0)
        self._memory = max(
            ASSUMED_MEMORY * max(1.0, reading / ASSUMED_READING), FAR * max(measured, default=0.0)
        )

    def pace(self, model: KnownModel) -> Pace:
        """Return how fast a model is, or would be."""
        load = 0.0 if model.warm else self._load(model)
        if rate := model.tokens_per_second:
            return Pace(rate, load, measured=True)
        read = _read(model)
        estimated = _scaled(self._tokens, read)
        seconds = read / ASSUMED_READING if estimated is None else estimated
        if not model.warm:  # what is loaded fits
            seconds += read / ASSUMED_LOADING * max(0.0, 1 - self._memory / _bytes(model))
        return Pace(1 / seconds, load, assumed=estimated is None)

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
    if model.warm and model.tokens_per_second:
        return Pace(model.tokens_per_second, 0.0, measured=True)
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
    named = _ACTIVE.search(model.name.rpartition("/")[2])
    active = float(named[1]) * 1e9 / model.size if named and model.size else 1.0
    return _bytes(model) * min(model.active, active or 1.0)
