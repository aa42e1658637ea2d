"""What only chatproxy is asked: its start, long answers, many readers, many who come back, a long past."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

import aiohttp

from benchmarks.contestants import CHATPROXY, Server, Stage, send
from benchmarks.histories import SESSION, fill
from benchmarks.load import PATIENCE, Reader, Tally, read
from benchmarks.measure import ENDLESS, OVERLOADED, RATE, dropping, sample

SESSIONS: Final = "/api/chat/sessions"
FAST: Final = 200  # tokens per second, where few streams have to bring many
POLL: Final = 0.002


async def start(stage: Stage) -> tuple[float, int]:
    """Milliseconds to the first 200 of `/readyz`, and the bytes that it takes idle."""
    since = monotonic()
    async with aiohttp.ClientSession() as http, stage.running(CHATPROXY) as server:
        while not await _ready(http, server):  # noqa: ASYNC110 - a poll is the point
            await asyncio.sleep(POLL)
        return (monotonic() - since) * 1000, server.memory


async def _ready(http: aiohttp.ClientSession, server: Server) -> bool:
    async with http.get(f"http://127.0.0.1:{server.port}/readyz") as response:
        return response.status == 200


async def long_answers(stage: Stage, streams: int, already: int, seconds: float) -> float:
    """CPU microseconds per token of answers that have that many tokens already."""
    async with stage.running(CHATPROXY) as server:
        tally = Tally()
        requests = await server.requests(streams, f"{FAST} {ENDLESS} {already}")
        with dropping(await read(server.port, requests, tally)) as readers:
            await _until(lambda: all(reader.seen > already for reader in readers))
            await asyncio.sleep(seconds / 3)
            return (await sample(server, tally, seconds, streams * FAST)).cpu


async def many_readers(stage: Stage, more: int, seconds: float) -> float:
    """CPU microseconds per token for each reader of an answer beyond the first."""
    async with stage.running(CHATPROXY) as server, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{server.port}{SESSIONS}"
        async with http.post(url) as response:
            session = (await response.json())["id"]
        request = send(server.port, session, f"{FAST} {ENDLESS} 0")
        with dropping(await read(server.port, [request], Tally())) as readers:
            async with http.get(f"{url}/{session}") as response:
                answer = (await response.json())["activeMessageId"]
            await asyncio.sleep(seconds / 3)
            alone = await _cpu_of_one(server, readers[0], seconds)
            path = f"{SESSIONS}/{session}/messages/{answer}/stream"
            readers += await read(server.port, [_get(server, path)] * more, Tally())
            await asyncio.sleep(seconds / 3)
            return (await _cpu_of_one(server, readers[0], seconds) - alone) / more


async def _cpu_of_one(server: Server, reader: Reader, seconds: float) -> float:
    """Microseconds per token of the answer, whatever the number of its readers."""
    cpu, seen = server.cpu, reader.seen
    await asyncio.sleep(seconds)
    return (server.cpu - cpu) * 1e6 / max(1, reader.seen - seen)


@dataclass(frozen=True)
class Return:
    streams: int
    all_back: float  # seconds until every one had its next token
    lost: int  # tokens that were not seen exactly once


async def all_come_back(stage: Stage, streams: int, seconds: float) -> Return | None:
    """Every reader's connection breaks at the same moment, and each resumes at once; the answers go on for
    so many seconds, and are read to their end. None where so many do not even start within the time."""
    tokens = int(RATE * seconds)
    async with stage.running(CHATPROXY) as server:
        requests = await server.requests(streams, f"{RATE} {tokens} 0")
        try:
            before = await read(server.port, requests, Tally())
        except OVERLOADED:
            return None
        await asyncio.sleep(seconds / 4)
        for reader in before:
            reader.drop()
        since = monotonic()
        again = [_resume(server, *pair) for pair in zip(requests, before, strict=True)]
        with dropping(await read(server.port, again, Tally(), at_once=streams)) as after:
            all_back = max(reader.first for reader in after) - since
            await _until(lambda: all(reader.ended.done() for reader in after))
            seen = [old.seen + new.seen for old, new in zip(before, after, strict=True)]
        return Return(streams, all_back, sum(abs(tokens - number) for number in seen))


def _resume(server: Server, request: bytes, reader: Reader) -> bytes:
    path = request.split(b" ", 2)[1].decode().removesuffix("/stream")
    return _get(server, f"{path}/{reader.answer_id}/stream", f"Last-Event-ID: {reader.cursor}\r\n")


def _get(server: Server, path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{headers}\r\n".encode()


@dataclass(frozen=True)
class Cost:
    """Medians: of the time on the clock and of CPU, in milliseconds."""

    wall: float
    cpu: float
    asking: float  # of the time on the clock, until Ollama is asked; 0 where it is not


@dataclass(frozen=True)
class HistoryMessage:
    """What one send and one list of sessions cost."""

    send: Cost
    listing: Cost


async def short_and_long_past(
    stage: Stage, short: tuple[int, int], long: tuple[int, int], repeats: int
) -> tuple[HistoryMessage, HistoryMessage]:
    """Each is a number of sessions, and of messages in the one that is sent to; taken in turns."""
    async with AsyncExitStack() as stack:
        servers = [await _with_past(stack, stage, *numbers) for numbers in (short, long)]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        sends = await _in_turns(servers, _send, repeats)
        lists = await _in_turns(servers, lambda server: _list(http, server), repeats)
        first, second = (HistoryMessage(*costs) for costs in zip(sends, lists, strict=True))
        return first, second


async def _with_past(stack: AsyncExitStack, stage: Stage, sessions: int, messages: int) -> Server:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench")))
    async with stage.running(CHATPROXY, folder):
        pass  # creates the tables
    await asyncio.to_thread(fill, folder / "chat.db", sessions, messages)
    return await stack.enter_async_context(stage.running(CHATPROXY, folder))


async def _in_turns(
    servers: list[Server], act: Callable[[Server], Awaitable[float]], repeats: int
) -> list[Cost]:
    """`act` tells how many milliseconds passed until Ollama was asked."""
    found: dict[int, list[Cost]] = {server.port: [] for server in servers}
    for _ in range(repeats):
        for server in servers:
            since, before = monotonic(), server.cpu
            asking = await act(server)
            wall, cpu = monotonic() - since, server.cpu - before
            found[server.port].append(Cost(wall * 1000, cpu * 1000, asking))
    return [
        Cost(*(median(getattr(cost, name) for cost in costs) for name in ("wall", "cpu", "asking")))
        for costs in found.values()
    ]


async def _send(server: Server) -> float:
    """To the end of an answer of one token; the milliseconds until Ollama was asked for it."""
    (reader,) = await read(server.port, [send(server.port, SESSION, "1000 1 0")], Tally())
    await reader.ended
    return (reader.reached - reader.asked) * 1000


async def _list(http: aiohttp.ClientSession, server: Server) -> float:
    async with http.get(f"http://127.0.0.1:{server.port}{SESSIONS}?limit=10") as response:
        assert len((await response.json())["sessions"]) == 10
    return 0


async def _until(predicate: Callable[[], bool]) -> None:
    async with asyncio.timeout(4 * PATIENCE):
        while not predicate():  # noqa: ASYNC110 - a poll is the point
            await asyncio.sleep(POLL)
