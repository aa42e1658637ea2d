"""The token path: one answer, from what its exchange delivers to typed lines in the same call."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from chatproxy import clock
from chatproxy.errors import ChatError
from chatproxy.ollama.exchange import Endpoint, Exchange, Head
from chatproxy.ollama.wire import Line, LineBuffer, refusal, upstream_incomplete, upstream_invalid

MAX_REFUSAL: Final = 64 * 1024  # bytes read of an error body
_HEADERS: Final = {"Accept": "application/x-ndjson", "Content-Type": "application/json"}

Receive = Callable[[Sequence[Line]], None]


class ChatStream:
    """One answer in progress: what an exchange delivers, as lines.

    Creating it sends `POST /api/chat`, in the background. It reads nothing of the response before `deliver`.

    `finished` resolves to the line with `done: true`, or raises a ChatError, `upstream_unavailable` if there
    was no connection, or what the receiver raised. It need not be awaited. Once it is done, the connection is
    closed and no more lines are delivered; cancelling it has the same effect.
    """

    def __init__(self, endpoint: Endpoint, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[Line] = loop.create_future()
        self.finished.add_done_callback(lambda _: self.abort())
        self.started = False  # whether any byte of a 200 response's body has arrived
        self._login = endpoint.login
        self._receive: Receive | None = None
        self._exchange: Exchange | None = None
        self._status: int | None = None
        self._buffer = LineBuffer()
        self._lines: list[Line] = []
        self._refusal = bytearray()
        self._end: Line | Exception | None = None
        self._opening = loop.create_task(self._open(endpoint, body), name="asking Ollama")

    async def _open(self, endpoint: Endpoint, body: bytes) -> None:
        try:
            self._exchange = await endpoint.exchange("POST", "/api/chat", _HEADERS, body, self)
        except Exception as error:  # any exception reaches the caller through `finished`
            del body  # an error's traceback refers to this name
            self._set_error(error)
            self._deliver()
        else:
            if self._receive is not None:
                self._exchange.resume()

    def deliver(self, receive: Receive) -> None:
        """Call `receive` with all lines that a slice of a read completed, the one with `done: true` included.

        If it raises, the stream ends with that exception.
        """
        self._receive = receive
        if self._exchange is not None:
            self._exchange.resume()

    @property
    def last_read(self) -> float:
        """When bytes last arrived, on `clock`; before the first, when the request was sent, or now."""
        return clock.now() if self._exchange is None else self._exchange.last_read

    def abort(self) -> None:
        """Close the connection at once and deliver nothing more; idempotent.

        Cancels `finished` unless it is done.
        """
        self.finished.cancel()
        self._opening.cancel()
        if self._exchange is not None:
            self._exchange.abort()

    # Called by the exchange.

    def head_received(self, head: Head) -> None:
        """Note the status, and refuse a compressed answer."""
        self._status = head.status
        encodings = {value.lower() for name, value in head.headers if name == "content-encoding"}
        if head.status == 200 and encodings - {"identity"}:
            self._set_error(upstream_invalid("it is compressed, which was not asked for"))
            self._deliver()

    def body_received(self, data: bytes) -> None:
        """Deliver the lines of an answer, or collect the body of a refusal."""
        if self.finished.done():
            return
        if self._status == 200:
            self.started = True
            self._collect(self._buffer.feed(data))
        else:
            self._refusal += data
            if len(self._refusal) >= MAX_REFUSAL:
                self._set_error(self._refused())
        self._deliver()

    def ended(self, error: ChatError | None) -> None:
        """Set the outcome; only `done: true` completes an answer."""
        if self.finished.done():
            return
        if self._status in {200, None}:
            self._collect(self._buffer.end())
            self._set_error(error or upstream_incomplete())
        else:
            refused = self._refused()
            refused.__cause__ = error and error.__cause__
            self._set_error(refused)
        self._deliver()

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

    def _refused(self) -> ChatError:
        assert self._status is not None, "its head has arrived"
        return refusal(self._status, bytes(self._refusal[:MAX_REFUSAL]), self._login)

    def _set_error(self, error: Exception) -> None:
        """Set the outcome, unless there is one."""
        if self._end is None:
            self._end = error

    def _deliver(self) -> None:
        """Pass the collected lines on, then resolve `finished` if the outcome is known."""
        if lines := self._lines:
            assert self._receive is not None, "nothing is read before"
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
