"""chatproxy as its clients see it: a real server on a loopback port, and a strict reader of its streams.

    async def test_it(client: Client) -> None:          # fixtures of conftest.py
        session = await client.new_session()
        async with client.sending(session, "Hello") as stream:
            await stream.until("chunk")

    async def test_another(serve: Serve, start: Start) -> None:
        client = await serve(max_subscribers=2)         # chatproxy with other settings
        server = await start(host, "/chat")             # any application; the client calls it under a prefix

Both run until the end of the test. Outside of a fixture, and where a server has to stop sooner:

    async with Server(create_app(config)) as server:
        await server.client.new_session()
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from chatproxy import Config, create_app

TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
# The command's options. `TestServer` by itself would cancel the handlers of clients that leave.
COMMAND: Final = {"handler_cancellation": False, "auto_decompress": False, "shutdown_timeout": 2}

Event = dict[str, Any]


class Stream:
    """One response, read frame by frame. Anything that docs/api.md does not allow is an error."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.events: list[Event] = []  # so far
        self.ids: list[str | None] = []  # the `id:` of each frame
        self._unread = b""

    async def next(self) -> Event | None:
        """Return the next event, or None at the end of the stream."""
        async with asyncio.timeout(60):
            frame = await self._frame()
        if frame is None:
            return None
        data, *rest = frame
        assert data.startswith("data: {")
        assert [line[:4] for line in rest] in ([], ["id: "])
        event: Event = json.loads(data.removeprefix("data: "))
        assert next(iter(event)) == "type"
        self.events.append(event)
        self.ids.append(rest[0].removeprefix("id: ") if rest else None)
        return event

    async def _frame(self) -> list[str] | None:
        while b"\n\n" not in self._unread:
            piece = await self.response.content.readany()
            if not piece:
                assert not self._unread, "the stream ended inside a frame"
                return None
            self._unread += piece
        frame, _, self._unread = self._unread.partition(b"\n\n")
        assert b"\r" not in frame
        return frame.decode().split("\n")

    async def until(self, kind: str) -> Event:
        """Read on to the next event of that type."""
        while (event := await self.next()) is not None:
            if event["type"] == kind:
                return event
        raise AssertionError(f"the stream ended without {kind}: {self.events}")

    async def has(self, text: str) -> None:
        """Read on until the text of the answer so far is that."""
        while self.text() != text:
            assert await self.next() is not None, f"the stream ended with {self.text()!r}"

    async def rest(self) -> list[Event]:
        """Read to the end; return all events."""
        while await self.next():
            pass
        return self.events

    def text(self, kind: str = "chunk") -> str:
        """Return the text as a reader has it, who discards it where the server says so."""
        pieces: list[str] = []
        for event in self.events:
            if event["type"] == kind:
                pieces.append(event["content"])
            elif event.get("reset"):
                pieces.clear()
        return "".join(pieces)

    @property
    def answer_id(self) -> int:
        """The id of the answer, from `start`."""
        return int(self.events[0]["assistantMessageId"])

    @property
    def last(self) -> Event:
        return self.events[-1]

    @property
    def cursor(self) -> str:
        """The cursor of the last event that has one."""
        return str(next(event["cursor"] for event in reversed(self.events) if "cursor" in event))

    def kinds(self) -> list[str]:
        """Return the types of the events in order, each run of one type once, without statuses."""
        kinds = [event["type"] for event in self.events if event["type"] != "status"]
        return [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before]


