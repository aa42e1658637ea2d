"""An answer's frames as Server-Sent Events, over one `StreamResponse` (WHATWG HTML §9.2).

Each frame is one `data:` line and an empty line. On GET streams, which `EventSource` reads, an `id:` line
stands between them. The JSON contains no line breaks.

An API with other words for the same events has a class of its own, derived from `EventStream`.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final, TypeVar

from aiohttp import web

from chatproxy import clock
from chatproxy.answers.answer import Answer
from chatproxy.answers.events import Frame
from chatproxy.background import background

SSE_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
SLICE: Final = 60 * 1024  # bytes per write: the most that the transport buffers for a slow client
LOOK_INTERVAL: Final = 0.05  # seconds until a client that left is noticed

T = TypeVar("T")


class EventStream:
    """The `Sink` of one client: a response whose body is a stream of events.

    The transport's high-water mark is 0, so any bytes that the socket did not take at once count as waiting.
    With `ids`, frames have an `id:` line. A client that takes nothing for `reader_timeout` seconds is
    disconnected.

    A derived class overrides `encode` and `ending`. They are called once for each frame that is sent, in
    order, so that they may keep a state.
    """

    __slots__ = (
        "_chunked",
        "_ids",
        "_is_direct",
        "_reader_timeout",
        "_request",
        "_transport",
        "_writer",
        "response",
    )

    def __init__(
        self,
        request: web.Request,
        *,
        reader_timeout: float,
        ids: bool = False,
        headers: Mapping[str, str] = {},
    ) -> None:
        """Prepare a stream whose head has `headers` besides SSE_HEADERS."""
        self.response = web.StreamResponse(headers={**SSE_HEADERS, **headers})
        self._request = request
        self._transport: asyncio.Transport  # set by `open`
        self._writer = request.writer
        self._chunked = True  # False for HTTP/1.0
        self._ids = ids
        self._is_direct = False  # whether `push` writes what `encode` and `_write` would, in one step
        self._reader_timeout = reader_timeout

    async def open(self) -> None:
        """Send the response head. Raises ConnectionResetError if the client has left."""
        await self.response.prepare(self._request)
        if self._request.transport is None:
            raise ConnectionResetError("the client left before the stream began")
        self._transport = self._request.transport
        self._transport.set_write_buffer_limits(high=0)
        self._chunked = "Transfer-Encoding" in self.response.headers
        self._is_direct = self._chunked and type(self) is EventStream

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return has_left(self._request)

    def abort(self) -> None:
        """Close the connection at once."""
        abort(self._request)

    def encode(self, frame: Frame) -> bytes:
        """Return a frame as it is sent; nothing, if there is nothing to say."""
        if self._ids:
            return b"data: %b%b" % (frame.json, self._last_lines(frame.cursor))
        return b"data: %b\n\n" % frame.json

    def ending(self, answer: Answer) -> Iterable[bytes]:
        """Return the terminal event as it is sent, in pieces of bounded size."""
        return chain((b"data: ",), answer.terminal(), (self._last_lines(str(answer.cursor)),))

    def push(self, frame: Frame) -> bool:
        """Write a frame if nothing waits in the transport; return whether it was taken."""
        transport = self._transport
        if transport.get_write_buffer_size():
            return False
        if transport.is_closing():  # `Generation.tick` will notice
            return True
        json = frame.json
        if not self._is_direct:
            self._write(self.encode(frame))
        elif self._ids and frame.cursor is not None:
            cursor = frame.cursor.encode()
            size = len(json) + len(cursor) + len(b"data: \nid: \n\n")
            transport.write(b"%x\r\ndata: %b\nid: %b\n\n\r\n" % (size, json, cursor))
        else:
            transport.write(b"%x\r\ndata: %b\n\n\r\n" % (len(json) + len(b"data: \n\n"), json))
        return True

    async def send(self, frame: Frame) -> None:
        """Write a frame and wait until the socket has taken it.

        Raises ConnectionResetError if the client has left, or takes nothing for too long.
        """
        await self._send((self.encode(frame),))

    async def end(self, answer: Answer) -> None:
        """Write the terminal event and wait until the socket has taken it. Raises as `send` does."""
        await self._send(self.ending(answer))

    async def _send(self, pieces: Iterable[bytes]) -> None:
        await self._drain()
        for piece in _slices(pieces):
            if self._transport.is_closing():
                raise ConnectionResetError("the client has left")
            self._write(piece)
            del piece  # the transport has its own copy, and a slow client may keep this one for long
            await asyncio.sleep(0)  # a socket that takes everything would keep the loop from all others
            await self._drain()

    def _write(self, data: bytes) -> None:
        """Write as `response.write` does, but without coroutines: they take a quarter of a token's time."""
        if not data:  # an empty chunk would end the body
            return
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self._writer.output_size += len(data)

    async def _drain(self) -> None:
        """Wait until the transport is empty."""
        if not (before := self._transport.get_write_buffer_size()):
            return
        # One task for the whole wait, because cancelling a drain would also cancel all later ones.
        async with background(self._writer.drain(), name="drain") as drained:
            while not await clock.wait(drained, self._reader_timeout):
                unsent = self._transport.get_write_buffer_size()
                if unsent >= before:
                    self._transport.abort()
                    raise ConnectionResetError("the client took nothing for too long")
                before = unsent
            await drained

    def _last_lines(self, cursor: str | None) -> bytes:
        """Return what follows a frame's JSON."""
        if self._ids and cursor is not None:
            return b"\nid: %b\n\n" % cursor.encode()
        return b"\n\n"


def _slices(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces in slices of SLICE bytes and a rest, so that a long frame is never held as a whole."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) > SLICE:
            yield bytes(held[:SLICE])
            del held[:SLICE]
    yield bytes(held)


class NullSink:
    """The `Sink` of a request that waits for the whole answer: a subscriber that discards frames."""

    def __init__(self, request: web.Request) -> None:
        self._request = request

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return has_left(self._request)

    def push(self, frame: Frame) -> bool:
        """Discard a frame."""
        return True

    async def send(self, frame: Frame) -> None:
        """Discard a frame. Raises ConnectionResetError if the client has left."""
        await asyncio.sleep(0)
        if self.gone:
            raise ConnectionResetError("the client has left")

    async def end(self, answer: Answer) -> None:
        """Discard the terminal event."""

    def abort(self) -> None:
        """Close the connection at once."""
        abort(self._request)


def abort(request: web.Request) -> None:
    """Close a request's connection at once."""
    if request.transport is not None:
        request.transport.abort()


def has_left(request: web.Request) -> bool:
    """Return whether the client has closed the connection."""
    transport = request.transport
    return transport is None or transport.is_closing()


async def while_present(request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of work that is done for this client alone; cancel it when the client leaves.

    Handlers are not cancelled then, because a send must go on. Raises ConnectionResetError.
    """
    async with background(work, name=f"{request.method} {request.path}") as task:
        while not (await asyncio.wait({task}, timeout=LOOK_INTERVAL))[0]:
            if has_left(request):
                raise ConnectionResetError("the client has left")
        return await task
