"""Who may have a message prepared, who waits for that, and who is told to come back."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatproxy import clock
from chatproxy.errors import ChatError
from chatproxy.generation import intake
from chatproxy.generation.intake import AT_FIRST, BURST, LATE, LONGEST, SHORT, SLOTS, Intake


class Time:
    """The clock of deadlines, moved by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "now", time)
    monkeypatch.setattr(intake, "HELD", 3600.0)
    return time


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Messages:
    """Messages of users by name: each holds its slot until it is told to leave."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.let_in: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self._leave[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._run(name))
        await settle()

    async def _run(self, name: str) -> None:
        async with self.intake.slot(name[0]):
            self.let_in.append(name)
            await self._leave[name].wait()

    async def leave(self, *names: str) -> None:
        for name in names:
            self._leave[name].set()
            await settle()

    async def refused(self, name: str) -> int:
        """Return the seconds after which a message that is refused may come again."""
        with pytest.raises(ChatError) as refused:
            async with self.intake.slot(name[0]):
                pass
        assert refused.value.code == "overloaded"
        assert refused.value.retry_after is not None
        return refused.value.retry_after


@pytest.fixture
async def messages() -> AsyncIterator[Messages]:
    """Messages of a user `z`, who has all the slots."""
    messages = Messages(Intake())
    await messages.come(*(f"z{number}" for number in range(SLOTS)))
    assert len(messages.let_in) == SLOTS
    messages.let_in.clear()
    yield messages
    for task in messages.tasks.values():
        task.cancel()
    await asyncio.wait(messages.tasks.values())
    assert messages.intake._free == SLOTS  # nothing is left over
    assert not messages.intake._lines


async def test_the_next_one_is_let_in_when_one_leaves(messages: Messages) -> None:
    await messages.come("a0", "a1")
    assert messages.let_in == []
    await messages.leave("z3")
    assert messages.let_in == ["a0"]
    await messages.leave("z4")
    assert messages.let_in == ["a0", "a1"]


async def test_users_take_turns(messages: Messages) -> None:
    await messages.come("a0", "a1", "a2", "b0", "b1", "c0")
    await messages.leave(*(f"z{number}" for number in range(6)))
    assert messages.let_in == ["a0", "b0", "c0", "a1", "b1", "a2"]


async def test_who_has_left_the_line_is_skipped(messages: Messages) -> None:
    await messages.come("a0", "a1", "b0")
    messages.tasks["a0"].cancel()
    await messages.leave("z0", "z1")
    assert messages.let_in == ["b0", "a1"]


async def test_who_leaves_as_it_is_let_in_gives_its_slot_on(messages: Messages) -> None:
    await messages.come("a0", "b0")
    messages.intake._free -= 1
    messages.intake._let_in_next()  # as one that leaves does
    messages.tasks["a0"].cancel()
    await settle()
    assert messages.let_in == ["b0"]


async def test_a_slot_that_is_held_for_long_is_given_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "HELD", 0.01)
    messages = Messages(Intake())
    names = [f"z{number}" for number in range(SLOTS)]
    await messages.come(*names, "a0")
    await messages.leave("a0")
    async with asyncio.timeout(10):
        await messages.tasks["a0"]
    await messages.leave(*names)
    assert messages.intake._free == SLOTS


async def test_a_burst_is_no_overload(messages: Messages) -> None:
    most = int(LONGEST / AT_FIRST)
    await messages.come(*(f"a{number}" for number in range(most + 1)))
    assert await messages.refused("a") == LONGEST + 1
    await messages.come("b0")


async def test_a_line_that_goes_on_standing_is_kept_short(messages: Messages, time: Time) -> None:
    await messages.come(*(f"a{number}" for number in range(int(SHORT / AT_FIRST) + 2)))
    time.now += BURST
    await messages.leave("z0")
    messages.intake._pace = AT_FIRST
    assert await messages.refused("a") == 1
    await messages.come("b0")  # whose turn is the next but one
    await messages.leave("z1", "z2")
    assert messages.let_in == ["a0", "a1", "b0"]


async def test_the_pace_is_measured(messages: Messages, time: Time) -> None:
    await messages.come(*(f"a{number}" for number in range(SLOTS)))
    for number in range(SLOTS - 1):
        time.now += 1.0
        await messages.leave(f"z{number}")
    assert 0.3 < messages.intake._pace < 1.0


async def test_a_line_that_stands_still_takes_nobody(messages: Messages, time: Time) -> None:
    await messages.come("a0")
    time.now += 0.9 * BURST
    await messages.come("a1")
    time.now += 0.2 * BURST
    assert await messages.refused("a") == 2
    assert await messages.refused("b") == 2
    await messages.leave("z0", "z1")
    assert messages.let_in == ["a0", "a1"]
    await messages.leave("z2")
    await messages.come("b0")
    assert messages.let_in == ["a0", "a1", "b0"]


async def test_who_has_waited_for_too_long_is_told_to_come_back(messages: Messages, time: Time) -> None:
    await messages.come("a0", "b0")
    time.now += LATE + 1
    await messages.leave("z0")
    assert messages.let_in == []
    for name in ("a0", "b0"):
        with pytest.raises(ChatError) as refused:
            await messages.tasks[name]
        assert refused.value.retry_after == LATE + 1
    assert messages.intake._free == 1
