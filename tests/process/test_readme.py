"""README and docs/ are true: examples run against the demo, and the table lists the settings that exist."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml
from chat_client import Serve, Start
from cutting_proxy import CuttingProxy
from fake_ollama import FakeOllama, echo
from matrix import matrix
from processes import SCRIPT, address, environment
from readme import PAGES, example

from chatproxy import Config, __version__
from chatproxy.config import SETTINGS

ADDRESS = "http://127.0.0.1:11435"
SETTINGS_PAGE = PAGES["docs/settings.md"]


PROGRAMS: dict[str, Sequence[str]] = {
    "python": (sys.executable, "-c", example("python", "json.load(urlopen")),
    "node": ("node", "--input-type=module", "-e", example("js", "fetch")),
    "curl": ("sh", "-c", example("sh", "curl -N")),
}


def installed(program: str) -> bool:
    return program == "python" or shutil.which(program) is not None


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return what the programs print, all run at once against one demo."""
    folder = tmp_path_factory.mktemp("demo")
    with (
        (folder / "stderr.log").open("w") as log,
        subprocess.Popen(
            [*SCRIPT, "--demo"],
            cwd=folder,
            env=environment(port=0),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as demo,
    ):
        assert demo.stdout is not None
        server = address(demo.stdout.readline())
        running = {
            name: subprocess.Popen(
                [part.replace(ADDRESS, server) for part in program], stdout=subprocess.PIPE, text=True
            )
            for name, program in PROGRAMS.items()
            if installed(name)
        }
        yield {name: child.communicate(timeout=60)[0] for name, child in running.items()}
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=20)


def is_whole(output: str) -> bool:
    """Return whether this is the demo's answer from its first words to its last."""
    return output.startswith("You wrote about **Hello**.") and output.endswith("without `--demo`.")


def test_the_python_lines_stream_an_answer(outputs: dict[str, str]) -> None:
    assert is_whole(outputs["python"])


@pytest.mark.skipif(not installed("node"), reason="node is not installed")
def test_the_javascript_lines_stream_an_answer(outputs: dict[str, str]) -> None:
    lines = outputs["node"].removesuffix("\n")
    assert len(lines.split("\n")) > 10  # it prints each piece on a line of its own
    assert is_whole(re.sub(r"\n(?=[ \n])", "", lines))


def events(stream: str) -> list[dict[str, Any]]:
    return [json.loads(frame.removeprefix("data: ")) for frame in stream.strip().split("\n\n")]


@pytest.mark.skipif(not installed("curl"), reason="curl is not installed")
def test_the_curl_lines_give_the_stream_that_the_readme_shows(outputs: dict[str, str]) -> None:
    """Times and ids may differ."""
    shown, got = events(example("text", "data: ")), events(outputs["curl"])
    assert [list(event) for event in shown[:1]] == [list(got[0])]
    said = [event for event in shown if "cursor" in event]
    assert [event for event in got if "cursor" in event][: len(said)] == said
    assert {event["type"] for event in shown} <= {event["type"] for event in got}
    assert got[-1]["type"] == "done"


async def test_the_lines_that_get_every_answer_whole(serve: Serve, fake: FakeOllama) -> None:
    """However often the connection breaks, and wherever: also before the first byte, and within a line."""
    fake.script = echo
    client = await serve()
    said: dict[str, Any] = {}
    exec(example("python", "def ask"), said)
    said["sleep"] = lambda seconds: None
    message = "What is 1 + 1? Один, два, три. \U0001f600" * 20
    shown: list[str] = []
    async with CuttingProxy.before(client.base) as proxy:
        proxy.cuts.extend([0, 100, *range(300, 5000, 137)])
        session = f"{proxy.url}/api/chat/sessions/{await client.new_session()}"
        end = await asyncio.to_thread(said["ask"], session, message, shown.append)
    assert proxy.made > 10
    assert (end["type"], end["fullResponse"]) == ("done", shown[-1])
    assert message in shown[-1]
    assert len(fake.requests) == 1
    with pytest.raises(HTTPError, match="404"):
        await asyncio.to_thread(said["ask"], f"{client.base}/api/chat/sessions/none", message, shown.append)


