"""Measurements of chatproxy alone: start, long answers, many readers, mass resumption, long histories."""

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
from benchmarks.load import TIMEOUT, StreamReader, Tally, read
from benchmarks.measure import ENDLESS, OVERLOADED, RATE, dropping, sample

SESSIONS: Final = "/api/chat/sessions"
FAST: Final = 200  # tokens per second, for measurements with few streams
POLL: Final = 0.002  # seconds


async def start(stage: Stage) -> tuple[float, int]:
    """Return the milliseconds until `/readyz` answers 200, and the bytes of memory used when idle."""
    since = monotonic()
    async with aiohttp.ClientSession() as http, stage.running(CHATPROXY) as server:
        while not await _ready(http, server):  # noqa: ASYNC110 - a poll is the point
            await asyncio.sleep(POLL)
        return (monotonic() - since) * 1000, server.memory


async def _ready(http: aiohttp.ClientSession, server: Server) -> bool:
    async with http.get(f"http://127.0.0.1:{server.port}/readyz") as response:
        return response.status == 200


async def long_answers(stage: Stage, streams: int, already: int, seconds: float) -> float:
    """Return CPU microseconds per token of answers that already have that many tokens."""
    async with stage.running(CHATPROXY) as server:
        tally = Tally()
        requests = await server.requests(streams, f"{FAST} {ENDLESS} {already}")
        with dropping(await read(server.port, requests, tally)) as readers:
            await _until(lambda: all(reader.seen > already for reader in readers))
            await asyncio.sleep(seconds / 3)
            return (await sample(server, tally, seconds, streams * FAST)).cpu


async def many_readers(stage: Stage, more: int, seconds: float) -> float:
    """Return CPU microseconds per token for each further reader of an answer."""
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


async def _cpu_of_one(server: Server, reader: StreamReader, seconds: float) -> float:
    """Return CPU microseconds per token of one answer, for all its readers together."""
    cpu, seen = server.cpu, reader.seen
    await asyncio.sleep(seconds)
    return (server.cpu - cpu) * 1e6 / max(1, reader.seen - seen)


@dataclass(frozen=True)
class ResumeResult:
    """What a mass resumption cost."""

    streams: int
    all_resumed: float  # seconds until every reader had its next token
    lost: int  # tokens that were not received exactly once


async def resume_all(stage: Stage, streams: int, seconds: float) -> ResumeResult | None:
    """Break every reader's connection at the same moment, resume all at once, and read to the end.

    The answers last that many seconds. None if not all streams start within the time limit.
    """
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
            all_resumed = max(reader.first for reader in after) - since
            await _until(lambda: all(reader.ended.done() for reader in after))
            seen = [old.seen + new.seen for old, new in zip(before, after, strict=True)]
        return ResumeResult(streams, all_resumed, sum(abs(tokens - number) for number in seen))


def _resume(server: Server, request: bytes, reader: StreamReader) -> bytes:
    path = request.split(b" ", 2)[1].decode().removesuffix("/stream")
    return _get(server, f"{path}/{reader.answer_id}/stream", f"Last-Event-ID: {reader.cursor}\r\n")


def _get(server: Server, path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{headers}\r\n".encode()


@dataclass(frozen=True)
class Cost:
    """Medians in milliseconds, of wall-clock time and of CPU time."""

    wall: float
    cpu: float
    until_ollama: float  # wall-clock time until Ollama is called; 0 if it is not


@dataclass(frozen=True)
class HistoryCost:
    """The cost of one send and of one list of sessions."""

    send: Cost
    listing: Cost


async def short_and_long_history(
    stage: Stage, short: tuple[int, int], long: tuple[int, int], repeats: int
) -> tuple[HistoryCost, HistoryCost]:
    """Measure two databases in turns.

    `short` and `long` are each a number of sessions, and of messages in the session that is sent to.
    """
    async with AsyncExitStack() as stack:
        servers = [await _with_history(stack, stage, *numbers) for numbers in (short, long)]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        sends = await _in_turns(servers, _send, repeats)
        lists = await _in_turns(servers, lambda server: _list(http, server), repeats)
        first, second = (HistoryCost(*costs) for costs in zip(sends, lists, strict=True))
        return first, second


async def _with_history(stack: AsyncExitStack, stage: Stage, sessions: int, messages: int) -> Server:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench")))
    async with stage.running(CHATPROXY, folder):
        pass  # creates the tables
    await asyncio.to_thread(fill, folder / "chat.db", sessions, messages)
    return await stack.enter_async_context(stage.running(CHATPROXY, folder))


async def _in_turns(
    servers: list[Server], act: Callable[[Server], Awaitable[float]], repeats: int
) -> list[Cost]:
    """Measure `act`, which returns the milliseconds until Ollama was called."""
    found: dict[int, list[Cost]] = {server.port: [] for server in servers}
    for _ in range(repeats):
        for server in servers:
            since, before = monotonic(), server.cpu
            until_ollama = await act(server)
            wall, cpu = monotonic() - since, server.cpu - before
            found[server.port].append(Cost(wall * 1000, cpu * 1000, until_ollama))
    return [
        Cost(*(median(getattr(cost, name) for cost in costs) for name in ("wall", "cpu", "until_ollama")))
        for costs in found.values()
    ]


async def _send(server: Server) -> float:
    """Send, read the answer of one token, and return the milliseconds until Ollama was called."""
    (reader,) = await read(server.port, [send(server.port, SESSION, "1000 1 0")], Tally())
    await reader.ended
    return (reader.reached - reader.asked) * 1000


async def _list(http: aiohttp.ClientSession, server: Server) -> float:
    async with http.get(f"http://127.0.0.1:{server.port}{SESSIONS}?limit=10") as response:
        assert len((await response.json())["sessions"]) == 10
    return 0


async def _until(predicate: Callable[[], bool]) -> None:
    async with asyncio.timeout(4 * TIMEOUT):
        while not predicate():  # noqa: ASYNC110 - a poll is the point
            await asyncio.sleep(POLL)
