"""Fair slots: whose turn it is, who is refused, and what a caller who leaves gives back."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chatproxy.errors import ChatError
from chatproxy.fair import FairSlots, Turns, surplus


def full() -> ChatError:
    return ChatError("overloaded", "Try again later.", retry_after=3)


def slots(
    number: int = 1, places: int = 100, *, per_user: int = 100, places_per_user: int = 100
) -> FairSlots:
    return FairSlots(number, places, slots_per_user=per_user, places_per_user=places_per_user, refusal=full)


class Jobs:
    """Jobs that hold a slot until they are released, in the order in which they got it."""

    def __init__(self, shares: FairSlots) -> None:
        self.shares = shares
        self.started: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    def add(self, name: str) -> "asyncio.Task[None]":
        """Start a job; the user is the first letter of its name."""
        self._ends[name] = asyncio.Event()
        return asyncio.create_task(self._run(name))

    async def _run(self, name: str) -> None:
        async with self.shares.slot(name[0]):
            self.started.append(name)
            await self._ends[name].wait()

    def end(self, name: str) -> None:
        """Let a job return its slot."""
        self._ends[name].set()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@contextmanager
def cancelling(*tasks: "asyncio.Task[None]") -> Iterator[None]:
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def run_in_turn(jobs: Jobs, names: list[str]) -> list[str]:
    """Return the order in which all jobs start, if each ends as soon as it has started."""
    tasks = [jobs.add(name) for name in names]
    for number in range(len(names)):
        await settle()
        jobs.end(jobs.started[number])
    await asyncio.gather(*tasks)
    return jobs.started


async def test_a_user_with_many_jobs_does_not_keep_out_another() -> None:
    names = [*(f"a{number}" for number in range(10)), "b0"]
    order = await run_in_turn(Jobs(slots()), names)
    assert order.index("b0") == 1


async def test_users_take_turns() -> None:
    order = await run_in_turn(Jobs(slots()), ["a0", "a1", "a2", "b0", "b1", "c0"])
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2"]


async def test_one_user_is_served_in_order() -> None:
    names = [f"a{number}" for number in range(20)]
    assert await run_in_turn(Jobs(slots()), names) == names


async def test_the_last_slots_are_kept_for_other_users() -> None:
    jobs = Jobs(slots(3, per_user=2))
    with cancelling(*[jobs.add(name) for name in ("a0", "a1", "a2")]):
        await settle()
        assert jobs.started == ["a0", "a1"]
        with cancelling(jobs.add("b0")):
            await settle()
            assert jobs.started == ["a0", "a1", "b0"]


async def test_those_who_fill_the_places_are_refused_and_others_are_not() -> None:
    jobs = Jobs(slots(1, 3, places_per_user=2))
    waiting = [jobs.add(name) for name in ("a0", "a1", "a2")]
    with cancelling(*waiting):
        await settle()
        with pytest.raises(ChatError) as refused:
            await jobs.add("a3")
        assert (refused.value.code, refused.value.retry_after) == ("overloaded", 3)
        others = [jobs.add(name) for name in ("b0", "c0", "d0", "e0")]
        with cancelling(*others):
            await settle()
            assert not any(task.done() for task in others)
            with pytest.raises(ChatError):
                await jobs.add("b1")  # of the three places, none is free
            with pytest.raises(ChatError):
                await jobs.add("f0")  # twice as many have been given


@pytest.mark.parametrize("moment", ["while waiting", "just as it was granted", "while working"])
async def test_a_caller_who_is_cancelled_gives_everything_back(moment: str) -> None:
    jobs = Jobs(slots())
    first, second = jobs.add("a0"), jobs.add("b0")
    await settle()
    if moment == "while working":
        first.cancel()
    else:
        if moment == "just as it was granted":
            jobs.end("a0")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        second.cancel()
        await settle()
        jobs.end("a0")
    third = jobs.add("c0")
    await settle()
    jobs.end("b0")
    await settle()
    assert jobs.started[-1] == "c0"
    jobs.end("c0")
    await third


async def test_a_user_who_comes_back_each_time_gets_no_more_than_others() -> None:
    jobs = Jobs(slots())
    tasks = [jobs.add(name) for name in ("d0", *(f"{user}{number}" for user in "abc" for number in range(4)))]
    with cancelling(*tasks):
        for number in range(12):
            await settle()
            jobs.end(jobs.started[number])
            if jobs.started[number][0] == "d":  # one job at a time
                await settle()
                tasks.append(jobs.add(f"d{number + 1}"))
        assert "".join(name[0] for name in jobs.started[:12]) == "dabc" * 3


async def test_one_who_waits_is_served_however_many_new_users_come() -> None:
    jobs = Jobs(slots())
    with cancelling(*[jobs.add(name) for name in ("a0", "a1")]):
        tasks = []
        for number in range(20):
            tasks.append(jobs.add(f"{chr(98 + number)}0"))
            await settle()
            jobs.end(jobs.started[-1])
        await settle()
        assert jobs.started.index("a1") <= 4
        for task in tasks:
            task.cancel()


def test_nothing_is_kept_of_users_who_have_left() -> None:
    turns = Turns()
    for number in range(100):
        turns.enter(f"user {number}")
        turns.serve(f"user {number}")
        if number >= 3:
            turns.leave(f"user {number - 3}", served=True)
    assert len(turns._served) <= 10
    for number in range(97, 100):
        turns.leave(f"user {number}", served=True)
    assert not turns._served
    assert not turns._present
    assert not turns.slots


async def test_callers_who_leave_together() -> None:
    """One of them gives back a slot while another, who waits for it, is already cancelled."""
    shares = slots()
    jobs = Jobs(shares)
    leaving = [jobs.add("a1"), jobs.add("b1")]
    await asyncio.sleep(0)
    for job in leaving:
        job.cancel()
    results = await asyncio.gather(*leaving, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
    async with shares.slot("c"):
        pass


def test_who_has_most_gives_up_first() -> None:
    held = {"a0": ("a", 5), "b0": ("b", 3), "a1": ("a", 4), "b1": ("b", 3)}
    assert list(surplus(held, 15)) == []
    assert list(surplus(held, 14)) == ["a0"]
    assert list(surplus(held, 8)) == ["a0", "b0"]
    assert list(surplus(held, 0)) == ["a0", "b0", "a1", "b1"]


def test_the_order_is_that_of_the_turns_played_forward() -> None:
    turns = Turns()
    for user in "acca":
        turns.enter(user)
    assert turns.order({"a": [0, 3], "c": [1, 2]}, [], free=1, ahead=[]) == [0, 1, 3, 2]
    waiting = {"c": [1, 2], "a": [3]}
    assert turns.order(waiting, [], free=0, ahead=[("c", 9)]) == [9, 3, 1, 2]
    turns.serve("a")
    assert turns.order(waiting, ["a"], free=0, ahead=[]) == [1, 3, 2]
    turns.give_back("a")
    assert not turns.slots
