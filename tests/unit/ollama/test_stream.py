import asyncio
import gc
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import uvloop
from fake_ollama import (
    FakeOllama,
    Gate,
    Mute,
    Script,
    answer,
    echo,
    error,
    html,
    last,
    refused,
    replay,
    token,
)
from recordings import BROKEN, CUTS, STREAMS, by_byte, recorded, texts
from waiting import until
from yarl import URL

from chatproxy import clock
from chatproxy.errors import ChatError
from chatproxy.ollama.exchange import Endpoint
from chatproxy.ollama.stream import ChatStream, Receive
from chatproxy.ollama.wire import MAX_LINE, Line

BODY = b'{"model":"gemma3:270m","messages":[{"role":"user","content":"Hi"}]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"


class Reader:
    """Collects what a stream delivers; each delivery sets `heard`."""

    def __init__(self) -> None:
        self.deliveries: list[Sequence[Line]] = []
        self.heard = asyncio.Event()

    def __call__(self, lines: Sequence[Line]) -> None:
        self.deliveries.append(lines)
        self.heard.set()

    @property
    def lines(self) -> list[Line]:
        return [line for lines in self.deliveries for line in lines]

    @property
    def content(self) -> str:
        return "".join(line.content for line in self.lines)

    async def has(self, content: str) -> None:
        async with asyncio.timeout(10):
            while self.content != content:
                self.heard.clear()
                await self.heard.wait()


def ask(fake: FakeOllama, receive: Receive, *, path: str = "", **settings: Any) -> ChatStream:
    return streamed(endpoint(fake.url + path, **settings), receive)


def streamed(endpoint: Endpoint, receive: Receive, body: bytes = BODY) -> ChatStream:
    stream = ChatStream(endpoint, body)
    stream.deliver(receive)
    return stream


def endpoint(url: str, *, headers: Mapping[str, str] | None = None, connect_timeout: float = 5) -> Endpoint:
    return Endpoint(URL(url), headers=headers or {}, connect_timeout=connect_timeout)


async def outcome(stream: ChatStream) -> tuple[str | None, str]:
    """Return code and sentence of the error that ended the stream, or None and the finish reason."""
    await asyncio.wait([stream.finished], timeout=20)
    error = stream.finished.exception()
    if isinstance(error, ChatError):
        return error.code, error.sentence
    return None, stream.finished.result().done_reason or ""


async def played(fake: FakeOllama, script: Script) -> tuple[str, str | None, str]:
    """Return the content that was delivered, and the outcome."""
    fake.script = script
    reader = Reader()
    code, sentence = await outcome(ask(fake, reader))
    return reader.content, code, sentence


def raw(*pieces: bytes, end: Any = "cut") -> Script:
    return Script(pieces, raw=True, end=end)


# -- answers


async def test_the_request(fake: FakeOllama) -> None:
    stream = ask(fake, Reader(), headers={"Authorization": "Bearer secret"})
    await stream.finished
    (chat,) = fake.chats
    assert chat.request == {"model": "gemma3:270m", "messages": [{"role": "user", "content": "Hi"}]}
    assert chat.headers == {
        "Host": fake.url.removeprefix("http://"),
        "User-Agent": "chatproxy",
        "Accept": "application/x-ndjson",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": str(len(BODY)),
        "Connection": "close",
        "Authorization": "Bearer secret",
    }


async def test_the_answer(fake: FakeOllama) -> None:
    fake.script = Script(answer("Two words.", thinking="Hm, well."))
    reader = Reader()
    stream = ask(fake, reader)
    last_line = await stream.finished
    assert "Authorization" not in fake.chats[0].headers
    assert "".join(line.thinking for line in reader.lines) == "Hm, well."
    assert reader.content == "Two words."
    assert last_line is reader.lines[-1]
    assert last_line.done
    assert stream.started


