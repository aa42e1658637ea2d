"""The access token over HTTP: what is taken for it, what asks for it (each route: test_every_route.py)."""

import asyncio
from base64 import b64encode
from typing import Final

import pytest
from chat_client import Client, Serve
from matrix import matrix
from sockets import exchange, opened, request
from yarl import URL

TOKEN: Final = "correct-horse-battery"
RIGHT: Final = {"Authorization": f"Bearer {TOKEN}"}
ORIGIN: Final = "https://chat.example"
SESSIONS: Final = "/api/chat/sessions"


@pytest.fixture(params=["", "/x/y"], ids=["root", "mounted"])
async def client(serve: Serve, request: pytest.FixtureRequest) -> Client:
    return await serve(request.param, api_token=TOKEN, cors_origins=(ORIGIN,))


async def test_without_it_a_missing_page_looks_like_any_other(client: Client) -> None:
    with matrix() as cases:
        for path in ("/nothing", "/api", "/static", "/healthz/x", "/docs/", "//"):
            for method in ("GET", "POST", "PROPFIND", "OPTIONS"):
                async with client.http.request(method, client.url(path)) as response:
                    cases.expect(401, response.status, method, path)
            async with client.http.get(client.url(path), headers=RIGHT) as response:
                cases.expect((404, "not_found"), (response.status, (await response.json())["code"]), path)


WRONG: Final = [
    "",
    TOKEN,
    "Bearer",
    "Bearer ",
    f"Bearer {TOKEN[:-1]}",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN.upper()}",
    f"Bearer {TOKEN} {TOKEN}",
    f"Basic {TOKEN}",
    f"Bearer: {TOKEN}",
    "Bearer \xf6",
]


async def test_only_the_token_itself_is_taken_and_its_scheme_in_any_case(client: Client) -> None:
    with matrix() as cases:
        for given in WRONG:
            async with client.http.get(client.url(SESSIONS), headers={"Authorization": given}) as response:
                cases.expect(401, response.status, repr(given))
        for given in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN}"):
            async with client.http.get(client.url(SESSIONS), headers={"Authorization": given}) as response:
                cases.expect(200, response.status, repr(given))


def basic(login: str) -> str:
    return f"Basic {b64encode(login.encode()).decode()}"


def ways(token: str) -> list[dict[str, str]]:
    """Return the headers that send a token, in each way that there is."""
    return [
        {"Authorization": f"Bearer {token}"},
        *({"Authorization": basic(f"{user}:{token}")} for user in ("chatproxy", "", "Ren\xe9")),
        {"Authorization": basic(f"ann:{token}").replace("Basic", "basic  ")},
        {"x-api-key": token},
        {"X-API-KEY": f"  {token}  "},
    ]


WRONG_BASIC: Final = [
    "Basic",
    "Basic  ",
    f"Basic {TOKEN}",
    "Basic ====",
    "Basic \xf6",
    basic(TOKEN),  # without a colon
    basic(f"{TOKEN}:"),
    basic(f"ann:{TOKEN}x"),
    basic(f"ann:{TOKEN}:"),
    basic(f"ann:{TOKEN}\n"),
    basic(f"ann:{TOKEN}")[:-3],
    basic(f"ann:{TOKEN}").replace("Basic", "Digest"),
    "Basic " + "A" * 8000,
]
WRONG_KEYS: Final = ["", " ", TOKEN[:-1], f"{TOKEN}x", f"Bearer {TOKEN}", "\xf6", TOKEN.upper(), "a" * 8000]


async def test_it_is_taken_as_the_password_of_basic_and_as_an_api_key(client: Client) -> None:
    """So existing clients can send it, which know one of these."""
    with matrix() as cases:
        for token, status in ((TOKEN, 200), (TOKEN[:-1], 401), ("", 401)):
            for headers in ways(token):
                async with client.http.get(client.url(SESSIONS), headers=headers) as response:
                    cases.expect(status, response.status, headers)
        for name, values in (("Authorization", WRONG_BASIC), ("x-api-key", WRONG_KEYS)):
            for value in values:
                async with client.http.get(client.url(SESSIONS), headers={name: value}) as response:
                    got = response.status, response.headers.get("WWW-Authenticate")
                    cases.expect((401, "Bearer"), got, name, value[:60])


