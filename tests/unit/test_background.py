import asyncio
from functools import partial

import pytest

from chatproxy.background import background, interruptible, later, repeat


async def test_leaving_cancels_the_task_and_waits_for_its_end() -> None:
    steps = []

    async def run() -> None:
        steps.append("begun")
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("ended")

    async with background(run(), name="slow to end") as task:
        await asyncio.sleep(0)
        assert task.get_name() == "slow to end"
        steps.append("leaving")
    assert steps == ["begun", "leaving", "ended"]
    assert task.cancelled()


async def test_an_exception_of_the_block_ends_the_task_too() -> None:
    with pytest.raises(ValueError, match="why"):
        async with background(asyncio.sleep(60), name="sleeper") as task:
            raise ValueError("why")
    assert task.cancelled()


async def test_the_block_can_retrieve_what_the_task_returned() -> None:
    async with background(asyncio.sleep(0, "done"), name="quick") as task:
        assert await task == "done"


async def test_what_begins_later_ends_with_the_block() -> None:
    steps = []
    begun = asyncio.Event()

    async def run() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("ended")

    async with later(0.001, run, name="late"):
        await begun.wait()
        steps.append("leaving")
    assert steps == ["leaving", "ended"]


async def test_what_would_begin_after_the_block_never_does() -> None:
    steps: list[str] = []

    async def run() -> None:
        steps.append("begun")

    async with later(0.001, run, name="late"):
        pass
    await asyncio.sleep(0.01)
    assert steps == []


async def test_a_look_that_raises_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    looks = 0
    second = asyncio.Event()

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ValueError("the first look")
        second.set()

    async with asyncio.timeout(10), background(repeat(partial(asyncio.sleep, 0.001), look), name="clock"):
        await second.wait()
    (record,) = caplog.records
    assert record.getMessage() == "a periodic task failed by a fault of chatproxy's own"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the first look"


async def test_leaving_while_a_look_runs_waits_for_it_to_be_cancelled() -> None:
    running, ended = asyncio.Event(), False

    async def look() -> None:
        nonlocal ended
        running.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended = True

    async with asyncio.timeout(10), background(repeat(partial(asyncio.sleep, 0), look), name="clock") as task:
        await running.wait()
    assert ended
    assert task.cancelled()


async def test_a_block_that_waits_is_ended_from_elsewhere() -> None:
    async def waiting() -> None:
        async with interruptible(lambda: ConnectionError("enough")) as end:
            asyncio.get_running_loop().call_soon(end.reschedule, 0)
            await asyncio.Event().wait()

    with pytest.raises(ConnectionError, match="enough"):
        await waiting()


async def test_what_a_block_raises_by_itself_stays() -> None:
    with pytest.raises(TimeoutError):
        async with interruptible(lambda: ConnectionError("enough")):
            raise TimeoutError
