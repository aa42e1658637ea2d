"""Clients that send or read slowly do not fill the memory, and delay nobody, in a real process."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path
from socket import socket
from typing import Final

import pytest
from aiohttp import ClientConnectionError
from chat_client import Client
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, token
from processes import Process
from sockets import request, unread
from waiting import until

SESSIONS: Final = "/api/chat/sessions"
MIB: Final = 1024 * 1024
JSON: Final = {"Content-Type": "application/json"}


@pytest.fixture
async def process(fake: FakeOllama, tmp_path: Path) -> AsyncIterator[Process]:
    async with Process.running(tmp_path, ollama_host=fake.url, default_model="gemma3:270m") as process:
        yield process


def memory(process: Process, figure: str = "VmRSS") -> int:
    """Return what the process has in memory, in bytes; `VmHWM` is the most that it has had."""
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{figure}:")]
    return int(line.split()[1]) * 1024


def ended(connections: Sequence[socket]) -> list[bool]:
    """Return for each connection whether the server has ended it, as the kernel knows.

    Nothing is read from them, which would let a response that is still held get to its end.
    """
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = {int(row[2].rpartition(":")[2], 16) for row in rows if row[3] == "01"}  # of the other end
    return [each.getsockname()[1] not in established for each in connections]


async def send_slowly(connection: socket, data: bytes) -> None:
    """Send as much as the server takes."""
    rest = memoryview(data)
    try:
        async with asyncio.timeout(30):
            while rest:
                await asyncio.get_running_loop().sock_sendall(connection, rest[: 64 * 1024])
                rest = rest[64 * 1024 :]
    except (ConnectionError, TimeoutError):
        pass


async def test_bodies_that_are_half_sent(process: Process) -> None:
    client = process.client
    session = await client.new_session()
    before = memory(process)
    head = (
        f"POST {SESSIONS}/{session}/messages HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {16 * MIB}\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        slow = [stack.enter_context(unread(client, head)) for _ in range(100)]
        body = b" " * (15 * MIB)
        for each in slow:
            await send_slowly(each, body)
            await client.call("GET", "/healthz")
        reply = await client.send(session)
    assert reply["fullResponse"]
    assert memory(process, "VmHWM") - before < 300 * MIB


@pytest.mark.fault  # a machine that is busy with other tests may take too long for 180 MiB
async def test_large_bodies_of_fast_clients_that_come_at_once(process: Process) -> None:
    """They wait for each other; together, they are more than may be held."""
    client = process.client
    body = json.dumps({"model": MODEL, "prompt": "x" * 30 * MIB}).encode()

    async def ask() -> int:
        async with client.http.post(client.url("/api/generate"), data=BytesIO(body)) as response:
            return response.status

    assert await asyncio.gather(*(ask() for _ in range(6))) == [200] * 6


async def test_large_bodies_of_clients_that_leave_the_queue(fake: FakeOllama, tmp_path: Path) -> None:
    """Nothing is left of their bodies."""
    fake.script = Script(head=Gate())
    settings = {"ollama_host": fake.url, "ollama_num_parallel": "1"}
    async with Process.running(tmp_path, **settings) as process:
        client = process.client
        body = json.dumps(
            {"model": MODEL, "messages": [{"role": "user", "content": "x" * 20 * MIB}]}
        ).encode()
        before = memory(process)

        async def queued(number: int) -> bool:
            async with client.http.get(client.url("/metrics")) as response:
                return f"chatproxy_queued_generations {number}.0" in await response.text()

        for _ in range(3):
            asks = []
            for number in range(6):
                asks.append(
                    asyncio.create_task(client.http.post(client.url("/api/chat"), data=BytesIO(body)))
                )
                await until(partial(queued, number))
            for each in asks:
                each.cancel()
            await until(partial(queued, 0))
        await until(lambda: memory(process) - before < 40 * MIB)


async def test_messages_that_wait_to_be_checked(process: Process, fake: FakeOllama) -> None:
    """Ollama does not list its models, which a message that leaves the choice to chatproxy waits for."""
    client = process.client
    fake.instead["/api/tags"] = Script(head=Gate())
    before = memory(process)
    image = b64encode(b"a" * 11 * MIB)
    head, tail = b'{"message": "a", "model": "auto", "images": ["', b'"]}'
    sends = []
    for _ in range(40):
        url = client.url(f"{SESSIONS}/{await client.new_session()}/messages")
        body = BytesIO(head + image + tail)
        sends.append(asyncio.create_task(client.http.post(url, data=body, headers=JSON)))
        await client.call("GET", "/healthz")
    await until(lambda: sum(send.done() for send in sends) >= 30)
    assert all(isinstance(send.exception(), ClientConnectionError) for send in sends if send.done())
    assert memory(process, "VmHWM") - before < 300 * MIB
    for send in sends:
        send.cancel()


async def large_answer(client: Client, fake: FakeOllama) -> str:
    """Return a session with an answer of 4 MB."""
    fake.script = Script([token("x" * 100_000)] * 40 + answer(""))
    session = await client.new_session()
    await client.send(session)
    return session


@pytest.mark.parametrize("path", ["messages", "export", "export?format=markdown"])
async def test_large_responses_that_are_not_read(process: Process, fake: FakeOllama, path: str) -> None:
    client = process.client
    session = await large_answer(client, fake)
    before = memory(process)
    with ExitStack() as stack:
        asked = request("GET", f"{SESSIONS}/{session}/{path}")
        slow = []
        for _ in range(100):
            slow.append(stack.enter_context(unread(client, asked)))
            await client.call("GET", "/healthz")
        async with client.http.get(client.url(f"{SESSIONS}/{session}/{path}")) as response:
            assert len(await response.read()) > 4_000_000  # by now, those before it have been read, too
        await until(lambda: sum(ended(slow)) > 50)
        over = ended(slow)
        assert all(over[:20]), over  # the oldest
        assert not any(over[-5:]), over
    assert memory(process, "VmHWM") - before < 300 * MIB


@pytest.mark.slow
async def test_large_images_that_are_not_read(process: Process, fake: FakeOllama) -> None:
    """One image, and the exports that have it, asked for again and again."""
    fake.shows[MODEL]["capabilities"] = ["completion", "vision"]
    client = process.client
    session = await client.new_session()
    path = f"{SESSIONS}/{session}/messages"
    body = json.dumps({"message": "", "images": [b64encode(bytes(12 * MIB)).decode()]}).encode()
    sent = await client.call("POST", path, data=BytesIO(body), headers=JSON)
    before = memory(process, "VmHWM")
    image = f"{path}/{sent['userMessageId']}/images/0"
    with ExitStack() as stack:
        for asked in (image, f"{SESSIONS}/{session}/export", f"{SESSIONS}/{session}/export?format=markdown"):
            for _ in range(12):
                stack.enter_context(unread(client, request("GET", asked)))
                await client.call("GET", "/healthz")
            async with client.http.get(client.url(asked)) as response:
                assert len(await response.read()) >= 12 * MIB
    grown = memory(process, "VmHWM") - before
    assert grown < 300 * MIB, f"{grown / MIB:.0f} MiB"


async def test_a_page_that_is_read_slowly_is_whole(process: Process, fake: FakeOllama) -> None:
    client = process.client
    session = await large_answer(client, fake)
    with unread(client, request("GET", f"{SESSIONS}/{session}/messages", {"Connection": "close"})) as reader:
        received = bytearray()

        def read() -> bool:
            try:
                while piece := reader.recv(50_000):
                    received.extend(piece)
            except BlockingIOError:
                return False
            return True

        await until(read)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["messages"][-1]["content"] == "x" * 4_000_000
