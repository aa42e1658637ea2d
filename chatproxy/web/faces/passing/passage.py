"""A request on its way to Ollama, and the response on its way back: the same bytes, as they come.

    body ─> a place in the queue ─> Exchange ─> head ─> the client
                                        └──── bytes ─────> its socket

Ollama's connection calls `Passage` directly, and that writes to the client's socket, so no task is woken for
a read. If the socket does not take everything, nothing more is read from Ollama until it has. One timer looks
at all requests that are under way: for clients that have left or take nothing, and for an Ollama that is
silent.

A stream that ends without its own end gets one frame more, an error in the form of its API; any other
response that is not whole breaks off.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from time import monotonic
from typing import Any, Final, Self
from urllib.parse import unquote

from aiohttp import web

from chatproxy import clock, log
from chatproxy.background import background, interruptible, later, repeat
from chatproxy.clock import Looks
from chatproxy.config import Config
from chatproxy.errors import ChatError, shutting_down
from chatproxy.fair import FairSlots
from chatproxy.generation.queue import BODIES
from chatproxy.generation.ticket import Ticket
from chatproxy.models.catalog import KnownModel, Runner, canonical
from chatproxy.models.hosts import LOOK, Host, blames_host, silent
from chatproxy.models.pace import pace_of
from chatproxy.models.selection import Need, by_host
from chatproxy.ollama.exchange import Exchange, Head
from chatproxy.ollama.wire import refusal, upstream_incomplete, upstream_invalid
from chatproxy.web.faces.dialects import dialect_at, path_of
from chatproxy.web.faces.passing.asked import Asked, asked
from chatproxy.web.faces.passing.outlet import Outlet
from chatproxy.web.faces.passing.tail import Tail
from chatproxy.web.held import HELD
from chatproxy.web.keys import CONFIG, METRICS, MODELS, QUEUE
from chatproxy.web.metrics import UPSTREAM_CODES
from chatproxy.web.security import asker, check_is_no_visitor
from chatproxy.web.sse import abort, has_left

logger: Final = logging.getLogger(__name__)

# What waits in the queue, by the model's runner, and whether its answer is streamed unless it is said.
QUEUED: Final[Mapping[str, bool]] = {
    "/api/chat": True,
    "/api/generate": True,
    "/api/embed": False,
    "/api/embeddings": False,
    "/v1/chat/completions": False,
    "/v1/completions": False,
    "/v1/embeddings": False,
    "/v1/responses": False,
    "/v1/messages": False,
    "/v1/audio/transcriptions": False,
}
# The streams whose last line is known. Of any other, the framing says whether it is whole.
WITH_LAST_LINE: Final = frozenset(
    {
        *("/api/chat", "/api/generate"),
        *("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"),
    }
)
NDJSON: Final = "application/x-ndjson"
STREAMS: Final = (NDJSON, "text/event-stream")  # media types
# All others, such as cookies, credentials and the Origin, end here.
REQUEST_HEADERS: Final = ("Accept", "Content-Type", "User-Agent", "anthropic-version", "anthropic-beta")
RESPONSE_HEADERS: Final = ("content-type", "cache-control", "retry-after")
ONE_PIECE_TIMEOUT: Final = 3600.0  # seconds; until an answer in one piece is complete, Ollama sends nothing
# What does not wait in the queue takes one of these slots.
SLOTS: Final = 32
SLOTS_PER_ASKER: Final = 16
PLACES: Final = 256
LOGGED: Final = 200  # characters of a name
UNKNOWN: Final = Runner("")  # answers for what is not installed
SHOW: Final = "/api/show"
OPENAI_MODEL: Final = "/v1/models/"  # before the name of a model
ELSEWHERE: Final = frozenset({404, 502, 503, 504})  # statuses that another host may not have

Way = tuple[Host, KnownModel | None]  # a host, and the model as it is there, if it is known


class Passages:
    """The requests of one application that are under way: looks at all, and their end at a shutdown."""

    def __init__(self, looks: Looks) -> None:
        self.slots = FairSlots(
            SLOTS,
            PLACES,
            slots_per_user=SLOTS_PER_ASKER,
            places_per_user=PLACES,
            refusal=lambda: ChatError(
                "overloaded", "Too many requests are under way; try again in a few seconds.", retry_after=5
            ),
        )
        self._looks = looks
        self._open: set[Passage] = set()
        self._closing = False
        self.draining = False  # no model is asked any more

    @classmethod
    @asynccontextmanager
    async def running(cls, looks: Looks) -> AsyncIterator[Self]:
        """Yield an object that looks at its requests."""
        passages = cls(looks)
        async with background(repeat(looks.next, passages._look), name="passages"):
            yield passages

    @contextmanager
    def watching(self, passage: "Passage") -> Iterator[None]:
        """Watch a request while the block runs. Raises `shutting_down`."""
        if self._closing or (self.draining and passage.asks):
            raise _shutdown()
        self._open.add(passage)
        self._looks.want()
        try:
            yield
        finally:
            self._open.discard(passage)

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""
        return bool(self._open)

    def close(self) -> None:
        """End every request, with an error in its API's form."""
        self._closing = True
        for passage in self._open:
            passage.stop(_shutdown())

    def _look(self) -> None:
        now = clock.now()
        for passage in self._open:
            self._looks.want()
            passage.tick(now)


