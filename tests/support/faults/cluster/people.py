"""People who use the replicas through one door, as clients do: what they were told, and whether it was true.

A person sends with a `clientMessageId`, and again when the connection breaks; reads, breaks off, resumes with
the cursor or from the beginning, and cancels. Nothing that is wrong ends the run: it is written down.
"""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import aiohttp
from chat_client import Client, Event, Stream
from fake_ollama import Chat

from chatproxy.cursor import Cursor
from faults.load import BROKEN, Turn, reply, status_of
from faults.tally import Tally

TURNS: Final = 4  # in a session
TIRED: Final = 60.0  # seconds that an answer may take, whatever happens
NO_HARM: Final = ("overloaded", "shutting_down", "storage_full")
TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=4, sock_read=4)


@dataclass
class Found:
    """What was wrong, by kind, with what is known of each; and what was seen besides."""

    wrong: dict[str, list[str]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    def note(self, kind: str, what: object) -> None:
        """Note something that must not be."""
        self.wrong.setdefault(kind, []).append(str(what))

    def number(self, kind: str) -> int:
        """Return how often something of that kind was noted."""
        return len(self.wrong.get(kind, []))


class LeftError(Exception):
    """The person breaks off."""


class Person:
    def __init__(self, client: Client, tally: Tally, found: Found, chance: random.Random, name: str) -> None:
        self.turns: list[Turn] = []
        self._client = client
        self._tally = tally
        self._found = found
        self._chance = chance
        self._name = name
        self._cancels = False  # this answer, soon
        self._ended = 0.0  # when the last answer did

    async def live(self, enough: asyncio.Event) -> None:
        """Talk until `enough` is set, and finish the last answer."""
        while not enough.is_set():
            session = await self._new_session()
            for _ in range(TURNS):
                if enough.is_set():
                    return
                turn = Turn(session, f"{self._name} {len(self.turns)}:", f"{self._name}-{len(self.turns)}")
                self.turns.append(turn)
                try:
                    async with asyncio.timeout(TIRED):
                        await self._take(turn)
                except TimeoutError:
                    self._found.note("without an end", turn)
                    break
                await asyncio.sleep(self._chance.uniform(0, 0.5))

    async def _new_session(self) -> str:
        while True:
            with suppress(*BROKEN):
                async with self._client.http.post(self._client.url("/api/chat/sessions")) as response:
                    if response.status == 201:
                        return str((await response.json())["id"])
                    await self._was_refused(response, None)
            await self._rest()

    async def _rest(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.02, 0.3))

    async def _take(self, turn: Turn) -> None:
        """Send a message and read its answer to the end, somehow."""
        self._cancels = self._chance.random() < 0.15
        while turn.end is None:
            try:
                await self._read(turn)
            except LeftError:
                self._found.seen["broken off"] += 1
                if self._cancels:
                    await self._cancel(turn)
                await asyncio.sleep(self._chance.choice((0, 0, 0.3, 1.5)))
                if self._chance.random() < 0.2:
                    turn.cursor = None
                    turn.start_again()
            except BROKEN:
                self._found.seen["connections broke"] += 1
                await self._rest()
        self._ended = monotonic()
        self._found.seen[f"ended: {turn.end.get('code', turn.end.get('finishReason'))}"] += 1
        self._check(turn)

    async def _read(self, turn: Turn) -> None:
        """Read one response as far as it goes, or until the person has enough. Raises LeftError."""
        path = self._client.url(f"/api/chat/sessions/{turn.session}/messages")
        if turn.answer is None:
            turn.start_again()  # of a first response that did not come to its `start`
            body = {"message": turn.question, "clientMessageId": turn.key}
            request = self._client.http.post(f"{path}/stream", json=body)
        else:
            after = {} if turn.cursor is None else {"after": turn.cursor}
            request = self._client.http.get(f"{path}/{turn.answer}/stream", params=after)
        async with request as response:
            if response.status != 200:
                await self._was_refused(response, turn)
                await self._rest()
                return
            self._tally.streams += 1
            self._tally.resumes += turn.answer is not None
            await self._follow(turn, Stream(response))

    async def _follow(self, turn: Turn, stream: Stream) -> None:
        leaves = self._chance.randint(1, 80) if self._cancels or self._chance.random() < 0.5 else 10**9
        while event := await stream.next():
            if event["type"] == "start":
                self._started(turn, event)
            elif event["type"] in ("done", "error"):
                turn.end, turn.cursor = event, event["cursor"]
                if event["fullResponse"] != turn.text["chunk"]:
                    self._found.note("texts that differ", (turn, "from fullResponse"))
                return
            elif event["type"] in turn.text:
                turn.text[event["type"]] += event["content"]
                turn.cursor = event["cursor"]
                here = Cursor(len(turn.text["thinking"]), len(turn.text["chunk"]))
                if str(here) != turn.cursor:
                    self._found.note("texts that differ", (turn, f"at {here} came the cursor {turn.cursor}"))
            leaves -= 1
            if leaves < 0 and turn.answer is not None:
                raise LeftError
        self._found.seen["streams that just ended"] += 1

    def _started(self, turn: Turn, event: Event) -> None:
        if turn.answer not in (None, event["assistantMessageId"]):
            self._found.note("answers exchanged", (turn, event))
        turn.answer = event["assistantMessageId"]
        self._tally.acknowledged += not turn.acknowledged
        turn.acknowledged = True
        if event.get("reset"):
            self._tally.resets += 1
            turn.start_again()

    async def _cancel(self, turn: Turn) -> None:
        self._cancels = False
        url = self._client.url(f"/api/chat/sessions/{turn.session}/messages/{turn.answer}/cancel")
        while True:
            with suppress(*BROKEN):
                async with self._client.http.post(url) as response:
                    if response.status == 200:
                        message = await response.json()
                        if message["status"] == "streaming":
                            self._found.note("cancelled and yet streaming", turn)
                        self._found.seen["cancelled"] += 1
                        return
                    await self._was_refused(response, turn)
            await self._rest()

    async def _was_refused(self, response: aiohttp.ClientResponse, turn: Turn | None) -> None:
        """Check that the refusal is a temporary one."""
        self._tally.refused += 1
        if response.content_type != "application/json":  # nginx'
            self._found.seen[f"nginx: {response.status}"] += 1
            return
        refusal = await response.json()
        self._found.seen[f"refused: {refusal['code']}"] += 1
        if refusal["code"] == "session_busy" and turn is not None:
            since = f"{monotonic() - self._ended:.2f} s after {self._last_end()}"
            self._found.note("busy", (turn, refusal, since))
        elif refusal["code"] not in NO_HARM:
            self._found.note("refused", (turn, refusal))

    def _last_end(self) -> object:
        ends = [turn.end for turn in self.turns if turn.end is not None]
        return {**ends[-1], "fullResponse": "..."} if ends else None

    def _check(self, turn: Turn) -> None:
        assert turn.end is not None
        whole = reply(turn.question)
        is_whole = turn.end["type"] == "done" and turn.end["finishReason"] == "stop"
        for kind, text in turn.text.items():
            if not (whole[kind] == text if is_whole else whole[kind].startswith(text)):
                self._found.note("texts that differ", (turn, "from what Ollama said"))


