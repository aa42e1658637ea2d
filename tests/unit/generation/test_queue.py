"""Who gets a slot, and who waits at which position."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatproxy.errors import ChatError
from chatproxy.generation.line import STARTS
from chatproxy.generation.queue import BODIES, PROMPTS, SMALL, Queue
from chatproxy.generation.ticket import Ticket
from chatproxy.models.catalog import Runner
from chatproxy.models.pace import UNKNOWN

MODEL: Final = Runner("m")
OTHER: Final = Runner("other")


def join(queue: Queue, number: int, model: Runner = MODEL) -> list[Ticket]:
    return [queue.join("u", model, 0, PROMPTS) for _ in range(number)]


def admitted(ticket: Ticket) -> bool:
    return ticket.has_slot


def places(tickets: list[Ticket]) -> list[int]:
    return [ticket.position for ticket in tickets]


def test_first_come_first_served() -> None:
    tickets = join(Queue(1, 10), 4)
    assert places(tickets) == [0, 1, 2, 3]
    tickets[0].leave()
    assert places(tickets[1:]) == [0, 1, 2]
    assert [admitted(ticket) for ticket in tickets[1:]] == [True, False, False]


def test_it_is_idle_without_tickets() -> None:
    queue = Queue(1, 10)
    assert queue.idle.is_set()
    tickets = [*join(queue, 2), *join(queue, 1, OTHER)]
    for ticket in tickets:
        assert not queue.idle.is_set()
        ticket.leave()
        ticket.leave()
    assert queue.idle.is_set()


async def test_a_ticket_is_called_at_its_turn_and_has_news_of_its_place_before() -> None:
    tickets = join(Queue(1, 10), 4)
    turns: list[int] = []
    for number, ticket in enumerate(tickets):
        ticket.follow(lambda number=number: turns.append(number))  # type: ignore[misc]
        ticket.note_told()
    waiting = [asyncio.create_task(ticket.wait_for_slot()) for ticket in tickets]
    await asyncio.sleep(0)
    tickets[2].leave()  # gives up waiting: only the one behind it moves
    assert [ticket.has_news for ticket in tickets[1:]] == [False, False, True]
    tickets[0].leave()
    await asyncio.gather(waiting[0], waiting[1])
    assert turns == [1]
    assert places(tickets) == [0, 0, 0, 1]
    assert not waiting[3].done()
    for task in waiting[2:]:
        task.cancel()


def test_a_full_queue_refuses_and_keeps_nothing() -> None:
    queue = Queue(1, 2)
    tickets = join(queue, 3)
    with pytest.raises(ChatError) as refused:
        queue.join("u", MODEL, 0, PROMPTS)
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 5)
    assert queue.queued == 2
    tickets[2].leave()
    assert queue.join("u", MODEL, 0, PROMPTS).position == 2


def test_with_no_room_to_wait_only_free_slots_are_given() -> None:
    queue = Queue(1, 0)
    assert admitted(queue.join("u", MODEL, 0, PROMPTS))
    with pytest.raises(ChatError):
        queue.join("u", MODEL, 0, PROMPTS)


async def test_the_limit_of_a_model_is_learned() -> None:
    queue = Queue(64, 512)
    tickets = join(queue, 10)
    assert sum(admitted(ticket) for ticket in tickets) == 2
    tickets[0].text_started()  # one at a time is what Ollama does until it shows more
    await asyncio.sleep(0)
    assert sum(admitted(ticket) for ticket in tickets) == 2
    tickets[1].text_started()
    await asyncio.sleep(0)
    assert sum(admitted(ticket) for ticket in tickets) == 4
    for ticket in tickets[2:4]:
        ticket.text_started()
        await asyncio.sleep(0)
    assert sum(admitted(ticket) for ticket in tickets) == 8


async def produce_two_at_once(queue: Queue) -> None:
    tickets = join(queue, 2)
    for ticket in tickets:
        ticket.text_started()
        await asyncio.sleep(0)
    for ticket in tickets:
        ticket.leave()


async def test_what_was_learned_is_forgotten_if_it_is_not_confirmed() -> None:
    queue = Queue(64, 512)
    await produce_two_at_once(queue)
    tickets = join(queue, 5)
    assert sum(admitted(ticket) for ticket in tickets) == 4
    for _ in range(STARTS + 2):  # Ollama was restarted, and produces one at a time now
        assert sum(admitted(ticket) for ticket in tickets) == 4
        tickets[0].text_started()
        await asyncio.sleep(0)
        tickets[0].end(complete=True)
        await asyncio.sleep(0)
        tickets.pop(0).leave()
        tickets += join(queue, 1)
    assert sum(admitted(ticket) for ticket in tickets) == 3  # one of them had its slot already
    assert places(tickets) == [0, 1, 2, 3, 4]


async def test_one_after_the_other_shows_nothing_about_how_many_at_once() -> None:
    queue = Queue(64, 512)
    await produce_two_at_once(queue)
    for _ in range(2 * STARTS):
        (ticket,) = join(queue, 1)
        ticket.text_started()
        await asyncio.sleep(0)
        ticket.end(complete=True)
        await asyncio.sleep(0)
        ticket.leave()
    assert sum(admitted(ticket) for ticket in join(queue, 5)) == 4


async def test_what_shows_no_text_neither_raises_the_limit_nor_resets_it() -> None:
    queue = Queue(64, 512)
    streamed = join(queue, 2)
    for ticket in streamed:
        ticket.text_started()
    await asyncio.sleep(0)
    in_one_piece = join(queue, 6)
    assert sum(admitted(ticket) for ticket in in_one_piece) == 2
    for ticket in (*streamed, in_one_piece[0]):
        ticket.leave()
    assert sum(admitted(ticket) for ticket in in_one_piece) == 5


def test_with_the_number_set_exactly_so_many_of_a_runner_run() -> None:
    queue = Queue(64, 512, 3)
    tickets = join(queue, 10)
    assert places(tickets) == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert places(join(queue, 4, OTHER)) == [0, 0, 0, 1]


@pytest.mark.parametrize("parallel", [None, 1])
def test_what_runs_elsewhere_is_bound_by_the_limit_of_all_alone(parallel: int | None) -> None:
    queue = Queue(5, 512, parallel)
    assert places(join(queue, 7, Runner("cloud", remote=True))) == [0, 0, 0, 0, 0, 1, 2]


def test_models_wait_apart_and_count_together() -> None:
    queue = Queue(3, 512)
    small, large = join(queue, 3, Runner("small")), join(queue, 3, Runner("large"))
    assert [admitted(ticket) for ticket in (*small, *large)] == [True, True, False, True, False, False]
    assert (places(small), places(large)) == ([0, 1, 2], [0, 1, 2])
    small[0].leave()
    assert [admitted(ticket) for ticket in (*small[1:], *large)] == [True, True, True, False, False]
    assert (places(small[1:]), places(large)) == ([0, 1], [0, 1, 2])


async def test_leaving_twice_is_leaving_once() -> None:
    queue = Queue(1, 10)
    tickets = join(queue, 3)
    tickets[0].leave()
    tickets[0].leave()
    tickets[0].text_started()
    await asyncio.sleep(0)
    assert places(tickets[1:]) == [0, 1]
    assert not admitted(tickets[2])


async def test_what_has_ended_does_not_run_together_with_what_begins() -> None:
    """Ollama runs one at a time here, and the end of one came in one read with its beginning."""
    queue = Queue(10, 10)
    first, second, third, fourth = join(queue, 4)
    first.text_started()
    await asyncio.sleep(0)
    second.end(complete=True)
    second.text_started()
    await asyncio.sleep(0)
    assert admitted(third)
    assert not admitted(fourth)


HALF = PROMPTS.most // 2


def test_prompts_are_bounded_in_bytes_until_their_answers_begin() -> None:
    queue = Queue(1, 10)
    first, second = (
        queue.join("u", MODEL, HALF - SMALL - 1, PROMPTS),
        queue.join("u", MODEL, SMALL + 1, PROMPTS),
    )
    with pytest.raises(ChatError) as refused:
        queue.join("u", OTHER, SMALL + 1, PROMPTS)
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 5)
    assert queue.queued == 1
    first.discard_body()
    queue.join("u", MODEL, HALF - SMALL - 1, PROMPTS)
    with pytest.raises(ChatError):
        queue.join("u", MODEL, SMALL + 1, PROMPTS)
    second.leave()
    queue.join("u", MODEL, SMALL + 1, PROMPTS)


def test_a_user_with_large_prompts_leaves_room_for_those_of_others() -> None:
    queue, megabyte = Queue(1, 512), 1024 * 1024
    for user, most in (("a", 48), ("b", 24), ("c", 12)):
        for _ in range(most):
            queue.join(user, MODEL, megabyte, PROMPTS)
        with pytest.raises(ChatError):
            queue.join(user, MODEL, megabyte, PROMPTS)
    for user in "abcd":
        queue.join(user, MODEL, SMALL, PROMPTS)


def test_what_is_passed_on_has_a_room_of_its_own() -> None:
    queue = Queue(1, 10)
    queue.join("u", MODEL, HALF, PROMPTS)
    queue.join("u", MODEL, BODIES.most // 2, BODIES)
    for room in (PROMPTS, BODIES):
        with pytest.raises(ChatError) as refused:
            queue.join("u", MODEL, SMALL + 1, room)
        assert (refused.value.code, refused.value.retry_after) == ("overloaded", 5)
        queue.join("u", MODEL, SMALL, room)


def test_a_prompt_that_was_taken_is_taken_along_to_another_model() -> None:
    queue = Queue(2, 10)
    first = queue.join("a", MODEL, HALF, PROMPTS)
    queue.join("b", MODEL, HALF // 2, PROMPTS)
    assert admitted(first.rejoin(OTHER, UNKNOWN))


def test_a_user_who_fills_the_queue_leaves_a_place_for_each_other() -> None:
    queue = Queue(1, 3)
    for _ in range(4):
        queue.join("a", MODEL, 0, PROMPTS)
    assert [queue.join(user, MODEL, 0, PROMPTS).position for user in "bcd"] == [1, 2, 3]
    for user in "abe":  # "e" has none, but there are twice as many as there should be
        with pytest.raises(ChatError):
            queue.join(user, MODEL, 0, PROMPTS)
    assert queue.queued == 6


# -- the turns of those who ask


class Burst:
    """Tickets by name: who asks, and a number in the order in which they came."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.tickets: dict[str, Ticket] = {}

    def join(self, asker: str, number: int = 1, runner: Runner = MODEL) -> None:
        for _ in range(number):
            own = sum(name.startswith(asker) for name in self.tickets)
            self.tickets[f"{asker}{own}"] = self.queue.join(asker, runner, 0, PROMPTS)

    def running(self) -> list[str]:
        return [name for name, ticket in self.tickets.items() if admitted(ticket)]

    def line(self) -> list[str]:
        """The names of those who wait, in the order of their positions."""
        waiting = {ticket.position: name for name, ticket in self.tickets.items() if ticket.position}
        return [waiting[position] for position in sorted(waiting)]

    def leave(self, name: str) -> None:
        self.tickets.pop(name).leave()


