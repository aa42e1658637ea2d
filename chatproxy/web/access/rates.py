"""How often something may happen: so many times a minute for each key, all of them at once if it must be."""

import math
from collections.abc import Callable
from time import monotonic
from typing import Final

MINUTE: Final = 60.0
FORGOTTEN_FROM: Final = 1024  # keys; from then on, those that make no difference are looked for


class Rate:
    """A number of times a minute, for each key (the generic cell rate algorithm).

    A key holds one number, the time from which it is as if it had never been used. That is at most a minute
    ahead, after which the key is forgotten.
    """

    def __init__(self, most: int, now: Callable[[], float] = monotonic) -> None:
        self._interval = MINUTE / most
        self._now = now
        self._unused_from: dict[str, float] = {}
        self._forget_at = FORGOTTEN_FROM

    def wait(self, key: str) -> int:
        """Return the seconds until the next time, 0 if it may be now."""
        now = self._now()
        return math.ceil(max(0.0, self._unused_from.get(key, now) + self._interval - now - MINUTE))

    def take(self, key: str) -> None:
        """Count a time, for which `wait` has returned 0."""
        now = self._now()
        self._unused_from[key] = max(self._unused_from.get(key, now), now) + self._interval
        if len(self._unused_from) >= self._forget_at:
            self._unused_from = {each: until for each, until in self._unused_from.items() if until > now}
            self._forget_at = max(FORGOTTEN_FROM, 2 * len(self._unused_from))
