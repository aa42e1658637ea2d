"""Readers of one answer: they get the same text, and none delays another, however slow it is."""

import asyncio
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from chat_client import Client, Server, Start, Stream
from fake_ollama import FakeOllama, Gate, Script, answer, last, token
from recordings import by_line, recorded, texts
from sockets import request, unread
from waiting import until

from chatproxy import Config, create_app
from chatproxy.answers import shared
from chatproxy.answers.answer import Answer
from chatproxy.answers.subscription import Subscription
from chatproxy.web import sse
from chatproxy.web.keys import CHAT, REGISTRY
from chatproxy.web.sse import EventStream

WORD = "0123456789abcde " * 1024  # 16 KiB
HELD = 128 * 1024  # bytes that a slow reader may make us hold


class Service:
    """chatproxy, a client, and a look at what it holds for each reader."""

    def __init__(self, server: Server) -> None:
        self.client = server.client
        self._server = server

    def connections(self) -> int:
        return len(self._server.handler.connections)

    def answer(self, message: int) -> Answer:
        """Return the answer while it is being produced."""
        return self._server.app[REGISTRY].answers()[message]

    def shared(self, message: int) -> Answer | None:
        """Return an answer that has readers."""
        return self._server.app[CHAT].transcript.shared.get(message)

    def readers(self, message: int) -> int:
        """Return how many readers an answer has."""
        answer = self.shared(message)
        return 0 if answer is None else len(answer.subscribers)


def transports(answer: Answer) -> list[asyncio.Transport]:
    """Return the connections of those who read its stream now."""
    sinks = [reader.sink for reader in answer.subscribers if isinstance(reader, Subscription)]
    found = [sink._request.transport for sink in sinks if isinstance(sink, EventStream)]
    return [transport for transport in found if transport is not None]


@pytest.fixture
async def service(start: Start, config: Config) -> Service:
    settings = replace(config, reader_timeout=0.5, max_subscribers=3, max_answer_bytes=8 * 1024**2)
    return Service(await start(create_app(settings)))


class Idle:
    """A reader that reads what the test says, and whose receive window holds little else."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    async def take(self, size: int) -> int:
        """Read up to that many bytes; return how many, 0 at the end."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self._connection, size)
        except ConnectionError:
            return 0
        self._received += data
        return len(data)

    async def rest(self) -> None:
        async with asyncio.timeout(20):
            while await self.take(1 << 16):
                pass

    @property
    def whole(self) -> bool:
        """Whether the response ended as HTTP requires."""
        return self._received.endswith(b"\r\n0\r\n\r\n")

    @property
    def events(self) -> list[Any]:
        """The events of the frames that have arrived completely."""
        _, _, body = self._received.partition(b"\r\n\r\n")
        *frames, _ = b"".join(_unchunked(body)).split(b"\n\n")
        return [json.loads(frame.partition(b"\n")[0].removeprefix(b"data: ")) for frame in frames]


def _unchunked(body: bytes) -> list[bytes]:
    pieces = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        pieces.append(body[:length])
        body = body[length + 2 :]
    return pieces


@contextmanager
def idle(client: Client, path: str) -> Iterator[Idle]:
    """Request the path, and read nothing of the response until the test does."""
    with unread(client, request("GET", path)) as connection:
        yield Idle(connection)


def watching(session: str, message: int) -> str:
    return f"/api/chat/sessions/{session}/messages/{message}/stream"


@asynccontextmanager
async def running(client: Client, **body: Any) -> AsyncIterator[tuple[str, int, Stream]]:
    """Start an answer; yield its session, its id and its first reader."""
    session = await client.new_session()
    async with client.sending(session, **body) as stream:
        start = await stream.until("start")
        yield session, start["assistantMessageId"], stream


def squeeze(answer: Answer) -> None:
    """Shrink the kernel's send buffers, so that it is chatproxy that has to wait for readers."""
    for transport in transports(answer):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def readers(service: Service, message: int, number: int) -> None:
    await until(lambda: len(service.answer(message).subscribers) == number)


# -- several


