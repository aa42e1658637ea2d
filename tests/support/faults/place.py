"""Where faults happen: a chatproxy process, what the system says of it, and its database.

    async with orderly(folder, fake.url) as process:  # and check what it leaves behind
        ...

Processes keep their port from one life to the next, so that clients find them again.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Final, NamedTuple

from fake_ollama import MODEL
from processes import Process
from waiting import until

DATABASE: Final = "chatproxy.db"
KEPT: Final = 16  # connections that are open for the next request, their tasks, what they answered last
WATCHED: Final = (sys.executable, str(Path(__file__).with_name("watched.py")))


class Kept(NamedTuple):
    """How many of each a process has."""

    tasks: int
    answers: int
    descriptors: int


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def settings(ollama: str, **more: object) -> dict[str, object]:
    given = {"ollama_host": ollama, "default_model": MODEL, "log_level": "error", "heartbeat_seconds": 0.5}
    return given | {"context_window": 1_000_000} | more


def chatproxy(
    folder: Path, ollama: str, command: Sequence[str] = WATCHED, **more: object
) -> AbstractAsyncContextManager[Process]:
    return Process.running(folder, command=command, **settings(ollama, **more))


@asynccontextmanager
async def orderly(
    folder: Path, ollama: str, command: Sequence[str] = WATCHED, **more: object
) -> AsyncIterator[Process]:
    """Run a process and check its end.

    After the block it has no more tasks, answers and open files than before, it exits with 0, and its
    database is sound.
    """
    async with chatproxy(folder, ollama, command, **more) as process:
        before = await _kept(process)
        yield process
        await _has_no_more(process, before)
        await terminated(process)
    sound(folder)


async def _has_no_more(process: Process, before: Kept) -> None:
    now = before
    for _ in range(100):
        now = await _kept(process)
        if all(each <= earlier + KEPT for each, earlier in zip(now, before, strict=True)):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{now}, where there were {before}")


async def terminated(process: Process) -> None:
    """Terminate it; it has to exit in time, with 0."""
    process.send_signal(signal.SIGTERM)
    assert await process.ended() == 0, process.said


# -- what the system says of it


def resident(process: Process) -> int:
    """Return its bytes in memory."""
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def descriptors(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.child.pid}/fd"))


async def held(process: Process) -> dict[str, int]:
    """Return what `watched` reports."""
    assert process.child.stdout is not None
    process.send_signal(signal.SIGUSR1)
    async with asyncio.timeout(20):
        said: dict[str, int] = json.loads(await process.child.stdout.readline())
        return said


async def _kept(process: Process) -> Kept:
    now = await held(process)
    return Kept(now["tasks"], now["answers"], descriptors(process))


# -- its database


def sound(folder: Path) -> None:
    """Check the database of a process that ended well, or was started again after a crash."""
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        assert _problems(connection) == []
        assert unfinished(connection) == (0, 0)


def intact(folder: Path) -> None:
    """Check the database as a crash left it, in a copy, because opening it recovers it."""
    with tempfile.TemporaryDirectory() as copies:
        for file in folder.glob(f"{DATABASE}*"):
            shutil.copy(file, copies)
        if (Path(copies) / DATABASE).exists():
            with closing(sqlite3.connect(Path(copies) / DATABASE)) as connection:
                assert _problems(connection) == []


def unfinished(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the numbers of answers that are not finished, and of their pieces."""
    (answers,) = connection.execute("SELECT count(*) FROM message WHERE status = 'streaming'").fetchone()
    (pieces,) = connection.execute("SELECT count(*) FROM piece").fetchone()
    return answers, pieces


async def settled(folder: Path) -> None:
    """Wait until every answer's outcome is stored, which is retried once a second."""
    with closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)) as connection:
        await until(lambda: unfinished(connection) == (0, 0))


def _problems(connection: sqlite3.Connection) -> list[str]:
    found = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    found += [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
    found += [problem for name in _indexes(connection) for problem in _misindexed(connection, name)]
    return found


def _indexes(connection: sqlite3.Connection) -> list[str]:
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%USING fts5%'")
    return [name for (name,) in tables]


def _misindexed(connection: sqlite3.Connection, name: str) -> list[str]:
    """Return how the words of a full-text index differ from those of its table."""
    try:
        connection.execute(f"INSERT INTO {name} ({name}, rank) VALUES ('integrity-check', 1)")
        connection.rollback()
    except sqlite3.DatabaseError as error:
        return [f"{name}: {error}"]
    return []
