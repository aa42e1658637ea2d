"""Requests by other names and from other pages are refused, and no answer can be made a page of."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from chat_client import Client, Server, serving
from fake_ollama import FakeOllama, Script
from routes import NAMELESS, place, routes

from chatproxy import Config, create_app

SESSIONS: Final = "/api/chat/sessions"
PREFIX: Final = "/x/y"
CHANGING: Final = [each for each in routes() if each[0] not in {"GET", "HEAD"}]


@pytest.fixture(params=["", PREFIX], ids=["root", "mounted"])
async def anywhere(config: Config, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """At the root as the command serves it, and as a part of another application."""
    app = create_app(config)
    if request.param:
        host = web.Application()
        host.add_subapp(request.param, app)
        app = host
    async with Server(app, request.param, auto_decompress=False) as server:
        yield server.client


async def told(client: Client, method: str, path: str, **more: Any) -> tuple[int, str]:
    """Status and error code."""
    async with client.http.request(method, client.url(path), allow_redirects=False, **more) as response:
        body = await response.read()
        has_code = response.content_type == "application/json" and response.status >= 400 and body
        return response.status, (await response.json())["code"] if has_code else ""


# -- the name


LOOPBACK: Final = ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:9"]
STRANGE: Final = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil@localhost", "a b"]


@pytest.mark.parametrize(
    ("settings", "answered", "refused"),
    [
        ({}, LOOPBACK, [*STRANGE, "10.0.0.1", "[::2]", "", ":80", "localhost:x", "[localhost", "l\xf6"]),
        ({"host": "chat.internal"}, [*LOOPBACK, "chat.internal", "10.0.0.1", "[fe80::1]:80"], STRANGE),
        ({"host": "0.0.0.0"}, [*LOOPBACK, "0.0.0.0", "192.168.1.7:11435"], STRANGE),
        ({"host": "127.0.0.2"}, [*LOOPBACK, "127.0.0.2"], [*STRANGE, "10.0.0.1"]),
        ({"allowed_hosts": "Chat.example, ::7"}, ["chat.example:8", "[0::7]"], [*STRANGE, "127.0.0.1"]),
        ({"allowed_hosts": "chat.example", "host": "::"}, ["chat.example", "10.0.0.1"], ["localhost"]),
        ({"allowed_hosts": "*"}, [*LOOPBACK, "evil.example", ""], []),
    ],
)
async def test_only_its_own_names_are_answered(
    config: Config, settings: Mapping[str, Any], answered: list[str], refused: list[str]
) -> None:
    async with serving(replace(config, **settings)) as client:
        for host in answered:
            assert await told(client, "GET", SESSIONS, headers={"Host": host}) == (200, ""), host
        for host in refused:
            status = await told(client, "GET", SESSIONS, headers={"Host": host})
            assert status == (403, "host_not_allowed"), host


@pytest.mark.parametrize(("method", "path"), routes())
async def test_no_route_but_probes_and_metrics_is_answered_by_another_name(
    anywhere: Client, method: str, path: str
) -> None:
    status, _ = await told(anywhere, method, place(path), headers={"Host": "evil.example"})
    spared = path in NAMELESS and method in {"GET", "HEAD"}
    assert (status == 200) if spared else (status == 403)


@pytest.mark.parametrize("path", ["/nothing", "/api", f"{SESSIONS}/x/y/z"])
async def test_nothing_is_told_by_another_name_not_even_that_there_is_nothing(
    anywhere: Client, path: str
) -> None:
    for method in ("GET", "PROPFIND", "OPTIONS"):
        assert (await told(anywhere, method, path, headers={"Host": "evil.example"}))[0] == 403


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: evil.example\r\n"], ids=["none", "two"])
async def test_a_request_has_one_name(config: Config, hosts: bytes) -> None:
    async with serving(config) as client:
        answer = await exchange(client, b"GET " + SESSIONS.encode() + b" HTTP/1.1\r\n" + hosts)
        assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.0 400", b"HTTP/1.1 400"))


async def exchange(client: Client, head: bytes) -> bytes:
    """All that the server says to these bytes."""
    address, port = client.base.removeprefix("http://").split("/")[0].split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    writer.write(head + b"Connection: close\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


# -- the page


SAME: Final = [
    ("http://localhost:11435", "localhost:11435"),
    ("https://localhost:11435", "localhost:11435"),
    ("https://localhost", "localhost"),
    ("https://localhost", "LOCALHOST:443"),
    ("http://localhost", "localhost:80"),
    ("http://[::1]:11435", "[::1]:11435"),
]
OTHER: Final = [
    ("https://evil.example", "localhost"),
    ("http://localhost:11436", "localhost:11435"),
    ("http://localhost", "localhost:11435"),
    ("http://localhost.evil.example", "localhost"),
    ("http://127.0.0.1", "localhost"),
    ("https://localhost", "localhost:80"),
    ("null", "localhost"),
    ("", "localhost"),
    ("file://", "localhost"),
    ("localhost", "localhost"),
]


@pytest.mark.parametrize(("origin", "host"), SAME)
async def test_its_own_page_may_change_things_whatever_the_scheme(
    anywhere: Client, origin: str, host: str
) -> None:
    headers = {"Origin": origin, "Host": host}
    assert await told(anywhere, "POST", SESSIONS, headers=headers) == (201, "")


@pytest.mark.parametrize(("origin", "host"), OTHER)
async def test_another_page_may_not(anywhere: Client, origin: str, host: str) -> None:
    headers = {"Origin": origin, "Host": host}
    assert await told(anywhere, "POST", SESSIONS, headers=headers) == (403, "origin_not_allowed")
    assert (await anywhere.call("GET", SESSIONS))["sessions"] == []
    assert await told(anywhere, "GET", SESSIONS, headers=headers) == (200, "")  # which it cannot read


@pytest.mark.parametrize(("method", "path"), CHANGING)
async def test_no_route_changes_anything_for_another_page(anywhere: Client, method: str, path: str) -> None:
    headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    answer = await told(anywhere, method, place(path), headers=headers, data=b'{"message": "Hello"}')
    assert answer == (403, "origin_not_allowed")


async def test_a_page_without_an_origin_is_not_that_of_a_request_without_a_name(config: Config) -> None:
    async with serving(replace(config, allowed_hosts=("*",))) as client:
        headers = {"Origin": "null", "Host": ""}
        assert await told(client, "POST", SESSIONS, headers=headers) == (403, "origin_not_allowed")


async def test_pages_that_are_named_may(config: Config) -> None:
    async with serving(replace(config, cors_origins=("https://chat.example",))) as client:
        for origin, status in (("https://chat.example", 201), ("https://chat.example:444", 403)):
            assert (await told(client, "POST", SESSIONS, headers={"Origin": origin}))[0] == status
    async with serving(replace(config, cors_origins=("*",))) as client:
        for origin in ("https://chat.example", "null"):
            assert (await told(client, "POST", SESSIONS, headers={"Origin": origin}))[0] == 201


async def test_what_is_no_page_has_no_origin(anywhere: Client) -> None:
    assert await told(anywhere, "POST", SESSIONS) == (201, "")


# -- bodies


@pytest.mark.parametrize(("method", "path"), [each for each in CHANGING if each[1] != "/{path}"])
async def test_compressed_bodies_are_refused_everywhere(anywhere: Client, method: str, path: str) -> None:
    for coding in ("gzip", "deflate", "br", "x", "identity, gzip"):
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        answer = await told(anywhere, method, place(path), headers=headers, data=b"{}")
        assert answer == (415, "unsupported_media_type"), coding


async def test_a_compressed_body_is_refused_also_where_it_is_said_second(config: Config) -> None:
    codings = b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"
    async with serving(config) as client:
        answer = await exchange(
            client, b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s" % (SESSIONS.encode(), codings)
        )
        assert answer.startswith(b"HTTP/1.1 415 ")


async def test_a_compressed_body_is_refused_also_where_aiohttp_has_unpacked_it(config: Config) -> None:
    packed = {"data": gzip.compress(b'{"title": "a"}'), "headers": {"Content-Encoding": "gzip"}}
    async with serving(config) as client:
        assert await told(client, "POST", SESSIONS, **packed) == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/json"])
async def test_json_is_said_to_be_json(anywhere: Client, kind: str) -> None:
    headers = {"Content-Type": kind}
    answer = await told(anywhere, "POST", SESSIONS, headers=headers, data=b'{"title": "Forged"}')
    assert answer == (415, "unsupported_media_type")


# -- answers


async def headers_of(client: Client, method: str, path: str, **more: Any) -> Mapping[str, str]:
    async with client.http.request(method, client.url(path), allow_redirects=False, **more) as response:
        await response.read()
        return response.headers


async def test_every_answer_says_that_it_is_no_page(anywhere: Client) -> None:
    session = await anywhere.new_session()
    answer = (await anywhere.ask(session)).answer_id
    text = {"title": "evil.html", "text": "<script>alert(1)</script>"}
    document = (await anywhere.call("POST", "/api/documents", status=201, json=text))["id"]
    for method, path in (
        ("GET", SESSIONS),
        ("GET", "/nothing"),
        ("PUT", SESSIONS),
        ("DELETE", "/healthz"),
        ("GET", "/metrics"),
        ("GET", f"{SESSIONS}/{session}/export"),
        ("GET", f"{SESSIONS}/{session}/export?format=markdown"),
        ("GET", f"{SESSIONS}/{session}/messages/{answer}/stream"),
        ("GET", f"/api/documents/{document}/search?q=script"),
        ("OPTIONS", SESSIONS),
    ):
        headers = await headers_of(anywhere, method, path)
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "no-referrer", path
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "html" not in headers["Content-Type"], path


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_let_nothing_in_from_elsewhere(anywhere: Client, path: str) -> None:
    headers = await headers_of(anywhere, "GET", path)
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/....//app.py",
        "/static/%252e%252e/app.py",
        "/static/page/page.js%00.css",
        "/static/.",
        "/static/vendor",
        f"/static/{'a' * 5000}.js",
    ],
)
async def test_no_path_leads_out_of_the_static_folder(anywhere: Client, path: str) -> None:
    prefix = anywhere.base.partition("//")[2].partition("/")[2]
    whole = f"/{prefix}{path}" if prefix else path
    answer = await exchange(anywhere, f"GET {whole} HTTP/1.1\r\nHost: localhost\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"create_app" not in answer
    assert b"root:" not in answer


BREAKS: Final = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\u2028X-Evil: 1", 'a"; X-Evil=1', "\x00"]


@pytest.mark.parametrize("title", BREAKS)
async def test_no_title_adds_a_header(anywhere: Client, title: str) -> None:
    session = await anywhere.new_session(title=title)
    headers = await headers_of(anywhere, "GET", f"{SESSIONS}/{session}/export")
    assert "X-Evil" not in headers
    assert headers["Content-Disposition"].startswith('attachment; filename="')
    assert headers["Content-Disposition"].count('"') == 2


@pytest.mark.parametrize("query", ["%0d%0aX-Evil:%201", "//evil.example", "\\evil.example"])
async def test_the_way_to_the_page_leads_nowhere_else(config: Config, query: str) -> None:
    host = web.Application()
    host.add_subapp(PREFIX, create_app(config))
    async with Server(host, PREFIX) as server:
        headers = await headers_of(server.client, "GET", f"?{query}")
        assert "X-Evil" not in headers
        assert headers["Location"].startswith("./y/?")


async def test_no_address_that_an_answer_names_is_asked(
    config: Config, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither where Ollama redirects to, nor a proxy of the environment's."""
    async with FakeOllama() as elsewhere:
        monkeypatch.setenv("HTTP_PROXY", elsewhere.url)
        monkeypatch.setenv("http_proxy", elsewhere.url)
        for path in ("/api/chat", "/api/tags", "/api/version"):
            away = Script(status=307, headers={"Location": f"{elsewhere.url}{path}"})
            fake.instead[path] = away
        fake.script = Script(status=307, headers={"Location": f"{elsewhere.url}/api/chat"})
        async with serving(config) as client:
            await client.call("GET", "/readyz")
            await client.call("GET", "/api/models", status=502)
            told = await client.send(await client.new_session(), status=502)
            assert told["code"] == "upstream_error"
        assert not elsewhere.calls
        assert fake.calls["/api/chat"] == 1