async def test_all_readers_see_the_same_text(service: Service, fake: FakeOllama) -> None:
    lines, client = by_line(recorded("answer_emoji")), service.client
    fake.script = Script(lines, gate=(gate := Gate()))
    gate.let(5)
    async with running(client) as (session, message, first), AsyncExitStack() as later:
        await first.until("chunk")
        second = await later.enter_async_context(client.resuming(session, message))
        gate.let(20)
        await second.until("chunk")
        third = await later.enter_async_context(client.resuming(session, message))
        gate.open()
        streams = (first, second, third)
        await asyncio.gather(*(stream.rest() for stream in streams))
    assert [(stream.text("thinking"), stream.text()) for stream in streams] == [texts("answer_emoji")] * 3
    assert [stream.last for stream in streams] == [first.last] * 3
    assert first.last["type"] == "done"


async def test_readers_in_step_get_the_same_frames(service: Service, fake: FakeOllama) -> None:
    client = service.client
    fake.script = Script(answer("One two three four."), head=(head := Gate()))
    async with running(client) as (session, message, first), client.resuming(session, message) as second:
        await second.until("status")
        head.open()
        await asyncio.gather(first.rest(), second.rest())
    shown = [[event for event in stream.events if "cursor" in event] for stream in (first, second)]
    assert shown[0] == shown[1]


async def test_a_reader_that_leaves_does_not_affect_the_others(service: Service, fake: FakeOllama) -> None:
    client = service.client
    fake.script = Script(answer("One two three."), gate=(gate := Gate()))
    async with running(client) as (session, message, first):
        gate.let()
        async with client.resuming(session, message) as second:
            await second.until("chunk")
        await readers(service, message, 1)
        gate.open()
        await first.rest()
    assert first.text() == first.last["fullResponse"] == "One two three."


async def test_an_answer_goes_on_without_readers(service: Service, fake: FakeOllama) -> None:
    client = service.client
    fake.script = Script(answer("One two three."), gate=(gate := Gate()))
    async with running(client) as (session, message, _):
        pass
    await readers(service, message, 0)
    gate.open()
    async with client.resuming(session, message) as stream:
        assert (await stream.until("done"))["fullResponse"] == "One two three."


# -- one that does not read


@pytest.fixture
def much(fake: FakeOllama) -> str:
    """Script an answer of 5 MB, sent as fast as possible, and return its text."""
    fake.script = Script([token(WORD)] * 320 + [last()])
    return WORD * 320


async def test_a_reader_that_never_reads_delays_no_one(service: Service, fake: FakeOllama, much: str) -> None:
    client, held = service.client, [0]
    fake.script = replace(_script(fake), gate=(gate := Gate()))
    async with running(client) as (session, message, stream):
        with idle(client, watching(session, message)):
            await readers(service, message, 2)
            answer = service.answer(message)
            gate.open()
            while event := await stream.next():
                held += [transport.get_write_buffer_size() for transport in transports(answer)]
                if event["type"] == "done":
                    *_, stored = await client.messages(session)
        assert stream.text() == stored["content"] == much
        assert stored["status"] == "complete"
        assert 0 < max(held) <= HELD


def _script(fake: FakeOllama) -> Script:
    assert isinstance(fake.script, Script)
    return fake.script


@pytest.mark.usefixtures("much")
@pytest.mark.parametrize("stored", [False, True], ids=["live", "stored"])
async def test_a_reader_that_stops_reading_is_dropped_and_can_resume(
    service: Service, fake: FakeOllama, stored: bool
) -> None:
    client = service.client
    fake.script = replace(_script(fake), gate=(gate := Gate()))
    async with running(client) as (session, message, stream), AsyncExitStack() as opened:
        if not stored:
            reader = opened.enter_context(idle(client, watching(session, message)))
            await readers(service, message, 2)
        answer = service.answer(message)
        gate.open()
        await stream.rest()
        if stored:
            reader = opened.enter_context(idle(client, watching(session, message)))
            await reader.take(1)
            connected = service.connections()
            await until(lambda: service.connections() < connected)
        await until(lambda: not answer.subscribers)
        await reader.rest()
        assert not reader.whole
        got = "".join(event["content"] for event in reader.events if event["type"] == "chunk")
        async with client.resuming(session, message, after=reader.events[-1]["cursor"]) as rest:
            await rest.rest()
        assert got + rest.text() == rest.last["fullResponse"] == WORD * 320