async def test_a_login_of_a_proxy_beside_the_token_does_not_count(client: Client) -> None:
    others: list[dict[str, str]] = [
        {"Authorization": basic("ann:secret")},
        {"Authorization": "Negotiate YII="},
    ]
    with matrix() as cases:
        for other in others:
            for key, status in ((TOKEN, 200), (TOKEN[:-1], 401)):
                both = other | {"x-api-key": key}
                async with client.http.get(client.url(SESSIONS), headers=both) as response:
                    cases.expect(status, response.status, both)
        for key in WRONG_KEYS:
            async with client.http.get(client.url(SESSIONS), headers=RIGHT | {"x-api-key": key}) as response:
                cases.expect(200, response.status, "Bearer beside", key[:60])


async def test_a_header_that_occurs_twice_is_refused(client: Client) -> None:
    """A proxy in front may have checked the other one."""
    right, wrong, key = f"Authorization: Bearer {TOKEN}", "Authorization: Basic OjA=", f"x-api-key: {TOKEN}"
    with matrix() as cases:
        for lines in (
            [right, right],
            [right, wrong],
            [wrong, right],
            [key, key],
            [key, "X-Api-Key: 0"],
            ["x-api-key:", key],
            [right, key, key],
            [wrong, "authorization:", key],
        ):
            head = [f"GET {URL(client.url(SESSIONS)).path} HTTP/1.1", "Host: localhost", "Connection: close"]
            reply = await exchange(client, "\r\n".join([*head, *lines, "", ""]).encode())
            cases.expect((401, "unauthorized"), (reply.status, reply.code), lines)


async def test_bytes_that_are_not_text_are_no_token(client: Client) -> None:
    with matrix() as cases:
        for line in (
            b"x-api-key: \xff",
            b"Authorization: Bearer \xff",
            b"Authorization: Basic \xff",
            b"x-api-key: \xc3",
        ):
            head = (
                f"GET {URL(client.url(SESSIONS)).path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            )
            reply = await exchange(client, head.encode() + line + b"\r\n\r\n")
            cases.expect((401, "unauthorized"), (reply.status, reply.code), line)


async def test_it_is_not_taken_from_the_address(client: Client) -> None:
    with matrix() as cases:
        for name in ("token", "api_token", "access_token", "API_TOKEN", "authorization"):
            for value in (TOKEN, f"Bearer {TOKEN}"):
                async with client.http.get(client.url(SESSIONS), params={name: value}) as response:
                    cases.expect(401, response.status, name, value)


async def test_a_preflight_needs_none_and_a_refusal_can_be_read_by_the_page(client: Client) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    headers = asked | {"Access-Control-Request-Headers": "authorization"}
    async with client.http.options(client.url(SESSIONS), headers=headers) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Headers"] == "AUTHORIZATION"
    async with client.http.post(client.url(SESSIONS), headers={"Origin": ORIGIN}) as response:
        assert response.status == 401
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    async with client.http.post(client.url(SESSIONS), headers={"Origin": ORIGIN} | RIGHT) as response:
        assert response.status == 201


async def test_a_request_without_it_is_refused_before_its_body_has_come(client: Client) -> None:
    path = URL(client.url(SESSIONS)).path
    async with opened(client) as (reader, writer), asyncio.timeout(10):
        writer.write(request("POST", path, {"Content-Length": "1000"}))
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")


async def test_open_paths_are_open_to_reads_only(client: Client) -> None:
    with matrix() as cases:
        for path in ("/healthz", "/", "/static/page/page.js", SESSIONS):
            for method in ("OPTIONS", "POST", "TRACE"):
                async with client.http.request(method, client.url(path)) as response:
                    cases.expect(401, response.status, method, path)


async def test_a_stream_is_resumed_with_it(client: Client) -> None:
    session = await client.new_session(headers=RIGHT)
    path = f"{SESSIONS}/{session}/messages/stream"
    async with client.stream("POST", path, json={"message": "Hello"}, headers=RIGHT) as stream:
        await stream.rest()
    again = f"{SESSIONS}/{session}/messages/{stream.answer_id}/stream"
    async with client.stream("GET", again, headers=RIGHT) as resumed:
        await resumed.rest()
    assert resumed.text() == "Hello from a fake."
    await client.call("GET", again, status=401, params={"token": TOKEN})
