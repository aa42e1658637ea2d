"""What aiohttp refuses itself, before any handler is asked: JSON of docs/api.md, and nothing quoted."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import pytest

from chatproxy import Config
from chatproxy.command.server import listening
from chatproxy.web.middleware import SECURITY_HEADERS

POST: Final = b"POST /api/chat/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def port(config: Config) -> AsyncIterator[int]:
    """Of the server that the command runs."""
    async with listening(replace(config, port=0)) as url:
        yield int(url.rpartition(":")[2])


@pytest.mark.parametrize(
    "request_",
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
async def test_bytes_that_are_not_a_request_are_malformed(port: int, request_: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.decode().partition("\r\n\r\n")
    status, *headers = head.split("\r\n")
    assert status.split()[1] == "400"
    assert {"Content-Type: application/json", *map(": ".join, SECURITY_HEADERS.items())} <= {*headers}
    assert json.loads(body).keys() == {"error", "code"}
    assert json.loads(body)["code"] == "malformed"
    assert "secret" not in answer.decode()
