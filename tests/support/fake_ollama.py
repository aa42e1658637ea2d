"""A stand-in for Ollama: a real HTTP server whose every answer the test decides.

    async def test_it(client: Client, fake: FakeOllama) -> None:
        fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
        ...                                  # something asks fake.url
        chat = await fake.arrived()          # its request has arrived: chat.request
        gate.let(2)                          # send two pieces of the answer, and no more
        await chat.closed.wait()             # the other side has closed the connection

`script` is how `/api/chat` answers; `instead["/api/tags"]` replaces the answer of another call in the same
way. Ollama's other ways to ask a model, `/api/generate`, `/v1/chat/completions` and so on, answer with what a
real Ollama sent. Their requests arrive as those of `/api/chat` do, and so does that of any other path, which
gets Ollama's 404.

chatproxy's own requests for vectors, which users of `/api/embed` do not see, are in `embeds`; meanings.py has
what they are answered with.

`schedule` says when a script is played, and may replace it; scheduler.py has Ollama's own rules. Without it,
each is played at once.

But for that of a commit, nothing here waits for a time: what has to happen later waits at a `Gate` that the
test opens.

The fixture `fake` runs until the end of the test. Elsewhere: `async with FakeOllama() as fake`.
"""

import asyncio
import json
import math
import re
import socket
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from meanings import vector
from recordings import about, reads, recorded

MODEL: Final = "gemma3:270m"
COMMIT: Final = 0.03  # seconds, in which chatproxy has committed what it asks for
NDJSON: Final = "application/x-ndjson"
JSON: Final = "application/json; charset=utf-8"
SSE: Final = "text/event-stream"

# The numbers of a recorded answer, for every last line that does not name its own.
_USAGE: Final = {
    "total_duration": 1904441385,
    "load_duration": 946099,
    "prompt_eval_count": 74,
    "prompt_eval_duration": 177040000,
    "eval_count": 18,
    "eval_duration": 392620000,
}


class Gate:
    """Lets through as many pieces as the test allows; a new gate is shut."""

    def __init__(self) -> None:
        self._left: float = 0
        self._changed = asyncio.Event()

    def let(self, number: float = 1) -> None:
        self._left += number
        self._changed.set()

    def open(self) -> None:
        self.let(math.inf)

    async def passed(self) -> None:
        while self._left < 1:
            self._changed.clear()
            await self._changed.wait()
        self._left -= 1


@dataclass(frozen=True)
class Script:
    """One response: its head, its pieces one by one, and how it ends.

    `head` is the gate before the response head, `gate` that before each piece, `delays` the seconds
    before each. `end`: `clean`; `cut`, closed in the middle of the chunked body; `reset`, the same
    with a TCP reset; `hang`, kept open. With `raw`, the pieces are all there is: no HTTP is added.
    """

    pieces: Iterable[bytes] = ()
    status: int = 200
    content_type: str = NDJSON
    headers: dict[str, str] = field(default_factory=dict)
    head: Gate | None = None
    gate: Gate | None = None
    delays: Iterable[float] = ()
    end: Literal["clean", "cut", "reset", "hang"] = "clean"
    raw: bool = False


# What a chat request, or a script that depends on it, is made of.
Request = dict[str, Any]
Scripted = Script | Callable[[Request], Script]


def line(model: str = MODEL, **fields: object) -> bytes:
    """Return one line as Ollama writes it."""
    said = {"model": model, "created_at": "2026-11-23T06:30:32.526715472Z", **fields}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def token(content: str = "", *, thinking: str = "", model: str = MODEL) -> bytes:
    message = {"role": "assistant", "content": content} | ({"thinking": thinking} if thinking else {})
    return line(model, message=message, done=False)


def last(content: str = "", reason: str = "stop", model: str = MODEL, **numbers: int) -> bytes:
    """Return the line that ends an answer; `numbers` replace the recorded ones."""
    message = {"role": "assistant", "content": content}
    return line(model, message=message, done=True, done_reason=reason, **_USAGE | numbers)


def error(words: str) -> bytes:
    return json.dumps({"error": words}, separators=(",", ":")).encode() + b"\n"


