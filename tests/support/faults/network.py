"""Faults of the connections: between chatproxy and Ollama, and between a reader and chatproxy."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp
from chat_client import Client
from fake_ollama import FakeOllama, Script, answer

from faults.link import CLEAN, End, Fault, Link
from faults.load import Talker, Turn, check, paced
from faults.place import orderly
from faults.tally import Tally

LANES: Final = 4  # at once
SHORT: Final = {"thinking": "Hm,\r\n ok. ", "chunk": "Né 😀\u2028漢字."}
SLOW: Final = (Fault(latency=0.03), Fault(slices=1), Fault(rate=60_000))


def short(question: str) -> dict[str, str]:
    return SHORT


def script() -> Script:
    return Script(answer(SHORT["chunk"], thinking=SHORT["thinking"]))


def ends_of(offset: int) -> Iterator[End]:
    """Yield how the connection ends at that byte: closed, and at some bytes in two other ways too."""
    yield "close"
    if offset % 7 == 0:
        yield "reset"
        yield "half-close"


# -- between chatproxy and Ollama


async def cut_from_ollama(folder: Path, tally: Tally, step: int) -> None:
    """Cut the connection at every `step`th byte of a short answer."""
    async with FakeOllama() as fake, Link.to(fake.url, _as_it_says) as link:
        fake.script = script()
        whole = await _response(fake.url)
        plan = [(at, end) for at in range(0, len(whole) + 1, step) for end in ends_of(at)]
        plan += [(at, "blackhole") for at in range(0, len(whole), max(step, 200))]
        async with (
            orderly(folder, link.url, first_token_timeout=4, token_timeout=4) as process,
            aiohttp.ClientSession() as http,
        ):
            talkers = [Talker(Client(http, process.client.base), tally, says=short) for _ in range(LANES)]
            await asyncio.gather(
                *[_cuts(talker, plan[lane::LANES], whole) for lane, talker in enumerate(talkers)]
            )
            await check(process.client, talkers, tally)
        tally.faults += len(plan)
        assert link.broken == len(plan)
    tally.seen.append(f"{len(whole):,} bytes")


def _as_it_says(opening: bytes) -> Fault:
    found = re.findall(rb"cut (\d+) ([a-z-]+)", opening)
    return Fault(after=int(found[-1][0]), end=found[-1][1].decode()) if found else CLEAN


async def _response(url: str) -> bytes:
    """Return a response of Ollama as it is on the wire."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"model": "gemma3:270m", "messages": [{"role": "user", "content": ""}]}'
    head = (
        f"POST /api/chat HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    try:
        return await reader.read()
    finally:
        writer.close()


async def _cuts(talker: Talker, plan: list[tuple[int, End]], whole: bytes) -> None:
    complete = whole.rindex(b"}") + 1  # bytes, with which all of the last line has come
    for at, end in plan:
        turn = await talker.once(f"cut {at} {end} ")
        assert turn.end is not None
        assert end == "reset" or turn.text == _said(whole[:at], ended=end != "blackhole")
        told = turn.end.get("code", "done")
        if end == "blackhole":
            assert told == ("done" if at >= complete else "upstream_timeout")
        elif end == "reset":  # may take back what was on its way
            assert told in (("done", "upstream_incomplete") if at >= complete else ("upstream_incomplete",))
        else:
            assert told == ("done" if at >= complete else "upstream_incomplete")


def _said(response: bytes, *, ended: bool) -> dict[str, str]:
    """Return the text of the complete lines, each of which came as a chunk of its own.

    If the response has ended, the last one may lack its newline.
    """
    *lines, rest = response.split(b"\n")
    if ended and _is_json(rest):
        lines.append(rest)
    said = [json.loads(line)["message"] for line in lines if line.startswith(b"{")]
    return {
        "thinking": "".join(message.get("thinking", "") for message in said),
        "chunk": "".join(message["content"] for message in said),
    }


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.startswith(b"{")


async def slow_from_ollama(folder: Path, tally: Tally, rounds: int) -> None:
    faults = count()
    choose: Callable[[bytes], Fault] = lambda opening: SLOW[next(faults) % len(SLOW)]  # noqa: E731
    async with FakeOllama() as fake, Link.to(fake.url, choose) as link:
        fake.script = paced(0)
        async with orderly(folder, link.url) as process:
            await _talk(process.client.base, process.client, tally, rounds)


# -- between a reader and chatproxy


async def cut_from_chatproxy(folder: Path, tally: Tally, step: int) -> None:
    """Cut the response to a send at every `step`th byte, and the one that resumes it a little later."""
    async with FakeOllama() as fake:
        fake.script = script()
        async with orderly(folder, fake.url) as process:
            size = await _size(process.client)
            plan = [(at, end) for at in range(0, size + 1, step) for end in ends_of(at)]
            talkers = await asyncio.gather(
                *[_cut_reader(process.client.base, plan[lane::LANES], tally) for lane in range(LANES)]
            )
            await check(process.client, talkers, tally)
    tally.seen.append(f"{size:,} bytes")


async def _size(client: Client) -> int:
    """Return about how many bytes a response has on the wire; ids get longer."""
    session = await client.new_session()
    path = client.url(f"/api/chat/sessions/{session}/messages/stream")
    async with client.http.post(path, json={"message": "Hello"}) as response:
        body = await response.read()
        head = sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
        return head + len(body) + 7 * body.count(b"\n\n") + 24


async def _cut_reader(url: str, plan: list[tuple[int, End]], tally: Tally) -> Talker:
    waiting: list[Fault] = []

    def choose(opening: bytes) -> Fault:
        return waiting.pop() if waiting and b"/stream" in opening else CLEAN

    async with (
        Link.to(url, choose) as link,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
    ):
        talker = Talker(Client(http, link.url), tally, says=short)
        for at, end in plan:
            session = await talker.new_session()
            waiting[:] = [Fault(after=at + 99, end=end), Fault(after=at, end=end)]
            await talker.turn(session)
        tally.faults += link.broken
    return talker


async def slow_from_chatproxy(folder: Path, tally: Tally, rounds: int) -> None:
    faults = count()
    holes = [Fault(after=after, end="blackhole") for after in (0, 300, 2000)]
    kinds = (*SLOW, *holes)

    def choose(opening: bytes) -> Fault:
        return kinds[next(faults) % len(kinds)]

    async with FakeOllama() as fake:
        fake.script = paced(0.002)
        async with (
            orderly(folder, fake.url, reader_timeout=1) as process,
            Link.to(process.client.base, choose) as link,
        ):
            await _talk(link.url, process.client, tally, rounds)


async def _talk(url: str, direct: Client, tally: Tally, rounds: int) -> None:
    """Talk over connections that are each new and have a fault; a reader gives up after 1.2 s of silence."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=1.2)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        talkers = [Talker(Client(http, url), tally) for _ in range(6)]
        await asyncio.gather(*[_turns(talker, rounds) for talker in talkers])
        tally.faults += len(talkers) * rounds
        await check(direct, talkers, tally)


async def _turns(talker: Talker, number: int) -> list[Turn]:
    session: Any = await talker.new_session()
    return [await talker.turn(session) for _ in range(number)]
