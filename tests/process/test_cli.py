"""The command: how it starts, when it refuses to, and how it ends while streams run."""

import asyncio
import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError
from chat_client import Client, Stream
from fake_ollama import FakeOllama, Gate, Script, refused, token
from processes import INSTALLED, SCRIPT, Process, environment, ran
from sockets import request, unread
from waiting import until

from chatproxy import __version__
from chatproxy.command import cli
from chatproxy.command.cli import COMMANDS, COPY_NEEDS, Command, main
from chatproxy.config import SETTINGS

MODEL = {"default_model": "gemma3:270m"}


def half_said() -> Script:
    """Return a script that sends two words and then nothing."""
    return Script([token("Two"), token(" words")], end="hang")


async def read_two_words(stream: Stream) -> None:
    await stream.has("Two words")


def answers(folder: Path) -> list[tuple[str, str, str]]:
    """Return status, text and error code of the answers in the default database."""
    with closing(sqlite3.connect(folder / "chatproxy.db")) as connection:
        return connection.execute(
            "SELECT status, content, error ->> 'code' FROM message WHERE role = 'assistant' ORDER BY id"
        ).fetchall()


# -- the start


@pytest.mark.parametrize("command", [SCRIPT, INSTALLED])
async def test_it_prints_its_address_and_is_ready(
    fake: FakeOllama, tmp_path: Path, command: Sequence[str]
) -> None:
    async with Process.running(tmp_path, command=command, ollama_host=fake.url) as process:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", process.client.base)
        assert await process.client.call("GET", "/readyz") == {
            "status": "ready",
            "ollama": {"reachable": True, "version": "0.0.0"},
        }
        answered = await process.client.send(await process.client.new_session())
        assert answered["fullResponse"] == "Hello from a fake."
        process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
    assert "Traceback" not in process.said


