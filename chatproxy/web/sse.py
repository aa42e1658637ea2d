"""An answer's frames as Server-Sent Events, over one `StreamResponse`.

Each frame is one `data:` line and an empty one; on `GET` streams, which `EventSource` reads, an `id:`
line stands between them (WHATWG HTML, "Server-sent events"). The JSON holds no line break.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from aiohttp import web

from chatproxy.answers.events import Frame

HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
SLICE: Final = 60 * 1024  # bytes handed to the transport at once: what a slow reader makes us hold


class EventStream:
    """A `Sink`. Nothing is left in the transport unnoticed: its high-water mark is 0, so that a write
    which the socket did not take whole at once counts as waiting."""

    def __init__(self, request: web.Request, *, ids: bool, reader_timeout: float) -> None:
        """`reader_timeout` in seconds: a reader that takes nothing for so long is dropped."""
        self.response = web.StreamResponse(headers=HEADERS)
        self._request = request
        self._transport: asyncio.Transport  # once it is open
        self._writer = request.writer
        self._chunked = True  # but for HTTP/1.0
        self._ids = ids
        self._reader_timeout = reader_timeout

    async def open(self) -> None:
        await self.response.prepare(self._request)
        if self._request.transport is None:
            raise ConnectionResetError("the reader left before the stream began")
        self._transport = self._request.transport
        self._transport.set_write_buffer_limits(high=0)
        self._chunked = "Transfer-Encoding" in self.response.headers

    @property
    def gone(self) -> bool:
        return has_left(self._request)

    def push(self, frame: Frame) -> bool:
        if self._transport.get_write_buffer_size():
            return False
        if not self._transport.is_closing():  # else the clock will notice that the reader has left
            self._write(self._line(frame))
        return True

    async def send(self, frame: Frame) -> None:
        await self._taken()
        for piece in self._pieces(frame):
            if self._transport.is_closing():
                raise ConnectionResetError("the reader has left")
            self._write(piece)
            await self._taken()

    def _write(self, data: bytes) -> None:
        """What `response.write` does, in one call: its coroutines would take a quarter of a token's time."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self._writer.output_size += len(data)

    async def _taken(self) -> None:
        """Waits until the socket has taken everything."""
        if not (before := self._transport.get_write_buffer_size()):
            return
        # One task for all of the wait: cancelling a drain would cancel every later one with it.
        drained = asyncio.create_task(self._writer.drain())
        try:
            while not (await asyncio.wait({drained}, timeout=self._reader_timeout))[0]:
                unsent = self._transport.get_write_buffer_size()
                if unsent >= before:
                    self._transport.abort()
                    raise ConnectionResetError("the reader took nothing for too long")
                before = unsent
            await drained
        finally:
            drained.cancel()

    def _pieces(self, frame: Frame) -> Iterator[bytes]:
        """The line in what is handed over at once; a long one is not copied whole for each reader."""
        if len(frame.json) <= SLICE:
            yield self._line(frame)
            return
        yield b"data: "
        for start in range(0, len(frame.json), SLICE):
            yield frame.json[start : start + SLICE]
        yield self._end(frame)

    def _line(self, frame: Frame) -> bytes:
        if self._ids:
            return b"data: %b%b" % (frame.json, self._end(frame))
        return b"data: %b\n\n" % frame.json

    def _end(self, frame: Frame) -> bytes:
        if self._ids and frame.cursor is not None:
            return b"\nid: %b\n\n" % frame.cursor.encode()
        return b"\n\n"


class Waiting:
    """The sink of a request that waits for the whole answer: it takes nothing, and counts as a reader."""

    def __init__(self, request: web.Request) -> None:
        self._request = request

    @property
    def gone(self) -> bool:
        return has_left(self._request)

    def push(self, frame: Frame) -> bool:
        return True

    async def send(self, frame: Frame) -> None:
        if self.gone:
            raise ConnectionResetError("the reader has left")


def has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
