"""A value that is used while a newer one is fetched."""

import asyncio

import pytest
from waiting import until

from chatproxy.errors import ChatError
from chatproxy.ollama import cached
from chatproxy.ollama.cached import Cached


class Source:
    """What is cached: returns or raises the next of `answers` once `gate` is open."""

    def __init__(self, *answers: int | ChatError) -> None:
        self.answers = list(answers)
        self.fetches = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> int:
        self.fetches += 1
        await self.gate.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, ChatError):
            raise answer
        return answer


async def test_a_fresh_value_is_not_fetched_again() -> None:
    source = Source(1)
    cached = Cached(source.fetch, fresh=60, usable=60)
    assert [await cached.get() for _ in range(10)] == [1] * 10
    assert source.fetches == 1


async def test_simultaneous_callers_share_one_fetch() -> None:
    source = Source(1)
    cached = Cached(source.fetch, fresh=60, usable=60)
    assert await asyncio.gather(*[cached.get() for _ in range(10)]) == [1] * 10
    assert source.fetches == 1


async def test_a_stale_value_is_used_while_a_new_one_is_fetched() -> None:
    source = Source(1, 2)
    cached = Cached(source.fetch, fresh=0, usable=60)
    assert await cached.get() == 1
    source.gate.clear()
    assert [await cached.get() for _ in range(10)] == [1] * 10  # without waiting
    await asyncio.sleep(0)
    assert source.fetches == 1  # what its caller does next comes first
    await until(lambda: source.fetches == 2)
    source.gate.set()
    await until(lambda: cached.last == 2)
    assert source.fetches == 2


async def test_a_value_past_use_is_waited_for() -> None:
    cached = Cached(Source(1, 2).fetch, fresh=0, usable=0)
    assert [await cached.get(), await cached.get()] == [1, 2]


async def test_a_failure_drops_the_value() -> None:
    source = Source(1, ChatError("upstream_error", "no"), ChatError("upstream_error", "no"), 2)
    cached = Cached(source.fetch, fresh=0, usable=60)
    assert [await cached.get(), await cached.get()] == [1, 1]
    await until(lambda: cached.last is None)
    with pytest.raises(ChatError, match="no"):
        await cached.get()
    assert await cached.get() == 2


async def test_a_timeout_keeps_the_value() -> None:
    cached = Cached(Source(1, ChatError("upstream_timeout", "busy"), 2).fetch, fresh=0, usable=60)
    assert await cached.get() == 1
    with pytest.raises(ChatError, match="busy"):
        await cached.fetch()
    assert await cached.get() == 1
    await until(lambda: cached.last == 2)


async def test_a_timeout_without_a_value_costs_only_those_who_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Source(ChatError("upstream_timeout", "busy"), 2)
    value = Cached(source.fetch, fresh=60, usable=60)
    with pytest.raises(ChatError, match="busy"):
        await value.get()
    source.gate.clear()  # what is fetched from here on hangs
    for _ in range(10):
        with pytest.raises(ChatError, match="busy"):
            await value.get()
    assert source.fetches == 1
    monkeypatch.setattr(cached, "RETRY", 0.0)
    for _ in range(10):
        with pytest.raises(ChatError, match="busy"):
            await value.get()
    await until(lambda: source.fetches == 2)
    source.gate.set()
    await until(lambda: value.last == 2)
    assert await value.get() == 2


async def test_an_old_value_is_used_when_the_new_one_takes_too_long() -> None:
    source = Source(1, 2)
    value = Cached(source.fetch, fresh=0, usable=0, patience=0.01)
    assert await value.get() == 1
    source.gate.clear()
    assert [await value.get() for _ in range(3)] == [1] * 3
    assert source.fetches == 2
    source.gate.set()
    await until(lambda: value.last == 2)


async def test_a_value_within_an_age_is_shared() -> None:
    source = Source(1, 2)
    value = Cached(source.fetch, fresh=0, usable=0)
    assert [await value.within(60) for _ in range(5)] == [1] * 5
    assert await value.within(0) == 2


async def test_a_caller_may_want_a_newer_value() -> None:
    cached = Cached(Source(1, 2).fetch, fresh=0, usable=60)
    assert await cached.get() == 1
    assert await cached.get(usable=0) == 2


async def test_an_expired_value_is_waited_for() -> None:
    value = Cached(Source(1, 2).fetch, fresh=60, usable=60)
    assert await value.get() == 1
    value.expire()
    assert value.last == 1  # better than none
    assert await value.get() == 2


async def test_an_expired_timeout_is_not_believed() -> None:
    value = Cached(Source(ChatError("upstream_timeout", "busy"), 2).fetch, fresh=60, usable=60)
    with pytest.raises(ChatError, match="busy"):
        await value.get()
    value.expire()
    assert await value.get() == 2


async def test_fetch_gets_a_new_value_at_once() -> None:
    cached = Cached(Source(1, 2).fetch, fresh=60, usable=60)
    assert [await cached.get(), await cached.fetch(), await cached.get()] == [1, 2, 2]


async def test_a_caller_that_is_cancelled_takes_nothing_from_the_others() -> None:
    source = Source(1)
    source.gate.clear()
    cached = Cached(source.fetch, fresh=60, usable=60)
    first, second = (asyncio.create_task(cached.get()) for _ in range(2))
    await until(lambda: source.fetches == 1)
    first.cancel()
    await asyncio.wait([first])
    source.gate.set()
    assert await second == 1


async def test_close_ends_a_fetch() -> None:
    source = Source(1)
    source.gate.clear()
    cached = Cached(source.fetch, fresh=60, usable=60)
    fetch = cached.refresh()
    await until(lambda: source.fetches == 1)
    await cached.close()
    assert fetch.cancelled()
