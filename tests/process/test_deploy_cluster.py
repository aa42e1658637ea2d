"""`deploy/` for several replicas: files that agree with each other, and the balancer, tried."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Gate, Script, answer
from faults.place import free_port
from proxies import DEPLOY, need
from waiting import until

from chatproxy import Config, __version__
from chatproxy.config import SETTINGS
from chatproxy.documents.worker import MAX_PROCESSES, MEMORY_LIMIT

COMPOSE: Final = yaml.safe_load((DEPLOY / "compose.cluster.yaml").read_text())["services"]
MANIFESTS: Final = {
    each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes-cluster.yaml").read_text())
}
ALONE: Final = next(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
NGINX: Final = (DEPLOY / "nginx-cluster.conf").read_text()
MARGIN: Final = 10  # seconds that an end takes at most, after DRAIN_SECONDS
NEEDED_MEMORY: Final = MAX_PROCESSES * MEMORY_LIMIT + 512 * 1024**2


# -- Compose


def test_each_service_of_compose_is_hardened() -> None:
    for service in COMPOSE.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
    for name in ("chatproxy", "balancer"):
        assert COMPOSE[name]["read_only"] is True
        assert COMPOSE[name]["tmpfs"] == ["/tmp"]
    for name in ("db", "balancer"):  # the image of chatproxy says so itself
        assert COMPOSE[name]["user"] not in ("root", "0")
        assert re.fullmatch(r"\w+:\d[\d.]*", COMPOSE[name]["image"])
    assert {name for name, service in COMPOSE.items() if "ports" in service} == {"balancer"}
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE["balancer"]["ports"])
    assert int(COMPOSE["chatproxy"]["mem_limit"].removesuffix("g")) * 1024**3 >= NEEDED_MEMORY


def test_compose_starts_three_that_start_after_what_they_need() -> None:
    service = COMPOSE["chatproxy"]
    assert service["deploy"] == {"replicas": 3}
    assert service["build"] == ".."
    assert "container_name" not in service
    healthy = {"condition": "service_healthy"}
    assert service["depends_on"] == {"db": healthy}
    assert COMPOSE["balancer"]["depends_on"] == {"chatproxy": healthy}  # by the image's own check
    assert "healthcheck" in COMPOSE["db"]
    assert COMPOSE["db"]["volumes"] == ["db:/var/lib/postgresql/data"]
    source, _, mode = COMPOSE["balancer"]["volumes"][0].split(":")
    assert (DEPLOY / source, mode) == (DEPLOY / "nginx-cluster.conf", "ro")


def test_compose_has_no_secret_of_its_own() -> None:
    required = re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.cluster.yaml").read_text())
    assert sorted(required) == ["API_TOKEN", "DB_PASSWORD"]
    assert COMPOSE["db"]["environment"]["POSTGRES_PASSWORD"].startswith("${DB_PASSWORD:?")


def config_of_compose() -> Config:
    said = COMPOSE["chatproxy"]["environment"]
    assert set(said) <= set(SETTINGS)
    given = {name.lower(): re.sub(r"\$\{.*?\}", "c0ffee" * 8, str(value)) for name, value in said.items()}
    return Config(host="0.0.0.0", **given)  # type: ignore[arg-type]


def test_compose_has_settings_that_a_start_accepts() -> None:
    config = config_of_compose()
    assert config.database == f"postgresql://chatproxy:{'c0ffee' * 8}@db/chatproxy"
    assert COMPOSE["db"]["environment"]["POSTGRES_USER"] == "chatproxy"
    assert len(config.tokens) == 1
    assert len(config.per_ollama()) == 2


def test_compose_waits_for_a_replica_that_drains() -> None:
    grace = COMPOSE["chatproxy"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= config_of_compose().drain_seconds + MARGIN


# -- Kubernetes

SPEC: Final = MANIFESTS["Deployment"]["spec"]
POD: Final = SPEC["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_the_pods_are_as_hardened_as_the_one_of_the_other_file() -> None:
    alone = ALONE["spec"]["template"]["spec"]
    (container,) = [each for each in alone["containers"] if each["name"] == "chatproxy"]
    for name in ("securityContext", "automountServiceAccountToken", "enableServiceLinks"):
        assert POD[name] == alone[name]
    assert CONTAINER["securityContext"] == container["securityContext"]
    assert CONTAINER["image"] == container["image"] == f"chatproxy:{__version__}"
    assert int(CONTAINER["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024**3 >= NEEDED_MEMORY


def test_an_update_takes_no_pod_away_before_another_is_ready() -> None:
    assert SPEC["replicas"] == 3
    update = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert SPEC["strategy"] == update
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    drain = next(float(each["value"]) for each in CONTAINER["env"] if each["name"] == "DRAIN_SECONDS")
    command, pause = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"  # which the image has, as coreutils
    assert POD["terminationGracePeriodSeconds"] >= float(pause) + drain + MARGIN


def test_the_names_in_the_manifests_match() -> None:
    labels = SPEC["template"]["metadata"]["labels"]
    spread = POD["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]
    budget = MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    service = MANIFESTS["Service"]["spec"]
    assert SPEC["selector"]["matchLabels"] == service["selector"] == spread == budget == labels
    assert service["ports"][0]["targetPort"] == CONTAINER["ports"][0]["name"]
    assert labels != ALONE["spec"]["selector"]["matchLabels"]  # both may be there
    volumes = {each["name"] for each in POD["volumes"]}
    assert {each["name"] for each in CONTAINER["volumeMounts"]} == volumes
    head = (DEPLOY / "kubernetes-cluster.yaml").read_text().partition("apiVersion")[0]
    made = set(re.findall(r"--from-(?:file|literal)=([\w-]+)", head))
    (secret,) = [each["secret"] for each in POD["volumes"] if "secret" in each]
    (url,) = [each["valueFrom"]["secretKeyRef"] for each in CONTAINER["env"] if "valueFrom" in each]
    assert {url["key"], *(item["key"] for item in secret["items"])} == made == {"token", "database-url"}
    assert f"create secret generic {secret['secretName']} " in head
    assert url["name"] == secret["secretName"]


async def test_the_pods_use_real_settings_and_probes(serve: Serve, tmp_path: Path) -> None:
    env = {each["name"]: each.get("value") for each in CONTAINER["env"]}
    assert set(env) <= set(SETTINGS)
    del env["DATABASE_URL"], env["OLLAMA_HOST"]  # those of the test
    (tmp_path / "token").write_text("correct-horse-battery")
    settings = {name.lower(): value for name, value in env.items()}
    client = await serve(host="0.0.0.0", **settings | {"api_token_file": str(tmp_path / "token")})
    paths = {
        probe: CONTAINER[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    for path in paths.values():
        await client.call("GET", path, headers={"Host": "10.1.2.3:11435"})
    name = MANIFESTS["Service"]["metadata"]["name"]
    for host, status in ((f"{name}:11435", 401), ("localhost:11435", 401), ("evil.example", 403)):
        await client.call("GET", "/api/chat/sessions", status=status, headers={"Host": host})


# -- the balancer


class Names(asyncio.DatagramProtocol):
    """A name server (RFC 1035) that knows one name; the test says at which addresses that is."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        question = data[12 : data.index(b"\0", 12) + 5]
        is_known = question.startswith(b"\x09chatproxy\0") and question[-4:-2] == b"\0\1"
        found = self.addresses if is_known else ()
        head = data[:2] + b"\x81\x80\0\1" + len(found).to_bytes(2) + b"\0\0\0\0"
        # The name of the question, an A record of the Internet, for a second, of four bytes.
        records = [b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + bytes(map(int, address.split("."))) for address in found]
        self._transport.sendto(head + question + b"".join(records), addr)


