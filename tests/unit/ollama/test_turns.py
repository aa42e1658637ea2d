"""Work that is never done, and what the event loop does besides."""

import asyncio

import pytest
from waiting import until

from chatproxy.ollama.turns import Turns


async def test_endless_work_leaves_turns_to_others() -> None:
    turns, calls = Turns(), [0, 0]

    def work(number: int) -> None:
        calls[number] += 1
        turns.add(lambda: work(number))

    work(0)
    work(1)
    for number in range(1, 10):
        await until(lambda number=number: sum(calls) > 100 * number)  # type: ignore[misc]
    assert abs(calls[0] - calls[1]) <= 1


async def test_a_fault_stops_nobody_else() -> None:
    turns, done = Turns(), asyncio.Event()
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))

    def fail() -> None:
        raise ZeroDivisionError

    turns.add(fail)
    turns.add(done.set)
    async with asyncio.timeout(10):
        await done.wait()
    with pytest.raises(ZeroDivisionError):
        raise faults[0]  # type: ignore[misc]
