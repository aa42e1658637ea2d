"""Fixtures of the browser side's tests: Node and the TypeScript compiler."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
TSC: Final = HERE / "node_modules" / "typescript" / "bin" / "tsc"


def skip(missing: str, remedy: str) -> None:
    """Skip the test; fail in CI, where nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(f"{missing} is missing: {remedy}")
    pytest.skip(f"{missing} is missing: {remedy}")


@pytest.fixture
def node() -> str:
    """The path of Node, with the packages that the tests need installed."""
    found = shutil.which("node")
    if found is None:
        skip("node", "install Node 20 or newer")
    if not (HERE / "node_modules").is_dir():
        skip("tests/js/node_modules", "`make test` installs it, or `npm install --prefix tests/js`")
    return str(found)


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
