"""The clock of deadlines, which a pause of the process does not move on."""

import asyncio
import time

import pytest

from chatproxy import clock


@pytest.fixture(autouse=True)
def short_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "STEP", 0.05)


def test_a_pause_counts_as_one_step() -> None:
    before = clock.now()
    time.sleep(0.3)
    assert 0 < clock.now() - before <= 0.051


def test_what_is_read_often_keeps_time() -> None:
    before, began = clock.now(), time.monotonic()
    while time.monotonic() - began < 0.2:
        clock.now()
    assert clock.now() - before > 0.05


async def test_what_arrives_after_a_pause_is_not_late() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(time.sleep, 0.3)
    loop.call_later(0.1, loop.call_later, 0.01, future.set_result, None)
    assert await clock.wait(future, 0.2)


async def test_what_never_arrives_is_late() -> None:
    assert not await clock.wait(asyncio.get_running_loop().create_future(), 0.01)


async def test_a_wait_keeps_time_by_itself() -> None:
    began = time.monotonic()
    assert not await clock.wait(asyncio.get_running_loop().create_future(), 0.5)
    assert 0.4 < time.monotonic() - began < 1.5


async def test_there_is_a_look_only_if_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "LOOK", 0.01)
    looks = clock.Looks()
    watching = [asyncio.create_task(looks.next()) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in watching)
    looks.want()
    looks.want()
    await asyncio.gather(*watching)
    following = asyncio.create_task(looks.next())
    await asyncio.sleep(0.1)
    assert not following.done()
    looks.want()
    await following


async def test_looks_keep_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "LOOK", 0.01)
    looks = clock.Looks()
    before, began = clock.now(), time.monotonic()
    while time.monotonic() - began < 0.3:
        looks.want()
        await looks.next()
    assert clock.now() - before > 0.05


async def test_a_block_ends_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with clock.timeout(0.2):
            await asyncio.sleep(60)
    assert 0.15 < time.monotonic() - began < 1.0


async def test_a_pause_ends_no_block() -> None:
    loop = asyncio.get_running_loop()
    async with clock.timeout(0.2):
        loop.call_soon(time.sleep, 0.3)
        await asyncio.sleep(0.01)


async def test_a_block_that_ends_by_itself_is_not_late() -> None:
    async with clock.timeout(0.01):
        pass
    await asyncio.sleep(0.03)
