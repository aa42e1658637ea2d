"""Details: one question for each model, few at a time, failures remembered, nobody waits for what hangs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from waiting import until

from chatproxy.errors import ChatError
from chatproxy.models import details
from chatproxy.models.details import AT_ONCE, DetailsCache
from chatproxy.ollama.client import Details, Model

SHOWN = Details(capabilities=frozenset({"completion"}))


class Shows:
    """What is asked: names in `hanging` are not answered, those in `failing` with an error."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.under_way = 0
        self.most = 0
        self.hanging: set[str] = set()
        self.failing: set[str] = set()
        self.cache = DetailsCache(self.show)

    async def show(self, name: str) -> Details:
        self.asked[name] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0)
            if name in self.hanging:
                await asyncio.Event().wait()
            if name in self.failing:
                raise ChatError("upstream_error", "no")
            return SHOWN
        finally:
            self.under_way -= 1

    def known(self, models: list[Model]) -> int:
        return sum(self.cache.get(model) is not None for model in models)


@pytest.fixture
async def shows() -> AsyncIterator[Shows]:
    shows = Shows()
    yield shows
    await shows.cache.close()
    assert shows.under_way == 0


def installed(number: int) -> list[Model]:
    return [Model(f"m{each}", digest=f"digest {each}") for each in range(number)]


async def test_each_is_asked_for_once_and_few_at_a_time(shows: Shows) -> None:
    models = installed(300)
    await asyncio.gather(*[shows.cache.ask(models) for _ in range(50)])
    await until(lambda: shows.known(models) == 300)  # on a busy machine, it takes longer than anyone waits
    assert (shows.asked.total(), shows.most) == (300, AT_ONCE)


async def test_one_digest_is_asked_for_under_one_name(shows: Shows) -> None:
    models = [Model("a", digest="same"), Model("b", digest="same"), Model("c"), Model("c", digest="other")]
    await shows.cache.ask(models)
    assert (shows.known(models), shows.asked) == (4, {"a": 1, "c": 2})


async def test_what_hangs_is_waited_for_once_and_keeps_nothing_else(
    shows: Shows, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = installed(20)
    shows.hanging = {"m0"}
    monkeypatch.setattr(details, "PATIENCE", 0.05)
    await shows.cache.ask(models)
    assert shows.known(models) == 19
    await asyncio.sleep(0.05)
    monkeypatch.setattr(details, "PATIENCE", 0.0)
    async with asyncio.timeout(5):
        for _ in range(100):
            await shows.cache.ask(models)
    assert shows.asked["m0"] == 1


async def test_a_failure_is_believed_for_a_while_and_then_asked_about_without_waiting(
    shows: Shows, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = models = installed(1)
    shows.failing = {"m0"}
    for _ in range(10):
        await shows.cache.ask(models)
    assert (shows.known(models), shows.asked["m0"]) == (0, 1)
    monkeypatch.setattr(details, "RETRY", 0.0)
    shows.failing = set()
    await shows.cache.ask(models)
    await until(lambda: shows.cache.get(model) == SHOWN)
    assert shows.asked["m0"] == 2


async def test_what_is_no_longer_installed_is_forgotten(shows: Shows) -> None:
    models = installed(10)
    shows.hanging = {"m9"}
    for model in models[:9]:
        await shows.cache.ask([model])
    asking = asyncio.create_task(shows.cache.ask(models))
    await until(lambda: shows.under_way == 1)
    shows.cache.keep(models[:2])
    await asking
    assert (shows.known(models), shows.under_way) == (2, 0)


async def test_a_patient_caller_waits_for_what_was_asked_before(shows: Shows) -> None:
    shows.hanging = {"m0"}
    models = installed(2)
    await shows.cache.ask(models)
    waiting = asyncio.create_task(shows.cache.ask(models, patient=True))
    assert not (await asyncio.wait({waiting}, timeout=0.01))[0]
    await shows.cache.close()  # which ends the question
    await waiting