@pytest.mark.parametrize("cut", CUTS)
async def test_an_answer_is_the_same_however_it_is_cut(
    fake: FakeOllama, cut: Callable[[bytes], list[bytes]]
) -> None:
    pieces = cut(recorded("answer_many_scripts"))
    assert await played(fake, Script(pieces)) == (texts("answer_many_scripts")[1], None, "length")


async def test_many_at_once(fake: FakeOllama) -> None:
    fake.script = echo
    messages, readers = [f"This is number {n}." for n in range(30)], [Reader() for _ in range(30)]
    bodies = [json.dumps({"model": "m", "messages": [{"content": message}]}).encode() for message in messages]
    streams = [
        streamed(endpoint(fake.url), reader, body) for body, reader in zip(bodies, readers, strict=True)
    ]
    await asyncio.gather(*(stream.finished for stream in streams))
    assert [reader.content for reader in readers] == messages
    assert sorted(request["messages"][0]["content"] for request in fake.requests) == sorted(messages)
    await until(lambda: fake.active == 0)
    assert 1 <= fake.peak <= 30


@pytest.mark.parametrize("name", STREAMS)
async def test_recordings(fake: FakeOllama, name: str) -> None:
    fake.script = replay(name)
    reader = Reader()
    code, _ = await outcome(ask(fake, reader))
    thinking = "".join(line.thinking for line in reader.lines)
    assert (thinking, reader.content) == texts(name)
    assert code == BROKEN.get(name)


async def test_the_recorded_pace(fake: FakeOllama) -> None:
    assert await played(fake, replay("answer_code", pace=0.1)) == (texts("answer_code")[1], None, "stop")


async def test_one_delivery_for_each_read(fake: FakeOllama) -> None:
    gate = Gate()
    pieces = [token("a") + token("b"), token("c")[:9], token("c")[9:], last("d")]
    fake.script = Script(pieces, gate=gate)
    reader = Reader()
    stream = ask(fake, reader)
    chat = await fake.arrived()
    assert (stream.started, reader.deliveries) == (False, [])
    gate.let()
    await reader.has("ab")
    assert [len(lines) for lines in reader.deliveries] == [2]
    assert stream.started
    gate.let(2)
    await reader.has("abc")
    gate.let()
    await chat.closed.wait()
    await stream.finished
    assert reader.content == "abcd"
    assert [len(lines) for lines in reader.deliveries] == [2, 1, 1]


async def test_what_came_before_it_is_wanted_is_delivered_then(fake: FakeOllama) -> None:
    fake.script = Script(answer("One two three"))
    stream = ChatStream(endpoint(fake.url), BODY)
    chat = await fake.arrived()
    await asyncio.wait_for(chat.closed.wait(), 10)
    assert (chat.served, stream.started, stream.finished.done()) == (True, False, False)
    stream.deliver(reader := Reader())
    assert await outcome(stream) == (None, "stop")
    assert reader.content == "One two three"


async def test_a_long_answer_waits_in_ollama_until_it_is_wanted(fake: FakeOllama) -> None:
    words = [token("x" * 60_000)] * 400  # more than sockets hold
    fake.script = Script([*words, last()])
    stream = ChatStream(endpoint(fake.url), BODY)
    chat = await fake.arrived()
    await asyncio.sleep(0.1)
    assert not chat.served
    stream.deliver(reader := Reader())
    assert await outcome(stream) == (None, "stop")
    assert len(reader.content) == 400 * 60_000


async def test_a_refusal_that_came_before_it_is_wanted(fake: FakeOllama) -> None:
    fake.script = refused(400, "no")
    stream = ChatStream(endpoint(fake.url), BODY)
    await asyncio.wait_for((await fake.arrived()).closed.wait(), 10)
    assert not stream.finished.done()
    stream.deliver(Reader())
    assert (await outcome(stream))[0] == "upstream_error"


async def test_aborted_before_it_is_wanted(fake: FakeOllama) -> None:
    fake.script = Script([token("a")], end="hang")
    stream = ChatStream(endpoint(fake.url), BODY)
    chat = await fake.arrived()
    stream.abort()
    await asyncio.wait_for(chat.closed.wait(), 10)
    assert stream.finished.cancelled()


