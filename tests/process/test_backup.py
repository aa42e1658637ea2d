"""The lines of docs/operate.md for backups, each twice: complete under load, and served again afterwards."""

import asyncio
import re
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from chat_client import Client
from fake_ollama import FakeOllama, echo
from processes import Process
from readme import example
from waiting import until

BACKUP: Final = example("sh", "VACUUM INTO")
RESTORE: Final = example("sh", "cp backup.db chatproxy.db")
IN_A_CONTAINER: Final = example("sh", "docker compose run")

pytestmark: Final = pytest.mark.skipif(
    shutil.which("python3") is None, reason="there is no python3 on the path"
)


def run(lines: str, folder: Path) -> None:
    subprocess.run(["sh", "-euc", lines], cwd=folder, check=True, timeout=60)


def inner(lines: str) -> str:
    """Return what a container is to run, with the file that it is given."""
    found = re.fullmatch(r"docker compose run (?:.*) chatproxy \\\n  (-c '.*') (< backup\.db)\n", lines)
    assert found is not None
    return f"sh {found[1]} {found[2]}"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def talk(client: Client, session: str, sent: list[str]) -> None:
    """Send messages until cancelled; `sent` collects those whose answers are committed."""
    while True:
        message = f"{session} {len(sent)} " + "words " * 200
        await client.ask(session, message)
        sent.append(message)


def each_has_sent(sent: list[list[str]]) -> bool:
    return all(len(messages) > 2 for messages in sent)


@pytest.mark.parametrize("restore", [RESTORE, inner(IN_A_CONTAINER)], ids=["here", "in a container"])
async def test_a_backup_under_load_has_all_acknowledged_messages(
    fake: FakeOllama, tmp_path: Path, restore: str
) -> None:
    fake.script = echo
    settings = {"ollama_host": fake.url, "default_model": "gemma3:270m"}
    talks: dict[str, list[str]] = {}
    for number in (1, 2):
        async with Process.running(tmp_path, **settings) as process:
            talks |= {await process.client.new_session(): [] for _ in range(8)}
            new = list(talks.items())[-8:]
            talking = [asyncio.create_task(talk(process.client, *each)) for each in new]
            await until(partial(each_has_sent, [sent for _, sent in new]))
            acknowledged = {session: list(sent) for session, sent in talks.items()}
            await asyncio.to_thread(run, BACKUP, tmp_path)
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)
            process.send_signal(signal.SIGTERM)
            assert await process.ended() == 0
        assert mode(tmp_path / "backup.db") == 0o600
        with closing(sqlite3.connect(tmp_path / "backup.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if number == 1:
            (tmp_path / "chatproxy.db").unlink()
        else:
            (tmp_path / "chatproxy.db").write_bytes(b"ruined")
        run(restore, tmp_path)
        assert mode(tmp_path / "chatproxy.db") == 0o600
        talks = acknowledged
        async with Process.running(tmp_path, **settings) as process:
            await _has_all(process.client, acknowledged)
            await process.client.ask(next(iter(talks)), "And it goes on")


async def _has_all(client: Client, acknowledged: dict[str, list[str]]) -> None:
    for session, sent in acknowledged.items():
        messages = await client.messages(session, limit=500)
        answers = [message["content"] for message in messages if message["role"] == "assistant"]
        assert answers[: len(sent)] == sent
        found = await client.call("GET", "/api/chat/sessions", params={"q": session})
        assert [each["id"] for each in found["sessions"]] == [session]


def test_nothing_is_created_where_there_is_nothing_to_back_up_or_restore(tmp_path: Path) -> None:
    (tmp_path / "chatproxy.db-wal").write_bytes(b"what was not restored yet")
    for lines in (BACKUP, RESTORE):
        with pytest.raises(subprocess.CalledProcessError):
            run(lines, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["chatproxy.db-wal"]
