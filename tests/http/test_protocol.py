"""What aiohttp itself reads and refuses, before any handler: JSON as in docs/api.md, which quotes nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product
from typing import Final

import aiohttp
import pytest
from aiohttp.http_exceptions import HttpProcessingError
from chat_client import Client, Serve
from matrix import matrix
from sockets import exchange, opened, request
from yarl import URL

from chatproxy import Config, create_app
from chatproxy.command.server import listening
from chatproxy.web.middleware import SECURITY_HEADERS

POST: Final = b"POST /api/chat/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    """A client of the server that the command runs."""
    async with listening(create_app(replace(config, port=0))) as url, aiohttp.ClientSession() as http:
        yield Client(http, url)


@pytest.mark.parametrize(
    "bytes_",
    [
        b"secret\r\n\r\n",
        b"GET http://secret:99999/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"secret" * 2000 + b"\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n",
        b"PROPFIND / HTTP/1.1\r\nHost: localhost\r\nExpect: secret\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nExpect: secret\xff\r\n\r\n",
    ],
    ids=["line", "address", "header", "long header", "chunk", "no route", "no route and no text"],
)
async def test_bytes_that_are_not_a_request_are_malformed(client: Client, bytes_: bytes) -> None:
    reply = await exchange(client, bytes_)
    assert (reply.status, reply.code) == (400, "malformed")
    expected = {"Content-Type: application/json", *map(": ".join, SECURITY_HEADERS.items())}
    assert expected <= set(reply.head.split("\r\n"))
    assert json.loads(reply.body).keys() == {"error", "code"}
    assert "secret" not in reply.head
    assert b"secret" not in reply.body


# Headers that aiohttp, aiohttp-cors or chatproxy read, and one that nothing reads.
READ: Final = [
    *("Host", "Origin", "Expect", "Authorization", "Content-Type", "Content-Encoding", "Content-Disposition"),
    *("Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Sec-WebSocket-Key", "Keep-Alive"),
    *("Accept", "Accept-Encoding", "Cookie", "Range", "If-Range", "If-Match", "If-None-Match"),
    *("If-Modified-Since", "If-Unmodified-Since", "Last-Event-ID", "X-Request-Id", "Sec-Fetch-Site"),
    *("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Referer", "X-Other"),
    *("Access-Control-Request-Method", "Access-Control-Request-Headers"),
]
STRANGE: Final = [
    b"",
    b"\xff",
    "ü".encode(),
    b"100-continue\xff",
    b"bytes=\xff-",
    b"application/json; charset=\xff",
    b"multipart/form-data; boundary=\xff",
    b"a\x01b",
    b"\x7f",
    b'"',
    b",,,",
    b"-1",
    b"a" * 8000,
]
PATHS: Final = ["/", "/static/page/page.js", "/nothing", "/api/chat/sessions", "/api/documents", "/metrics"]


@pytest.fixture(params=["command", "mounted"])
async def anywhere(request: pytest.FixtureRequest, config: Config, serve: Serve) -> AsyncIterator[Client]:
    """A client of the command, and of another application."""
    if request.param == "mounted":
        yield await serve("/x/y")
        return
    async with listening(create_app(replace(config, port=0))) as url, aiohttp.ClientSession() as http:
        yield Client(http, url)


@pytest.mark.slow
async def test_no_value_of_any_header_is_a_fault(anywhere: Client, caplog: pytest.LogCaptureFixture) -> None:
    """It is ignored or refused as JSON; nothing fails, and so nothing is logged with a traceback."""
    prefix = URL(anywhere.base).path.rstrip("/")
    with matrix() as cases:
        for method, path in product(("GET", "POST", "OPTIONS"), PATHS):
            for name, value in product(READ, STRANGE):
                fields = {"Host": b"localhost", "Connection": b"close", "Content-Type": b"application/json"}
                head = b"".join(
                    b"%b: %b\r\n" % (each.encode(), content)
                    for each, content in (fields | {name: value}).items()
                )
                start = f"{method} {prefix}{path} HTTP/1.1\r\n".encode()
                async with opened(anywhere) as (reader, writer), asyncio.timeout(10):
                    writer.write(start + head + b"\r\n")
                    status = int((await reader.readline()).split()[1])
                cases.check(status < 500, status, method, path, name, value[:40])
                faults = [each.exc_info[1] for each in caplog.records if each.exc_info]
                bad = [each for each in faults if not isinstance(each, HttpProcessingError)]
                cases.check(not bad, bad, method, path, name, value[:40])
                caplog.clear()


@pytest.mark.parametrize("expectation", [b"secret", b"\xff", b"100-continue\xff"])
async def test_an_expectation_is_looked_at_after_the_host(anywhere: Client, expectation: bytes) -> None:
    path = f"{URL(anywhere.base).path.rstrip('/')}/api/chat/sessions".encode()
    for host, refusal in ((b"evil.example", (403, "host_not_allowed")), (b"localhost", (400, "malformed"))):
        head = b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\nExpect: %b\r\n\r\n"
        reply = await exchange(anywhere, head % (path, host, expectation))
        assert (reply.status, reply.code) == refusal
        assert set(map(": ".join, SECURITY_HEADERS.items())) <= set(reply.head.split("\r\n"))
        assert b"secret" not in reply.body


async def test_a_body_is_asked_for_if_the_client_waits_for_that(client: Client) -> None:
    head = request("POST", "/api/chat/sessions", {"Expect": "100-Continue", "Content-Length": "2"})
    async with opened(client) as (reader, writer), asyncio.timeout(10):
        writer.write(head.replace(b"\r\n\r\n", b"\r\nContent-Type: application/json\r\n\r\n"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
