"""One HTTP exchange with servers that send exactly these bytes."""

import asyncio
import gc
import shutil
import socket
import ssl
import struct
import subprocess
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from matrix import matrix
from recordings import by_byte
from waiting import until
from yarl import URL

from chatproxy.errors import ChatError
from chatproxy.ollama.authorities import trust
from chatproxy.ollama.exchange import MAX_HEAD, PIECE, SLICE, Endpoint, Exchange, Head, Heard
from chatproxy.ollama.turns import Turns

OK = b"HTTP/1.1 200 OK\r\n"
FRAMINGS = {
    "length": OK + b"Content-Length: 5\r\n\r\nhello",
    "no content": OK + b"Content-Length: 0\r\n\r\n",
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
    "keep-alive": OK + b"Connection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    "refusal": b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "informational": b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
}
UNTIL_CLOSE = {
    "until close": OK + b"\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
}
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Reader:
    """Notes what it receives; `react` is called after everything but the end."""

    def __init__(self, react: Callable[[], None] = lambda: None) -> None:
        self.heads: list[Head] = []
        self.pieces: list[bytes] = []
        self.ends: list[ChatError | None] = []
        self.over = asyncio.Event()
        self._react = react

    def head_received(self, head: Head) -> None:
        assert not self.heads
        self.heads.append(head)
        self._react()

    def body_received(self, data: bytes) -> None:
        assert self.heads
        assert data
        assert not self.ends
        self.pieces.append(data)
        self._react()

    def ended(self, error: ChatError | None) -> None:
        assert not self.ends
        self.ends.append(error)
        self.over.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def outcome(self) -> tuple[int | None, bytes, str | None]:
        """Return status, body and the code of the only end."""
        (error,) = self.ends
        return (self.heads[0].status if self.heads else None), self.body, error.code if error else None


class Server:
    """One that reads a request's head, and then does what the test says; `gone` when that is over."""

    def __init__(self, serve: Serve) -> None:
        self.requests: list[bytes] = []
        self.gone = asyncio.Event()
        self.url = ""
        self._serve = serve

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await self._serve(reader, writer)
        writer.close()
        self.gone.set()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Server]:
    server = Server(serve)
    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


def sending(*pieces: bytes) -> Serve:
    """Send these bytes, and close the connection."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return serve


def holding(*pieces: bytes) -> Serve:
    """Send these bytes, and wait until the other side closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(pieces)
        while await reader.read(PIECE):
            pass

    return serve


async def ask(
    server: Server,
    receiver: Reader,
    *,
    path: str = "",
    method: str = "POST",
    target: str = "/api/chat",
    headers: Mapping[str, str] = {},
    body: bytes = b"{}",
    own: Mapping[str, str] = {},
) -> Exchange:
    endpoint = Endpoint(URL(server.url + path), headers=own, connect_timeout=5)
    exchange = await endpoint.exchange(method, target, headers, body, receiver)
    exchange.resume()
    return exchange


async def received(serve: Serve, **request: str) -> Reader:
    async with serving(serve) as server:
        exchange = await ask(server, reader := Reader(), **request)  # type: ignore[arg-type]
        await asyncio.wait_for(reader.over.wait(), 10)
        exchange.abort()
        return reader


def on_both_loops(test: Callable[[], Awaitable[None]]) -> None:
    for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(test())  # type: ignore[arg-type]


# -- the request


async def test_the_request() -> None:
    async with serving(sending(FRAMINGS["204"])) as server:
        await ask(
            server,
            reader := Reader(),
            path="/under/",
            method="GET",
            target="/v1/models/a%2Fb%C3%A9?beta=true&x=a+b%20c;d",
            headers={"accept": "*/*", "user-agent": "a-client/1", "Host": "elsewhere", "X-Odd": "caf\udce9"},
            own={"Authorization": "Bearer secret"},
        )
        await reader.over.wait()
    line, *fields = server.requests[0].removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert line == b"GET /under/v1/models/a%2Fb%C3%A9?beta=true&x=a+b%20c;d HTTP/1.1"
    assert sorted(fields) == [
        b"Accept-Encoding: identity",
        b"Authorization: Bearer secret",
        b"Connection: close",
        b"Content-Length: 2",
        b"Host: " + server.url.removeprefix("http://").encode(),
        b"X-Odd: caf\xe9",
        b"accept: */*",
        b"user-agent: a-client/1",
    ]


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "GET / HTTP/1.1\r\nX: "},
        {"method": ""},
        {"target": "/a b"},
        {"target": "/a\r\nX: y"},
        {"target": "http://elsewhere/"},
        {"target": ""},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X": "a\nb"}},
        {"headers": {"X": "a\rb"}},
        {"headers": {"X": "a\0b"}},
        {"headers": {"X: y\r\nZ": "a"}},
        {"headers": {"": "a"}},
    ],
    ids=repr,
)
async def test_nothing_is_smuggled_into_the_head(request_: dict[str, str]) -> None:
    async with serving(sending()) as server:
        with pytest.raises(ChatError) as caught:
            await ask(server, Reader(), **request_)  # type: ignore[arg-type]
    assert caught.value.code == "malformed"
    assert server.requests == []


