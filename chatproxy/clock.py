"""The clock of deadlines: it passes only while this process runs.

After a pause of the process (a stopped container, a moved machine), what arrived meanwhile still waits in the
sockets, so neither Ollama nor a client is late. A stretch in which the clock was not read counts as STEP at
most; `wait` and the registry of answers read it as often as that.

Real time counts in side calls to Ollama, in searches and in a shutdown: a pause may end these early, which
costs no answer, and they can be repeated. It also counts in durations that are reported.
"""

import asyncio
from time import monotonic
from typing import Any, Final

STEP: Final = 0.5  # seconds


class _Clock:
    """The process's clock."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._read_at = monotonic()

    def now(self) -> float:
        """Return the seconds that have passed."""
        read_at = monotonic()
        passed = read_at - self._read_at
        self._passed += passed if passed < STEP else STEP  # `min` takes as long as all the rest
        self._read_at = read_at
        return self._passed


now: Final = _Clock().now


async def wait(future: asyncio.Future[Any], seconds: float) -> bool:
    """Wait until a future is done, at most so many seconds; return whether it is."""
    deadline = now() + seconds
    while not future.done() and (left := deadline - now()) > 0:
        await asyncio.wait({future}, timeout=min(left, STEP))
    return future.done()