async def test_a_reader_that_stops_inside_a_huge_frame_is_dropped(service: Service, fake: FakeOllama) -> None:
    client = service.client
    fake.script = Script([*[token("x" * 700_000)] * 10, last()])
    async with running(client) as (session, message, stream):
        await stream.rest()
        after = next(event["cursor"] for event in reversed(stream.events) if event["type"] == "chunk")
        with idle(client, f"{watching(session, message)}?after={after}") as reader:
            while not reader.events:  # `start`; nothing but `done` follows
                await reader.take(64)
            connected = service.connections()
            await until(lambda: service.connections() < connected)
            await reader.rest()
            assert not reader.whole
            assert [event["type"] for event in reader.events] == ["start"]


async def test_a_reader_that_reads_slowly_is_kept(start: Start, config: Config, fake: FakeOllama) -> None:
    text = WORD * 12
    fake.script = Script([token(text), last()], gate=(gate := Gate()))
    gate.let()
    service = Service(await start(create_app(replace(config, reader_timeout=1.2))))
    client = service.client
    async with running(client) as (session, message, stream):
        await stream.has(text)
    await readers(service, message, 0)
    with idle(client, f"{watching(session, message)}?after={stream.cursor}") as reader:
        await readers(service, message, 1)
        squeeze(service.answer(message))
        gate.open()
        for _ in range(16):  # 60 KiB of `done` are written at once, and read for longer than READER_TIMEOUT
            await reader.take(4096)
            await asyncio.sleep(0.12)
        while not reader.whole and await reader.take(1 << 16):
            pass
    assert reader.events[-1]["type"] == "done"
    assert reader.events[-1]["fullResponse"] == text


async def test_a_reader_that_lags_catches_up_in_bigger_chunks(service: Service, fake: FakeOllama) -> None:
    client, words = service.client, [f"word {number} " for number in range(3000)]
    fake.script = Script([*map(token, words), last()], gate=(gate := Gate()))
    async with running(client) as (session, message, _):
        pass
    await readers(service, message, 0)
    with idle(client, watching(session, message)) as reader:
        await readers(service, message, 1)
        squeeze(service.answer(message))
        answer = service.answer(message)
        gate.open()
        await until(lambda: answer.ended)
        await reader.take(1)
        while not reader.whole and await reader.take(1 << 16):
            pass
    chunks = [event["content"] for event in reader.events if event["type"] == "chunk"]
    assert "".join(chunks) == "".join(words)
    assert len(chunks) < len(words) / 2
    assert max(map(len, chunks)) > 100 * len("word 1000 ")


async def test_slow_readers_of_a_huge_frame_share_one_copy(service: Service, fake: FakeOllama) -> None:
    client = service.client
    fake.script = Script([*[token("x" * 700_000)] * 10, last()])
    async with running(client) as (session, message, stream):
        answer = service.answer(message)
        await stream.until("chunk")  # the other frames stay where they are
        tracemalloc.start()
        try:
            with idle(client, f"{watching(session, message)}?after=0.7000000") as reader:
                while not reader.events:
                    await reader.take(64)
                await until(lambda: answer.ended)
                traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, sse.__file__)])
        finally:
            tracemalloc.stop()
    assert sum(trace.size for trace in traces.traces) <= HELD


# -- how many


async def test_a_reader_too_many_is_refused_until_one_leaves(service: Service, fake: FakeOllama) -> None:
    client = service.client
    fake.script = Script(answer("Hello."), head=Gate())
    async with running(client, clientMessageId="a") as (session, message, _):
        async with (
            client.resuming(session, message) as second,
            client.sending(session, clientMessageId="a") as third,
        ):
            await asyncio.gather(second.until("start"), third.until("start"))
            for method, path, body in (
                ("GET", watching(session, message), {}),
                ("POST", f"/api/chat/sessions/{session}/messages", {"clientMessageId": "a"}),
                ("POST", f"/api/chat/sessions/{session}/messages/stream", {"clientMessageId": "a"}),
            ):
                sent = {"json": {"message": "Hello", **body}} if body else {}
                refusal = await client.call(method, path, status=429, **sent)
                assert refusal["code"] == "too_many_subscribers"
        await readers(service, message, 1)
        async with client.resuming(session, message) as again:
            await again.until("start")


