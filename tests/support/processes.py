"""chatproxy as whoever runs it sees it: a command with flags, an environment, signals and an exit code."""

import asyncio
import os
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
from chat_client import Client

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = (sys.executable, str(ROOT / "proxy.py"))
INSTALLED: Final = (str(Path(sys.executable).with_name("chatproxy")),)
LISTENING: Final = "chatproxy is listening on "


def environment(**settings: object) -> dict[str, str]:
    """These settings and no others, whatever the tests themselves run under."""
    given = {name.upper(): str(value) for name, value in settings.items()}
    return {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **given}


def ran(
    folder: Path, variables: dict[str, str], *flags: str, command: Sequence[str] = SCRIPT
) -> subprocess.CompletedProcess[str]:
    """To its end, for what does not go on to serve."""
    return subprocess.run(
        [*command, *flags], cwd=folder, env=variables, capture_output=True, text=True, timeout=30
    )


class Process:
    """One that serves. Its working folder is the test's, so that `.env` and the database are there."""

    def __init__(self, child: Child, client: Client, log: Path) -> None:
        self.client = client
        self.child = child
        self._log = log

    @classmethod
    @asynccontextmanager
    async def running(
        cls, folder: Path, *flags: str, command: Sequence[str] = SCRIPT, **settings: object
    ) -> AsyncIterator[Self]:
        """On a free port unless the settings name one; killed after the block if it still runs."""
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
            line = await _first_line(child)
            assert line.startswith(LISTENING), log.read_text()
            url = line.removeprefix(LISTENING).strip()
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
                yield cls(child, Client(http, url), log)
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.communicate()

    @property
    def said(self) -> str:
        """On stderr."""
        return self._log.read_text()

    def send_signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def ended(self, within: float = 8) -> int:
        """Its exit code; Docker would kill it after 10 s."""
        async with asyncio.timeout(within):
            return await self.child.wait()


async def _first_line(child: Child) -> str:
    assert child.stdout is not None
    async with asyncio.timeout(20):
        return (await child.stdout.readline()).decode()
