"""The files of a database hold every conversation: only the user that chatproxy runs as can open them."""

from pathlib import Path
from typing import Final

import pytest
from fake_ollama import FakeOllama
from processes import SCRIPT, Process

FILES: Final = ("", "-wal", "-shm", ".lock")


def modes(path: Path) -> dict[str, int]:
    return {suffix: Path(f"{path}{suffix}").stat().st_mode & 0o777 for suffix in FILES}


def make_readable(path: Path) -> None:
    for suffix in FILES:
        Path(f"{path}{suffix}").chmod(0o666)


@pytest.mark.parametrize("umask", ["000", "022"])
async def test_files_are_private_whatever_the_umask(fake: FakeOllama, tmp_path: Path, umask: str) -> None:
    """New ones, and those that an earlier version left readable, its log and index among them."""
    command = ("sh", "-c", f'umask {umask}; exec "$@"', "sh", *SCRIPT)
    path = tmp_path / "chatproxy.db"
    for _ in range(2):
        async with Process.running(tmp_path, command=command, ollama_host=fake.url) as process:
            await process.client.new_session()
            assert modes(path) == dict.fromkeys(FILES, 0o600)
        make_readable(path)  # it was killed, so all of them are still there
