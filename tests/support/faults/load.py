"""Clients that use chatproxy while the faults happen, the way its browser side does.

    async with talking(url, 6, tally) as talkers:     # six conversations at once
        ...                                           # the fault
    await check(client, talkers, tally)               # what was acknowledged is stored as it was received

A client repeats its sends and resumes its streams until each answer has ended.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any, Final

import aiohttp
from chat_client import Client, Event, Stream
from fake_ollama import Request, Script, last, token
from waiting import until

from chatproxy.cursor import Cursor
from faults.tally import Tally

WORDS: Final = 60
PATIENCE: Final = 60  # seconds for what talkers do on their own
# Ends of words: line breaks of several kinds, characters of one to four bytes, and what JSON escapes.
ODD: Final = (" ", "\r\n", " é ", "\u2028", " 😀", "\t", ' "\\" ', "\0", " 漢字", "\x85")
BROKEN: Final = (aiohttp.ClientError, ConnectionError, TimeoutError)
_numbers: Final = count(1)


def words(question: str, kind: str) -> list[str]:
    name = question.partition(":")[0]
    return [f"{kind} {number} of {name}{ODD[number % len(ODD)]}" for number in range(WORDS)]


def reply(question: str) -> dict[str, str]:
    """Return what the fake Ollama answers, by the type of the events that carry it."""
    return {"thinking": "".join(words(question, "thought")[:10]), "chunk": "".join(words(question, "word"))}


def lines(question: str) -> list[bytes]:
    thoughts = [token(thinking=word) for word in words(question, "thought")[:10]]
    return [*thoughts, *map(token, words(question, "word")), last()]


def paced(*paces: float) -> Callable[[Request], Script]:
    """Return a script that waits before each token; of several paces, each answer takes the next one."""
    answers = count()

    def script(request: Request) -> Script:
        pieces = lines(request["messages"][-1]["content"])
        pace = paces[next(answers) % len(paces)]
        return Script(pieces, delays=[pace] * len(pieces) if pace else ())

    return script


@dataclass
class Turn:
    """A question, and its answer as its reader received it."""

    session: str
    question: str
    key: str  # its clientMessageId
    acknowledged: bool = False
    answer: int | None = None  # its id, once that was told
    text: dict[str, str] = field(default_factory=lambda: {"thinking": "", "chunk": ""})
    cursor: str | None = None
    end: Event | None = None
    seen: list[tuple[float, Cursor]] = field(default_factory=list)  # when; what had been read until then
    broke: float = 0.0  # when it did first

    def take(self, event: Event) -> None:
        assert self.end is None, f"after the terminal event came {event}"
        if event["type"] in self.text:
            self.text[event["type"]] += event["content"]
            self.cursor = event["cursor"]
            self.seen.append((monotonic(), Cursor.parse(event["cursor"])))
        elif event["type"] in ("done", "error"):
            self.end = event
            self.cursor = event["cursor"]
            assert event["fullResponse"] == self.text["chunk"]

    def lost(self) -> float:
        """Return how many seconds old the oldest text was that a crash lost."""
        missing = [when for when, place in self.seen if not self.has(place)]
        return self.broke - min(missing) if missing else 0.0

    def has(self, place: Cursor) -> bool:
        return place.thinking <= len(self.text["thinking"]) and place.content <= len(self.text["chunk"])

    def start_again(self) -> None:
        self.text = {"thinking": "", "chunk": ""}


class Talker:
    """A client that repeats a send until it is acknowledged, and resumes the stream until the answer ends."""

    def __init__(
        self,
        client: Client,
        tally: Tally,
        *,
        says: Callable[[str], dict[str, str]] = reply,
        padding: str = "",
    ) -> None:
        self.turns: list[Turn] = []
        self._client = client
        self._tally = tally
        self._says = says
        self._padding = padding

    async def talk(self, enough: asyncio.Event, turns: int) -> None:
        """Talk in sessions of that many turns, until `enough` is set."""
        while not enough.is_set():
            session = await self.new_session()
            for _ in range(turns):
                await self.turn(session)
                if enough.is_set():
                    break

    async def turn(self, session: str, says: str = "") -> Turn:
        """Send a message and read to the end of its answer."""
        number = next(_numbers)
        turn = Turn(session, f"Question {number}:{says}{self._padding}", f"key-{number}")
        self.turns.append(turn)
        while turn.end is None:
            try:
                await self._read(turn)
            except BROKEN:
                await asyncio.sleep(0.02)
        self._check(turn)
        return turn

    async def once(self, says: str = "") -> Turn:
        """Take one turn in a new session."""
        return await self.turn(await self.new_session(), says)

    async def new_session(self) -> str:
        while True:
            with suppress(*BROKEN):
                response = await self._client.http.post(self._client.url("/api/chat/sessions"))
                if response.status == 201:
                    return str((await response.json())["id"])
                await self._was_refused(response)

    async def _read(self, turn: Turn) -> None:
        """Read one response as far as it goes."""
        async with self._response(turn) as response:
            if response.status != 200:
                return await self._was_refused(response)
            self._tally.streams += 1
            self._tally.resumes += turn.answer is not None
            self._tally.acknowledged += not turn.acknowledged
            turn.acknowledged = True
            try:
                await self._follow(turn, Stream(response))
            except BROKEN:
                turn.broke = turn.broke or monotonic()
                raise

    async def _follow(self, turn: Turn, stream: Stream) -> None:
        while event := await stream.next():
            if event["type"] == "start":
                turn.answer = event["assistantMessageId"]
                if event.get("reset"):
                    self._tally.resets += 1
                    turn.start_again()
            else:
                turn.take(event)
        assert turn.end is not None, f"a stream ended without a terminal event: {stream.events}"

    @asynccontextmanager
    async def _response(self, turn: Turn) -> AsyncIterator[aiohttp.ClientResponse]:
        path = f"/api/chat/sessions/{turn.session}/messages"
        if turn.answer is None:
            turn.start_again()  # of a first response that did not come to its `start`
            body = {"message": turn.question, "clientMessageId": turn.key}
            request = self._client.http.post(self._client.url(f"{path}/stream"), json=body)
        else:
            after = {} if turn.cursor is None else {"after": turn.cursor}
            request = self._client.http.get(self._client.url(f"{path}/{turn.answer}/stream"), params=after)
        async with request as response:
            yield response

    async def _was_refused(self, response: aiohttp.ClientResponse) -> None:
        """Check that the refusal is a temporary one, and wait a little."""
        refusal = await response.json()
        assert response.status in (503, 507), refusal
        assert refusal["code"] in ("overloaded", "shutting_down", "storage_full"), refusal
        self._tally.refused += 1
        await asyncio.sleep(0.1)

    def _check(self, turn: Turn) -> None:
        assert turn.end is not None
        whole = self._says(turn.question)
        for kind, text in turn.text.items():
            assert whole[kind].startswith(text)
        if turn.end["type"] == "done" and turn.end["finishReason"] == "stop":
            assert turn.text == whole


async def check(client: Client, talkers: list[Talker], tally: Tally) -> None:
    """Check that everything is stored as clients received it. No talker may be talking any more."""
    turns = [turn for talker in talkers for turn in talker.turns]
    for turn in turns:
        if turn.acknowledged:
            tally.lost += not await _is_stored(client, turn)
    assert tally.lost == 0


async def _is_stored(client: Client, turn: Turn) -> bool:
    shown = await client.messages(turn.session, limit=500)
    found = [place for place, message in enumerate(shown) if message["content"] == turn.question]
    if not found or turn.end is None:
        return False
    (place,) = found
    answer = shown[place + 1]
    if answer["id"] != turn.answer:
        return False
    assert (answer["content"], answer["thinking"]) == (turn.text["chunk"], turn.text["thinking"])
    assert (answer["status"], answer["cursor"]) == (status_of(turn.end), turn.end["cursor"])
    cursors = [cursor for _, cursor in turn.seen]
    for cursor in [Cursor(), *random.sample(cursors, min(2, len(cursors)))]:
        await _resumes(client, turn, cursor)
    path = f"/api/chat/sessions/{turn.session}/messages/{turn.answer}/stream"
    await client.call("GET", path, status=204, params={"after": turn.end["cursor"]})
    return True


async def _resumes(client: Client, turn: Turn, place: Cursor) -> None:
    """Resume where the reader was once: the rest has to follow, or after a reset all of it."""
    assert turn.answer is not None
    async with client.resuming(turn.session, turn.answer, str(place)) as stream:
        start, *_, end = await stream.rest()
    assert start.get("reset", False) != turn.has(place)
    assert end == turn.end
    kept = place if turn.has(place) else Cursor()
    assert turn.text["thinking"][: kept.thinking] + stream.text("thinking") == turn.text["thinking"]
    assert turn.text["chunk"][: kept.content] + stream.text() == turn.text["chunk"]


def status_of(end: Event) -> str:
    """Return the status that the row of an answer with this end has."""
    if end["type"] == "done":
        return "cancelled" if end["finishReason"] == "cancelled" else "complete"
    return "interrupted" if end["code"] in ("interrupted", "shutting_down") else "failed"


async def begun(talkers: list[Talker]) -> None:
    """Wait until each has read some of an answer."""
    await until(lambda: all(any(turn.seen for turn in talker.turns) for talker in talkers), PATIENCE)


async def reading(talkers: list[Talker]) -> None:
    """Wait until one is in the middle of an answer."""
    await until(
        lambda: any(turn.seen and not turn.end for talker in talkers for turn in talker.turns[-1:]), PATIENCE
    )


def was_done(turn: Turn) -> bool:
    return turn.end is not None and turn.end["type"] == "done"


def ends(talkers: list[Talker]) -> dict[str, int]:
    """Count the answers by their end: `done`, or the code of the error."""
    found: dict[str, int] = {}
    for talker in talkers:
        for turn in talker.turns:
            end: Any = turn.end or {"type": "none"}
            name = end.get("code", end["type"])
            found[name] = found.get(name, 0) + 1
    return found


@asynccontextmanager
async def talking(
    url: str, number: int, tally: Tally, *, turns: int = 4, **how: Any
) -> AsyncIterator[list[Talker]]:
    """Let that many clients talk while the block runs; after it, each finishes the turn that it is in."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=20)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        client, enough = Client(http, url), asyncio.Event()
        talkers = [Talker(client, tally, **how) for _ in range(number)]
        tasks = [asyncio.create_task(talker.talk(enough, turns)) for talker in talkers]
        try:
            yield talkers
            enough.set()
            async with asyncio.timeout(60):
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
