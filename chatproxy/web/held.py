"""What is held in memory for clients that are slow to send or to read, bounded over all of them.

Request bodies count while they arrive, and large responses until the client has taken them. Beyond the
budget, the connections for which something has been held the longest are ended: clients that are fast are
never refused because of slow ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

BUDGET: Final = 128 * 1024 * 1024  # bytes
PIECE: Final = 64 * 1024  # bytes; a response of no more is handed to the transport as a whole


class Held:
    """The bytes held for all clients."""

    def __init__(self) -> None:
        self._holds: dict[Hold, None] = {}  # oldest first
        self._size = 0

    @contextmanager
    def holding(self, request: web.BaseRequest) -> Iterator["Hold"]:
        """Count what is held for a request while the block runs."""
        hold = Hold(self, request)
        self._holds[hold] = None
        try:
            yield hold
        finally:
            self._remove(hold)

    def grow(self, hold: "Hold", size: int) -> None:
        """Count more bytes, and end the oldest connections while there are too many."""
        if hold not in self._holds:  # ended
            return
        hold.size += size
        self._size += size
        while self._size > BUDGET:
            oldest = next(iter(self._holds))
            self._remove(oldest)
            oldest.end()

    def _remove(self, hold: "Hold") -> None:
        if hold in self._holds:
            del self._holds[hold]
            self._size -= hold.size

    async def write(
        self, request: web.BaseRequest, response: web.StreamResponse, body: bytes | bytearray
    ) -> None:
        """Write a part of a response as fast as the client takes it."""
        with self.holding(request) as hold:
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

    def __init__(self, held: Held, request: web.BaseRequest) -> None:
        self.size = 0  # bytes
        self._held = held
        self._request = request

    def grow(self, size: int) -> None:
        """Count more bytes. This may end other connections, and this one if it is the oldest."""
        self._held.grow(self, size)

    def end(self) -> None:
        """End the connection: what waits for it raises ConnectionResetError."""
        if self._request.transport is not None:
            self._request.transport.abort()


HELD: Final = web.AppKey("HELD", Held)