def answer(
    text: str, *, thinking: str = "", reason: str = "stop", model: str = MODEL, **numbers: int
) -> list[bytes]:
    """Return the lines of a whole answer, one for each word."""
    return [
        *(token(thinking=word, model=model) for word in _words(thinking)),
        *(token(word, model=model) for word in _words(text)),
        last("", reason, model, **numbers),
    ]


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def refused(status: int, words: str, **switches: Any) -> Script:
    return Script([error(words).rstrip()], status=status, content_type=JSON, **switches)


def html(status: int = 200) -> Script:
    page = b"<!doctype html>\n<title>Sign in</title>\n"
    return Script([page], status=status, content_type="text/html")


def replay(name: str, *, pace: float = 0, **switches: Any) -> Script:
    """Replay a recording in its original pieces, at once or at `pace` times the original duration."""
    pieces, delays = reads(name)
    return Script(pieces, delays=[delay * pace for delay in delays] if pace else (), **switches)


def greet(request: Request) -> Script:
    words = "Hello from a fake."
    if request.get("stream") is False:
        return Script([last(words, model=request["model"])], content_type=JSON)
    return Script(answer(words, model=request["model"]))


def echo(request: Request) -> Script:
    """Answer with the last message."""
    return Script(answer(request["messages"][-1]["content"], model=request["model"]))


class Chat:
    """A request to `/api/chat` or to another path that asks a model, and what came of it."""

    def __init__(self, http: web.Request, body: bytes) -> None:
        self.method = http.method
        self.path = http.path
        self.target = http.raw_path  # with the query, as it was sent
        self.headers = dict(http.headers)
        self.body = body
        self.request: Request = _object(body)
        self.sent = 0  # pieces of the script
        self.served = False  # the script was played to its end
        self.closed = asyncio.Event()  # nothing more is sent: `served`, or the client went away


def _object(body: bytes) -> Request:
    """Return the JSON object that a body is, or an empty one: bodies of other kinds are for `/v1/audio`."""
    try:
        decoded = json.loads(body)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def face(name: str, *, streams: bool = False) -> Callable[[Request], Script]:
    """Answer as a real Ollama did on one of its other paths, whole or in pieces, as the request wants it.

    `streams` is what a request that does not say gets.
    """

    def script(request: Request) -> Script:
        return replayed(name if request.get("stream", streams) else f"{name}_not_streamed")

    return script


def replayed(name: str, **switches: Any) -> Script:
    """Replay a recording of another path than `/api/chat`, with its status and content type."""
    facts = about(f"faces/{name}")
    headers = dict(facts["headers"])
    pieces, _ = reads(f"faces/{name}")
    return Script(pieces, status=facts["status"], content_type=headers["Content-Type"], **switches)


# How paths that ask a model answer, but for `/api/chat`.
_FACES: Final[dict[str, Scripted]] = {
    "/api/generate": face("generate", streams=True),
    "/api/embed": Script([recorded("embed")], content_type=JSON),
    "/api/embeddings": replayed("api_embeddings"),
    "/v1/chat/completions": face("chat_completions"),
    "/v1/completions": face("completions"),
    "/v1/responses": face("responses"),
    "/v1/messages": face("messages"),
    "/v1/embeddings": replayed("embeddings"),
    "/v1/audio/transcriptions": replayed("transcriptions"),
    "/v1/models": replayed("models"),
    "/v1/models/words": replayed("model"),
}
_NO_SUCH_PATH: Final = Script([recorded("no_such_path")], status=404, content_type="text/plain")


def embedded(request: Request, **switches: Any) -> Script:
    """Answer a request for vectors, of one text or of several."""
    texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
    found = {"model": request["model"], "embeddings": [vector(text) for text in texts]}
    return Script([json.dumps(found).encode()], content_type=JSON, **switches)


def refusing_over(window: int, text: str = "Well.", image: int = 768) -> Callable[[Request], Script]:
    """Refuse prompts over that window. A word or mark counts as a token, as does some of each message."""

    def script(request: Request) -> Script:
        tokens = count_tokens(request, image)
        if tokens < window:
            return Script(answer(text, prompt_eval_count=tokens))
        return too_long(tokens, window)

    return script


