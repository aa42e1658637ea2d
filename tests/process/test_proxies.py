"""Proxies in front of chatproxy: as the files in `deploy/` say, done twice, and an nginx as it comes."""

import asyncio
import re
import socket
import ssl
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import aiohttp
import pytest
import yaml
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Gate, Script, answer
from faults.place import free_port
from processes import Process
from proxies import DEPLOY, IS_ROOT, PROXIES, Proxy, need, running
from readme import example
from waiting import until

from chatproxy import Config

# `caddy hash-password` of "first" and "second", at less cost.
HASHES: Final = {
    "first": "$2b$04$RArGK8YIpEP3VrtlTY3mMucveDTn7q4Y74SYw4YSBGcbYmFiizo6q",
    "second": "$2b$04$oayzna4cv7HjJe9VBoNJKuVlkyJgC9BRV.qr5oMLaClfqGRLQi0DW",
}
BARE: Final = """
server {
    listen 127.0.0.1:@PORT@;
    location / { proxy_pass http://@UPSTREAM@; }
}
"""
LOOK: Final = example("sh", "https://chat.example/metrics")
LOCATION: Final = example("nginx", "proxy_buffering off").replace("127.0.0.1:11435", "@UPSTREAM@")
UNBUFFERED: Final = (
    f"server {{ listen 127.0.0.1:@PORT@; proxy_ignore_headers X-Accel-Buffering; {LOCATION} }}"
)


