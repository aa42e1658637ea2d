"""Positions and estimates, against an Ollama that works on n requests at once, first come first served."""

import asyncio
from random import Random
from typing import Final

import pytest

from chatproxy import clock
from chatproxy.generation import line
from chatproxy.generation.line import PAUSE, Experience
from chatproxy.generation.queue import PROMPTS, Queue
from chatproxy.generation.ticket import LEAST_DRIFT, Ticket
from chatproxy.models.catalog import Runner
from chatproxy.models.pace import Pace

MODEL: Final = Runner("m")
PACE: Final = Pace(tokens_per_second=20.0, load=0.0)  # ten seconds an answer


class Time:
    """The clock of deadlines, moved by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "now", time)
    monkeypatch.setattr(line, "monotonic", time)
    return time


def join(queue: Queue, number: int, *, load: float = 0.0, asker: str = "u") -> list[Ticket]:
    pace = Pace(tokens_per_second=20.0, load=load)
    return [queue.join(asker, MODEL, 0, PROMPTS, pace) for _ in range(number)]


async def starts(ticket: Ticket) -> None:
    ticket.text_started()
    await asyncio.sleep(0)


async def ends(ticket: Ticket) -> None:
    ticket.end(complete=True)
    await asyncio.sleep(0)


async def goes(ticket: Ticket) -> None:
    await ends(ticket)
    ticket.leave()


def places(tickets: list[Ticket]) -> list[int]:
    return [ticket.position for ticket in tickets]


def admitted(tickets: list[Ticket]) -> list[bool]:
    return [ticket.has_slot for ticket in tickets]


def etas(tickets: list[Ticket]) -> list[float]:
    return [ticket.eta for ticket in tickets]


# -- whose turn it is


async def test_with_a_slot_only_as_many_as_are_known_to_be_produced_have_their_turn() -> None:
    tickets = join(Queue(64, 512), 5)
    assert admitted(tickets) == [True, True, False, False, False]
    assert places(tickets) == [0, 1, 2, 3, 4]
    await starts(tickets[0])
    assert places(tickets) == [0, 1, 2, 3, 4]
    await starts(tickets[1])  # Ollama produces two at once
    assert admitted(tickets) == [True, True, True, True, False]
    assert places(tickets) == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("number", [1, 2, 4])
async def test_the_number_that_is_set_is_believed(number: int) -> None:
    tickets = join(Queue(64, 512, number), 8)
    assert admitted(tickets) == [True] * number + [False] * (8 - number)
    assert places(tickets) == [0] * number + list(range(1, 9 - number))


async def test_the_turn_comes_with_the_last_line_before_the_slot_is_given_up() -> None:
    tickets = join(Queue(64, 512), 4)
    await starts(tickets[0])
    await ends(tickets[0])
    assert places(tickets[1:]) == [0, 1, 2]
    assert admitted(tickets) == [True, True, True, False]
    tickets[0].leave()
    assert places(tickets[1:]) == [0, 1, 2]


async def test_who_has_text_was_before_the_others() -> None:
    first, second, third = join(Queue(64, 512), 3)
    await starts(second)  # the requests overtook each other
    assert places([first, second, third]) == [1, 0, 2]


async def test_answers_in_one_piece_show_nothing() -> None:
    queue = Queue(64, 512)
    tickets = join(queue, 4)
    for number, ticket in enumerate(tickets):
        assert places(tickets[number:]) == [0, 1, 2, 3][: 4 - number]
        ticket.text_started()
        await goes(ticket)
    assert places(join(queue, 3)) == [0, 1, 2]


async def test_who_gives_up_in_ollamas_queue_lets_the_others_move() -> None:
    tickets = join(Queue(64, 512, 2), 5)
    tickets[1].leave()
    tickets[3].leave()
    assert places([tickets[0], tickets[2], tickets[4]]) == [0, 0, 1]


class Simulation:
    """A queue before an Ollama that has that many places, first come first served; both act at once."""

    def __init__(self, queue: Queue, places: int) -> None:
        self.queue = queue
        self.busy: list[Ticket] = []
        self.ended = 0
        self.told: list[tuple[Ticket, int, int]] = []  # a new position, and how many had ended by then
        self.granted: dict[Ticket, int] = {}  # how many had ended by then
        self._places = places
        self._tickets: list[Ticket] = []
        self._sent: dict[Ticket, None] = {}

    async def send(self, user: str = "u") -> None:
        self._tickets.append(self.queue.join(user, MODEL, 0, PROMPTS, PACE))
        await self._go_on()
        self._look()

    async def end(self, ticket: Ticket) -> None:
        self.busy.remove(ticket)
        self.ended += 1
        ticket.end(complete=True)
        await self._grant()
        await goes(ticket)
        await self._go_on()
        self._look()

    def _look(self) -> None:
        for ticket in self._tickets:
            if ticket.waits and ticket.has_news:
                self.told.append((ticket, ticket.position, self.ended))
                ticket.note_told()

    async def _go_on(self) -> None:
        admitted = [ticket for ticket in self._tickets if ticket.has_slot and ticket not in self._sent]
        self._sent |= dict.fromkeys(admitted)
        await self._grant()
        if admitted:
            await self._go_on()

    async def _grant(self) -> None:
        for ticket in [ticket for ticket in self._sent if ticket not in self.granted]:
            if len(self.busy) < self._places:
                self.busy.append(ticket)
                self.granted[ticket] = self.ended
                await starts(ticket)


@pytest.mark.parametrize("is_set", [False, True])
@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("seed", range(5))
async def test_a_position_is_how_many_end_before_it_is_its_turn(number: int, is_set: bool, seed: int) -> None:
    random = Random(seed)
    run = Simulation(Queue(64, 512, number if is_set else None), number)
    if not is_set:  # let it learn the number
        for _ in range(2 * number):
            await run.send()
        run.told.clear()
    for _ in range(500):
        if len(run.busy) + run.queue.queued < 8 and (not run.busy or random.random() < 0.6):
            await run.send()
        else:
            await run.end(random.choice(run.busy))
    while run.busy:
        await run.end(random.choice(run.busy))
    assert len(run.told) > 200
    assert [told for told in run.told if run.granted[told[0]] - told[2] != told[1]] == []


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize(("users", "messages"), [(2, 4), (3, 6), (8, 2), (1, 20)])
async def test_so_it_is_with_several_messages_of_each_user(users: int, messages: int, number: int) -> None:
    """If nobody comes meanwhile, and answers end in the order in which they began."""
    for seed in range(5):
        run = Simulation(Queue(64, 512, number), number)
        names = [f"user {each}" for each in range(users)] * messages
        Random(seed).shuffle(names)
        for name in names:
            await run.send(name)
        at = len(run.told)
        while run.busy:
            await run.end(run.busy[0])
        after = run.told[at:]
        assert len(after) > len(names) - 2 * number
        assert [told for told in after if run.granted[told[0]] - told[2] != told[1]] == []


async def test_who_is_cancelled_in_the_line_is_in_nobodys_way() -> None:
    tickets = join(Queue(64, 512, 1), 4)
    tickets[1].end(complete=False)  # stored later, and only then it leaves
    await asyncio.sleep(0)
    assert places(tickets) == [0, 0, 1, 2]
    await ends(tickets[0])
    assert admitted(tickets) == [True, False, True, False]
    tickets[1].leave()
    assert places(tickets[2:]) == [0, 1]


async def test_a_request_that_is_sent_again_is_behind_the_others() -> None:
    first, second, third = tickets = join(Queue(64, 512, 2), 3)
    for ticket in (first, second):
        ticket.asks()
    first.asks()  # its prompt was too long
    assert places(tickets) == [0, 0, 1]
    first, second, third = tickets = join(Queue(64, 512), 3)
    for ticket in (first, second, first):
        ticket.asks()
    assert places([second, first, third]) == [0, 1, 2]


async def test_requests_are_in_the_order_in_which_they_are_sent() -> None:
    first, second = join(Queue(64, 512), 2)
    second.asks()
    first.asks()
    assert places([second, first]) == [0, 1]


# -- how many at once


async def learned(queue: Queue, number: int) -> None:
    """Have so many answers written at once."""
    while (tickets := join(queue, number)) and not all(admitted(tickets)):
        for ticket in tickets:
            ticket.asks()
            await starts(ticket)
        for ticket in tickets:
            ticket.leave()
    for ticket in tickets:
        ticket.asks()
        await starts(ticket)
    for ticket in tickets:
        await goes(ticket)


def known(queue: Queue) -> int:
    """Return how many answers a queue without tickets takes for those that are produced at once."""
    tickets = join(queue, 20)
    number = sum(ticket.position == 0 for ticket in tickets)
    for ticket in reversed(tickets):
        ticket.leave()
    return number


async def test_who_meets_the_end_of_another_had_not_to_wait_for_it(time: Time) -> None:
    await learned(queue := Queue(64, 512), 4)
    (last,) = join(queue, 1)
    await starts(last)
    for _ in range(40):
        (ticket,) = join(queue, 1)
        ticket.asks()
        time.now += 1.0
        await goes(last)  # while its prompt is read
        await starts(ticket)
        last = ticket
    await goes(last)
    assert known(queue) == 4


async def test_beside_answers_in_one_piece_the_number_stays(time: Time) -> None:
    await learned(queue := Queue(64, 512), 4)
    whole = join(queue, 3)
    for ticket in whole:
        ticket.asks()
    for number in range(40):
        streams = join(queue, 2)
        time.now += 1.0
        for ticket in streams:
            ticket.asks()
        time.now += 1.0
        await starts(streams[0])
        await goes(streams[0])
        await starts(streams[1])
        await goes(whole[number % 3])
        whole[number % 3] = join(queue, 1)[0]
        whole[number % 3].asks()
        await goes(streams[1])
    for ticket in whole:
        ticket.leave()
    assert known(queue) == 4


async def test_what_generates_keeps_its_turn(time: Time) -> None:
    await learned(queue := Queue(64, 512), 2)
    tickets = join(queue, 4)
    for ticket in tickets[:2]:
        ticket.asks()
        await starts(ticket)
    time.now += 4000.0
    queue.tick()
    assert places(tickets) == [0, 0, 1, 2]


async def test_with_more_slots_the_turns_are_others(time: Time) -> None:
    queue = Queue(64, 512)
    a = join(queue, 4, asker="a")
    b = join(queue, 2, asker="b")
    await starts(a[0])
    await starts(a[1])
    assert admitted(a + b) == [True, True, False, False, True, True]


async def test_what_was_not_seen_for_an_hour_is_not_believed(time: Time) -> None:
    await learned(queue := Queue(64, 512), 4)
    time.now += 3500.0
    assert known(queue) == 4
    time.now += 200.0
    assert known(queue) == 1


async def test_cancelled_answers_do_not_say_how_long_they_take(time: Time) -> None:
    queue = Queue(64, 512)
    for _ in range(40):
        (ticket,) = join(queue, 1)
        await starts(ticket)
        time.now += 1.0
        ticket.end(complete=False)
        await asyncio.sleep(0)
        ticket.leave()
    assert etas(join(queue, 2)) == [0.0, 10.0]


# -- how long it takes


async def test_a_load_counts_once(time: Time) -> None:
    first, second, third = join(Queue(64, 512), 3, load=60.0)
    assert etas([second, third]) == [70.0, 80.0]
    time.now += 60.0
    await starts(first)
    time.now += 10.0
    await goes(first)
    assert etas([third]) == [10.0]


async def test_of_a_loaded_model_reading_counts_in_the_first_answer_too(time: Time) -> None:
    queue = Queue(64, 512)
    for seconds in (5.0, 0.0):  # the last one in one piece
        (ticket,) = join(queue, 1)
        time.now += 30.0
        ticket.text_started()
        time.now += seconds
        await goes(ticket)
    assert etas(join(queue, 2)) == [0.0, 32.5]


async def test_reading_the_prompt_is_part_of_what_an_answer_takes(time: Time) -> None:
    queue = Queue(64, 512)
    first, second, *others = join(queue, 5)
    await starts(first)
    await goes(first)
    time.now += 30.0  # it is read
    await starts(second)
    time.now += 10.0
    await goes(second)
    assert queue.eta == pytest.approx(40.0 + 20.0)  # one took forty seconds, and one none
    time.now += 30.0
    await starts(others[0])
    queue.tick()
    assert others[1].eta == pytest.approx(10.0)


async def test_no_estimate_is_negative(time: Time) -> None:
    queue = Queue(64, 512, 1)
    first, second = join(queue, 2)
    await starts(first)
    assert (queue.eta, second.eta) == (10.0, 10.0)
    time.now += 11.0
    assert (queue.eta, second.eta) == (0.0, 0.0)


async def test_the_limit_of_all_runners_is_one_of_the_places_too(time: Time) -> None:
    tickets = join(Queue(1, 512, 4), 4)
    assert etas(tickets) == [0.0, 10.0, 20.0, 30.0]


async def test_before_the_first_answer_its_model_says_how_long(time: Time) -> None:
    tickets = join(Queue(64, 512), 3, load=4.0)
    assert etas(tickets[1:]) == [14.0, 24.0]
    time.now += 6.0  # two seconds of which were not loading
    assert etas(join(queue := Queue(64, 512, 1), 2)) == [0.0, 10.0]
    await starts(tickets[0])
    assert queue.eta == 10.0


async def test_the_last_answers_say_how_long(time: Time) -> None:
    queue = Queue(64, 512)
    tickets = join(queue, 6)
    for seconds, ticket in zip([3.0, 5.0], tickets, strict=False):
        await starts(ticket)
        time.now += seconds
        await goes(ticket)
    assert places(tickets[2:]) == [0, 1, 2, 3]
    assert etas(tickets[3:]) == [4.0, 8.0, 12.0]
    await starts(tickets[2])
    time.now += 3.5  # longer than one of them took
    queue.tick()
    assert queue.eta == pytest.approx(1.5 + 4.0 + 4.0)
    time.now += 10.0  # longer than any
    queue.tick()
    assert queue.eta == pytest.approx(2.0 + 4.0 + 4.0)


async def test_places_are_filled_as_they_become_free(time: Time) -> None:
    queue = Queue(64, 512, 2)
    tickets = join(queue, 2)
    for ticket in tickets:
        await starts(ticket)
    time.now += 4.0
    tickets += join(queue, 4)
    assert etas(tickets[2:]) == [6.0, 6.0, 16.0, 16.0]


async def test_of_a_cold_model_only_the_text_is_timed(time: Time) -> None:
    queue = Queue(64, 512)
    first, second = join(queue, 2, load=40.0)
    time.now += 30.0  # it was loaded
    await starts(first)
    time.now += 2.0
    await goes(first)
    time.now += 1.0  # the prompt was read
    await starts(second)
    time.now += 2.0
    third, fourth = join(queue, 2)
    await goes(second)
    assert etas([fourth]) == [2.5]
    third.leave()
    fourth.leave()
    assert etas(join(queue, 2)) == [0.0, 2.5]  # and what was learned stays


async def test_a_new_estimate_is_told_if_the_difference_matters(time: Time) -> None:
    queue = Queue(64, 512, 1)
    first, second = join(queue, 2)
    assert second.has_news
    second.note_told()
    await starts(first)
    for _ in range(6):
        time.now += 1.0
        queue.tick()
        assert not second.has_news  # it is as was said
    time.now += 4.0 + LEAST_DRIFT
    queue.tick()
    assert second.has_news
    assert second.eta == 5.0
    second.note_told()
    assert not second.has_news


def test_an_answer_that_outlasts_all_others_goes_on_for_a_while() -> None:
    experience = Experience()
    assert experience.typical(PACE) == 10.0
    assert [experience.left(elapsed, PACE) for elapsed in (4.0, 11.0)] == [6.0, 5.0]
    for seconds in (1.0, 3.0):
        experience.took(seconds)
    assert [experience.left(elapsed, PACE) for elapsed in (0.0, 2.0, 9.0)] == [2.0, 1.0, 1.0]


async def test_a_place_that_is_not_ours_takes_as_long_as_an_answer(time: Time) -> None:
    queue = Queue(1, 512)
    queue.join("u", Runner("other"), 0, PROMPTS, PACE)
    assert etas(join(queue, 2)) == [10.0, 20.0]


# -- an Ollama that has no room


async def test_who_was_refused_is_next_and_the_order_stays(time: Time) -> None:
    queue = Queue(64, 512, 2)
    tickets = join(queue, 5)
    for ticket in tickets[:2]:
        ticket.asks()
    tickets[1].refused()  # the answers come in any order
    tickets[0].refused()
    assert admitted(tickets) == [False] * 5
    assert places(tickets) == [1, 2, 3, 4, 5]
    for _ in range(5):  # always the same one is tried
        time.now += PAUSE
        queue.tick()
        queue.tick()
        assert admitted(tickets) == [True, False, False, False, False]
        assert places(tickets) == [1, 2, 3, 4, 5]
        tickets[0].asks()
        assert places(tickets) == [1, 2, 3, 4, 5]
        tickets[0].refused()
        assert places(tickets) == [1, 2, 3, 4, 5]
    for number in range(2):
        time.now += PAUSE
        queue.tick()
        queue.tick()
        assert sum(admitted(tickets)) == number + 1
        tickets[number].asks()
    time.now += PAUSE
    queue.tick()
    assert places(tickets) == [0, 0, 1, 2, 3]
    await goes(tickets[0])
    assert admitted(tickets)[1:] == [True, True, False, False]


async def test_an_ollama_that_goes_on_has_room_again(time: Time) -> None:
    queue = Queue(64, 512, 2)
    tickets = join(queue, 6)
    tickets[0].refused()
    time.now += PAUSE
    queue.tick()
    assert admitted(tickets)[:3] == [True, True, False]
    await goes(tickets[1])  # without a word, as answers in one piece do
    time.now += PAUSE
    queue.tick()
    await goes(tickets[0])
    await goes(tickets[2])
    assert sum(admitted(tickets[3:])) == 2


async def test_who_was_refused_again_and_again_keeps_its_place(time: Time) -> None:
    queue = Queue(64, 512)
    (first,) = join(queue, 1, asker="a")
    for number in range(10):
        first.refused()
        join(queue, 1, asker=f"other {number}")
        time.now += PAUSE
        queue.tick()
        assert admitted([first]) == [True]
    assert queue.running == 1


async def test_a_refused_one_counts_for_its_user_as_before(time: Time) -> None:
    queue = Queue(64, 512, 1)
    a = join(queue, 1, asker="a")
    a[0].refused()
    a += join(queue, 2, asker="a")
    b = join(queue, 2, asker="b")
    assert places(a + b) == [1, 3, 5, 2, 4]


async def test_who_gives_up_after_a_refusal_leaves_nothing(time: Time) -> None:
    queue = Queue(64, 512, 1)
    first, second = join(queue, 2)
    first.refused()
    first.leave()
    time.now += PAUSE
    queue.tick()
    assert admitted([second]) == [True]
    second.leave()
    assert (queue.running, queue.queued, queue.active, queue.eta) == (0, 0, 0, 0.0)


def test_there_is_experience_with_a_bounded_number_of_runners() -> None:
    queue = Queue(64, 512)
    for number in range(1000):
        queue.join("u", Runner(f"m{number}"), 0, PROMPTS).leave()
    assert len(queue._experience) == 64
