"""Readers that use as little CPU as possible: raw protocols that search the bytes for time stamps.

They know neither HTTP nor events, so all contestants are read in the same way.
"""

import asyncio
import re
from collections.abc import Sequence
from time import monotonic, monotonic_ns
from typing import Final, cast

_STAMP: Final = re.compile(rb" t([0-9a-f]{12})")
_STAMP_SIZE: Final = 14  # bytes
_END: Final = re.compile(rb'"done": ?true|"type": ?"done"')
_CURSOR: Final = re.compile(rb'"cursor":"([0-9.]+)"')
_ANSWER: Final = re.compile(rb'"assistantMessageId":([0-9]+)')
LATEST: Final = 4096  # bytes that hold a cursor that came in several reads, if there is one
TIMEOUT: Final = 15.0  # seconds, for all streams to start
MAX_OPENING: Final = 32  # streams opened at a time, so that they do not wait for each other in a queue


class Tally:
    """The delays that the readers of one contestant saw while `counting`."""

    def __init__(self) -> None:
        self.counting = False
        self.delays: list[int] = []  # microseconds from stamp to reader, of every token

    def begin(self) -> None:
        """Start counting afresh."""
        self.delays = []
        self.counting = True


class StreamReader(asyncio.Protocol):
    """Sends one request and reads the stream that answers it."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        loop = asyncio.get_running_loop()
        self.seen = 0  # tokens
        self.asked = self.first = 0.0  # monotonic times of the request and of the first token
        self.reached = 0.0  # monotonic time of that token's stamp: when Ollama was called
        self.started: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._request = request
        self._tally = tally
        self._opening = b""  # everything up to the first token
        self._rest = b""  # possibly half a stamp
        self._latest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)
        self.asked = monotonic()

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns() // 1000
        if not self.seen:
            self._opening += data
        self._latest = data if _CURSOR.search(data) else (self._latest + data)[-LATEST:]
        unread = self._rest + data
        if over := _END.search(unread):
            unread = unread[: over.start()]  # the rest repeats the answer
        if stamps := _STAMP.findall(unread):
            if not self.seen:
                self._start(stamps[0])
            self.seen += len(stamps)
            if self._tally.counting:
                self._tally.delays += [now - int(stamp, 16) for stamp in stamps]
            unread = unread[unread.rfind(stamps[-1]) + _STAMP_SIZE - 2 :]
        self._rest = unread[1 - _STAMP_SIZE :]
        if over:
            self._transport.abort()
            if not self.ended.done():
                self.ended.set_result(None)

    def _start(self, stamp: bytes) -> None:
        self.first, self.reached = monotonic(), int(stamp, 16) / 1e6
        if not self.started.done():
            self.started.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self.started, self.ended):
            if not waiting.done():
                said = self._latest[:200].decode(errors="replace")
                waiting.set_exception(ConnectionError(f"a stream broke after {self.seen} tokens: {said!r}"))
                waiting.exception()  # mark as retrieved: awaiting it is optional

    @property
    def cursor(self) -> str:
        """The cursor of the latest event."""
        return str(_CURSOR.findall(self._latest)[-1].decode())

    @property
    def answer_id(self) -> int:
        """The id of chatproxy's answer."""
        return int(_ANSWER.findall(self._opening)[0])

    def drop(self) -> None:
        """Close the connection at once."""
        self._transport.abort()


async def read(
    port: int, requests: Sequence[bytes], tally: Tally, at_once: int = MAX_OPENING
) -> list[StreamReader]:
    """Return a reader for each request, once every one has its first token."""
    loop = asyncio.get_running_loop()
    slot = asyncio.Semaphore(at_once)

    async def open_one(request: bytes) -> StreamReader:
        async with slot:
            reader = StreamReader(request, tally)
            await loop.create_connection(lambda: reader, "127.0.0.1", port)
            await reader.started
            return reader

    async with asyncio.timeout(TIMEOUT):
        return list(await asyncio.gather(*map(open_one, requests)))
