"""Host names, origins, bodies, headers, paths and addresses that an attacker would choose."""

import gzip
from collections.abc import Mapping
from typing import Any, Final

import pytest
from chat_client import Client, Serve, Start
from fake_ollama import FakeOllama, Script
from matrix import matrix
from sockets import exchange, request

from chatproxy import Config, create_app

SESSIONS: Final = "/api/chat/sessions"
PREFIX: Final = "/x/y"

Refused = tuple[int, str]


@pytest.fixture(params=["", PREFIX], ids=["root", "mounted"])
async def client(serve: Serve, request: pytest.FixtureRequest) -> Client:
    """A client at the root, as the command serves it, and in another application."""
    return await serve(request.param)


async def asked(client: Client, method: str, path: str, **more: Any) -> Refused:
    """Return status and error code."""
    async with client.http.request(method, client.url(path), allow_redirects=False, **more) as response:
        body = await response.read()
        has_code = response.content_type == "application/json" and response.status >= 400 and body
        return response.status, (await response.json())["code"] if has_code else ""


# -- the host's name


LOOPBACK: Final = ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:9"]
STRANGE: Final = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil@localhost", "a b"]


@pytest.mark.parametrize(
    ("settings", "answered", "refused"),
    [
        ({}, LOOPBACK, [*STRANGE, "10.0.0.1", "[::2]", "", ":80", "localhost:x", "[localhost", "l\xf6"]),
        ({"host": "chat.internal"}, [*LOOPBACK, "chat.internal", "10.0.0.1", "[fe80::1]:80"], STRANGE),
        ({"host": "0.0.0.0"}, [*LOOPBACK, "0.0.0.0", "192.168.1.7:11435"], STRANGE),
        ({"host": "127.0.0.2"}, [*LOOPBACK, "127.0.0.2"], [*STRANGE, "10.0.0.1"]),
        (
            {"allowed_hosts": "Chat.example, ::7"},
            [*LOOPBACK, "chat.example:8", "[0::7]"],
            [*STRANGE, "10.0.0.1"],
        ),
        ({"allowed_hosts": "chat.example", "host": "::"}, ["chat.example", "10.0.0.1"], ["localhost"]),
        ({"allowed_hosts": "*"}, [*LOOPBACK, "evil.example", ""], []),
    ],
    ids=str,
)
async def test_only_known_host_names_are_answered(
    serve: Serve, settings: Mapping[str, Any], answered: list[str], refused: list[str]
) -> None:
    client = await serve(**settings)
    with matrix() as cases:
        for host in answered:
            cases.expect((200, ""), await asked(client, "GET", SESSIONS, headers={"Host": host}), host)
        for host in refused:
            got = await asked(client, "GET", SESSIONS, headers={"Host": host})
            cases.expect((403, "host_not_allowed"), got, host)


async def test_another_host_name_cannot_tell_what_is_missing(client: Client) -> None:
    with matrix() as cases:
        for path in ("/nothing", "/api", f"{SESSIONS}/x/y/z"):
            for method in ("GET", "PROPFIND", "OPTIONS"):
                status, _ = await asked(client, method, path, headers={"Host": "evil.example"})
                cases.expect(403, status, method, path)


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: evil.example\r\n"], ids=["none", "two"])
async def test_a_request_names_one_host(serve: Serve, hosts: bytes) -> None:
    raw = b"GET %s HTTP/1.1\r\n%sConnection: close\r\n\r\n" % (SESSIONS.encode(), hosts)
    assert (await exchange(await serve(), raw)).status in {400, 403}


# -- the page's origin


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


async def test_a_page_of_the_same_host_may_change_things(client: Client) -> None:
    """Its scheme does not count, because TLS may end at a proxy."""
    with matrix() as cases:
        for origin, host in SAME:
            headers = {"Origin": origin, "Host": host}
            cases.expect((201, ""), await asked(client, "POST", SESSIONS, headers=headers), origin, host)


async def test_a_page_of_another_host_may_do_nothing(client: Client) -> None:
    """What it loads it cannot read, but it can tell how long that took."""
    with matrix() as cases:
        for origin, host in OTHER:
            headers = {"Origin": origin, "Host": host}
            for method in ("GET", "POST"):
                got = await asked(client, method, SESSIONS, headers=headers)
                cases.expect((403, "origin_not_allowed"), got, method, origin, host)
    assert (await client.call("GET", SESSIONS))["sessions"] == []