async def test_a_request_that_waits_for_json_counts_as_a_reader(service: Service, fake: FakeOllama) -> None:
    client = service.client
    fake.script = Script(answer("Hello."), head=(head := Gate()))
    async with running(client, clientMessageId="a") as (session, message, _):
        waiting = [asyncio.create_task(client.send(session, clientMessageId="a")) for _ in range(2)]
        await readers(service, message, 3)
        refusal = await client.call("GET", watching(session, message), status=429)
        assert refusal["code"] == "too_many_subscribers"
        head.open()
        assert [given["fullResponse"] for given in await asyncio.gather(*waiting)] == ["Hello."] * 2


async def stored(client: Client, session: str) -> int:
    """Return the id of the answer to a message, once it has ended and its stream is closed."""
    return int((await client.ask(session)).answer_id)


@pytest.mark.usefixtures("much")
async def test_readers_of_a_stored_answer_count_and_share_it(service: Service) -> None:
    client = service.client
    session = await client.new_session()
    message = await stored(client, session)
    with idle(client, watching(session, message)), idle(client, watching(session, message)):
        async with client.resuming(session, message) as third:
            await third.until("start")
            answer = service.shared(message)
            assert answer is not None
            await until(lambda: len(answer.subscribers) == 3)
            refusal = await client.call("GET", watching(session, message), status=429)
            assert refusal["code"] == "too_many_subscribers"
            await third.rest()
        assert third.text() == WORD * 320


async def test_any_number_may_read_a_finished_answer_one_after_the_other(service: Service) -> None:
    client = service.client
    session = await client.new_session()
    message = await stored(client, session)
    for _ in range(5):
        async with client.resuming(session, message) as stream:
            assert (await stream.until("done"))["fullResponse"] == "Hello from a fake."


@pytest.mark.usefixtures("much")
async def test_readers_who_lag_at_the_end_of_an_answer_give_way(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "MAX_ENDED_BYTES", 11_000_000)  # two of these answers
    settings = replace(config, reader_timeout=60, max_answer_bytes=8 * 1024**2)
    service = Service(await start(create_app(settings)))
    client, messages = service.client, list[int]()
    with ExitStack() as opened:
        for _ in range(3):
            session = await client.new_session()
            path = f"/api/chat/sessions/{session}/messages/stream"
            opened.enter_context(unread(client, request("POST", path, body={"message": "Hello"})))
            await until(lambda session=session: _has_answer(client, session))  # type: ignore[misc]
            messages.append((await client.messages(session))[-1]["id"])
        await until(lambda: service.readers(messages[0]) == 0)
        assert [service.readers(message) for message in messages[1:]] == [1, 1]


async def _has_answer(client: Client, session: str) -> bool:
    shown = await client.session(session)
    return (shown["messageCount"], shown["activeMessageId"]) == (2, None)


@pytest.mark.usefixtures("much")
async def test_slow_readers_of_many_answers_give_way(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the answers that have been held the longest do, and can resume."""
    monkeypatch.setattr(shared, "MAX_ENDED_BYTES", 11_000_000)  # two of these answers
    client = service.client
    session = await client.new_session()
    messages = [await stored(client, session) for _ in range(4)]
    with ExitStack() as opened:
        slow = []
        for message in messages[:3]:
            slow.append(opened.enter_context(idle(client, watching(session, message))))
            await until(lambda message=message: service.readers(message) == 1)  # type: ignore[misc]
        await until(lambda: service.readers(messages[0]) == 0)
        assert [service.readers(message) for message in messages[1:3]] == [1, 1]
        async with client.resuming(session, messages[3]) as fast:
            await fast.rest()
        assert fast.text() == WORD * 320
        await slow[0].rest()
        assert not slow[0].whole
        async with client.resuming(session, messages[0]) as again:
            await again.rest()
        assert again.text() == WORD * 320
