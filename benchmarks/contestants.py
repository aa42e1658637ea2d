"""The proxies that are compared: how each one is started, and which request opens a stream."""

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp

from benchmarks import machine

PEERS: Final = Path(__file__).with_name("peers")
COMMAND: Final = Path(__file__).parent.parent / "proxy.py"
BIN: Final = Path(sys.executable).parent
MAX_STREAMS: Final = 10_000  # the limit set for every contestant that has one
START_TIMEOUT: Final = 20.0  # seconds
POLL: Final = 0.002  # seconds


@dataclass(frozen=True)
class Place:
    """The folder and the ports of a contestant and of its Ollama."""

    folder: Path
    ollama: int  # port
    port: int


@dataclass
class Server:
    """A running contestant; `pid` is None for `direct`, which has no process."""

    contestant: "Contestant"
    port: int
    pid: int | None

    async def requests(self, number: int, message: str) -> list[bytes]:
        """Return HTTP requests for that many streams."""
        return await self.contestant.make_requests(self.port, number, message)

    @property
    def cpu(self) -> float:
        """CPU seconds used so far."""
        return 0.0 if self.pid is None else machine.cpu_seconds(self.pid)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return 0 if self.pid is None else machine.memory(self.pid)


RequestFactory = Callable[[int, int, str], Awaitable[list[bytes]]]  # port, number, message


@dataclass(frozen=True)
class Contestant:
    """A proxy to compare."""

    name: str
    command: Callable[[Place], list[str]]
    make_requests: RequestFactory
    needs: str = ""  # a Python package or a program
    max_streams: int = MAX_STREAMS


def is_installed(contestant: Contestant) -> bool:
    """Return whether what the contestant needs is on this machine."""
    needs = contestant.needs
    return not needs or shutil.which(needs) is not None or importlib.util.find_spec(needs) is not None


def post(port: int, path: str, body: object) -> bytes:
    """Return an HTTP request with a JSON body."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def _ollama_requests(port: int, number: int, message: str) -> list[bytes]:
    body = {"model": "bench", "messages": [{"role": "user", "content": message}], "stream": True}
    return [post(port, "/api/chat", body)] * number


async def _peer_requests(port: int, number: int, message: str) -> list[bytes]:
    return [post(port, "/stream", {"message": message})] * number


async def _chatproxy_requests(port: int, number: int, message: str) -> list[bytes]:
    """Create a session for each stream."""
    slot = asyncio.Semaphore(64)

    async def request(http: aiohttp.ClientSession) -> bytes:
        async with slot, http.post(f"http://127.0.0.1:{port}/api/chat/sessions") as response:
            session = (await response.json())["id"]
        return send(port, session, message)

    async with aiohttp.ClientSession() as http:
        return list(await asyncio.gather(*[request(http) for _ in range(number)]))


def send(port: int, session: str, message: str, **fields: object) -> bytes:
    """Return chatproxy's request for a streamed answer; `fields` are more of its body."""
    return post(port, f"/api/chat/sessions/{session}/messages/stream", {"message": message, **fields})


def _nginx(place: Place) -> list[str]:
    text = (PEERS / "nginx.conf").read_text()
    for name, value in {"FOLDER": place.folder, "OLLAMA": place.ollama, "PORT": place.port}.items():
        text = text.replace(name, str(value))
    (place.folder / "nginx.conf").write_text(text)
    return ["nginx", "-p", str(place.folder), "-c", str(place.folder / "nginx.conf")]


def _chatproxy(place: Place) -> list[str]:
    """Return the real command, with all features on; only the limits are raised."""
    settings = {
        "port": place.port,
        "ollama-host": f"127.0.0.1:{place.ollama}",
        "database-url": f"sqlite:///{place.folder}/chat.db",
        "default-model": "bench",
        "context-window": 2048,
        "max-concurrent-generations": MAX_STREAMS,
        "max-queued-generations": MAX_STREAMS,
        "max-subscribers": MAX_STREAMS,
    }
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    return [sys.executable, str(COMMAND), *flags]


def _flask(place: Place) -> list[str]:
    listen = ["--bind", f"127.0.0.1:{place.port}", "--backlog", "4096"]
    return [str(BIN / "gunicorn"), "--worker-class", "gthread", "--threads", "500", *listen, "flask_app:app"]


def _fastapi(place: Place) -> list[str]:
    engine = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return [str(BIN / "uvicorn"), "--port", str(place.port), *engine, "fastapi_app:app"]


def _aiohttp(place: Place) -> list[str]:
    return [sys.executable, str(PEERS / "aiohttp_app.py")]


DIRECT: Final = Contestant("direct", lambda place: [], _ollama_requests)
NGINX: Final = Contestant("nginx", _nginx, _ollama_requests, needs="nginx")
CHATPROXY: Final = Contestant("chatproxy", _chatproxy, _chatproxy_requests)
PASSING: Final = Contestant("chatproxy, passed on", _chatproxy, _ollama_requests)  # Ollama's own API
FLASK: Final = Contestant("Flask + requests", _flask, _peer_requests, needs="gunicorn", max_streams=500)
FASTAPI: Final = Contestant("FastAPI + httpx", _fastapi, _peer_requests, needs="fastapi")
AIOHTTP: Final = Contestant("aiohttp", _aiohttp, _peer_requests)
ALL: Final = (DIRECT, NGINX, CHATPROXY, PASSING, AIOHTTP, FASTAPI, FLASK)


@dataclass(frozen=True)
class Stage:
    """What all contestants share: the same Ollama and the same core."""

    ollama: int  # its port
    cores: set[int]

    @asynccontextmanager
    async def running(self, contestant: Contestant, folder: Path | None = None) -> AsyncIterator[Server]:
        """Run a contestant until the block ends, then kill it.

        If `folder` is given, it is where chatproxy keeps its database.
        """
        if contestant is DIRECT:
            yield Server(contestant, self.ollama, None)
            return
        with TemporaryDirectory(prefix="bench") as temporary:
            place = Place(folder or Path(temporary), self.ollama, _free_port())
            process = await self._start(contestant, place)
            try:
                await _wait_until_listening(process, place)
                yield Server(contestant, place.port, process.pid)
            finally:
                await _kill(process)

    async def _start(self, contestant: Contestant, place: Place) -> Process:
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PEERS),
            "PORT": str(place.port),
            "OLLAMA": str(place.ollama),
        }
        with (place.folder / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *contestant.command(place),
                cwd=place.folder,
                env=variables,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, self.cores),
            )


async def _wait_until_listening(process: Process, place: Place) -> None:
    async with asyncio.timeout(START_TIMEOUT):
        while process.returncode is None:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", place.port)
                writer.close()
                return
            await asyncio.sleep(POLL)
    raise RuntimeError(f"it did not start: {(place.folder / 'log').read_text()}")


async def _kill(process: Process) -> None:
    for pid in list(machine.family(process.pid)) if process.returncode is None else []:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def describe_missing(contestants: Sequence[Contestant]) -> str:
    """Return a sentence that names the contestants left out of the tables, and why."""
    left_out = [
        f"{each.name} ({each.needs} is not installed)" for each in contestants if not is_installed(each)
    ]
    return f"Left out: {', '.join(left_out)}." if left_out else ""
