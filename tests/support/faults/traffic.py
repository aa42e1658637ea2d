"""The traffic of an hour in minutes: everything that people do. Memory must not grow with it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from chat_client import Client
from fake_ollama import FakeOllama

from faults.load import Talker, check, paced, reply
from faults.place import orderly, resident
from faults.tally import Tally

PEOPLE: Final = 10  # at once
PACE: Final = 0.001  # seconds between two tokens
GROWTH: Final = 1.1  # of the memory, from a third of the way on
AND: Final = 4 * 1024**2  # bytes, for what the allocator does


async def an_hour(folder: Path, tally: Tally, messages: int) -> None:
    """Send that many messages; 20 people who send one a minute make 1,200 in an hour."""
    async with FakeOllama() as fake:
        fake.script = paced(PACE)
        async with orderly(folder, fake.url) as process:
            people = [Person(process.client, tally, seed) for seed in range(PEOPLE)]
            await _send(people, messages // 3)
            before = resident(process)
            await _send(people, messages - messages // 3)
            after = resident(process)
            await check(process.client, [person.talker for person in people], tally)
            await fake.stop()  # and with it the connections to it that are kept
    tally.seen.append(f"{before / 1024**2:.0f} MiB in memory after a third, {after / 1024**2:.0f} at the end")
    assert after <= before * GROWTH + AND


async def _send(people: list["Person"], messages: int) -> None:
    await asyncio.gather(*[person.send(messages // len(people)) for person in people])


class Person:
    """Does at random what people do."""

    def __init__(self, client: Client, tally: Tally, seed: int) -> None:
        self.talker = Talker(client, tally)
        self._client = client
        self._tally = tally
        self._chance = random.Random(seed)
        self._name = f"Person {seed}"
        self._session = ""

    async def send(self, messages: int) -> None:
        ways: list[Callable[[], Awaitable[object]]] = [
            self._reads,
            self._reads,
            self._waits,
            self._leaves_and_comes_back,
            self._leaves,
            self._cancels,
            self._regenerates,
        ]
        for number in range(messages):
            if number % 6 == 0:
                await self._looks_around()
                self._session = await self.talker.new_session()
            await self._chance.choice(ways)()

    async def _looks_around(self) -> None:
        await self._client.call("GET", "/api/chat/sessions", params={"q": "word"})
        await self._client.call("GET", "/api/models")
        other = await self._client.new_session()
        await self._client.send(other, self._name)
        await self._client.call("DELETE", f"/api/chat/sessions/{other}", status=204)

    async def _reads(self) -> None:
        await self.talker.turn(self._session)

    async def _waits(self) -> None:
        answer = await self._client.send(self._session, self._name)
        assert answer["fullResponse"] == reply(self._name)["chunk"]
        self._tally.acknowledged += 1

    async def _leaves_and_comes_back(self) -> None:
        message, cursor, so_far = await self._begins()
        async with self._client.resuming(self._session, message, cursor) as stream:
            end = (await stream.rest())[-1]
        assert so_far + stream.text() == end["fullResponse"] == reply(self._name)["chunk"]
        self._tally.streams += 1
        self._tally.resumes += 1

    async def _leaves(self) -> None:
        await self._begins()
        while (await self._client.session(self._session))["activeMessageId"] is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async def _cancels(self) -> None:
        message, _, so_far = await self._begins()
        stored = await self._client.cancel(self._session, message)
        assert stored["status"] in ("cancelled", "complete")
        assert stored["content"].startswith(so_far)

    async def _regenerates(self) -> None:
        await self._client.send(self._session, self._name)
        *_, question, _ = await self._client.messages(self._session)
        stream = await self._client.ask(self._session, self._name, replaces=question["id"])
        assert stream.text() == reply(self._name)["chunk"]
        self._tally.acknowledged += 2
        self._tally.streams += 1

    async def _begins(self) -> tuple[int, str, str]:
        """Read some of an answer and leave; return its id, the cursor and the text so far."""
        async with self._client.sending(self._session, self._name) as stream:
            enough = self._chance.randint(1, 300)  # characters
            while len(stream.text()) < enough:
                await stream.next()
        self._tally.acknowledged += 1
        self._tally.streams += 1
        return stream.answer_id, stream.cursor, stream.text()
