"""Tables in BENCHMARKS.md: each suite writes its own section, and leaves the others as they are."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

NONE: Final = "-"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The first column to the left, the others to the right."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rows))


def number(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{value:,.{digits}f}"


def write(path: Path, name: str, section: str) -> None:
    """In the place of what stood between the two marks of that name, else at the end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = path.read_text() if path.exists() else ""
    before, found, rest = text.partition(begin)
    before, after = (before, rest.partition(end)[2]) if found else (text and f"{text}\n", "\n")
    path.write_text(f"{before}{begin}\n{section}\n{end}{after}")
