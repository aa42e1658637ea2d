"""The lines of README and docs/ that a reader types: each is typed here as it stands."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
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
from stand_ins import USAGES, installed, noted

from chatproxy import __version__
from chatproxy.config import SETTINGS
from chatproxy.models.selection import SUGGESTED

CLUSTER: Final = "deploy/compose.cluster.yaml"
ADDRESS: Final = "http://127.0.0.1:11435"
REPOSITORY: Final = "https://git.example/chatproxy"
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
    """Type lines that start chatproxy. What they call besides is a stand-in."""
    programs = folder / "programs"
    programs.mkdir()
    path = installed(programs)
    (programs / "chatproxy").write_text(CHATPROXY)
    (programs / "chatproxy").chmod(0o755)
    command = ["env", f"PATH={path}", "sh", "-euc", lines]
    async with Process.running(folder, command=command, **settings) as process:
        try:
            yield process.client
        finally:
            with suppress(ProcessLookupError):
                os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("line", example("sh", "uvx").splitlines())
async def test_chatproxy_starts_without_a_clone(tmp_path: Path, line: str) -> None:
    async with started(line, tmp_path, repository=REPOSITORY) as client:
        models = (await client.call("GET", "/api/models"))["models"]
        assert "demo:latest" in {model["name"] for model in models}
    (call,) = noted(tmp_path / "programs")
    assert list(call.options.values()) == [[f"git+{REPOSITORY}"]]
    assert call.rest == ["chatproxy", "--demo"]


@pytest.mark.parametrize(
    ("lines", "package"),
    [
        (example("sh", 'install --force "git+'), f"git+{REPOSITORY}"),
        (example("sh", "install --force dist/"), f"dist/ollama_chatproxy-{__version__}-py3-none-any.whl"),
    ],
    ids=["repository", "wheel"],
)
async def test_both_ways_to_install_name_the_package(tmp_path: Path, lines: str, package: str) -> None:
    """`.ci/check_dist.py` installs the wheel, and tries what is in it."""
    path = installed(tmp_path)
    for line in (lines, lines.partition("# or: ")[2]):
        await typed(line, tmp_path, PATH=path, REPOSITORY=REPOSITORY)
    calls = noted(tmp_path)
    assert [call.command for call in calls] == ["pipx install", "uv tool install"]
    assert all(call.options == {"--force": True} for call in calls)
    short = "dist/…" if package.startswith("dist/") else package
    assert [call.words for call in calls] == [[package], [short]]


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
    async with started(example("sh", "openssl rand -base64 48"), tmp_path, ollama_host=fake.url) as client:
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


# With and without a GPU: what is typed, and the files that it is about.
COMPOSED: Final = [
    (example("sh", "docker compose up"), ["compose.yaml"]),
    (example("sh", "deploy/gpu.yaml"), ["compose.yaml", "deploy/gpu.yaml"]),
]


@pytest.mark.parametrize(("lines", "files"), COMPOSED, ids=["processor", "GPUs"])
async def test_compose_starts_both_and_gets_a_model(tmp_path: Path, lines: str, files: list[str]) -> None:
    """The stand-in refuses what the real one does not know: flags, files and services."""
    await typed(lines, ROOT, PATH=installed(tmp_path))
    up, pull = noted(tmp_path)
    assert (up.command, up.files or ["compose.yaml"]) == ("docker compose up", files)
    assert {"--build", "--detach"} == set(up.options)
    assert (pull.command, pull.words) == ("docker compose exec", ["ollama"])
    assert pull.rest == ["ollama", "pull", SUGGESTED]
    first, *others = [yaml.safe_load((ROOT / name).read_text())["services"] for name in files]
    assert first["ollama"]["image"] == "ollama/ollama"
    for more in others:
        assert set(more) == {"ollama"}  # the GPUs are for it
        (device,) = more["ollama"]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


async def test_compose_starts_a_cluster(tmp_path: Path) -> None:
    lines = example("sh", "export DB_PASSWORD")
    said = await typed(lines, ROOT, PATH=installed(tmp_path))
    assert re.fullmatch(r"DB_PASSWORD=[0-9a-f]{48} API_TOKEN=[0-9a-f]{48}\n", said)
    (up,) = noted(tmp_path)
    assert (up.command, up.files) == ("docker compose up", [CLUSTER])


async def test_compose_replaces_one_replica_after_another(tmp_path: Path) -> None:
    lines = example("sh", "--no-recreate")
    found = re.search(r"\$\((.*)\)", lines)
    assert found
    await typed(f"{found[1]}\n{lines.replace(found[0], 'one two')}", ROOT, PATH=installed(tmp_path))
    ps, build, *rest = noted(tmp_path)
    assert (ps.command, ps.files, ps.words) == ("docker compose ps", [CLUSTER], ["chatproxy"])
    assert (build.command, build.files) == ("docker compose build", [CLUSTER])
    assert [call.command for call in rest] == ["docker stop", "docker rm", "docker compose up"] * 2
    assert [call.words for call in rest] == [["one"], ["one"], [], ["two"], ["two"], []]
    assert rest[-1].files == [CLUSTER]


@pytest.mark.parametrize("lines", [example("sh", "--network host"), example("sh", "--add-host")])
async def test_docker_runs_what_it_has_built(tmp_path: Path, lines: str) -> None:
    await typed(lines, ROOT, PATH=installed(tmp_path))
    build, run, *logs = noted(tmp_path)
    assert (build.command, build.words, build.options["--tag"]) == ("docker build", ["."], run.words)
    assert [(call.command, call.words) for call in logs] in ([], [("docker logs", run.options["--name"])])


BACKED_UP: Final = [
    example("sh", "docker compose exec chatproxy chatproxy backup"),
    example("sh", "docker compose run"),
]


@pytest.mark.parametrize("lines", BACKED_UP)
async def test_compose_knows_how_it_is_backed_up_and_restored(tmp_path: Path, lines: str) -> None:
    """`test_backup.py` runs what is run in the container."""
    (tmp_path / "backup.db").touch()
    await typed(lines, tmp_path, PATH=installed(tmp_path))
    assert all(call.command.startswith("docker compose ") for call in noted(tmp_path))


def test_programs_that_are_here_have_the_options_of_their_stand_ins() -> None:
    """curl is wherever the tests of these pages run."""
    with matrix() as cases:
        for command, usage in USAGES.items():
            options = {part.removesuffix("=") for part in usage.split() if part.startswith("-")}
            if not options or shutil.which(command.partition(" ")[0]) is None:
                continue
            line = [*command.split(), "--help", *(["all"] if command == "curl" else [])]
            said = subprocess.run(line, capture_output=True, text=True, timeout=60).stdout
            # docker may be there without its plugin `compose`.
            if command in said or command == "curl":
                missing = options - set(re.findall(r"(?<![\w-])--?[\w-]+", said))
                cases.expect(set(), missing, command)
