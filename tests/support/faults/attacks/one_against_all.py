"""Each attack alone, then all of them together, as sixteen users and as one, and what the two victims saw."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from time import monotonic
from typing import Any, Final

from processes import Process

from benchmarks import report
from benchmarks.machine import cpu_seconds
from faults.attacks.attackers import ATTACKS
from faults.attacks.child import started
from faults.attacks.victims import PATIENCE, USER
from faults.place import DATABASE, resident
from faults.tally import Tally

READER: Final = 0.1  # seconds that a token may be late, but for one in a hundred
SENDER: Final = 0.5  # seconds from a request to its `start`, the same
MEMORY: Final = 512 * 1024**2  # bytes
ALONE: Final = 5  # seconds of each attack
LEAD: Final = 0.5  # seconds that the victims have for themselves
SAMPLE: Final = 0.1  # seconds between two looks at the memory
BUSY: Final = 0.8  # of a core: an attacker that has used that much could not attack any faster
HEAD: Final = (
    "attack",
    "reader p99",
    "sender p99",
    "longest pause",
    "memory",
    "errors",
    "seen by the attacker",
)
ABOUT: Final = """### One against all

`make faults` runs attackers, each in a process, against a reader of two answers of 30 tokens a second and a
sender of ten short messages a second. Each attack meets a new chatproxy process.

- *reader p99*, *longest pause*: how late a token arrived, the 99th percentile and the most
- *sender p99*: from a request to its `start` event
- *memory*: the most that the process had, without its children
- *errors*: of the reader and the sender
- *seen by the attacker*: how often it was answered with which status, or did what else
"""


@dataclass
class Round:
    """What one or all attacks did; times in seconds, memory in bytes."""

    about: str
    reader: float = 0.0
    sender: float = 0.0
    pause: float = 0.0
    memory: int = 0
    sends: int = 0
    errors: list[str] = field(default_factory=list)
    seen: dict[str, dict[str, int]] = field(default_factory=dict)  # by each attacker
    busy: list[str] = field(default_factory=list)  # attackers that could not attack any faster

    @property
    def is_within(self) -> bool:
        return not self.errors and self.reader < READER and self.sender < SENDER and self.memory < MEMORY

    def row(self) -> list[str]:
        times = [f"{each * 1000:,.0f} ms" for each in (self.reader, self.sender, self.pause)]
        errors = _counted(Counter(self.errors))
        return [self.about, *times, f"{self.memory / 1024**2:,.0f} MiB", errors or "0", self._told()]

    def _told(self) -> str:
        told = [_counted(*self.seen.values())] if len(self.seen) == 1 else []
        return "; ".join([*told, *(f"{name} was busy all the time" for name in self.busy)])


async def one_against_all(folder: Path, tally: Tally, seconds: int) -> None:
    """Measure everything, then check that the victims were hardly kept waiting."""
    async with started("faults.attacks.database", folder / DATABASE, 1):
        pass
    names = list(ATTACKS)
    rounds = [await measured(folder, "none", [], 0, ALONE)]
    for name in names:
        rounds.append(await measured(folder, ATTACKS[name][0], [name], 0, ALONE))
    rounds.append(await measured(folder, "all, each another user", names, 1, seconds))
    _give_all_to(folder, "victim")
    rounds.append(await measured(folder, "all, and the victims, one user", names, 2, seconds, "victim"))
    tally.faults += len(names) * 3
    tally.acknowledged += sum(each.sends for each in rounds)
    tally.streams += sum(each.sends for each in rounds)
    tally.details = f"{ABOUT}\n{report.table(HEAD, [each.row() for each in rounds])}"
    missed = [each.about for each in rounds if not each.is_within]
    assert not missed, f"over the limits: {missed}\n{tally.details}"


async def measured(
    folder: Path, about: str, names: Sequence[str], round_: int, seconds: float, user: str = ""
) -> Round:
    """Let these attackers attack for that long; `user` is who they all are, instead of one each."""
    found = Round(about)
    async with AsyncExitStack() as stack:
        hanging = ["hanging"] if "hanging" in names else []
        ollama = await stack.enter_async_context(started("faults.attacks.ollama", *hanging, polite=False))
        ollama.go()
        settings = {"ollama_host": ollama.said, "trusted_user_header": USER, "log_level": "error"}
        process = await stack.enter_async_context(Process.running(folder, **settings))
        url = process.client.base
        victims = await stack.enter_async_context(
            started("faults.attacks.victims", url, "victim", polite=False)
        )
        attackers = await asyncio.gather(
            *[
                stack.enter_async_context(
                    started("faults.attacks.attackers", name, url, user or name, round_, seconds)
                )
                for name in names
            ]
        )
        watching = asyncio.create_task(_watch(process, found))
        victims.go()
        await asyncio.sleep(LEAD)
        before = [cpu_seconds(attacker.pid) for attacker in attackers]
        began = monotonic()
        for attacker in attackers:
            attacker.go()
        await asyncio.sleep(seconds)
        spent = [cpu_seconds(attacker.pid) for attacker in attackers]
        shares = [(b - a) / (monotonic() - began) for a, b in zip(before, spent, strict=True)]
        victims.go()
        saw = await victims.report(PATIENCE + 5)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        reports = await asyncio.gather(*[attacker.report(PATIENCE) for attacker in attackers])
    found.seen = {name: each or {} for name, each in zip(names, reports, strict=True)}
    found.busy = [name for name, share in zip(names, shares, strict=True) if share > BUSY]
    _take(found, saw)
    print(f"  {' | '.join(found.row())}", flush=True)
    return found


def _take(found: Round, saw: dict[str, Any] | None) -> None:
    """Note what the victims saw; None if they said nothing."""
    if saw is None:
        found.errors.append("the victims saw nothing")
        return
    found.reader, found.sender = _p99(saw["delays"]), _p99(saw["waits"])
    found.pause = max(saw["delays"], default=0.0)
    found.sends = len(saw["waits"])
    found.errors += saw["errors"]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in sorted(counts.items()))


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else float("inf")


async def _watch(process: Process, found: Round) -> None:
    """Note the most memory of the process."""
    while True:
        found.memory = max(found.memory, resident(process))
        await asyncio.sleep(SAMPLE)


def _give_all_to(folder: Path, user: str) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
        connection.execute("UPDATE session SET activity = -key")  # two of one owner may not have the same
        connection.execute("UPDATE session SET owner = ?", (user,))
        connection.execute("UPDATE document SET owner = ?", (user,))
