"""What holds on every route, tried on every route: names and origins, tokens and users, bodies and CORS."""

import json
from base64 import b64encode
from typing import Any, Final

import pytest
from aiohttp import ClientResponse
from chat_client import Client, Serve
from matrix import matrix
from routes import (
    ANY_HOST,
    EMPTY,
    LOGIN,
    NOT_FOUND,
    OPEN,
    PASSED,
    PROBE,
    VISITOR,
    address,
    changing,
    is_open,
    place,
    routes,
)

SESSIONS: Final = "/api/chat/sessions"
TOKEN: Final = "correct-horse-battery"
USER: Final = "X-Forwarded-User"
OURS: Final = "https://chat.example"
OTHERS: Final = ["https://evil.example", "null", "http://chat.example", f"{OURS}.evil.example", f"{OURS}:444"]
SENT: Final = [
    "Authorization",
    "Content-Type",
    "Last-Event-ID",
    "X-Request-Id",
    "x-api-key",
]  # headers a page may send
EXPOSED: Final = {
    *("Content-Type", "X-Request-Id", "Retry-After", "Server-Timing"),
    *("X-Error-Code", "X-Resumable-Stream-Id"),
}

# The ways to send a token.
WAYS: Final = ["bearer", "basic", "x-api-key"]

# At the root, as the command serves it, and as a part of another application.
anywhere = pytest.mark.parametrize("prefix", ["", "/x/y"], ids=["root", "mounted"])


async def answer(client: Client, method: str, path: str, **more: Any) -> tuple[int, str, Any]:
    """Return status, error code (empty where there can be none) and headers."""
    async with client.http.request(method, client.url(path), allow_redirects=False, **more) as response:
        body = await response.read()
        return response.status, code_of(response, body) if response.status >= 400 else "", response.headers


def code_of(response: ClientResponse, body: bytes) -> str:
    """Return the code of an error, wherever the API of the path has it; empty if there is none."""
    if not body or "X-Error-Code" in response.headers:
        return response.headers["X-Error-Code"] if body else ""
    if response.content_type != "application/json":
        return ""
    told = json.loads(body)
    return str(told["code"] if "code" in told else told["error"]["code"])


async def refusal(client: Client, method: str, path: str, **more: Any) -> tuple[int, str]:
    status, code, _ = await answer(client, method, path, **more)
    return status, code


def coded(method: str, status: int, code: str) -> tuple[int, str]:
    """Return the expected refusal; the response to a HEAD has no body and so no code."""
    return status, "" if method == "HEAD" else code


def sent(way: str, token: str) -> dict[str, str]:
    if way == "x-api-key":
        return {way: token}
    return {
        "Authorization": f"{way} {b64encode(f'ann:{token}'.encode()).decode() if way == 'basic' else token}"
    }


def test_the_routes_are_found() -> None:
    assert {
        ("GET", "/"),
        ("HEAD", "/docs"),
        ("GET", f"{SESSIONS}/{{sid}}/export"),
        ("POST", f"{SESSIONS}/{{sid}}/messages/stream"),
        ("DELETE", NOT_FOUND),
    } <= set(routes())


@anywhere
async def test_another_host_name_is_refused_on_every_route_but_probes_and_metrics(
    serve: Serve, prefix: str
) -> None:
    client = await serve(prefix)
    with matrix() as cases:
        for method, path in routes():
            got = await refusal(client, method, address(path), headers={"Host": "evil.example"})
            spared = path in ANY_HOST and (method in {"GET", "HEAD"} or (method, path) == PROBE)
            cases.expect((200, "") if spared else coded(method, 403, "host_not_allowed"), got, method, path)


@anywhere
async def test_a_page_elsewhere_can_change_nothing_on_any_route(serve: Serve, prefix: str) -> None:
    client = await serve(prefix)
    headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    with matrix() as cases:
        for method, path in changing():
            got = await refusal(client, method, address(path), headers=headers, data=b'{"message": "Hello"}')
            cases.expect((403, "origin_not_allowed"), got, method, path)


@anywhere
async def test_a_compressed_body_is_refused_on_every_route(serve: Serve, prefix: str) -> None:
    client = await serve(prefix)
    with matrix() as cases:
        for method, path in changing():
            for coding in ("gzip", "deflate", "br", "x", "identity, gzip") if path != NOT_FOUND else ():
                headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
                got = await refusal(client, method, address(path), headers=headers, data=b"{}")
                cases.expect((415, "unsupported_media_type"), got, method, path, coding)


