"""The README's lines for backup and restore: complete under load, and served again afterwards."""

import asyncio
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
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


def run(lines: str, folder: Path) -> None:
    subprocess.run(["sh", "-euc", lines], cwd=folder, check=True, timeout=60)


async def talk(client: Client, session: str, sent: list[str]) -> None:
    """Send messages until cancelled; `sent` collects those whose answers are committed."""
    while True:
        message = f"{session} {len(sent)} " + "words " * 200
        await client.ask(session, message)
        sent.append(message)


@pytest.mark.skipif(shutil.which("python3") is None, reason="there is no python3 on the path")
async def test_a_backup_under_load_has_all_acknowledged_messages(fake: FakeOllama, tmp_path: Path) -> None:
    fake.script = echo
    settings = {"ollama_host": fake.url, "default_model": "gemma3:270m"}
    async with Process.running(tmp_path, **settings) as process:
        talks: dict[str, list[str]] = {await process.client.new_session(): [] for _ in range(8)}
        talking = [asyncio.create_task(talk(process.client, *each)) for each in talks.items()]
        await until(lambda: all(len(sent) > 2 for sent in talks.values()))
        acknowledged = {session: list(sent) for session, sent in talks.items()}
        await asyncio.to_thread(run, BACKUP, tmp_path)
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
    with closing(sqlite3.connect(tmp_path / "backup.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    (tmp_path / "chatproxy.db").write_bytes(b"ruined")
    run(RESTORE, tmp_path)
    async with Process.running(tmp_path, **settings) as process:
        for session, sent in acknowledged.items():
            messages = await process.client.messages(session, limit=500)
            answers = [message["content"] for message in messages if message["role"] == "assistant"]
            assert answers[: len(sent)] == sent
            found = await process.client.call("GET", "/api/chat/sessions", params={"q": session})
            assert [each["id"] for each in found["sessions"]] == [session]
        await process.client.ask(next(iter(talks)), "And it goes on")
