"""Read and split a file in a process of its own, so that a hostile file can bring down nothing else.

A thread cannot be killed, and an endless loop in a parser, or a decompression bomb, would take the whole
server with it. The process is limited in time, memory and output, and its priority is low. It writes
a head, and then the chunks in batches, a line of JSON each, so that no document is in the server's memory as
a whole.
"""

import asyncio
import gc
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from typing import BinaryIO, Final, TypeVar

import msgspec
from msgspec import Struct

from chatproxy import clock
from chatproxy.background import background, interruptible
from chatproxy.documents.parts import Chunk, Remark
from chatproxy.errors import ChatError, Details, shutting_down
from chatproxy.fair import FairSlots
from chatproxy.system.process import LOW_PRIORITY, limit_resources, lower_priority

T = TypeVar("T")

CPU_LIMIT: Final = 60  # seconds; enough for a real file of a few hundred pages
TIMEOUT: Final = 180  # seconds on `clock`; longer, because the machine may be busy
MEMORY_LIMIT: Final = 768 * 1024**2  # bytes of address space
# The last two are for a Python built as a shared library, and for Windows, where none starts without it.
ENVIRONMENT: Final = ("PATH", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")
MAX_PROCESSES: Final = 3
PROCESSES_PER_USER: Final = 2
MAX_WAITING: Final = 32  # files waiting for a process
WAITING_PER_USER: Final = 8
BATCH: Final = 200  # chunks
MAX_LINE: Final = 2 * 1024 * 1024  # bytes; more than the JSON of a batch can have


class Head(Struct, frozen=True, tag=True):
    """What is known of a file before its chunks: its type, and what could not be read of it."""

    media_type: str
    remarks: Sequence[Remark]


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


class ReadFile(Struct, frozen=True):
    """A file that is being read: its type, what could not be read of it, and its chunks, in batches."""

    media_type: str
    remarks: Sequence[Remark]
    chunks: AsyncIterator[list[Chunk]]


class DocumentReader:
    """Reads a few files at a time; users take turns, and a few more files of each may wait."""

    def __init__(self) -> None:
        self._processes = FairSlots(
            MAX_PROCESSES,
            MAX_WAITING,
            slots_per_user=PROCESSES_PER_USER,
            places_per_user=WAITING_PER_USER,
            refusal=overloaded,
        )
        self._waits: set[asyncio.Timeout] = set()
        self._closed = False

    @asynccontextmanager
    async def reading(
        self, user: str, file: BinaryIO, promised: str, encoding: str | None = None
    ) -> AsyncIterator[ReadFile]:
        """Give the block what a file says.

        `promised` and `encoding` are those of `extract.extract`. Raises what that raises, `overloaded` if too
        many files are waiting, and `shutting_down` if the reader is or gets closed; so does `chunks`.
        """
        async with (
            self._until_closed(),
            self._processes.slot(user),
            _reading(file, promised, encoding) as read,
        ):
            yield read

    def close(self) -> None:
        """Refuse further files, and stop reading those that have come."""
        self._closed = True
        for wait in self._waits:
            wait.reschedule(0)

    @asynccontextmanager
    async def _until_closed(self) -> AsyncIterator[None]:
        if self._closed:
            raise _closed()
        async with interruptible(_closed) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)


def _closed() -> ChatError:
    return shutting_down("send the document again in a moment")


def overloaded() -> ChatError:
    """Return the error for more documents at once than there are places."""
    return ChatError(
        "overloaded", "Too many documents are being sent or read; try again in a few seconds.", retry_after=10
    )


def _error(refusal: Refusal) -> ChatError:
    return ChatError(refusal.code, refusal.sentence, **refusal.details)


@asynccontextmanager
async def _reading(file: BinaryIO, promised: str, encoding: str | None) -> AsyncIterator[ReadFile]:
    deadline = clock.now() + TIMEOUT
    async with _process(file, promised, encoding) as process:
        head = await _value(process, deadline, Head)
        if head is None:
            raise _error(LIMIT_EXCEEDED)
        async with aclosing(_chunks(process, deadline)) as chunks:
            yield ReadFile(head.media_type, head.remarks, chunks)


async def _chunks(process: Process, deadline: float) -> AsyncGenerator[list[Chunk], None]:
    while batch := await _value(process, deadline, list[Chunk]):
        yield batch
    if await process.wait() != 0:  # the system killed it
        raise _error(LIMIT_EXCEEDED)


async def _value(process: Process, deadline: float, kind: type[T]) -> T | None:
    """Return the next value that the process writes; None at the end. Raises what it refuses with."""
    assert process.stdout is not None  # it is a pipe
    async with background(process.stdout.readline(), name="line of a document") as line:
        if not await clock.wait(line, deadline - clock.now()):
            raise _error(LIMIT_EXCEEDED)
        written = line.result()
    try:
        value = msgspec.json.decode(written, type=kind | Refusal) if written else None
    except msgspec.DecodeError as error:
        raise _error(LIMIT_EXCEEDED) from error
    if isinstance(value, Refusal):
        raise _error(value)
    return value


@asynccontextmanager
async def _process(file: BinaryIO, promised: str, encoding: str | None) -> AsyncIterator[Process]:
    """Run a process that reads the file while the block runs."""
    file.seek(0)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", __name__, promised, *([encoding] if encoding else [])),
        stdin=file,
        stdout=PIPE,
        stderr=DEVNULL,
        limit=MAX_LINE,
        creationflags=LOW_PRIORITY,
        # Only what Python needs to start: the environment may hold secrets.
        env={
            **{name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


# -- in the process


def main() -> None:
    """Read the file on stdin, and write a head and chunks to stdout.

    `argv` is the type that its name promises, and an encoding if the user has named one.
    """
    # None of these takes memory in the server.
    from chatproxy.documents.chunks import split
    from chatproxy.documents.extract import extract

    gc.disable()  # saves a third of the time for a long DOCX, and this process is short-lived
    lower_priority()  # so that reading files takes no processor time from answers
    limit_resources(RLIMIT_CPU=CPU_LIMIT, RLIMIT_AS=MEMORY_LIMIT, RLIMIT_FSIZE=0, RLIMIT_CORE=0)
    try:
        extracted = extract(sys.stdin.buffer, *sys.argv[1:])
        _write(Head(extracted.media_type, extracted.remarks))
        chunks = split(extracted.parts)
        while batch := list(islice(chunks, BATCH)):
            _write(batch)
    except ChatError as error:
        _write(Refusal(error.code, error.sentence, error.details))


def _write(value: list[Chunk] | Head | Refusal) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


if __name__ == "__main__":  # pragma: no cover
    main()