async def test_last_read_moves_with_the_bytes(fake: FakeOllama) -> None:
    gate = Gate()
    fake.script = Script(answer("a"), gate=gate)
    before = clock.now()
    stream = ask(fake, reader := Reader())
    sent = stream.last_read
    assert before <= sent <= clock.now()
    await fake.arrived()
    gate.let()
    await reader.has("a")
    assert sent < stream.last_read <= clock.now()


async def test_what_follows_done_is_ignored(fake: FakeOllama) -> None:
    script = Script([token("a") + last("b") + token("c") + last("d"), token("e"), error("late")])
    assert await played(fake, script) == ("ab", None, "stop")


async def test_done_closes_the_connection(fake: FakeOllama) -> None:
    fake.script = Script([last("a")], end="hang")
    await ask(fake, Reader()).finished
    await asyncio.wait_for(fake.chats[0].closed.wait(), 10)


async def test_garbage_after_done_in_the_same_read(fake: FakeOllama) -> None:
    chunk = last("a")
    body = b"%x\r\n%b\r\nGARBAGE\r\n" % (len(chunk), chunk)
    script = raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert await played(fake, script) == ("a", None, "stop")


@pytest.mark.parametrize("newline", [b"", b"\n"])
async def test_bodies_of_every_framing(fake: FakeOllama, newline: bytes) -> None:
    body = recorded("answer_not_streamed") + newline
    for script in (
        Script([body]),
        Script([body], headers={"Content-Length": str(len(body))}),
        raw(HEAD + b"\r\n" + body),
        raw(b"HTTP/1.0 200 OK\r\n\r\n" + body),
        raw(HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body, end="hang"),
    ):
        assert await played(fake, script) == (texts("answer_not_streamed")[1], None, "stop")


async def test_informational_responses_are_skipped(fake: FakeOllama) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    script = raw(early, HEAD + b"\r\n", *answer("Hello"))
    assert await played(fake, script) == ("Hello", None, "stop")


async def test_a_path_is_a_prefix(fake: FakeOllama) -> None:
    code, sentence = await outcome(ask(fake, Reader(), path="/ollama/"))
    assert code == "upstream_error"
    assert "check the address and its path" in sentence


