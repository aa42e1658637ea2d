"""The command's server: it listens, limits the number of connections and closes those that are too slow.

aiohttp has no such limits of its own. Looks check all connections, and answers are written to the
transport directly, so a token costs nothing here. At the limit, a new connection takes the place of the one
that has waited for its client the longest, so that connections held idle keep no one out.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from typing import Final, cast

from aiohttp import web

from chatproxy import clock, log
from chatproxy.background import background, repeat
from chatproxy.clock import Looks
from chatproxy.command.port import cannot_listen
from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.system.process import raise_open_files
from chatproxy.web.faces.passing.passage import SLOTS
from chatproxy.web.json import MAX_BODY, MAX_IMPORT
from chatproxy.web.keys import CONFIG, LOOKS
from chatproxy.web.middleware import refusal

logger: Final = logging.getLogger(__name__)

ACCEPTED: Final = 8  # connections at most, each time that the loop goes round
LOOK_INTERVAL: Final = 1.0  # seconds
REQUEST_TIMEOUT: Final = 10.0  # seconds for a request to arrive, plus its size / SLOWEST_UPLOAD
SLOWEST_UPLOAD: Final = 16 * 1024  # bytes per second
MAX_HEAD: Final = 16 * 1024  # bytes of a request line and all headers; aiohttp limits only each of them
NOT_HTTP: Final = b"\0"  # at which aiohttp refuses a request, wherever in its head
RESERVED_FILES: Final = 64  # open files for the database, uploads and refused connections
MAX_REFUSED: Final = 32  # refused connections kept open, so that their clients can read why


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Serve the result of `create_app`; yield its URL, with the actual port. Raises StartError."""
    config = app[CONFIG]
    # aiohttp may wait for this timeout twice, and Docker kills the process after 10 seconds.
    runner = web.AppRunner(app, handler_cancellation=False, shutdown_timeout=2)
    try:
        await runner.setup()
        connections = Connections(
            cast(web.Server, runner.server),
            app[LOOKS],
            limit=limit_connections(config.max_connections, config.max_concurrent_generations + SLOTS),
            reader_timeout=config.reader_timeout,
            largest_body=max(MAX_BODY, MAX_IMPORT, config.max_document_bytes),
        )
        try:
            servers = await _listen(connections, config)
        except OSError as error:
            raise await cannot_listen(config.host, config.port, error) from error
        async with connections.watched():
            with ExitStack() as listeners:
                for server in servers:
                    listeners.enter_context(closing(server))
                host, port = servers[0].sockets[0].getsockname()[:2]
                yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _listen(connections: "Connections", config: Config) -> Sequence[asyncio.Server]:
    """Listen, so that a connection does not wait until the loop has gone round for each one before it.

    uvloop accepts one for each listener when it goes round; asyncio's own loop accepts all that wait.
    """
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(connections, config.host, config.port, backlog=1024)]
    if not isinstance(loop, asyncio.BaseEventLoop):
        for listening in servers[0].sockets:
            for _ in range(ACCEPTED - 1):
                again = socket.fromfd(listening.fileno(), listening.family, listening.type)
                servers.append(await loop.create_server(connections, sock=again, backlog=1024))
    return servers


class Connections:
    """The protocol factory for `loop.create_server`; it counts connections and closes slow ones.

    `limit` is the number of connections at once. `reader_timeout` is in seconds. `largest_body` is the size
    of the largest accepted body in bytes; it caps the time that a request may take to arrive.
    """

    def __init__(
        self, server: web.Server, looks: Looks, *, limit: int, reader_timeout: float, largest_body: int
    ) -> None:
        self.server = server
        self.looks = looks
        self.reader_timeout = reader_timeout
        self.largest_body = largest_body
        self._limit = limit
        self._open: set[Connection] = set()
        # In the order in which they began to wait for a request. One whose request has come stays here, to be
        # skipped, until it waits for the next one.
        self._waiting: dict[Connection, None] = {}
        self._refused: set[asyncio.Transport] = set()
        self._refused_before: set[asyncio.Transport] = set()  # those that the last `_look` saw
        self._looked = clock.now()  # when that was

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return Connection(self)

    def admit(self, connection: "Connection") -> bool:
        """Count a new connection; return False if there are too many, and all of them are in use."""
        if len(self._open) >= self._limit and not self._close_longest_waiting():
            return False
        self._open.add(connection)
        self._waiting[connection] = None
        self.looks.want()
        return True

    def wait(self, connection: "Connection") -> None:
        """Note that a connection begins to wait: for a request, or for the rest of one."""
        if connection in self._open:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def _close_longest_waiting(self) -> bool:
        """Close a connection for a new one; return False if none of them waits."""
        while self._waiting:
            connection = next(iter(self._waiting))
            del self._waiting[connection]
            if connection.is_waiting():
                self._open.discard(connection)
                connection.abort()
                return True
        return False

    def refuse(self, transport: asyncio.Transport) -> None:
        """Tell a client that there are too many connections.

        Closing at once, while the client is still sending, would reset the connection and lose the response.
        """
        self.looks.want()
        transport.write(_overloaded())
        if len(self._refused) < MAX_REFUSED:
            self._refused.add(transport)
            transport.write_eof()
        else:
            transport.close()

    def forget(self, connection: "Connection", transport: asyncio.Transport) -> None:
        """Remove a connection that was lost."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        self._refused.discard(transport)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Check the connections while the block runs; then close the refused ones."""
        try:
            async with background(repeat(self.looks.next, self._look), name="connections"):
                yield
        finally:
            for transport in list(self._refused):
                transport.abort()

    def _look(self) -> None:
        """Close slow connections, and refused ones that the last look already saw."""
        if self._refused or any(each.has_deadline() for each in self._open):
            self.looks.want()
        if clock.now() - self._looked < LOOK_INTERVAL:
            return
        self._looked = clock.now()
        for transport in self._refused & self._refused_before:
            transport.abort()
            self._refused.discard(transport)
        self._refused_before = set(self._refused)
        slow = [each for each in self._open if each.is_late() or each.is_stuck()]
        for connection in slow:
            connection.abort()
        if slow:
            log.event(logger, logging.INFO, "slow connections were closed", number=len(slow))


