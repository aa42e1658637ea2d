"""The clock of every deadline: it passes only while this process runs.

After a pause of the process (a stopped container, a moved machine), what arrived meanwhile still waits in the
sockets, so nobody is late. A stretch in which the clock was not read counts as STEP at most, and the registry
of answers reads it more often than that. Durations that are reported are those of `time.monotonic`.
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
        self._passed += min(read_at - self._read_at, STEP)
        self._read_at = read_at
        return self._passed


now: Final = _Clock().now


async def wait(future: asyncio.Future[Any], seconds: float) -> bool:
    """Wait until a future is done, at most so many seconds; return whether it is."""
    deadline = now() + seconds
    while not future.done() and (left := deadline - now()) > 0:
        await asyncio.wait({future}, timeout=left)
    return future.done()
