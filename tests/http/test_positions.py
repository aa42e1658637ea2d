"""What those who wait are told, beside what then happens: eight sessions in front of Ollama's scheduler.

A position p is exact if p - 1 others are granted a place at Ollama after it is told, and before the answer
that it is told of. All is in one process and on one clock, and two things are left open. An event that the
next look corrects need not have the latest news: Ollama is ahead of what was read of it. And who finds a free
place on arrival may count as gone since that place was free: it was not waiting for others, but under way.
"""

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter
from random import Random
from statistics import median
from time import monotonic
from typing import Any, Final, Self

import aiohttp
import pytest
from chat_client import Client, Serve, Stream
from fake_ollama import MODEL, FakeOllama, Request, Script, answer
from scheduler import QUEUE_FULL, Scheduler, Served
from waiting import until

from chatproxy import clock

HEADER: Final = "X-Forwarded-User"
AT_ONCE: Final = 0.008  # seconds within which things count as simultaneous
LOOK: Final = 0.004  # seconds between two looks at the answers, in place of a third of a second
STALL: Final = 0.1  # seconds for which a busy machine may hold up Ollama's news
SESSIONS: Final = 8
PROMPT: Final = 0.016  # seconds
TOKEN: Final = 0.002


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the answers as often as their places change."""
    monkeypatch.setattr(clock, "LOOK", LOOK)


@dataclass(frozen=True)
class Told:
    """One `status` event, when it was read, and the message whose answer it is about."""

    message: str
    at: float
    state: str
    position: int | None
    eta: float | None  # seconds


def length(message: str) -> int:
    """Return how many words the answer has that a message asks for."""
    return int(message.rpartition(" ")[2])


def as_asked(request: Request) -> Script:
    return Script(answer("word " * length(request["messages"][-1]["content"])))


@dataclass
class Simulation:
    """Sessions that send one message after another, and what their streams told."""

    client: Client
    scheduler: Scheduler
    users: bool = False  # whether each session is another user's
    passed: bool = False  # whether every other one is a client of Ollama's API, which is told nothing
    lengths: tuple[int, int] = (5, 30)
    pauses: tuple[float, float] = (0.4, 0.04)  # seconds at most, before the first message and the others
    told: list[Told] = field(default_factory=list)
    sent: dict[str, float] = field(default_factory=dict)  # when each message was
    accepted: dict[str, float] = field(default_factory=dict)  # when its stream began
    first_done: float = inf  # when the first answer was

    async def run(self, messages: int) -> None:
        """Send so many messages in each session."""
        await asyncio.gather(*(self._session(number, messages) for number in range(SESSIONS)))

    async def _session(self, number: int, messages: int) -> None:
        random = Random(number)
        headers = {HEADER: f"user {number}"} if self.users else {}
        session = await self.client.new_session(headers=headers)
        for turn in range(messages):
            await asyncio.sleep(random.uniform(0, self.pauses[turn > 0]))
            message = f"Message {number}.{turn}: {random.randint(*self.lengths)}"
            self.sent[message] = monotonic()
            if self.passed and number % 2:
                await self._pass(message)
            else:
                await self._send(session, message, headers)
            self.first_done = min(self.first_done, monotonic())

    async def _send(self, session: str, message: str, headers: dict[str, str]) -> None:
        path = f"/api/chat/sessions/{session}/messages/stream"
        async with self.client.stream("POST", path, json={"message": message}, headers=headers) as stream:
            while (event := await stream.next()) is not None:
                self.accepted.setdefault(message, monotonic())
                if event["type"] == "status":
                    self._note(message, event)
        assert stream.last["type"] == "done", stream.last

    async def _pass(self, message: str) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": message}]}
        async with self.client.http.post(self.client.url("/api/chat"), json=body) as response:
            assert b'"done":true' in await response.read()
            self.accepted[message] = self.sent[message]

    def _note(self, message: str, event: dict[str, Any]) -> None:
        eta = event["etaMs"] / 1000 if "etaMs" in event else None
        self.told.append(Told(message, monotonic(), event["state"], event.get("position"), eta))


class Times:
    """When an answer was granted its place, since when that was free, and when it had its words."""

    def __init__(self, served: Served) -> None:
        assert served.began is not None
        assert served.spoke is not None
        assert served.ended is not None
        self.message = served.message
        self.began = self.turn = served.began
        self.spoke = served.spoke
        self.ended = served.ended


class Outcome:
    """What was told, compared with the times that the scheduler noted."""

    def __init__(self, simulation: Simulation, places: int, parallel: int | None) -> None:
        """Compare; `parallel` is the number that chatproxy was given, None: it learns it."""
        self._served = {served.message: Times(served) for served in simulation.scheduler.served}
        self._sent = simulation.sent
        self._accepted = simulation.accepted
        self._parallel = parallel
        self._users = simulation.users
        self._told = simulation.told
        self._first_done = simulation.first_done
        self.queued = [told for told in simulation.told if told.state == "queued"]
        self._known_at = 0.0 if parallel else self._shown_at(places)
        self._find_turns(places)

    def _shown_at(self, places: int) -> float:
        """Return when so many generated at once for the first time, which chatproxy did not know before."""
        for at in sorted(times.spoke for times in self._served.values()):
            if sum(times.spoke <= at < times.ended for times in self._served.values()) >= places:
                return at + STALL
        return inf

    def _find_turns(self, places: int) -> None:
        free = deque([0.0] * places)  # since when each place is
        changes: list[tuple[float, Times | None]] = []
        for times in self._served.values():
            changes += [(times.began, times), (times.ended, None)]
        for at, began in sorted(changes, key=itemgetter(0)):
            if began is None:
                free.append(at)
            else:
                began.turn = min(at, max(free.popleft(), self._sent[began.message]))

    def exact(self) -> float:
        """Return the share of the positions told that came true, of those since the places are known."""
        exact = number = 0
        later: dict[str, float] = {}  # when each answer's next event is read
        for told in reversed(self._told):
            if told.state == "queued" and told.at > self._known_at:
                number += 1
                corrected = later.get(told.message, inf) <= told.at + STALL / 2
                exact += self._came_true(told, STALL if corrected else 0)
            later[told.message] = told.at
        return exact / number

    def _came_true(self, told: Told, news: float) -> bool:
        """Return whether the position was true when it was told, or that much before."""
        own = self._served[told.message]
        # Turns may let users go first who come later: then a position is among those that wait.
        before = told.at if self._users else inf
        least = most = 0
        for times in self._served.values():
            if times.began < own.began:
                least += times.turn > told.at and self._accepted[times.message] < before
                most += times.began > told.at - news and self._sent[times.message] < before
        return own.began > told.at - news and least < (told.position or 0) <= most + 1

    def first_at_last(self) -> float:
        """Return the share of the answers told to wait that were told at last that they were next."""
        last = {told.message: told.position for told in self.queued}
        return sum(position == 1 for position in last.values()) / len(last)

    def without_place(self) -> list[Told]:
        """Return what was told of an answer's loading or prompt while it waited for the end of others."""
        ends = {told.message: self._served[told.message].began for told in self._told}
        found = []
        for told in reversed(self._told):
            if told.state in ("waiting", "loading") and self._has_to_wait(told.at, ends[told.message]):
                found.append(told)
            ends[told.message] = min(told.at, ends[told.message])
        return found

    def _has_to_wait(self, start: float, end: float) -> bool:
        """Return whether as many generate meanwhile as can, as far as was known."""
        starts = sorted(times.spoke for times in self._served.values() if times.spoke < end - AT_ONCE)
        most = 1
        for at in starts:
            together = sum(times.spoke <= at < times.ended for times in self._served.values())
            most = self._parallel or max(most, together)
            if start <= at and together >= most:
                return True
        return False

    def without_eta(self) -> list[Told]:
        """Return what was told without an estimate although an answer had ended."""
        return [told for told in self.queued if told.eta is None and told.at > self._first_done + AT_ONCE]

    def eta_errors(self) -> list[float]:
        """Return by how much each estimate was wrong, as a share of the time that it then took."""
        waits = ((told.eta, self._served[told.message].began - told.at) for told in self.queued)
        return [abs(eta - wait) / wait for eta, wait in waits if eta is not None and wait > AT_ONCE]


