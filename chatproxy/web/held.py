"""What is held in memory for clients that are slow to send or to read, bounded over all of them.

Request bodies count while they arrive, those of messages until these have been checked, too, and large
responses until the client has taken them. A large body waits for room for a moment, in which fast clients
make it. Beyond the budget, requests of the user for whom most is held are ended, the oldest first: clients
that are fast are never refused because of slow ones.

Work on large bodies is done in turns, which leave the event loop at least half of its time.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from time import perf_counter
from typing import Final

from aiohttp import web

from chatproxy.background import interruptible
from chatproxy.fair import surplus
from chatproxy.web.security import USER
from chatproxy.web.sse import abort

BUDGET: Final = 64 * 1024 * 1024  # bytes
PIECE: Final = 64 * 1024  # bytes; a response of no more is handed to the transport as a whole

LARGE: Final = 256 * 1024  # bytes; a body of more waits for room, and is decoded in turn
PATIENCE: Final = 2.0  # seconds that it waits at most; if there is no room by then, others are slow


class Held:
    """The bytes held for all clients."""

    def __init__(self) -> None:
        self._holds: dict[Hold, None] = {}  # oldest first
        self._size = 0  # bytes of all
        self._expected = 0  # bytes of all large bodies that were admitted
        self._waiting: deque[tuple[Hold, int, asyncio.Future[None]]] = deque()
        self._turns = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Work on a large body in turn, then leave the loop to others for as long as that took."""
        async with self._turns:
            began = perf_counter()
            try:
                yield
            finally:
                await asyncio.sleep(perf_counter() - began)

    def turn_for(self, size: int) -> AbstractAsyncContextManager[None]:
        """Work on a body of that size: on a large one in turn, on any other at once."""
        return self.turn() if size > LARGE else nullcontext()

    async def give_way(self) -> None:
        """Wait for a turn after a piece of a large body was received, which was the work of the turn."""
        async with self.turn():
            pass

    @asynccontextmanager
    async def holding(self, request: web.Request) -> AsyncIterator["Hold"]:
        """Count what is held for a request while the block runs.

        The block ends with ConnectionResetError, wherever it waits, if the request is ended.
        """
        async with interruptible(_held_too_long) as until_ended:
            hold = Hold(self, request, until_ended)
            self._holds[hold] = None
            try:
                yield hold
            finally:
                self._remove(hold)

    async def admit(self, hold: "Hold", size: int) -> None:
        """Wait until a body of that size fits beside those admitted before it, at most PATIENCE seconds."""
        if size <= LARGE:
            return
        admitted = asyncio.get_running_loop().create_future()
        place = hold, size, admitted
        self._waiting.append(place)
        self._admit_next()
        try:
            await asyncio.wait({admitted}, timeout=PATIENCE)
        finally:
            if not admitted.done():
                self._waiting.remove(place)
                self._expect(hold, size)
                self._admit_next()

    def _admit_next(self) -> None:
        while self._waiting and (not self._expected or self._expected + self._waiting[0][1] <= BUDGET):
            hold, size, admitted = self._waiting.popleft()
            self._expect(hold, size)
            admitted.set_result(None)

    def _expect(self, hold: "Hold", size: int) -> None:
        if hold in self._holds:
            hold.expected = size
            self._expected += size

    def grow(self, hold: "Hold", size: int) -> None:
        """Count more bytes, and end requests while there are too many."""
        if hold not in self._holds:  # ended
            return
        hold.size += size
        self._size += size
        if self._size > BUDGET:
            for each in surplus({each: (each.user, each.size) for each in self._holds if each.size}, BUDGET):
                self._remove(each)
                each.end()

    def _remove(self, hold: "Hold") -> None:
        if hold in self._holds:
            del self._holds[hold]
            self._size -= hold.size
            self._expected -= hold.expected
            self._admit_next()

    async def write(
        self, request: web.Request, response: web.StreamResponse, body: bytes | bytearray
    ) -> None:
        """Write a part of a response as fast as the client takes it."""
        async with self.holding(request) as hold:
            hold.grow(len(body))
            rest = memoryview(body)
            while rest:
                await response.write(rest[:PIECE])
                rest = rest[PIECE:]

    async def respond(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Return a handler's response; one with a large body is written already."""
        body = response.body if isinstance(response, web.Response) else None
        if not isinstance(body, bytes) or len(body) <= PIECE or request.method == "HEAD":
            return response
        written = web.StreamResponse(status=response.status, headers=response.headers)
        written.content_length = len(body)
        await written.prepare(request)
        await self.write(request, written, body)
        return written


class Hold:
    """What is held for one request."""

    def __init__(self, held: Held, request: web.Request, until_ended: asyncio.Timeout) -> None:
        self.size = 0  # bytes
        self.expected = 0  # bytes of its body, if that is large and was admitted
        self.user = request.get(USER, "")  # without one on routes that are open to everyone
        self._held = held
        self._request = request
        self._until_ended = until_ended

    def grow(self, size: int) -> None:
        """Count more bytes, or fewer if `size` is negative. This may end other requests, and this one."""
        self._held.grow(self, size)

    async def admit(self, size: int) -> None:
        """Wait a moment until there is room for a body of that size."""
        await self._held.admit(self, size)

    def end(self) -> None:
        """End the request: close its connection, and leave the block."""
        abort(self._request)
        self._until_ended.reschedule(0)


def _held_too_long() -> Exception:
    return ConnectionResetError("too much is held for slow clients")


HELD: Final = web.AppKey("HELD", Held)