@asynccontextmanager
async def named(*addresses: str) -> AsyncIterator[tuple[Names, str]]:
    """A name server while the block runs, and where it is."""
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(lambda: Names(*addresses), ("127.0.0.1", 0))
    try:
        yield names, "127.0.0.1:{1}".format(*transport.get_extra_info("sockname"))
    finally:
        transport.close()


@asynccontextmanager
async def balanced(folder: Path, resolver: str, port: int) -> AsyncIterator[str]:
    """nginx with the file, for replicas at that port; yield its address."""
    need("nginx")
    own = free_port()
    text = f"daemon off;\n{NGINX}"
    for there, here in {
        "127.0.0.11": resolver,
        "listen 8080": f"listen 127.0.0.1:{own}",
        "chatproxy:11435": f"chatproxy:{port}",
        " /tmp/": f" {folder}/",
    }.items():
        assert there in text
        text = text.replace(there, here)
    (folder / "nginx.conf").write_text(text)
    command = ("nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf"))
    child = await asyncio.create_subprocess_exec(*command)
    try:
        yield f"http://127.0.0.1:{own}"
    finally:
        child.terminate()
        await child.wait()


def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    need("nginx")
    path = tmp_path / "nginx.conf"
    path.write_text(NGINX.replace(" /tmp/", f" {tmp_path}/"))
    command = ["nginx", "-t", "-p", str(tmp_path), "-e", "stderr", "-c", str(path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "warn" not in run.stderr
    assert f"listen {COMPOSE['balancer']['ports'][0].rpartition(':')[2]};" in NGINX
    longest = re.search(r"proxy_read_timeout (\d+)h;", NGINX)
    assert longest
    assert int(longest[1]) * 3600 > Config().heartbeat_seconds


async def is_there(client: Client) -> bool:
    async with client.http.get(client.url("/healthz")) as response:
        return response.status == 200


async def answers(client: Client) -> bool:
    try:
        return await is_there(client)
    except aiohttp.ClientConnectionError:  # nginx is starting
        return False


async def test_a_stream_passes_piece_by_piece(serve: Serve, fake: FakeOllama, tmp_path: Path) -> None:
    direct = await serve()
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    async with (
        named("127.0.0.1") as (_, resolver),
        balanced(tmp_path, resolver, int(direct.base.rpartition(":")[2])) as base,
    ):
        client = Client(direct.http, base)
        await until(partial(answers, client))
        async with client.sending(await client.new_session()) as stream:
            gate.let(1)
            await stream.has("One")  # the rest is not there yet
            gate.open()
            assert (await stream.rest())[-1]["fullResponse"] == "One two"
        async with client.http.get(client.url("/metrics")) as metrics:
            assert metrics.status == 404


class Replica:
    """A server that notes the requests that it gets, and answers with its name, or not at all."""

    def __init__(self, host: str, *, answers: bool = True) -> None:
        self.host = host
        self.got: list[str] = []
        self._answers = answers

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, self.host, port)
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if "/healthz" not in head:
            self.got.append(head.split()[0])
        if self._answers or "/healthz" in head:
            size = len(self.host)
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{self.host}".encode())
        writer.close()


async def status_of(client: Client, method: str) -> int:
    async with client.http.request(method, client.url("/"), json={}) as response:
        await response.read()
        return response.status


async def test_what_may_have_arrived_is_not_posted_again(client: Client, tmp_path: Path) -> None:
    """Both replicas take requests, and break off."""
    port = free_port()
    replicas = [Replica("127.0.0.2", answers=False), Replica("127.0.0.3", answers=False)]
    async with (
        replicas[0].listening(port),
        replicas[1].listening(port),
        named("127.0.0.2", "127.0.0.3") as (_, resolver),
        balanced(tmp_path, resolver, port) as base,
    ):
        through = Client(client.http, base)
        await until(partial(answers, through))
        assert await status_of(through, "POST") == 502
        assert [*replicas[0].got, *replicas[1].got] == ["POST"]
        assert await status_of(through, "GET") == 502
        assert sorted([*replicas[0].got, *replicas[1].got]) == ["GET", "GET", "POST"]


async def test_a_replica_that_is_gone_or_replaced_is_passed_over(client: Client, tmp_path: Path) -> None:
    port = free_port()
    first, second = Replica("127.0.0.2"), Replica("127.0.0.3")
    async with (
        second.listening(port),
        named("127.0.0.2", "127.0.0.4") as (names, resolver),
        balanced(tmp_path, resolver, port) as base,
    ):
        through = Client(client.http, base)
        async with first.listening(port):
            await until(partial(answers, through))
            for _ in range(6):  # nobody listens at the other address
                assert await status_of(through, "POST") == 200
        names.addresses = ("127.0.0.3",)  # as of its successor
        await until(partial(answers, through))
        assert await status_of(through, "POST") == 200
    assert (first.got, second.got) == (["POST"] * 6, ["POST"])
