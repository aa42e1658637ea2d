"""What is known of each model: by its name, its weights, its window, and by how it did here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from chat_client import Client, serving
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, refused
from waiting import until

from chatproxy import Config
from chatproxy.errors import ChatError
from chatproxy.models.catalog import KnownModel, ModelCatalog, canonical, parameters
from chatproxy.ollama.client import Ollama
from chatproxy.ollama.wire import Line

ECHO = "echo:270m"  # the weights of MODEL under another name
THINKER = "thinker:270m"


@asynccontextmanager
async def opening(fake: FakeOllama, **more: Any) -> AsyncIterator[ModelCatalog]:
    ollama = Ollama(fake.url, headers={}, connect_timeout=5)
    models = ModelCatalog(ollama, **more)
    yield models
    await models.close()
    await ollama.close()


@pytest.fixture
async def models(fake: FakeOllama) -> AsyncIterator[ModelCatalog]:
    async with opening(fake) as models:
        yield models


def running(name: str = MODEL, window: int | None = 4096, vram: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "digest": name, "size": 100, "size_vram": vram, "context_length": window, **more}


def with_num_ctx(fake: FakeOllama, name: str, tokens: int) -> None:
    fake.shows[name] = {**fake.shows[name], "parameters": f"num_ctx    {tokens}\nseed    7"}


def ended(prompt: int | None = None, tokens: int = 100, rate: float = 50, load_ms: float = 0.9) -> Line:
    return Line(
        done=True,
        prompt_eval_count=prompt,
        eval_count=tokens,
        eval_duration=round(tokens / rate * 1e9),
        load_duration=round(load_ms * 1e6),
    )


# -- names


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("gemma3", "gemma3:latest"),
        ("Gemma3:270M", "gemma3:270m"),
        ("localhost:5000/gemma3", "localhost:5000/gemma3:latest"),
    ],
)
def test_names_match_as_ollamas_do(name: str, same: str) -> None:
    assert canonical(name) == canonical(same) == same


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("268.10M", 268.1e6),
        ("7B", 7e9),
        ("1.5T", 1.5e12),
        ("", 0),
        (None, 0),
        ("7b?", 0),
        ("900", 900),
        ("1.2.3B", 0),
        (".", 0),
    ],
)
def test_parameters_are_read_from_their_text(size: str | None, expected: float) -> None:
    assert parameters(size) == pytest.approx(expected)


async def test_a_model_is_found_as_ollama_spells_it(fake: FakeOllama, models: ModelCatalog) -> None:
    assert (await models.find(MODEL.upper())).name == MODEL


async def test_one_that_was_just_installed_is_found(fake: FakeOllama, models: ModelCatalog) -> None:
    *fake.models, new = fake.models
    await models.all()
    fake.models.append(new)
    assert (await models.find(new["name"])).name == new["name"]
    assert fake.calls["/api/tags"] == 2


async def test_the_first_one_is_seen_as_soon_as_it_is_installed(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    installed, fake.models = fake.models, []
    assert await models.all() == []
    fake.models = installed
    assert len(await models.all()) == len(installed)


async def test_one_that_is_missing_is_refused_with_what_is_installed(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    with pytest.raises(ChatError) as refusal:
        await models.find("gemma3:27b")
    assert refusal.value.code == "model_not_found"
    assert refusal.value.details == {"installed": [model["name"] for model in fake.models]}
    assert "ollama pull gemma3:27b" in refusal.value.sentence


async def test_where_the_list_cannot_be_read_a_name_is_taken_on_trust(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    fake.instead["/api/tags"] = refused(500, "no")
    assert await models.find("whatever") == KnownModel(name="whatever", is_described=False)
    with pytest.raises(ChatError, match="Ollama reports: no"):
        await models.all()


# -- warm or not


@pytest.mark.parametrize(
    ("loaded", "name", "expected"),
    [
        ([], MODEL, (False, False)),
        ([running()], MODEL, (True, False)),
        ([running(vram=50)], MODEL, (True, False)),
        ([running(vram=100)], MODEL, (True, True)),
        ([running(MODEL.upper())], MODEL, (True, False)),
        ([running(ECHO, vram=100)], MODEL, (True, True)),  # the same weights
        ([running(THINKER)], THINKER, (True, False)),
        ([running("all-minilm:22m")], MODEL, (False, False)),
        ([running("a-stranger")], MODEL, (False, False)),
    ],
)
async def test_a_model_is_warm_when_its_weights_are_loaded(
    fake: FakeOllama, models: ModelCatalog, loaded: list[Any], name: str, expected: tuple[bool, bool]
) -> None:
    fake.running = loaded
    model = await models.find(name)
    assert (model.warm, model.in_memory) == expected


async def test_a_list_of_loaded_ones_that_cannot_be_read_is_as_good_as_empty(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    fake.instead["/api/ps"] = refused(500, "no")
    model = await models.find(MODEL)
    assert (model.warm, model.window) == (False, None)
    assert not await models.loaded(model, 0)


async def test_whether_one_is_loaded_by_now_is_asked_anew(fake: FakeOllama, models: ModelCatalog) -> None:
    fake.running = []
    model = await models.find(MODEL)
    assert not await models.loaded(model, 0)
    fake.running = [running()]
    assert not models.warm(model)  # as far as is known
    assert await models.loaded(model, 0)
    assert models.warm(model)


# -- windows


async def window(models: ModelCatalog, name: str = MODEL) -> int | None:
    return (await models.find(name)).window


async def test_the_setting_is_every_models_window(fake: FakeOllama) -> None:
    with_num_ctx(fake, MODEL, 2048)
    async with opening(fake, context_window=1000) as models:
        assert {model.window for model in await models.all()} == {1000}
        assert await window(models) == 1000


async def test_else_it_is_that_of_the_runner(fake: FakeOllama, models: ModelCatalog) -> None:
    with_num_ctx(fake, MODEL, 2048)
    fake.running = [running(window=8192)]
    assert await window(models) == 8192


async def test_else_the_models_own(fake: FakeOllama, models: ModelCatalog) -> None:
    with_num_ctx(fake, MODEL, 2048)
    fake.running = [running(ECHO, 8192)]  # it would be loaded anew
    model = await models.find(MODEL)
    assert (model.warm, model.window) == (False, 2048)


async def test_a_runner_with_another_window_is_not_its_own(fake: FakeOllama, models: ModelCatalog) -> None:
    with_num_ctx(fake, ECHO, 8192)
    fake.running = [running(ECHO, 8192)]  # MODEL would be loaded anew
    model = await models.find(MODEL)
    assert (model.warm, model.window) == (False, None)


async def test_else_that_of_a_runner_with_the_same_weights(fake: FakeOllama, models: ModelCatalog) -> None:
    fake.running = [running(ECHO, 8192)]
    assert await window(models) == 8192


async def test_until_then_one_that_a_refusal_named_is_expected(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    fake.running = []
    model = await models.find(MODEL)
    assert (model.window, model.expected_window, model.likely_window) == (None, 32768, 32768)
    learned = models.refused(model, 4096)
    assert (learned.window, learned.warm) == (4096, True)
    again = await models.find(MODEL)
    # It may be another one when the model is loaded anew: good for fitting, not for refusing a message.
    assert (again.window, again.expected_window) == (None, 4096)
    assert await window(models, THINKER) is None
    with_num_ctx(fake, ECHO, 2048)
    assert await window(models, ECHO) == 2048


# -- how it did


async def test_the_first_figures_count_whole_later_ones_a_third(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    model = await models.find(MODEL)
    first = models.measurement(model, ended(rate=50, load_ms=3000))
    assert first is not None
    assert (first.tokens_per_second, first.load_ms) == (50, 3000)
    second = models.measurement(model, ended(rate=20, load_ms=6000))
    assert second is not None
    assert (second.tokens_per_second, second.load_ms) == (40, 4000)
    assert (await models.find(MODEL)).measured == second


@pytest.mark.parametrize(
    ("last", "rate", "load"),
    [
        (ended(load_ms=0.95), 50, None),  # it was warm
        (ended(load_ms=7.5), 50, None),
        (ended(load_ms=1327), 50, 1327),
        (ended(tokens=3), None, None),  # too few to say
        (Line(done=True), None, None),
    ],
)
async def test_what_says_nothing_is_not_counted(
    models: ModelCatalog, last: Line, rate: float | None, load: float | None
) -> None:
    measured = models.measurement(await models.find(MODEL), last)
    assert measured is not None
    assert (measured.tokens_per_second, measured.load_ms) == (rate, load)


async def test_one_taken_on_trust_is_not_measured(models: ModelCatalog) -> None:
    assert models.measurement(KnownModel(name="whatever"), ended(prompt=5)) is None


async def test_an_answer_shows_what_is_loaded_now(fake: FakeOllama, models: ModelCatalog) -> None:
    fake.running = []
    model = await models.find(MODEL)
    fake.running = [running(window=8192)]
    models.measurement(model, ended())
    await until(lambda: fake.calls["/api/ps"] == 2)
    await models.loaded(model, 0)
    assert await window(models) == 8192


async def test_an_answer_of_a_warm_model_asks_for_no_list(fake: FakeOllama, models: ModelCatalog) -> None:
    model = await models.find(MODEL)
    models.measurement(model, ended())
    await asyncio.sleep(0.05)
    assert fake.calls["/api/ps"] == 1
    models.measurement(model, ended(load_ms=3000))  # it had been unloaded
    await until(lambda: fake.calls["/api/ps"] == 2)


async def figures(client: Client) -> tuple[float | None, int | None]:
    listed = (await client.call("GET", "/api/models"))["models"]
    (model,) = [model for model in listed if model["name"] == MODEL]
    return model["tokensPerSecond"], model["loadMs"]


async def test_figures_survive_a_restart(fake: FakeOllama, config: Config) -> None:
    numbers: dict[str, Any] = {"eval_count": 100, "eval_duration": 10**9, "load_duration": 2 * 10**9}
    fake.script = Script(answer("Some words.", prompt_eval_count=700, **numbers))
    async with serving(config) as client:
        assert await figures(client) == (None, None)
        await client.ask(await client.new_session(), "x" * 1000)
        assert await figures(client) == (100, 2000)
    async with serving(config) as client:
        assert await figures(client) == (100, 2000)


# -- what is asked of Ollama


async def test_loaded_models_that_cannot_be_listed_count_as_none(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    fake.instead["/api/ps"] = refused(500, "no")
    assert [await models.running.get() for _ in range(10)] == [()] * 10
    assert fake.calls == {"/api/ps": 1}


async def test_those_who_wait_for_a_model_share_the_question_whether_it_is_loaded(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    model = await models.find(MODEL)
    before = fake.calls["/api/ps"]
    await asyncio.gather(*[models.loaded(model, 0) for _ in range(64)])
    assert [await models.loaded(model, 60) for _ in range(64)] == [True] * 64
    assert fake.calls["/api/ps"] == before + 1


async def test_callers_share_the_details_that_are_being_asked_for(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    both = await asyncio.gather(models.all(), models.all())
    assert both[0] == both[1]
    assert fake.calls["/api/show"] == len(both[0])
    await models.all()
    await models.find(MODEL)
    assert fake.calls["/api/show"] == len(both[0])


async def test_a_list_that_hangs_delays_no_model_that_is_named(
    fake: FakeOllama, models: ModelCatalog
) -> None:
    fake.instead["/api/ps"] = Script(head=Gate())
    assert not (await models.find(MODEL)).warm
    fake.instead["/api/tags"] = Script(head=Gate())
    assert (await models.find("another")).name == "another"  # on trust
    assert (await models.find(MODEL)).digest is not None


async def test_a_refusal_names_some_of_many_models(fake: FakeOllama, models: ModelCatalog) -> None:
    fake.models = [{"name": f"m{number}"} for number in range(2000)]
    with pytest.raises(ChatError, match="m19 and 1980 more") as refusal:
        await models.find("gemma3:27b")
    assert refusal.value.details == {"installed": [f"m{number}" for number in range(100)]}