def test_a_long_body_is_neither_copied_nor_kept() -> None:
    size = 32 * 1024**2

    async def run() -> None:
        taken = 0

        async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            nonlocal taken
            while data := await reader.read(PIECE):
                taken += len(data)

        async with serving(serve) as server:
            tracemalloc.start()
            try:
                exchange = await ask(server, Reader(), body=bytes(size))
                await until(lambda: taken == size)
                kept, most = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert most < size + 2 * 1024**2
            assert kept < 2 * 1024**2
            exchange.abort()
            await server.gone.wait()

    on_both_loops(run)


def test_an_answer_before_the_body_was_read_is_heard() -> None:
    async def run() -> None:
        refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
        async with serving(sending(refusal)) as server:  # closing resets the connection: the rest is unread
            for _ in range(20):
                await ask(server, reader := Reader(), body=bytes(8 * 1024**2))
                await asyncio.wait_for(reader.over.wait(), 10)
                assert reader.outcome == (413, b"no", None)

    on_both_loops(run)


# -- the response


@pytest.mark.parametrize("name", [*FRAMINGS, *UNTIL_CLOSE])
async def test_every_framing(name: str) -> None:
    response = (FRAMINGS | UNTIL_CLOSE)[name]
    status = int(name) if name.isdigit() else 404 if name == "refusal" else 200
    body = b"" if name in {"204", "304", "no content"} else b"hello"
    for pieces in ([response], by_byte(response)):
        assert (await received(sending(*pieces))).outcome == (status, body, None)
    if name in FRAMINGS:
        assert (await received(holding(response))).outcome == (status, body, None)


async def test_the_head() -> None:
    response = OK + b"Content-Type: text/plain\r\nX-A: 1\r\nx-a: caf\xe9\r\n\r\n"
    (head,) = (await received(sending(response))).heads
    assert head == Head(200, [("content-type", "text/plain"), ("x-a", "1"), ("x-a", "caf\xe9")])


async def test_informational_heads_are_not_part_of_the_final_one() -> None:
    (head,) = (await received(sending(FRAMINGS["informational"]))).heads
    assert head == Head(200, [("content-length", "5")])


async def test_a_response_to_head_has_no_body() -> None:
    reader = await received(holding(OK + b"Content-Length: 5\r\n\r\n"), method="HEAD")
    assert reader.outcome == (200, b"", None)
    assert reader.heads[0].headers == [("content-length", "5")]


def test_cut_at_every_byte() -> None:
    async def run() -> None:
        with matrix() as cases:
            for name, response in (FRAMINGS | UNTIL_CLOSE).items():
                whole = 1 + response.rindex(b"\r\n\r\n") + 3 if name in UNTIL_CLOSE else len(response)
                for end in range(len(response)):
                    reader = await received(sending(response[:end]))
                    expected = None if end >= whole else "upstream_incomplete"
                    cases.check(reader.outcome[2] == expected, reader.outcome, name, end)
                    cases.check(b"hello".startswith(reader.body), reader.body, name, end)

    on_both_loops(run)


async def test_a_reset_ends_no_body() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(UNTIL_CLOSE["until close"])
        await until(lambda: reader.body == b"hello")
        no_linger = struct.pack("ii", 1, 0)  # what makes closing a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)

    async with serving(serve) as server:
        await ask(server, reader := Reader())
        await asyncio.wait_for(reader.over.wait(), 10)
    assert reader.outcome == (200, b"hello", "upstream_incomplete")
    assert reader.ends[0] is not None
    assert isinstance(reader.ends[0].__cause__, ConnectionResetError)