@pytest.mark.parametrize(
    ("language", "word"),
    [("python", "json.load(urlopen"), ("js", "fetch"), ("python", "jwt.encode"), ("js", "createHmac")],
)
def test_ten_lines_are_enough(language: str, word: str) -> None:
    assert len([line for line in example(language, word).split("\n") if line]) <= 11


@pytest.mark.parametrize("language", ["python", "node"])
async def test_the_lines_that_sign_a_token_for_a_user(serve: Serve, language: str) -> None:
    secret = "wE5vYqZr8xK2mT9bN4cL7hJ1gF6dS3aP0uQ-oI_"
    if language == "node" and not installed("node"):
        pytest.skip("node is not installed")
    program = {
        "python": (sys.executable, "-c", example("python", "jwt.encode") + '\nprint(chat_token("Ann"))'),
        "node": (
            *("node", "--input-type=module", "-e"),
            example("js", "createHmac") + 'console.log(chatToken("Ann"));',
        ),
    }[language]
    environ = {**os.environ, "JWT_SECRET": secret}
    signing = await asyncio.create_subprocess_exec(*program, env=environ, stdout=subprocess.PIPE)
    token = (await signing.communicate())[0].decode().strip()
    client = await serve(jwt_secret=secret, trusted_user_header="X-User")
    session = await client.new_session(headers={"Authorization": f"Bearer {token}"})
    found = await client.call("GET", f"/api/chat/sessions/{session}", headers={"X-User": "Ann"})
    assert found["id"] == session


async def test_the_lines_that_mount_the_application(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: dict[str, Any] = {}
    exec(example("python", "add_subapp"), said)
    client = (await start(said["app"], "/chat")).client
    assert (await client.call("GET", "/healthz"))["status"] == "alive"
    assert (await client.session(await client.new_session()))["messageCount"] == 0


async def test_prometheus_is_let_in_by_its_lines(serve: Serve) -> None:
    lines = example("yaml", "scrape_configs").replace("# http_headers:", "http_headers:")
    (job,) = yaml.safe_load(lines)["scrape_configs"]
    assert list(job["authorization"]) == ["credentials_file"]  # Prometheus' default scheme is Bearer
    ((header, user),) = job["http_headers"].items()
    client = await serve(api_token="secret", trusted_user_header=header)
    token = {"Authorization": "Bearer secret", "Host": job["static_configs"][0]["targets"][0]}
    for headers, status in ((token, 401), (token | {header: user["values"][0]}, 200)):
        async with client.http.get(client.url("/metrics"), headers=headers) as response:
            assert response.status == status


def settings() -> dict[str, str]:
    """Return the default of each row of the table, by name."""
    return dict(re.findall(r"^\| `([A-Z_]+)` \| (\S+) \| \S.* \|$", SETTINGS_PAGE, re.MULTILINE))


def test_the_table_lists_every_setting() -> None:
    assert set(SETTINGS) - set(settings()) == set(), "missing rows"
    assert set(settings()) - set(SETTINGS) == set(), "rows of no setting"


def test_the_table_has_the_defaults() -> None:
    with matrix() as cases:
        for name, shown in settings().items():
            default = getattr(Config(), name.lower())
            if default in (None, ()):
                cases.expect("–", shown, name)  # noqa: RUF001 - a dash in a table
            else:
                given: dict[str, Any] = {name.lower(): shown.strip("`")}
                cases.expect(default, getattr(Config(**given), name.lower()), name)


def test_every_other_name_of_a_setting_is_mentioned() -> None:
    for setting in SETTINGS.values():
        for alias in setting.aliases:
            assert f"`{alias}`" in SETTINGS_PAGE


def test_the_wheel_to_install_is_of_this_version() -> None:
    names = re.findall(r"ollama_chatproxy-(\S+?)-py3-none-any\.whl", "".join(PAGES.values()))
    assert set(names) == {__version__}
