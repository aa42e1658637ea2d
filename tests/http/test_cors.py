"""Pages elsewhere may call if `CORS_ORIGINS` names their origin (each route: test_every_route.py)."""

from dataclasses import replace
from typing import Any, Final

import pytest
from aiohttp import web
from chat_client import Client, Serve, Start
from fake_ollama import FakeOllama, refused
from matrix import matrix
from sockets import exchange

from chatproxy import Config
from chatproxy.web import cors
from chatproxy.web.middleware import unknown

OURS: Final = "https://chat.example"
OTHER: Final = "https://evil.example"
SESSIONS: Final = "/api/chat/sessions"
PREFIX: Final = "Access-Control-"
GRANTED: Final = {"Access-Control-Allow-Origin": OURS, "Access-Control-Allow-Credentials": "true"}
EXPOSED: Final = {
    *("Content-Type", "X-Request-Id", "Retry-After", "Server-Timing"),
    *("X-Error-Code", "X-Resumable-Stream-Id"),
}


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve(cors_origins=(OURS, "http://localhost:3000"))


async def asked(
    client: Client, method: str, path: str, origin: str = OURS, **more: Any
) -> tuple[int, dict[str, str], set[str]]:
    """Return the status of a request from a page, what it grants the page, and which headers it exposes."""
    async with client.http.request(method, client.url(path), headers={"Origin": origin}, **more) as response:
        await response.read()
        said = {name: response.headers[name] for name in response.headers if name.startswith(PREFIX)}
        exposed = said.pop("Access-Control-Expose-Headers", "")
        return response.status, said, set(exposed.split(","))


async def preflight(client: Client, origin: str = OURS, wanted: str = "") -> Any:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    if wanted:
        headers["Access-Control-Request-Headers"] = wanted
    async with client.http.options(client.url(SESSIONS), headers=headers) as response:
        body = await response.text() if response.status == 200 else await response.json()
        return response.status, response.headers, body


async def test_the_refusal_of_another_origin_names_the_setting(client: Client) -> None:
    status, _, body = await preflight(client, OTHER)
    assert (status, body["code"]) == (403, "origin_not_allowed")
    assert "CORS_ORIGINS" in body["error"]


@pytest.mark.parametrize("wanted", ["X-Forwarded-User", "Content-Type, X-Forwarded-User", "x-forwarded-user"])
async def test_a_page_may_send_no_other_header(client: Client, wanted: str) -> None:
    status, _, body = await preflight(client, wanted=wanted)
    assert (status, body["code"]) == (403, "origin_not_allowed")
    refused, allowed = body["error"].split(";")
    assert refused.lower() == "pages elsewhere may not send x-forwarded-user"
    assert "Authorization, Content-Type, Last-Event-ID, X-Request-Id, x-api-key" in allowed


async def own(client: Client, method: str, wanted: str, path: str = SESSIONS) -> tuple[int, str]:
    """Return the status and the sentence of a preflight from a page that may call."""
    asking = {"Origin": OURS, "Access-Control-Request-Method": method}
    headers = asking | {"Access-Control-Request-Headers": wanted}
    async with client.http.options(client.url(path), headers=headers) as response:
        return response.status, (
            await response.text() if response.status == 200 else (await response.json())["error"]
        )


async def test_a_refused_preflight_names_the_header_even_if_more_is_wrong(client: Client) -> None:
    with matrix() as cases:
        for method in ("POST", "PURGE"):
            for wanted in (
                "x-stainless-lang",
                "content-type,x-stainless-lang",
                "x-api-key, x-stainless-lang",
            ):
                status, told = await own(client, method, wanted)
                cases.expect(403, status, method, wanted)
                cases.check(
                    told.startswith("Pages elsewhere may not send x-stainless-lang;"), told, method, wanted
                )
        status, told = await own(client, "PURGE", "x-api-key")
        cases.check(
            status == 403 and told.startswith("Pages elsewhere may not use PURGE here;"), told, "method"
        )
        cases.expect((200, ""), await own(client, "POST", "x-api-key,, Authorization ,"), "nothing is wrong")


# What openai-js and Anthropic's clients send.
OF_OTHERS: Final = (
    "authorization, content-type, x-api-key, anthropic-version, anthropic-beta, x-stainless-arch,"
    " x-stainless-lang, x-stainless-os, x-stainless-package-version, x-stainless-retry-count,"
    " x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout"
)
PATHS_OF_OTHERS: Final = ["/v1/responses", "/v1/{other}", "/api/chat", "/api/generate", "/api/chat/ui/{id}"]


