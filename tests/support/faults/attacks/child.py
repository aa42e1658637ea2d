"""Processes that get ready, begin when they are asked to, and report at their end.

    async with started("faults.attacks.victims", url) as child:   # until it is ready
        child.go()                                                # it begins
            child.go()                                                # it ends, and
        report = await child.report(20)                           # says in one line of JSON what it saw

In the process, `await ready()` says that it is and returns at the first `go`; `next_go()` waits for the next.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from processes import ROOT, environment

START: Final = 120  # seconds to get ready, for filling a database too
POLITE: Final = ("nice", "-n", "10")  # before the command of a process that should not disturb the others


class Child:
    """A process that this one started."""

    def __init__(self, process: Process) -> None:
        self.pid = process.pid
        self.said = ""  # with `ready`
        self._process = process

    async def line(self, within: float) -> str:
        """Return its next line; empty if it has ended."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            return (await self._process.stdout.readline()).decode().strip()

    def go(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def report(self, within: float) -> Any:
        """Return what it printed as JSON; None if it does not within that many seconds."""
        with suppress(TimeoutError, ValueError):
            return json.loads(await self.line(within))
        return None


@asynccontextmanager
async def started(module: str, *arguments: object, polite: bool = True) -> AsyncIterator[Child]:
    """Run a module until its first line, and kill it after the block."""
    process = await asyncio.create_subprocess_exec(
        *(POLITE if polite else ()),
        *(sys.executable, "-m", module, *map(str, arguments)),
        env=environment(pythonpath=f"{ROOT}:{ROOT / 'tests' / 'support'}"),
        stdin=PIPE,
        stdout=PIPE,
        limit=16 * 1024**2,
    )
    try:
        child = Child(process)
        said = await child.line(START)
        assert said.startswith("ready"), f"{module} did not start: {said}"
        child.said = said.removeprefix("ready").strip()
        yield child
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ready(said: object = "") -> None:
    """Say so to the process that started this one, and wait until it says `go`."""
    print("ready", said, flush=True)
    await next_go()


async def next_go() -> None:
    """Wait until the process that started this one says `go` again."""
    await asyncio.to_thread(sys.stdin.readline)
