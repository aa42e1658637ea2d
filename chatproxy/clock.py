"""The clock of deadlines: it passes only while this process runs.

After a pause of the process (a stopped container, a moved machine), what arrived meanwhile still waits in the
sockets, so neither Ollama nor a client is late. A stretch in which the clock was not read counts as STEP at
most; `Looks` and `wait` read it as often as that, while there is something to wait for.

Real time counts in side calls to Ollama, in searches and in a shutdown: a pause may end these early, which
costs no answer, and they can be repeated. It also counts in durations that are reported.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final

STEP: Final = 0.5  # seconds
LOOK: Final = 0.3  # seconds between two looks


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


@asynccontextmanager
async def timeout(seconds: float) -> AsyncIterator[None]:
    """End the block with TimeoutError, wherever it waits, once so many seconds have passed."""
    loop, end = asyncio.get_running_loop(), now() + seconds
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        if (left := end - now()) > 0:
            timer = loop.call_later(min(left, STEP), look)
        else:
            block.reschedule(loop.time())

    async with asyncio.timeout(None) as block:
        timer = loop.call_later(min(seconds, STEP), look)
        try:
            yield
        finally:
            timer.cancel()


class Looks:
    """One timer for all that is looked at now and then: answers, requests, connections.

    Each of them has a task that waits for the `next` look. There is none unless somebody wants it, so that a
    process that has nothing to do sleeps.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._look = asyncio.Event()

    @property
    def is_wanted(self) -> bool:
        """Whether there will be another look."""
        return self._timer is not None

    def want(self) -> None:
        """Let there be another look, LOOK seconds from now at the latest."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._begin)

    async def next(self) -> None:
        """Wait for the next look."""
        await self._look.wait()

    def _begin(self) -> None:
        self._timer = None
        now()
        look, self._look = self._look, asyncio.Event()
        look.set()
