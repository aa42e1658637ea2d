"""The client's side of a request that is passed on: its socket, and whether that takes what is written."""

import asyncio

from aiohttp import web

from chatproxy import clock


class Outlet:
    """A response whose head has been sent, and its body, which is written without coroutines."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        """Raise ConnectionResetError if the client has left."""
        if request.transport is None:
            raise ConnectionResetError("the client left before the response began")
        self._writer = request.writer
        self._transport: asyncio.Transport = request.transport
        self._transport.set_write_buffer_limits(high=0)
        self._is_chunked = "Transfer-Encoding" in response.headers
        self._unsent = 0  # bytes
        self._moved = clock.now()  # when `_unsent` last changed

    def write(self, data: bytes) -> bool:
        """Write a part of the body; return whether the socket has taken everything."""
        if not self._transport.is_closing():
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
            self._writer.output_size += len(data)
        return not self._transport.get_write_buffer_size()

    async def drain(self) -> None:
        """Wait until the socket has taken everything."""
        await self._writer.drain()

    def is_stuck(self, now: float, limit: float) -> bool:
        """Return whether the client has taken nothing for `limit` seconds, although something waits.

        It is asked now and then; `now` is on `clock`.
        """
        unsent = self._transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._moved = unsent, now
        return now - self._moved > limit