@pytest.mark.parametrize("slots", [1, 2, 64])
def test_one_of_another_is_next_behind_a_hundred_of_one(slots: int) -> None:
    burst = Burst(Queue(slots, 512, slots))
    burst.join("a", 100)
    burst.join("b")
    if slots < 64:
        assert burst.line()[0] == "b0"
    burst.leave("a0")
    assert "b0" in burst.running()


def test_users_take_turns_and_positions_say_so() -> None:
    burst = Burst(Queue(1, 512))
    burst.join("a", 4)
    burst.join("b", 3)
    burst.join("c")
    order = ["b0", "c0", "a1", "b1", "a2", "b2", "a3"]
    while order:
        assert burst.line() == order
        burst.leave(burst.running()[0])
        assert burst.running() == [order.pop(0)]


def test_who_holds_all_slots_by_many_models_gives_them_up_as_another_waits() -> None:
    burst = Burst(Queue(8, 512))
    for number in range(20):
        burst.join("a", 1, Runner(f"model {number}"))
    burst.join("b", 20, Runner("its own", remote=True))
    for _ in range(4):
        burst.leave(next(name for name in burst.running() if name[0] == "a"))
    assert sorted(name[0] for name in burst.running()) == list("aaaabbbb")
    burst.leave(burst.running()[0])
    assert sorted(name[0] for name in burst.running()) == list("aaaabbbb")


