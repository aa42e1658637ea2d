"""The lines of docs/operate.md for backups, each twice: complete under load, and served again afterwards."""

import asyncio
import os
import re
import shlex
import signal
import sqlite3
import subprocess
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from chat_client import Client
from fake_ollama import FakeOllama, echo
from processes import SCRIPT, Process, environment, ran
from readme import example
from waiting import until

NOBODY: Final = 65534
BACKUP: Final = example("sh", "chatproxy backup backup.db")
RESTORE: Final = example("sh", "cp backup.db chatproxy.db")
BACKUP_IN_A_CONTAINER: Final = example("sh", "docker compose exec chatproxy chatproxy backup")
RESTORE_IN_A_CONTAINER: Final = example("sh", "docker compose run")
BACKUP_OF_A_SERVICE: Final = example("sh", "/opt/chatproxy/bin/chatproxy backup")
UPKEEP: Final = example("sh", "chatproxy prune")


def run(lines: str, folder: Path) -> str:
    """Run lines of a shell, in which the command is on the path; return what they print."""
    shell = ["sh", "-euc", f'chatproxy() {{ {shlex.join(SCRIPT)} "$@"; }}\n{lines}']
    done = subprocess.run(
        shell, cwd=folder, env=environment(), check=True, timeout=60, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def backup_within(lines: str) -> str:
    """Return what a container is to run, whose folder /data is the test's."""
    run, copy = lines.splitlines()
    assert copy == "docker compose cp chatproxy:/data/backup.db ."
    return run.removeprefix("docker compose exec chatproxy ").replace("/data/", "")


def restore_within(lines: str) -> str:
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


@pytest.mark.parametrize(
    ("backup", "restore"),
    [
        (BACKUP, RESTORE),
        (backup_within(BACKUP_IN_A_CONTAINER), restore_within(RESTORE_IN_A_CONTAINER)),
    ],
    ids=["here", "in a container"],
)
async def test_a_backup_under_load_has_all_acknowledged_messages(
    fake: FakeOllama, tmp_path: Path, backup: str, restore: str
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
            await asyncio.to_thread(run, backup, tmp_path)
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
        await until(partial(_is_found, client, session))


async def _is_found(client: Client, session: str) -> bool:
    """Return whether a search finds a session by what was said, which the index may have yet to follow."""
    found = await client.call("GET", "/api/chat/sessions", params={"q": session})
    return [each["id"] for each in found["sessions"]] == [session]


def test_nothing_is_created_where_there_is_nothing_to_back_up_or_restore(tmp_path: Path) -> None:
    (tmp_path / "chatproxy.db-wal").write_bytes(b"what was not restored yet")
    for lines in (BACKUP, RESTORE):
        with pytest.raises(subprocess.CalledProcessError):
            run(lines, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["chatproxy.db-wal"]


def test_the_database_of_the_demo_is_named_where_there_is_no_other(tmp_path: Path) -> None:
    (tmp_path / "chatproxy-demo.db").touch()
    said = ran(tmp_path, environment(), "check").stderr
    assert said.startswith(
        "chatproxy: There is no database chatproxy.db; set DATABASE_URL=sqlite:///chatproxy-demo.db "
    )


@pytest.mark.parametrize("command", ["backup", "check #", "prune --older-than 1d #"])
@pytest.mark.parametrize("is_running", [True, False])
async def test_upkeep_of_a_service_leaves_its_files_to_the_services_user(
    fake: FakeOllama, tmp_path: Path, is_running: bool, command: str
) -> None:
    """As root, the service has another user. Any other user can only be both, which shows the modes alone."""
    service, root = tmp_path / "service", tmp_path / "root"
    service.mkdir()
    root.mkdir()
    line = BACKUP_OF_A_SERVICE.replace("/var/lib/chatproxy", f"{service}").replace("/root", f"{root}")
    line = line.replace("/opt/chatproxy/bin/", "").replace("chatproxy backup ", f"chatproxy {command} ")
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(Process.running(service, ollama_host=fake.url))
        await process.client.new_session()
        if not is_running:
            await stack.aclose()
        user = NOBODY if os.geteuid() == 0 else os.geteuid()
        for path in (service, *service.iterdir()):
            os.chown(path, user, -1)
        await asyncio.to_thread(run, line, tmp_path)
        left = {path.name: (path.stat().st_uid, mode(path)) for path in service.glob("chatproxy.db*")}
        assert set(left.values()) == {(user, 0o600)}, left
    if command == "backup":
        assert mode(root / "backup.db") == 0o600


async def test_what_is_old_goes_while_answers_are_written(fake: FakeOllama, tmp_path: Path) -> None:
    fake.script = echo
    async with Process.running(tmp_path, ollama_host=fake.url, default_model="gemma3:270m") as process:
        old = [await process.client.new_session() for _ in range(10)]
        for session in old:
            await process.client.ask(session, "words " * 5000)
        with closing(sqlite3.connect(tmp_path / "chatproxy.db")) as connection, connection:
            connection.execute("UPDATE session SET updated_at = '2020-01-01T00:00:00.000Z'")
        talks: dict[str, list[str]] = {await process.client.new_session(): [] for _ in range(4)}
        talking = [asyncio.create_task(talk(process.client, *each)) for each in talks.items()]
        await until(partial(each_has_sent, [*talks.values()]))
        said = await asyncio.to_thread(run, UPKEEP, tmp_path)
        more = [len(sent) for sent in talks.values()]
        await until(
            lambda: all(len(sent) > before for sent, before in zip(talks.values(), more, strict=True))
        )
        for task in talking:
            assert not task.done()
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        assert "10 conversations with 20 messages, 0 documents would be removed" in said
        assert "run this once more while chatproxy is stopped" in said
        for session in old:
            await process.client.call("GET", f"/api/chat/sessions/{session}", status=404)
        await _has_all(process.client, talks)
        for file in ("chatproxy.db-wal", "chatproxy.db-shm", "chatproxy.db"):
            assert mode(tmp_path / file) == 0o600


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM message WHERE role = 'assistant'", "1 sessions without all of their messages"),
        ("PRAGMA user_version = 1000", "was written by a newer chatproxy; start that version"),
    ],
)
async def test_a_check_says_what_is_wrong(
    fake: FakeOllama, tmp_path: Path, statement: str, found: str
) -> None:
    async with Process.running(tmp_path, ollama_host=fake.url) as process:
        await process.client.ask(await process.client.new_session())
    sound = ran(tmp_path, environment(), "check")
    assert (sound.returncode, "1 sessions, 2 messages" in sound.stdout) == (0, True), sound
    with closing(sqlite3.connect(tmp_path / "chatproxy.db")) as connection, connection:
        connection.execute(statement)
    wrong = ran(tmp_path, environment(), "check")
    assert wrong.returncode > 0
    assert found in wrong.stdout + wrong.stderr
    assert "Traceback" not in wrong.stderr
