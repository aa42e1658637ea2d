"""Read and split a file in a process of its own, so that a hostile file can bring down nothing else.

A thread cannot be killed, and an endless loop in a parser, or a decompression bomb, would take the whole
server with it. The process is limited in time, memory and output, and returns its result as JSON.
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

from chatproxy.documents.chunks import split_text
from chatproxy.documents.extract import extract
from chatproxy.errors import ChatError, Details, shutting_down

CPU_LIMIT: Final = 60  # seconds; enough for a real file of a few hundred pages
TIMEOUT: Final = 180  # seconds of wall-clock time; longer, because the machine may be busy
MEMORY_LIMIT: Final = 1024**3  # bytes of address space
ENVIRONMENT: Final = ("PATH", "LANG", "LD_LIBRARY_PATH")  # the last is for a Python built as a shared library
MAX_PROCESSES: Final = 2
MAX_WAITING: Final = 8  # files waiting for a process


class Contents(Struct, frozen=True, tag=True):
    """What a file holds, as `store` keeps it."""

    media_type: str
    chunks: list[str]


class Refusal(Struct, frozen=True, tag=True):
    """A ChatError on its way out of the process."""

    code: str
    sentence: str
    details: Details = {}


LIMIT_EXCEEDED: Final = Refusal(
    "invalid",
    "The file takes too long or too much memory to read; save it again, or as plain text.",
    {"field": "file"},
)


class DocumentReader:
    """Reads up to MAX_PROCESSES files at a time; up to MAX_WAITING more wait, each open and on disk."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Contents | Refusal]] = set()
        self._processes = asyncio.Semaphore(MAX_PROCESSES)
        self._closed = False

    async def read(self, file: BinaryIO, promised: str) -> Contents:
        """Return the contents of a file; `promised` is what `extract.media_type` returned for its name.

        Raises what `extract.extract` raises, `overloaded` if too many files are waiting, and
        `shutting_down` if the reader is or gets closed.
        """
        closed = shutting_down("send the document again in a moment")
        if self._closed:
            raise closed
        if len(self._tasks) == MAX_PROCESSES + MAX_WAITING:
            raise ChatError(
                "overloaded",
                f"{MAX_WAITING} documents are waiting to be read already; try again in a few seconds.",
                retry_after=10,
            )
        task = asyncio.create_task(self._read(file, promised))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            result = await task
        except asyncio.CancelledError:
            if self._closed:
                raise closed from None
            raise
        if isinstance(result, Refusal):
            raise ChatError(result.code, result.sentence, **result.details)
        return result

    async def _read(self, file: BinaryIO, promised: str) -> Contents | Refusal:
        async with self._processes:
            file.seek(0)
            return await _run_process(file, promised)

    async def close(self) -> None:
        """Refuse further files, end all processes, and return once they have ended."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _run_process(file: BinaryIO, promised: str) -> Contents | Refusal:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", __name__, promised),
        stdin=file,
        stdout=PIPE,
        stderr=DEVNULL,
        # Only what Python needs to start: the environment may hold secrets.
        env={
            **{name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            output, _ = await process.communicate()
        return msgspec.json.decode(output, type=Contents | Refusal)
    except (TimeoutError, msgspec.DecodeError):  # a process that the system killed has written nothing
        return LIMIT_EXCEEDED
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


# -- in the process


def main() -> None:
    """Read the file on stdin, of the type named in `argv[1]`, and write the result to stdout as JSON."""
    gc.disable()  # saves a third of the time for a long DOCX, and this process is short-lived
    _limit_resources()
    try:
        extracted = extract(sys.stdin.buffer, sys.argv[1])
        result: Contents | Refusal = Contents(extracted.media_type, list(split_text(extracted.text)))
    except ChatError as error:
        result = Refusal(error.code, error.sentence, error.details)
    sys.stdout.buffer.write(msgspec.json.encode(result))


def _limit_resources() -> None:
    """Limit this process's CPU time, memory and output.

    Unsupported limits are skipped; the parent's timeout still applies.
    """
    for limit, value in (
        (resource.RLIMIT_CPU, CPU_LIMIT),
        (resource.RLIMIT_AS, MEMORY_LIMIT),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))


if __name__ == "__main__":  # pragma: no cover
    main()
