"""A file read and cut in a process of its own, which a hostile file may bring down and nothing else.

A thread cannot be killed, and a parser's endless loop or a bomb would take the whole server along. The
process has a limit on time, on memory, and on what it may write; what it finds comes back as JSON.
"""

import asyncio
import gc
import os
import resource
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from chatproxy.documents.chunks import chunks
from chatproxy.documents.extract import extract
from chatproxy.errors import ChatError, Details, shutting_down

CPU: Final = 60  # seconds of work; a hostile file does nothing but work, a real one has some hundred pages
SECONDS: Final = 180  # by the clock, on a machine that has other things to do
MEMORY: Final = 1024**3  # bytes of address space
NEEDED: Final = ("PATH", "LANG", "LD_LIBRARY_PATH")  # the last where Python itself is a shared library
AT_ONCE: Final = 2
WAITING: Final = 8  # for their turn; past them none is taken


class Contents(Struct, frozen=True, tag=True):
    media_type: str
    chunks: list[str]


class Refusal(Struct, frozen=True, tag=True):
    code: str
    sentence: str
    details: Details = {}


STOPPED: Final = Refusal(
    "invalid",
    "The file takes too long or too much memory to read; save it anew, or as plain text.",
    {"field": "file"},
)


class Reader:
    """Reads a few files at once; a few more wait, each of which is kept open and on the disk."""

    def __init__(self) -> None:
        self._reading: set[asyncio.Task[Contents | Refusal]] = set()  # or waiting for its turn
        self._free = asyncio.Semaphore(AT_ONCE)
        self._closed = False

    async def read(self, file: BinaryIO, promised: str) -> Contents:
        """`promised` is a media type of `documents.extract`. Raises what that raises, `overloaded`, or
        `shutting_down`."""
        refusal = shutting_down("send the document again in a moment")
        if self._closed:
            raise refusal
        if len(self._reading) == AT_ONCE + WAITING:
            raise ChatError(
                "overloaded",
                f"{WAITING} documents are waiting to be read already; try again in a few seconds.",
                retry_after=10,
            )
        reading = asyncio.create_task(self._read(file, promised))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        try:
            found = await reading
        except asyncio.CancelledError:
            if self._closed:
                raise refusal from None
            raise
        if isinstance(found, Refusal):
            raise ChatError(found.code, found.sentence, **found.details)
        return found

    async def _read(self, file: BinaryIO, promised: str) -> Contents | Refusal:
        async with self._free:
            file.seek(0)
            return await _answer(file, promised)

    def close(self) -> None:
        """Whoever waits for a file to be read, or still comes with one, is told `shutting_down`."""
        self._closed = True
        for reading in self._reading:
            reading.cancel()


async def _answer(file: BinaryIO, promised: str) -> Contents | Refusal:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", __name__, promised),
        stdin=file,
        stdout=PIPE,
        stderr=DEVNULL,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(SECONDS):
            written, _ = await process.communicate()
        return msgspec.json.decode(written, type=Contents | Refusal)
    except (TimeoutError, msgspec.DecodeError):  # nothing is written by a process that was stopped
        return STOPPED
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _environment() -> dict[str, str]:
    """What Python needs to start; nothing that is secret."""
    needed = {name: os.environ[name] for name in NEEDED if name in os.environ}
    return {**needed, "PYTHONPATH": os.pathsep.join(sys.path)}


# -- in the process


def main() -> None:
    gc.disable()  # it takes a third of the time of a long DOCX, and this process ends soon
    _confine()
    try:
        found = extract(sys.stdin.buffer, sys.argv[1])
        answer: Contents | Refusal = Contents(found.media_type, list(chunks(found.text)))
    except ChatError as error:
        answer = Refusal(error.code, error.sentence, error.details)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def _confine() -> None:
    """From here on; where a system knows a limit not, the caller's clock is left."""
    for limit, most in (
        (resource.RLIMIT_CPU, CPU),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":  # pragma: no cover
    main()
