"""`deploy/` and the container: hardened, accepted by the programs that read them, and tried."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml
from chat_client import Serve
from dockerfile import build, context_of, exec_form, instructions
from fake_ollama import FakeOllama
from faults.place import free_port
from processes import ROOT, SCRIPT, Process, address, environment
from readme import example

from chatproxy import __version__
from chatproxy.config import SETTINGS
from chatproxy.documents.worker import MAX_PROCESSES, MEMORY_LIMIT
from chatproxy.errors import STATUS

DOCUMENTS: Final = ROOT / "tests" / "data" / "documents"
DEPLOY: Final = ROOT / "deploy"
KUBERNETES: Final = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
COMPOSE: Final = yaml.safe_load((ROOT / "compose.yaml").read_text())
UID: Final = 10001


def missing(program: str) -> bool:
    return shutil.which(program) is None


# -- the container


def dockerfile() -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for instruction, rest in instructions(ROOT / "Dockerfile"):
        if instruction == "FROM":
            said = {}  # only the last stage is what runs
        said.setdefault(instruction, []).append(rest)
    return said


def test_the_image_runs_without_root_and_writes_to_data_only() -> None:
    said = dockerfile()
    assert said["USER"] == [f"{UID}:{UID}"]
    assert said["VOLUME"] == said["WORKDIR"] == ["/data"]
    assert said["RUN"] == [f"mkdir /data && chown {UID}:{UID} /data"]
    assert "DATABASE_URL=sqlite:////data/" in said["ENV"][0]
    assert exec_form(said["HEALTHCHECK"][0])[0] == "python"
    assert "curl" not in (ROOT / "Dockerfile").read_text()
    # PDF is read, too, and PostgreSQL can be used.
    assert "[cluster,documents]" in (ROOT / "Dockerfile").read_text()


def test_compose_drops_what_is_not_needed() -> None:
    service = COMPOSE["services"]["chatproxy"]
    for each in COMPOSE["services"].values():
        assert each["cap_drop"] == ["ALL"]
        assert each["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["volumes"] == ["chatproxy:/data"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert {"mem_limit", "pids_limit", "ulimits"} <= set(service)
    assert "tmpfs" not in service  # /data only
    assert "privileged" not in service
    assert "ports" not in COMPOSE["services"]["ollama"]
    assert set(service["environment"]) <= set(SETTINGS)


@pytest.mark.skipif("CI" not in os.environ, reason="asks package registries")
async def test_the_dockerfile_builds_a_healthy_chatproxy(tmp_path: Path) -> None:
    context = context_of(ROOT, tmp_path / "context")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    stage = await asyncio.to_thread(build, ROOT / "Dockerfile", context, tmp_path / "stages", path)
    port = free_port()
    env = {**stage.env, "PORT": str(port), "DATABASE_URL": f"sqlite:///{stage.place('/data')}/chatproxy.db"}
    command = exec_form(stage.words["ENTRYPOINT"])
    child = await asyncio.create_subprocess_exec(
        *command, cwd=stage.place("/data"), env=env, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(30):
            line = (await child.stdout.readline()).decode()
        assert address(line) == f"http://127.0.0.1:{port}"
        health = await asyncio.create_subprocess_exec(*exec_form(stage.words["HEALTHCHECK"]), env=env)
        assert await health.wait() == 0
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/") as page:
            assert page.status == 200
    finally:
        child.terminate()
        await child.communicate()


async def is_healthy(port: str | int, host: str = "127.0.0.1", **more: str) -> bool:
    """Run the container's health check."""
    _, *check = exec_form(dockerfile()["HEALTHCHECK"][0])
    env = {**environment(host=host, port=port), **more}
    child = await asyncio.create_subprocess_exec(sys.executable, *check, env=env, stderr=DEVNULL)
    return await child.wait() == 0


async def test_the_health_check_ignores_a_proxy_in_the_environment(
    tmp_path: Path,
) -> None:
    async with Process.running(tmp_path) as process:
        for port, healthy in ((process.client.base.rpartition(":")[2], True), (free_port(), False)):
            assert await is_healthy(port, http_proxy="http://127.0.0.1:9") is healthy


@pytest.mark.parametrize("host", ["", "127.0.0.2", "0.0.0.0", "::", "[::1]", "localhost"])
async def test_the_health_check_asks_where_the_server_listens(tmp_path: Path, host: str) -> None:
    async with Process.running(tmp_path, host=host) as process:
        assert await is_healthy(process.client.base.rpartition(":")[2], host)


