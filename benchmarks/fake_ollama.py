"""A fake Ollama that uses as little CPU as possible: a raw protocol with time-stamped tokens.

The last line of a request determines the answer, as `RATE COUNT BURST`: BURST tokens at once, then the rest
of COUNT at RATE tokens per second. A fourth number is the milliseconds until that begins. A token is " t" and
the monotonic clock in microseconds, in hex.
"""

import asyncio
import json
from functools import partial
from heapq import heappop, heappush, heapreplace
from time import monotonic, monotonic_ns
from typing import Any, Final, cast

MODEL: Final = "bench:latest"
TICK: Final = 0.001  # seconds; event loops do not sleep for less

_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
    b"Date: Mon, 23 Nov 2026 06:30:32 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_FIELDS: Final = b'{"model":"bench:latest","created_at":"2026-11-23T06:30:32.526715472Z","message":'
_TOKEN: Final = _FIELDS + b'{"role":"assistant","content":" t%012x"},"done":false}\n'
_LAST: Final = (
    _FIELDS + b'{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
    b'"total_duration":1904441385,"load_duration":946099,"prompt_eval_count":74,'
    b'"prompt_eval_duration":177040000,"eval_count":18,"eval_duration":392620000}\n'
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_TOKEN_CHUNK: Final = b"%x\r\n%b\r\n" % (len(_TOKEN % 0), _TOKEN)
_END: Final = _chunk(_LAST) + b"0\r\n\r\n"

_DETAILS: Final = {"family": "bench", "parameter_size": "1B", "quantization_level": "Q8_0"}
_NAMED: Final = {"name": MODEL, "model": MODEL, "size": 10**9, "digest": "be" * 32, "details": _DETAILS}
_CALLS: Final[dict[str, dict[str, Any]]] = {
    "/api/tags": {"models": [_NAMED]},
    "/api/ps": {"models": [_NAMED | {"context_length": 4096, "size_vram": 0}]},
    "/api/show": {
        "capabilities": ["completion"],
        "details": _DETAILS,
        "model_info": {"general.architecture": "bench", "bench.context_length": 4096},
        "modelfile": "FROM /models/sha256-be",
    },
    "/api/version": {"version": "0.0.0"},
}


class Pacer:
    """Makes every connection write its tokens when they are due, with one timer for all."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._due: list[tuple[float, int, Connection]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: "Connection", due: float) -> None:
        """Schedule a connection's next token for the monotonic time `due`."""
        self._number += 1
        heappush(self._due, (due, self._number, connection))
        if self._due[0][2] is connection:
            self._wait()

    def _turn(self) -> None:
        now = monotonic()
        while self._due and self._due[0][0] <= now:
            due, number, connection = self._due[0]
            if interval := connection.step():
                heapreplace(self._due, (due + interval, number, connection))
            else:
                heappop(self._due)
        self._wait()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._due:
            self._timer = self.loop.call_later(max(TICK, self._due[0][0] - monotonic()), self._turn)


class Connection(asyncio.Protocol):
    """One connection, which answers calls from `_CALLS`, and chats with stamped tokens."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._unread = b""
        self._left = 0
        self._interval = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._left = -1

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, separator, rest = self._unread.partition(b"\r\n\r\n")
        if not separator:
            return
        size = 0
        for field in head.split(b"\r\n")[1:]:
            name, _, value = field.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        if len(rest) >= size:
            self._unread = rest[size:]
            self._answer(head.split(b" ", 2)[1].decode(), rest[:size])

    def _answer(self, path: str, body: bytes) -> None:
        if path == "/api/chat":
            rate, count, burst, *prompt = json.loads(body)["messages"][-1]["content"].split("\n")[-1].split()
            begin = partial(self._begin, float(rate), int(count), int(burst))
            if prompt and int(prompt[0]):
                self._pacer.loop.call_later(int(prompt[0]) / 1000, begin)
            else:
                begin()
        else:
            found = json.dumps(_CALLS[path]).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(head % len(found) + found)

    def _begin(self, rate: float, count: int, burst: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_HEAD + _TOKEN_CHUNK % (monotonic_ns() // 1000) * burst)
        self._left, self._interval = count - burst, 1 / rate
        if interval := self.step():
            self._pacer.add(self, monotonic() + interval)

    def step(self) -> float:
        """Write one token and return the seconds until the next one; 0 at the end."""
        if self._left > 0:
            self._left -= 1
            self._transport.write(_TOKEN_CHUNK % (monotonic_ns() // 1000))
            return self._interval
        if self._left == 0:
            self._transport.write(_END)
        return 0


async def listen() -> tuple[asyncio.Server, int]:
    """Listen on a free loopback port, and return the server and the port."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop)
    server = await loop.create_server(lambda: Connection(pacer), "127.0.0.1", 0, backlog=4096)
    return server, server.sockets[0].getsockname()[1]
