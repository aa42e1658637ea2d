"""The token path, from Ollama's socket on: one answer as typed lines, in the call that reads the bytes.

Ollama sends each token as one line in one chunk, so that nearly every read is exactly that. Then the text is
cut out of the bytes as it stands (`AnswerExchange.data_received`), because it is sent on in JSON, too. All
else is parsed (`ChatStream.body_received`), and means the same: what lines and chunks are is decided there.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

from chatproxy import clock
from chatproxy.errors import ChatError
from chatproxy.ollama.exchange import Endpoint, Exchange, Head, Receiver
from chatproxy.ollama.wire import (
    PLAIN,
    Line,
    LineBuffer,
    refusal,
    upstream_incomplete,
    upstream_invalid,
)

MAX_REFUSAL: Final = 64 * 1024  # bytes read of an error body
_HEADERS: Final = {"Accept": "application/x-ndjson", "Content-Type": "application/json"}

Receive = Callable[[Sequence[Line]], None]
ReceiveToken = Callable[[str, bytes], None]


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
        self._receive_token: ReceiveToken | None = None
        self._exchange: Exchange | None = None
        self._status: int | None = None
        self._buffer = LineBuffer()
        self._lines: list[Line] = []
        self._refusal = bytearray()
        self._end: Line | Exception | None = None
        self._opening = loop.create_task(self._open(endpoint, body), name="asking Ollama")

    async def _open(self, endpoint: Endpoint, body: bytes) -> None:
        try:
            self._exchange = await endpoint.exchange(
                "POST", "/api/chat", _HEADERS, body, self, AnswerExchange
            )
        except Exception as error:  # any exception reaches the caller through `finished`
            del body  # an error's traceback refers to this name
            self._set_error(error)
            self._deliver()
        else:
            if self._receive is not None:
                self._exchange.resume()

    def deliver(self, receive: Receive, receive_token: ReceiveToken | None = None) -> None:
        """Call `receive` with all lines that a slice of a read completed, the one with `done: true` included.

        For a read that is one plain line, call `receive_token` instead, if it is given, with the text of the
        answer, and the same as UTF-8, which is also how it stands in JSON.
        If either raises, the stream ends with that exception.
        """
        self._receive = receive
        self._receive_token = receive_token
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

    @property
    def takes_tokens(self) -> ReceiveToken | None:
        """What takes the text of a plain line, if one may come next: not in the middle of another."""
        is_plain = self._status == 200 and self._end is None and self._buffer.is_empty
        return self._receive_token if is_plain else None

    def fail(self, error: Exception) -> None:
        """Let the receiver's exception reach the caller through `finished`."""
        self._set_error(error)
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


class AnswerExchange(Exchange):
    """The exchange of a `ChatStream`: what is read is one plain line as it stands, or else parsed.

    The parser need not know of what is not parsed: it stands between two chunks (RFC 9112, 7.1) before and
    after it.
    """

    __slots__ = (
        "_chunk_ended",
        "_receive_token",
        "_stream",
        "_was_read",
    )

    def __init__(
        self, head: bytes, body: bytes | bytearray, receiver: Receiver, *more: Any, **options: Any
    ) -> None:
        """Prepare an exchange whose receiver is a `ChatStream`; see `Exchange`."""
        super().__init__(head, body, receiver, *more, **options)
        self._stream = cast(ChatStream, receiver)
        self._receive_token: ReceiveToken | None = None  # while a plain line may come next, in a chunk
        self._chunk_ended = False  # no chunk has begun since, of which the parser would know
        self._was_read = False  # since `last_read` was asked for

    @property
    def last_read(self) -> float:
        """When bytes last arrived, on `clock`, or when this was asked for after that; see `Exchange`."""
        if self._was_read:  # noted here, so that no token has to read the clock
            self._was_read = False
            self._last_read = self._heard.at = clock.now()
        return self._last_read

    def data_received(self, data: bytes) -> None:
        """Deliver one plain line at once, or parse what one read returned."""
        receive = self._receive_token
        if receive is None or (line := PLAIN.fullmatch(data)) is None:
            return super().data_received(data)
        size, json = line.groups()
        try:
            text = json.decode()
        except UnicodeDecodeError:
            return super().data_received(data)
        # What cannot be printed may have to be escaped in a frame, or not be allowed in JSON.
        if int(size, 16) != len(data) - len(size) - len(b"\r\n\r\n") or not text.isprintable():
            return super().data_received(data)
        self._was_read = True
        try:
            receive(text, json)
        except Exception as error:  # any exception reaches the caller through `finished`
            self._receive_token = None
            self._stream.fail(error)

    def abort(self) -> None:
        """Close the connection at once and deliver nothing more; idempotent."""
        self._receive_token = None
        super().abort()

    def pause(self) -> None:
        """Read nothing more from Ollama, and deliver nothing after what is being delivered."""
        self._receive_token = None
        super().pause()

    def _parse(self, data: bytes | memoryview) -> None:
        self._receive_token = None
        super()._parse(data)
        # The parser does not tell of a chunk whose first line it has half of, which does not end like this.
        if self._chunk_ended and data[-2:] == b"\r\n" and not (self._unread or self._paused or self._over):
            self._receive_token = self._stream.takes_tokens

    # Called by the parser.

    def on_chunk_header(self) -> None:
        """Note that a chunk has begun."""
        self._chunk_ended = False

    def on_chunk_complete(self) -> None:
        """Note that it has ended."""
        self._chunk_ended = True
