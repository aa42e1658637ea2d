"""Too many connections, half-open and slow ones are refused or closed, and delay no one else."""

import asyncio
import json
import select
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from chat_client import Client, Stream
from fake_ollama import FakeOllama, Gate, Script, answer, token
from processes import SCRIPT, Process
from sockets import Reply, exchange, opened, request, unread
from waiting import until

from chatproxy import Config, create_app
from chatproxy.command import server
from chatproxy.command.server import listening
from chatproxy.web.keys import LOOKS
from chatproxy.web.middleware import SECURITY_HEADERS

HEADERS: Final = SECURITY_HEADERS.items()
SESSIONS: Final = "/api/chat/sessions"


@asynccontextmanager
async def commanded(config: Config) -> AsyncIterator[Client]:
    """Serve as the command does, with its limits on connections, in this process."""
    async with listening(create_app(replace(config, port=0))) as url, aiohttp.ClientSession() as http:
        yield Client(http, url)


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    async with commanded(config) as client:
        yield client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 0.3)
    monkeypatch.setattr(server, "LOOK_INTERVAL", 0.05)


def is_gone(connection: socket.socket) -> bool:
    """Whether the server has closed the connection."""
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLRDHUP)
    return any(event & (select.POLLHUP | select.POLLERR | select.POLLRDHUP) for _, event in poll.poll(0))


def post(path: str, size: int) -> bytes:
    """Return the head of a request with a body."""
    return request("POST", path, {"Content-Type": "application/json", "Content-Length": str(size)})


# -- slow requests


def test_a_slow_request_has_less_than_fifteen_seconds() -> None:
    assert server.REQUEST_TIMEOUT + 2 * server.LOOK_INTERVAL < 15


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"G",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        post(SESSIONS, 100),
        post(SESSIONS, 100) + b'{"title": "Not yet',
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea",
    ],
    ids=["nothing", "a byte", "half a head", "no body", "half a body", "a second one"],
)
@pytest.mark.usefixtures("impatient")
async def test_an_incomplete_request_is_closed(client: Client, first: bytes) -> None:
    with unread(client, first) as connection:
        if b"/hea" in first:
            await asyncio.sleep(0.1)
            connection.send(b"l")
        await until(lambda: is_gone(connection))


HEAD: Final = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nX"], ids=["a value", "a line", "a name"])
@pytest.mark.parametrize("first", [b"", HEAD + b"\r\n"], ids=["first", "later"])
async def test_a_head_without_an_end_is_refused(client: Client, first: bytes, end: bytes) -> None:
    async with opened(client) as (reader, writer), asyncio.timeout(20):
        writer.write(first + HEAD)
        await writer.drain()
        await asyncio.sleep(0.1)
        for number in range(5):
            writer.write(b"X-%d: %b%b" % (number, b"a" * 4000, end if number == 4 else b"\r\n"))
            await writer.drain()
            await asyncio.sleep(0.001)
        received = await reader.read()
    assert received.count(b"HTTP/1.1 200") == bool(first)
    assert received.count(b'"code":"malformed"') == 1


@pytest.mark.parametrize("piece", [10_000, 150_000])
async def test_a_long_body_after_a_short_head_is_read(client: Client, piece: int) -> None:
    body = json.dumps({"title": "One", "system": "a" * 200_000}).encode()
    async with opened(client) as (reader, writer), asyncio.timeout(20):
        for _ in range(3):
            writer.write(post(SESSIONS, len(body)))
            for start in range(0, len(body), piece):
                await asyncio.sleep(0.01)  # so that it arrives by itself
                writer.write(body[start : start + piece])
                await writer.drain()
        writer.write(request("GET", "/healthz", {"Connection": "close"}))
        received = await reader.read()
    assert (received.count(b"HTTP/1.1 201"), received.count(b"HTTP/1.1 200")) == (3, 1)


