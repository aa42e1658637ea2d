"""What aiohttp itself refuses, before any handler: JSON as in docs/api.md, which quotes nothing."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import aiohttp
import pytest
from chat_client import Client
from sockets import exchange

from chatproxy import Config
from chatproxy.command.server import listening
from chatproxy.web.middleware import SECURITY_HEADERS

POST: Final = b"POST /api/chat/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    """A client of the server that the command runs."""
    async with listening(replace(config, port=0)) as url, aiohttp.ClientSession() as http:
        yield Client(http, url)


@pytest.mark.parametrize(
    "bytes_",
    [
        b"secret\r\n\r\n",
        b"GET http://secret:99999/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"secret" * 2000 + b"\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n",
        POST + b"Expect: secret\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /not/there HTTP/1.1\r\nHost: localhost\r\nExpect: secret\r\n\r\n",
    ],
    ids=["line", "address", "header", "long header", "chunk", "expectation", "expectation of nothing there"],
)
async def test_bytes_that_are_not_a_request_are_malformed(client: Client, bytes_: bytes) -> None:
    reply = await exchange(client, bytes_)
    assert (reply.status, reply.code) == (400, "malformed")
    expected = {"Content-Type: application/json", *map(": ".join, SECURITY_HEADERS.items())}
    assert expected <= set(reply.head.split("\r\n"))
    assert json.loads(reply.body).keys() == {"error", "code"}
    assert "secret" not in reply.head
    assert b"secret" not in reply.body
