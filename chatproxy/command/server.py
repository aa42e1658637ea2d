"""The command's connections: so many at once, and none that keeps its request or its reading back.

aiohttp has no such limits of its own; each connection is wrapped, and one clock looks at all. What an answer
writes goes past the wrapper, so that it costs a token nothing.
"""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from chatproxy import log
from chatproxy.errors import ChatError
from chatproxy.web.middleware import refusal

logger: Final = logging.getLogger(__name__)

TICK: Final = 1.0  # seconds between two looks
PATIENCE: Final = 10.0  # seconds for a request to come whole, and as many more as
SLOWEST: Final = 16 * 1024  # bytes a second need, for what is large
SPARE: Final = 64  # open files for the database, uploads, refusals
REFUSING: Final = 32  # connections at once that are told why


class Connections:
    """Makes the server's protocols, as `loop.create_server` asks for them."""

    def __init__(
        self, make: Callable[[], asyncio.Protocol], most: int, reader_timeout: float, largest: int
    ) -> None:
        """`make` is aiohttp's own server; `largest` the bytes of the largest body, for more of which nobody
        is given time."""
        self.make = make
        self.open: dict[object, Connection] = {}  # by aiohttp's protocol
        self.refused: set[asyncio.Transport] = set()
        self.most = most
        self.reader_timeout = reader_timeout
        self.largest = largest
        self.now = 0.0  # in seconds that were looked at: nobody is late because this process stood still

    def __call__(self) -> asyncio.Protocol:
        return Connection(self)

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """To be the application's first: tells a connection which request is being answered."""
        connection = self.open.get(request.protocol)
        if connection is None:  # it was lost meanwhile
            return await handler(request)
        with connection.answering(request):
            return await handler(request)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        clock = asyncio.create_task(self._tick(), name="connections")
        try:
            yield
        finally:
            clock.cancel()
            for transport in list(self.refused):
                transport.abort()

    async def _tick(self) -> None:
        while True:
            leaving = list(self.refused)
            await asyncio.sleep(TICK)
            self.now += TICK
            for transport in leaving:
                transport.abort()
            self.refused.difference_update(leaving)
            late = [each for each in self.open.values() if each.is_late() or each.is_stuck()]
            for connection in late:
                connection.transport.abort()
            if late:
                log.event(logger, logging.INFO, "slow connections were closed", number=len(late))


class Connection(asyncio.Protocol):
    def __init__(self, all: Connections) -> None:
        self._all = all
        self._inner: asyncio.Protocol | None = None  # None: refused
        self._request: web.Request | None = None  # being answered
        self._received = 0  # bytes, of the request that is coming or being answered
        self._since: float | None = all.now  # when that began; None between two
        self._unsent = 0
        self._moved = all.now  # when the reader last took something

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if len(self._all.open) >= self._all.most:
            self._refuse()
            return
        self._inner = self._all.make()
        self._all.open[self._inner] = self
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.refused.discard(self.transport)
        if self._inner is not None:
            self._all.open.pop(self._inner, None)
            self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._since = self._all.now if self._since is None else self._since
            self._received += len(data)
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    @contextmanager
    def answering(self, request: web.Request) -> Iterator[None]:
        self._request = request
        try:
            yield
        finally:
            self._request, self._since, self._received = None, None, 0

    def is_late(self) -> bool:
        """The request has not come whole in its time."""
        if self._since is None or (self._request is not None and self._request.content.is_eof()):
            return False
        return self._all.now - self._since > PATIENCE + min(self._received, self._all.largest) / SLOWEST

    def is_stuck(self) -> bool:
        """Something waits to be taken, and nothing is."""
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._moved = unsent, self._all.now
        return self._all.now - self._moved > self._all.reader_timeout

    def _refuse(self) -> None:
        """With a moment to read why: closing at once would throw that away with what the client sends."""
        self.transport.write(_refusal())
        if len(self._all.refused) < REFUSING:
            self._all.refused.add(self.transport)
            self.transport.write_eof()
        else:
            self.transport.close()


def _refusal() -> bytes:
    sentence = "The server has all the connections it can hold; try again in a moment."
    response = refusal(ChatError("overloaded", sentence, retry_after=5))
    assert isinstance(response.body, bytes)
    headers = {**response.headers, "Content-Length": len(response.body), "Connection": "close"}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{''.join(lines)}\r\n".encode() + response.body


def within_open_files(wanted: int, upstream: int) -> int:
    """As many connections as this process may have, its limit raised as far as it goes; `upstream` more go
    to Ollama. Where even accepting fails, others than the newest suffer."""
    needed = wanted + upstream + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        best = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    room = needed if soft == resource.RLIM_INFINITY else soft
    most = min(wanted, max(room - SPARE - upstream, room // 3))
    if most < wanted:
        log.event(
            logger,
            logging.WARNING,
            "fewer connections than MAX_CONNECTIONS: raise the limit of open files",
            connections=most,
            openFiles=room,
        )
    return most