class Client:
    """The calls of docs/api.md; `base` is the URL that the application is mounted at."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self.http = http
        self.base = base

    def url(self, path: str) -> str:
        return self.base + path

    async def call(self, method: str, path: str, *, status: int = 200, **more: Any) -> Any:
        """Return the JSON of the response, which must have that status."""
        async with self.http.request(method, self.url(path), **more) as response:
            text = await response.text()
            assert response.status == status, f"{response.status}: {text}"
            return json.loads(text) if text else None

    async def new_session(self, headers: Mapping[str, str] | None = None, **fields: Any) -> str:
        session = await self.call("POST", "/api/chat/sessions", status=201, json=fields, headers=headers)
        return str(session["id"])

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, status: int = 200, **more: Any
    ) -> AsyncIterator[Stream]:
        async with self.http.request(method, self.url(path), **more) as response:
            assert response.status == status, await response.text()
            assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            yield Stream(response)

    @asynccontextmanager
    async def sending(self, session: str, message: str = "Hello", **body: Any) -> AsyncIterator[Stream]:
        path = f"/api/chat/sessions/{session}/messages/stream"
        async with self.stream("POST", path, json={"message": message, **body}) as stream:
            yield stream

    @asynccontextmanager
    async def resuming(
        self, session: str, message: int, after: str | None = None, **query: Any
    ) -> AsyncIterator[Stream]:
        path = f"/api/chat/sessions/{session}/messages/{message}/stream"
        params = query if after is None else {"after": after, **query}
        async with self.stream("GET", path, params=params) as stream:
            yield stream

    async def ask(self, session: str, message: str = "Hello", **body: Any) -> Stream:
        """Send a message and read the stream to its end."""
        async with self.sending(session, message, **body) as stream:
            await stream.rest()
        return stream

    async def send(self, session: str, message: str = "Hello", *, status: int = 200, **body: Any) -> Any:
        """Send a message by the JSON call."""
        path = f"/api/chat/sessions/{session}/messages"
        return await self.call("POST", path, status=status, json={"message": message, **body})

    async def refused(self, session: str, status: int, **more: Any) -> Any:
        """Return the error of a send that is refused."""
        path = f"/api/chat/sessions/{session}/messages/stream"
        return await self.call("POST", path, status=status, **more)

    async def cancel(self, session: str, message: int) -> Any:
        return await self.call("POST", f"/api/chat/sessions/{session}/messages/{message}/cancel")

    async def session(self, session: str) -> Any:
        return await self.call("GET", f"/api/chat/sessions/{session}")

    async def messages(self, session: str, **query: Any) -> list[Any]:
        page = await self.call("GET", f"/api/chat/sessions/{session}/messages", params=query)
        return list(page["messages"])


class Server(TestServer):
    """An application on a free loopback port, with a client of its own.

    Its runner has the options of the command's (`COMMAND`), unless a test sets them otherwise.
    """

    client: Client

    def __init__(self, app: web.Application, prefix: str = "", **runner: Any) -> None:
        super().__init__(app)
        self._prefix = prefix
        self._runner_options = COMMAND | runner

    async def _make_runner(self, **defaults: Any) -> web.BaseRunner:
        return web.AppRunner(self.app, access_log=None, **defaults | self._runner_options)

    def connect(self, session: aiohttp.ClientSession) -> None:
        """Make the client; the server has started."""
        self.client = Client(session, str(self.make_url("/").with_path(self._prefix)).rstrip("/"))

    async def stop(self) -> None:
        """Do what a SIGTERM does."""
        await self.close()

    async def __aenter__(self) -> Self:
        await self.start_server()
        self._http = TestClient(self, timeout=TIMEOUT)
        self.connect(self._http.session)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Client]:
    """chatproxy while the block runs, for tests that start it twice on one database."""
    async with Server(create_app(config)) as server:
        yield server.client


class Start(Protocol):
    """The fixture `start`: an application, the prefix that chatproxy has in it, options of its runner."""

    async def __call__(self, app: web.Application, prefix: str = "", **runner: Any) -> Server: ...


class Serve(Protocol):
    """The fixture `serve`: chatproxy with the settings of `config` but for these, perhaps under a prefix."""

    async def __call__(self, prefix: str = "", **settings: Any) -> Client: ...


def mounted(app: web.Application, prefix: str) -> web.Application:
    """Return an application that has nothing but another one under a prefix."""
    host = web.Application()
    host.add_subapp(prefix, app)
    return host