async def test_ipv6() -> None:
    heads: list[bytes] = []
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD + b"\r\n" + last("six"))
        writer.close()
        closed.set()

    async with await asyncio.start_server(serve, "::1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        stream = streamed(endpoint(f"http://[::1]:{port}/under"), Reader())
        assert (await stream.finished).content == "six"
        await closed.wait()
    request, host = heads[0].split(b"\r\n")[:2]
    assert request == b"POST /under/api/chat HTTP/1.1"
    assert host == f"Host: [::1]:{port}".encode()


def test_on_uvloop() -> None:
    async def main() -> None:
        async with FakeOllama() as fake:
            expected = (texts("answer_emoji_split")[1], None, "length")
            assert await played(fake, replay("answer_emoji_split")) == expected
            fake.script = Script([token("a")], end="hang")
            stream = ask(fake, reader := Reader())
            await reader.has("a")
            stream.abort()
            await asyncio.wait_for(fake.chats[1].closed.wait(), 10)
            script = Script([token("a")], end="cut")
            assert (await played(fake, script))[:2] == ("a", "upstream_incomplete")
        with pytest.raises(ChatError) as caught:
            await ask(fake, Reader()).finished
        assert caught.value.code == "upstream_unavailable"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


# -- answers that break off


@pytest.mark.parametrize("end", ["clean", "cut", "reset"])
async def test_an_end_without_done(fake: FakeOllama, end: Any) -> None:
    gate = Gate()
    fake.script = Script([token("a"), token("b")[:20]], gate=gate, end=end)
    stream = ask(fake, reader := Reader())
    gate.let()
    await reader.has("a")
    gate.let()
    assert await outcome(stream) == (
        "upstream_incomplete",
        "Ollama's answer stopped before its end; please try again.",
    )
    assert reader.content == "a"


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_a_connection_closed_without_a_response_is_incomplete(fake: FakeOllama, end: Any) -> None:
    code, sentence = (await played(fake, raw(end=end)))[1:]
    assert code == "upstream_incomplete"
    assert sentence.startswith("The connection was closed before Ollama answered")


async def test_a_body_that_ends_before_its_length(fake: FakeOllama) -> None:
    script = raw(HEAD + b"Content-Length: 5000\r\n\r\n" + token("a"))
    assert (await played(fake, script))[:2] == ("a", "upstream_incomplete")


async def test_a_body_cut_after_done_is_complete(fake: FakeOllama) -> None:
    assert await played(fake, Script([last("a").rstrip()], end="cut")) == ("a", None, "stop")


async def test_an_error_line(fake: FakeOllama) -> None:
    script = Script([token("a") + token("b") + error("out of memory") + token("c")], end="hang")
    remedy = "; free some memory where Ollama runs, or choose a smaller model."
    assert await played(fake, script) == ("ab", "upstream_error", f"Ollama reports: out of memory{remedy}")


@pytest.mark.parametrize(
    "bad", [b'{"message":{"content":"\xff"}}\n', b"{]\n", b'{"message":"text"}\n', b"x" * 9_000_000]
)
async def test_lines_that_cannot_be_read(fake: FakeOllama, bad: bytes) -> None:
    script = Script([token("a"), bad, last("b")])
    assert (await played(fake, script))[:2] == ("a", "upstream_invalid")


async def test_a_long_line(fake: FakeOllama) -> None:
    text = "x" * (MAX_LINE - 500)
    assert await played(fake, Script([token(text), last()])) == (text, None, "stop")


async def test_html(fake: FakeOllama) -> None:
    assert (await played(fake, html()))[:2] == ("", "upstream_invalid")


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
    ],
)
async def test_garbage_instead_of_http(fake: FakeOllama, garbage: bytes) -> None:
    assert (await played(fake, raw(garbage, end="hang")))[:2] == ("", "upstream_invalid")


async def test_an_encoding_that_was_not_asked_for(fake: FakeOllama) -> None:
    content, code, sentence = await played(fake, Script([last("a")], headers={"Content-Encoding": "gzip"}))
    assert (content, code) == ("", "upstream_invalid")
    assert "compressed" in sentence


# -- refusals


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("error_queue_full", 503, "upstream_error"),
        ("error_bad_format", 500, "upstream_error"),
        ("error_model_missing", 404, "model_not_found"),
    ],
)
@pytest.mark.parametrize("end", ["clean", "cut"])
async def test_refusals(fake: FakeOllama, name: str, status: int, code: str, end: Any) -> None:
    fake.script = Script(by_byte(recorded(name)), status=status, end=end)
    stream = ask(fake, reader := Reader())
    with pytest.raises(ChatError) as caught:
        await stream.finished
    assert caught.value.code == code
    assert caught.value.retryable == (status != 404)
    assert (stream.started, reader.deliveries) == (False, [])


async def test_a_redirect_is_not_followed(fake: FakeOllama) -> None:
    fake.script = Script(status=307, headers={"Location": fake.url + "/api/chat"})
    code, sentence = await outcome(ask(fake, Reader()))
    assert code == "upstream_error"
    assert "set OLLAMA_HOST to the final address" in sentence
    assert len(fake.chats) == 1


async def test_a_refusal_without_end_is_read_to_a_limit(fake: FakeOllama) -> None:
    script = Script([b"x" * 70_000], status=500, end="hang")
    assert await played(fake, script) == ("", "upstream_error", f"Ollama reports: {'x' * 1000}…")


async def test_the_encoding_of_a_refusal_does_not_matter(fake: FakeOllama) -> None:
    script = refused(500, "late", headers={"Content-Encoding": "gzip"})
    assert await played(fake, script) == ("", "upstream_error", "Ollama reports: late")