@pytest.mark.parametrize("length", [0, 10, 30, len(FRAMINGS["chunked"]) - 30])
def test_a_reset_at_any_time_is_an_answer_that_stopped(length: int) -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(FRAMINGS["chunked"][:length])
            await reader.readexactly(2)
            no_linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)

        reader = await received(serve)
        assert reader.outcome[2] == "upstream_incomplete"

    on_both_loops(run)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Return the context of a server for localhost that exchanges trust."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, chain = tmp_path / "key", tmp_path / "chain"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-x509", "-newkey", "rsa:2048", "-nodes"]
    files = ["-keyout", str(key), "-out", str(chain)]
    subprocess.run(["openssl", "req", *kind, *files, *names], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    return context


def test_over_tls_it_is_the_same(certificate: ssl.SSLContext) -> None:
    long = bytes(range(256)) * 8192
    cases = {
        **{name: (response, None) for name, response in FRAMINGS.items()},
        "long": (OK + b"Content-Length: %d\r\n\r\n" % len(long) + long, None),
        "cut": (OK + b"Content-Length: 6\r\n\r\nhello", "upstream_incomplete"),
    }

    async def over_tls(response: bytes) -> Reader:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readexactly(len(long)) == long
            await sending(response)(reader, writer)

        def pause() -> None:
            exchange.pause()
            exchange.resume()

        server = Server(serve)
        async with await asyncio.start_server(server, "localhost", 0, ssl=certificate) as listening:
            server.url = f"https://localhost:{listening.sockets[0].getsockname()[1]}"
            exchange = await ask(server, reader := Reader(pause), body=long)
            await asyncio.wait_for(reader.over.wait(), 10)
        return reader

    async def run() -> None:
        for name, (response, code) in cases.items():
            reader = await over_tls(response)
            assert reader.outcome[2] == code, name
            assert reader.body == (await received(sending(response))).body, name

    trust.cache_clear()
    try:
        on_both_loops(run)
    finally:
        trust.cache_clear()


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\nhello",
        OK + b"Content-Length: -5\r\n\r\nhello",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
        OK + b"Content-Type: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Type: a\x01b\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nbad" + FRAMINGS["length"],
        OK + b"X: " + b"x" * MAX_HEAD,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * MAX_HEAD,
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 2 * MAX_HEAD,
    ],
    ids=range(19),
)
async def test_what_is_not_http_or_never_ends(garbage: bytes) -> None:
    reader = await received(holding(garbage))
    assert reader.outcome[2] == "upstream_invalid"
    assert b"hello".startswith(reader.body)


async def test_a_status_that_http_does_not_have_is_no_answer() -> None:
    early = b"HTTP/1.1 099 Early\r\nContent-Length: 3\r\n\r\nbad"
    for pieces in ((early + FRAMINGS["length"],), by_byte(early + FRAMINGS["length"])):
        assert (await received(sending(*pieces))).outcome == (200, b"hello", None)
    assert (await received(holding(early * 2000))).outcome == (None, b"", "upstream_invalid")


async def test_what_follows_the_body_is_ignored() -> None:
    reader = await received(holding(FRAMINGS["length"] + b"GARBAGE\r\n" + FRAMINGS["length"]))
    assert reader.outcome == (200, b"hello", None)