@pytest.mark.usefixtures("impatient")
async def test_a_look_at_the_connections_that_fails_is_not_the_last(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_late, looks = server.Connection.is_late, []

    def fail_once(self: server.Connection) -> bool:
        looks.append(self)
        if len(looks) == 1:
            raise ValueError("the first look")
        return is_late(self)

    monkeypatch.setattr(server.Connection, "is_late", fail_once)
    with unread(client, b"GET /") as connection:
        await until(lambda: is_gone(connection))
    assert len(looks) > 1


@pytest.mark.usefixtures("impatient")
async def test_a_request_that_trickles_in_is_closed(client: Client) -> None:
    async def dribble(connection: socket.socket) -> None:
        with suppress(ConnectionError):
            while True:
                connection.send(b"x")
                await asyncio.sleep(0.02)

    for head in (b"GET /", post(SESSIONS, 10**6)):
        with unread(client, head) as connection:
            dribbling = asyncio.create_task(dribble(connection))
            await until(partial(is_gone, connection))
            dribbling.cancel()


@pytest.mark.usefixtures("impatient")
async def test_a_large_body_gets_more_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SLOWEST_UPLOAD", 1000)
    body = json.dumps({"title": "Slow, but coming"}).encode().rjust(4000)
    with unread(client, post(SESSIONS, len(body))) as connection:
        for start in range(0, len(body), 400):
            connection.send(body[start : start + 400])
            await asyncio.sleep(0.1)
        await until(lambda: is_readable(connection))
        assert connection.recv(100).startswith(b"HTTP/1.1 201 ")


@pytest.mark.usefixtures("impatient")
async def test_an_endless_body_gets_the_time_of_the_largest_one(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SLOWEST_UPLOAD", 1000)
    monkeypatch.setattr(server, "MAX_BODY", 1000)
    monkeypatch.setattr(server, "MAX_IMPORT", 1000)
    form = "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
    part = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n" + b"a" * 400 + b"\r\n"
    async with commanded(replace(config, max_document_bytes=1000)) as client:
        head = f"POST /api/documents HTTP/1.1\r\nHost: localhost\r\n{form}"
        with unread(client, head.encode()) as connection, suppress(ConnectionError):
            async with asyncio.timeout(8):  # aiohttp lets go of a refused body after 10 s
                while not is_gone(connection):
                    connection.send(b"%x\r\n%s\r\n" % (len(part), part))
                    await asyncio.sleep(0.05)


def read(connection: socket.socket) -> int:
    """Read to the end; return how many bytes came."""
    connection.settimeout(10)
    with suppress(ConnectionError):
        return sum(len(piece) for piece in iter(lambda: connection.recv(1_000_000), b""))
    return 0


def is_readable(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


@pytest.mark.usefixtures("impatient")
async def test_a_connection_with_an_answer_in_progress_stays_open(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    session, other = await client.new_session(), await client.new_session()
    async with client.sending(session) as stream:
        waiting = asyncio.create_task(client.send(other))
        await stream.until("start")
        await fake.arrived(2)
        with unread(client) as watched:  # which has to be closed meanwhile
            await until(lambda: is_gone(watched))
        await asyncio.sleep(0.5)
        gate.open()
        await stream.rest()
    assert stream.last["fullResponse"] == "Hello world"
    assert (await waiting)["fullResponse"] == "Hello world"


@pytest.mark.usefixtures("impatient")
async def test_an_idle_connection_stays_open(client: Client) -> None:
    with unread(client, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        await until(lambda: is_readable(connection))
        connection.recv(10_000)
        await asyncio.sleep(0.8)
        assert not is_gone(connection)
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: is_readable(connection))
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.usefixtures("impatient")
async def test_five_hundred_half_open_connections_delay_no_one(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    async with client.sending(await client.new_session()) as stream:
        await stream.until("start")
        with ExitStack() as stack:
            half_open = [stack.enter_context(unread(client, b"POST / HT")) for _ in range(500)]
            async with asyncio.timeout(5):  # a second, with a wide margin
                await client.call("GET", "/healthz")
            await until(lambda: all(map(is_gone, half_open)))
        gate.open()
        await stream.rest()
    assert stream.last["fullResponse"] == "Hello world"


async def test_with_nothing_to_do_nothing_is_looked_at(config: Config, fake: FakeOllama) -> None:
    """A connection that is kept for a next request is nothing to do."""
    app = create_app(replace(config, port=0))
    async with listening(app) as url, aiohttp.ClientSession() as http:
        client = Client(http, url)
        fake.script = Script([token("One")], end="hang")
        session = await client.new_session()
        async with client.sending(session) as stream:
            await stream.has("One")
            assert app[LOOKS].is_wanted
            await client.cancel(session, stream.answer_id)
            await stream.rest()
        await client.call("GET", "/healthz")
        await until(lambda: not app[LOOKS].is_wanted)


# -- slow readers


async def test_a_reader_that_does_not_read_a_response_is_dropped(
    config: Config, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "chatproxy")
    monkeypatch.setattr(server, "LOOK_INTERVAL", 0.05)
    fake.script = Script([token("x" * 1_000_000)] * 8 + answer(""))  # more than any socket buffer holds
    async with commanded(replace(config, reader_timeout=0.5, max_answer_bytes=10_000_000)) as client:
        session = await client.new_session()
        await client.send(session)
        head = "HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for path in ("messages", "export"):
            caplog.clear()
            with unread(client, f"GET {SESSIONS}/{session}/{path} {head}".encode()) as connection:
                await until(lambda: "slow connections were closed" in caplog.messages)
                assert await asyncio.to_thread(read, connection) < 8_000_000
        assert len((await client.messages(session))[-1]["content"]) == 8_000_000


async def test_requests_are_read_only_as_fast_as_responses_are(client: Client) -> None:
    def pushed(connection: socket.socket) -> int:
        connection.settimeout(1)
        sent = 0
        with suppress(TimeoutError):
            while sent < 20_000_000:
                sent += connection.send(
                    b"GET /static/page/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
                )
        return sent

    with unread(client) as connection:
        assert await asyncio.to_thread(pushed, connection) < 20_000_000
        await client.call("GET", "/healthz")


# -- too many


async def until_served(client: Client) -> None:
    """Wait until new connections are accepted again."""

    async def is_served() -> bool:
        return (await asked(client)).status == 200

    await until(is_served)


async def asked(client: Client) -> Reply:
    """Return the response that a new connection gets."""
    return await exchange(client, request("GET", "/healthz", {"Connection": "close"}))


HEALTH: Final = request("GET", "/healthz")


@asynccontextmanager
async def answering(client: Client, fake: FakeOllama, number: int) -> AsyncIterator[list[Stream]]:
    """Keep that many connections in use, each with an answer that has begun and ends after the block."""
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    async with AsyncExitStack() as stack:
        sessions = [await client.new_session() for _ in range(number)]
        streams = [await stack.enter_async_context(client.sending(session)) for session in sessions]
        for stream in streams:
            await stream.until("start")
        yield streams
        gate.open()
        for stream in streams:
            await stream.rest()
            assert stream.last["type"] == "done"


async def test_a_connection_too_many_gets_a_503_if_all_are_in_use(config: Config, fake: FakeOllama) -> None:
    async with commanded(replace(config, max_connections=3)) as client:
        async with answering(client, fake, 3):
            for _ in range(2):
                reply = await asked(client)
                assert (reply.status, reply.code) == (503, "overloaded")
                assert set(json.loads(reply.body)) == {"error", "code"}
                lines = reply.head.split("\r\n")
                assert {"Retry-After: 5", *map(": ".join, HEADERS)} <= set(lines)
        await until_served(client)


@pytest.mark.parametrize(
    ("hoarded", "has_response"),
    [
        (b"", False),
        (b"GET / HT", False),
        (HEALTH, True),
        (post(SESSIONS, 100), True),
        (post("/api/login", 100), True),
    ],
    ids=["silent", "half a head", "kept", "half a body", "half a login"],
)
async def test_those_who_only_hold_connections_keep_no_one_out(
    config: Config, fake: FakeOllama, hoarded: bytes, has_response: bool
) -> None:
    """A request without the token is refused before its body has come. Answers are not disturbed."""
    async with commanded(replace(config, max_connections=20, api_token="secret")) as client:
        client.http.headers["Authorization"] = "Bearer secret"
        async with answering(client, fake, 2):
            with ExitStack() as stack:
                for _ in range(60):
                    connection = stack.enter_context(unread(client, hoarded))
                    if has_response:
                        await until(partial(is_readable, connection))
                    assert (await asked(client)).status == 200


async def test_the_connection_that_has_waited_longest_makes_room(config: Config) -> None:
    async with commanded(replace(config, max_connections=3)) as client:
        with ExitStack() as stack:
            first, second, third = (stack.enter_context(unread(client, HEALTH)) for _ in range(3))
            for connection in (first, second, third):
                await until(partial(is_readable, connection))
                connection.recv(10_000)
            first.send(HEALTH)  # and so the second one waits longest
            await until(lambda: is_readable(first))
            assert (await asked(client)).status == 200
            assert [is_gone(each) for each in (first, second, third)] == [False, True, False]


def takes_nothing(connection: socket.socket) -> bool:
    """Whether the server has closed the connection, and not only its own side."""
    try:
        connection.send(b"x")
    except ConnectionError:
        return True
    return False


@pytest.mark.usefixtures("impatient")
async def test_refused_connections_are_closed_soon(config: Config, fake: FakeOllama) -> None:
    async with commanded(replace(config, max_connections=1)) as client, answering(client, fake, 1):
        with ExitStack() as stack:
            refused = [stack.enter_context(unread(client)) for _ in range(3 * server.MAX_REFUSED)]
            await until(lambda: all(map(takes_nothing, refused)))


@pytest.mark.slow
async def test_four_hundred_connections_with_few_open_files(fake: FakeOllama, tmp_path: Path) -> None:
    """Fewer are accepted than files may be open, so that some are left for the database and for Ollama."""
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    command = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *SCRIPT]
    settings = {"ollama_host": fake.url, "default_model": "gemma3:270m"}
    async with Process.running(tmp_path, command=command, **settings) as process:
        client = process.client
        session, other = await client.new_session(), await client.new_session()
        async with client.sending(session) as stream:
            await stream.until("start")
            await client.session(session)  # over a second connection, which is kept
            with ExitStack() as stack:
                crowd = [stack.enter_context(unread(client)) for _ in range(400)]
                await until(lambda: sum(map(is_gone, crowd)) > 200)
                gate.let(1)
                await stream.has("Hello")
                sending = asyncio.create_task(client.send(other))
                await fake.arrived(2)
            gate.open()
            await stream.rest()
            assert stream.last["type"] == "done"
            assert (await sending)["fullResponse"] == "Hello world"
        await until_served(client)
    assert "Traceback" not in process.said
    assert "openFiles=256" in process.said


async def test_a_compressed_body_is_refused_unread(client: Client) -> None:
    """Reading it would fail: it is not compressed as it claims, or nothing here can decompress it."""
    for coding in ("gzip", "deflate", "br", "zstd"):
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        told = await client.call("POST", SESSIONS, status=415, headers=headers, data=b"{}")
        assert told["code"] == "unsupported_media_type"
