"""One line for several replicas, in a network that delays and loses what they tell each other."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import combinations
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatproxy import clock
from chatproxy.cluster import head as module
from chatproxy.cluster import line as shared_line
from chatproxy.cluster.head import GATHER
from chatproxy.cluster.line import SharedQueue
from chatproxy.errors import ChatError
from chatproxy.generation import line
from chatproxy.generation.queue import BODIES, PROMPTS, SMALL, Queue
from chatproxy.generation.ticket import Room, Ticket
from chatproxy.models.catalog import Runner
from chatproxy.models.pace import Pace

MODEL: Final = Runner("m")
OTHER: Final = Runner("other")
REMOTE: Final = Runner("remote", remote=True)
RUNNERS: Final = [MODEL, OTHER, REMOTE]
PACE: Final = Pace(tokens_per_second=20.0, load=0.0)  # ten seconds an answer
STEP: Final = 0.125  # seconds between two operations; no rounding errs with it


class Time:
    """The clock of deadlines, moved by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True, scope="module")
def time() -> Iterator[Time]:
    """Not one for each example: times only grow."""
    time = Time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", time)
        patch.setattr(line, "monotonic", time)
        patch.setattr(module, "SETTLE", 0.0)  # nothing is said out of order here
        yield time


class Network:
    """Replicas, and the lines that are under way between them."""

    def __init__(self, number: int, new_queue: Callable[[], Queue], random: Random | None = None) -> None:
        """Create replicas 1 to `number`, all of which live; `random` says which line arrives next."""
        self.queues = {
            me: SharedQueue(me, new_queue, lambda to, text, me=me: self._send(me, to, text))  # type: ignore[misc]
            for me in range(1, number + 1)
        }
        self.sent: list[tuple[int, int, str]] = []
        self._random = random or Random(1)
        self._under_way: dict[tuple[int, int], deque[str]] = defaultdict(deque)
        self.away: set[int] = set()  # nobody hears them, and they hear nobody
        self.loses = 0.0  # the share of lines that are lost
        self.missing: set[tuple[int, int]] = set()  # links on which some were
        self.live()

    def live(self, *replicas: int) -> None:
        """Let all replicas know that these live; by default all that are not away."""
        for me, queue in self.queues.items():
            if me not in self.away:
                queue.living(replicas or [each for each in self.queues if each not in self.away])

    def _send(self, sender: int, receiver: int, text: str) -> None:
        assert "\n" not in text
        self.sent.append((sender, receiver, text))
        if {sender, receiver} & self.away:
            return
        if self.loses and self._random.random() < self.loses:
            self.missing.add((sender, receiver))
        else:
            self._under_way[sender, receiver].append(text)

    async def some(self, most: int) -> None:
        """Deliver some lines."""
        for _ in range(most):
            await asyncio.sleep(0)
            if links := [link for link, lines in self._under_way.items() if lines]:
                sender, receiver = link = self._random.choice(links)
                text = self._under_way[link].popleft()
                if receiver not in self.away:
                    self.queues[receiver].heard(sender, text)

    async def settle(self) -> None:
        """Deliver all lines, and let all look; `lost` is called where lines are missing."""
        for _ in range(3):
            while any(self._under_way.values()):
                await self.some(1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            while self.missing:
                sender, receiver = self.missing.pop()
                if receiver not in self.away:
                    self.queues[receiver].lost(sender)
            for me, queue in self.queues.items():
                if me not in self.away:
                    queue.tick()
            await asyncio.sleep(0)
        while any(self._under_way.values()):
            await self.some(1)

    async def join(
        self, replica: int, asker: str = "u", runner: Runner = MODEL, size: int = 0, room: Room = PROMPTS
    ) -> Ticket:
        joining = asyncio.create_task(self.queues[replica].ticket(asker, runner, size, room, PACE))
        await self.settle()
        await self.settle()
        assert joining.done()
        return joining.result()


def places(tickets: Sequence[Ticket]) -> list[int]:
    return [ticket.position for ticket in tickets]


def slots(tickets: Sequence[Ticket]) -> list[bool]:
    return [ticket.has_slot for ticket in tickets]


async def ends(ticket: Ticket) -> None:
    ticket.end(complete=True)
    await asyncio.sleep(0)
    ticket.leave()


# -- the same as one queue

KINDS: Final = ["join", "join", "join", "ask", "ask", "text", "text", "end", "leave", "refused", "time"]


class Both:
    """The same operations on one queue, and on one that replicas share."""

    def __init__(self, time: Time, network: Network, queue: Queue) -> None:
        self.time = time
        self.network = network
        self.queue = queue
        self.pairs: list[tuple[Ticket, Ticket]] = []

    async def step(self, data: st.DataObject) -> None:
        self.time.now += STEP
        await self.tick()  # else those whose pause is over advance before it here, and after it there
        kind = data.draw(st.sampled_from(KINDS))
        if kind == "join":
            await self.join(data)
        elif kind == "time":
            self.time.now += data.draw(st.sampled_from([0.5, 4.0, 40.0]))
        elif candidates := [pair for pair in self.pairs if may(kind, pair[0])]:
            pair = data.draw(st.sampled_from(candidates))
            for ticket in pair:
                act(kind, ticket)
            if kind == "leave":
                self.pairs.remove(pair)
        await self.tick()

    async def tick(self) -> None:
        await asyncio.sleep(0)
        await self.network.settle()
        self.queue.tick()
        await self.network.settle()

    async def join(self, data: st.DataObject) -> None:
        replica = data.draw(st.sampled_from(sorted(self.network.queues)))
        asker, runner = data.draw(st.sampled_from("abcd")), data.draw(st.sampled_from(RUNNERS))
        size = data.draw(st.sampled_from([0, SMALL, PROMPTS.most // 8]))
        results: list[Ticket | ChatError] = []
        for joining in (
            self.queue.ticket(asker, runner, size, PROMPTS, PACE),
            self.network.join(replica, asker, runner, size),
        ):
            try:
                results.append(await joining)
            except ChatError as error:
                results.append(error)
        expected, found = results
        if isinstance(expected, Ticket):
            assert isinstance(found, Ticket)
            self.pairs.append((expected, found))
        else:
            assert isinstance(found, ChatError)
            assert (found.body, found.retry_after) == (expected.body, expected.retry_after)

    def check(self) -> None:
        for expected, ticket in self.pairs:
            assert (ticket.has_slot, ticket.waits, ticket.position) == (
                expected.has_slot,
                expected.waits,
                expected.position,
            )
            assert ticket.turn_at == expected.turn_at
        for name in ("running", "active", "queued"):
            numbers = [getattr(queue, name) for queue in self.network.queues.values()]
            assert sum(numbers) == getattr(self.queue, name)
        assert [queue.idle.is_set() for queue in self.network.queues.values()] == [
            self.queue.idle.is_set() and me == 1 for me in self.network.queues
        ]


def may(kind: str, ticket: Ticket) -> bool:
    """Whether an answer may do that with its ticket."""
    has_asked = ticket.has_slot and ticket.asked_at < clock.now() and not ticket.ended
    match kind:
        case "ask":
            return ticket.has_slot and not has_asked and not ticket.ended
        case "text" | "refused":
            return has_asked and ticket.text_at is None
        case "end":
            return not ticket.ended
        case _:
            return True


def act(kind: str, ticket: Ticket) -> None:
    match kind:
        case "ask":
            ticket.asks()
        case "text":
            ticket.discard_body()
            ticket.text_started()
        case "refused":
            ticket.refused()
        case "end":
            ticket.end(complete=True)
        case _:
            ticket.leave()


PARALLEL: Final = st.sampled_from([None, 1, 2])


@settings(max_examples=100, deadline=None)
@given(st.data())
async def test_replicas_share_one_line(time: Time, data: st.DataObject) -> None:
    most, waiting, parallel = (
        data.draw(st.sampled_from([1, 3, 8])),
        data.draw(st.integers(1, 8)),
        data.draw(PARALLEL),
    )

    def new_queue() -> Queue:
        return Queue(most, waiting, parallel, lambda asker: 4 if asker == "d" else None)

    both = Both(time, Network(data.draw(st.integers(1, 3)), new_queue), new_queue())
    for _ in range(data.draw(st.integers(1, 40))):
        await both.step(data)
        both.check()


# -- with losses


class Crowd:
    """Tickets of all replicas, which are used at random."""

    def __init__(self, time: Time, network: Network, random: Random) -> None:
        self.time = time
        self.network = network
        self.random = random
        self.tickets: list[tuple[int, Ticket]] = []
        self.joining: dict[asyncio.Task[Ticket], int] = {}

    def step(self) -> None:
        self.time.now += STEP
        self.gather()
        kind = self.random.choice(KINDS)
        candidates = [each for each in self.tickets if may(kind, each[1])]
        if kind == "join":
            replica = self.random.choice([me for me in self.network.queues if me not in self.network.away])
            asker, runner = self.random.choice("abcd"), self.random.choice(RUNNERS)
            joining = self.network.queues[replica].ticket(asker, runner, 0, PROMPTS, PACE)
            self.joining[asyncio.create_task(joining)] = replica
        elif kind != "time" and candidates:
            chosen = self.random.choice(candidates)
            act(kind, chosen[1])
            if kind == "leave":
                self.tickets.remove(chosen)

    def gather(self) -> None:
        for task in [task for task in self.joining if task.done()]:
            replica = self.joining.pop(task)
            if task.exception() is None:
                self.tickets.append((replica, task.result()))
        self.tickets = [each for each in self.tickets if each[1].has_slot or not each[1].ended]

    async def settle(self) -> None:
        for _ in range(3):
            await self.network.settle()
            self.time.now += 1.0
        self.gather()

    def held(self) -> list[Ticket]:
        return [ticket for _, ticket in self.tickets]

    def standings(self) -> dict[Ticket, tuple[bool, bool, int]]:
        return {ticket: (ticket.has_slot, ticket.waits, ticket.position) for ticket in self.held()}

    def lose(self, dead: int) -> None:
        """Forget the tickets of a replica that is dead."""
        self.tickets = [each for each in self.tickets if each[0] != dead]
        for task in [task for task, replica in self.joining.items() if replica == dead]:
            del self.joining[task]
            task.cancel()

    def check(self, parallel: int, most: int) -> None:
        """Check that every ticket has what it would have in one queue."""
        assert not self.joining
        held = self.held()
        assert sum(slots(held)) <= most
        for runner in RUNNERS:
            own = [ticket for ticket in held if ticket.runner == runner]
            running = sum(ticket.has_slot and not ticket.ended for ticket in own)
            assert running <= (most if runner.remote else parallel)
            waiting = [ticket for ticket in own if ticket.waits]
            assert sorted(places(waiting)) == list(range(1, len(waiting) + 1))
            if not all(slots(waiting)):
                assert sum(slots(held)) == most or running == (most if runner.remote else parallel)

    async def end_surplus(self, parallel: int, most: int) -> None:
        """End what has a slot until it is within the limits, which two heads may have used up twice."""

        def surplus() -> Iterator[tuple[int, Ticket]]:
            for runner in RUNNERS:
                running = [each for each in self.tickets if each[1].runner == runner and each[1].has_slot]
                at_ollama = [each for each in running if not each[1].ended]
                if len(at_ollama) > (most if runner.remote else parallel):
                    yield at_ollama[0]
            if sum(slots(self.held())) > most:
                yield next(each for each in self.tickets if each[1].has_slot)

        while (each := next(surplus(), None)) is not None:
            self.tickets.remove(each)
            await ends(each[1])
            await self.settle()

    async def end_all(self) -> None:
        """Let all end, of which every one gets its slot."""
        while self.tickets:
            having = [each for each in self.tickets if each[1].has_slot]
            assert having, places(self.held())
            for each in having:
                await ends(each[1])
                self.tickets.remove(each)
            await self.settle()
        leader = min(me for me in self.network.queues if me not in self.network.away)
        for me, queue in self.network.queues.items():
            if me not in self.network.away:
                assert queue.idle.is_set() == (me == leader)


@pytest.mark.parametrize("seed", range(20))
async def test_what_is_lost_is_made_up_for(time: Time, seed: int) -> None:
    random = Random(seed)
    network = Network(3, lambda: Queue(4, 100, 2), random)
    crowd = Crowd(time, network, random)
    for _ in range(5):
        network.loses = random.choice([0.1, 0.5])
        for _ in range(40):
            crowd.step()
            await network.some(random.randrange(4))
            assert sum(slots(crowd.held())) <= 4
        network.loses = 0.0
        await crowd.settle()
        crowd.check(2, 4)
    await crowd.end_all()


# -- another head


@pytest.mark.parametrize("seed", range(20))
async def test_another_head_goes_on_as_the_last_one_would_have(time: Time, seed: int) -> None:
    random = Random(seed)
    most, parallel = random.choice([2, 4, 8]), random.choice([1, 2, None])
    network = Network(4, lambda: Queue(most, 100, parallel), random)
    crowd = Crowd(time, network, random)
    for head in (1, 2, 3):
        for _ in range(80):
            crowd.step()
            await network.some(3)
        await crowd.settle()
        for each in [
            each for each in crowd.tickets if each[0] == head
        ]:  # what that does is none of its death
            each[1].leave()
            crowd.tickets.remove(each)
        await crowd.settle()
        before = crowd.standings()
        network.away.add(head)
        network.live()
        await network.settle()
        after = crowd.standings()
        for ticket, (had_slot, had_waited, position) in before.items():
            assert after[ticket][0] >= had_slot
            assert after[ticket][1] <= had_waited
            assert after[ticket][2] <= position
        waiting = [ticket for ticket in after if after[ticket][1]]
        for one, other in combinations(waiting, 2):
            if one.runner == other.runner:
                assert (before[one][2] < before[other][2]) == (after[one][2] < after[other][2])
    if parallel is not None:
        crowd.check(parallel, most)
    await crowd.end_all()


@pytest.mark.parametrize("seed", range(20))
async def test_who_dies_takes_its_tickets_along(time: Time, seed: int) -> None:
    random = Random(seed)
    network = Network(4, lambda: Queue(4, 100, 2), random)
    crowd = Crowd(time, network, random)
    for dead in random.sample([1, 2, 3], 3):
        for _ in range(80):
            crowd.step()
            await network.some(3)
        before = crowd.standings()
        network.away.add(dead)
        crowd.lose(dead)
        await network.some(5)
        network.live()
        await crowd.settle()
        assert all(ticket.has_slot for ticket in crowd.held() if ticket in before and before[ticket][0])
        crowd.check(2, 4)
    await crowd.end_all()


@pytest.mark.parametrize("seed", range(20))
async def test_two_heads_for_a_while_end_as_one(time: Time, seed: int) -> None:
    random = Random(seed)
    network = Network(3, lambda: Queue(4, 100, 2), random)
    crowd = Crowd(time, network, random)
    for _ in range(3):
        for _ in range(40):
            crowd.step()
            await network.some(3)
        network.away.add(1)
        for me in (2, 3):  # the first one goes on by itself, and thinks that it is the head
            network.queues[me].living([2, 3])
        for _ in range(40):
            crowd.step()
            await network.some(3)
            network.queues[1].tick()
        network.away.clear()
        network.live()
        await crowd.settle()
        assert not crowd.joining
        await crowd.end_surplus(2, 4)
        crowd.check(2, 4)
    await crowd.end_all()


async def test_a_new_head_waits_a_moment_for_those_who_say_nothing(time: Time) -> None:
    network = Network(4, lambda: Queue(1, 100))
    first, second = await network.join(2), await network.join(3)
    late = await network.join(4)
    network.away |= {1, 4}
    for me in (2, 3):
        network.queues[me].living([2, 3, 4])
    await network.settle()
    joining = asyncio.create_task(network.queues[2].ticket("u", MODEL, 0, PROMPTS))
    await network.settle()
    assert not joining.done()
    assert places([first, second, late]) == [0, 1, 2]
    assert not network.queues[2].idle.is_set()
    time.now += GATHER
    await network.settle()
    last = await joining
    assert places([first, second, last]) == [0, 1, 2]
    network.away.remove(4)
    network.live(2, 3)
    network.live(2, 3, 4)
    await network.settle()
    assert places([first, second, last, late]) == [0, 1, 2, 3]


async def test_who_was_thought_dead_has_its_places_again() -> None:
    network = Network(3, lambda: Queue(1, 100))
    tickets = [await network.join(number % 3 + 1) for number in range(6)]
    network.live(1, 2)
    await network.settle()
    assert places(tickets)[:2] + places(tickets)[3:5] == [0, 1, 2, 3]
    network.live()
    await network.settle()
    assert places(tickets) == [0, 1, 2, 3, 4, 5]


async def test_what_ollama_had_no_room_for_is_not_told_a_turn_by_another_head() -> None:
    network = Network(2, lambda: Queue(4, 100))
    ticket = await network.join(2)
    ticket.asks()
    ticket.refused()
    network.away.add(1)
    reader = Reader(ticket)
    network.live()
    await network.settle()
    assert ticket.has_slot
    assert reader.told == [0]
    assert ticket.position == 1


async def test_the_first_one_waits_for_nobody() -> None:
    queue = SharedQueue(7, lambda: Queue(1, 100), lambda to, text: None)
    assert not queue.idle.is_set()
    queue.living([7])
    assert queue.idle.is_set()
    joining = [queue.ticket("u", MODEL, 0, PROMPTS) for _ in range(3)]
    tickets = [await each for each in joining]
    assert places(tickets) == [0, 1, 2]
    assert (queue.running, queue.active, queue.queued) == (1, 1, 2)
    assert queue.eta == tickets[-1].eta > 0
    assert not queue.idle.is_set()


async def test_numbers_go_on_with_another_head() -> None:
    """Otherwise the same number would mean two tickets of one runner."""
    network = Network(3, lambda: Queue(1, 100))
    tickets = [await network.join(me, asker) for me, asker in ((2, "a"), (3, "a"), (2, "b"), (3, "c"))]
    network.away.add(1)
    network.live()
    tickets += [await network.join(me, "d") for me in (2, 3)]
    assert sorted(places(tickets)) == list(range(6))
    assert places([tickets[0], tickets[2], tickets[3]]) == [0, 1, 2]


# -- what is refused


async def refused(joining: Awaitable[object]) -> str:
    with pytest.raises(ChatError) as error:
        await joining
    assert error.value.retry_after == 5
    return error.value.code


async def test_the_places_are_those_of_all_replicas() -> None:
    network = Network(3, lambda: Queue(1, 5))
    tickets = [await network.join(number % 3 + 1) for number in range(6)]
    assert places(tickets) == [0, 1, 2, 3, 4, 5]
    for me in network.queues:
        assert await refused(network.join(me)) == "overloaded"
    assert sum(queue.queued for queue in network.queues.values()) == 5
    other = await network.join(3, "another asker")
    assert other.position > 0
    await ends(tickets[1])
    await network.settle()
    assert await refused(network.join(2)) == "overloaded"


async def test_a_visitor_has_its_answers_at_all_replicas() -> None:
    network = Network(3, lambda: Queue(1, 100, most_of=lambda asker: 2 if asker == "visitor" else None))
    first, _ = await network.join(2, "visitor"), await network.join(3, "visitor")
    for me in network.queues:
        assert await refused(network.join(me, "visitor")) == "visitor_limit"
    first.leave()
    await network.settle()
    await network.join(1, "visitor")


@pytest.mark.parametrize("room", [PROMPTS, BODIES])
async def test_the_bytes_are_those_of_all_replicas(room: Room) -> None:
    network = Network(2, lambda: Queue(1, 100))
    large = await network.join(2, size=room.most // 2, room=room)
    assert await refused(network.join(1, size=SMALL + 1, room=room)) == "overloaded"
    await network.join(1, size=SMALL, room=room)
    large.discard_body()
    await network.settle()
    await network.join(1, size=room.most // 4, room=room)


async def test_without_a_head_nobody_waits_for_ever(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_line, "PATIENCE", 0.0)
    network = Network(2, lambda: Queue(1, 100))
    network.away.add(1)
    queue = network.queues[2]
    assert await refused(queue.ticket("u", MODEL, 0, PROMPTS)) == "overloaded"
    assert queue.queued == 0


@pytest.mark.parametrize("steps", range(6))
async def test_one_that_is_cancelled_leaves_nothing(steps: int) -> None:
    network = Network(2, lambda: Queue(1, 100))
    await network.settle()
    joining = asyncio.create_task(network.queues[2].ticket("u", MODEL, 0, PROMPTS))
    await asyncio.sleep(0)
    await network.some(steps)
    joining.cancel()
    await network.settle()
    await network.settle()
    if joining.cancelled():
        assert network.queues[1].idle.is_set()
        assert network.queues[2].queued == network.queues[2].running == 0
    else:
        assert steps > 1


async def test_one_that_was_refused_and_then_let_in_leaves_nothing() -> None:
    network = Network(2, lambda: Queue(1, 1))
    first, second = await network.join(1), await network.join(1)
    joining = asyncio.create_task(network.queues[2].ticket("u", MODEL, 0, PROMPTS))
    await asyncio.sleep(0)
    network.queues[2].lost(1)  # it tells the ticket again
    await network.some(1)
    second.leave()
    await network.settle()
    assert await refused(joining) == "overloaded"
    await ends(first)
    await network.settle()
    assert network.queues[1].idle.is_set()


async def test_one_that_joins_another_line_gets_a_ticket_at_once() -> None:
    network = Network(2, lambda: Queue(1, 1))
    first = await network.join(2, size=PROMPTS.most // 2)
    ticket = first.rejoin(OTHER, PACE)
    assert (ticket.has_slot, ticket.place) == (False, None)  # it is not known yet
    waiting = asyncio.create_task(ticket.wait_for_slot())
    await network.settle()
    await waiting
    assert ticket.has_slot


async def test_one_that_finds_no_place_in_another_line_is_told() -> None:
    network = Network(2, lambda: Queue(3, 1, 1))
    here, there = await network.join(1), await network.join(2, runner=REMOTE)
    for asker in "au":
        await network.join(1, asker, OTHER)
    with pytest.raises(ChatError):
        here.rejoin(OTHER, PACE)
    waiting = there.rejoin(OTHER, PACE)
    await network.settle()
    assert await refused(waiting.wait_for_slot()) == "overloaded"
    waiting = there.rejoin(OTHER, PACE)
    assert await refused(asyncio.gather(waiting.wait_for_slot(), network.settle())) == "overloaded"
    assert network.queues[2].queued == 0


# -- what replicas are told


class Reader:
    """Tells places as an answer does."""

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.told: list[int] = []
        ticket.follow(self.tell)
        self.tell()

    def tell(self) -> None:
        self.ticket.note_told()
        self.told.append(self.ticket.position)

    def look(self) -> None:
        if self.ticket.has_news:
            self.tell()


@pytest.mark.parametrize("heads", [[1], [1, 2, 3]])
async def test_every_place_is_told_once_and_they_fall(time: Time, heads: list[int]) -> None:
    network = Network(len(heads) + 2, lambda: Queue(1, 100))
    readers = [Reader(await network.join(len(heads) + number % 3)) for number in range(12)]
    for number, reader in enumerate(readers):
        reader.ticket.asks()
        reader.ticket.text_started()
        await network.settle()
        time.now += 10.0
        await ends(reader.ticket)
        await network.settle()
        for each in readers[number + 1 :]:
            each.look()
        if number % 4 == 3 and len(heads) > 1:
            network.away.add(heads.pop(0))
            network.live()
    assert [reader.told for reader in readers] == [list(range(number, -1, -1)) for number in range(12)]


async def test_little_is_said() -> None:
    """One line for each change of an answer, and for each place."""
    network = Network(2, lambda: Queue(1, 100))
    await network.settle()
    network.sent.clear()
    ticket = await network.join(2)
    ticket.asks()
    await network.settle()
    ticket.discard_body()
    ticket.text_started()
    await network.settle()
    await ends(ticket)
    await network.settle()
    for _ in range(10):
        await network.settle()
    words = [(sender, text.partition(" ")[0]) for sender, _, text in network.sent]
    assert Counter(words) == {(2, "ticket"): 4, (2, "left"): 1, (1, "stand"): 1, (1, "wait"): 2}


async def test_all_know_how_long_who_comes_now_will_wait(time: Time) -> None:
    network = Network(3, lambda: Queue(1, 100, 1))
    tickets = [await network.join(number % 3 + 1) for number in range(4)]
    waits = [queue.wait(MODEL) for queue in network.queues.values()]
    assert waits[0] > 30
    assert waits == pytest.approx([waits[0]] * 3, rel=0.3)
    assert [queue.wait(OTHER) for queue in network.queues.values()] == [0.0] * 3
    network.sent.clear()
    time.now += 1.0
    await network.settle()
    assert not network.sent
    for ticket in tickets:
        await ends(ticket)
    await network.settle()
    assert max(queue.wait(MODEL) for queue in network.queues.values()) <= 2.0


async def test_what_was_learned_is_known_to_the_next_head() -> None:
    network = Network(2, lambda: Queue(8, 100))
    for _ in range(2):
        tickets = [await network.join(2) for _ in range(2)]
        for ticket in tickets:
            ticket.asks()
            ticket.text_started()
        await network.settle()
    network.away.add(1)
    network.live()
    assert sum(slots([await network.join(2, "another") for _ in range(8)])) == 4


async def test_a_slot_that_crosses_a_refusal_is_none() -> None:
    network = Network(2, lambda: Queue(1, 100))
    ticket = await network.join(2)
    ticket.asks()
    await network.settle()
    network.queues[1].lost(2)
    network.queues[2].lost(1)
    for _ in range(2):
        await network.some(1)
    ticket.refused()
    await asyncio.sleep(0)
    assert not ticket.has_slot
    for _ in range(20):
        await network.some(1)
        assert not ticket.has_slot
    network.live()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stand",
        "stand {}",
        'ticket {"id": "x"}',
        "hello 1",
        "all 7",
        "left null",
        "wait [1]",
        'stand {"id": 1',
        "\0",
    ],
)
@pytest.mark.parametrize("to", [1, 2])
async def test_what_another_version_says_means_nothing(to: int, text: str) -> None:
    network = Network(2, lambda: Queue(1, 100))
    ticket = await network.join(to)
    network.queues[to].heard(3 - to, text)
    network.queues[to].heard(9, "ask null")
    await network.settle()
    assert ticket.has_slot