async def test_a_page_of_this_server_is_known_behind_a_proxy_that_changes_the_host(client: Client) -> None:
    """Pages elsewhere can send neither header; browsers ask first whether they may."""
    page, host = "https://chat.example", "127.0.0.1:11435"
    ways = [
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"X-Forwarded-Host": "chat.example"}, 201),
        ({"X-Forwarded-Host": "chat.example, inner.example"}, 201),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"X-Forwarded-Host": "other.example"}, 403),
        ({"X-Forwarded-Host": ""}, 403),
        ({}, 403),
    ]
    with matrix() as cases:
        for more, status in ways:
            got = await asked(client, "POST", SESSIONS, headers={"Origin": page, "Host": host, **more})
            cases.expect(status, got[0], more)
        rebound = {"Origin": page, "Host": "chat.example", "Sec-Fetch-Site": "same-origin"}
        cases.expect(
            (403, "host_not_allowed"), await asked(client, "POST", SESSIONS, headers=rebound), "rebound"
        )
    ask_first = {"Origin": page, "Host": host, "Access-Control-Request-Method": "POST"}
    for name in ("x-forwarded-host", "sec-fetch-site"):
        headers = {**ask_first, "Access-Control-Request-Headers": name}
        assert (await asked(client, "OPTIONS", SESSIONS, headers=headers))[0] == 403


# What a browser says of a request that a page on another origin makes without CORS: an image, a link, a form.
ELSEWHERE: Final = ["cross-site", "same-site", "", "a site of some future kind"]


async def test_a_request_of_a_page_elsewhere_is_refused_where_its_time_would_tell_something(
    client: Client,
) -> None:
    session = await client.new_session()
    with matrix() as cases:
        for site in ELSEWHERE:
            headers = {"Sec-Fetch-Site": site}
            for path in (SESSIONS, f"{SESSIONS}?q=secret", f"{SESSIONS}/{session}", "/metrics", "/readyz"):
                got = await asked(client, "GET", path, headers=headers)
                cases.expect((403, "origin_not_allowed"), got, path, site)
            for path in ("/", "/docs", "/static/page/page.js", "/openapi.json", "/healthz"):
                cases.expect((200, ""), await asked(client, "GET", path, headers=headers), path, site)
        for site in ("same-origin", "none"):
            got = await asked(client, "GET", SESSIONS, headers={"Sec-Fetch-Site": site})
            cases.expect((200, ""), got, site)


async def test_a_page_elsewhere_is_refused_before_anything_is_read(serve: Serve) -> None:
    """Not even the token or the database makes a difference to the time that it takes."""
    client = await serve(api_token="correct-horse-battery", trusted_user_header="X-User")
    for path in (f"{SESSIONS}?q=secret", f"{SESSIONS}/none", "/nothing"):
        got = await asked(client, "GET", path, headers={"Sec-Fetch-Site": "cross-site"})
        assert got == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    ("origin", "status"), [("https://chat.example", 200), ("https://evil.example", 403), (None, 403)]
)
async def test_a_page_elsewhere_may_fetch_if_cors_origins_names_it(
    serve: Serve, origin: str | None, status: int
) -> None:
    """Browsers name the origin of what they fetch with CORS, and leave it out for what a page only loads."""
    client = await serve(cors_origins=("https://chat.example",))
    headers = {"Sec-Fetch-Site": "cross-site"} | ({} if origin is None else {"Origin": origin})
    assert (await asked(client, "GET", SESSIONS, headers=headers))[0] == status


async def test_an_empty_host_is_not_the_origin_of_a_page_without_one(serve: Serve) -> None:
    client = await serve(allowed_hosts=("*",))
    headers = {"Origin": "null", "Host": ""}
    assert await asked(client, "POST", SESSIONS, headers=headers) == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    ("allowed", "origin", "status"),
    [
        ("https://chat.example", "https://chat.example", 201),
        ("https://chat.example", "https://chat.example:444", 403),
        ("*", "https://chat.example", 201),
        ("*", "null", 201),
    ],
)
async def test_a_page_that_cors_origins_names_may_change_things(
    serve: Serve, allowed: str, origin: str, status: int
) -> None:
    client = await serve(cors_origins=(allowed,))
    assert (await asked(client, "POST", SESSIONS, headers={"Origin": origin}))[0] == status


async def test_a_client_that_is_not_a_page_sends_no_origin(client: Client) -> None:
    assert await asked(client, "POST", SESSIONS) == (201, "")


# -- bodies


async def test_a_second_content_encoding_counts_too(serve: Serve) -> None:
    raw = b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s\r\n" % (
        SESSIONS.encode(),
        b"Content-Encoding: identity\r\n",
        b"Content-Encoding: gzip\r\n",
    )
    assert (await exchange(await serve(), raw)).status == 415


