"""How much later than from Ollama itself the first text of a short answer comes, in each kind of session.

Requests are sent one at a time over kept connections, to Ollama and to chatproxy in turns.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import Final

import aiohttp

from benchmarks.contestants import CHATPROXY, DIRECT, Stage, send
from benchmarks.figures import SESSIONS

PAUSE: Final = 0.02  # seconds before each request: a person's is not the next thing that the server does
IDLE: Final = 1.0
PROMPT: Final = 30  # milliseconds that a small model takes for a short prompt
WARM_UP: Final = 3  # requests that do not count
GROWTH: Final = 5  # a session is used until it is longer by a fifth
FIRST: Final = b'content":" t'
END: Final = b"\r\n0\r\n\r\n"
TEXT: Final = "\n\n".join(f"In the year {year}, the harbour was deepened." for year in range(1000, 1900))


@dataclass(frozen=True)
class Case:
    """What is sent, and where: to a session of so many turns, or a few more."""

    name: str
    turns: int = 0
    with_document: bool = False
    pause: float = PAUSE
    prompt: int = PROMPT  # milliseconds until Ollama's first token


CASES: Final = (
    Case("a new session"),
    Case("a session of 10 turns", turns=10),
    Case("a session of 100 turns", turns=100),
    Case("a new session, with a document", with_document=True),
    Case("a new session, after an idle second", pause=IDLE),
    Case("a new session, of a model that takes no time", prompt=0),
)


@dataclass(frozen=True)
class Delay:
    """Milliseconds from Ollama's own first text to chatproxy's."""

    case: str
    median: float
    late: float  # 90th percentile


class Connection:
    """A kept connection, over which one stream is read after the other."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def first_text(self, request: bytes) -> float:
        """Return the milliseconds from a request to the first text, and read the rest."""
        asked, first, read = monotonic(), 0.0, b""
        self._writer.write(request)
        while not read.endswith(END):
            if not (data := await self._reader.read(65536)):
                raise ConnectionError(f"a stream broke: {read[-200:]!r}")
            read += data
            first = first or (FIRST in read) * monotonic()
        return (first - asked) * 1000


@asynccontextmanager
async def _connection(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        yield Connection(reader, writer)


async def measure(stage: Stage, repeats: int, idle_repeats: int) -> list[Delay]:
    """Measure every case `repeats` times; the ones after an idle second are `idle_repeats`."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(stage.running(CHATPROXY))
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{server.port}"))
        direct = await stack.enter_async_context(_connection(stage.ollama))
        proxied = await stack.enter_async_context(_connection(server.port))
        document = await _upload(http)
        found = []
        for case in CASES:
            number = repeats if case.pause == PAUSE else idle_repeats
            message = f"1000 1 0 {case.prompt}"
            (plain,) = await DIRECT.make_requests(stage.ollama, 1, message)
            later = []
            sessions = _sessions(server.port, http, proxied, case)
            fields = {"document_id": document} if case.with_document else {}
            for _ in range(WARM_UP + number):
                request = send(server.port, await anext(sessions), message, **fields)
                await asyncio.sleep(case.pause)
                beside = await direct.first_text(plain)
                await asyncio.sleep(case.pause)
                later.append(await proxied.first_text(request) - beside)
            later = sorted(later[WARM_UP:])
            found.append(Delay(case.name, median(later), later[number * 9 // 10]))
        return found


async def _sessions(
    port: int, http: aiohttp.ClientSession, connection: Connection, case: Case
) -> AsyncIterator[str]:
    """Yield ids of sessions of the case's length, or a few turns longer."""
    while True:
        async with http.post(SESSIONS) as response:
            session = (await response.json())["id"]
        for _ in range(case.turns):
            await connection.first_text(send(port, session, "1000 1 0"))
        for _ in range(max(1, case.turns // GROWTH)):
            yield session


async def _upload(http: aiohttp.ClientSession) -> int:
    form = aiohttp.FormData()
    form.add_field("file", TEXT.encode(), filename="harbour.txt")
    async with http.post("/api/documents", data=form) as response:
        return int((await response.json())["id"])
