"""`chatproxy copy`, as docs/operate.md has it: from a file to PostgreSQL and back, or killed on the way."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import stored
from fake_ollama import FakeOllama, echo
from processes import ROOT, SCRIPT, Process, environment, ran
from readme import example
from waiting import until

from chatproxy.store.postgres.pool import connect
from chatproxy.store.records import NewTurn
from chatproxy.store.store import Store
from chatproxy.store.upkeep.copying.tables import COPIED

THERE: Final = example("sh", "--to postgresql:")
BACK: Final = example("sh", "--from postgresql:")
URL: Final = "postgresql://user@host/database"
TO: Final = ("--to", "copy.db")
WAITING: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'relation'"
)


def run(line: str, folder: Path, url: str) -> str:
    """Run a line of the page; return what it prints."""
    command, *arguments = shlex.split(line.replace(URL, url))
    assert command == "chatproxy"
    done = ran(folder, environment(), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def rows(database: Path | str) -> list[Any]:
    return [stored.rows(database, f"SELECT count(*) FROM {table.name}") for table in COPIED]


async def everything(process: Process) -> tuple[object, object]:
    """Return all conversations, and one that was searched for."""
    return await process.client.call("GET", "/api/chat/export"), await process.client.call(
        "GET", "/api/chat/sessions?q=gooseberry"
    )


async def finds_everything(process: Process, expected: tuple[object, object]) -> bool:
    """Return whether it has all conversations, and whether its index has followed."""
    exported, searched = await everything(process)
    assert exported == expected[0]
    return searched == expected[1]


async def test_conversations_move_to_postgresql_and_back(
    fake: FakeOllama, tmp_path: Path, new_postgres: Callable[[], str]
) -> None:
    fake.script = echo
    given = {"ollama_host": fake.url, "default_model": "gemma3:270m"}
    url = new_postgres()
    async with Process.running(tmp_path, **given) as process:
        for number in range(3):
            session = await process.client.new_session(title=f"Fruit {number}")
            await process.client.ask(session, f"a gooseberry \x1a0 {number}")
        before = await everything(process)
    for line, database, messages in ((THERE, url, 6), (BACK, "sqlite:///restored.db", 8)):
        said = await asyncio.to_thread(run, line, tmp_path, url)
        assert re.search(rf"^message +{messages} rows, checksum [0-9a-f]{{32}}$", said, re.MULTILINE)
        assert "and compared in " in said
        async with Process.running(tmp_path, **given, database_url=database) as process:
            await until(partial(finds_everything, process, before))
            page = await process.client.messages(session)
            await process.client.ask(session, "and another gooseberry")
            after = await process.client.messages(session)
            assert after[: len(page)] == page
            assert after[-1]["id"] > page[-1]["id"]
            before = await everything(process)
            process.send_signal(signal.SIGTERM)
            assert await process.ended() == 0


def test_files_are_copied_without_postgresqls_driver(tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "chat.db"))
    script = (
        "import sys; from chatproxy.command.cli import main;"
        f"code = main(['copy', '--from', 'chat.db', '--to', 'sqlite:///{tmp_path}/new/copy.db']);"
        "sys.exit(code or 'asyncpg' in sys.modules)"
    )
    variables = environment(pythonpath=ROOT)
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=variables, check=True, timeout=30)
    assert rows(tmp_path / "new" / "copy.db") == rows(tmp_path / "chat.db")


async def _make(path: Path) -> None:
    store = await Store.open(path)
    session = await store.sessions.create("ann", title="Garden")
    picture = os.urandom(4_000_000)  # more than SQLite has in memory
    await store.messages.begin(session, NewTurn(content="Look", images=[picture]))
    await store.close()
    stored.rows(path, "INSERT INTO vectors SELECT key, x'00' FROM session")


@pytest.mark.parametrize("target", ["a file", "a server"])
async def test_what_is_killed_before_its_end_leaves_the_target_empty(
    tmp_path: Path, new_postgres: Callable[[], str], target: str
) -> None:
    source, destination = tmp_path / "chat.db", tmp_path / "new.db" if target == "a file" else new_postgres()
    await _make(source)
    script = (
        "import asyncio, os, sys; from pathlib import Path;"
        "from chatproxy.store.upkeep.copying.copy import copy;"
        "end = lambda line: line == 'vectors: 1 of 1 rows compared' and os.kill(os.getpid(), 9);"
        "to = sys.argv[2]; to = to if '://' in to else Path(to);"
        "asyncio.run(copy(Path(sys.argv[1]), to, tell=end))"
    )
    command = [sys.executable, "-c", script, str(source), str(destination)]
    killed = await asyncio.to_thread(subprocess.run, command, env=environment(pythonpath=ROOT), timeout=30)
    assert killed.returncode == -signal.SIGKILL
    for number in (0, 1):  # not in use any more, then with everything in it
        store = await Store.open(destination)
        assert len((await store.sessions.page("ann", limit=9, before=None))[0]) == number
        await store.close()
        if number == 0:
            assert rows(destination) == [[(0,)]] * len(COPIED)
            arguments = ("copy", "--from", str(source), "--to", str(destination))
            again = await asyncio.to_thread(ran, tmp_path, environment(), *arguments)
            assert (again.returncode, again.stderr) == (0, "")


async def test_what_is_broken_off_says_so(tmp_path: Path, new_postgres: Callable[[], str]) -> None:
    path, url = tmp_path / "chat.db", new_postgres()
    await _make(path)
    await (await Store.open(url)).close()
    connection = await connect(url)
    await connection.execute("BEGIN; LOCK TABLE chatproxy.vectors IN EXCLUSIVE MODE")
    arguments = (*SCRIPT, "copy", "--from", "chat.db", "--to", url)
    # A shell starts what is in its background deaf to this signal, and so would be what that starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    child = await asyncio.create_subprocess_exec(*arguments, cwd=tmp_path, env=environment(), stderr=-1)
    signal.signal(signal.SIGINT, before)
    await until(lambda: stored.rows(url, WAITING) == [(1,)])
    child.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(child.communicate(), 30)
    await connection.close()
    name = "postgresql://tests@/" + url.partition("@/")[2].partition("?")[0]
    assert (
        said.decode() == f"chatproxy: The copy was broken off, and {name} is still empty; copy once more.\n"
    )
    assert child.returncode == 2
    await until(lambda: stored.rows(url, WAITING) == [(0,)])
    assert rows(url) == [[(0,)]] * len(COPIED)


def test_what_cannot_be_copied_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ann")
    for arguments, sentence in (
        (("--from", "none.db", *TO), "There is no database none.db; start chatproxy once, or name another"),
        (("--from", "letter.txt", *TO), f"The file {tmp_path}/letter.txt is not a database that can be read"),
        (
            ("--from", "postgresql://ann:sesame@127.0.0.1:1/x", *TO),
            "The database postgresql://ann@127.0.0.1:1/x cannot be reached (",
        ),
    ):
        run = ran(tmp_path, environment(), "copy", *arguments)
        assert (run.returncode, run.stdout) == (2, "")
        (line,) = run.stderr.splitlines()
        assert line.startswith(f"chatproxy: {sentence}")
        assert "--from" in line
        assert "sesame" not in line
    assert not (tmp_path / "copy.db").exists()
