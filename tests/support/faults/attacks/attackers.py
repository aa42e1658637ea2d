"""Sixteen ways to keep a server busy.

`python -m faults.attacks.attackers NAME URL USER ROUND SECONDS`. After `go` it attacks for that long, then
prints how often it was answered with what. In each round, others of the prepared sessions are used up.
"""

import asyncio
import base64
import io
import json
import os
import random
import resource
import socket
import sys
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp

from faults.attacks.child import ready
from faults.attacks.database import ANSWERS, first_id, long_sessions, words
from faults.attacks.victims import USER

MOST: Final = 16 * 1024**2 - 1024  # bytes of a body
IDLE: Final = 3700  # connections, of chatproxy's 4,096
REFUSED: Final = 0.1  # seconds until a refused request is repeated
PI: Final = "3.14159265358979323846264338327950288419716939937510"


class Attacker:
    """One user, with as many connections as it likes."""

    def __init__(self, http: aiohttp.ClientSession, url: str, user: str, round_: int) -> None:
        self.http = http
        self.url = url
        self.user = user
        self.round = round_
        self.seen: Counter[str] = Counter()

    async def call(self, method: str, path: str, **more: Any) -> Any:
        """Return the JSON of a response, and count its status."""
        self.seen["asked"] += 1
        try:
            async with self.http.request(method, self.url + path, **more) as response:
                self.seen[str(response.status)] += 1
                text = await response.read()
                if response.status >= 500:
                    await asyncio.sleep(REFUSED)
                return json.loads(text) if text.startswith(b"{") else None
        except aiohttp.ClientError:
            self.seen["broken"] += 1
            await asyncio.sleep(REFUSED)
            return None

    async def session(self, **fields: object) -> str:
        """Return a new session's id."""
        made = None
        while made is None or "id" not in made:
            made = await self.call("POST", "/api/chat/sessions", json=fields)
        return str(made["id"])

    async def send(self, session: str, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        path = f"/api/chat/sessions/{session}/messages"
        return await self.call("POST", path, data=body, headers=headers)

    @asynccontextmanager
    async def raw(self, head: str, *fields: str, buffer: int = 0) -> AsyncIterator[socket.socket]:
        """Open a connection and send the head of a request; `buffer` limits what it receives unread."""
        loop, address = asyncio.get_running_loop(), urlsplit(self.url)
        with closing(socket.socket()) as connection:
            if buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            connection.setblocking(False)
            await loop.sock_connect(connection, (address.hostname, address.port))
            lines = [f"{head} HTTP/1.1", "Host: localhost", f"{USER}: {self.user}", *fields, "", ""]
            await loop.sock_sendall(connection, "\r\n".join(lines).encode())
            yield connection

    async def read_slowly(self, path: str) -> None:
        """Read a response at 16 KiB a second, and then the next one."""
        with suppress(OSError):
            async with self.raw(f"GET {path}", buffer=4096) as connection:
                self.seen["slow"] += 1
                while await asyncio.get_running_loop().sock_recv(connection, 4096):  # noqa: ASYNC110
                    await asyncio.sleep(0.25)
        await asyncio.sleep(0.1)


Attack = Callable[[Attacker], Awaitable[None]]
ATTACKS: Final[dict[str, tuple[str, Attack]]] = {}


def attack(name: str, about: str) -> Callable[[Attack], Attack]:
    """Register an attack; `name` is the user's too."""

    def register(run: Attack) -> Attack:
        ATTACKS[name] = (about, run)
        return run

    return register


async def again(number: int, act: Callable[[], Awaitable[object]], pause: float = 0.0) -> None:
    """Do something again and again, that many times at once."""

    async def forever() -> None:
        while True:
            await act()
            await asyncio.sleep(pause)

    await asyncio.gather(*[forever() for _ in range(number)])


def _message(text: str, **fields: object) -> dict[str, object]:
    return {"message": text, "model": "attacked", **fields}


def _body(text: str, **fields: object) -> bytes:
    return json.dumps(_message(text, **fields), separators=(",", ":")).encode()


@attack("empty-images", "sends with 300,000 empty images")
async def empty_images(attacker: Attacker) -> None:
    body = _body("quick", images=[""] * 300_000)

    async def act() -> None:
        await attacker.send(await attacker.session(), body)

    await again(2, act)


@attack("images", "sends with 12 MB of images")
async def images(attacker: Attacker) -> None:
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + os.urandom(2_250_000)).decode()
    body = _body("quick", images=[picture] * 4)

    async def act() -> None:
        session = await attacker.session()
        for _ in range(4):
            await attacker.send(session, body)

    await again(1, act)


