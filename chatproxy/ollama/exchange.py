"""One HTTP/1.1 exchange with Ollama, from the socket to a `Receiver` in a single call.

This is an `asyncio.Protocol` rather than an HTTP client, so that no task is woken per read: the bytes of one
read are parsed and passed on before the event loop turns again, and all chunks of it at once. A read of more
than SLICE bytes is parsed in slices, and nothing more is read meanwhile (see `turns`). Timeouts belong to the
caller, who has `last_read` to apply them.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from chatproxy import clock
from chatproxy.errors import ChatError
from chatproxy.ollama.authorities import Trust, trust
from chatproxy.ollama.login import Login
from chatproxy.ollama.turns import Turns
from chatproxy.ollama.wire import (
    NOT_HTTP,
    upstream_closed,
    upstream_incomplete,
    upstream_invalid,
    upstream_unavailable,
)

SLICE: Final = 4 * 1024  # bytes parsed at once
PIECE: Final = 64 * 1024  # bytes of a request's body handed to the socket at once
MAX_HEAD: Final = 64 * 1024  # bytes in a row that hold no body: a head, chunk extensions, trailers

_NOTHING: Final = memoryview(b"")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_TARGET: Final = re.compile(r"/[^\x00-\x20\x7f]*")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


class Head(Struct, frozen=True):
    """The head of a final response; the names of the headers are in lower case."""

    status: int
    headers: Sequence[tuple[str, str]]


class Receiver(Protocol):
    """What an `Exchange` calls, directly from the event loop. None of this may block or raise."""

    def head_received(self, head: Head) -> None:
        """Take the head of the final response; called once, before everything else."""

    def body_received(self, data: bytes) -> None:
        """Take all bytes of the body that one read, or one slice of a long one, brought."""

    def ended(self, error: ChatError | None) -> None:
        """Take the end, which is called once and last; None says that the body is whole.

        An error is `upstream_incomplete` or `upstream_invalid`. Its cause is that of the lost connection.
        """


class Heard:
    """When bytes last came from an Ollama, in whatever exchange, on `clock`."""

    at = float("-inf")


class Endpoint:
    """The Ollama at `url`, whose path is a prefix of all targets.

    `headers` go with every request, and come from the settings that `credentials` name; `connect_timeout` is
    in seconds. All exchanges of an endpoint share its turns at the event loop, and note in `heard` when they
    read.
    """

    def __init__(
        self,
        url: URL,
        *,
        headers: Mapping[str, str],
        connect_timeout: float,
        credentials: Sequence[str] = (),
    ) -> None:
        self.url = url
        self.connect_timeout = connect_timeout
        self.headers = headers
        self.login = Login.of(credentials, headers)
        self.trust: Trust | None = trust() if url.scheme == "https" else None
        self.heard = Heard()
        self._prefix = url.raw_path.removesuffix("/")
        self._turns = Turns()

    async def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | bytearray,
        receiver: Receiver,
        kind: "type[Exchange] | None" = None,
    ) -> "Exchange":
        """Send a request and return its exchange; `receiver` is not called before the exchange's `resume`.

        `target` is the path with its query, sent as it is after the prefix. `headers` must not describe the
        connection or the framing, which is done here. `kind` is the exchange's class, if that is another.

        Raises what `wire.upstream_unavailable` returns, and `malformed` for a request that is none in HTTP.
        """
        own = {
            "Host": self.url.host_port_subcomponent or "",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **self.headers,
        }
        fields = CIMultiDict({**own, "User-Agent": "chatproxy", "Accept-Encoding": "identity"})
        fields.update(headers)
        fields.update(own)
        request = encode_head(method, f"{self._prefix}{target}", fields)
        exchange = (kind or Exchange)(
            request, body, receiver, self._turns, heard=self.heard, bodiless=method == "HEAD"
        )
        del body  # an error's traceback refers to these names, and the task that connects to the error
        try:
            await self._connect(exchange)
        except (OSError, UnicodeError) as error:  # OSError includes TLS and timeouts; UnicodeError: bad host
            exchange.abort()
            raise self.unavailable(error) from error
        except asyncio.CancelledError:  # possibly just after the connection was made
            exchange.abort()
            raise
        return exchange

    def unavailable(self, error: BaseException) -> ChatError:
        """Return the error for a connection that failed so."""
        return upstream_unavailable(self.url, error, self.trust.remedy if self.trust else "")

    async def _connect(self, exchange: "Exchange") -> None:
        host, port = self.url.host, self.url.port
        assert host is not None, "the URL is absolute"
        assert port is not None, "http and https have a default port"
        context = self.trust.context if self.trust else None
        async with clock.timeout(self.connect_timeout):
            await asyncio.get_running_loop().create_connection(lambda: exchange, host, port, ssl=context)


class Exchange(asyncio.Protocol):
    """A request, and the response as it comes, once `resume` was called.

    After `ended` or `abort`, the connection is closed, and `receiver` is not called any more.
    """

    __slots__ = (
        "_answered",
        "_bodiless",
        "_body",
        "_error",
        "_head",
        "_headers",
        "_heard",
        "_last_read",
        "_lost",
        "_over",
        "_overhead",
        "_parser",
        "_paused",
        "_receiver",
        "_request",
        "_transport",
        "_turns",
        "_unread",
        "_unsent",
        "_until_close",
        "_waiting",
        "_writing",
    )

    def __init__(
        self,
        head: bytes,
        body: bytes | bytearray,
        receiver: Receiver,
        turns: Turns,
        *,
        heard: Heard,
        bodiless: bool = False,
    ) -> None:
        self._last_read = clock.now()
        self._heard = heard
        self._request = head
        self._unsent = memoryview(body)
        self._writing = True
        self._receiver: Receiver | None = receiver  # None once it is not called any more
        self._turns = turns
        self._waiting = False  # for a turn
        self._paused = True
        self._unread = _NOTHING  # the rest of a read, of which each turn parses a slice
        self._lost: tuple[Exception | None] | None = None  # why the connection was lost meanwhile
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._bodiless = bodiless  # whether the response has no body, whatever its head says
        self._until_close = True  # whether the body ends where the connection does
        self._headers: list[tuple[str, str]] = []
        self._answered = False  # whether the head of the final response is complete
        self._overhead = 0  # bytes since the last that belonged to a body
        self._head: Head | None = None  # what the next call of `_deliver` passes on
        self._body = b""
        self._over = False
        self._error: ChatError | None = None

    @property
    def last_read(self) -> float:
        """When bytes last arrived, on `clock`; before that, when the socket last took some of the request."""
        return self._last_read

    def abort(self) -> None:
        """Close the connection at once and deliver nothing more; idempotent."""
        self._receiver = self._parser = None  # the parser refers to this object
        self._unread = self._unsent = _NOTHING
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read nothing more from Ollama, and deliver nothing after what is being delivered."""
        self._paused = True
        self._stop_reading()

    def resume(self) -> None:
        """Begin to deliver, or go on after `pause`, at a later turn of the event loop."""
        self._paused = False
        self._take_turn()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request, in one packet if it fits."""
        self._transport = cast(asyncio.Transport, transport)
        if self._receiver is None:
            self.abort()
            return
        # asyncio and uvloop both set TCP_NODELAY.
        request, self._request = self._request, b""
        self._transport.writelines((request, self._take_piece()))
        self._send()

    def pause_writing(self) -> None:
        """Keep the rest of the body until the socket has taken what it was given."""
        self._writing = False

    def resume_writing(self) -> None:
        """Send more of the body."""
        self._writing = True
        self._send()

    def data_received(self, data: bytes) -> None:
        """Parse what one read returned, and deliver it."""
        self._last_read = self._heard.at = clock.now()
        if len(data) <= SLICE and not self._unread and not self._paused:
            self._parse(data)
        else:  # TLS may deliver what it had read before the pause
            self._stop_reading()
            self._unread = memoryview(bytes(self._unread) + data)
            self._take_turn()

    def eof_received(self) -> None:
        """Treat a half-closed connection as a closed one."""
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the body, once all that was read has been delivered."""
        if self._unread or self._paused:
            self._lost = self._lost or (exc,)
        else:
            self._end_body(exc)

    # From bytes to the receiver.

    def _send(self) -> None:
        """Hand the body over in pieces, so that the transport never has a copy of a long one."""
        self._last_read = clock.now()
        while self._writing and self._unsent and self._transport is not None:
            self._transport.write(self._take_piece())

    def _take_piece(self) -> memoryview:
        piece, rest = self._unsent[:PIECE], self._unsent[PIECE:]
        self._unsent = rest or _NOTHING  # an empty slice would keep the whole body
        return piece

    def _stop_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _take_turn(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._turns.add(self._go_on)

    def _go_on(self) -> None:
        """Parse a slice of what is unread; if nothing is, read on."""
        self._waiting = False
        if self._paused or self._receiver is None:
            return
        if self._unread:
            data, rest = self._unread[:SLICE], self._unread[SLICE:]
            self._unread = rest or _NOTHING
            self._parse(data)
            self._take_turn()
        elif self._lost is not None:
            self._end_body(*self._lost)
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _parse(self, data: bytes | memoryview) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._end(upstream_invalid(NOT_HTTP), error)
        self._overhead = 0 if self._body else self._overhead + len(data)
        if self._overhead > MAX_HEAD:
            self._end(upstream_invalid("its head does not end"))
        self._deliver()

    def _end_body(self, cause: Exception | None) -> None:
        """End the body where the connection ends: by its framing, or in its middle."""
        if not self._answered:
            self._end(upstream_closed(), cause)
        elif cause is not None or not self._until_close:
            self._end(upstream_incomplete(), cause)
        else:
            self._end(None)
        self._deliver()

    def _end(self, error: ChatError | None, cause: Exception | None = None) -> None:
        """Set the end, unless there is one."""
        if not self._over:
            self._over = True
            if error is not None:
                error.__cause__ = cause
                self._error = error

    def _deliver(self) -> None:
        """Pass on what was parsed; each call may abort the exchange."""
        if self._head is not None and self._receiver is not None:
            head, self._head = self._head, None
            self._receiver.head_received(head)
        if self._body and self._receiver is not None:
            body, self._body = self._body, b""
            self._receiver.body_received(body)
        if self._over and self._receiver is not None:
            receiver = self._receiver
            self.abort()
            receiver.ended(self._error)

    # Called by the parser, which swallows whatever these raise.

    def on_message_begin(self) -> None:
        """Forget the headers of an informational response."""
        if not self._answered:
            self._headers = []
            self._until_close = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; those after the body are dropped."""
        if self._answered:
            return
        header = name.decode("latin-1").lower()
        self._headers.append((header, value.decode("latin-1")))
        if header in {"content-length", "transfer-encoding"}:
            self._until_close = False

    def on_headers_complete(self) -> None:
        """Note the head of the final response, and end a response that has no body (RFC 9112, 6.3)."""
        assert self._parser is not None, "it calls this"
        status = self._parser.get_status_code()
        if self._answered or status < 200:  # informational (RFC 9110, 15.2): the final response follows
            return
        if any(name == "transfer-encoding" and value.lower() != "chunked" for name, value in self._headers):
            self._end(upstream_invalid("its transfer coding was not asked for"))
            return
        self._answered = True
        self._head, self._headers = Head(status, self._headers), []
        if self._bodiless or status in {204, 304}:
            self._end(None)

    def on_body(self, data: bytes) -> None:
        """Collect the body; one before the final head, of a status that HTTP does not have, is dropped."""
        if self._answered and not self._over:
            self._body += data  # at most SLICE

    def on_message_complete(self) -> None:
        """End the body where its framing says so."""
        if self._answered:
            self._end(None)


def encode_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request; bytes that were not UTF-8 are those that aiohttp decoded.

    Raises `malformed` for what would end a line, or the head, where it is not meant to.
    """
    names, values = headers.keys(), headers.values()
    sound = _TOKEN.fullmatch(method) and _TARGET.fullmatch(target) and all(names)
    # What one of them may not have, all of them together may not have either.
    if not sound or not _TOKEN.fullmatch("".join(names)) or not _VALUE.fullmatch("".join(values)):
        raise ChatError(
            "malformed", "The path or a header of the request has a control character; remove it."
        )
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode(errors="surrogateescape")
