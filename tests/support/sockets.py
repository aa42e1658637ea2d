"""Requests that no HTTP client would send, and readers that do not read, over plain sockets.

    reply = await exchange(client, request("GET", "/", {"Connection": "close"}))
    with unread(client, request("GET", "/api/models")) as connection:
        ...                              # the server has an answer for it, which stays unread

`request` makes the bytes of a request that is in order; a test may write any others itself.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass

from chat_client import Client
from yarl import URL


@dataclass(frozen=True)
class Reply:
    """One response, as it came over the socket."""

    status: int
    head: str
    body: bytes

    @property
    def code(self) -> str:
        """The error code of its JSON body; empty if there is none."""
        with suppress(ValueError):
            return str(json.loads(self.body).get("code", ""))
        return ""


def address(client: Client) -> tuple[str, int]:
    url = URL(client.base)
    assert url.host is not None
    assert url.port is not None
    return url.host, url.port


@asynccontextmanager
async def opened(client: Client) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address(client))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(client: Client, request: bytes) -> Reply:
    """Send these bytes, and read one response up to where the server closes the connection.

    The request has to ask for that, with `Connection: close`, unless it is one that is refused unread.
    """
    async with opened(client) as (reader, writer), asyncio.timeout(10):
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return Reply(int(head.split()[1]), head.decode("latin-1"), body)


@contextmanager
def unread(client: Client, request: bytes = b"", room: int = 4096) -> Iterator[socket.socket]:
    """Send these bytes and read nothing of the response; the receive window is small, and fills up soon."""
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        connection.connect(address(client))
        connection.sendall(request)
        connection.setblocking(False)
        yield connection


def request(method: str, path: str, headers: Mapping[str, str] | None = None, body: object = None) -> bytes:
    """Return the bytes of an HTTP/1.1 request, with a JSON body if there is one."""
    fields = {"Host": "localhost"} | dict(headers or {})
    data = b""
    if body is not None:
        data = json.dumps(body).encode()
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data
