"""The token path: one connection per answer, from Ollama's socket to typed lines in a single call.

This is an `asyncio.Protocol` rather than an HTTP client, so that no task is woken per token: the bytes of
one read are parsed and passed to `receive` before the event loop turns again. A read of more than SLICE bytes
is parsed in slices, and nothing more is read meanwhile (see `turns`). Timeouts belong to the caller, who has
`began`, `last_read` and `started` to apply them.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from yarl import URL

from chatproxy import clock
from chatproxy.background import background
from chatproxy.errors import ChatError
from chatproxy.ollama.turns import Turns
from chatproxy.ollama.wire import (
    Line,
    LineBuffer,
    refusal,
    upstream_incomplete,
    upstream_invalid,
    upstream_unavailable,
)

SLICE: Final = 4 * 1024  # bytes parsed at once
MAX_HEAD: Final = 64 * 1024  # bytes of the response head and of anything before it
MAX_REFUSAL: Final = 64 * 1024  # bytes read of an error body

Receive = Callable[[Sequence[Line]], None]


async def chat_stream(
    url: URL, body: bytes, receive: Receive, turns: Turns, *, api_key: str | None, connect_timeout: float
) -> "ChatStream":
    """Send `POST /api/chat` to the Ollama at `url`, whose path is a prefix, and return the open stream.

    `receive` is called with all lines that a slice of a read completed, including the one with `done: true`.
    If it raises, the stream ends with that exception. All streams of a loop share `turns`. `connect_timeout`
    is in seconds.

    Raises `upstream_unavailable`.
    """
    host, port, tls = url.host, url.port, _tls() if url.scheme == "https" else None
    assert host is not None, "the URL is absolute"
    assert port is not None, "http and https have a default port"
    loop = asyncio.get_running_loop()
    stream = ChatStream((_encode_head(url, len(body), api_key), body), receive, turns, loop)
    connecting = loop.create_connection(lambda: stream, host, port, ssl=tls)
    try:
        async with background(connecting, name="connecting to Ollama") as connected:
            if not await clock.wait(connected, connect_timeout):
                raise TimeoutError
            await connected
    except (OSError, UnicodeError) as error:  # OSError includes TLS and timeouts; UnicodeError: bad host name
        stream.abort()
        raise upstream_unavailable(url) from error
    except asyncio.CancelledError:  # possibly just after the connection was made
        stream.abort()
        raise
    return stream


class ChatStream(asyncio.Protocol):
    """One answer in progress.

    `finished` resolves to the line with `done: true`, or raises a ChatError or what `receive` raised. It
    need not be awaited. Once it is done, the connection is closed and no more lines are delivered;
    cancelling it has the same effect.
    """

    def __init__(
        self, request: Sequence[bytes], receive: Receive, turns: Turns, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.finished: asyncio.Future[Line] = loop.create_future()
        self.finished.add_done_callback(lambda _: self.abort())
        self.started = False  # whether any byte of a 200 response's body has arrived
        self.last_read = clock.now()  # when bytes last arrived; before the first, when the request was sent
        self._request = request
        self._receive = receive
        self._turns = turns
        self._unread = memoryview(b"")  # the rest of a read, of which each turn parses a slice
        self._lost: tuple[Exception | None] | None = None  # why the connection was lost meanwhile
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._head_size = 0
        self._encoding = b"identity"
        self._status: int | None = None  # of the final response, once its head is complete
        self._buffer = LineBuffer()
        self._lines: list[Line] = []
        self._refusal = bytearray()
        self._end: Line | Exception | None = None

    def abort(self) -> None:
        """Close the connection at once and deliver nothing more; idempotent.

        Cancels `finished` unless it is done.
        """
        self.finished.cancel()
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.writelines(self._request)  # asyncio and uvloop both set TCP_NODELAY
        self._request = ()
        self.last_read = clock.now()

    def data_received(self, data: bytes) -> None:
        """Parse what one read returned, and deliver the lines it completed."""
        self.last_read = clock.now()
        if self._unread:  # TLS may deliver what it had read before the pause
            self._unread = memoryview(bytes(self._unread) + data)
        elif len(data) <= SLICE:
            self._parse(data)
        else:
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()
            self._unread = memoryview(data)
            self._parse_slice()

    def eof_received(self) -> None:
        """Treat a half-closed connection as a closed one."""
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the stream, unless it has ended."""
        if self._unread:
            self._lost = (exc,)
        elif not self.finished.done():
            self._end_body(exc)
            self._deliver()

    def _parse_slice(self) -> None:
        """Parse a slice of what is unread; go on at a later turn, or read on."""
        data, self._unread = self._unread[:SLICE], self._unread[SLICE:]
        self._parse(data)
        if self.finished.done():
            self._unread = memoryview(b"")
        elif self._unread:
            self._turns.add(self._parse_slice)
        elif self._lost is not None:
            self.connection_lost(*self._lost)
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _parse(self, data: bytes | memoryview) -> None:
        if self.finished.done():
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._set_error(upstream_invalid("it is not HTTP"), error)
        if self._status is None:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._set_error(upstream_invalid("its head does not end"))
        self._deliver()

    # Called by the parser, which swallows whatever these raise.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the encoding of the body."""
        if name.lower() == b"content-encoding":
            self._encoding = value.lower()

    def on_headers_complete(self) -> None:
        """Note the status of the final response."""
        status = self._parser.get_status_code()
        if status < 200:  # informational (RFC 9110, 15.2): the final response follows
            return
        self._status = status
        if status == 200 and self._encoding != b"identity":
            self._set_error(upstream_invalid("it is compressed, which was not asked for"))

    def on_body(self, data: bytes) -> None:
        """Collect lines of an answer, or the body of a refusal."""
        if self._end is not None:
            return
        if self._status == 200:
            self.started = True
            self._collect(self._buffer.feed(data))
            return
        self._refusal += data
        if len(self._refusal) >= MAX_REFUSAL:
            self._end_body(None)

    def on_message_complete(self) -> None:
        """End the body where its framing says so."""
        if self._status is not None:
            self._end_body(None)

    # From bytes to the outcome.

    def _collect(self, lines: Iterator[Line]) -> None:
        try:
            for line in lines:
                self._lines.append(line)
                if line.done:
                    self._end = line
                    return
        except ChatError as error:
            self._set_error(error)

    def _end_body(self, cause: Exception | None) -> None:
        """Set the error of a body that has ended; only `done: true` completes an answer."""
        if self._status is None:
            error = ChatError(
                "upstream_incomplete",
                "Ollama closed the connection before it answered; look into its log, and try again.",
            )
        elif self._status != 200:
            error = refusal(self._status, bytes(self._refusal[:MAX_REFUSAL]))
        else:
            if self._end is None:
                self._collect(self._buffer.end())
            error = upstream_incomplete()
        self._set_error(error, cause)

    def _set_error(self, error: ChatError, cause: Exception | None = None) -> None:
        """Set the outcome, unless there is one."""
        if self._end is None:
            error.__cause__ = cause
            self._end = error

    def _deliver(self) -> None:
        """Pass the collected lines on, then resolve `finished` if the outcome is known."""
        if lines := self._lines:
            self._lines = []
            try:
                self._receive(lines)
            except Exception as error:  # any exception reaches the caller through `finished`
                self._end = error
        if self._end is None or self.finished.done():
            return
        if isinstance(self._end, Line):
            self.finished.set_result(self._end)
        else:
            self.finished.set_exception(self._end)
            self.finished.exception()  # mark as retrieved: awaiting `finished` is optional


def _encode_head(url: URL, length: int, api_key: str | None) -> bytes:
    headers = {
        "Host": url.host_port_subcomponent,
        "User-Agent": "chatproxy",
        "Accept": "application/x-ndjson",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": length,
        "Connection": "close",
    }
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {(url / 'api' / 'chat').raw_path} HTTP/1.1\r\n{fields}\r\n".encode()


@cache
def _tls() -> ssl.SSLContext:
    """Return the one TLS context; loading the system's certificates takes tens of milliseconds."""
    return ssl.create_default_context()