def test_one_who_waits_behind_another_gets_a_share_of_all_slots_too() -> None:
    """They share a line, in which the other is next, and has many lines besides."""
    burst = Burst(Queue(8, 512))
    shared = Runner("shared", remote=True)
    for number in range(40):
        burst.join("a", 1, Runner(f"model {number}"))
    burst.join("a", 20, shared)
    burst.join("b", 20, shared)
    for _ in range(12):
        burst.leave(next(name for name in burst.running() if name[0] == "a"))
    assert sum(name[0] == "b" for name in burst.running()) == 4


class Model:
    """Checks what holds after any steps, and how many grants those without a slot wait for."""

    def __init__(self, queue: Queue, most_running: int) -> None:
        self.queue = queue
        self.most_running = most_running
        self.tickets: list[Ticket] = []  # in the order in which they came
        self.most_askers = 1
        self.passed_over: Counter[Ticket] = Counter()

    def step(self, act: Callable[[], list[Ticket]]) -> None:
        """Let `act` change something; it returns the tickets that are new."""
        waiting = [ticket for ticket in self.tickets if not admitted(ticket)]
        self.tickets += act()
        self.most_askers = max(self.most_askers, len({ticket.asker for ticket in self.tickets}))
        self.check_positions()
        self.check_grants([ticket for ticket in waiting if admitted(ticket) and ticket in self.tickets])

    def leave(self, ticket: Ticket) -> list[Ticket]:
        self.tickets.remove(ticket)
        ticket.leave()
        return []

    def check_positions(self) -> None:
        running = Counter(ticket.runner for ticket in self.tickets if admitted(ticket))
        for runner in {ticket.runner for ticket in self.tickets}:
            line = [ticket for ticket in self.tickets if ticket.runner == runner and ticket.position]
            assert sorted(places(line)) == list(range(1, len(line) + 1))
            for asker in {ticket.asker for ticket in line}:
                own = [ticket.position for ticket in line if ticket.asker == asker]
                assert own == sorted(own)
            assert max(places([ticket for ticket in self.tickets if admitted(ticket)])) <= 1
            if not all(admitted(ticket) for ticket in line):
                assert running[runner] == 2 or running.total() == self.most_running
        assert self.queue.running == running.total()

    def check_grants(self, granted: list[Ticket]) -> None:
        for ticket in granted:
            line = [other for other in self.tickets if other.runner == ticket.runner]
            slots = Counter(other.asker for other in line if admitted(other) and other not in granted)
            others = [other for other in line if not admitted(other) or other in granted]
            assert slots[ticket.asker] <= min(slots[other.asker] for other in others) + len(granted) - 1
        with_slot = {ticket.asker for ticket in self.tickets if admitted(ticket)}
        in_line = {(ticket.asker, ticket.runner) for ticket in self.tickets if admitted(ticket)}
        full = Counter(ticket.runner for ticket in self.tickets if admitted(ticket))
        for ticket in self.tickets:
            if admitted(ticket):
                continue
            here = sum(other.runner == ticket.runner for other in granted)
            if (ticket.asker, ticket.runner) in in_line or (
                full[ticket.runner] < 2 and ticket.asker in with_slot
            ):
                self.passed_over[ticket] = 0  # it is the turn of those who have less
            elif full[ticket.runner] == 2:
                self.passed_over[ticket] += here
            else:
                self.passed_over[ticket] += len(granted)
            first = all(
                other is ticket or other.number > ticket.number
                for other in self.tickets
                if not admitted(other) and other.runner == ticket.runner and other.asker == ticket.asker
            )
            if first:
                assert self.passed_over[ticket] <= 5 * self.most_askers
            else:
                self.passed_over[ticket] = 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_everybody_is_served_in_turn(data: st.DataObject) -> None:
    most_running = data.draw(st.sampled_from([1, 3, 6]))
    model = Model(queue := Queue(most_running, 512), most_running)
    runners = [Runner(name) for name in "xyz"]
    for _ in range(data.draw(st.integers(1, 80))):
        kind = data.draw(st.sampled_from(["join", "join", "end", "end", "give up"]))
        chosen = [ticket for ticket in model.tickets if admitted(ticket) != (kind == "give up")]
        if kind == "join" or not chosen:
            asker, runner = data.draw(st.sampled_from("abcdefgh")), data.draw(st.sampled_from(runners))
            model.step(lambda asker=asker, runner=runner: [queue.join(asker, runner, 0, PROMPTS)])  # type: ignore[misc]
        else:
            ticket = data.draw(st.sampled_from(chosen))
            model.step(lambda ticket=ticket: model.leave(ticket))  # type: ignore[misc]
    while model.tickets:  # nothing is left over
        model.step(lambda: model.leave(next(ticket for ticket in model.tickets if admitted(ticket))))