class Connection(web.RequestHandler):
    """aiohttp's protocol, with time limits and with its errors as JSON (docs/api.md, Errors)."""

    __slots__ = (
        *("_body_has_ended", "_connections", "_head", "_moved", "_received", "_responding", "_since"),
        *("_socket", "_unsent"),
    )

    def __init__(self, connections: Connections) -> None:
        super().__init__(
            connections.server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # no access log
            keepalive_timeout=75,
            auto_decompress=False,  # compressed bodies are refused
        )
        self._connections = connections
        # Kept because aiohttp's `transport` is None while a closing connection still has unsent data.
        self._socket: asyncio.Transport
        self._received = 0  # bytes of the request that is arriving or being answered
        self._since: float | None = clock.now()  # when that began; None between two requests
        self._head = 0  # bytes of a request's head that has begun to arrive
        self._body_has_ended: Callable[[], bool] = lambda: True  # of the last request whose head has come
        self._responding = False
        self._unsent = 0  # bytes
        self._moved = clock.now()  # when `_unsent` last changed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, or refuse it if there are too many."""
        self._socket = cast(asyncio.Transport, transport)
        if self._connections.admit(self):
            super().connection_made(transport)
        else:
            self._connections.refuse(self._socket)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._connections.forget(self, self._socket)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what arrives. aiohttp also calls this without data, to parse what it has buffered."""
        if self.transport is None:  # refused
            return
        if data:
            if self._since is None:
                self._since = clock.now()
                self._connections.wait(self)
                self._connections.looks.want()
            self._received += len(data)
        requests, is_head = self._request_count, self._body_has_ended()
        super().data_received(data)
        if self._request_count > requests:
            self._head, self._body_has_ended = 0, self._messages[-1][1].is_eof
        elif is_head:  # what came with the end of the last body does not count
            self._head += len(data)
            if self._head > MAX_HEAD:
                super().data_received(NOT_HTTP)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response. The next request has a time limit of its own."""
        self._since, self._received = None, 0
        self._responding = True
        # aiohttp itself looks at the `Expect` of a request for which there is no route.
        response = _malformed() if resp.status == 417 else resp
        try:
            return await super().finish_response(request, response, start_time)
        finally:
            self._responding = False
            self._connections.wait(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Log an error and return its response. Raises ConnectionError if another response has begun."""
        if isinstance(exc, UnicodeError):  # an `Expect` without a route, which aiohttp cannot quote
            return _malformed()
        response = super().handle_error(request, status, exc, message)
        return _malformed() if status == 400 else response

    def is_waiting(self) -> bool:
        """Return whether no request is being answered, and the client has taken all responses."""
        is_answering = self._current_request is not None or self._responding
        return not is_answering and self._socket.get_write_buffer_size() == 0

    def has_deadline(self) -> bool:
        """Return whether a request is arriving or being answered, or data waits for the client."""
        return self._since is not None or self._socket.get_write_buffer_size() > 0

    def is_late(self) -> bool:
        """Return whether the request is taking too long to arrive."""
        request = self._current_request  # aiohttp's: the one being answered
        if self._since is None or (request is not None and request.content.is_eof()):
            return False
        size = min(self._received, self._connections.largest_body)
        return clock.now() - self._since > REQUEST_TIMEOUT + size / SLOWEST_UPLOAD

    def is_stuck(self) -> bool:
        """Return whether the client has taken no data for `reader_timeout`, although some is waiting."""
        unsent = self._socket.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._moved = unsent, clock.now()
        return clock.now() - self._moved > self._connections.reader_timeout

    def abort(self) -> None:
        """Close the connection and discard unsent data."""
        self._socket.abort()


def _malformed() -> web.Response:
    """Return the response to bytes that are not HTTP. It quotes none, because they may contain a token."""
    sentence = "This cannot be read as an HTTP request; check its first line, its headers and its chunks."
    return refusal(ChatError("malformed", sentence))


def _overloaded() -> bytes:
    """Return a whole response, for a client whose request is not even read."""
    sentence = "The server has all the connections it can hold; try again in a moment."
    response = refusal(ChatError("overloaded", sentence, retry_after=5))
    assert isinstance(response.body, bytes)
    headers = {**response.headers, "Content-Length": len(response.body), "Connection": "close"}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{''.join(lines)}\r\n".encode() + response.body


def limit_connections(wanted: int, upstream: int) -> int:
    """Raise this process's limit of open files as needed; return how many connections it allows.

    `wanted` is MAX_CONNECTIONS. `upstream` is the number of connections to Ollama, which need files too:
    without one, an answer that has begun would fail.
    """
    needed = wanted + upstream + RESERVED_FILES
    available = raise_open_files(needed)
    limit = min(wanted, max(available - RESERVED_FILES - upstream, available // 3))
    if limit < wanted:
        log.event(
            logger,
            logging.WARNING,
            "fewer connections than MAX_CONNECTIONS: raise the limit of open files",
            connections=limit,
            openFiles=available,
        )
    return limit