@pytest.fixture
def etc() -> Iterator[Path]:
    """A folder in which the workers of a proxy may read, which are not root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("bare", [BARE, UNBUFFERED], ids=["as it comes", "as docs/troubleshooting.md says"])
async def test_behind_nginx_a_token_arrives_within_50_ms(
    serve: Serve, fake: FakeOllama, etc: Path, bare: str
) -> None:
    """nginx buffers by default. The rest of the answer is held back until the token has arrived."""
    need("nginx")
    delays = []
    direct = await serve()
    port = free_port()
    site = bare.replace("@UPSTREAM@", direct.base.removeprefix("http://"))
    async with running(PROXIES["nginx"], etc, port, site):
        client = Client(direct.http, f"http://127.0.0.1:{port}")
        await until(partial(answers, client))
        for number in range(10):
            fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
            async with client.sending(await client.new_session()) as stream:
                await fake.arrived(number + 1)
                began = perf_counter()
                gate.let(1)
                await stream.until("chunk")
                delays.append(perf_counter() - began)
                gate.open()
                await stream.rest()
            assert stream.text() == "Hello world"
    assert min(delays) < 0.05, delays  # the least, because the machine may be busy


# -- the files in deploy/


def here(text: str, etc: Path) -> str:
    """Return lines of a file with paths in that folder, and the group that this user has."""
    text = text.replace("/etc/chatproxy.env", f"{etc}/.env").replace("/etc/", f"{etc}/")
    return re.sub(r"chgrp [\w-]+", "chgrp www-data" if IS_ROOT else "true", text)


def prepare(proxy: Proxy, etc: Path, password: str) -> None:
    """Do what the head of the file says, with that password."""
    settings, lines = proxy.recipe()
    for folder in ("nginx", "caddy", "apache2", "haproxy", "default"):
        (etc / folder).mkdir(exist_ok=True)
    (etc / "default" / "haproxy").touch()
    if not (etc / "haproxy" / "haproxy.cfg").exists():
        (etc / "haproxy" / "haproxy.cfg").write_text(proxy.text)
    if not (etc / ".env").exists():
        (etc / ".env").write_text("\n".join(settings) + "\n")
    typed = here("\n".join(lines), etc).replace("openssl passwd -6", "openssl passwd -6 -stdin")
    typed = typed.replace("$(caddy hash-password)", f"'{HASHES[password]}'")
    subprocess.run(["sh", "-euc", typed], input=f"{password}\n", text=True, check=True)


def site_of(proxy: Proxy, etc: Path, upstream: str) -> str:
    """Return the file for that chatproxy."""
    text = proxy.text if proxy.around else (etc / "haproxy" / "haproxy.cfg").read_text()
    for there, at in {**proxy.moved, "127.0.0.1:11435": upstream.removeprefix("http://")}.items():
        assert there in text
        text = text.replace(there, at)
    return here(text, etc)


def certificate(etc: Path) -> ssl.SSLContext:
    """Make a self-signed certificate for chat.example where the files expect it; return who trusts it."""
    made, key = etc / "ssl" / "chat.example.pem", etc / "ssl" / "private" / "chat.example.key"
    key.parent.mkdir(parents=True)
    kind = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    name = ("-subj", "/CN=chat.example", "-addext", "subjectAltName=DNS:chat.example", "-days", "1")
    subprocess.run(["openssl", *kind, *name, "-keyout", key, "-out", made], check=True, capture_output=True)
    (etc / "ssl" / "both.pem").write_text(made.read_text() + key.read_text())
    return ssl.create_default_context(cafile=str(made))


@asynccontextmanager
async def published(
    proxy: Proxy, etc: Path, ollama: str, change: Callable[[str], str] = lambda text: text, **settings: Any
) -> AsyncIterator[tuple[Client, Process]]:
    """Run chatproxy in that folder and a proxy in front; the client has no password and no token."""
    port, trusting = free_port(), await asyncio.to_thread(certificate, etc)
    async with Process.running(etc, ollama_host=ollama, **settings) as process:
        connector = aiohttp.TCPConnector(resolver=ToLoopback(), ssl=trusting)
        async with (
            running(proxy, etc, port, change(site_of(proxy, etc, process.client.base))),
            aiohttp.ClientSession(connector=connector) as http,
        ):
            client = Client(http, f"https://chat.example:{port}")
            await until(partial(answers, client))
            yield client, process


async def answers(client: Client) -> bool:
    with suppress(aiohttp.ClientConnectionError):
        async with client.http.get(client.url("/")):
            return True
    return False


async def streams_token_by_token(client: Client, fake: FakeOllama, headers: dict[str, str]) -> None:
    """Ollama sends nothing more until the text before it, and a heartbeat, are here."""
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    session = await client.new_session(headers=headers | {"Origin": client.base})
    path = f"/api/chat/sessions/{session}/messages"
    async with client.stream("POST", f"{path}/stream", headers=headers, json={"message": "Hello"}) as stream:
        gate.let(1)
        await stream.has("Hello")
        await stream.until("status")
        resumed = f"{path}/{stream.answer_id}/stream"
        async with client.stream("GET", resumed, headers=headers, params={"after": stream.cursor}) as other:
            gate.open()
            await other.rest()
        await stream.rest()
    assert stream.last["fullResponse"] == "Hello world"
    assert other.text() == " world"


@pytest.mark.parametrize("name", PROXIES)
async def test_each_user_logs_in_and_needs_no_token(name: str, fake: FakeOllama, etc: Path) -> None:
    proxy = PROXIES[name]
    need(proxy.command, "openssl")
    for password in ("first", "second"):
        await asyncio.to_thread(prepare, proxy, etc, password)
    secrets = [path for path in (etc / proxy.command).iterdir() if path.is_file()]
    assert {mode(path) & 0o037 for path in secrets} == {0}
    ann = {"Authorization": basic("ann", "second")}
    async with published(proxy, etc, fake.url, compressing(proxy), heartbeat_seconds=1) as (client, process):
        for wrong in ({}, {"Authorization": basic("ann", "first")}):
            for path in ("/", "/api/chat/sessions"):
                async with client.http.get(client.url(path), headers=wrong) as refused:
                    assert refused.status == 401
                    assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
        for path in ("/", "/static/chat-interface.js", "/docs"):
            async with client.http.get(client.url(path), headers=ann) as page:
                assert page.status == 200
        await streams_token_by_token(client, fake, ann | {"X-Forwarded-User": "bob"})
        form = aiohttp.FormData()
        form.add_field("file", b"word " * 200_000, filename="notes.txt")
        await client.call("POST", "/api/documents", status=201, headers=ann, data=form)
        elsewhere = ann | {"Origin": "https://evil.example"}
        await client.call("POST", "/api/chat/sessions", status=403, headers=elsewhere)
        async with client.http.get(client.url("/metrics"), headers=ann) as metrics:
            assert metrics.status in (403, 404)
        token = (etc / ".env").read_text().partition("API_TOKEN=")[2].strip()
        direct = {"Authorization": f"Bearer {token}", "Host": "chat.example"}
        for user, number in (("ann", 1), ("bob", 0)):
            page = await process.client.call(
                "GET", "/api/chat/sessions", headers=direct | {"X-Forwarded-User": user}
            )
            assert len(page["sessions"]) == number


def compressing(proxy: Proxy) -> Callable[[str], str]:
    """Return what turns on compression of whatever the client accepts it for."""

    def change(text: str) -> str:
        before, after = proxy.compressed
        assert before in text
        return text.replace(before, after)

    return change


def without_login(text: str) -> str:
    changed, number = re.subn(r"^ *(?:auth_basic|include).*\n", "", text, flags=re.MULTILINE)
    assert number == 3
    return changed


async def test_without_a_login_the_page_asks_for_the_token(fake: FakeOllama, etc: Path) -> None:
    need("nginx", "openssl")
    settings = {
        "api_token": "a-token-that-is-long-enough",
        "allowed_hosts": "chat.example",
        "heartbeat_seconds": 1,
    }
    async with published(PROXIES["nginx"], etc, fake.url, without_login, **settings) as (client, _):
        for path, status in (("/", 200), ("/static/page/page.js", 200), ("/api/chat/sessions", 401)):
            async with client.http.get(client.url(path)) as response:
                assert response.status == status
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert await asyncio.to_thread(looked_at, client) == ["<title>chatproxy</title>", "401", "404"]
        await streams_token_by_token(client, fake, {"Authorization": f"Bearer {settings['api_token']}"})


def looked_at(client: Client) -> list[str]:
    """Return what docs/operate.md's look at the public address prints."""
    here = client.base.removeprefix("https://chat.example")
    curl = f'curl() {{ command curl --insecure --connect-to chat.example:443:127.0.0.1{here} "$@"; }}'
    lines = ["sh", "-euc", f"{curl}\n{LOOK}"]
    run = subprocess.run(lines, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return [line.strip() for line in run.stdout.splitlines()]


@pytest.mark.parametrize(
    ("file", "way"),
    [
        ("traefik.yaml", ("http", "services", "chatproxy", "loadBalancer", "servers", 0, "url")),
        ("cloudflared.yml", ("ingress", 1, "service")),
    ],
)
def test_what_cannot_be_run_here_leads_to_chatproxy(file: str, way: Sequence[str | int]) -> None:
    place = yaml.safe_load((DEPLOY / file).read_text())
    for step in way:
        place = place[step]
    assert place == f"http://127.0.0.1:{Config().port}"


def basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


class ToLoopback(aiohttp.abc.AbstractResolver):
    """Resolve every name to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        place = {
            "hostname": host,
            "host": "127.0.0.1",
            "port": port,
            "family": family,
            "proto": 0,
            "flags": 0,
        }
        return [aiohttp.abc.ResolveResult(**place)]  # type: ignore[typeddict-item]  # as it is

    async def close(self) -> None:
        pass