def too_long(tokens: int, window: int) -> Script:
    """Refuse a prompt of so many tokens, with both numbers."""
    body = recorded("history_too_long_refused").replace(b"5371", str(tokens).encode())
    return Script([body.replace(b"4096", str(window).encode())], status=400, content_type="application/json")


def count_tokens(request: Request, image: int = 768) -> int:
    texts = [message["content"] for message in request["messages"]]
    pictures = sum(len(message.get("images", [])) for message in request["messages"])
    return 12 + sum(5 + len(re.findall(r"\w{1,6}|[^\w\s]", text)) for text in texts) + image * pictures


async def _start_server(app: web.Application, *, port: int | None, **runner: Any) -> TestServer:
    """Start a server as pytest-aiohttp's fixture `aiohttp_server` does."""
    server = TestServer(app, port=port)
    await server.start_server(**runner)
    return server


# What is played in answer to a chat, and for how long it holds what it needs.
Schedule = Callable[[Chat], AbstractAsyncContextManager[Script]]


class FakeOllama:
    """One Ollama. `start` starts its server, as pytest-aiohttp's fixture `aiohttp_server` does."""

    def __init__(self, start: Callable[..., Awaitable[TestServer]] = _start_server) -> None:
        self._start = start
        self.script: Scripted = greet
        self.schedule: Schedule = self._at_once
        self.chats: list[Chat] = []
        self.embeds: list[Request] = []  # chatproxy's own requests for vectors
        self.active = 0  # chats open now
        self.peak = 0  # the most that ever were
        self.calls: Counter[str] = Counter()  # requests by path
        self.side_connections: set[object] = set()  # those of `/api/tags`, `ps`, `show` and `version`
        self.instead: dict[str, Scripted] = {}
        self.models: list[dict[str, Any]] = json.loads(recorded("tags"))["models"]
        self.running: list[dict[str, Any]] = json.loads(recorded("ps"))["models"]
        self.shows: dict[str, dict[str, Any]] = {
            MODEL: json.loads(recorded("show")),
            "thinker:270m": json.loads(recorded("show_thinking")),
            "echo:270m": json.loads(recorded("show")),
            "all-minilm:22m": json.loads(recorded("show_embedding")),
        }
        self.hanging: set[str] = set()  # models that `/api/show` never describes
        self.version = "0.0.0"
        self.commit = COMMIT
        self.headers: dict[str, str] = {}  # of the latest request
        self._arrival = asyncio.Event()
        self._port: int | None = None
        self._server: TestServer | None = None

    @property
    def requests(self) -> list[Request]:
        """The bodies of the requests that ask a model."""
        return [chat.request for chat in self.chats]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def arrived(self, number: int = 1) -> Chat:
        """Wait for the request of that number that asks a model, counted from 1.

        As chatproxy asks while it commits the message, this returns a moment later, when that is done, too.
        """
        async with asyncio.timeout(30):
            while len(self.chats) < number:
                self._arrival.clear()
                await self._arrival.wait()
        await asyncio.sleep(self.commit)
        return self.chats[number - 1]

    async def start(self) -> Self:
        """Listen, after `stop` on the same port as before, as an Ollama that is restarted."""
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_get("/api/tags", self._tags)
        app.router.add_get("/api/ps", self._ps)
        app.router.add_post("/api/show", self._show)
        app.router.add_get("/api/version", self._version)
        app.router.add_post("/api/embed", self._embed)
        app.router.add_route("*", "/{path:.*}", self._chat)
        # A client that leaves cancels its handler, as is `TestServer`'s default: that is how `closed` is set.
        self._server = await self._start(app, port=self._port, shutdown_timeout=0.01, access_log=None)
        self._port = self._server.port
        return self

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        self._count(http)
        chat = Chat(http, await http.read())
        self.chats.append(chat)
        self._arrival.set()
        self.active += 1
        self.peak = max(self.peak, self.active)
        try:
            async with self.schedule(chat) as script:
                return await _play(script, http, chat)
        finally:
            self.active -= 1
            chat.closed.set()

    @asynccontextmanager
    async def _at_once(self, chat: Chat) -> AsyncIterator[Script]:
        yield self.script_for(chat.path, chat.request)

    def script_for(self, path: str, request: Request) -> Script:
        """Return what the test wants a request to that path to be answered with."""
        usual = self.script if path == "/api/chat" else _FACES.get(path, _NO_SUCH_PATH)
        script = self.instead.get(path, usual)
        return script(request) if callable(script) else script

    async def _tags(self, http: web.Request) -> web.StreamResponse:
        return await self._answer(http, {"models": self.models})

    async def _ps(self, http: web.Request) -> web.StreamResponse:
        return await self._answer(http, {"models": self.running})

    async def _version(self, http: web.Request) -> web.StreamResponse:
        return await self._answer(http, {"version": self.version})

    async def _embed(self, http: web.Request) -> web.StreamResponse:
        if http.headers.get("User-Agent") != "chatproxy" or b'"truncate"' not in await http.read():
            return await self._chat(http)  # passed on for a client
        self._count(http)
        asked = Chat(http, await http.read())
        self.embeds.append(asked.request)
        script = self.instead.get(http.path, embedded)
        return await _play(script(asked.request) if callable(script) else script, http, asked)

    async def _show(self, http: web.Request) -> web.StreamResponse:
        name = (await http.json())["model"]
        if name in self.hanging:
            self._count(http)
            await asyncio.Event().wait()
        if name in self.shows:
            return await self._answer(http, self.shows[name])
        return await self._answer(http, {"error": f"model '{name}' not found"}, status=404)

    async def _answer(self, http: web.Request, body: object, status: int = 200) -> web.StreamResponse:
        self._count(http)
        self.side_connections.add(_transport(http).get_extra_info("peername"))
        if http.path in self.instead:
            asked = Chat(http, await http.read())
            return await _play(self.script_for(http.path, asked.request), http, asked)
        return web.json_response(body, status=status)

    def _count(self, http: web.Request) -> None:
        self.calls[http.path] += 1
        self.headers = dict(http.headers)


