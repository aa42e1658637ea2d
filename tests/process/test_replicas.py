"""Replicas on one PostgreSQL that are killed, terminated and stopped, while readers follow at other ones."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count, pairwise
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
import postgres
import pytest
from chat_client import TIMEOUT, Client, Stream
from fake_ollama import FakeOllama, Gate, Script, answer, greet
from faults.cluster.place import Cluster
from faults.load import BROKEN
from waiting import until

TEXT: Final = " ".join(f"word{number}" for number in range(100))
PACE: Final = 0.05  # seconds between two words
DEAD_WITHIN: Final = 7.0  # seconds until a dead replica's answers are ended
pytestmark: Final = [
    pytest.mark.fault,
    pytest.mark.skipif(sys.platform != "linux", reason="it stops and kills processes"),
]


@pytest.fixture(autouse=True)
def needs_a_server() -> None:
    if postgres.programs() is None:
        pytest.skip("PostgreSQL's server is not installed")


@asynccontextmanager
async def replicas(
    folder: Path, fake: FakeOllama, number: int = 2, **settings: Any
) -> AsyncIterator[tuple[Cluster, list[Client]]]:
    """Run replicas, and a client of each."""
    async with (
        Cluster.running(folder, fake.url, number, **settings) as cluster,
        aiohttp.ClientSession(timeout=TIMEOUT, connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        yield cluster, [Client(http, replica.url) for replica in cluster.replicas]


def slowly(text: str = TEXT, pace: float = PACE) -> Script:
    pieces = answer(text)
    return Script(pieces, delays=[pace] * len(pieces))


async def status(client: Client, session: str) -> str:
    return str((await client.messages(session))[1]["status"])


@asynccontextmanager
async def followed(
    owner: Client, other: Client, fake: FakeOllama, words: int = 10
) -> AsyncIterator[tuple[str, Stream, Stream]]:
    """Begin an answer at one replica, and read some of it there and at another one."""
    fake.script = slowly()
    session = await owner.new_session()
    async with owner.sending(session) as stream, other.resuming(session, await _answer(stream)) as copy:
        for each in (stream, copy):
            while each.text().count("word") < words:
                assert await each.next()
        yield session, stream, copy


async def _answer(stream: Stream) -> int:
    await stream.until("start")
    return stream.answer_id


async def broken(stream: Stream) -> None:
    """Read on until the connection breaks."""
    with suppress(*BROKEN):
        await stream.rest()
    assert stream.last["type"] not in ("done", "error")


async def test_replicas_that_start_at_once_make_one_database(quick_disk: Path, fake: FakeOllama) -> None:
    async with replicas(quick_disk, fake, 3) as (cluster, clients):
        session = await clients[0].new_session()
        for client in clients:
            await client.call("GET", "/readyz")
            assert (await client.session(session))["id"] == session
        assert len(await cluster.living()) == 3


async def test_a_killed_owner_leaves_what_another_replica_has_heard(
    quick_disk: Path, fake: FakeOllama
) -> None:
    async with replicas(quick_disk, fake) as (cluster, (one, other)):
        async with followed(one, other, fake) as (session, stream, copy):
            await cluster.replicas[0].kill()
            killed = monotonic()
            await broken(stream)
            async with other.resuming(session, stream.answer_id, stream.cursor) as resumed:
                await asyncio.gather(copy.rest(), resumed.rest())
            assert monotonic() - killed < DEAD_WITHIN
        assert (copy.last["code"], copy.last["retryable"]) == ("interrupted", True)
        assert resumed.last == copy.last
        _, stored = await other.messages(session)
        assert stored["status"] == "interrupted"
        assert copy.text() == stored["content"] == copy.last["fullResponse"]
        assert all("reset" not in event for event in copy.events)
        text = resumed.text() if resumed.events[0].get("reset") else stream.text() + resumed.text()
        assert text == stored["content"]
        fake.script = greet
        assert (await other.ask(session)).last["type"] == "done"


async def test_a_terminated_owner_says_so_to_readers_everywhere(quick_disk: Path, fake: FakeOllama) -> None:
    async with replicas(quick_disk, fake) as (cluster, (one, other)):
        async with followed(one, other, fake) as (session, stream, copy):
            ending = asyncio.create_task(cluster.replicas[0].terminate())
            await asyncio.gather(stream.rest(), copy.rest())
            assert stream.last == copy.last
            assert copy.last["code"] == "shutting_down"
            await ending
        _, stored = await other.messages(session)
        assert stored["status"] == "interrupted"
        assert copy.text() == stream.text() == stored["content"]
        fake.script = greet
        assert (await other.ask(session)).last["type"] == "done"


async def test_answers_outlive_a_killed_server(quick_disk: Path, fake: FakeOllama) -> None:
    async with replicas(quick_disk, fake) as (cluster, (one, other)), AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(followed(one, other, fake, 3)) for _ in range(4)]
        reading = [asyncio.create_task(each.rest()) for _, *pair in pairs for each in pair]
        await asyncio.to_thread(cluster.server.kill)
        await asyncio.sleep(3)
        await cluster.start_server()
        await asyncio.gather(*reading)
        for session, stream, copy in pairs:
            assert (stream.last["type"], copy.last) == ("done", stream.last)
            assert stream.text() == copy.text() == TEXT
            _, stored = await other.messages(session)
            assert (stored["status"], stored["content"]) == ("complete", TEXT)


async def test_a_replica_that_stood_still_is_corrected(quick_disk: Path, fake: FakeOllama) -> None:
    async with replicas(quick_disk, fake) as (cluster, (one, other)):
        async with followed(one, other, fake) as (session, stream, copy):
            cluster.replicas[0].pause()
            stopped = monotonic()
            await copy.rest()
            assert monotonic() - stopped < DEAD_WITHIN
            assert copy.last["code"] == "interrupted"
            await asyncio.sleep(8 - (monotonic() - stopped))
            cluster.replicas[0].go_on()
            fake.script = greet
            await until(lambda: _is_taken(one, session))
            await stream.rest()
        assert stream.last == copy.last
        assert stream.text() == copy.text()
        _, stored, *_ = await other.messages(session)
        assert (stored["status"], stored["content"]) == ("interrupted", copy.text())


async def _is_taken(client: Client, session: str) -> bool:
    """Send a message; it may be refused as one to try again is."""
    path = client.url(f"/api/chat/sessions/{session}/messages")
    async with client.http.post(path, json={"message": "Hello"}) as response:
        assert response.status in (200, 503)
        return response.status == 200


async def test_a_hundred_sends_with_one_id_are_one(quick_disk: Path, fake: FakeOllama) -> None:
    async with replicas(quick_disk, fake) as (_, clients):
        for number in range(3):
            fake.script = Script(answer("One two three"), delays=[0.1] * 4)
            session = await clients[0].new_session()
            streams = await asyncio.gather(
                *[clients[n % 2].ask(session, "Hello", clientMessageId="same") for n in range(100)]
            )
            assert len({stream.answer_id for stream in streams}) == 1
            assert {stream.text() for stream in streams} == {"One two three"}
            assert [chat.served for chat in fake.chats] == [True] * (number + 1)
            assert len(await clients[1].messages(session)) == 2


async def test_readers_who_come_again_at_any_door_read_all_of_it(quick_disk: Path, fake: FakeOllama) -> None:
    chance = random.Random(1)
    async with replicas(quick_disk, fake, 3) as (_, clients):
        fake.script = slowly(TEXT)
        session = await clients[0].new_session()
        async with clients[0].sending(session) as stream:
            message = await _answer(stream)
            texts = await asyncio.gather(*[_wander(clients, session, message, chance) for _ in range(20)])
            await stream.rest()
        assert sum(visits for _, visits in texts) >= 200
        assert {text for text, _ in texts} == {TEXT}


async def _wander(
    clients: list[Client], session: str, message: int, chance: random.Random
) -> tuple[str, int]:
    """Read some of an answer at a random door, then go on at another; return the text and the visits."""
    text, cursor = "", None
    for visits in count(1):
        async with chance.choice(clients).resuming(session, message, cursor) as stream:
            enough = chance.randint(1, 8)
            while (event := await stream.next()) and stream.text().count("word") < enough:
                pass
            assert "reset" not in stream.events[0]
            text += stream.text()
            if event is None:
                return text, visits
            cursor = stream.cursor if "cursor" in str(stream.events) else cursor
    raise AssertionError


# -- the line


@asynccontextmanager
async def waiting(
    clients: list[Client], fake: FakeOllama, number: int
) -> AsyncIterator[tuple[list[Stream], Gate]]:
    """Send messages at the replicas in turn, one at a time; the first answer waits at the gate."""
    gate = Gate()
    asked = count()

    def script(request: dict[str, Any]) -> Script:
        return Script(answer("First"), gate=gate) if next(asked) == 0 else slowly("One two three", 0.2)

    fake.script = script
    async with AsyncExitStack() as stack:
        streams = []
        for each in range(number):
            client = clients[each % len(clients)]
            session = await client.new_session()
            stream = await stack.enter_async_context(client.sending(session, f"Message {each}"))
            streams.append(stream)
            await stream.until("start")
            if each == 0:
                await fake.arrived()
            else:
                while (await stream.until("status")).get("position") != each:
                    pass
        yield streams, gate


def places(stream: Stream) -> list[int]:
    """Return the places that it was told, each run of one once."""
    told = [event["position"] for event in stream.events if "position" in event]
    return told[:1] + [now for before, now in pairwise(told) if now != before]


async def test_the_line_is_one(quick_disk: Path, fake: FakeOllama) -> None:
    async with (
        replicas(quick_disk, fake, 3, max_concurrent_generations=1) as (_, clients),
        waiting(clients, fake, 12) as (streams, gate),
    ):
        gate.open()
        await asyncio.gather(*[stream.rest() for stream in streams])
        asked = [request["messages"][-1]["content"] for request in fake.requests]
        assert asked == [f"Message {each}" for each in range(12)]
        for place, stream in enumerate(streams[1:], start=1):
            assert places(stream) == list(range(place, 0, -1))
            assert stream.last["type"] == "done"


async def test_the_line_goes_on_without_its_head(quick_disk: Path, fake: FakeOllama) -> None:
    async with replicas(quick_disk, fake, 3, max_concurrent_generations=1) as (cluster, clients):
        ids = await cluster.sql("SELECT id FROM chatproxy.replica ORDER BY number")
        async with waiting(clients, fake, 9) as (streams, gate):
            owners = await cluster.streaming()
            numbers = {stream.events[0]["assistantMessageId"]: each for each, stream in enumerate(streams)}
            dead = sorted(numbers[each] for each in owners[ids[0]["id"]])
            await cluster.replicas[dead[0]].kill()
            others = [each for each in range(9) if each not in dead]
            gate.open()
            await asyncio.gather(*[streams[each].rest() for each in others])
            asked = [request["messages"][-1]["content"] for request in fake.requests]
            assert asked[-len(others) :] == [f"Message {each}" for each in others]
            for each in others:
                assert streams[each].last["type"] == "done"
                assert places(streams[each]) == sorted(set(places(streams[each])), reverse=True)
