"""The access token of the command: beyond loopback one is made, and nothing shows it but its file."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from chat_client import Client
from fake_ollama import FakeOllama
from processes import Process, environment, ran
from sockets import opened
from waiting import until

TOKEN: Final = "correct-horse-battery"
RIGHT: Final = {"Authorization": f"Bearer {TOKEN}"}
LOGIN: Final = "/api/login"
SESSIONS: Final = "/api/chat/sessions"


async def test_beyond_loopback_one_is_made_and_a_code_for_it_is_shown(
    fake: FakeOllama, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"ollama_host": fake.url, "host": "0.0.0.0", "log_level": "debug"}
    tokens, codes = [], set()
    for _ in range(2):
        async with Process.running(tmp_path, **settings) as process:
            line = process.first_line
            found = re.match(
                r"Open (http://127\.0\.0\.1:\d+)/#code=([\w-]{32}) in a browser, to log in", line
            )
            assert found, line
            assert "http://0.0.0.0:" in await process.next_line()
            assert await process.next_line() == f"The token is in {tmp_path}/chatproxy.db.token"
            client = Client(process.client.http, found[1])
            code = {"Login-Code": found[2]}
            codes.add(found[2])
            token = (await client.call("POST", LOGIN, headers=code))["token"]
            await client.call("POST", LOGIN, status=401, headers=code)
            tokens.append(token)
            await client.call("GET", SESSIONS, status=401)
            await client.call("GET", SESSIONS, status=401, headers={"Authorization": f"Bearer {found[2]}"})
            await client.new_session(headers={"Authorization": f"Bearer {token}"})
            assert token not in process.said
            assert token not in line
    assert tokens[0] == tokens[1] == (tmp_path / "chatproxy.db.token").read_text().strip()
    assert (tmp_path / "chatproxy.db.token").stat().st_mode & 0o777 == 0o600
    assert len(codes) == 2


async def test_the_browser_is_opened_with_a_code(fake: FakeOllama, tmp_path: Path) -> None:
    opener = tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    opener.chmod(0o700)
    settings = {"ollama_host": fake.url, "api_token": TOKEN, "browser": f"{opener} %s"}
    async with Process.running(tmp_path, "--open", **settings) as process:
        await until((tmp_path / "opened").exists)
        await until(lambda: (tmp_path / "opened").read_text().endswith("\n"))
        address, _, code = (tmp_path / "opened").read_text().strip().partition("/#code=")
        assert address == process.client.base
        answer = await process.client.call("POST", LOGIN, headers={"Login-Code": code})
        assert answer == {"token": TOKEN}


@pytest.mark.parametrize("settings", [{"api_token": "fifteen-letters"}, {"api_token_file": "given"}])
def test_one_that_can_be_guessed_is_refused_beyond_loopback(tmp_path: Path, settings: dict[str, str]) -> None:
    (tmp_path / "given").write_text("fifteen-letters")
    run = ran(tmp_path, environment(host="0.0.0.0", port=0, **settings))
    assert (run.returncode, run.stdout) == (2, "")
    assert "chatproxy: The token is too easy to guess for a server at 0.0.0.0, where " in run.stderr
    assert "fifteen-letters" not in run.stderr


async def test_a_file_with_tokens_that_do_not_count_is_reported(fake: FakeOllama, tmp_path: Path) -> None:
    (tmp_path / "given").write_text(f"ann {TOKEN}")
    (tmp_path / "given").chmod(0o600)
    settings = {"ollama_host": fake.url, "api_token": f"another-{TOKEN}", "api_token_file": "given"}
    async with Process.running(tmp_path, **settings) as process:
        await process.client.call("GET", SESSIONS, status=401, headers=RIGHT)
        await until(lambda: "API_TOKEN is set, so what API_TOKEN_FILE holds does not count" in process.said)


async def test_a_file_with_a_secret_that_all_users_can_read_is_reported(
    fake: FakeOllama, tmp_path: Path
) -> None:
    (tmp_path / "given").write_text(TOKEN)
    (tmp_path / "given").chmod(0o644)
    settings = {"ollama_host": fake.url, "api_token_file": "given"}
    async with Process.running(tmp_path, **settings) as process:
        await until(lambda: "every user of this machine can read a secret in a file" in process.said)
        assert "file=given" in process.said
    run = await asyncio.to_thread(ran, tmp_path, environment(**settings), "doctor")
    assert "note   secrets" in run.stdout
    assert "chmod 600 given" in run.stdout
    assert run.returncode == 0


@pytest.mark.parametrize(
    ("flags", "settings", "status"),
    [
        ([], {}, 200),
        (["--insecure-no-token"], {"host": "0.0.0.0"}, 200),
        ([], {"host": "0.0.0.0", "insecure_no_token": "true"}, 200),
        ([], {"host": "0.0.0.0", "api_token": TOKEN}, 401),
        (["--insecure-no-token"], {"host": "0.0.0.0", "api_token": TOKEN}, 401),
        ([], {"host": "0.0.0.0", "api_token_file": "given"}, 401),
    ],
)
async def test_none_is_made_on_loopback_or_where_the_settings_decide(
    fake: FakeOllama, tmp_path: Path, flags: Sequence[str], settings: dict[str, Any], status: int
) -> None:
    (tmp_path / "given").write_text(TOKEN)
    async with Process.running(tmp_path, *flags, ollama_host=fake.url, **settings) as process:
        await process.client.call("GET", SESSIONS, status=status)
        await process.client.call("GET", SESSIONS, headers=RIGHT)
        assert TOKEN not in process.said
    assert not (tmp_path / "chatproxy.db.token").exists()


async def test_it_is_not_logged_with_a_request_that_cannot_be_read(fake: FakeOllama, tmp_path: Path) -> None:
    """aiohttp's own message about such a request quotes it."""
    async with Process.running(tmp_path, ollama_host=fake.url, api_token=TOKEN, log_level="debug") as process:
        for end, name in (
            ("\n", "Authorization"),
            ("\r\n", "Authorization "),
            ("\r\n", "X: \0\r\nAuthorization"),
        ):
            head = f"GET {SESSIONS} HTTP/1.1{end}Host: localhost{end}{name}: Bearer {TOKEN}{end}{end}"
            async with opened(process.client) as (reader, writer):
                writer.write(head.encode())
                assert (await reader.readline()).split()[1] == b"400"
        await process.client.call("GET", SESSIONS, headers=RIGHT)
        assert process.said == ""


