"""What is compared: how each contestant is started, and which request opens a stream."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp

from benchmarks import machine
from benchmarks.speed.fake_ollama import FakeOllama
from benchmarks.speed.load import StreamReader

CHECKOUT: Final = Path(__file__).parents[2]
MAX_STREAMS: Final = 10_000  # the limit set for every contestant that has one
START_TIMEOUT: Final = 20.0  # seconds
POLL: Final = 0.002  # seconds
_ANSWER_ID: Final = re.compile(rb'"assistantMessageId":([0-9]+)')


@dataclass(frozen=True)
class Contestant:
    """A way from a reader to Ollama."""

    name: str
    command: Callable[[Path, int, int], list[str]] | None  # by folder and ports; None: nothing is in between
    requests: Callable[[int, int, str], Awaitable[list[bytes]]]  # by port, number and message
    ready: str = ""  # path that is answered by 200 when it is ready


@dataclass(frozen=True)
class Server:
    """A running contestant with its Ollama."""

    name: str
    ollama: FakeOllama
    port: int
    make_requests: Callable[[int, int, str], Awaitable[list[bytes]]]
    pid: int | None = None

    async def requests(self, number: int, tokens: int, prompt: int = 0) -> list[bytes]:
        """Return requests for that many streams of so many tokens, after `prompt` milliseconds."""
        return await self.make_requests(self.port, number, f"{tokens} {prompt}")

    @property
    def cpu(self) -> float:
        """CPU seconds used so far; NaN without a process."""
        return nan if self.pid is None else machine.cpu_seconds(self.pid)

    @property
    def memory(self) -> float:
        """Resident bytes."""
        return nan if self.pid is None else machine.memory(self.pid)


def _post(port: int, path: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def _to_ollama(port: int, number: int, message: str) -> list[bytes]:
    body = {"model": "bench", "messages": [{"role": "user", "content": message}], "stream": True}
    return [_post(port, "/api/chat", body)] * number


async def _to_chatproxy(port: int, number: int, message: str) -> list[bytes]:
    """Create a session for each stream."""
    slot = asyncio.Semaphore(16)

    async def request(http: aiohttp.ClientSession) -> bytes:
        async with slot, http.post("/api/chat/sessions") as response:
            session = (await response.json())["id"]
        return _post(port, f"/api/chat/sessions/{session}/messages/stream", {"message": message})

    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        return list(await asyncio.gather(*[request(http) for _ in range(number)]))


def one_more(reader: StreamReader) -> bytes | None:
    """Return the request of one more reader of the same answer; None if it can have only one."""
    if not (answer := _ANSWER_ID.search(reader.opening)):
        return None
    _, path, rest = reader.request.split(b" ", 2)
    path = path.replace(b"/stream", b"/%b/stream" % answer[1])
    return b"GET %b %b\r\n\r\n" % (path, rest.partition(b"\r\nContent-Type")[0])


def _nginx(folder: Path, ollama: int, port: int) -> list[str]:
    text = Path(__file__).with_name("nginx.conf").read_text()
    for name, value in {"FOLDER": folder, "OLLAMA": ollama, "PORT": port}.items():
        text = text.replace(name, str(value))
    (folder / "nginx.conf").write_text(text)
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _chatproxy(checkout: Path, database: str, folder: Path, ollama: int, port: int) -> list[str]:
    """Return the real command, with all features on; only the limits are raised."""
    settings = {
        "port": port,
        "ollama-host": f"127.0.0.1:{ollama}",
        "database-url": database or f"sqlite:///{folder}/chat.db",
        "default-model": "bench",
        "context-window": 2048,
        "max-concurrent-generations": MAX_STREAMS,
        "max-queued-generations": MAX_STREAMS,
        "max-subscribers": MAX_STREAMS,
    }
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    return [sys.executable, str(checkout / "proxy.py"), *flags]


DIRECT: Final = Contestant("direct", None, _to_ollama)
NGINX: Final = Contestant("nginx", _nginx, _to_ollama, "/api/version")


def contestants(beside: Iterable[Path]) -> tuple[list[Contestant], list[str]]:
    """Return all that can be compared here, and the names of those of other checkouts."""
    nginx = [NGINX] if shutil.which("nginx") else []
    others = [chatproxy(f"`{folder.resolve().name}`", checkout=folder.resolve()) for folder in beside]
    return [DIRECT, *nginx, chatproxy("chatproxy"), *others], [each.name for each in others]


def chatproxy(name: str, database: str = "", checkout: Path = CHECKOUT) -> Contestant:
    """Return chatproxy on a database; by default, on one of its own, with SQLite."""
    return Contestant(name, partial(_chatproxy, checkout, database), _to_chatproxy, "/readyz")


@asynccontextmanager
async def running(contestant: Contestant, cores: set[int]) -> AsyncIterator[Server]:
    """Run a contestant on these cores, from when it is ready until the block ends."""
    ollama = FakeOllama()
    async with await ollama.listen():
        if contestant.command is None:
            yield Server(contestant.name, ollama, ollama.port, contestant.requests)
            return
        with TemporaryDirectory(prefix="bench") as folder, (Path(folder) / "log").open("w+b") as log:
            port = _free_port()
            process = await asyncio.create_subprocess_exec(
                *contestant.command(Path(folder), ollama.port, port),
                cwd=folder,
                env={"PATH": os.environ["PATH"]},
                stdout=log,
                stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
            try:
                async with asyncio.timeout(START_TIMEOUT):
                    while not await _answers(port, contestant.ready):
                        if process.returncode is not None:
                            log.seek(0)
                            raise RuntimeError(f"{contestant.name} ended: {log.read().decode()}")
                        await asyncio.sleep(POLL)
                yield Server(contestant.name, ollama, port, contestant.requests, process.pid)
            finally:
                for pid in list(machine.family(process.pid)) if process.returncode is None else []:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await process.wait()


async def _answers(port: int, path: str) -> bool:
    """Return whether it answers a request by 200."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    status = await reader.readline()
    writer.close()
    return b" 200 " in status


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