@anywhere
async def test_every_route_asks_for_the_token_unless_it_is_open(serve: Serve, prefix: str) -> None:
    client = await serve(prefix, api_token=TOKEN, cors_origins=(OURS,))
    with matrix() as cases:
        for method, path in routes():
            status, code, headers = await answer(client, method, address(path), data=b"x")
            if (method, path) == LOGIN:
                cases.expect((401, "unauthorized"), (status, code), method, path, "without a code")
                continue
            if (method, path) == VISITOR:
                cases.expect((404, "not_found"), (status, code), method, path)
                continue
            if is_open(method, path):
                cases.check(status in {200, 308}, f"{status} though it is open", method, path)
                continue
            cases.expect(coded(method, 401, "unauthorized"), (status, code), method, path)
            cases.expect("Bearer", headers.get("WWW-Authenticate"), method, path, "WWW-Authenticate")
            for way in WAYS:
                status, _ = await refusal(client, method, address(path), headers=sent(way, TOKEN))
                cases.check(status != 401, f"{status} in spite of the token", method, path, way)
                got = await refusal(client, method, address(path), headers=sent(way, TOKEN[:-1]))
                cases.expect(coded(method, 401, "unauthorized"), got, method, path, way)


async def test_every_route_asks_for_one_user_unless_it_is_open(serve: Serve) -> None:
    client = await serve(trusted_user_header=USER)
    with matrix() as cases:
        for users in ([], [""], ["  "], ["ann", "bob"], ["ann", "ann"]):
            headers = [(USER, user) for user in users]
            for method, path in routes():
                if not is_open(method, path):
                    here = client.url(address(path))
                    async with client.http.request(method, here, headers=headers, data=b"x") as response:
                        told = await response.read()
                    case = (method, path, users)
                    cases.expect(401, response.status, *case)
                    named = told and code_of(response, told) == "unauthorized" and USER.encode() in told
                    cases.check(method == "HEAD" or bool(named), f"{told!r} does not name the header", *case)


async def test_what_belongs_to_another_user_is_not_found_on_any_route(serve: Serve) -> None:
    client = await serve(trusted_user_header=USER)
    ann, bob = {USER: "ann"}, {USER: "bob"}
    body: dict[str, Any] = {"json": {"message": "Mine now", "title": "Mine now"}}
    with matrix() as cases:
        for method, path in routes():
            if "{" not in path or path in OPEN | PASSED | {NOT_FOUND}:
                continue
            here = await place(client, path, ann)
            before = await client.call("GET", SESSIONS, headers=ann)
            got = await refusal(client, method, here, headers=bob, **body)
            missing = (EMPTY[path], "") if path in EMPTY else coded(method, 404, "not_found")
            cases.expect(missing, got, method, path, "by Bob")
            after = await client.call("GET", SESSIONS, headers=ann)
            cases.check(after == before, "what Ann has changed", method, path, "by Bob")
            status, code = await refusal(client, method, here, headers=ann, **body)
            cases.check(status in {200, 201, 204}, f"{status} {code}", method, path, "by Ann")


# -- CORS


async def preflight(client: Client, method: str, path: str, origin: str) -> tuple[int, str, Any]:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ", ".join(SENT).lower(),
    }
    return await answer(client, "OPTIONS", path, headers=headers)


def grants(headers: Any) -> dict[str, Any]:
    """Return what a response lets the page do that asked, by header without `Access-Control-`."""
    prefix = "Access-Control-"
    found = {name.removeprefix(prefix): headers[name] for name in headers if name.startswith(prefix)}
    found.pop("Max-Age", None)
    lists = {"Allow-Headers", "Expose-Headers"}
    return {name: set(value.split(",")) if name in lists else value for name, value in found.items()}


async def test_an_allowed_origin_may_call_every_route(serve: Serve) -> None:
    client = await serve(cors_origins=(OURS, "http://localhost:3000"))
    granted = {"Allow-Origin": OURS, "Allow-Credentials": "true"}
    asked_for = {"Allow-Headers": {name.upper() for name in SENT}}
    with matrix() as cases:
        for method, path in routes():
            if method == "HEAD":
                continue
            status, _, headers = await preflight(client, method, address(path), OURS)
            expected = granted | asked_for | {"Allow-Methods": method}
            cases.expect((200, expected), (status, grants(headers)), method, path, "preflight")
            _, _, headers = await answer(client, method, address(path), headers={"Origin": OURS})
            cases.expect(granted | {"Expose-Headers": EXPOSED}, grants(headers), method, path)


@pytest.mark.parametrize(
    "allowed", [(OURS, "http://localhost:3000"), ()], ids=["some allowed", "none allowed"]
)
async def test_another_origin_may_call_no_route(serve: Serve, allowed: tuple[str, ...]) -> None:
    client = await serve(cors_origins=allowed)
    with matrix() as cases:
        for origin in OTHERS if allowed else [OURS]:
            for method, path in routes():
                if method == "HEAD":
                    continue
                status, code, headers = await preflight(client, method, address(path), origin)
                got = status, code, grants(headers)
                cases.expect((403, "origin_not_allowed", {}), got, method, path, origin, "preflight")
                _, _, headers = await answer(client, method, address(path), headers={"Origin": origin})
                cases.expect({}, grants(headers), method, path, origin)
