"""Turns at the event loop, for connections that have more to parse than fits into one.

Ollama may send faster than its bytes can be parsed, on many connections at once. What is left over is parsed
in slices, each connection after the other, for at most half of the time and SHARE seconds at once. The other
half is for everything else, such as a cancel, and for the database's threads.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

SHARE: Final = 0.005  # seconds


class Turns:
    """Calls functions in the order in which they were added, for SHARE seconds at once."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._scheduled: asyncio.Handle | None = None

    def add(self, function: Callable[[], None]) -> None:
        """Call the function on a later turn. It may add itself again."""
        self._waiting.append(function)
        if self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        end = monotonic() + SHARE
        try:
            while self._waiting and monotonic() < end:
                self._waiting.popleft()()
        finally:
            self._scheduled = None
            if self._waiting:
                self._scheduled = asyncio.get_running_loop().call_later(SHARE, self._run)