async def test_a_body_that_aiohttp_has_unpacked_is_refused(start: Start, config: Config) -> None:
    server = await start(create_app(config), auto_decompress=True)
    packed = {"data": gzip.compress(b'{"title": "a"}'), "headers": {"Content-Encoding": "gzip"}}
    assert await asked(server.client, "POST", SESSIONS, **packed) == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/json"])
async def test_a_type_that_any_page_may_send_is_not_taken_for_json(client: Client, kind: str) -> None:
    headers = {"Content-Type": kind}
    got = await asked(client, "POST", SESSIONS, headers=headers, data=b'{"title": "Forged"}')
    assert got == (415, "unsupported_media_type")


# -- responses


async def headers_of(client: Client, method: str, path: str, **more: Any) -> Mapping[str, str]:
    async with client.http.request(method, client.url(path), allow_redirects=False, **more) as response:
        await response.read()
        return response.headers


async def test_no_response_can_be_shown_as_a_page(client: Client) -> None:
    session = await client.new_session()
    answer = (await client.ask(session)).answer_id
    text = {"title": "evil.html", "text": "<script>alert(1)</script>"}
    document = (await client.call("POST", "/api/documents", status=201, json=text))["id"]
    with matrix() as cases:
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
            headers = await headers_of(client, method, path)
            cases.expect("nosniff", headers.get("X-Content-Type-Options"), method, path)
            cases.expect("no-referrer", headers.get("Referrer-Policy"), method, path)
            policy, kind = headers.get("Content-Security-Policy", ""), headers["Content-Type"]
            cases.check("default-src 'none'" in policy, policy, method, path)
            cases.check("html" not in kind, kind, method, path)
            cases.expect("same-origin", headers.get("Cross-Origin-Resource-Policy"), method, path)
            kept = "no-store, no-transform" if path.endswith("/stream") else "no-store"
            cases.expect(kept, headers.get("Cache-Control"), method, path)


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_load_nothing_from_elsewhere(client: Client, path: str) -> None:
    headers = await headers_of(client, "GET", path)
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]


OUTSIDE: Final = [
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
]


async def test_no_path_leads_out_of_the_static_folder(client: Client) -> None:
    prefix = client.base.partition("//")[2].partition("/")[2]
    with matrix() as cases:
        for path in OUTSIDE:
            raw = request("GET", f"/{prefix}{path}" if prefix else path, {"Connection": "close"})
            reply = await exchange(client, raw)
            cases.expect(404, reply.status, path)
            read = any(content in reply.body for content in (b"create_app", b"root:"))
            cases.check(not read, reply.body, path)


BREAKS: Final = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\u2028X-Evil: 1", 'a"; X-Evil=1', "\x00"]


async def test_no_title_adds_a_header(client: Client) -> None:
    with matrix() as cases:
        for title in BREAKS:
            session = await client.new_session(title=title)
            headers = await headers_of(client, "GET", f"{SESSIONS}/{session}/export")
            named = headers["Content-Disposition"]
            plain = named.startswith('attachment; filename="') and named.count('"') == 2
            cases.check(plain and "X-Evil" not in headers, named, repr(title))


@pytest.mark.parametrize("query", ["%0d%0aX-Evil:%201", "//evil.example", "\\evil.example"])
async def test_the_redirect_to_the_page_leads_nowhere_else(serve: Serve, query: str) -> None:
    headers = await headers_of(await serve(PREFIX), "GET", f"?{query}")
    assert "X-Evil" not in headers
    assert headers["Location"].startswith("./y/?")


async def test_neither_a_redirect_of_ollama_nor_a_proxy_variable_is_followed(
    serve: Serve, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeOllama() as elsewhere:
        monkeypatch.setenv("HTTP_PROXY", elsewhere.url)
        monkeypatch.setenv("http_proxy", elsewhere.url)
        for path in ("/api/chat", "/api/tags", "/api/version"):
            fake.instead[path] = Script(status=307, headers={"Location": f"{elsewhere.url}{path}"})
        fake.script = Script(status=307, headers={"Location": f"{elsewhere.url}/api/chat"})
        client = await serve()
        await client.call("GET", "/readyz")
        await client.call("GET", "/api/models", status=502)
        refusal = await client.send(await client.new_session(), status=502)
        assert refusal["code"] == "upstream_error"
        assert not elsewhere.calls
        assert fake.calls["/api/chat"] == 1
