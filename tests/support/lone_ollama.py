"""A fake Ollama in a process of its own, which can be killed, stopped, and started again at its port.

    async with LoneOllama.running(port, "slow") as ollama:     # until it is killed, or the block ends
        ollama.child.kill()

It answers with "Hello.", at once or `slow`ly, which is later than any test waits, or is `busy`.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from asyncio.subprocess import Process as Child
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from fake_ollama import FakeOllama, Script, Scripted, answer, refused

SCRIPTS: Final[dict[str, Scripted]] = {
    "good": Script(answer("Hello.")),
    "slow": Script(answer("Hello."), delays=[300.0, 0.0]),
    "busy": refused(503, "server busy, please try again.  maximum pending requests exceeded"),
}


class LoneOllama:
    """The process, and where it listens."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.url = f"http://127.0.0.1:{port}"

    @classmethod
    @asynccontextmanager
    async def running(cls, port: int, script: str) -> AsyncIterator[Self]:
        """Run one while the block runs."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, __file__, str(port), script, stdout=PIPE, env={**os.environ}
        )
        assert child.stdout is not None
        try:
            async with asyncio.timeout(30):
                await child.stdout.readline()
            yield cls(child, port)
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()


async def _serve(port: int, script: str) -> None:
    async def start(app: web.Application, **options: object) -> TestServer:
        server = TestServer(app, port=port)
        await server.start_server(access_log=None)
        return server

    fake = FakeOllama(start)
    fake.script = SCRIPTS[script]
    await fake.start()
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
