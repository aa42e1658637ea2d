"""What was tried and what came of it: the counts of one scenario, and the table of all."""

import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

BEGIN: Final = "<!-- make faults: from here on written by it -->"
END: Final = "<!-- make faults: until here -->"
TITLE: Final = "# Measured\n"
ABOUT: Final = """## Faults

`make faults`: real processes, sockets and files on one machine, every fault a real one. A message is
acknowledged when the response to its send is a 200; it is lost if it, or an answer as a reader was told
it, is not stored at the end. A stream is one response that was read; a resume, one that went on where
another broke off; a reset, a resume after a crash that had taken the end of the text, and said so.
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

    def row(self) -> list[str]:
        counts = (
            self.faults,
            self.acknowledged,
            self.lost,
            self.streams,
            self.resumes,
            self.resets,
            self.refused,
            round(self.seconds),
        )
        return [self.name, *(f"{count:,}" for count in counts), "; ".join(self.seen)]


HEADS: Final = (
    "",
    "faults",
    "acknowledged",
    "lost",
    "streams",
    "resumes",
    "resets",
    "refused",
    "seconds",
    "seen",
)


def total(tallies: Sequence[Tally]) -> Tally:
    names = ("faults", "acknowledged", "lost", "streams", "resumes", "resets", "refused", "seconds")
    return Tally("all", **{name: sum(getattr(tally, name) for tally in tallies) for name in names})


def table(tallies: Sequence[Tally]) -> str:
    rows = [list(HEADS), *(tally.row() for tally in (*tallies, total(tallies)))]
    rule = ["---", *(["---:"] * (len(HEADS) - 2)), "---"]
    rows.insert(1, rule)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def written(file: Path, tallies: Sequence[Tally]) -> None:
    """Replaces what stands between the markers, and nothing else; adds them to a file without."""
    text = file.read_text() if file.exists() else TITLE
    section = f"{BEGIN}\n{ABOUT}\n{_where()}\n\n{table(tallies)}{END}"
    if BEGIN in text and END in text:
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        file.write_text(before + section + after)
    else:
        file.write_text(f"{text.rstrip()}\n\n{section}\n")


def _where() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "aiosqlite"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, chatproxy {version('chatproxy')}, {_machine()}, "
        f"Linux {platform.release()}, Python {platform.python_version()}, {packages}, "
        f"SQLite {sqlite3.sqlite_version}."
    )


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} × {models[0]}" if models else platform.machine()
