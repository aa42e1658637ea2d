"""A client that leaves stops what it asked for, at any moment, and its place is free for others."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from time import monotonic
from typing import Final, Self

import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Gate, Script, answer
from sockets import opened, request

from chatproxy import clock

MODEL: Final = "gemma3:270m"
PATHS: Final = (
    *("/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions", "/v1/responses"),
    *("/v1/messages", "/api/embed"),
)
WAYS: Final = ("closed", "reset", "half-open")
MOMENTS: Final = ("queued", "before the head", "in one piece", "in mid-stream")


class Leaving:
    """A client that asks by hand, and leaves in one of several ways."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def asking(cls, client: Client, path: str, stream: bool = True) -> AsyncIterator[Self]:
        async with opened(client) as (reader, writer):
            writer.write(request("POST", path, body={"model": MODEL, "stream": stream}))
            yield cls(reader, writer)

    def leave(self, way: str) -> None:
        """Close the connection, reset it, or only say that nothing more will be sent."""
        if way == "half-open":
            self._writer.write_eof()
            return
        if way == "reset":
            no_linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        self._writer.transport.abort()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_leaving_at_fifty_random_moments(
    seed: int, serve: Serve, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one place for all, so that each request that follows shows that it has become free.

    Only the first fifty wait for the look that chatproxy takes.
    """
    if seed > 0:
        monkeypatch.setattr(clock, "LOOK", 0.01)
    client = await serve(max_concurrent_generations=1)
    chance = random.Random(seed)
    delays = [await left(client, fake, chance) for _ in range(50)]
    assert sorted(delays)[-5] < 0.5  # a busy machine may delay a few
    fake.instead.clear()
    async with client.http.post(client.url("/v1/completions"), json={"model": MODEL}) as last:
        assert last.status == 200
    assert fake.peak == 1


async def left(client: Client, fake: FakeOllama, chance: random.Random) -> float:
    """Leave once; return the seconds until the connection to Ollama was closed."""
    moment, way = chance.choice(MOMENTS), chance.choice(WAYS)
    pieces, head = Gate(), Gate()
    fake.instead.update(dict.fromkeys(PATHS, Script(answer("word " * 100), head=head, gate=pieces)))
    stream = moment != "in one piece"
    async with AsyncExitStack() as stack:
        ask = partial(Leaving.asking, client, stream=stream)
        first = await stack.enter_async_context(ask(chance.choice(PATHS)))
        chat = await fake.arrived(len(fake.chats) + 1)
        if moment == "queued":
            second = await stack.enter_async_context(ask(chance.choice(PATHS)))
            await asyncio.sleep(chance.uniform(0, 0.02))
            second.leave(way)
        elif moment == "in mid-stream":
            head.open()
            pieces.let(chance.randint(0, 50))
            await first.reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(chance.uniform(0, 0.01))
        began, asked = monotonic(), len(fake.chats)
        first.leave(way)
        async with asyncio.timeout(10):
            await chat.closed.wait()
        assert not chat.served
        assert len(fake.chats) == asked, "a request whose client had left was sent"
        return monotonic() - began
