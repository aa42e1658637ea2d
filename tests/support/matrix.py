"""Try many cases in one test, and say all at once which of them came out wrong.

    with matrix() as cases:
        for method, path in routes():
            cases.expect((403, "host_not_allowed"), await refusal(client, method, path), method, path)

A failure lists each wrong case with what was tried, what came of it and what was expected.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Cases:
    def __init__(self) -> None:
        self.tried = 0
        self.wrong: list[str] = []

    def expect(self, expected: object, got: object, *case: object) -> None:
        self.check(got == expected, f"{got!r} instead of {expected!r}", *case)

    def check(self, right: bool, found: object, *case: object) -> None:
        """Count a case; `found` describes what came of it."""
        self.tried += 1
        if not right:
            self.wrong.append(f"{' '.join(map(_short, case))}: {found}")


def _short(part: object) -> str:
    text = str(part) if isinstance(part, str | Path) else repr(part)
    return text if len(text) <= 100 else f"{text[:97]}..."


@contextmanager
def matrix() -> Iterator[Cases]:
    cases = Cases()
    try:
        yield cases
    except BaseException as error:
        if cases.wrong:
            error.add_note("\n".join(["Wrong until then:", *cases.wrong]))
        raise
    if cases.wrong:
        raise AssertionError("\n".join([f"{len(cases.wrong)} of {cases.tried} cases:", *cases.wrong]))
    assert cases.tried, "no case was tried"
