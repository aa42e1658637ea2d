"""A proxy between a client and chatproxy that cuts connections where a test wants it.

    async with CuttingProxy.before(client.base) as proxy:
        proxy.cuts.append(500)               # the next response breaks off after 500 bytes

A cut is a number of bytes of a response: 0 cuts at its first byte, when the server has done its work and
the client has not heard of it. Each request takes the next of `cuts`; without one it passes whole.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class CuttingProxy:
    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self.cuts: deque[int] = deque()
        self.made = 0  # cuts, so far
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def before(cls, target: str) -> AsyncIterator[Self]:
        proxy = cls(target)
        server = await asyncio.start_server(proxy._pass, "127.0.0.1", 0)
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield proxy
        finally:
            server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        connection = _Connection(self)
        there = asyncio.create_task(connection.requests(reader, up_writer))
        back = asyncio.create_task(connection.responses(up_reader, writer))
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for task, end in ((there, up_writer), (back, writer)):
            task.cancel()
            end.transport.abort()
        await asyncio.gather(there, back, return_exceptions=True)


class _Connection:
    def __init__(self, proxy: CuttingProxy) -> None:
        self._proxy = proxy
        self._left: int | None = None  # bytes that may still pass; None for all

    async def requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            if piece.startswith((b"GET ", b"POST ")):
                self._left = self._proxy.cuts.popleft() if self._proxy.cuts else None
            writer.write(piece)
            await writer.drain()

    async def responses(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                writer.write(piece if self._left is None else piece[: self._left])
                await writer.drain()
                if self._left is not None:
                    self._left -= len(piece)
                    if self._left <= 0:
                        break
            if self._left is not None:
                self._proxy.made += 1
            writer.close()  # what was written still goes out
            await writer.wait_closed()
