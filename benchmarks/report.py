"""Tables in BENCHMARKS.md. Each suite writes its own section and leaves the others as they are."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

NONE: Final = "-"  # in cells that do not apply


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, with the first column left-aligned and the others right-aligned."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rows))


def number(value: float | None, digits: int = 1) -> str:
    """Format a number with thousands separators."""
    return NONE if value is None else f"{value:,.{digits}f}"


def write(path: Path, name: str, section: str) -> None:
    """Replace the section between the two marks of that name, or append it."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = path.read_text() if path.exists() else ""
    before, found, rest = text.partition(begin)
    before, after = (before, rest.partition(end)[2]) if found else (text and f"{text}\n", "\n")
    path.write_text(f"{before}{begin}\n{section}\n{end}{after}")
