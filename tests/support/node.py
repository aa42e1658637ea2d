"""Node, the npm packages of a folder of tests, and scripts that run with them.

program = node(Path(__file__).parent)            # skips the test, in CI fails it, if one is missing
printed = await run(program, "--test", "sse.test.js", cwd=folder)
"""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test; fail in CI, where nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing: {remedy}")
    pytest.skip(f"{what} is missing: {remedy}")


def node(folder: Path) -> str:
    """Return the path of Node; the folder's packages are installed."""
    found = shutil.which("node")
    if found is None:
        missing("node", "install Node 20 or newer")
    if not (folder / "node_modules").is_dir():
        missing(
            f"tests/{folder.name}/node_modules",
            f"`make test` installs it, or `npm ci --prefix tests/{folder.name}`",
        )
    return found


async def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Return what the command prints; if it fails, fail with that."""
    async with asyncio.timeout(120):
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    text = output.decode(errors="replace")
    assert process.returncode == 0, text
    return text
