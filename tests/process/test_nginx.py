"""nginx in front of chatproxy: as it comes, and as `deploy/nginx.conf` says, which is done twice."""

import asyncio
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import aiohttp
import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Gate, Script, answer
from faults.place import free_port
from processes import ROOT, Process
from readme import example
from waiting import until

pytestmark: Final = pytest.mark.skipif(
    shutil.which("nginx") is None or shutil.which("openssl") is None,
    reason="nginx or openssl is not installed",
)

SITE: Final = (ROOT / "deploy" / "nginx.conf").read_text()
BARE: Final = """
server {
    listen 127.0.0.1:PORT;
    location / { proxy_pass http://UPSTREAM; }
}
"""
LOCATION: Final = example("nginx", "proxy_buffering off").replace("127.0.0.1:11435", "UPSTREAM")
UNBUFFERED: Final = f"server {{ listen 127.0.0.1:PORT; proxy_ignore_headers X-Accel-Buffering; {LOCATION} }}"
AROUND: Final = """
daemon off;
USER
worker_processes 1;
pid FOLDER/pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    include FOLDER/site.conf;
}
"""


@pytest.fixture
def etc() -> Iterator[Path]:
    """A folder in which nginx's workers may read, which are not root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@asynccontextmanager
async def nginx(folder: Path, site: str) -> AsyncIterator[None]:
    """Check nginx's configuration, and run nginx while the block runs."""
    user = "user www-data;" if os.geteuid() == 0 else ""
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(AROUND.replace("FOLDER", str(folder)).replace("USER", user))
    command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    test = await asyncio.to_thread(subprocess.run, [*command, "-t"], capture_output=True, text=True)
    assert test.returncode == 0, test.stderr
    child = await asyncio.create_subprocess_exec(*command)
    try:
        yield
    finally:
        child.terminate()
        await child.wait()


async def is_up(client: Client) -> bool:
    with suppress(aiohttp.ClientConnectionError):
        await client.call("GET", "/healthz")
        return True
    return False


@pytest.mark.parametrize("bare", [BARE, UNBUFFERED], ids=["as it comes", "as docs/troubleshooting.md says"])
async def test_behind_nginx_a_token_arrives_within_50_ms(
    serve: Serve, fake: FakeOllama, etc: Path, bare: str
) -> None:
    """nginx buffers by default. The rest of the answer is held back until the token has arrived."""
    delays = []
    direct = await serve()
    port = free_port()
    site = bare.replace("PORT", str(port)).replace("UPSTREAM", direct.base.removeprefix("http://"))
    async with nginx(etc, site):
        client = Client(direct.http, f"http://127.0.0.1:{port}")
        await until(partial(is_up, client))
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


# -- deploy/nginx.conf


def recipe() -> tuple[list[str], list[str]]:
    """Return the settings and the lines to type that are in the head of the file."""
    settings, lines = re.findall(r"((?:^#   .*\n)+)", SITE, re.MULTILINE)
    return [line[4:] for line in settings.splitlines()], [line[4:] for line in lines.splitlines()]


def here(text: str, etc: Path) -> str:
    """Return lines of the file with paths in that folder, and the group that this user has."""
    text = text.replace("/etc/chatproxy.env", f"{etc}/.env").replace("/etc/", f"{etc}/")
    return text if os.geteuid() == 0 else text.replace("chgrp www-data", "true")


def prepare(etc: Path, password: str) -> None:
    """Do what the head of the file says, with that password."""
    settings, lines = recipe()
    (etc / "nginx").mkdir(exist_ok=True)
    if not (etc / ".env").exists():
        (etc / ".env").write_text("\n".join(settings) + "\n")
    typed = here("\n".join(lines), etc).replace("openssl passwd -6", "openssl passwd -6 -stdin")
    subprocess.run(["sh", "-euc", typed], input=f"{password}\n", text=True, check=True)


def site(etc: Path, upstream: str, port: int) -> str:
    """Return the file for that chatproxy, and that port for nginx."""
    text = here(SITE, etc)
    for there, at in (
        ("127.0.0.1:11435", upstream.removeprefix("http://")),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
    ):
        assert there in text
        text = text.replace(there, at)
    return text