async def test_clients_of_other_apis_may_send_any_header(start: Start, config: Config) -> None:
    app = web.Application()
    for path in PATHS_OF_OTHERS:
        app.router.add_post(path, unknown)
    cors.set_up(app, replace(config, cors_origins=(OURS,)))
    client = (await start(app)).client
    with matrix() as cases:
        for path in PATHS_OF_OTHERS:
            address = client.url(path.format_map({"other": "messages", "id": "1"}))
            asking = {"Origin": OURS, "Access-Control-Request-Method": "POST"}
            headers = asking | {"Access-Control-Request-Headers": OF_OTHERS}
            async with client.http.options(address, headers=headers) as response:
                allowed = response.headers.get("Access-Control-Allow-Headers", "").lower().split(",")
            cases.expect((200, set(OF_OTHERS.split(", "))), (response.status, set(allowed)), path)


@pytest.mark.parametrize(
    ("asking", "cause"),
    [
        ({"Origin": OURS, "Access-Control-Request-Method": "PURGE"}, "may not use PURGE"),
        ({"Origin": OURS}, "OPTIONS is for preflights"),
        ({"Access-Control-Request-Method": "POST"}, "OPTIONS is for preflights"),
        ({}, "OPTIONS is for preflights"),
    ],
)
async def test_a_refused_preflight_names_its_cause(
    client: Client, asking: dict[str, str], cause: str
) -> None:
    async with client.http.options(client.url(SESSIONS), headers=asking) as response:
        body = await response.json()
    assert (response.status, body["code"]) == (403, "origin_not_allowed")
    assert cause in body["error"]
    assert "CORS_ORIGINS" not in body["error"]


async def test_a_preflight_of_the_own_origin_is_refused_for_its_origin(serve: Serve) -> None:
    """Browsers send none, but the sentence has to be true."""
    client = await serve()
    asking = {"Origin": client.base, "Access-Control-Request-Method": "POST"}
    async with client.http.options(client.url(SESSIONS), headers=asking) as response:
        assert "name it in CORS_ORIGINS" in (await response.json())["error"]


async def test_streams_carry_the_headers(client: Client) -> None:
    session = await client.new_session()
    path = f"{SESSIONS}/{session}/messages/stream"
    assert await asked(client, "POST", path, json={"message": "Hello"}) == (200, GRANTED, EXPOSED)
    answer = (await client.messages(session))[1]["id"]
    path = f"{SESSIONS}/{session}/messages/{answer}/stream"
    assert await asked(client, "GET", path) == (200, GRANTED, EXPOSED)


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
    more: dict[str, Any] = {"data": b"x"} if status == 415 else {}
    assert await asked(client, method, path, **more) == (status, GRANTED, EXPOSED)


async def test_the_error_of_a_failed_answer_carries_the_headers(client: Client, fake: FakeOllama) -> None:
    fake.script = refused(500, "out of memory")
    path = f"{SESSIONS}/{await client.new_session()}/messages"
    assert await asked(client, "POST", path, json={"message": "Hello"}) == (502, GRANTED, EXPOSED)


async def test_a_star_allows_any_origin_without_credentials(serve: Serve) -> None:
    client = await serve(cors_origins=("*",))
    for origin in (OURS, OTHER, "null"):
        status, headers, _ = await preflight(client, origin)
        assert status == 200
        assert headers["Access-Control-Allow-Origin"] in {origin, "*"}
        assert "Access-Control-Allow-Credentials" not in headers
        granted = {"Access-Control-Allow-Origin": origin}
        assert await asked(client, "GET", SESSIONS, origin) == (200, granted, EXPOSED)


@pytest.mark.parametrize("origins", ["*", OURS, ""])
@pytest.mark.parametrize(
    "name", ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]
)
async def test_a_preflight_with_bytes_that_are_not_ascii_is_malformed(
    serve: Serve, origins: str, name: str
) -> None:
    client = await serve(cors_origins=origins)
    asking = {"Origin": OURS, "Access-Control-Request-Method": "POST"}
    head = "".join(f"{each}: {value}\r\n" for each, value in asking.items() if each != name)
    start = f"OPTIONS {SESSIONS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}{name}: "
    reply = await exchange(client, start.encode() + b"\xff\r\n\r\n")
    assert (reply.status, reply.code) == (400, "malformed")


async def test_a_client_that_is_not_a_page_is_answered_without_the_headers(client: Client) -> None:
    async with client.http.get(client.url(SESSIONS)) as response:
        assert response.status == 200
        assert [name for name in response.headers if name.startswith(PREFIX)] == []
