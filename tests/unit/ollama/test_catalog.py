"""What Ollama has, asked seldom: lists that are used while newer ones come, details asked once."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_ollama import MODEL, FakeOllama, Gate, Script, refused, until

from chatproxy.errors import ChatError
from chatproxy.ollama import catalog as module
from chatproxy.ollama.catalog import Cached, Catalog
from chatproxy.ollama.client import Details, Model, Ollama

TAGS, PS, SHOW = "/api/tags", "/api/ps", "/api/show"


@pytest.fixture
async def catalog(fake: FakeOllama) -> AsyncIterator[Catalog]:
    ollama = Ollama(fake.url, api_key=None, connect_timeout=5)
    catalog = Catalog(ollama)
    yield catalog
    await catalog.close()
    await ollama.close()


@pytest.fixture
def always_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every list is used, and a newer one asked for beside it."""
    monkeypatch.setattr(module, "FRESH", 0.0)


def hanging() -> Script:
    return Script(head=Gate())


def names(models: object) -> list[str]:
    assert isinstance(models, list)
    return [model.name for model in models if isinstance(model, Model)]


async def test_a_fresh_list_is_not_asked_for_again(fake: FakeOllama, catalog: Catalog) -> None:
    assert [await catalog.installed.get() for _ in range(10)] == [await catalog.installed.get()] * 10
    assert fake.calls == {TAGS: 1}


async def test_those_who_ask_at_once_share_one_request(fake: FakeOllama, catalog: Catalog) -> None:
    await asyncio.gather(*[catalog.running.get() for _ in range(10)])
    assert fake.calls == {PS: 1}


@pytest.mark.usefixtures("always_old")
async def test_an_older_list_is_used_while_a_new_one_comes(fake: FakeOllama, catalog: Catalog) -> None:
    before = await catalog.installed.get()
    fake.models = fake.models[:1]
    assert await catalog.installed.get() == before
    await until(lambda: catalog.installed.last != before)
    assert names(catalog.installed.last) == [fake.models[0]["name"]]


@pytest.mark.usefixtures("always_old")
async def test_nobody_waits_for_a_list_that_is_there(fake: FakeOllama, catalog: Catalog) -> None:
    before = await catalog.installed.get()
    fake.instead[TAGS] = hanging()
    async with asyncio.timeout(5):
        assert [await catalog.installed.get() for _ in range(10)] == [before] * 10
        await until(lambda: fake.calls[TAGS] == 2)  # one request, that hangs


async def test_one_too_old_to_believe_is_waited_for(
    fake: FakeOllama, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.USABLE == 60
    await catalog.installed.get()
    fake.models = fake.models[:1]
    monkeypatch.setattr(module, "USABLE", 0.0)
    assert names(await catalog.installed.get()) == [fake.models[0]["name"]]


@pytest.mark.usefixtures("always_old")
async def test_a_failure_drops_what_was_known(fake: FakeOllama, catalog: Catalog) -> None:
    await catalog.installed.get()
    fake.instead[TAGS] = refused(500, "no")
    await catalog.installed.get()
    await until(lambda: catalog.installed.last is None)
    with pytest.raises(ChatError, match="Ollama reports: no"):
        await catalog.installed.get()
    del fake.instead[TAGS]
    assert len(await catalog.installed.get()) == len(fake.models)


async def test_a_busy_ollama_has_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[int | ChatError] = [1, ChatError("upstream_timeout", "busy"), 2]

    async def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, ChatError):
            raise answer
        return answer

    cached = Cached(ask)
    assert await cached.get() == 1
    with pytest.raises(ChatError, match="busy"):
        await cached.fetch()
    monkeypatch.setattr(module, "FRESH", 0.0)
    assert await cached.get() == 1
    await until(lambda: cached.last == 2)


async def test_loaded_ones_that_cannot_be_listed_are_as_good_as_none(
    fake: FakeOllama, catalog: Catalog
) -> None:
    fake.instead[PS] = refused(500, "no")
    assert [await catalog.running.get() for _ in range(10)] == [()] * 10
    assert fake.calls == {PS: 1}


async def test_asking_now_asks(fake: FakeOllama, catalog: Catalog) -> None:
    await catalog.installed.get()
    fake.models = []
    assert await catalog.installed.fetch() == []


async def test_one_who_gives_up_takes_nothing_from_the_others(fake: FakeOllama, catalog: Catalog) -> None:
    fake.instead[TAGS] = Script([b'{"models":[]}'], head=(gate := Gate()))
    first, second = (asyncio.create_task(catalog.installed.get()) for _ in range(2))
    await until(lambda: fake.calls[TAGS] == 1)
    first.cancel()
    await asyncio.wait([first])
    gate.open()
    assert await second == []


async def test_closing_ends_what_hangs(fake: FakeOllama, catalog: Catalog) -> None:
    fake.instead[TAGS] = hanging()
    catalog.installed.refresh()
    await until(lambda: fake.calls[TAGS] == 1)
    await asyncio.wait_for(catalog.close(), 5)


async def test_details_are_asked_once_for_each_digest(fake: FakeOllama, catalog: Catalog) -> None:
    first = await catalog.details(MODEL, "one")
    assert await catalog.details("another name", "one") == first
    assert fake.calls[SHOW] == 1
    await catalog.details(MODEL, "two")
    assert fake.calls[SHOW] == 2


async def test_details_that_could_not_be_had_are_asked_for_again(fake: FakeOllama, catalog: Catalog) -> None:
    fake.instead[SHOW] = refused(500, "no")
    assert await catalog.details(MODEL, "one") == Details()
    del fake.instead[SHOW]
    assert (await catalog.details(MODEL, "one")).capabilities == {"completion"}
