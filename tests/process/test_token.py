"""Where there is a token, only what is open to all is answered without it; beyond loopback there is one."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from chat_client import Client, Server
from fake_ollama import FakeOllama
from processes import Process, environment, ran
from routes import is_open, place, routes

from chatproxy import Config, create_app
from chatproxy.command.token import load_or_create_token
from chatproxy.errors import StartError

TOKEN: Final = "correct-horse-battery"
RIGHT: Final = {"Authorization": f"Bearer {TOKEN}"}
PREFIX: Final = "/x/y"
ORIGIN: Final = "https://chat.example"
SESSIONS: Final = "/api/chat/sessions"


@pytest.fixture(params=["", PREFIX], ids=["root", "mounted"])
async def anywhere(config: Config, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    app = create_app(replace(config, api_token=TOKEN, cors_origins=(ORIGIN,)))
    if request.param:
        host = web.Application()
        host.add_subapp(request.param, app)
        app = host
    async with Server(app, request.param) as server:
        yield server.client


@pytest.fixture
def config(config: Config) -> Config:
    return replace(config, api_token=TOKEN)


@pytest.mark.parametrize(("method", "path"), routes())
async def test_every_route_asks_for_it_but_those_that_are_open(
    anywhere: Client, method: str, path: str
) -> None:
    url = anywhere.url(place(path))
    async with anywhere.http.request(method, url, data=b"x", allow_redirects=False) as response:
        if is_open(method, path):
            assert response.status in {200, 308}
            return
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        if method != "HEAD":
            told = await response.json()
            assert (set(told), told["code"]) == ({"error", "code"}, "unauthorized")
    async with anywhere.http.request(method, url, headers=RIGHT, allow_redirects=False) as response:
        assert response.status != 401


@pytest.mark.parametrize("path", ["/nothing", "/api", "/static", "/healthz/x", "/docs/", "//"])
async def test_nothing_is_told_without_it_not_even_that_there_is_nothing(anywhere: Client, path: str) -> None:
    for method in ("GET", "POST", "PROPFIND", "OPTIONS"):
        await anywhere.call(method, path, status=401)
    assert (await anywhere.call("GET", path, status=404, headers=RIGHT))["code"] == "not_found"


@pytest.mark.parametrize(
    "given",
    [
        "",
        TOKEN,
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer: {TOKEN}",
        "Bearer \xf6",
    ],
)
async def test_only_the_token_itself_will_do(anywhere: Client, given: str) -> None:
    await anywhere.call("GET", SESSIONS, status=401, headers={"Authorization": given})


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN}"])
async def test_the_scheme_is_read_in_any_case(anywhere: Client, given: str) -> None:
    await anywhere.call("GET", SESSIONS, headers={"Authorization": given})


@pytest.mark.parametrize("name", ["token", "api_token", "access_token", "API_TOKEN", "authorization"])
async def test_it_is_not_taken_from_the_address(anywhere: Client, name: str) -> None:
    for value in (TOKEN, f"Bearer {TOKEN}"):
        await anywhere.call("GET", SESSIONS, status=401, params={name: value})


async def test_a_preflight_needs_none_and_what_follows_tells_the_page_of_it(anywhere: Client) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    headers = asked | {"Access-Control-Request-Headers": "authorization"}
    async with anywhere.http.options(anywhere.url(SESSIONS), headers=headers) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Headers"] == "AUTHORIZATION"
    async with anywhere.http.post(anywhere.url(SESSIONS), headers={"Origin": ORIGIN}) as response:
        assert response.status == 401
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    async with anywhere.http.post(anywhere.url(SESSIONS), headers={"Origin": ORIGIN} | RIGHT) as response:
        assert response.status == 201


async def test_the_body_of_a_request_without_it_is_not_waited_for(anywhere: Client) -> None:
    place, _, prefix = anywhere.base.removeprefix("http://").partition("/")
    address, port = place.split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    path = f"{prefix and '/' + prefix}{SESSIONS}"
    writer.write(f"POST {path} HTTP/1.1\r\nHost: {place}\r\nContent-Length: 1000\r\n\r\n".encode())
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", ["/healthz", "/", "/static/page/page.js", SESSIONS])
async def test_what_is_no_preflight_and_no_read_is_asked_for_it(anywhere: Client, path: str) -> None:
    for method in ("OPTIONS", "POST", "TRACE"):
        await anywhere.call(method, path, status=401)


async def test_a_stream_is_resumed_with_it(anywhere: Client) -> None:
    session = await anywhere.new_session(headers=RIGHT)
    path = f"{SESSIONS}/{session}/messages/stream"
    async with anywhere.stream("POST", path, json={"message": "Hello"}, headers=RIGHT) as stream:
        await stream.rest()
    again = f"{SESSIONS}/{session}/messages/{stream.answer_id}/stream"
    async with anywhere.stream("GET", again, headers=RIGHT) as resumed:
        await resumed.rest()
    assert resumed.text() == "Hello from a fake."
    await anywhere.call("GET", again, status=401, params={"token": TOKEN})


# -- where it comes from


def test_it_may_be_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f" {TOKEN}\n")
    assert Config(api_token_file=str(path)).token == TOKEN
    assert Config(api_token_file=str(path), api_token="other").token == "other"
    assert Config().token is None
    assert TOKEN not in repr(Config(api_token=TOKEN))


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two words", b"\xff", "ö".encode(), b"a\nb"])
def test_a_file_that_holds_none_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartError, match=f"The file {path} of API_TOKEN_FILE .*[.]$"):
        create_app(Config(api_token_file=str(path)))


@pytest.mark.parametrize(
    ("host", "beyond"),
    [
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("localhost", False),
        ("LocalHost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.168.1.7", True),
        ("chat.example", True),
        ("localhost.example", True),
    ],
)
def test_what_is_beyond_loopback(host: str, beyond: bool) -> None:
    assert Config(host=host).beyond_loopback is beyond


def test_one_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    database = tmp_path / "new" / "chat.db"
    token = load_or_create_token(database)
    path = tmp_path / "new" / "chat.db.token"
    assert path.read_text() == f"{token}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(token) >= 32
    path.chmod(0o644)
    assert load_or_create_token(database) == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_token(tmp_path / "other.db") != token


@pytest.mark.parametrize("content", ["two words\n", "ö\n", " \n"])
def test_what_is_none_is_not_taken_for_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "chat.db.token").write_text(content)
    with pytest.raises(StartError, match=r"holds no token; remove it, or set API_TOKEN\.$"):
        load_or_create_token(tmp_path / "chat.db")


def test_it_is_not_kept_where_it_could_be_read_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "chat.db.token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match="cannot be kept in"):
        load_or_create_token(tmp_path / "chat.db")
    assert not (tmp_path / "elsewhere").exists()


# -- the command


async def second_line(process: Process) -> str:
    assert process.child.stdout is not None
    async with asyncio.timeout(10):
        return (await process.child.stdout.readline()).decode().strip()


async def test_beyond_loopback_one_is_made_and_told_in_the_address(fake: FakeOllama, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"ollama_host": fake.url, "host": "0.0.0.0", "log_level": "debug"}
    tokens = []
    for _ in range(2):
        async with Process.running(tmp_path, **settings) as process:
            line = await second_line(process)
            found = re.fullmatch(r"Open (http://127\.0\.0\.1:\d+)/#token=([\w-]{32})", line)
            assert found, line
            tokens.append(found[2])
            headers = {"Authorization": f"Bearer {found[2]}"}
            client = Client(process.client.http, found[1])
            await client.call("GET", SESSIONS, status=401)
            await client.new_session(headers=headers)
            assert found[2] not in process.said
    assert tokens[0] == tokens[1] == (tmp_path / "chatproxy.db.token").read_text().strip()
    assert (tmp_path / "chatproxy.db.token").stat().st_mode & 0o777 == 0o600


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
async def test_otherwise_none_is_made(
    fake: FakeOllama, tmp_path: Path, flags: Sequence[str], settings: dict[str, Any], status: int
) -> None:
    (tmp_path / "given").write_text(TOKEN)
    async with Process.running(tmp_path, *flags, ollama_host=fake.url, **settings) as process:
        await process.client.call("GET", SESSIONS, status=status)
        await process.client.call("GET", SESSIONS, headers=RIGHT)
        assert TOKEN not in process.said
    assert not (tmp_path / "chatproxy.db.token").exists()


async def test_it_is_in_no_log_where_a_request_cannot_be_read(fake: FakeOllama, tmp_path: Path) -> None:
    """aiohttp's own words for such a request quote it."""
    async with Process.running(tmp_path, ollama_host=fake.url, api_token=TOKEN, log_level="debug") as process:
        for end, name in (
            ("\n", "Authorization"),
            ("\r\n", "Authorization "),
            ("\r\n", "X: \0\r\nAuthorization"),
        ):
            head = f"GET {SESSIONS} HTTP/1.1{end}Host: localhost{end}{name}: Bearer {TOKEN}{end}{end}"
            address, port = process.client.base.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(address, int(port))
            writer.write(head.encode())
            assert (await reader.readline()).split()[1] == b"400"
            writer.close()
            await writer.wait_closed()
        await process.client.call("GET", SESSIONS, headers=RIGHT)
        assert process.said == ""


def test_it_is_masked_where_the_settings_are_shown(tmp_path: Path) -> None:
    run = ran(tmp_path, environment(api_token=TOKEN), "--print-config")
    assert TOKEN not in run.stdout
    assert re.search(r"^API_TOKEN +\*\*\*\* +environment$", run.stdout, re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("settings", [{"api_token": TOKEN}, {"host": "0.0.0.0"}, {"host": "::"}])
async def test_the_demos_lines_work_with_it(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with Process.running(tmp_path, "--demo", **settings) as process:
        line = ""
        while not line.startswith("SESSION="):
            line = await second_line(process)
        lines = [line, await second_line(process)]
        run = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=30
        )
    last = json.loads(run.stdout.strip().split("\n\n")[-1].removeprefix("data: "))
    assert last["type"] == "done"