@pytest.mark.slow
@pytest.mark.fault  # all of it happens within milliseconds, and a busy machine may read an event too late
@pytest.mark.parametrize(
    ("places", "is_set", "who"),
    [
        (1, True, "sessions"),
        (1, False, "sessions"),
        (2, True, "sessions"),
        (2, False, "sessions"),
        (2, False, "users"),
        (2, False, "passed"),
        (2, False, "cold"),
        (4, True, "sessions"),
        (4, False, "sessions"),
    ],
)
async def test_positions_come_true(
    serve: Serve, fake: FakeOllama, places: int, is_set: bool, who: str
) -> None:
    loaded = [] if who == "cold" else [MODEL]
    scheduler = Scheduler(fake, parallel=places, loaded=loaded, load=0.3, prompt=PROMPT, token=TOKEN)
    fake.script = as_asked
    parallel = places if is_set else None
    client = await serve(ollama_num_parallel=parallel, trusted_user_header=HEADER if who == "users" else None)
    simulation = Simulation(client, scheduler, users=who == "users", passed=who == "passed")
    await simulation.run(8 * places)
    outcome = Outcome(simulation, places, parallel)
    figures = (
        f"{outcome.exact():.1%} of {len(outcome.queued)} exact, {outcome.first_at_last():.0%} next at last,"
        f" {len(outcome.without_place())} told to have begun, {len(outcome.without_eta())} without etaMs"
    )
    assert len(outcome.queued) > SESSIONS * 4 * places, figures
    assert outcome.exact() >= 0.99, figures
    assert outcome.first_at_last() >= 0.75, figures  # some are next for less than a look
    assert not outcome.without_place(), figures
    assert not outcome.without_eta(), figures


