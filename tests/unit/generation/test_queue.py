"""Who gets a slot, and who waits at which position."""

import asyncio
from typing import Final

import pytest

from chatproxy.errors import ChatError
from chatproxy.generation.queue import BODIES, PROMPTS, SMALL, Queue, Ticket
from chatproxy.models.catalog import Runner

MODEL: Final = Runner("m")
OTHER: Final = Runner("other")


def join(queue: Queue, number: int, model: Runner = MODEL) -> list[Ticket]:
    return [queue.join("u", model, 0, PROMPTS) for _ in range(number)]


def admitted(ticket: Ticket) -> bool:
    return ticket.position == 0


def places(tickets: list[Ticket]) -> list[int]:
    return [ticket.position for ticket in tickets]


def test_first_come_first_served() -> None:
    tickets = join(Queue(1, 10), 4)
    assert places(tickets) == [0, 1, 2, 3]
    tickets[0].leave()
    assert places(tickets[1:]) == [0, 1, 2]
    assert [admitted(ticket) for ticket in tickets[1:]] == [True, False, False]


async def test_a_waiting_ticket_is_called_with_its_position_whenever_it_changes() -> None:
    tickets = join(Queue(1, 10), 4)
    positions: dict[int, list[int]] = {number: [] for number in range(4)}
    waiting = [
        asyncio.create_task(ticket.wait_for_slot(positions[number].append))
        for number, ticket in enumerate(tickets)
    ]
    await asyncio.sleep(0)
    tickets[2].leave()  # gives up waiting: only the one behind it moves
    tickets[0].leave()
    await asyncio.gather(waiting[0], waiting[1])
    assert positions == {0: [], 1: [1], 2: [2], 3: [3, 2, 1]}
    assert not waiting[3].done()
    for task in waiting[2:]:
        task.cancel()


def test_a_full_queue_refuses_and_keeps_nothing() -> None:
    queue = Queue(1, 2)
    tickets = join(queue, 3)
    with pytest.raises(ChatError) as refused:
        queue.join("u", MODEL, 0, PROMPTS)
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 5)
    assert queue.waiting == 2
    tickets[2].leave()
    assert queue.join("u", MODEL, 0, PROMPTS).position == 2


def test_with_no_room_to_wait_only_free_slots_are_given() -> None:
    queue = Queue(1, 0)
    assert admitted(queue.join("u", MODEL, 0, PROMPTS))
    with pytest.raises(ChatError):
        queue.join("u", MODEL, 0, PROMPTS)


def test_the_limit_of_a_model_is_learned() -> None:
    queue = Queue(64, 512)
    tickets = join(queue, 10)
    assert sum(admitted(ticket) for ticket in tickets) == 2
    tickets[0].text_started()  # one at a time is what Ollama does until it shows more
    assert sum(admitted(ticket) for ticket in tickets) == 2
    tickets[1].text_started()
    assert sum(admitted(ticket) for ticket in tickets) == 4
    for ticket in tickets[2:4]:
        ticket.text_started()
    assert sum(admitted(ticket) for ticket in tickets) == 8


def test_what_was_learned_is_forgotten_once_a_model_has_nothing_to_do() -> None:
    queue = Queue(64, 512)
    burst = join(queue, 2)
    for ticket in burst:
        ticket.text_started()
    burst[0].leave()
    others = join(queue, 5)
    assert sum(admitted(ticket) for ticket in others) == 3
    for ticket in (burst[1], *others):
        ticket.leave()
    assert sum(admitted(ticket) for ticket in join(queue, 5)) == 2


def test_models_wait_apart_and_count_together() -> None:
    queue = Queue(3, 512)
    small, large = join(queue, 3, Runner("small")), join(queue, 3, Runner("large"))
    assert (places(small), places(large)) == ([0, 0, 1], [0, 1, 2])
    small[0].leave()
    assert (places(small[1:]), places(large)) == ([0, 0], [0, 1, 2])


def test_leaving_twice_is_leaving_once() -> None:
    queue = Queue(1, 10)
    tickets = join(queue, 3)
    tickets[0].leave()
    tickets[0].leave()
    tickets[0].text_started()
    assert places(tickets[1:]) == [0, 1]
    assert not admitted(tickets[2])


def test_what_has_ended_does_not_run_together_with_what_begins() -> None:
    """Ollama runs one at a time here, and the end of one came in one read with its beginning."""
    queue = Queue(10, 10)
    first, second, third = join(queue, 3)
    first.text_started()
    second.text_ended()
    second.text_started()
    assert not admitted(third)


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
    assert queue.waiting == 1
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
    assert admitted(first.rejoin(OTHER))


def test_a_user_who_fills_the_queue_leaves_a_place_for_each_other() -> None:
    queue = Queue(1, 3)
    for _ in range(4):
        queue.join("a", MODEL, 0, PROMPTS)
    assert [queue.join(user, MODEL, 0, PROMPTS).position for user in "bcd"] == [4, 5, 6]
    for user in "abe":  # "e" has none, but there are twice as many as there should be
        with pytest.raises(ChatError):
            queue.join(user, MODEL, 0, PROMPTS)
    assert queue.waiting == 6
