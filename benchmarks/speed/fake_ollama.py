"""A fake Ollama that uses as little CPU as possible: a raw protocol with time-stamped tokens.

Each contestant has its own, which writes an answer's first token at once, and the others only while it is
`flowing`. The last line of a request determines the answer, as `COUNT PROMPT`: so many tokens, after so many
milliseconds. A token is " t" and the monotonic clock in microseconds, in hex.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, monotonic_ns
from typing import Any, Final, cast

MODEL: Final = "bench:latest"

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
_TOKEN_CHUNK: Final = b"%x\r\n%b\r\n" % (len(_TOKEN % 0), _TOKEN)
_END: Final = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_LAST), _LAST)

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


class FakeOllama:
    """Listens on a port, and gives each stream its next token in turn."""

    def __init__(self) -> None:
        self.port = 0
        self.streams: deque[Connection] = deque()  # that have tokens left; the first has waited longest
        self._rate = self._due = self._since = 0.0
        self._loop = asyncio.get_running_loop()

    async def listen(self) -> asyncio.Server:
        """Listen on a free loopback port."""
        server = await self._loop.create_server(lambda: Connection(self), "127.0.0.1", 0, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        return server

    @contextmanager
    def flowing(self, rate: float) -> Iterator[None]:
        """Give every stream `rate` tokens a second until the block ends, each when it is due.

        It spins, because timers of a millisecond would hand several tokens at once to the proxy, which then
        takes less CPU for each than with streams that know nothing of each other.
        """
        self._rate, self._due, self._since = rate, 0.0, monotonic()
        self._tick()
        try:
            yield
        finally:
            self._timer.cancel()

    def _tick(self) -> None:
        now = monotonic()
        self._due += (now - self._since) * self._rate * len(self.streams)
        self._since = now
        while self._due >= 1 and self.streams:
            self._due -= 1
            stream = self.streams.popleft()
            if stream.step():
                self.streams.append(stream)
        self._timer = self._loop.call_soon(self._tick)


class Connection(asyncio.Protocol):
    """One connection, which answers calls from `_CALLS`, and chats with stamped tokens."""

    def __init__(self, ollama: FakeOllama) -> None:
        self._ollama = ollama
        self._unread = b""
        self._left = 0  # tokens

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

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
            asked = monotonic_ns() // 1000
            count, prompt = map(int, json.loads(body)["messages"][-1]["content"].split("\n")[-1].split())
            if prompt:
                asyncio.get_running_loop().call_later(prompt / 1000, self._begin, count, asked)
            else:
                self._begin(count, asked)
        else:
            found = json.dumps(_CALLS[path]).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(head % len(found) + found)

    def _begin(self, count: int, asked: int) -> None:
        """Write the first token, which says when this was asked for."""
        self._left = count - 1
        self._transport.write(_HEAD + _TOKEN_CHUNK % asked + (b"" if self._left else _END))
        if self._left:
            self._ollama.streams.append(self)

    def step(self) -> bool:
        """Write one token, and return whether there are more."""
        if self._transport.is_closing():
            return False
        self._left -= 1
        self._transport.write(_TOKEN_CHUNK % (monotonic_ns() // 1000))
        if not self._left:
            self._transport.write(_END)
        return self._left > 0
