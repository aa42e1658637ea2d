"""A socket between one replica and PostgreSQL that is cut, or silent.

async with Wire.before(server.folder, folder) as wire:     # connect to host=folder
    wire.cut()                    # all connections break
    wire.hold(); wire.go_on()     # nothing passes, and nobody is told; then all that waited
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self

NAME: Final = ".s.PGSQL.5432"


class Wire:
    def __init__(self, server: Path) -> None:
        self._server = server / NAME
        self._passes = asyncio.Event()
        self._passes.set()
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, server: Path, folder: Path) -> AsyncIterator[Self]:
        """Listen in `folder` for who wants the server whose socket is in `server`."""
        wire = cls(server)
        listener = await asyncio.start_unix_server(wire._accept, folder / NAME)
        try:
            yield wire
        finally:
            listener.close()
            wire.cut()
            await asyncio.gather(*wire._connections, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections; new ones pass."""
        for connection in self._connections:
            connection.cancel()

    def hold(self) -> None:
        """Let nothing pass."""
        self._passes.clear()

    def go_on(self) -> None:
        """Let all pass again."""
        self._passes.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._pass(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        connection.add_done_callback(lambda _: writer.transport.abort())  # also of one that never began

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends, ways = [writer], []
        try:
            with suppress(OSError):
                up_reader, up_writer = await asyncio.open_unix_connection(self._server)
                ends.append(up_writer)
                ways = [
                    asyncio.create_task(self._way(reader, up_writer)),
                    asyncio.create_task(self._way(up_reader, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                await self._passes.wait()
                writer.write(piece)
                await writer.drain()