@pytest.fixture
def confined(tmp_path: Path) -> list[str]:
    """The start of a command that can write to `tmp_path` and nowhere else."""
    mounts = """
        mount --bind /tmp /tmp && mount -o remount,ro,bind / && mount -o remount,ro,bind /tmp &&
        mount --bind . "$PWD" && mount -o remount,rw,bind "$PWD" && cd "$PWD" &&
        ! touch /x /tmp/x && exec "$@"
    """
    command = ["unshare", "--mount", "sh", "-c", mounts, "sh"]
    try:
        subprocess.run([*command, "true"], cwd=tmp_path, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount")
    return command


async def test_only_the_folder_of_the_database_is_written_to(
    confined: list[str], fake: FakeOllama, tmp_path: Path
) -> None:
    async with Process.running(tmp_path, command=[*confined, *SCRIPT], ollama_host=fake.url) as process:
        form = aiohttp.FormData()
        form.add_field("file", (DOCUMENTS / "debian-faq.docx").read_bytes(), filename="faq.docx")
        document = await process.client.call("POST", "/api/documents", status=201, data=form)
        await process.client.send(await process.client.new_session(), document_id=document["id"])
        await process.client.call("DELETE", f"/api/documents/{document['id']}", status=204)


def test_memory_limits_leave_room_for_two_large_documents() -> None:
    needed = MAX_PROCESSES * MEMORY_LIMIT + 512 * 1024**2
    unit_of = {"G": 1024**3, "g": 1024**3, "Gi": 1024**3}
    for limit in (
        COMPOSE["services"]["chatproxy"]["mem_limit"],
        container("chatproxy")["resources"]["limits"]["memory"],
        unit()["Service"]["MemoryMax"],
    ):
        number, name = re.fullmatch(r"(\d+)(\w+)", limit).groups()  # type: ignore[union-attr]
        assert int(number) * unit_of[name] >= needed, limit


# -- Kubernetes


def kind(name: str) -> Any:
    (found,) = (each for each in KUBERNETES if each["kind"] == name)
    return found


def container(name: str) -> Any:
    (found,) = (
        each for each in kind("Deployment")["spec"]["template"]["spec"]["containers"] if each["name"] == name
    )
    return found


def test_the_pod_is_hardened() -> None:
    pod = kind("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container("chatproxy")["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "runAsGroup": UID,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container("chatproxy")["resources"]["limits"]


KUBECTL: Final = """#!/bin/sh
# Keeps each secret in a file, and refuses to create one that exists.
case "$1 $2" in
    "get secret") test -e "$3" ;;
    "create secret") test ! -e "$4" && cat > "$4" ;;
esac
"""


@pytest.mark.parametrize(
    ("file", "secret"),
    [("kubernetes.yaml", "chatproxy"), ("kubernetes-cluster.yaml", "chatproxy-cluster")],
)
def test_the_secret_is_made_once(tmp_path: Path, file: str, secret: str) -> None:
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    head = (DEPLOY / file).read_text()
    (lines,) = re.findall(r"^#   (kubectl get secret .*\n(?:#     .*\n)*)", head, re.MULTILINE)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DATABASE_URL": "postgresql://ann@db/chat"}
    tokens = []
    for _ in range(2):
        typed = ["sh", "-euc", lines.replace("\n#", "\n")]
        subprocess.run(typed, cwd=tmp_path, env=path, check=True)
        tokens.append((tmp_path / secret).read_text())
    assert tokens[0] == tokens[1]
    assert re.fullmatch(r"[0-9a-f]{48}\n", tokens[0])


def test_only_one_pod_has_the_database() -> None:
    spec = kind("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 10


def test_the_names_in_the_manifests_match() -> None:
    spec = kind("Deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == kind("Service")["spec"]["selector"] == labels
    volumes = {volume["name"]: volume for volume in spec["template"]["spec"]["volumes"]}
    mounted = {mount["name"] for name in ("chatproxy", "ollama") for mount in container(name)["volumeMounts"]}
    assert mounted == set(volumes)
    claims = {each["metadata"]["name"] for each in KUBERNETES if each["kind"] == "PersistentVolumeClaim"}
    assert {
        v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v
    } == claims
    assert container("chatproxy")["image"] == f"chatproxy:{__version__}"


async def test_the_pod_uses_real_settings_and_probes(serve: Serve, tmp_path: Path) -> None:
    env = {each["name"]: each["value"] for each in container("chatproxy")["env"]}
    assert set(env) <= set(SETTINGS)
    (tmp_path / "token").write_text("correct-horse-battery")
    settings = {name.lower(): value for name, value in env.items()} | {
        "api_token_file": str(tmp_path / "token")
    }
    del settings["ollama_host"]
    client = await serve(host="0.0.0.0", **settings)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container("chatproxy")[probe]["httpGet"]["path"]
        await client.call("GET", path, headers={"Host": "10.1.2.3:11435"})
    for host, status in (("chatproxy:11435", 401), ("localhost:11435", 401), ("evil.example", 403)):
        await client.call("GET", "/api/chat/sessions", status=status, headers={"Host": host})


# -- systemd


def unit() -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read(DEPLOY / "chatproxy.service")
    return parser


def test_the_unit_writes_to_its_own_folder_only() -> None:
    service = unit()["Service"]
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    text = (DEPLOY / "chatproxy.service").read_text()
    assert f"sqlite:////var/lib/{service['StateDirectory']}/" in text
    assert int(service["TimeoutStopSec"]) >= 10


@pytest.fixture
def checked_unit(tmp_path: Path) -> Path:
    """The unit, with a command that exists here."""
    path = tmp_path / "chatproxy.service"
    text = (DEPLOY / "chatproxy.service").read_text()
    path.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    return path


@pytest.mark.skipif(missing("systemd-analyze"), reason="systemd is not installed")
def test_systemd_accepts_the_unit_and_finds_little_exposed(checked_unit: Path) -> None:
    verify = subprocess.run(["systemd-analyze", "verify", checked_unit], capture_output=True, text=True)
    assert (verify.returncode, verify.stderr) == (0, "")
    exposed = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=20",
        "--no-pager",
        str(checked_unit),
    ]
    run = subprocess.run(exposed, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout  # of 100


# -- dashboards and alerts

METRIC: Final = re.compile(r"\b(?:chatproxy|process)_\w+")
PROMETHEUS: Final = ("prometheus.yaml", "alerts.yaml", "alerts.test.yaml")


def expressions(value: object) -> Iterator[str]:
    """Yield all texts of a dashboard or of rules that may be PromQL."""
    match value:
        case dict():
            yield from (text for key in ("expr", "query") if isinstance(text := value.get(key), str))
            for each in value.values():
                yield from expressions(each)
        case list():
            for each in value:
                yield from expressions(each)


@pytest.mark.parametrize("file", ["grafana.json", "alerts.yaml"])
async def test_what_dashboards_and_alerts_name_is_measured(serve: Serve, file: str) -> None:
    client = await serve()
    await client.ask(await client.new_session())
    async with client.http.get(client.url("/metrics")) as response:
        page = await response.text()
    measured = set(re.findall(r"^(\w+)[{ ]", page, re.MULTILINE))
    measured |= set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))  # those without a value yet
    said = yaml.safe_load((DEPLOY / file).read_text())  # JSON, too
    named = {name for text in expressions(said) for name in METRIC.findall(text)}
    assert len(named) > 3
    assert named - measured == set()
    labels = {label for text in expressions(said) for label in re.findall(r"by \((\w+)\)", text)}
    assert labels - set(re.findall(r"(\w+)=\"", page)) <= {"instance"}
    for text in expressions(said):
        for code in re.findall(r'code="(\w+)"', text):
            assert code in STATUS
        for start, ends in re.findall(r'code=~"(\w+)\(([\w|]+)\)"', text):
            assert {f"{start}{end}" for end in ends.split("|")} <= STATUS.keys()


def test_every_rule_is_tried_and_says_what_to_do() -> None:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    tried = (DEPLOY / "alerts.test.yaml").read_text()
    for rule in group["rules"]:
        assert f'alertname="{rule["alert"]}"' in tried
        assert "`" in rule["annotations"]["summary"] or "Set " in rule["annotations"]["summary"]


def with_headers(configuration: str) -> str:
    """Return the lines for Prometheus with the one that only TRUSTED_USER_HEADER needs."""
    assert configuration.count("# http_headers:") == 1
    return configuration.replace("# http_headers:", "http_headers:")


@pytest.mark.skipif(missing("promtool"), reason="promtool is not installed")
def test_prometheus_accepts_its_files(tmp_path: Path) -> None:
    for name in PROMETHEUS:
        shutil.copy(DEPLOY / name, tmp_path)
    (tmp_path / "page.yaml").write_text(example("yaml", "scrape_configs:"))
    for command in (
        ("check", "rules", "alerts.yaml"),
        ("test", "rules", "alerts.test.yaml"),
        ("check", "config", "--syntax-only", "prometheus.yaml"),
        ("check", "config", "--syntax-only", "page.yaml"),
    ):
        run = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr


def test_the_scrape_configuration_is_the_page_s() -> None:
    shown, ours = example("yaml", "scrape_configs:"), (DEPLOY / "prometheus.yaml").read_text()
    for change in (str, with_headers):
        said = yaml.safe_load(change(ours))
        assert yaml.safe_load(change(shown)) == {"scrape_configs": said["scrape_configs"]}
    assert set(said) == {"scrape_configs", "rule_files"}