def test_it_is_masked_where_the_settings_are_shown(tmp_path: Path) -> None:
    run = ran(tmp_path, environment(api_token=TOKEN), "--print-config")
    assert TOKEN not in run.stdout
    assert re.search(r"^API_TOKEN +\*\*\*\* +environment$", run.stdout, re.MULTILINE)


async def last_event(folder: Path, settings: dict[str, Any]) -> Any:
    """Start the demo and run the two lines that it prints for the shell; return the last event they show.

    They name the token's file or the variable, and not the token.
    """
    folder.mkdir()  # noqa: ASYNC240 - takes no time
    async with Process.running(folder, "--demo", **settings) as process:
        while not (line := await process.next_line()).startswith("SESSION="):
            pass
        lines = f"{line}\n{await process.next_line()}"
        assert TOKEN not in lines
        variables = environment(**settings)
        run = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", lines], env=variables, capture_output=True, text=True, timeout=60
        )
    return json.loads(run.stdout.strip().split("\n\n")[-1].removeprefix("data: "))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_lines_that_the_demo_prints_work_with_it(tmp_path: Path) -> None:
    """All at once, as an answer takes the demo some seconds."""
    (tmp_path / "tokens").write_text(f"# two users\n\nann {TOKEN}  \nbob {TOKEN}-2\n")
    cases: list[dict[str, Any]] = [
        {"api_token": TOKEN},
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"api_token_file": str(tmp_path / "tokens")},
    ]
    runs = [last_event(tmp_path / str(number), settings) for number, settings in enumerate(cases)]
    assert [event["type"] for event in await asyncio.gather(*runs)] == ["done"] * len(cases)


async def test_visitors_stay_the_same_after_a_restart(fake: FakeOllama, tmp_path: Path) -> None:
    """Without a secret of the operator's, one is kept beside the database, and nothing shows it."""
    settings: dict[str, Any] = {"ollama_host": fake.url, "visitors": "true", "log_level": "debug"}
    headers: dict[str, str] = {}
    session, kept = "", tmp_path / "chatproxy.db.jwt"
    for _ in range(2):
        async with Process.running(tmp_path, **settings) as process:
            client = process.client
            if not headers:
                given = await client.call("POST", "/api/chat/visitors", status=201)
                headers = {"Authorization": f"Bearer {given['token']}"}
                session = await client.new_session(headers=headers)
            found = await client.call("GET", f"{SESSIONS}/{session}", headers=headers)
            assert found["id"] == session
            await client.call("GET", SESSIONS, status=401)
            for secret in (kept.read_text().strip(), headers["Authorization"].split()[1]):
                assert secret not in process.said
    assert len(kept.read_text().strip()) >= 32
    assert kept.stat().st_mode & 0o777 == 0o600
