"""Pages elsewhere may call if `CORS_ORIGINS` names them, on every route and for errors too; else none may."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import pytest
from chat_client import Client, serving
from fake_ollama import FakeOllama, refused

from chatproxy import Config, create_app

OURS: Final = "https://chat.example"
OTHER: Final = "https://evil.example"
ALLOWED: Final = ("Authorization", "Content-Type", "Last-Event-ID", "X-Request-Id")
EXPOSED: Final = {"Content-Type", "X-Request-Id", "Retry-After"}
SESSIONS: Final = "/api/chat/sessions"
HEADERS: Final = [
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Expose-Headers",
]


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    async with serving(replace(config, cors_origins=(OURS, "http://localhost:3000"))) as client:
        yield client


def routes() -> list[tuple[str, str]]:
    """Every method and path there is, with something in the place of each name."""
    app = create_app(Config())
    found = set()
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical.replace("{sid}", "none").replace("{", "").replace("}", "")
        if route.method not in {"OPTIONS", "HEAD"}:
            found.add((route.method, path))
    return sorted(found)


async def asked(
    client: Client, method: str, path: str, origin: str, **more: Any
) -> tuple[int, dict[str, str]]:
    """Status of a request from a page, and what the answer says of origins."""
    async with client.http.request(method, client.url(path), headers={"Origin": origin}, **more) as response:
        await response.read()
        return response.status, {name: response.headers[name] for name in HEADERS if name in response.headers}


async def preflight(client: Client, method: str, path: str, origin: str = OURS, wanted: str = "") -> Any:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    if wanted:
        headers["Access-Control-Request-Headers"] = wanted
    async with client.http.options(client.url(path), headers=headers) as response:
        body = await response.text() if response.status == 200 else await response.json()
        return response.status, response.headers, body


def granted(headers: dict[str, str], origin: str = OURS, credentials: bool = True) -> bool:
    exposed = set(headers.pop("Access-Control-Expose-Headers", "").split(","))
    expected = {"Access-Control-Allow-Origin": origin}
    if credentials:
        expected["Access-Control-Allow-Credentials"] = "true"
    return headers == expected and exposed == EXPOSED


@pytest.mark.parametrize(("method", "path"), routes())
async def test_an_allowed_origin_may_call_every_route(client: Client, method: str, path: str) -> None:
    status, headers, _ = await preflight(client, method, path, wanted=", ".join(ALLOWED).lower())
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == OURS
    assert headers["Access-Control-Allow-Methods"] == method
    assert headers["Access-Control-Allow-Credentials"] == "true"
    allowed = headers["Access-Control-Allow-Headers"].split(",")
    assert sorted(allowed) == sorted(name.upper() for name in ALLOWED)
    _, told = await asked(client, method, path, OURS)
    assert granted(told), told


@pytest.mark.parametrize(
    "origin", [OTHER, "null", "http://chat.example", f"{OURS}.evil.example", f"{OURS}:444"]
)
async def test_another_origin_may_call_none(client: Client, origin: str) -> None:
    for method, path in routes():
        status, headers, body = await preflight(client, method, path, origin)
        assert (status, body["code"]) == (403, "origin_not_allowed"), path
        assert "CORS_ORIGINS" in body["error"]
        assert not set(headers) & {*HEADERS, "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"}
        assert (await asked(client, method, path, origin))[1] == {}, path


@pytest.mark.parametrize("wanted", ["X-Forwarded-User", "Content-Type, Cookie", "X-Api-Key"])
async def test_no_other_header_may_be_sent(client: Client, wanted: str) -> None:
    status, _, body = await preflight(client, "POST", SESSIONS, wanted=wanted)
    assert (status, body["code"]) == (403, "origin_not_allowed")


async def test_a_stream_carries_the_headers(client: Client) -> None:
    session = await client.new_session()
    path = f"{SESSIONS}/{session}/messages/stream"
    status, told = await asked(client, "POST", path, OURS, json={"message": "Hello"})
    assert status == 200
    assert granted(told)
    answer = (await client.messages(session))[1]["id"]
    status, told = await asked(client, "GET", f"{SESSIONS}/{session}/messages/{answer}/stream", OURS)
    assert status == 200
    assert granted(told)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("HEAD", "/nothing/here", 404),
        ("GET", f"{SESSIONS}/none", 404),
        ("POST", f"{SESSIONS}/none/messages/stream", 404),
        ("PUT", SESSIONS, 405),
        ("DELETE", "/healthz", 405),
        ("POST", SESSIONS, 415),
        ("GET", f"{SESSIONS}?limit=0", 422),
        ("GET", f"{SESSIONS}?before=x", 400),
    ],
)
async def test_errors_carry_the_headers(client: Client, method: str, path: str, status: int) -> None:
    more = {"data": b"x"} if status == 415 else {}
    told, headers = await asked(client, method, path, OURS, **more)
    assert told == status
    assert granted(headers)


async def test_a_failed_answer_carries_the_headers(client: Client, fake: FakeOllama) -> None:
    fake.script = refused(500, "out of memory")
    path = f"{SESSIONS}/{await client.new_session()}/messages"
    status, told = await asked(client, "POST", path, OURS, json={"message": "Hello"})
    assert status == 502
    assert granted(told)


async def test_any_origin_may_call_without_credentials_where_all_may(config: Config) -> None:
    async with serving(replace(config, cors_origins=("*",))) as client:
        for origin in (OURS, OTHER, "null"):
            status, headers, _ = await preflight(client, "POST", SESSIONS, origin)
            assert status == 200
            assert headers["Access-Control-Allow-Origin"] in {origin, "*"}
            assert "Access-Control-Allow-Credentials" not in headers
            assert granted((await asked(client, "GET", SESSIONS, origin))[1], origin, credentials=False)


@pytest.mark.parametrize("origins", ["*", OURS, ""])
@pytest.mark.parametrize(
    "name", ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]
)
async def test_what_no_browser_sends_is_malformed(config: Config, origins: str, name: str) -> None:
    asking = {"Origin": OURS, "Access-Control-Request-Method": "POST"}
    async with serving(replace(config, cors_origins=origins)) as client:  # type: ignore[arg-type]  # as text
        head = "".join(f"{each}: {value}\r\n" for each, value in asking.items() if each != name)
        reader, writer = await asyncio.open_connection(*client.base.removeprefix("http://").split(":"))
        writer.write(
            f"OPTIONS {SESSIONS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}".encode()
        )
        writer.write(f"{name}: ".encode() + b"\xff\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        assert b'"code":"malformed"' in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_by_default_no_page_elsewhere_may_call(config: Config) -> None:
    async with serving(config) as client:
        for method, path in routes():
            status, _, body = await preflight(client, method, path)
            assert (status, body["code"]) == (403, "origin_not_allowed")
            assert (await asked(client, method, path, OURS))[1] == {}


async def test_what_is_no_page_is_answered_without_the_headers(client: Client) -> None:
    async with client.http.get(client.url(SESSIONS)) as response:
        assert response.status == 200
        assert not set(HEADERS) & set(response.headers)