PASSAGES: Final = web.AppKey("PASSAGES", Passages)


def forward(request: web.Request, body: bytes | bytearray) -> Coroutine[Any, Any, web.StreamResponse]:
    """Return the coroutine that passes a request on, whose body has been read, and returns the response.

    This is no coroutine itself, so that its caller can let go of the body before it waits. Raises `not_found`
    if nothing is passed on, or if the path leads elsewhere, and `not_for_visitors`.
    """
    check_is_on(request.app[CONFIG])
    check_is_no_visitor(request)
    return Passage(request, body).run()


def check_is_on(config: Config) -> None:
    """Raise `not_found` unless requests are passed on."""
    if not config.passthrough:
        raise ChatError(
            "not_found",
            "Nothing is passed on to Ollama here; to have its APIs at this address, set PASSTHROUGH=on.",
        )


class Passage:
    """One request that is passed on; the `Receiver` of its exchange."""

    def __init__(self, request: web.Request, body: bytes | bytearray) -> None:
        self._request = request
        self._app = request.app
        self._config = request.app[CONFIG]
        self._body = body
        self._size = len(body)
        path = path_of(request)
        self._target = path + (f"?{query}" if (query := request.rel_url.raw_query_string) else "")
        self._path = _plain(path)
        self._dialect = dialect_at(self._path)
        self._began = monotonic()
        self._joined = 0.0  # when it joined the queue, on `clock`
        self._waited = 0.0  # seconds until it was its turn
        self._ticket: Ticket | None = None
        self._known: KnownModel | None = None
        self._ways: Sequence[Way] = ()  # the hosts that may be asked, best first; the first one is asked
        self._asked: set[str] = set()  # names of hosts
        self._model = ""
        self._streams = False  # whether the answer comes as a stream, as far as is known
        self._media_type = ""
        self._interruption: asyncio.Timeout | None = None  # of the time before Ollama's head
        self._exchange: Exchange | None = None
        self._head: Head | None = None  # until it is sent on
        self._status = 0  # from then on
        self._outlet: Outlet | None = None  # once the client has the head
        self._early: list[bytes] = []  # what of the body came before that
        self._tail = Tail()
        self._bytes = 0  # of the body of the response
        self._change: asyncio.Future[None] | None = None  # what `run` waits for
        self._is_full = False  # the socket has not taken everything, and nothing is read from Ollama
        self._resumed = 0.0  # when that was over, on `clock`
        self._over = False
        self._error: Exception | None = None  # once it is over; None: the framing says that the body is whole
        self._outcome = "cancelled"

    @property
    def asks(self) -> bool:
        """Whether it may ask a model, and not only about one."""
        return self._request.method == "POST" and self._path != SHOW

    async def run(self) -> web.StreamResponse:
        """Pass the request on, and return the response, which has been sent."""
        try:
            async with AsyncExitStack() as place:
                with self._app[PASSAGES].watching(self):
                    return await self._pass(place)
        except ChatError as error:
            self._error = error
            self._outcome = "failed" if error.code in UPSTREAM_CODES else "refused"
            raise
        finally:
            if self._exchange is not None:
                self._exchange.abort()
            self._note()
            # The error's traceback holds this object, which would keep the body until the cycle is found.
            self._body, self._error = b"", None

    def stop(self, error: Exception) -> None:
        """End the request: a ChatError is what the client gets to see."""
        if self._over:
            return
        self._end(error)
        if self._exchange is not None:
            self._exchange.abort()
        if self._interruption is not None:
            self._interruption.reschedule(0)

    def tick(self, now: float) -> None:
        """End the request if the client has left, takes nothing, or Ollama is silent for too long."""
        if self._over and not self._is_full:
            return
        if has_left(self._request):
            self.stop(ConnectionResetError("the client has left"))
        elif self._outlet is not None and self._outlet.is_stuck(now, self._config.reader_timeout):
            abort(self._request)
            self.stop(ConnectionResetError("the client took nothing for too long"))
        elif error := self._timeout(now):
            if self._app[MODELS].are_several and self._outlet is None and self._head is None:
                self._leave(error)
            else:
                self.stop(error)

    # Called by the exchange.

    def head_received(self, head: Head) -> None:
        """Take the head. The body has to wait until the client has it."""
        assert self._exchange is not None, "it calls this"
        self._exchange.pause()
        self._head = head
        headers = dict(head.headers)
        self._media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self._streams = (
            head.status == 200
            and self._request.method != "HEAD"  # whose response has no body to end
            and self._media_type in STREAMS
            and "content-length" not in headers
        )
        if self._ticket is not None:
            self._ticket.discard_body()
            if head.status == 200 and self._known is not None:
                self._app[MODELS].answers(self._known)
        self._changed()

    def body_received(self, data: bytes) -> None:
        """Pass on what one read brought."""
        if not self._bytes and self._ticket is not None and self._streams:
            self._ticket.text_started()
        self._bytes += len(data)
        self._tail.feed(data)
        if self._outlet is None:
            self._early.append(data)
        elif not self._outlet.write(data):
            assert self._exchange is not None, "it calls this"
            self._exchange.pause()
            self._is_full = True
            self._changed()

    def ended(self, error: ChatError | None) -> None:
        """Take the end."""
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        self._over = True
        self._error = error
        if self._ticket is not None:
            self._ticket.end(complete=error is None)
        self._changed()

    def _changed(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def _next_change(self) -> None:
        self._change = asyncio.get_running_loop().create_future()
        await self._change

    # Until Ollama's head is there.

    async def _pass(self, place: AsyncExitStack) -> web.StreamResponse:
        async with interruptible(self._cause) as self._interruption:
            try:
                await self._ask(place)
            finally:
                self._interruption = None
        self._body = b""
        response, outlet = await self._begin(self._answered())
        await self._relay(outlet)
        self._finish(outlet)
        return response

    def _cause(self) -> Exception:
        assert self._error is not None, "`stop` has set it"
        return self._error

    def _answered(self) -> Head:
        if self._head is None:
            raise self._cause()
        headers = dict(self._head.headers)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise upstream_invalid("it is compressed, which was not asked for")
        return self._head

    async def _ask(self, place: AsyncExitStack) -> None:
        """Wait for a place, and send the request. The body is counted until it is sent."""
        who = asker(self._request)
        async with self._app[HELD].holding(self._request) as hold:
            hold.grow(self._size)
            if self._path not in QUEUED:
                await place.enter_async_context(self._app[PASSAGES].slots.slot(who))
                if self._app[MODELS].are_several:
                    self._model = (await self._read()).model or self._path.removeprefix(OPENAI_MODEL)
                await self._find_ways()
                await self._send(place)
                return
            wanted = await self._read()
            self._model = wanted.model
            self._streams = QUEUED[self._path] if wanted.stream is None else wanted.stream
            runner = await self._find_ways()
            joined = clock.now()
            entrance, pace = self._app[QUEUE], pace_of(self._known)
            self._ticket = await entrance.ticket(who, runner, self._size, BODIES, pace)
            place.callback(self._ticket.leave)
        await self._ticket.wait_for_slot()
        self._joined, self._waited = joined, clock.now() - joined
        await self._send(place)

    async def _send(self, place: AsyncExitStack) -> None:
        """Send the request, and wait for the head; before that, another host is asked if one fails."""
        while True:
            try:
                await self._send_once()
            except ChatError as error:
                self._end(error)
            if self._app[MODELS].are_several:
                async with later(LOOK, self._watch, name="whether a host hangs"):
                    await self._wait_for_head()
            else:
                await self._wait_for_head()
            if (failure := self._failure()) is None or not await self._may_go_on():
                return
            await self._go_on(failure, place)

    async def _wait_for_head(self) -> None:
        while not (self._head or self._over):
            await self._next_change()

    async def _watch(self) -> None:
        """Leave a host that hangs, if there is another one."""
        (host, _), *_ = self._ways
        while True:
            error = await self._app[MODELS].hung(host)
            if await self._may_go_on():
                break
            await asyncio.sleep(LOOK)
        self._leave(error)

    def _leave(self, error: ChatError) -> None:
        """End the request at a host that has not answered, so that the next one is asked."""
        if self._exchange is not None and not (self._head or self._over):
            self._exchange.abort()
            self._end(error)

    async def _may_go_on(self) -> bool:
        """Return whether there is another host to ask, such as one that was away when the request came."""
        if len(self._ways) == 1 and self._known is not None:
            found = await self._app[MODELS].elsewhere(self._known, self._asked)
            if found is not None and canonical(found.name) == canonical(self._model):
                self._ways = [*self._ways, (self._app[MODELS].of_model(found), found)]
        return len(self._ways) > 1

    def _failure(self) -> ChatError | None:
        """Return why another host may do better; None if this one answers, or the client has left."""
        if self._head is None:
            error = self._error
            return error if isinstance(error, ChatError) and error.code in UPSTREAM_CODES else None
        status = self._head.status
        return refusal(status, b"") if status in ELSEWHERE and self._path in QUEUED else None

    async def _go_on(self, failure: ChatError, place: AsyncExitStack) -> None:
        """Turn to the next host, and wait for a slot there."""
        (host, model), *self._ways = self._ways
        if blames_host(failure):
            self._app[MODELS].note_failure(host, failure)
        if model is not None:
            self._app[MODELS].failed(model)
        if self._exchange is not None:
            self._exchange.abort()
        self._exchange, self._head, self._over, self._error = None, None, False, None
        _, self._known = self._ways[0]
        if self._ticket is not None:
            runner = UNKNOWN if self._known is None else self._known.runner
            self._ticket = self._ticket.rejoin(runner, pace_of(self._known))
            place.callback(self._ticket.leave)
            await self._ticket.wait_for_slot()

    async def _read(self) -> Asked:
        async with self._app[HELD].turn_for(self._size):
            return asked(self._body, self._request.headers.get("Content-Type", ""))

    async def _find_ways(self) -> Runner:
        """Find the hosts that may be asked, and return what answers for the model on the first.

        Names that are not installed share one line, so that inventing names, or writing one that Ollama reads
        differently, gives nobody more slots.
        """
        hosts = self._app[MODELS]
        try:
            found = await hosts.found(self._model) if self._model else []
        except ChatError:
            found = []
        # The name is passed on as it is, so a host that has the model under another one cannot be asked.
        named = [model for model in found if canonical(model.name) == canonical(self._model)]
        if not named:
            self._ways = [(host, None) for host in hosts.usable]
            return UNKNOWN
        ways = by_host(named, Need(wait=self._app[QUEUE].wait))
        self._ways = [(hosts.of_model(model), model) for model in ways]
        self._known = ways[0]
        return ways[0].runner

    async def _send_once(self) -> None:
        host, _ = self._ways[0]
        if host.is_away and not all(other.is_away for other, _ in self._ways):  # meanwhile
            raise silent(host.name)
        headers = {
            name: ", ".join(values)
            for name in REQUEST_HEADERS
            if (values := self._request.headers.getall(name, ()))
        }
        if self._ticket is not None:
            self._ticket.asks()
        body = self._body
        self._asked.add(host.name)
        if not self._app[MODELS].are_several:
            self._body = b""  # from here on, the exchange alone holds it
        # Messages connect in a task, a turn of the loop later; so both do in the order of their slots.
        await asyncio.sleep(0)
        self._exchange = await host.ollama.exchange(self._request.method, self._target, headers, body, self)
        self._exchange.resume()

    # From then on.

    async def _begin(self, head: Head) -> tuple[web.StreamResponse, Outlet]:
        """Send the response's head and what has come of its body."""
        assert self._exchange is not None, "it has sent the head"
        given = dict(head.headers)
        response = web.StreamResponse(status=head.status)
        for name in RESPONSE_HEADERS:
            if name in given:
                response.headers[name] = given[name]
        if self._ticket is not None and self._ticket.turn_at is not None:
            self._waited = self._ticket.turn_at - self._joined
        response.headers["X-Accel-Buffering"] = "no"
        response.headers["Server-Timing"] = f"queue;dur={self._waited * 1000:.0f}"
        if "content-length" in given:
            response.content_length = int(given["content-length"])
        await response.prepare(self._request)
        self._outlet = outlet = Outlet(self._request, response)
        for data in self._early:
            outlet.write(data)
        self._early.clear()
        if not self._over:
            self._exchange.resume()
        self._status, self._head = head.status, None
        return response, outlet

    async def _relay(self, outlet: Outlet) -> None:
        """Wait until all has been written; whenever the socket is full, until it has room."""
        while True:
            if self._is_full:
                await outlet.drain()
                self._is_full = False
                self._resumed = clock.now()
                if not self._over and self._exchange is not None:
                    self._exchange.resume()
            elif self._over:
                return
            else:
                await self._next_change()

    def _finish(self, outlet: Outlet) -> None:
        """Say how the response ends."""
        if isinstance(self._error, ConnectionError):
            raise self._error
        if self._is_whole():
            if self._streams and self._tail.is_error:
                self._outcome = "failed"
            else:
                self._outcome = "complete" if self._status < 400 else "refused"
            return
        self._outcome = "failed"
        if not self._streams:
            abort(self._request)
            raise ConnectionResetError("the response breaks off where Ollama's did")
        if not isinstance(self._error, ChatError):
            self._error = upstream_incomplete()
        is_ndjson = self._media_type == NDJSON
        before = self._tail.before_line() if is_ndjson else self._tail.before_event()
        outlet.write(before + self._dialect.last_frame(self._error))

    def _is_whole(self) -> bool:
        if not self._streams or self._path not in WITH_LAST_LINE:
            return self._error is None
        return self._tail.is_last_line() if self._media_type == NDJSON else self._tail.is_last_event()

    # The timer.

    def _timeout(self, now: float) -> ChatError | None:
        """Return `upstream_timeout` if Ollama has been silent for too long."""
        if self._exchange is None or self._over or self._is_full:
            return None
        turn_at = 0.0
        if self._ticket is not None and self._outlet is None:
            if self._ticket.waits:  # Ollama answers others first
                return None
            turn_at = self._ticket.turn_at or 0.0
        is_one_piece = self._path in QUEUED and not self._streams
        limit = ONE_PIECE_TIMEOUT if is_one_piece else self._config.first_token_timeout
        if now - max(self._exchange.last_read, self._resumed, turn_at) < limit:
            return None
        remedy = "have the answer streamed" if is_one_piece else "raise FIRST_TOKEN_TIMEOUT"
        return ChatError("upstream_timeout", f"Ollama sent nothing for {limit:g} s; try again, or {remedy}.")

    def _note(self) -> None:
        """Count the request, and log it: nothing of what it says."""
        is_complete = self._outcome == "complete"
        model = self._known.name if self._known is not None else self._model
        self._app[METRICS].passed(
            api=self._dialect.name,
            model=model,
            installed=self._known is not None and self._known.tags is not None,
            outcome=self._outcome,
            tokens=self._tail.tokens if is_complete and self._path in QUEUED else 0,
            code=self._error.code if self._outcome == "failed" and isinstance(self._error, ChatError) else "",
            host=self._ways[0][0].name if self._ways else "",
        )
        status = self._status or getattr(self._error, "status", 499)
        log.event(
            logger,
            logging.INFO,
            "request passed on",
            api=self._dialect.name,
            path=self._path[:LOGGED],
            model=model[:LOGGED],
            outcome=self._outcome,
            status=status,
            bytes=self._bytes,
            queueMs=round(self._waited * 1000),
            ms=round((monotonic() - self._began) * 1000),
        )


def _shutdown() -> ChatError:
    return shutting_down("try again in a moment")


def _plain(path: str) -> str:
    """Return a path as Ollama understands it, so that no spelling of it is taken for another one.

    Raises `not_found` for one that a proxy in front of Ollama may shorten.
    """
    plain = unquote(path, errors="replace")
    segments = re.split(r"[/\\]", unquote(plain, errors="replace"))[1:]  # some proxies decode twice
    if any(segment.partition(";")[0] in {"", ".", ".."} for segment in segments):
        raise ChatError("not_found", f"There is nothing at {path[:200]}; check the address.")
    return plain