def certificate(etc: Path) -> ssl.SSLContext:
    """Make a self-signed certificate for chat.example where the file expects it; return who trusts it."""
    made, key = etc / "ssl" / "chat.example.pem", etc / "ssl" / "private" / "chat.example.key"
    key.parent.mkdir(parents=True)
    kind = (
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    )
    name = ("-subj", "/CN=chat.example", "-addext", "subjectAltName=DNS:chat.example", "-days", "1")
    subprocess.run(["openssl", *kind, *name, "-keyout", key, "-out", made], check=True, capture_output=True)
    return ssl.create_default_context(cafile=str(made))


@asynccontextmanager
async def published(
    etc: Path, ollama: str, change: Callable[[str], str] = lambda text: text, **settings: Any
) -> AsyncIterator[tuple[Client, Process]]:
    """Run chatproxy in that folder and nginx in front; the client has no password and no token."""
    port, trusting = free_port(), await asyncio.to_thread(certificate, etc)
    async with Process.running(etc, ollama_host=ollama, **settings) as process:
        connector = aiohttp.TCPConnector(resolver=ToLoopback(), ssl=trusting)
        async with (
            nginx(etc, change(site(etc, process.client.base, port))),
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
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    session = await client.new_session(headers=headers | {"Origin": client.base})
    path = f"/api/chat/sessions/{session}/messages/stream"
    async with client.stream("POST", path, headers=headers, json={"message": "Hello"}) as stream:
        gate.let(1)
        await stream.has("Hello")
        gate.open()
        await stream.rest()
    assert stream.last["fullResponse"] == "Hello world"


async def test_each_user_logs_in_and_needs_no_token(fake: FakeOllama, etc: Path) -> None:
    for password in ("first", "second"):
        await asyncio.to_thread(prepare, etc, password)
    assert [mode(etc / "nginx" / name) for name in ("chatproxy.token", "chatproxy.users")] == [0o600, 0o640]
    ann = {"Authorization": basic("ann", "second")}
    async with published(etc, fake.url) as (client, process):
        for wrong in ({}, {"Authorization": basic("ann", "first")}):
            for path in ("/", "/api/chat/sessions"):
                async with client.http.get(client.url(path), headers=wrong) as refused:
                    assert refused.status == 401
                    assert refused.headers["WWW-Authenticate"] == 'Basic realm="chatproxy"'
        for path in ("/", "/static/chat-interface.js", "/docs"):
            async with client.http.get(client.url(path), headers=ann) as page:
                assert page.status == 200
        await streams_token_by_token(client, fake, ann | {"X-Forwarded-User": "bob"})
        elsewhere = ann | {"Origin": "https://evil.example"}
        await client.call("POST", "/api/chat/sessions", status=403, headers=elsewhere)
        async with client.http.get(client.url("/metrics"), headers=ann) as metrics:
            assert metrics.status == 404
        token = (etc / ".env").read_text().partition("API_TOKEN=")[2].strip()
        direct = {"Authorization": f"Bearer {token}", "Host": "chat.example"}
        for user, number in (("ann", 1), ("bob", 0)):
            page = await process.client.call(
                "GET", "/api/chat/sessions", headers=direct | {"X-Forwarded-User": user}
            )
            assert len(page["sessions"]) == number


def without_login(text: str) -> str:
    changed, number = re.subn(r"^ *(?:auth_basic|include).*\n", "", text, flags=re.MULTILINE)
    assert number == 3
    return changed


async def test_without_a_login_the_page_asks_for_the_token(fake: FakeOllama, etc: Path) -> None:
    settings = {"api_token": "a-token-that-is-long-enough", "allowed_hosts": "chat.example"}
    async with published(etc, fake.url, without_login, **settings) as (client, _):
        for path, status in (("/", 200), ("/static/page/page.js", 200), ("/api/chat/sessions", 401)):
            async with client.http.get(client.url(path)) as response:
                assert response.status == status
        assert response.headers["WWW-Authenticate"] == "Bearer"
        await streams_token_by_token(client, fake, {"Authorization": f"Bearer {settings['api_token']}"})


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