async def verify(client: Client, people: list[Person], tally: Tally, found: Found) -> None:
    """Compare what each was told with what is stored, as any door tells it."""
    for person in people:
        for turn in person.turns:
            if turn.acknowledged:
                problem = await _problem(client, turn)
                if problem is not None:
                    kind, what = problem
                    tally.lost += kind == "lost"
                    found.note(kind, (turn, what))


async def _problem(client: Client, turn: Turn) -> tuple[str, Any] | None:
    shown = await client.messages(turn.session, limit=500)
    places = [place for place, message in enumerate(shown) if message["content"] == turn.question]
    if not places:
        return "lost", "no such question"
    if len(places) > 1:
        return "stored twice", places
    answer = shown[places[0] + 1] if places[0] + 1 < len(shown) else {"id": None}
    if answer["id"] != turn.answer:
        return "lost", f"its answer, before {answer}"
    if turn.end is None:
        return None  # noted before
    if (answer["content"], answer["thinking"]) != (turn.text["chunk"], turn.text["thinking"]):
        kind = "storage_full" if turn.end.get("code") == "storage_full" else "texts that differ"
        return kind, answer
    if answer["status"] != status_of(turn.end):
        kind = "storage_full" if turn.end.get("code") == "storage_full" else "ends that differ"
        return kind, answer
    assert turn.answer is not None
    async with client.resuming(turn.session, turn.answer) as stream:
        await stream.rest()
    texts = {kind: stream.text(kind) for kind in turn.text}
    if texts != turn.text or stream.last != turn.end:
        return "replays that differ", (texts, stream.last)
    return None


def twice(chats: list[Chat], found: Found) -> None:
    """Count the messages that Ollama was asked for more than once, by how far that went."""
    served: Counter[str] = Counter()
    begun: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for chat in chats:
        if "messages" in chat.request:
            question = chat.request["messages"][-1]["content"]
            asked[question] += 1
            served[question] += chat.served
            begun[question] += chat.sent > 0
    for question, number in served.items():
        if number > 1:
            found.note("generated twice", (question, number))
    found.seen["asked again, begun again"] = sum(each > 1 for each in begun.values())
    found.seen["asked again before text"] = sum(asked[each] > max(1, begun[each]) for each in asked)
