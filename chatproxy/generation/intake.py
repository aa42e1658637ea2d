"""The intake: some messages are prepared at once, and the others wait in turn, if they do not wait too long.

To check and to store a message takes as much of the processor as fifty tokens do. If more come than there is
time for, all would be late, and each one later than the one before. So some are told to come back, before
anything of them is read, and those that were let in, and the answers under way, go on as ever.

What counts is time, not number. A burst is no overload, because it is over soon; but a line that goes on
standing is kept short.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from typing import Final

from chatproxy import clock
from chatproxy.errors import ChatError

SLOTS: Final = 16  # so that a commit has several to take
HELD: Final = 0.25  # seconds, after which a slot is given on: what takes longer waits for something else
BURST: Final = 1.0  # seconds that a line may stand
LONGEST: Final = 3.0  # seconds that a message may have to wait as long as it does
SHORT: Final = 0.25  # seconds, from then on
LATE: Final = 10.0  # seconds, after which nobody waits for its answer any more
AT_FIRST: Final = 0.003  # seconds from one message to the next, until that is measured
WEIGHT: Final = 0.05  # of the last one in their mean


class Intake:
    """Slots in which messages are prepared, and the lines of users, who take turns."""

    def __init__(self) -> None:
        self._free = SLOTS
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # the next one's first
        self._since = 0.0  # on `clock`, since when anybody waits
        self._moved = 0.0  # when the last one was let in
        self._pace = AT_FIRST  # seconds from one to the next

    @asynccontextmanager
    async def slot(self, user: str) -> AsyncIterator[None]:
        """Hold a slot while the block runs, at most HELD seconds; wait for it if need be.

        Raises `overloaded` at once if that would take too long, and later if it did all the same.
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(user)
        holds = True

        def give_on() -> None:
            nonlocal holds
            if holds:
                holds = False
                self._let_in_next()

        timer = asyncio.get_running_loop().call_later(HELD, give_on)
        try:
            yield
        finally:
            timer.cancel()
            give_on()

    async def _wait(self, user: str) -> None:
        now = clock.now()
        if not self._lines:
            self._since = self._moved = now
        wait = self._ahead(user) * self._pace + max(0.0, now - self._moved - self._pace)
        if wait > (LONGEST if now - self._since < BURST else SHORT):
            raise _overloaded(wait)
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(user, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was let in, too
                self._let_in_next()
            raise
        if (waited := clock.now() - now) > LATE:
            self._let_in_next()
            raise _overloaded(waited)

    def _ahead(self, user: str) -> int:
        """Return how many are let in before the next one of a user, as users take turns."""
        own = len(self._lines.get(user, ()))
        return own + sum(min(len(line), own + 1) for name, line in self._lines.items() if name != user)

    def _let_in_next(self) -> None:
        """Give a slot to the user whose turn it is, or have it free."""
        while self._lines:
            user, line = self._lines.popitem(last=False)
            turn = line.popleft()
            if line:
                self._lines[user] = line
            if not turn.cancelled():
                now = clock.now()
                self._pace += WEIGHT * (now - self._moved - self._pace)
                self._moved = now
                turn.set_result(None)
                return
        self._free += 1


def _overloaded(wait: float) -> ChatError:
    seconds = max(1, ceil(wait))
    return ChatError(
        "overloaded",
        f"More messages come than there is time for; try again in {seconds} s.",
        retry_after=seconds,
    )
