"""Readers that never read, beside one that does: what they cost it, and how much chatproxy holds for them."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from statistics import quantiles
from time import monotonic
from typing import Final, NamedTuple

from chat_client import Client, Stream
from fake_ollama import FakeOllama, Gate, Script, last
from fake_ollama import token as line_of
from processes import Process

from faults.place import held, orderly
from faults.tally import Tally

TOKEN: Final = "0123456789abcde " * 1024  # 16 KiB, so that no socket holds all of them
TOKENS: Final = 260
PACE: Final = 0.015  # seconds between two
SLOWEST: Final = 0.1  # seconds that a token may take, but for one in a hundred
KEPT: Final = 128 * 1024  # bytes for each who does not read


class Watched(NamedTuple):
    """One answer: the 99th percentile of its tokens' delays in seconds, and bytes held at its end.

    `waiting` is the most in a reader's connection; `kept` is what chatproxy holds for each, if traced.
    """

    p99: float
    waiting: int
    kept: float


async def never_read(folder: Path, tally: Tally, number: int) -> None:
    """Send the same answer to one reader alone, and to one among many that do not read.

    A machine that does something else meanwhile makes it only slower: the best of three counts. What is
    kept is looked at in one more, as tracing takes time."""
    async with FakeOllama() as fake, orderly(folder, fake.url, max_subscribers=number + 1) as process:
        alone = await _watched(process, fake, tally, 0)
        tries = [await _watched(process, fake, tally, number)]
        while tries[-1].p99 >= SLOWEST and len(tries) < 3:
            tries.append(await _watched(process, fake, tally, number))
        process.send_signal(signal.SIGUSR2)
        traced = await _watched(process, fake, tally, number)
    p99 = min(each.p99 for each in tries)
    kept = max(traced.kept, *(each.waiting for each in (*tries, traced)))
    tally.faults += number
    tally.seen.append(f"p99 {p99 * 1000:.1f} ms, alone {alone.p99 * 1000:.1f} ms")
    tally.seen.append(f"at most {kept / 1024:.0f} KiB buffered for one")
    assert p99 < SLOWEST
    assert min(traced.waiting, traced.kept) > 0
    assert kept <= KEPT


async def _watched(process: Process, fake: FakeOllama, tally: Tally, idle: int) -> Watched:
    fake.script = Script([*[line_of(TOKEN)] * TOKENS, last()], gate=(gate := Gate()))
    async with _answering(process.client, idle) as stream:
        delays = await _delays(stream, gate)
        now = await held(process)
        watched = Watched(quantiles(delays, n=100)[98], now["waiting"], now["kept"] / (idle + 1))
        gate.open()
        assert (await stream.until("done"))["fullResponse"] == stream.text() == TOKEN * TOKENS
    tally.acknowledged += 1
    tally.streams += 1
    return watched


@asynccontextmanager
async def _answering(client: Client, idle: int) -> AsyncIterator[Stream]:
    """Start an answer that other connections request and do not read."""
    session = await client.new_session()
    async with client.sending(session) as stream:
        message = (await stream.until("start"))["assistantMessageId"]
        path = f"/api/chat/sessions/{session}/messages/{message}/stream"
        with ExitStack() as connections:
            for _ in range(idle):
                await _ask(connections.enter_context(closing(socket.socket())), client.base, path)
            yield stream


async def _ask(connection: socket.socket, url: str, path: str) -> None:
    """Request the path and read one byte of the response, so that it has begun."""
    host, port = url.removeprefix("http://").split(":")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (host, int(port)))
    await loop.sock_sendall(connection, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    await loop.sock_recv(connection, 1)


async def _delays(stream: Stream, gate: Gate) -> list[float]:
    """Let the tokens out one by one, read them, and return how long each took."""
    sent: list[float] = []
    letting = asyncio.create_task(_let(gate, sent))
    delays: list[float] = []
    size = 0
    while len(delays) < TOKENS:
        event = await stream.next()
        assert event is not None
        size += len(event.get("content", ""))
        while size >= (len(delays) + 1) * len(TOKEN):
            delays.append(monotonic() - sent[len(delays)])
    await letting
    return delays


async def _let(gate: Gate, sent: list[float]) -> None:
    for _ in range(TOKENS):
        sent.append(monotonic())
        gate.let()
        await asyncio.sleep(PACE)
