"""chatproxy on a PostgreSQL of its own, which is killed, asks for passwords, or is behind a pooler."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import postgres
import pytest
from chat_client import Client
from fake_ollama import FakeOllama, Gate, Script, answer, greet
from postgres import Server
from processes import Process, environment, ran
from waiting import until

WORDS: Final = 60
PACE: Final = 0.05  # seconds between two


@pytest.fixture
def own(own_postgres: Server) -> Server:
    """A server with a database `chat`, that no other test uses."""
    own_postgres.psql("CREATE DATABASE chat")
    return own_postgres


def settings(fake: FakeOllama, url: str) -> dict[str, Any]:
    return {
        "database_url": url,
        "ollama_host": fake.url,
        "default_model": "gemma3:270m",
        "embedding_model": "none",
    }


def refused(folder: Path, **given: object) -> str:
    """Return the one line that a start says that does not succeed."""
    run = ran(folder, environment(port=0, **given))
    assert (run.returncode, run.stdout) == (2, "")
    (line,) = run.stderr.splitlines()
    assert "Traceback" not in run.stderr
    return line.removeprefix("chatproxy: ")


async def test_nothing_is_lost_when_the_server_is_killed_and_comes_back(
    own: Server, fake: FakeOllama, tmp_path: Path
) -> None:
    """Answers go on meanwhile, and are stored afterwards; what was acknowledged is there."""
    words = [f"word{number} " for number in range(WORDS)]
    async with Process.running(tmp_path, **settings(fake, own.url("chat"))) as process:
        client = process.client
        kept = await client.new_session(title="kept")
        await client.ask(kept, "Hello")
        fake.script = Script(answer("".join(words)), delays=[PACE] * (WORDS + 1))
        sessions = [await client.new_session() for _ in range(5)]
        streams = [asyncio.create_task(client.ask(session)) for session in sessions]
        await until(lambda: fake.active == len(sessions))
        await asyncio.sleep(0.5)  # some pieces are stored
        await asyncio.to_thread(own.kill)
        refusal = await client.call("POST", "/api/chat/sessions", status=507)
        assert refusal["error"].startswith("The database cannot be reached; see to it that PostgreSQL runs")
        await client.call("GET", "/readyz", status=507)
        await asyncio.to_thread(own.start)
        for session, stream in zip(sessions, streams, strict=True):
            ended = await stream
            assert (ended.last["type"], ended.text()) == ("done", "".join(words))
            assert [each["content"] for each in await client.messages(session)][1] == "".join(words)
        assert [each["status"] for each in await client.messages(kept)] == ["complete", "complete"]
        await client.call("GET", "/readyz")
        fake.script = greet
        await client.ask(kept, "Once more")
        assert "Traceback" not in process.said


async def test_a_process_that_is_killed_leaves_interrupted_answers_with_their_text(
    own: Server, fake: FakeOllama, tmp_path: Path
) -> None:
    given = settings(fake, own.url("chat"))
    fake.script = Script(answer("One two three four"), gate=(gate := Gate()))
    async with Process.running(tmp_path, **given) as process:
        session = await process.client.new_session()
        async with process.client.sending(session) as stream:
            gate.let(3)
            await stream.has("One two three")
            await until(lambda: own.psql("SELECT content FROM chatproxy.piece", "chat") == "One two three")
            process.child.kill()
            await process.child.wait()
    async with Process.running(tmp_path, **given) as process:
        ends = partial(_ends_interrupted, process.client, session)
        await until(ends)  # once it is taken for dead, as it gave no sign for 5 s
        _, stored = await process.client.messages(session)
        assert stored["content"] == "One two three"


async def _ends_interrupted(client: Client, session: str) -> bool:
    return bool((await client.messages(session))[-1]["status"] == "interrupted")


def test_wrong_logins_are_told_in_one_line(own: Server, tmp_path: Path) -> None:
    own.psql("SET password_encryption = 'scram-sha-256'; CREATE ROLE ann LOGIN PASSWORD 'right'")
    (own.folder / "data" / "pg_hba.conf").write_text(
        "local all tests trust\nlocal all ann scram-sha-256\nlocal all nobody reject\n"
    )
    own.psql("SELECT pg_reload_conf()")
    for user, said in (
        (
            "ann:wrong",
            "PostgreSQL refuses the login of postgresql://ann@/chat (password authentication failed",
        ),
        ("stranger:x", "PostgreSQL refuses the login of postgresql://stranger@/chat ("),
    ):
        line = refused(tmp_path, database_url=own.url("chat", user))
        assert line.startswith(said)
        assert line.endswith("; correct the user and the password in DATABASE_URL, or let them in.")


def test_beyond_loopback_a_token_has_to_be_set(tmp_path: Path) -> None:
    line = refused(tmp_path, database_url="postgresql://ann:secret@localhost:1/x", host="0.0.0.0")
    assert line == (
        "API_TOKEN is not set, and beside a database of PostgreSQL there is no file to keep one in; set it, "
        "the same for every start."
    )


# -- the command


async def test_the_command_knows_the_database(own: Server, fake: FakeOllama, tmp_path: Path) -> None:
    given = settings(fake, own.url("chat"))
    fake.script = greet
    old = ran(tmp_path, environment(**given), "check")
    assert (old.returncode, "the tables are made at the first start" in old.stdout) == (1, True)
    async with Process.running(tmp_path, **given) as process:
        sessions = [await process.client.new_session() for _ in range(3)]
        for session in sessions:
            await process.client.ask(session)
        checked = await asyncio.to_thread(ran, tmp_path, environment(**given), "check")
        assert "3 sessions, 6 messages" in checked.stdout
        assert (checked.returncode, "orphans" in checked.stdout) == (0, False)
        own.psql("UPDATE chatproxy.session SET updated_at = '2020-01-01' WHERE key < 3", "chat")
        pruned = await asyncio.to_thread(ran, tmp_path, environment(**given), "prune", "--older-than", "90d")
        assert pruned.stdout.startswith("2 conversations with 4 messages to remove\nremoved in ")
        assert (await process.client.call("GET", "/api/chat/sessions"))["sessions"][0]["id"] == sessions[2]
    assert own.psql("SELECT count(*) FROM chatproxy.message", "chat") == "2"
    backup = await asyncio.to_thread(ran, tmp_path, environment(**given), "backup", "b.db")
    assert (backup.returncode, "run `pg_dump --schema=chatproxy`" in backup.stderr) == (2, True)
    doctor = await asyncio.to_thread(ran, tmp_path, environment(**given), "doctor")
    assert "ok     database       postgresql://tests@/chat, PostgreSQL 1" in doctor.stdout
    shown = ran(tmp_path, environment(database_url="postgres://ann:pass@x/y?password=word"), "--print-config")
    assert "postgres://****@x/y?password=****" in shown.stdout


# -- a pooler


@contextmanager
def pgbouncer(server: Server, mode: str) -> Iterator[str]:
    """Run pgbouncer before the server, and yield the URL of `chat` through it."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        pytest.skip("pgbouncer is not installed")
    folder = server.folder / mode
    folder.mkdir()
    user = postgres.user()
    (folder / "users").write_text('"tests" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
        [databases]
        chat = host={server.folder} dbname=chat
        [pgbouncer]
        listen_addr =
        unix_socket_dir = {folder}
        auth_type = trust
        auth_file = {folder}/users
        pool_mode = {mode}
        """.replace("        ", "")
    )
    if user:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)
    child = subprocess.Popen(
        [program, "-q", str(folder / "pgbouncer.ini")],
        user=user,
        extra_groups=[] if user else None,
        cwd=folder,
    )
    try:
        while not list(folder.glob(".s.PGSQL.*[0-9]")):
            assert child.poll() is None
        yield f"postgresql://tests@/chat?host={folder}&port=6432"
    finally:
        child.terminate()
        child.wait()


def test_a_pooler_that_pools_transactions_is_refused(own: Server, tmp_path: Path) -> None:
    with pgbouncer(own, "transaction") as url:
        line = refused(tmp_path, database_url=url)
    assert line == (
        "The database postgresql://tests@/chat is behind a pooler that pools transactions; connect to "
        "PostgreSQL itself, or let the pooler pool sessions."
    )


async def test_a_pooler_that_pools_sessions_is_none_to_notice(
    own: Server, fake: FakeOllama, tmp_path: Path
) -> None:
    fake.script = greet
    with pgbouncer(own, "session") as url:
        async with Process.running(tmp_path, **settings(fake, url)) as process:
            session = await process.client.new_session()
            assert (await process.client.ask(session)).last["type"] == "done"


async def test_without_asyncpg_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "asyncpg.py").write_text("raise ImportError('not installed')")
    line = refused(tmp_path, database_url="postgresql://localhost/x", pythonpath=tmp_path)
    assert line.startswith("PostgreSQL needs asyncpg, which is not installed; ")
