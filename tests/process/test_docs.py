"""The lines of README and docs/ that a reader types: each is typed here as it stands."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import yaml
from chat_client import Client, Serve
from dockerfile import instructions
from fake_ollama import FakeOllama, Script, answer
from matrix import matrix
from processes import INSTALLED, ROOT, Process
from readme import example

from chatproxy.config import SETTINGS

ADDRESS: Final = "http://127.0.0.1:11435"
PDF: Final = ROOT / "tests" / "data" / "documents" / "fhs.pdf"
# Notes which process it becomes, so that the test can end it.
CHATPROXY: Final = f'#!/bin/sh\necho $$ > pid\nexec {shlex.quote(INSTALLED[0])} "$@"\n'


async def typed(lines: str, folder: Path, **variables: str) -> str:
    """Type the lines in that folder, and return what they print."""
    child = await asyncio.create_subprocess_exec(
        "sh", "-euc", lines, cwd=folder, env=os.environ | variables, stdout=asyncio.subprocess.PIPE
    )
    out = (await child.communicate())[0].decode()
    assert child.returncode == 0, out
    return out


@asynccontextmanager
async def started(lines: str, folder: Path, **settings: str) -> AsyncIterator[Client]:
    """Type lines that start chatproxy. What they call besides does nothing, and succeeds."""
    programs = folder / "programs"
    programs.mkdir()
    for name, script in (("chatproxy", CHATPROXY), ("ollama", "#!/bin/sh\n")):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    command = ["env", f"PATH={programs}:{os.environ['PATH']}", "sh", "-euc", lines]
    async with Process.running(folder, command=command, **settings) as process:
        try:
            yield process.client
        finally:
            with suppress(ProcessLookupError):
                os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


async def test_make_knows_the_targets() -> None:
    said = await typed(example("sh", "make demo"), ROOT, MAKEFLAGS="n")  # which says what it would do
    assert "chatproxy --demo" in said
    assert "pytest" in said


async def test_chatproxy_starts_as_installed(fake: FakeOllama, tmp_path: Path) -> None:
    async with started(
        example("sh", "ollama pull llama3.2\nchatproxy"), tmp_path, ollama_host=fake.url
    ) as client:
        await client.send(await client.new_session())


async def test_strangers_get_a_token(fake: FakeOllama, tmp_path: Path) -> None:
    async with started(example("sh", "VISITORS=true chatproxy"), tmp_path, ollama_host=fake.url) as client:
        origin = {"Origin": "https://your.example"}
        made = await client.call("POST", "/api/chat/visitors", status=201, headers=origin)
        headers = origin | {"Authorization": f"Bearer {made['token']}"}
        await client.call("GET", "/api/chat/sessions", headers=headers)


async def test_tokens_of_the_own_server_open_the_door(fake: FakeOllama, tmp_path: Path) -> None:
    async with started(example("sh", "openssl rand"), tmp_path, ollama_host=fake.url) as client:
        said = example("python", "jwt.encode") + '\nprint(chat_token("Ann"), end="")'
        secret = (tmp_path / "jwt.secret").read_text().strip()
        token = await typed(shlex.join([sys.executable, "-c", said]), tmp_path, JWT_SECRET=secret)
        await client.call("GET", "/api/chat/sessions", status=401)
        await client.call("GET", "/api/chat/sessions", headers={"Authorization": f"Bearer {token}"})


async def test_each_user_of_the_file_has_sessions_of_their_own(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(example("text", "ann  VJ0N"))
    path.chmod(0o600)
    client = await serve(api_token_file=str(path))
    tokens = dict(line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    for token in tokens.values():
        headers = {"Authorization": f"Bearer {token}"}
        assert (await client.call("GET", "/api/chat/sessions", headers=headers))["sessions"] == []
        await client.new_session(headers=headers)
    assert list(tokens) == ["ann", "bob"]


async def test_a_document_is_uploaded(serve: Serve, fake: FakeOllama, tmp_path: Path) -> None:
    client = await serve()
    shutil.copy(PDF, tmp_path / "lease.pdf")
    lines = example("sh", "lease.pdf").replace(ADDRESS, client.base)
    document = json.loads(await typed(lines, tmp_path))
    await client.send(await client.new_session(), document_id=document["id"])


async def test_conversations_are_taken_elsewhere(serve: Serve, tmp_path: Path) -> None:
    old, new = await serve(), await serve(database_url=f"sqlite:///{tmp_path}/new.db")
    session = await old.new_session()
    await old.ask(session, "Is it there?")
    await typed(example("sh", "chatproxy.json").replace(ADDRESS, old.base), tmp_path)
    (tmp_path / "chatproxy.json").rename(tmp_path / "conversations.json")
    await typed(example("sh", "conversations.json").replace(ADDRESS, new.base), tmp_path)
    (found,) = (await new.call("GET", "/api/chat/sessions"))["sessions"]
    assert (await new.messages(found["id"]))[0]["content"] == "Is it there?"


async def test_a_stream_has_the_headers_of_the_api_page(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello"))
    async with client.sending(await client.new_session()) as stream:
        await stream.rest()
        with matrix() as cases:
            for line in example("text", "X-Accel-Buffering").splitlines():
                name, value = line.split(": ")
                cases.expect(value, stream.response.headers.get(name), name)


async def test_an_error_has_the_shape_of_the_api_page(client: Client) -> None:
    got = await client.call("GET", "/api/chat/sessions/none", status=404)
    assert list(got) == list(json.loads(example("json", "snake_case")))


# Where the page is open without a token, and where not.
IN_CONTAINERS: Final = [("--network host", 200), ("--add-host", 401)]


@pytest.mark.parametrize(("word", "status"), IN_CONTAINERS)
async def test_the_image_starts_with_the_lines_of_docker_run(
    fake: FakeOllama, tmp_path: Path, word: str, status: int
) -> None:
    run = {"--network host": example("sh", "--network host"), "--add-host": example("sh", "--add-host")}[word]
    words = shlex.split(run.replace("\\\n", " "))
    given = dict(pairwise(words))
    variables = [line for name, line in pairwise(words) if name == "--env"]
    image = dict(instructions(ROOT / "Dockerfile"))  # of each, the last stage's last
    assert given["--tag"] == words[words.index("--volume") + 2] == "chatproxy"
    assert given["--volume"].partition(":")[2] == image["VOLUME"]
    if "--publish" in given:
        assert given["--publish"] == f"127.0.0.1:{image['EXPOSE']}:{image['EXPOSE']}"
    settings = dict(line.split("=", 1) for line in [*shlex.split(image["ENV"]), *variables])
    assert {line.partition("=")[0] for line in variables} <= set(SETTINGS)
    here = {"PORT": "0", "DATABASE_URL": "sqlite:///chatproxy.db", "OLLAMA_HOST": fake.url}
    del settings["PATH"], settings["PYTHONUNBUFFERED"]
    async with Process.running(tmp_path, **settings | here) as process:
        port = process.client.base.rpartition(":")[2]
        client = Client(process.client.http, f"http://127.0.0.1:{port}")
        await client.call("GET", "/api/chat/sessions", status=status)


def test_the_gpus_are_for_the_ollama_of_compose() -> None:
    compose, gpu = (yaml.safe_load((ROOT / name).read_text()) for name in ("compose.yaml", "deploy/gpu.yaml"))
    lines = example("sh", "deploy/gpu.yaml")
    assert "--file compose.yaml --file deploy/gpu.yaml" in lines
    assert set(gpu["services"]) == {"ollama"} < set(compose["services"])