async def test_the_address_of_the_page_comes_before_all_else(fake: FakeOllama, tmp_path: Path) -> None:
    """Even before what the log says of the settings, and of what is done at the start."""
    (tmp_path / "token").write_text("correct-horse-battery")
    settings = {"ollama_host": fake.url, "api_token_file": "token"}
    child = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'ulimit -n 512 && exec "$@"', "sh", *SCRIPT),
        cwd=tmp_path,
        env=environment(port=0, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert child.stdout is not None
    async with asyncio.timeout(20):
        lines = [(await child.stdout.readline()).decode() for _ in range(3)]
    child.terminate()
    await child.communicate()
    assert re.match(r"Open http://127\.0\.0\.1:\d+/#code=[\w-]{32} in a browser, to log in once", lines[0])
    assert ["WARNING" in line for line in lines] == [False, True, True]


async def test_it_starts_without_ollama(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with Process.running(tmp_path, ollama_host=address) as process:
            ready = await process.client.call("GET", "/readyz")
            assert (ready["status"], ready["ollama"]["reachable"]) == ("ready", False)
            await until(lambda: f"WARNING Ollama cannot be reached at http://{address}" in process.said)
        assert process.said.count("\n") == 1


async def test_what_is_missing_is_said_at_the_start(fake: FakeOllama, tmp_path: Path) -> None:
    fake.instead["/api/tags"] = Script([b'{"models": []}'])
    async with Process.running(tmp_path, ollama_host=fake.url) as process:
        await until(lambda: "WARNING No model is installed; type `ollama pull llama3.2`" in process.said)
        del fake.instead["/api/tags"]
        await process.client.call("GET", "/api/models")  # as the page does
        await until(lambda: "INFO messages can be answered" in process.said)
    assert process.said.count("\n") == 2


async def test_flags_win_over_the_environment_and_the_environment_over_env_file(
    fake: FakeOllama, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///file.db\nSYSTEM_PROMPT=Be brief.\n")
    settings = {"database_url": "sqlite:///environment.db", "ollama_host": fake.url} | MODEL
    async with Process.running(tmp_path, "--database-url", "sqlite:///flag.db", **settings) as process:
        await process.client.send(await process.client.new_session())
    assert (tmp_path / "flag.db").is_file()
    assert not (tmp_path / "environment.db").exists()
    assert fake.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}


def refusal(folder: Path, **settings: str) -> str:
    """Run the command, which has to fail with exit code 2; return the one line that it prints."""
    run = ran(folder, environment(**settings))
    assert (run.returncode, run.stdout) == (2, "")
    (line,) = run.stderr.splitlines()
    assert line.endswith(".")
    return line


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refusal(tmp_path, port=str(port))
    assert sentence.startswith(f"chatproxy: Cannot listen on 127.0.0.1 at port {port} (")
    assert sentence.endswith(
        f"): `lsof -i :{port}` shows what listens there; stop that, or choose another PORT."
    )


async def test_a_port_that_another_chatproxy_has(fake: FakeOllama, tmp_path: Path) -> None:
    async with Process.running(tmp_path, ollama_host=fake.url) as process:
        port = process.client.base.rpartition(":")[2]
        settings = {"port": port, "database_url": "sqlite:///another.db"}
        sentence = await asyncio.to_thread(refusal, tmp_path, **settings)
        assert sentence.endswith(
            f"chatproxy {__version__} listens there; stop that one, or choose another PORT."
        )
        run = await asyncio.to_thread(ran, tmp_path, environment(ollama_host=fake.url, **settings), "doctor")
        assert (run.returncode, sentence.removeprefix("chatproxy: ") in run.stdout) == (1, True)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"port": "eleven"}, "PORT is 'eleven', which cannot be used: use a whole number from 0 to 65535."),
        ({"token_timeout": "-1"}, "TOKEN_TIMEOUT is '-1', which cannot be used: "),
        ({"ollama_host": "ftp://x"}, "OLLAMA_HOST is 'ftp://x', which cannot be used: "),
        ({"database_url": "mysql://x"}, "DATABASE_URL is 'mysql://x', which cannot be used: "),
        ({"ollama_api_key": "s e c r e t"}, "OLLAMA_API_KEY is '****', which cannot be used: "),
    ],
)
def test_a_setting_that_cannot_be_used(tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
    assert refusal(tmp_path, **settings).startswith(f"chatproxy: {sentence}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "chatproxy.db").write_bytes(b"Dear diary,\n" * 1000)
    assert refusal(tmp_path).startswith(
        f"chatproxy: The file {tmp_path}/chatproxy.db is not a database that can be read"
    )
    assert (tmp_path / "chatproxy.db").read_bytes() == b"Dear diary,\n" * 1000


async def test_a_database_in_use_is_refused(fake: FakeOllama, tmp_path: Path) -> None:
    async with Process.running(tmp_path, ollama_host=fake.url) as process:
        second = await asyncio.to_thread(refusal, tmp_path)
        assert second.startswith(f"chatproxy: The database {tmp_path}/chatproxy.db is in use by another")
        assert (await process.client.call("GET", "/readyz"))["status"] == "ready"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--databse-url", "sqlite:///x.db"], "unknown flag --databse-url; did you mean --database-url?"),
        (["--database_url=sqlite:///x.db"], "unknown flag --database_url; did you mean --database-url?"),
        (["-port", "80"], "unknown flag -port; did you mean --port?"),
        (["--api-tokn=sesame"], "unknown flag --api-tokn; did you mean --api-token?"),
        (["doctor", "--prot=80"], "unknown flag --prot; did you mean --port?"),
        (["docter"], "unknown command docter; did you mean doctor?"),
        (["xyzzy"], f"unknown command xyzzy; use one of {', '.join(COMMANDS)}"),
        (
            ["copy", "--from=mysql://ann:sesame@host/x", "--to=new.db"],
            "argument --from: use a file, as sqlite:///chatproxy.db, or with four slashes an absolute path, "
            "or postgresql://user:password@host/database",
        ),
        (["--demo", "doctor"], "doctor is a command, which comes first: chatproxy doctor"),
    ],
)
def test_what_is_mistyped(tmp_path: Path, arguments: Sequence[str], sentence: str) -> None:
    run = ran(tmp_path, environment(), *arguments)
    assert (run.returncode, run.stdout) == (2, "")
    first, *usage = run.stderr.splitlines()
    assert first == f"chatproxy: {sentence}"
    assert usage[0].startswith("usage: chatproxy [COMMAND]")
    assert "sesame" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["backup"], "name the file: chatproxy backup backup.db"),
        (["backup", "--port", "80"], "name the file: chatproxy backup backup.db"),
        (["prune"], "say for how long it was not used: chatproxy prune --older-than 90d"),
        (["prune", "--dry-run"], "say for how long it was not used: chatproxy prune --older-than 90d"),
        (["copy"], COPY_NEEDS),
        (["copy", "--from", "chatproxy.db"], COPY_NEEDS),
    ],
)
def test_what_is_left_out(tmp_path: Path, arguments: Sequence[str], sentence: str) -> None:
    run = ran(tmp_path, environment(), *arguments)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"chatproxy: {sentence}\n")


PRINTING: tuple[list[str], ...] = (
    ["--print-config"],
    ["--help"],
    ["--version"],
    ["doctor"],
    ["check"],
    ["backup", "b.db"],
    ["prune", "--older-than=1d"],
    ["copy", "--from=chatproxy.db", "--to=copy.db"],
    [],
)


