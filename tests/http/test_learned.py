"""What was learned of Ollama's figures may be wrong: it costs no later message, and later answers mend it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from chat_client import Client, serving
from fake_ollama import MODEL, FakeOllama, Request, Script, answer, count_tokens, refusing_over
from recordings import recorded

from chatproxy import Config
from chatproxy.models import catalog
from chatproxy.store.store import Store

THINKER: Final = "thinker:270m"


def honest(request: Request) -> Script:
    return Script(answer("So it is.", model=request["model"], prompt_eval_count=count_tokens(request)))


def lying(**numbers: Any) -> Script:
    return Script(answer("So it is.", **numbers))


async def histories(client: Client, fake: FakeOllama, session: str, messages: int) -> Sequence[int]:
    """Send so many messages, which all are answered; return how many earlier ones went with each."""
    for number in range(messages):
        stream = await client.ask(session, f"Question {number}")
        assert stream.last["type"] == "done", stream.last
    return [len(request["messages"]) - 1 for request in fake.requests[-messages:]]


@pytest.mark.parametrize("count", [4000, 4096, 4097, 10**6, 2**31 - 1, 2**31, 2**63 - 1, 1.5, -1, 0])
async def test_one_wrong_count_of_a_prompt_costs_no_later_message(
    fake: FakeOllama, client: Client, count: float
) -> None:
    session = await client.new_session()
    fake.script = lying(prompt_eval_count=count)
    first = await client.ask(session)
    assert first.last["usage"]["promptTokens"] == (count if count in (4000, 4096) else None)
    fake.script = honest
    assert (await histories(client, fake, session, 4))[1:] == [4, 6, 8]  # all there is, after the first


@pytest.mark.parametrize("count", [4096, 2**31 - 1])
async def test_auto_does_not_lose_its_only_model(fake: FakeOllama, config: Config, count: int) -> None:
    fake.models = [model for model in fake.models if model["name"] == MODEL]
    fake.script = lying(prompt_eval_count=count)
    async with serving(replace(config, default_model="auto")) as client:
        session = await client.new_session()
        await client.ask(session)
        fake.script = honest
        assert (await histories(client, fake, session, 3))[1:] == [4, 6]
        assert (await client.call("GET", "/api/models"))["selected"]["model"] == MODEL


@pytest.mark.parametrize(("window", "seconds"), [(1, 600), (10, 600), (100, 0)])
async def test_a_window_that_was_too_small_once_is_not_believed_for_ever(
    fake: FakeOllama, client: Client, monkeypatch: pytest.MonkeyPatch, window: int, seconds: float
) -> None:
    """An answered prompt that is larger disproves it, and after ten minutes it is tried again."""
    monkeypatch.setattr(catalog, "WINDOW_FOR", seconds)
    fake.running = []
    session = await client.new_session()
    await histories(client, fake, session, 3)
    body = recorded("history_too_long_refused").replace(b"5371", b"5000").replace(b"4096", b"%d" % window)
    fake.script = Script([body], status=400)
    stream = await client.ask(session)
    assert (stream.last["code"], len(fake.requests[-1]["messages"])) == ("message_too_long", 1)
    fake.script = honest
    assert (await histories(client, fake, session, 3))[1:] == [8, 10]


async def test_refusals_without_end_end(fake: FakeOllama, client: Client) -> None:
    session = await client.new_session()
    await histories(client, fake, session, 12)
    fake.script = lambda request: refusing_over(0)(request)
    asked = len(fake.requests)
    assert (await client.ask(session)).last["code"] == "message_too_long"
    assert len(fake.requests) - asked <= 4


@pytest.mark.parametrize(
    "numbers",
    [
        {"eval_count": 2**31 - 1, "eval_duration": 1},
        {"eval_count": 10**9, "eval_duration": 10**9},
        {"eval_count": 20, "eval_duration": 1},
        {"eval_count": 20, "eval_duration": 86_400 * 10**9, "load_duration": 86_400 * 10**9},
        {"eval_count": -1, "eval_duration": -1, "load_duration": -1, "total_duration": -1},
    ],
)
async def test_absurd_figures_reach_no_metric_and_no_reader(
    fake: FakeOllama, client: Client, numbers: dict[str, int]
) -> None:
    fake.script = lying(**numbers)
    usage = (await client.ask(await client.new_session())).last["usage"]
    assert (usage["completionTokens"] or 0) <= 300
    assert (usage["tokensPerSecond"] or 0) <= 100_000
    (model,) = [each for each in (await client.call("GET", "/api/models"))["models"] if each["name"] == MODEL]
    assert (model["tokensPerSecond"] or 0) <= 100_000
    assert (model["loadMs"] or 0) <= 3_600_000
    async with client.http.get(client.url("/metrics")) as response:
        page = await response.text()
    values = [float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith("chatproxy_")]
    assert all(0 <= value <= 100_000 for value in values)


@pytest.mark.parametrize(
    "row",
    [
        (1e308, 1e308),
        (float("inf"), float("inf")),
        (-1.0, -1.0),
        (0.0, 0.0),
    ],
)
async def test_stored_figures_that_are_impossible_are_dropped(
    fake: FakeOllama, config: Config, row: tuple[float | None, ...]
) -> None:
    await (await Store.open(config.database_path)).close()
    digest = next(model["digest"] for model in fake.models if model["name"] == MODEL)
    with sqlite3.connect(config.database_path) as database:
        database.execute("INSERT INTO measurement VALUES (?, ?, ?, unixepoch())", (digest, *row))
    database.close()
    fake.script = honest
    async with serving(replace(config, default_model="auto")) as client:
        listed = (await client.call("GET", "/api/models"))["models"]
        (model,) = [each for each in listed if each["name"] == MODEL]
        assert model["tokensPerSecond"] is None
        assert model["loadMs"] in (None, 0)
        assert await histories(client, fake, await client.new_session(), 3) == [0, 2, 4]


@pytest.mark.parametrize(("hours", "expected"), [(23, 50), (25, None), (-25, 50)])
async def test_a_start_makes_no_figure_younger(
    fake: FakeOllama, config: Config, hours: int, expected: float | None
) -> None:
    """A clock that was set back makes none older, either."""
    await (await Store.open(config.database_path)).close()
    digest = next(model["digest"] for model in fake.models if model["name"] == MODEL)
    with sqlite3.connect(config.database_path) as database:
        row = "INSERT INTO measurement VALUES (?, 50, NULL, unixepoch() - ?)"
        database.execute(row, (digest, hours * 3600))
    database.close()
    async with serving(config) as client:
        listed = (await client.call("GET", "/api/models"))["models"]
    assert [each["tokensPerSecond"] for each in listed if each["name"] == MODEL] == [expected]


async def test_a_model_that_was_slow_once_is_tried_again(
    fake: FakeOllama, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is not chosen is not measured either, so that its last figures may not stand for ever."""
    fake.models = [model for model in fake.models if model["name"] in (MODEL, THINKER)]
    fake.running = []
    large = next(model for model in fake.models if model["name"] == THINKER)
    large["details"] = {**large["details"], "parameter_size": "8B"}
    long = "Tell me of lighthouses. " * 400
    async with serving(replace(config, default_model="auto")) as client:
        assert (await client.send(await client.new_session(), long))["model"] == THINKER
        fake.script = lying(eval_count=60, eval_duration=600 * 10**9)
        for _ in range(5):
            await client.ask(await client.new_session(), model=THINKER)
        fake.script = honest
        assert (await client.send(await client.new_session(), long))["model"] == MODEL
        monkeypatch.setattr(catalog, "LEARNED_FOR", 0.0)
        assert (await client.send(await client.new_session(), long))["model"] == THINKER