@pytest.mark.slow
async def test_some_families_have_one_place_whatever_is_set(serve: Serve, fake: FakeOllama) -> None:
    for details in (fake.shows[MODEL]["details"], *(model["details"] for model in fake.models)):
        details["family"] = "qwen35"
    scheduler = Scheduler(fake, parallel=4, loaded=[MODEL], prompt=PROMPT, token=TOKEN)
    fake.script = as_asked
    simulation = Simulation(await serve(ollama_num_parallel=4), scheduler)
    await simulation.run(8)
    outcome = Outcome(simulation, 1, 1)
    assert outcome.exact() >= 0.99
    assert not outcome.without_place()


@pytest.mark.slow
@pytest.mark.parametrize("places", [1, 4])
async def test_estimates_are_near_with_answers_of_equal_lengths(
    serve: Serve, fake: FakeOllama, places: int
) -> None:
    scheduler = Scheduler(fake, parallel=places, loaded=[MODEL], prompt=PROMPT, token=TOKEN)
    fake.script = as_asked
    client = await serve(ollama_num_parallel=places)
    simulation = Simulation(client, scheduler, lengths=(30, 30))
    await simulation.run(4 * places)
    errors = Outcome(simulation, places, places).eta_errors()
    assert len(errors) > SESSIONS * places
    assert median(errors) < 0.5


class Crowd:
    """Requests of another client, which fill the queue in front of a model that takes long to load."""

    def __init__(self, fake: FakeOllama, room: int) -> None:
        fake.shows["other:1b"] = fake.shows[MODEL] | {"modelfile": "FROM /other"}
        fake.models.append(fake.models[-1] | {"name": "other:1b", "model": "other:1b"})
        self.scheduler = Scheduler(fake, max_queue=room, load=1000)
        self._url = f"{fake.url}/api/chat"
        self._room = room
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._requests: list[asyncio.Task[bytes]] = []

    async def __aenter__(self) -> Self:
        self._requests = [asyncio.create_task(self._ask()) for _ in range(self._room + 1)]
        await until(lambda: self.scheduler.pending == self._room)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        await self._http.close()

    async def _ask(self) -> bytes:
        messages = [{"role": "user", "content": "Hello"}]
        async with self._http.post(self._url, json={"model": "other:1b", "messages": messages}) as response:
            return await response.read()

    def leave(self) -> None:
        """Let the queue be empty, and models load quickly from now on."""
        self.scheduler.load = 0.02
        for request in self._requests:
            request.cancel()


async def position(stream: Stream, place: int) -> None:
    """Read until the stream tells that position."""
    async with asyncio.timeout(20):
        while (status := await stream.until("status")).get("position") != place:
            pass
    assert status["state"] == "queued"


def order(scheduler: Scheduler) -> list[str]:
    """Return the messages in the order in which Ollama began to answer them."""
    begun = [(served.began, served.message) for served in scheduler.served if served.began is not None]
    return [message for _, message in sorted(begun)]


async def test_messages_that_ollamas_queue_has_no_room_for_keep_their_order(
    serve: Serve, fake: FakeOllama
) -> None:
    client = await serve()
    async with AsyncExitStack() as stack, Crowd(fake, 2) as crowd:
        messages = [f"message {number}" for number in range(4)]
        streams = []
        for place, message in enumerate(messages, 1):
            stream = await stack.enter_async_context(client.sending(await client.new_session(), message))
            await position(stream, place)
            streams.append(stream)
        crowd.leave()
        for stream in streams:
            assert (await stream.rest())[-1]["type"] == "done"
        assert order(crowd.scheduler) == messages


async def test_who_leaves_ollamas_full_queue_lets_others_advance(serve: Serve, fake: FakeOllama) -> None:
    client = await serve()
    async with AsyncExitStack() as stack, Crowd(fake, 2) as crowd:
        sessions = [await client.new_session() for _ in range(3)]
        streams = [await stack.enter_async_context(client.sending(session)) for session in sessions]
        for place, stream in enumerate(streams, 1):
            await position(stream, place)
        await client.cancel(sessions[0], streams[0].answer_id)
        assert (await streams[0].rest())[-1]["finishReason"] == "cancelled"
        await position(streams[1], 1)
        await position(streams[2], 2)
        crowd.leave()
        for stream in streams[1:]:
            assert (await stream.rest())[-1]["type"] == "done"


async def test_a_full_queue_is_not_blamed_on_the_model(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(default_model="auto")
    async with Crowd(fake, 2) as crowd, client.sending(await client.new_session()) as stream:
        await position(stream, 1)
        crowd.leave()
        events = await stream.rest()
        assert events[-1]["type"] == "done"
        assert events[-1]["model"] == events[0]["model"]
        assert "warning" not in stream.kinds()


async def test_a_message_that_finds_no_room_in_time_fails(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(first_token_timeout=1.0)
    async with Crowd(fake, 2):
        sent = monotonic()
        failed = await client.ask(await client.new_session())
        assert monotonic() - sent > 0.9
    assert failed.last["type"] == "error"
    assert failed.last["retryable"]
    assert QUEUE_FULL in failed.last["error"]
    assert "queued" in {event.get("state") for event in failed.events}
