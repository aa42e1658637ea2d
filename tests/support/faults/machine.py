"""Faults of the machine: a full disk, a locked database, a clock that jumps, few file descriptors."""

import asyncio
import resource
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fake_ollama import FakeOllama
from processes import Process
from waiting import until

from faults.load import PATIENCE, Talker, Turn, begun, check, ends, paced, talking, was_done
from faults.place import DATABASE, WATCHED, orderly, settled
from faults.tally import Tally

PACE: Final = 0.01  # seconds between two tokens
TALKERS: Final = 6


# -- a full disk


async def full_disk(folder: Path, tally: Tally, times: int) -> None:
    """Fill the disk: sends are refused or answers fail, reads go on, and all recovers when there is room."""
    async with FakeOllama() as fake:
        fake.script = paced(PACE)
        with _small_disk(folder) as disk:
            async with orderly(disk, fake.url) as process:
                padding = "x" * 30_000  # messages that take room
                async with talking(process.client.base, TALKERS, tally, padding=padding) as talkers:
                    for _ in range(times):
                        await begun(talkers)
                        await asyncio.sleep(0.5)
                        with _filled(disk, process):
                            await _fails(process, talkers, tally)
                        tally.faults += 1
                await settled(disk)
                await check(process.client, talkers, tally)
    told = ends(talkers)
    assert told.keys() <= {"done", "storage_full"}
    tally.seen.append(f"{told.get('storage_full', 0)} answers ended in `storage_full` and were stored later")
    tally.seen.append("tmpfs" if disk != folder else "RLIMIT_FSIZE")


async def _fails(process: Process, talkers: list[Talker], tally: Tally) -> None:
    """Wait until some sends are refused, or some answers fail."""
    failed: Callable[[], int] = lambda: tally.refused + ends(talkers).get("storage_full", 0)  # noqa: E731
    before = failed()
    await asyncio.sleep(2.5)
    await _reads(process, talkers)
    await until(lambda: failed() > before, PATIENCE)


async def _reads(process: Process, talkers: list[Talker]) -> None:
    """Check that stored messages can be read."""
    assert (await process.client.call("GET", "/readyz"))["status"] == "ready"
    for talker in talkers:
        await process.client.messages(talker.turns[0].session)


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """Yield a small file system if one can be mounted; otherwise the folder itself."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        yield folder
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def _filled(disk: Path, process: Process) -> Iterator[None]:
    if disk.name != "disk":
        with _files_end(disk, process):
            yield
        return
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            with suppress(OSError):
                while True:
                    file.write(bytes(4096))
            yield
        finally:
            filler.unlink()


@contextmanager
def _files_end(folder: Path, process: Process) -> Iterator[None]:
    """Let no file of the process grow beyond the present size of the database's log."""
    size = (folder / f"{DATABASE}-wal").stat().st_size
    before = resource.prlimit(process.child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(process.child.pid, resource.RLIMIT_FSIZE, before)


# -- a locked database


async def locked(folder: Path, tally: Tally, seconds: int) -> None:
    """Lock the database: up to 5 s delay writes; longer, sends are refused and answers are stored later."""
    async with FakeOllama() as fake:
        fake.script = paced(PACE)
        async with orderly(folder, fake.url) as process:
            newcomers = [Talker(process.client, tally) for _ in range(TALKERS)]
            async with talking(process.client.base, TALKERS, tally) as talkers:
                await begun(talkers)
                with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    coming = [asyncio.create_task(newcomer.once()) for newcomer in newcomers]
                    await asyncio.gather(asyncio.sleep(seconds), _reads(process, talkers))
                await asyncio.gather(*coming)
                tally.faults += 1
            await settled(folder)
            await check(process.client, talkers + newcomers, tally)
    told = ends(talkers + newcomers)
    assert told.keys() <= {"done", "storage_full"}
    failed = told.get("storage_full", 0)
    if seconds < 5:
        assert tally.refused + failed == 0
    else:
        assert tally.refused > 0
        assert failed > 0
    tally.seen.append(f"{failed} answers ended in `storage_full` and were stored later")


# -- a clock that is set

LIBRARIES: Final = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))  # Debian's package faketime


async def set_clock(folder: Path, tally: Tally, times: int) -> None:
    """Set the clock an hour ahead and back during answers: nothing waits, breaks off or is sent twice."""
    assert LIBRARIES, "install the package faketime"
    offset = folder / "offset"
    offset.write_text("+0")
    faketime: dict[str, Any] = {
        "ld_preload": LIBRARIES[0],
        "faketime_timestamp_file": offset,
        "faketime_cache_duration": 1,
        "dont_fake_monotonic": 1,
        "no_fake_stat": 1,
    }
    async with FakeOllama() as fake:
        fake.script = paced(PACE)
        async with orderly(folder, fake.url, token_timeout=5, reader_timeout=5, **faketime) as process:
            async with talking(process.client.base, 3, tally) as talkers:
                for number in range(times):
                    offset.write_text(("+3600", "-3600", "+0")[number % 3])
                    await _shows(process, (3600, -3600, 0)[number % 3])
                    tally.faults += 1
            assert ends(talkers).keys() == {"done"}
            assert tally.streams == tally.acknowledged
            assert all(0 <= _to_first_token(turn) < 60_000 for talker in talkers for turn in talker.turns)
            await check(process.client, talkers, tally)


def _to_first_token(turn: Turn) -> int:
    """Return the milliseconds that the end of the answer names."""
    assert turn.end is not None
    return int(turn.end["usage"]["timeToFirstTokenMs"])


async def _shows(process: Process, seconds: int) -> None:
    """Wait until the process's clock is off by that many seconds."""
    async with asyncio.timeout(20):
        while abs(await _off(process) - seconds) > 60:  # noqa: ASYNC110 - of a server
            await asyncio.sleep(0.1)


async def _off(process: Process) -> float:
    session = await process.client.session(await process.client.new_session())
    return (datetime.fromisoformat(session["createdAt"]) - datetime.now(UTC)).total_seconds()


# -- few descriptors


FEW: Final = 'ulimit -n 256; exec "$0" "$@"'


async def few_descriptors(folder: Path, tally: Tally, hogs: int) -> None:
    """Open more idle connections than there are descriptors: clients that are connected are still served.

    When the idle ones are gone, new clients are served again.
    """
    async with FakeOllama() as fake:
        fake.script = paced(PACE)
        async with orderly(folder, fake.url, ("sh", "-c", FEW, *WATCHED)) as process:
            async with talking(process.client.base, TALKERS, tally) as talkers:
                await begun(talkers)
                connections = [socket.create_connection(_address(process)) for _ in range(hogs)]
                refused = await _turned_away(connections, hogs - 256)
                for connection in connections:
                    connection.close()
                tally.faults += hogs
                await asyncio.sleep(0.5)
            await check(process.client, talkers, tally)
            last = Talker(process.client, tally)
            assert was_done(await last.once())
    told = ends(talkers)
    assert told.keys() == {"done"}
    tally.seen.append(f"{refused} connections refused")


async def _turned_away(connections: list[socket.socket], least: int) -> int:
    """Return how many were turned away, a moment after there were more than `least`."""
    async with asyncio.timeout(20):
        while sum(map(_was_turned_away, connections)) <= least:  # noqa: ASYNC110 - of a server
            await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)
    return sum(map(_was_turned_away, connections))


def _was_turned_away(connection: socket.socket) -> bool:
    """Whether it got a refusal or was closed. Without a request, nothing else can come."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def _address(process: Process) -> tuple[str, int]:
    host, _, port = process.client.base.removeprefix("http://").partition(":")
    return host, int(port)
