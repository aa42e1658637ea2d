"""Cores, CPU time and memory as the kernel reports them; Linux only."""

import os
import platform
import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import clock_gettime, perf_counter
from typing import Final

PROC: Final = Path("/proc")
PACKAGES: Final = ("aiohttp", "uvloop", "httptools", "msgspec", "aiosqlite", "asyncpg")


def split_cores() -> tuple[set[int], set[int]]:
    """Return one core for the proxy and the others for everything else; the same one if there is only one."""
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


def allow_many_files() -> None:
    """Raise the limit of open files as far as possible; the proxies inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def family(pid: int) -> Iterator[int]:
    """Yield the process and all its descendants."""
    yield pid
    for children in (PROC / str(pid) / "task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of the process and its descendants."""
    # The id of a process's CPU clock: CPUCLOCK_SCHED is 2, see clock_getcpuclockid(3).
    return sum(clock_gettime((~each << 3) | 2) for each in family(pid))


def memory(pid: int) -> int:
    """Return the resident bytes of the process and its descendants; shared pages count for each."""
    pages = [int((PROC / str(each) / "statm").read_text().split()[1]) for each in family(pid)]
    return sum(pages) * resource.getpagesize()


class OtherLoad:
    """How busy other programs have kept the machine since this object was created."""

    def __init__(self) -> None:
        self._before = _times()

    @property
    def share(self) -> float:
        """Their share of all cores' time. Ours is that of this process and of the children it has awaited."""
        passed, busy, ours = (now - before for now, before in zip(_times(), self._before, strict=True))
        return max(0.0, busy - ours) / max(passed, 0.01)


def _times() -> tuple[float, float, float]:
    """Return the seconds of all cores, how many of them were busy, and how many were busy for us."""
    user, nice, system, idle, wait, *other = map(int, (PROC / "stat").read_text().split("\n")[0].split()[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    busy = user + nice + system + sum(other)
    return (busy + idle + wait) / ticks, busy / ticks, sum(os.times()[:4])


def pace() -> float:
    """Return the milliseconds of a million additions, the best of ten, to compare the machine with itself."""
    taken = []
    for _ in range(10):
        since, total = perf_counter(), 0
        for number in range(1_000_000):
            total += number
        taken.append(perf_counter() - since)
    return min(taken) * 1000


def describe() -> str:
    """Return a sentence about the machine and the versions of everything involved."""
    cpu = next(
        line.partition(":")[2].strip()
        for line in (PROC / "cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return (
        f"{os.cpu_count()} cores of {cpu}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{packages}{_nginx()}{_postgres()}."
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _nginx() -> str:
    said = _said("nginx", "-v")
    return said and f", {said.rpartition(' ')[2].replace('/', ' ')}"


def _postgres() -> str:
    said = _said("psql", "--version")  # psql (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)
    return said and f", PostgreSQL {said.split()[2]}"


def _said(*command: str) -> str:
    """Return what a program says of itself; nothing if it is not installed."""
    try:
        return subprocess.check_output(command, stderr=subprocess.STDOUT, text=True).strip()
    except FileNotFoundError:
        return ""
