"""The reader and the sender that all others are against, and how long chatproxy kept them waiting.

`python -m faults.attacks.victims URL USER`. After `go` they begin, after another one they end, and print what
they saw. What is under way then is waited for, but not for longer than PATIENCE, and counts with the time
that it has taken.
"""

import asyncio
import json
import sys
from itertools import count
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from benchmarks.speed.load import StreamReader, Tally
from faults.attacks.child import next_go, ready
from faults.attacks.database import VICTIM_SESSIONS

USER: Final = "X-User"
STREAMS: Final = 2
PACE: Final = 0.1  # seconds between two messages, whether the one before was answered or not
MODELS: Final = ("auto", "quick")  # in turns
PATIENCE: Final = 12  # seconds
CONNECTIONS: Final = 40  # that are open before


class Reader(StreamReader):
    """Reads one answer; `latest` is when the last token that it has was sent, by the monotonic clock."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        super().__init__(request, tally)
        self.tally = tally
        self.latest = 0.0

    def data_received(self, data: bytes) -> None:
        before = len(self.tally.delays)
        super().data_received(data)
        if len(self.tally.delays) > before:
            self.latest = monotonic() - self.tally.delays[-1] / 1e6


class Sender:
    """Sends short messages, each in a session that is free."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.waits: list[float] = []  # seconds from request to `start`
        self.errors: list[str] = []
        self._http = http
        self._url = url
        self._free = [f"victim-{number}" for number in range(STREAMS, VICTIM_SESSIONS)]

    async def send(self, model: str) -> None:
        session, asked, begun = self._free.pop(0), monotonic(), False
        path = f"{self._url}/api/chat/sessions/{session}/messages/stream"
        try:
            async with self._http.post(path, json={"message": "quick", "model": model}) as response:
                async for line in response.content:
                    if b'"type":"start"' in line and not begun:
                        begun = True
                        self.waits.append(monotonic() - asked)
                if response.status != 200:
                    self.errors.append(f"{response.status}")
        except aiohttp.ClientError as error:
            self.errors.append(type(error).__name__)
        except asyncio.CancelledError:
            self.errors.append("no end")
            raise
        finally:
            if not begun:
                self.waits.append(monotonic() - asked)
        self._free.append(session)


async def main(url: str, user: str) -> None:
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=600)
    async with aiohttp.ClientSession(headers={USER: user}, timeout=timeout, connector=connector) as http:
        await asyncio.gather(*[_visit(http, url) for _ in range(CONNECTIONS)])
        tally = Tally()
        readers = [await _reader(url, number, user, tally) for number in range(STREAMS)]
        sender = Sender(http, url)
        await ready()
        tally.begin()
        stop = asyncio.create_task(next_go())
        began, sends = monotonic(), []
        for number in count():
            await asyncio.wait([stop], timeout=max(0.0, began + number * PACE - monotonic()))
            if stop.done():
                break
            sends.append(asyncio.create_task(sender.send(MODELS[number % len(MODELS)])))
        await _finish(sends, readers)
    delays = [each / 1e6 for each in tally.delays]
    errors = sender.errors + ["a stream ended" for each in readers if each.ended.done()]
    print(json.dumps({"delays": delays, "waits": sender.waits, "errors": errors}))


async def _visit(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(f"{url}/readyz") as response:
        await response.read()


async def _reader(url: str, number: int, user: str, tally: Tally) -> Reader:
    """Ask for an answer in a session of that number, and return once it has begun."""
    body = b'{"message":"steady","model":"steady"}'
    path = f"/api/chat/sessions/victim-{number}/messages/stream"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{USER}: {user}\r\nContent-Type: application/json\r\n"
    reader = Reader(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body), tally)
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: reader, address.hostname or "", address.port or 0)
    await reader.started
    return reader


async def _finish(sends: list["asyncio.Task[None]"], readers: list[Reader]) -> None:
    """Wait until every send has ended and every reader has had a token that was sent after this call."""
    now = monotonic()
    if sends:
        await asyncio.wait(sends, timeout=PATIENCE)
    for send in sends:
        send.cancel()
    await asyncio.gather(*sends, return_exceptions=True)
    for reader in readers:
        while reader.latest < now and monotonic() < now + PATIENCE:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        if reader.latest < now:
            reader.tally.delays.append(int((monotonic() - reader.latest) * 1e6))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
