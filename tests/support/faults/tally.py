"""What was tried and what came of it, counted."""

import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from chatproxy import __version__

COUNTS: Final = ("faults", "acknowledged", "lost", "streams", "resumes", "resets", "refused", "seconds")
HEAD: Final = ("", *COUNTS, "seen")
ABOUT: Final = """## Faults

`make faults` uses real processes, sockets and files on one machine, and every fault is a real one.

- *acknowledged*: messages whose send was answered with 200
- *lost*: of these, messages that are not stored at the end, or whose answer is not stored as a reader
  received it
- *streams*: responses that were read
- *resumes*: of these, responses that continued another one that broke off
- *resets*: resumes after a crash that lost the end of the text, which the response said
- *refused*: sends that were refused before anything was stored
"""


@dataclass
class Tally:
    name: str
    faults: int = 0
    acknowledged: int = 0
    lost: int = 0
    streams: int = 0
    resumes: int = 0
    resets: int = 0
    refused: int = 0  # sends, before anything was stored
    seconds: float = 0.0
    seen: list[str] = field(default_factory=list)  # what else was measured
    details: str = ""  # a section of its own in BENCHMARKS.md, with this scenario's table

    def row(self) -> list[str]:
        counts = [f"{round(getattr(self, name)):,}" for name in COUNTS]
        return [self.name, *counts, "; ".join(self.seen)]


def total(tallies: Sequence[Tally]) -> Tally:
    counts = {name: sum(getattr(tally, name) for tally in tallies) for name in COUNTS}
    return Tally("all", **counts)


def measured() -> str:
    """When, where and with what."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "aiosqlite"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, chatproxy {__version__}, {_machine()}, "
        f"Linux {platform.release()}, Python {platform.python_version()}, {packages}, "
        f"SQLite {sqlite3.sqlite_version}."
    )


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} cores of {models[0]}" if models else platform.machine()