@pytest.mark.parametrize("arguments", PRINTING, ids=lambda arguments: " ".join(arguments) or "a start")
@pytest.mark.parametrize("buffered", [False, True])
async def test_who_reads_the_output_may_leave(
    tmp_path: Path, arguments: Sequence[str], buffered: bool
) -> None:
    """As `head` does. Nobody reads here, so that all that is written meets a closed pipe."""
    async with Process.running(tmp_path, ollama_host="127.0.0.1:1"):
        pass  # there is a database now
    reading, writing = os.pipe()
    os.close(reading)
    assert await asyncio.to_thread(written_to, writing, tmp_path, arguments, buffered) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, as Linux has it")
@pytest.mark.parametrize("arguments", [["--print-config"], ["--version"], ["doctor"], []])
@pytest.mark.parametrize("buffered", [False, True])
def test_output_that_cannot_be_written(tmp_path: Path, arguments: Sequence[str], buffered: bool) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    code, said = written_to(full, tmp_path, arguments, buffered)
    sentence = (
        "what this prints cannot be written (No space left on device); send it elsewhere, or free some space"
    )
    assert (code, said) == (2, f"chatproxy: {sentence}\n")


def written_to(descriptor: int, folder: Path, arguments: Sequence[str], buffered: bool) -> tuple[int, str]:
    """Return the exit code and what is said on stderr if stdout is that file, which is closed here."""
    variables = environment(ollama_host="127.0.0.1:1", port=0)
    if buffered:
        del variables["PYTHONUNBUFFERED"]
    with open(descriptor, "wb") as stdout:
        run = subprocess.run(
            [*SCRIPT, *arguments],
            cwd=folder,
            env=variables,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
        )
    return run.returncode, run.stderr


