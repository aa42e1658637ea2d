"""Readers that cost as little as they can: raw protocols that look for the stamps in whatever comes.

They know nothing of HTTP or of events, so that all contestants are read alike.
"""

import asyncio
import re
from collections.abc import Sequence
from time import monotonic, monotonic_ns
from typing import Final, cast

_STAMP: Final = re.compile(rb" t([0-9a-f]{12})")
_WIDTH: Final = 14  # bytes of a stamp
_END: Final = re.compile(rb'"done": ?true|"type": ?"done"')
_CURSOR: Final = re.compile(rb'"cursor":"([0-9.]+)"')
_ANSWER: Final = re.compile(rb'"assistantMessageId":([0-9]+)')
PATIENCE: Final = 15.0  # seconds for anything to happen
AT_ONCE: Final = 32  # streams that are being opened: what they wait for is their own work, not a queue


class Tally:
    """What the readers of one contestant saw, while it is `counting`."""

    def __init__(self) -> None:
        self.counting = False
        self.late: list[int] = []  # microseconds from the stamp to the reader, of every token

    def begin(self) -> None:
        self.late = []
        self.counting = True


class Reader(asyncio.Protocol):
    def __init__(self, request: bytes, tally: Tally) -> None:
        loop = asyncio.get_running_loop()
        self.seen = 0  # tokens
        self.asked = self.first = 0.0  # monotonic times, of the request and the first token
        self.reached = 0.0  # and of that token's stamp: Ollama sends it as soon as it is asked
        self.started: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._request = request
        self._tally = tally
        self._opening = b""  # all that came before the first token, and it
        self._rest = b""  # perhaps half a stamp
        self._latest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)
        self.asked = monotonic()

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns() // 1000
        if not self.seen:
            self._opening += data
        self._latest = data
        unread = self._rest + data
        if over := _END.search(unread):
            unread = unread[: over.start()]  # what follows repeats the answer
        if stamps := _STAMP.findall(unread):
            if not self.seen:
                self._start(stamps[0])
            self.seen += len(stamps)
            if self._tally.counting:
                self._tally.late += [now - int(stamp, 16) for stamp in stamps]
            unread = unread[unread.rfind(stamps[-1]) + _WIDTH - 2 :]
        self._rest = unread[1 - _WIDTH :]
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
                waiting.exception()  # nobody has to retrieve it

    @property
    def cursor(self) -> str:
        """Of the last event that came."""
        return str(_CURSOR.findall(self._latest)[-1].decode())

    @property
    def answer_id(self) -> int:
        return int(_ANSWER.findall(self._opening)[0])

    def drop(self) -> None:
        self._transport.abort()


async def read(port: int, requests: Sequence[bytes], tally: Tally, at_once: int = AT_ONCE) -> list[Reader]:
    """A reader for each request, when all have their first token."""
    loop = asyncio.get_running_loop()
    turn = asyncio.Semaphore(at_once)

    async def one(request: bytes) -> Reader:
        async with turn:
            reader = Reader(request, tally)
            await loop.create_connection(lambda: reader, "127.0.0.1", port)
            await reader.started
            return reader

    async with asyncio.timeout(PATIENCE):
        return list(await asyncio.gather(*map(one, requests)))