async def test_one_delivery_for_all_chunks_of_a_read() -> None:
    chunks = b"1\r\na\r\n" * 100
    reader = await received(sending(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"))
    assert reader.pieces == [b"a" * 100]


async def test_long_reads_are_delivered_in_slices() -> None:
    body = bytes(range(256)) * 4096
    reader = await received(sending(OK + b"Content-Length: %d\r\n\r\n" % len(body), body))
    assert reader.outcome == (200, body, None)
    assert max(map(len, reader.pieces)) <= SLICE


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_a_body_is_the_same_however_it_is_chunked_and_cut(chunks: list[bytes], data: st.DataObject) -> None:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    response = OK + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"
    reader = Reader()

    async def run() -> None:
        nonlocal response
        exchange = Exchange(b"", b"", reader, Turns(), heard=Heard())
        exchange.resume()
        await asyncio.sleep(0)
        while response:
            size = data.draw(st.integers(1, len(response)))
            assert not reader.ends
            exchange.data_received(response[:size])
            response = response[size:]

    with asyncio.Runner() as runner:
        runner.run(run())
    assert reader.outcome == (200, b"".join(chunks), None)


# -- pause, resume, abort


def test_no_byte_is_delivered_while_paused() -> None:
    size = 16 * 1024**2

    async def run() -> None:
        writing: list[asyncio.StreamWriter] = []

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writing.append(writer)
            await sending(OK + b"Content-Length: %d\r\n\r\n" % size, bytes(size))(_, writer)

        async with serving(serve) as server:
            reader = Reader(lambda: exchange.pause() if len(reader.pieces) in {1, 5} else None)
            exchange = await ask(server, reader)
            for pieces in (1, 5):
                await until(lambda pieces=pieces: len(reader.pieces) == pieces)  # type: ignore[misc]
                await until(lambda: writing[0].transport.get_write_buffer_size() > 0)
                for _ in range(100):
                    await asyncio.sleep(0)
                assert len(reader.pieces) == pieces
                exchange.resume()
            await asyncio.wait_for(reader.over.wait(), 20)
            assert reader.outcome == (200, bytes(size), None)

    on_both_loops(run)


async def test_what_was_read_before_the_end_of_a_connection_is_delivered_first() -> None:
    body = bytes(4 * SLICE)
    reader = Reader(lambda: exchange.pause())
    exchange = Exchange(b"", b"", reader, Turns(), heard=Heard())
    exchange.data_received(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    exchange.connection_lost(None)
    while not reader.ends:
        exchange.resume()
        exchange.resume()
        await asyncio.sleep(0.01)
    assert reader.outcome == (200, body, None)


def test_abort_in_every_state() -> None:
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"

    async def run(response: bytes, heads: int, pieces: int) -> None:
        def abort_there() -> None:
            if (len(reader.heads), len(reader.pieces)) == (heads, pieces):
                exchange.abort()

        async with serving(holding(response)) as server:
            reader = Reader(abort_there)
            exchange = await ask(server, reader, body=bytes(8 * 1024**2))
            abort_there()
            await asyncio.wait_for(server.gone.wait(), 10)
            exchange.abort()
            exchange.pause()
            exchange.resume()
            await asyncio.sleep(0.01)
        assert (len(reader.heads), len(reader.pieces), reader.ends) == (heads, pieces, [])

    on_both_loops(lambda: run(b"", 0, 0))
    on_both_loops(lambda: run(chunked, 1, 0))
    on_both_loops(lambda: run(chunked + b"5\r\nhello\r\n", 1, 1))
    on_both_loops(lambda: run(chunked + b"4000\r\n" + bytes(0x4000) + b"\r\n0\r\n\r\n", 1, 1))


def test_nothing_is_delivered_before_the_exchange_is_returned() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(FRAMINGS["length"])
        writer.close()  # all of this while the request is being sent

    async def run() -> None:
        async with serving(serve) as server:
            for _ in range(50):
                reader = Reader()
                await ask(server, reader)
                assert (reader.heads, reader.ends) == ([], [])
                await asyncio.wait_for(reader.over.wait(), 10)
                assert reader.outcome == (200, b"hello", None)

    on_both_loops(run)


async def test_abort_while_paused() -> None:
    body = bytes(4 * SLICE)
    async with serving(holding(OK + b"Content-Length: %d\r\n\r\n" % len(body), body)) as server:
        reader = Reader(lambda: exchange.pause())
        exchange = await ask(server, reader)
        await until(lambda: reader.heads != [])
        exchange.abort()
        exchange.resume()
        await asyncio.wait_for(server.gone.wait(), 10)
    assert reader.ends == []


async def test_bytes_that_arrive_after_abort_are_dropped() -> None:
    exchange = Exchange(b"", b"", reader := Reader(), Turns(), heard=Heard())
    exchange.abort()  # before there is a connection
    exchange.data_received(FRAMINGS["length"])
    exchange.eof_received()
    exchange.connection_lost(None)
    assert (reader.heads, reader.ends) == ([], [])


async def test_the_connection_is_closed_at_the_end() -> None:
    async with serving(holding(FRAMINGS["length"])) as server:
        await ask(server, reader := Reader())
        await asyncio.wait_for(server.gone.wait(), 10)
    assert reader.outcome == (200, b"hello", None)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_body_that_could_not_be_sent_is_let_go(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    class Body(bytearray):
        """One that can be watched."""

    async def send() -> weakref.ref[Body]:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = URL(f"http://127.0.0.1:{unused.getsockname()[1]}")
            endpoint = Endpoint(url, headers={}, connect_timeout=5)
            body = Body(b"x" * 1000)
            watched = weakref.ref(body)
            sending = endpoint.exchange("POST", "/", {}, body, Reader())
            del body
            with pytest.raises(ChatError, match="cannot be reached"):
                await sending
            return watched

    gc.disable()  # it would free cycles, but rarely does
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            assert runner.run(send())() is None
    finally:
        gc.enable()
