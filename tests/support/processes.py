"""chatproxy as a command: flags, an environment, signals and an exit code.

    async with Process.running(tmp_path, "--demo", api_token="secret") as process:   # killed after the block
        await process.client.call("GET", "/healthz")

    run = ran(tmp_path, environment(port=0), "--version")                            # one that ends by itself
    assert run.returncode == 0

Settings become environment variables, and it has no others.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from asyncio.subprocess import Process as Child
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self

import aiohttp
from chat_client import TIMEOUT, Client
from waiting import PATIENCE

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = (sys.executable, str(ROOT / "proxy.py"))
INSTALLED: Final = (str(Path(sys.executable).with_name("chatproxy")),)
FIRST_LINE: Final = re.compile(r"Open (http://[^/\s]+(?:/[\w-]+)*)(?:/#code=([\w-]+))? in a browser.*")


def environment(**settings: object) -> dict[str, str]:
    """Return an environment with these settings and none of those that the tests run under."""
    given = {name.upper(): str(value) for name, value in settings.items()}
    return {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **given}


def ran(
    folder: Path, variables: dict[str, str], *flags: str, command: Sequence[str] = SCRIPT
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, for flags with which it does not serve."""
    return subprocess.run(
        [*command, *flags], cwd=folder, env=variables, capture_output=True, text=True, timeout=30
    )


def address(first_line: str) -> str:
    """Return the address of the server, as the first line of its output names it."""
    found = FIRST_LINE.fullmatch(first_line.strip())
    assert found, first_line
    return found[1]


class Process:
    """A command that serves. `.env` and the database are in its working folder."""

    def __init__(self, child: Child, client: Client, log: Path, first_line: str) -> None:
        self.client = client
        self.first_line = first_line
        self.child = child
        self._log = log

    @classmethod
    @asynccontextmanager
    async def running(
        cls, folder: Path, *flags: str, command: Sequence[str] = SCRIPT, **settings: object
    ) -> AsyncIterator[Self]:
        """Start it, on a free port unless the settings name one. Kill it after the block if it still runs."""
        log = folder / "stderr.log"
        with log.open("ab") as stderr:
            child = await asyncio.create_subprocess_exec(
                *command,
                *flags,
                cwd=folder,
                env=environment(**{"port": 0} | settings),
                stdout=PIPE,
                stderr=stderr,
            )
        try:
            line = await _next_line(child)
            assert FIRST_LINE.fullmatch(line), line + log.read_text()
            async with aiohttp.ClientSession(timeout=TIMEOUT) as http:
                yield cls(child, Client(http, address(line)), log, line)
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.communicate()

    async def next_line(self) -> str:
        """Return the next line of its stdout, after the first one."""
        return await _next_line(self.child)

    @property
    def said(self) -> str:
        """All of its stderr until now."""
        return self._log.read_text()

    def send_signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def ended(self, within: float = 8) -> int:
        """Return its exit code. Docker would kill it after 10 s."""
        async with asyncio.timeout(within):
            return await self.child.wait()


async def _next_line(child: Child) -> str:
    assert child.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await child.stdout.readline()).decode().strip()
