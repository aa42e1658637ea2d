"""Readers that use as little CPU as possible: raw protocols that search the bytes for time stamps.

They know next to nothing of HTTP or events, so all contestants are read in the same way.
"""

import asyncio
import re
from collections.abc import Sequence
from time import monotonic, monotonic_ns
from typing import Final, cast

_STAMP: Final = re.compile(rb" t([0-9a-f]{12})")
_STAMP_SIZE: Final = 14  # bytes
_ENDS: Final = (b'"done":true', b'"type":"done"')
_STATUS_SIZE: Final = len("HTTP/1.1 200")
TIMEOUT: Final = 20.0  # seconds, for all streams to start
AT_ONCE: Final = 32  # streams opened at a time, so that they do not wait for each other in a queue


class Tally:
    """The delays that the readers of one contestant saw while `counting`."""

    def __init__(self) -> None:
        self.counting = False
        self.delays: list[int] = []  # microseconds from stamp to reader, of every token
        self.stamps: list[bytes] = []  # of the same tokens; no two of one Ollama's are alike

    def begin(self) -> None:
        """Start counting afresh."""
        self.delays, self.stamps = [], []
        self.counting = True


class StreamReader(asyncio.Protocol):
    """Sends one request and reads the stream that answers it."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        loop = asyncio.get_running_loop()
        self.seen = 0  # tokens
        self.status = 0  # of HTTP
        self.opening = b""  # everything up to the first token
        self.asked = monotonic()  # before it connects
        self.reached = self.first = 0.0  # when Ollama was asked, and when the first token was here
        self.started: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.request = request
        self._tally = tally
        self._rest = b""  # possibly half a stamp

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns() // 1000
        if not self.seen:
            self.opening += data
            if len(self.opening) >= _STATUS_SIZE and not self.status:
                self.status = int(self.opening[_STATUS_SIZE - 3 : _STATUS_SIZE])
            if self.status > 200 and b"\r\n\r\n" in self.opening:
                self.ended.set_result(None)
                self._transport.abort()
                return
        unread = self._rest + data
        over = _ENDS[0] in unread or _ENDS[1] in unread
        if over:
            unread = unread[: max(map(unread.find, _ENDS))]  # the rest repeats the answer
        if stamps := _STAMP.findall(unread):
            if not self.seen:
                self.first, self.reached = monotonic(), int(stamps[0], 16) / 1e6
                self.started.set_result(None)
            self.seen += len(stamps)
            if self._tally.counting:
                self._tally.delays += [now - int(stamp, 16) for stamp in stamps]
                self._tally.stamps += stamps
            unread = unread[unread.rfind(stamps[-1]) + _STAMP_SIZE - 2 :]
        self._rest = unread[1 - _STAMP_SIZE :]
        if over:
            self._transport.abort()
            if not self.ended.done():
                self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self.started, self.ended):
            if not waiting.done():
                said = self.opening[:500].decode(errors="replace")
                waiting.set_exception(ConnectionError(f"a stream broke after {self.seen} tokens: {said!r}"))
                waiting.exception()  # mark as retrieved: awaiting it is optional

    @property
    def is_refusal(self) -> bool:
        """Return whether it was told to come again later."""
        return self.status in (429, 503) and b"\r\nretry-after:" in self.opening.lower()

    def drop(self) -> None:
        """Close the connection at once."""
        self._transport.abort()


async def open_one(port: int, request: bytes, tally: Tally) -> StreamReader:
    """Return a reader that has sent its request."""
    reader = StreamReader(request, tally)
    await asyncio.get_running_loop().create_connection(lambda: reader, "127.0.0.1", port)
    return reader


async def open_all(port: int, requests: Sequence[bytes], tally: Tally) -> list[StreamReader]:
    """Return a reader for each request, once every one has its first token."""
    slot = asyncio.Semaphore(AT_ONCE)

    async def open_started(request: bytes) -> StreamReader:
        async with slot:
            reader = await open_one(port, request, tally)
            await reader.started
            return reader

    async with asyncio.timeout(TIMEOUT):
        return list(await asyncio.gather(*map(open_started, requests)))
