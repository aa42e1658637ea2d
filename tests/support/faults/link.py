"""A bad connection: a TCP proxy that delays, slices or slows down bytes, or stops at some byte.

    async with Link.to(server_url, lambda opening: Fault(after=100, end="reset")) as link:
        ...                  # connections to link.url are reset after 100 bytes of the response

The function chooses the fault of a connection from its first bytes.
"""

import asyncio
import math
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal, Self
from urllib.parse import urlsplit

AT_ONCE: Final = 65536  # bytes
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing is a reset

End = Literal["close", "reset", "half-close", "blackhole"]


@dataclass(frozen=True)
class Fault:
    """What happens to a connection. `after` is the number of bytes of the response after which it ends.

    `half-close` ends the response alone, and goes on taking requests; `blackhole` closes nothing, and
    swallows what comes from either side.
    """

    latency: float = 0.0  # seconds that every piece is late, each way
    slices: int = AT_ONCE  # bytes passed on at once
    rate: float = math.inf  # bytes per second
    after: int | None = None
    end: End = "close"


CLEAN: Final = Fault()
# What fault a connection has, from the first bytes that the client sends over it.
Choose = Callable[[bytes], Fault]


class Link:
    def __init__(self, target: str, choose: Choose) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._connections: set[asyncio.Task[None]] = set()
        self.choose = choose
        self.broken = 0  # connections that ended as their fault says
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def to(cls, target: str, choose: Choose = lambda opening: CLEAN) -> AsyncIterator[Self]:
        link = cls(target, choose)
        server = await asyncio.start_server(link._accept, "127.0.0.1", 0, backlog=1024)
        link.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield link
        finally:
            server.close()
            for connection in link._connections:
                connection.cancel()
            await asyncio.gather(*link._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._pass(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            with suppress(OSError):  # whoever closes first, the other side is closed too
                up_reader, up_writer = await asyncio.open_connection(*self._target)
                ends.append(up_writer)
                opening = await reader.read(AT_ONCE)
                fault = self.choose(opening)
                there = asyncio.create_task(_requests(opening, reader, up_writer, fault))
                try:
                    if await _response(up_reader, writer, fault):
                        self.broken += 1
                        await _break(fault, there, writer)
                finally:
                    there.cancel()
                    await asyncio.gather(there, return_exceptions=True)
        finally:
            for end in ends:
                end.close()


async def _requests(
    opening: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault
) -> None:
    """Pass on what the client sends, and its end."""
    piece = opening
    with suppress(OSError):
        while piece:
            await _pass_on(piece, writer, fault)
            piece = await reader.read(AT_ONCE)
    writer.transport.abort()


async def _response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> bool:
    """Pass on the response; return whether it reached the fault."""
    left = math.inf if fault.after is None else fault.after
    while piece := await reader.read(AT_ONCE):
        await _pass_on(piece if len(piece) <= left else piece[: int(left)], writer, fault)
        left -= len(piece)
        if left <= 0:
            return True
    return False


async def _pass_on(piece: bytes, writer: asyncio.StreamWriter, fault: Fault) -> None:
    await asyncio.sleep(fault.latency)
    for start in range(0, len(piece), fault.slices):
        part = piece[start : start + fault.slices]
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(len(part) / fault.rate)


async def _break(fault: Fault, there: "asyncio.Task[None]", writer: asyncio.StreamWriter) -> None:
    if fault.end == "reset":
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
    elif fault.end == "half-close":
        writer.write_eof()
        await there
    elif fault.end == "blackhole":
        await there
