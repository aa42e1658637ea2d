"""The token path: one connection per answer, from Ollama's socket to typed lines in a single call.

A protocol instead of a client, because no task is woken per token: what a read brings is parsed, and
handed to `receive`, before the event loop turns again. The limits on waiting are the caller's own;
`last_read` and `started` are what they need. Reading is never paused: the text is kept in any case.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from time import monotonic
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from yarl import URL

from chatproxy.errors import ChatError
from chatproxy.ollama.wire import Line, LineBuffer, incomplete, invalid, refusal, unavailable

MAX_HEAD: Final = 64 * 1024  # bytes, of the response head with all that comes before it
MAX_REFUSAL: Final = 64 * 1024  # bytes read of an error's body

Receive = Callable[[Sequence[Line]], None]


async def chat_stream(
    url: URL, body: bytes, receive: Receive, *, api_key: str | None, connect_timeout: float
) -> "ChatStream":
    """Sends `POST /api/chat` to the Ollama at `url` (its path, if any, is a prefix).

    `receive` is called once for each read that completed lines, with all of them, the one with
    `done: true` too; what it raises ends the stream. Raises `upstream_unavailable`.
    """
    host, port, tls = url.host, url.port, _tls() if url.scheme == "https" else None
    assert host is not None, "the address is absolute"
    assert port is not None, "http and https have one"
    loop = asyncio.get_running_loop()
    stream = ChatStream(_request(url, body, api_key), receive, loop)
    try:
        async with asyncio.timeout(connect_timeout):
            await loop.create_connection(lambda: stream, host, port, ssl=tls)
    except (OSError, UnicodeError) as error:  # OSError: also TLS and timeouts; UnicodeError: no host name
        raise unavailable(url) from error
    except asyncio.CancelledError:  # perhaps a moment after the connection was there
        stream.abort()
        raise
    return stream


class ChatStream(asyncio.Protocol):
    """An answer on its way. `finished` gets the line with `done: true`, or a ChatError, or what
    `receive` raised; nothing needs to await it. Once it is done (cancelling it is one way) nothing
    is delivered any more, and the connection is closed."""

    def __init__(self, request: bytes, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self.finished: asyncio.Future[Line] = loop.create_future()
        self.finished.add_done_callback(lambda _: self.abort())
        self.started = False  # a byte of the answer itself has come
        self.last_read = monotonic()  # when bytes came last, at first when the request was sent
        self._request = request
        self._receive = receive
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._head_size = 0
        self._encoding = b"identity"
        self._status: int | None = None  # of the final response, once its head is there
        self._buffer = LineBuffer()
        self._lines: list[Line] = []
        self._refusal = bytearray()
        self._end: Line | Exception | None = None

    def abort(self) -> None:
        """Closes the connection at once: nothing is delivered after this call. `finished` is
        cancelled, unless it was done. May be called any number of times."""
        self.finished.cancel()
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)  # both loops set TCP_NODELAY
        self._request = b""
        self.last_read = monotonic()

    def data_received(self, data: bytes) -> None:
        if self.finished.done():
            return
        self.last_read = monotonic()
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._stop(invalid("it is not HTTP"), error)
        if self._status is None:
            self._bound_head(len(data))
        self._deliver()

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished.done():
            self._body_over(exc)
            self._deliver()

    # Called by the parser; what they raise would be lost in it.

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-encoding":
            self._encoding = value.lower()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # informational: the response is still to come
            return
        self._status = status
        if status == 200 and self._encoding != b"identity":
            self._stop(invalid("it is compressed, which was not asked for"))

    def on_body(self, data: bytes) -> None:
        if self._end is not None:
            return
        if self._status == 200:
            self.started = True
            self._collect(self._buffer.feed(data))
            return
        self._refusal += data
        if len(self._refusal) >= MAX_REFUSAL:
            self._body_over(None)

    def on_message_complete(self) -> None:
        if self._status is not None:
            self._body_over(None)

    # From bytes to the outcome.

    def _bound_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEAD:
            self._stop(invalid("its head does not end"))

    def _collect(self, lines: Iterator[Line]) -> None:
        try:
            for line in lines:
                self._lines.append(line)
                if line.done:
                    self._end = line
                    return
        except ChatError as error:
            self._stop(error)

    def _body_over(self, cause: Exception | None) -> None:
        """However the body ended, `done: true` alone says that the answer did."""
        if self._status == 200 and self._end is None:
            self._collect(self._buffer.end())
        if self._status is None:
            self._stop(_unanswered(), cause)
        elif self._status == 200:
            self._stop(incomplete(), cause)
        else:
            self._stop(refusal(self._status, bytes(self._refusal[:MAX_REFUSAL])), cause)

    def _stop(self, error: ChatError, cause: Exception | None = None) -> None:
        if self._end is None:
            error.__cause__ = cause
            self._end = error

    def _deliver(self) -> None:
        if lines := self._lines:
            self._lines = []
            try:
                self._receive(lines)
            except Exception as error:  # whatever it is, the caller of chat_stream awaits it
                self._end = error
        if self._end is not None and not self.finished.done():
            self._finish(self._end)

    def _finish(self, end: Line | Exception) -> None:
        if isinstance(end, Line):
            self.finished.set_result(end)
        else:
            self.finished.set_exception(end)
            self.finished.exception()  # nobody has to retrieve it


def _request(url: URL, body: bytes, api_key: str | None) -> bytes:
    headers = {
        "Host": url.host_port_subcomponent,
        "User-Agent": "chatproxy",
        "Accept": "application/x-ndjson",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": len(body),
        "Connection": "close",
    }
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {(url / 'api' / 'chat').raw_path} HTTP/1.1\r\n{fields}\r\n".encode() + body


def _unanswered() -> ChatError:
    return ChatError(
        "upstream_incomplete",
        "Ollama closed the connection before it answered; look into its log, and try again.",
    )


@cache
def _tls() -> ssl.SSLContext:
    """Loading the system's certificates takes tens of milliseconds: once will do."""
    return ssl.create_default_context()
