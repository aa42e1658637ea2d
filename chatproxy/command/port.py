"""The port to listen on: why it cannot be had, and whether a chatproxy has it."""

import asyncio
import re
from contextlib import closing
from errno import EADDRINUSE
from typing import Final

from chatproxy.errors import StartError
from chatproxy.system.process import shows_listener
from chatproxy.values import is_ip

PATIENCE: Final = 2.0  # seconds for an answer of what listens there
_HEALTH: Final = re.compile(rb'"status": ?"alive", ?"version": ?"([\w.+-]{1,40})"')
_UNSPECIFIED: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


async def check_port(host: str, port: int) -> None:
    """Raise StartError if a server could not listen there. Nothing can connect meanwhile."""
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
    except OSError as error:
        raise await cannot_listen(host, port, error) from error
    server.close()


async def cannot_listen(host: str, port: int, error: OSError) -> StartError:
    """Return why a server cannot listen there, with what to do."""
    remedy = "free it, or choose another with HOST and PORT"
    if error.errno == EADDRINUSE:
        if version := await version_of_chatproxy(host, port):
            remedy = f"chatproxy {version} listens there; stop that one, or choose another PORT"
        else:
            remedy = f"`{shows_listener(port)}` shows what listens there; stop that, or choose another PORT"
    return StartError(f"Cannot listen on {host} at port {port} ({error.strerror}): {remedy}.")


async def version_of_chatproxy(host: str, port: int) -> str | None:
    """Return the version of the chatproxy that listens there; None if none does."""
    host = _UNSPECIFIED.get(host, host)
    name = f"[{host}]" if is_ip(host) and ":" in host else host
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            with closing(writer):
                head = f"GET /healthz HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode())
                found = _HEALTH.search(await reader.read(4096))
    except (OSError, TimeoutError):
        return None
    return found[1].decode() if found else None