@attack("options", "sends with 16 MB of `{},` in `options`")
async def options(attacker: Attacker) -> None:
    begin, end = _body("quick", options={"stop": [{}]}).split(b"{}]")
    body = begin + b"{}," * ((MOST - len(begin)) // 3) + b"{}]" + end
    session = await attacker.session()
    await again(2, lambda: attacker.send(session, body))


@attack("systems", "system prompts of 16 MB, and lists of their sessions")
async def systems(attacker: Attacker) -> None:
    system = "s" * (MOST - 100)

    async def act() -> None:
        await attacker.call("POST", "/api/chat/sessions", json={"system": system})
        await attacker.call("GET", "/api/chat/sessions")

    await again(1, act)


@attack("pages", "20 pages and exports of 500 long messages, read slowly")
async def pages(attacker: Attacker) -> None:
    path = "/api/chat/sessions/pages"
    await asyncio.gather(
        again(10, lambda: attacker.read_slowly(f"{path}/messages?limit=500")),
        again(10, lambda: attacker.read_slowly(f"{path}/export")),
    )


@attack("answers", "100 slow readers of stored answers of 4 MB")
async def answers(attacker: Attacker) -> None:
    ids = [first_id("answers", 0) + 1 + 2 * number for number in range(ANSWERS)]
    paths = [f"/api/chat/sessions/answers/messages/{number}/stream" for number in (ids * 4)[:100]]
    paths[50:] = paths[:1] * 50
    await asyncio.gather(*[_keep_reading(attacker, path) for path in paths])


async def _keep_reading(attacker: Attacker, path: str) -> None:
    await again(1, lambda: attacker.read_slowly(path))


@attack("flood", "answers as fast as the model can, and cancels")
async def flood(attacker: Attacker) -> None:
    body = _body("flood")

    async def act() -> None:
        session = await attacker.session()
        sending = asyncio.create_task(attacker.send(session, body))
        await asyncio.wait([sending], timeout=2)
        found = await attacker.call("GET", f"/api/chat/sessions/{session}")
        if found and found.get("activeMessageId"):
            path = f"/api/chat/sessions/{session}/messages/{found['activeMessageId']}/cancel"
            await attacker.call("POST", path)
        await sending

    await again(2, act)


@attack("searches", "20 abandoned searches a second in 140 MB")
async def searches(attacker: Attacker) -> None:
    path = f"/api/chat/sessions?q={quote('a b c d e f')}"

    async def act() -> None:
        with suppress(OSError):
            async with attacker.raw(f"GET {path}"):
                attacker.seen["abandoned"] += 1
                await asyncio.sleep(0.05)

    await again(10, act, pause=0.45)


@attack("deleted", "deletions of sessions of 20,000 messages")
async def deletions(attacker: Attacker) -> None:
    for number in long_sessions(attacker.round):
        await attacker.call("DELETE", f"/api/chat/sessions/deleted-{number}")
    await asyncio.Event().wait()


@attack("uploads", "ten uploads at once: π, floats, bombs")
async def uploads(attacker: Attacker) -> None:
    rows = random.Random(1)
    files = [
        ("pi.txt", (words(700) + f"\n{PI}\n" + words(700)).encode()),
        ("floats.txt", "\n".join(f"{rows.random()}" for _ in range(100_000)).encode()),
        ("bomb.docx", _bomb()),
        ("words.txt", words(2_000_000).encode()),
    ]
    turns = iter(range(10**9))

    async def act() -> None:
        number = next(turns)
        name, content = files[number % len(files)]
        form = aiohttp.FormData()
        form.add_field("file", content + b" " * (number if name.endswith("txt") else 0), filename=name)
        await attacker.call("POST", "/api/documents", data=form)

    await again(10, act, pause=0.2)


def _bomb() -> bytes:
    """Return a DOCX whose text unfolds to 200 MB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
        packed.writestr("word/document.xml", b" " * 200_000_000)
    return file.getvalue()


@attack("hanging", "60 models, one of which never says what it can do")
async def hanging(attacker: Attacker) -> None:
    async def act() -> None:
        await attacker.send(await attacker.session(), _body("quick", model="auto"))

    await again(10, act, pause=0.5)


@attack("halves", "100 connections with half a body of 16 MB")
async def halves(attacker: Attacker) -> None:
    session = await attacker.session()
    fields = ["Content-Type: application/json", f"Content-Length: {MOST}"]
    part = b'{"message":"' + b"x" * 15_000_000

    async def act() -> None:
        with suppress(OSError):
            head = f"POST /api/chat/sessions/{session}/messages"
            async with attacker.raw(head, *fields) as connection:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(connection, part)
                attacker.seen["halves"] += 1
                await loop.sock_recv(connection, 1)
                attacker.seen["closed"] += 1

    await again(100, act, pause=1)


@attack("idle", "3,700 idle connections")
async def idle(attacker: Attacker) -> None:
    address = urlsplit(attacker.url)

    async def act() -> None:
        await asyncio.sleep(random.random())
        with suppress(OSError), closing(socket.socket()) as connection:
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, (address.hostname, address.port))
            attacker.seen["opened"] += 1
            await loop.sock_recv(connection, 1)

    await again(IDLE, act)


@attack("liar", "`prompt_eval_count` of 2^60, for the model that the sender uses")
async def liar(attacker: Attacker) -> None:
    session = await attacker.session()
    await again(1, lambda: attacker.send(session, _body("liar", model="auto")), pause=0.5)


@attack("documents", "searches in a document of 10 MB")
async def documents(attacker: Attacker) -> None:
    found = await attacker.call("GET", "/api/documents")
    number = max(document["id"] for document in found["documents"] if document["title"] == "long.txt")
    path = f"/api/documents/{number}/search?q={quote(words(500))}"
    await again(8, lambda: attacker.call("GET", path))


@attack("replaced", "replacements of the first of 20,000 messages")
async def replacements(attacker: Attacker) -> None:
    for number in long_sessions(attacker.round):
        body = _body("quick", replaces=first_id("replaced", number))
        await attacker.send(f"replaced-{number}", body)
    await asyncio.Event().wait()


async def main(name: str, url: str, user: str, round_: str, seconds: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    timeout, connector = aiohttp.ClientTimeout(total=None), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers={USER: user}, timeout=timeout, connector=connector) as http:
        attacker = Attacker(http, url, user, int(round_))
        await ready()
        with suppress(TimeoutError):
            async with asyncio.timeout(float(seconds)):
                await ATTACKS[name][1](attacker)
        print(json.dumps(attacker.seen), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