# -- no connection


async def test_a_refused_connection_is_unavailable(fake: FakeOllama) -> None:
    await fake.stop()
    with pytest.raises(ChatError) as caught:
        await ask(fake, Reader()).finished
    assert caught.value.code == "upstream_unavailable"
    assert caught.value.sentence == (
        f"Ollama cannot be reached at {fake.url}; start it with `ollama serve` or set OLLAMA_HOST."
    )


@pytest.mark.parametrize("url", ["http://no-such-host.invalid", f"http://{'x' * 70}.invalid"])
async def test_no_such_host(url: str) -> None:
    with pytest.raises(ChatError) as caught:
        await streamed(endpoint(url), Reader()).finished
    assert caught.value.code == "upstream_unavailable"


async def test_a_connection_that_takes_too_long_is_unavailable() -> None:
    async with Mute.listening() as mute:
        url = f"https://{mute.address}"
        with pytest.raises(ChatError) as caught:
            await streamed(endpoint(url, connect_timeout=0.05), Reader()).finished
        assert caught.value.code == "upstream_unavailable"


async def test_aborted_while_connecting() -> None:
    async with Mute.listening() as mute:
        url = f"https://{mute.address}"
        stream = streamed(endpoint(url, connect_timeout=20), Reader())
        await mute.connected.wait()
        stream.abort()
        await asyncio.wait_for(mute.gone.wait(), 10)


# -- abort


async def test_abort_before_the_head(fake: FakeOllama) -> None:
    fake.script = Script(head=Gate())
    stream = ask(fake, Reader())
    chat = await fake.arrived()
    assert fake.active == 1
    stream.abort()
    assert stream.finished.cancelled()
    await asyncio.wait_for(chat.closed.wait(), 10)
    assert (fake.active, chat.served) == (0, False)


async def test_nothing_is_delivered_after_abort(fake: FakeOllama) -> None:
    gate = Gate()
    fake.script = Script(answer("a b c"), gate=gate)
    stream = ask(fake, reader := Reader())
    gate.let()
    await reader.has("a")
    stream.abort()
    gate.open()
    stream.abort()
    await asyncio.wait_for(fake.chats[0].closed.wait(), 10)
    assert reader.content == "a"


async def test_abort_from_within_receive(fake: FakeOllama) -> None:
    fake.script = Script([token("a") + last("b")], gate=(gate := Gate()))
    delivered: list[Sequence[Line]] = []

    def receive(lines: Sequence[Line]) -> None:
        delivered.append(lines)
        stream.abort()

    stream = ask(fake, receive)
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await stream.finished
    assert len(delivered) == 1


async def test_abort_when_finished_changes_nothing(fake: FakeOllama) -> None:
    stream = ask(fake, Reader())
    done = await stream.finished
    stream.abort()
    assert stream.finished.result() is done


async def test_cancelling_the_waiter_closes_the_connection(fake: FakeOllama) -> None:
    fake.script = Script([token("a")], end="hang")
    stream = ask(fake, reader := Reader())

    async def wait() -> Line:
        return await stream.finished

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)  # it waits now
    await reader.has("a")
    waiting.cancel()
    await asyncio.wait_for(fake.chats[0].closed.wait(), 10)


async def test_an_exception_of_receive_ends_the_stream(fake: FakeOllama) -> None:
    fault = ZeroDivisionError("a fault of the caller's")

    def receive(lines: Sequence[Line]) -> None:
        raise fault

    fake.script = Script([token("a")], end="hang")
    stream = ask(fake, receive)
    with pytest.raises(ZeroDivisionError):
        await stream.finished
    await asyncio.wait_for(fake.chats[0].closed.wait(), 10)


async def test_an_error_that_is_not_awaited_is_not_logged(fake: FakeOllama) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    fake.script = refused(500, "no")
    stream = ask(fake, Reader())
    await asyncio.wait([stream.finished])
    del stream
    gc.collect()
    assert complaints == []
