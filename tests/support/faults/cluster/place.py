"""The place: PostgreSQL, replicas that are started again when they end, and nginx before them.

    async with Cluster.running(folder, fake.url) as cluster:
        await cluster.replicas[0].kill()
        client = Client(http, cluster.url)       # by nginx; cluster.replicas[0].url is a door of its own

The last replica reaches PostgreSQL by a `Wire`.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import asyncpg
from postgres import Server
from processes import SCRIPT, Process
from proxies import PROXIES, running
from waiting import until

from faults.cluster.wire import Wire
from faults.place import chatproxy, free_port, terminated

DATABASE: Final = "chat"
SITE: Final = """
error_log @FOLDER@/errors;
upstream doors {
    @DOORS@
    keepalive 16;
}
server {
    listen 127.0.0.1:@PORT@;
    location / {
        proxy_pass http://doors;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_buffering off;
    }
}
"""


class Replica:
    """One chatproxy, on the same port in each of its lives."""

    def __init__(self, name: str, folder: Path, ollama: str, settings: dict[str, Any]) -> None:
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: Process | None = None
        self._ollama = ollama
        self._settings = settings
        self._life = AsyncExitStack()

    async def start(self) -> None:
        """Start it, again and again while PostgreSQL is away."""
        while self.process is None:
            life = chatproxy(self.folder, self._ollama, SCRIPT, port=self.port, **self._settings)
            with suppress(AssertionError):
                self.process = await self._life.enter_async_context(life)

    async def kill(self) -> None:
        """Kill it, as a power failure does."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.child.kill()
        await self._end()

    async def terminate(self) -> None:
        """Let it end well."""
        if self.process is not None:
            await terminated(self.process)
            await self._end()

    def pause(self) -> None:
        """Stop it in the middle of what it does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def _end(self) -> None:
        self.process = None
        await self._life.aclose()

    async def close(self) -> None:
        """Kill it if it lives."""
        await self._life.aclose()

    @property
    def said(self) -> str:
        """What it has written to stderr, in all of its lives."""
        return (self.folder / "stderr.log").read_text()


class Cluster:
    def __init__(self, server: Server, replicas: Sequence[Replica], wire: Wire, url: str) -> None:
        self.server = server
        self.replicas = replicas
        self.wire = wire
        self.url = url

    @classmethod
    @asynccontextmanager
    async def running(
        cls, folder: Path, ollama: str, number: int = 3, **settings: Any
    ) -> AsyncIterator[Self]:
        """Run it for the block; replicas start at once, on an empty database."""
        server = Server(folder / "server")
        await asyncio.to_thread(_prepare, server)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, server.stop)
            beside = _folder(folder / "wire")
            wire = await stack.enter_async_context(Wire.before(server.folder, beside))
            replicas = []
            for each in range(number):
                socket = beside if each == number - 1 > 0 else server.folder
                url = f"postgresql://{server.owner}@/{DATABASE}?host={socket}"
                given = {"database_url": url, "embedding_model": "none"} | settings
                replica = Replica("ABCDEFGH"[each], _folder(folder / f"replica-{each}"), ollama, given)
                stack.push_async_callback(replica.close)
                replicas.append(replica)
            await asyncio.gather(*[replica.start() for replica in replicas])
            port = free_port()
            doors = "\n".join(f"server 127.0.0.1:{each.port} max_fails=0;" for each in replicas)
            site = SITE.replace("@DOORS@", doors)
            await stack.enter_async_context(running(PROXIES["nginx"], _folder(folder / "nginx"), port, site))
            cluster = cls(server, replicas, wire, f"http://127.0.0.1:{port}")
            await until(cluster._is_open)
            yield cluster

    async def _is_open(self) -> bool:
        async with aiohttp.ClientSession() as http:
            with suppress(aiohttp.ClientError):
                async with http.get(f"{self.url}/healthz") as response:
                    return response.status == 200
        return False

    async def sql(self, query: str, *arguments: object) -> Sequence[Any]:
        """Return the rows of a query as the superuser. Raises PostgreSQL's errors, and OSError."""
        connection = await asyncpg.connect(self.server.url(DATABASE), timeout=5, command_timeout=5)
        try:
            rows: Sequence[Any] = await connection.fetch(query, *arguments)
            return rows
        finally:
            connection.terminate()

    async def streaming(self) -> dict[int, set[int]]:
        """Return the answers that are being written, by replica."""
        found: dict[int, set[int]] = {}
        for row in await self.sql("SELECT id, replica FROM chatproxy.message WHERE status = 'streaming'"):
            found.setdefault(row["replica"], set()).add(row["id"])
        return found

    async def living(self) -> set[int]:
        """Return the replicas that have a row."""
        return {row["id"] for row in await self.sql("SELECT id FROM chatproxy.replica")}

    async def start_server(self) -> None:
        """Start PostgreSQL, which was killed; the first attempts may meet what is left of it."""
        while True:
            try:
                return await asyncio.to_thread(self.server.start)
            except RuntimeError:
                await asyncio.sleep(0.1)


def _prepare(server: Server) -> None:
    server.folder.parent.chmod(0o755)  # PostgreSQL and nginx do not run as root
    server.create()
    # What is committed has reached the system, which outlives the server here.
    with (server.folder / "data" / "postgresql.conf").open("a") as file:
        file.write("synchronous_commit = on\n")
    server.start()
    server.psql(f"CREATE DATABASE {DATABASE}")


def _folder(path: Path) -> Path:
    path.mkdir()
    path.chmod(0o755)
    return path
