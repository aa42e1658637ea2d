"""Who gets a slot, and who waits at which position."""

import asyncio

import pytest

from chatproxy.errors import ChatError
from chatproxy.generation.queue import MAX_PROMPT_BYTES, Queue, Ticket


def join(queue: Queue, number: int, model: str = "m") -> list[Ticket]:
    return [queue.join(model, 0) for _ in range(number)]


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
        queue.join("m", 0)
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 5)
    assert queue.waiting == 2
    tickets[2].leave()
    assert queue.join("m", 0).position == 2


def test_with_no_room_to_wait_only_free_slots_are_given() -> None:
    queue = Queue(1, 0)
    assert admitted(queue.join("m", 0))
    with pytest.raises(ChatError):
        queue.join("m", 0)


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
    small, large = join(queue, 3, "small"), join(queue, 3, "large")
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


def test_prompts_are_bounded_in_bytes_until_their_answers_begin() -> None:
    queue = Queue(1, 10)
    first, second = queue.join("m", MAX_PROMPT_BYTES - 10), queue.join("m", 10)
    with pytest.raises(ChatError) as refused:
        queue.join("other", 1)
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 5)
    assert queue.waiting == 1
    first.discard_prompt()
    third = queue.join("m", MAX_PROMPT_BYTES - 10)
    with pytest.raises(ChatError):
        queue.join("m", 1)
    first.leave()
    second.leave()
    third.leave()
    assert queue.join("m", 2 * MAX_PROMPT_BYTES).position == 0  # alone