async def _play(script: Script, http: web.Request, chat: Chat) -> web.StreamResponse:
    """Play a script; a client that leaves cancels it."""
    if script.head is not None:
        await script.head.passed()
    response = web.StreamResponse(
        status=script.status, headers={"Content-Type": script.content_type, **script.headers}
    )
    if not script.raw:
        await response.prepare(http)
    delays = iter(script.delays)
    for piece in script.pieces:
        if script.gate is not None:
            await script.gate.passed()
        if delay := next(delays, 0):
            await asyncio.sleep(delay)
        await _send(piece, http, None if script.raw else response)
        chat.sent += 1
    chat.served = True
    if script.end != "clean" or script.raw:
        await _break_off(script.end, http)
    return response


async def _send(piece: bytes, http: web.Request, response: web.StreamResponse | None) -> None:
    if response is not None:
        await response.write(piece)
    else:
        _transport(http).write(piece)


def _transport(http: web.Request) -> asyncio.Transport:
    assert http.transport is not None, "else this handler is cancelled"
    return http.transport


async def _break_off(end: str, http: web.Request) -> None:
    transport = _transport(http)
    if end == "reset":
        no_linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # what makes closing a reset
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        transport.abort()
    elif end != "hang":
        transport.close()
    await asyncio.Event().wait()  # the closed connection cancels this handler, or the client does


class Mute:
    """A port that accepts connections and never answers. A TLS handshake with it never ends."""

    def __init__(self) -> None:
        self.address = ""  # host:port
        self.connected = asyncio.Event()
        self.gone = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator[Self]:
        """Accept one connection, which the client has to close."""
        mute = cls()
        async with await asyncio.start_server(mute._read, "127.0.0.1", 0) as server:
            mute.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield mute
            await asyncio.wait_for(mute.gone.wait(), 10)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.set()
        with suppress(ConnectionError):
            await reader.read()
            writer.close()
            await writer.wait_closed()
        self.gone.set()
