"""Fixtures of the browser side's tests: Node, the TypeScript compiler, and types compared by it."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

import node as nodes
import pytest

HERE: Final = Path(__file__).parent
TSC: Final = HERE / "node_modules" / "typescript" / "bin" / "tsc"
OPTIONS: Final = {
    "noEmit": True,
    "strict": True,
    "noErrorTruncation": True,
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "lib": ["es2024", "dom", "dom.iterable", "dom.asynciterable"],
    "types": [],
}
# `true`, or what differs.
SAME: Final = """
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Difference<Described, Ours> = Same<Described, Ours> extends true
  ? true
  : { described: Described; "in .d.ts": Ours };
"""


@pytest.fixture
def node() -> str:
    """The path of Node, with the packages of this folder installed."""
    return nodes.node(HERE)


Compiler = Callable[..., Awaitable[str]]


@pytest.fixture
def tsc(node: str) -> Compiler:
    """The TypeScript compiler: `await tsc("--project", path)` returns what it prints: "" if all is well."""

    async def compile(*arguments: str | Path) -> str:
        process = await asyncio.create_subprocess_exec(
            node, TSC, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=HERE
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        assert output or process.returncode == 0
        return output.decode()

    return compile


Checker = Callable[[str, Iterable[tuple[str, str]]], Awaitable[list[str]]]


@pytest.fixture
def type_errors(tsc: Compiler, tmp_path: Path) -> Checker:
    """Check TypeScript types: `await type_errors(declarations, [(subject, type)])`.

    Each type has to be `true`, as `Difference<A, B>` is for two equal types. Returned are those that are not,
    as `subject: the compiler's words`.
    """

    async def check(declarations: str, checks: Iterable[tuple[str, str]]) -> list[str]:
        lines = [*SAME.splitlines(), *declarations.splitlines()]
        subjects: dict[int, str] = {}  # by line number
        for subject, expected in checks:
            lines.append(f"export const check{len(lines)}: {expected} = true;")
            subjects[len(lines)] = subject
        (tmp_path / "check.ts").write_text("\n".join(lines))
        (tmp_path / "tsconfig.json").write_text(
            json.dumps({"compilerOptions": OPTIONS, "files": ["check.ts"]})
        )
        printed = await tsc("--project", tmp_path)
        error = re.compile(r"^\S*check\.ts\((\d+),\d+\): error \w+: (.*(?:\n .*)*)\n?", re.MULTILINE)
        assert error.sub("", printed) == "", "tsc says something else"
        return [
            f"{subjects.get(int(line), lines[int(line) - 1])}: {words}"
            for line, words in error.findall(printed)
        ]

    return check