@pytest.mark.parametrize("arguments", [["--port=none"], ["--prot=80"], ["prune"]])
def test_nobody_may_read_what_is_wrong(tmp_path: Path, arguments: Sequence[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        command = [*SCRIPT, *arguments]
        run = subprocess.run(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=closed, timeout=30
        )
    assert (run.returncode, run.stdout) == (2, b"")


def test_another_pipe_that_breaks_is_no_reader_that_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(options: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(cli, "COMMANDS", {**COMMANDS, "check": Command("of a worker", broken)})
    with pytest.raises(BrokenPipeError):
        main(["check"])


def test_help_names_commands_and_defaults(tmp_path: Path) -> None:
    run = ran(tmp_path, environment(columns=200), "--help")
    assert (run.returncode, run.stderr) == (0, "")
    said = re.sub(r"\s+", " ", run.stdout)
    assert "PORT: port to listen on; 0 picks a free one (default: 11435)" in said
    assert "API_TOKEN: token that requests must send (default: unset)" in said
    assert said.count("(default: ") == len(SETTINGS)
    assert "doctor check the setup" in said
    assert all(f"{code} " in said.partition("exit code: ")[2] for code in (0, 1, 2, 141))


# -- flags that only print something


@pytest.mark.parametrize("command", [SCRIPT, INSTALLED])
def test_the_version(tmp_path: Path, command: Sequence[str]) -> None:
    run = ran(tmp_path, environment(), "--version", command=command)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"chatproxy {__version__}\n", "")


def test_print_config_shows_values_and_sources(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOKEN_TIMEOUT=7\nPORT=1\n")
    given = environment(port=2, ollama_api_key="sesame", default_model='"gemma3:270m"')
    run = ran(tmp_path, given, "--print-config", "--log-level", "debug")
    assert (run.returncode, run.stderr) == (0, "")
    rows = {
        name: (value, source)
        for name, value, source in (line.split(maxsplit=2) for line in run.stdout.splitlines())
    }
    assert list(rows) == list(SETTINGS)
    assert rows["LOG_LEVEL"] == ("debug", "flag")
    assert rows["PORT"] == ("2", "environment")
    assert rows["DEFAULT_MODEL"] == ("gemma3:270m", "environment, unquoted")
    assert rows["TOKEN_TIMEOUT"] == ("7.0", ".env")
    assert rows["HOST"] == ("127.0.0.1", "default")
    assert rows["OLLAMA_API_KEY"] == ("****", "environment")
    assert "sesame" not in run.stdout
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


# -- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_under_running_streams(
    fake: FakeOllama, tmp_path: Path, number: signal.Signals
) -> None:
    fake.script = half_said()
    command = ("env", "--default-signal=HUP", *SCRIPT)  # which these tests may be run without, under nohup
    async with (
        Process.running(tmp_path, command=command, ollama_host=fake.url, **MODEL) as process,
        AsyncExitStack() as streams,
    ):
        client = process.client
        sessions = [await client.new_session() for _ in range(2)]
        reading = [await streams.enter_async_context(client.sending(session)) for session in sessions]
        for stream in reading:
            await read_two_words(stream)
        process.send_signal(number)
        for stream in reading:
            end = await stream.until("error")
            assert (end["code"], end["fullResponse"]) == ("shutting_down", "Two words")
            assert await stream.next() is None
        await refuses(client, sessions[0])
        assert await process.ended() == 0
    assert answers(tmp_path) == [("interrupted", "Two words", "shutting_down")] * 2
    assert "Traceback" not in process.said


async def test_a_closed_terminal_does_not_end_it_under_nohup(fake: FakeOllama, tmp_path: Path) -> None:
    command = ("nohup", *SCRIPT)
    async with Process.running(tmp_path, command=command, ollama_host=fake.url, **MODEL) as process:
        process.send_signal(signal.SIGHUP)
        await process.client.ask(await process.client.new_session())
        process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0


async def refuses(client: Client, session: str) -> None:
    """Check that a send is refused, or not even connected."""
    with suppress(ClientConnectionError):
        await client.send(session, status=503)


async def test_further_signals_change_nothing(fake: FakeOllama, tmp_path: Path) -> None:
    fake.script = half_said()
    async with Process.running(tmp_path, ollama_host=fake.url, **MODEL) as process:
        async with process.client.sending(await process.client.new_session()) as stream:
            await read_two_words(stream)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
                process.send_signal(number)
            assert (await stream.until("error"))["code"] == "shutting_down"
        assert await process.ended() == 0
    assert answers(tmp_path) == [("interrupted", "Two words", "shutting_down")]


async def test_a_signal_with_an_ollama_that_hangs(fake: FakeOllama, tmp_path: Path) -> None:
    fake.instead["/api/tags"] = refused(500, "not yet")
    async with Process.running(tmp_path, ollama_host=fake.url, **MODEL) as process:
        await until(lambda: "not yet" in process.said)  # the start has looked
        fake.instead["/api/tags"] = Script(head=Gate())
        session = await process.client.new_session()
        sending = asyncio.create_task(process.client.send(session, model="auto", status=503))
        await until(lambda: fake.calls["/api/tags"] > 1)
        process.send_signal(signal.SIGTERM)
        assert (await sending)["code"] == "shutting_down"
        assert await process.ended() == 0
    assert answers(tmp_path) == []


async def test_a_signal_with_a_reader_that_does_not_read(fake: FakeOllama, tmp_path: Path) -> None:
    fake.script = Script([token("x" * 1_000_000)] * 8, end="hang")  # more than any socket buffer holds
    async with Process.running(
        tmp_path, ollama_host=fake.url, max_answer_bytes=10_000_000, **MODEL
    ) as process:
        session = await process.client.new_session()
        send = request("POST", f"/api/chat/sessions/{session}/messages/stream", body={"message": "Hello"})
        with unread(process.client, send):
            await until(partial(has_text, process.client, session, "0.8000000"))
            process.send_signal(signal.SIGTERM)
            assert await process.ended() == 0
    assert answers(tmp_path) == [("interrupted", "x" * 8_000_000, "shutting_down")]


async def has_text(client: Client, session: str, cursor: str) -> bool:
    """Whether the answer has come to that cursor."""
    messages = await client.messages(session)
    return bool(messages and messages[-1]["cursor"] == cursor)


# -- the demo


async def test_the_demo_streams_and_says_what_it_is(tmp_path: Path) -> None:
    async with Process.running(tmp_path, "--demo") as process:
        assert "not a language model" in await process.next_line()
        stream = await process.client.ask(await process.client.new_session(), "Is it raining?")
        process.send_signal(signal.SIGINT)
        assert await process.ended() == 0
    assert stream.kinds() == ["start", "chunk", "done"]
    assert [event["type"] for event in stream.events].count("chunk") > 10
    assert "raining" in stream.text()
    assert "not a language model" in stream.text()
    assert "WARNING" not in process.said  # of what was asked for


@pytest.mark.parametrize(
    ("flags", "settings", "expected"),
    [
        ([], {}, "chatproxy-demo.db"),
        (["--database-url", "sqlite:///mine.db"], {}, "mine.db"),
        ([], {"database_url": "sqlite:///mine.db"}, "mine.db"),
    ],
)
async def test_the_demo_keeps_its_talk_apart(
    tmp_path: Path, flags: Sequence[str], settings: dict[str, str], expected: str
) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///chatproxy.db\n")
    async with Process.running(tmp_path, "--demo", *flags, **settings) as process:
        assert expected in await process.next_line()
        await process.client.new_session()
    assert sorted(name for name in os.listdir(tmp_path) if name.endswith(".db")) == [expected]
