"""What is asked of Ollama besides the answers: few questions at a time, and nobody waits for what hangs."""

import asyncio
from dataclasses import replace
from time import monotonic
from typing import Any, Final

import pytest
from chat_client import Client, serving
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, refused
from waiting import until

from chatproxy import Config
from chatproxy.generation import upstream

OTHER: Final = "thinker:270m"


def install(fake: FakeOllama, number: int) -> None:
    """Install so many models, all of which complete text; none is loaded."""
    like, fake.running = fake.models[2], []
    fake.models = [{**like, "name": f"m{each}", "digest": f"digest {each}"} for each in range(number)]
    shown = fake.shows[MODEL]
    weights = (shown["modelfile"].replace("sha256-a5fd", f"sha256-{each:04x}") for each in range(number))
    fake.shows = {f"m{each}": {**shown, "modelfile": of_it} for each, of_it in enumerate(weights)}


def automatic(config: Config, **more: Any) -> Config:
    return replace(config, default_model="auto", max_queued_generations=200, **more)


async def test_a_hundred_messages_after_the_start_ask_few_questions(fake: FakeOllama, config: Config) -> None:
    install(fake, 60)
    fake.running = [{"name": "m7", "digest": "digest 7"}]
    async with serving(automatic(config)) as client:
        sessions = [await client.new_session() for _ in range(100)]
        streams = await asyncio.gather(*[client.ask(session) for session in sessions])
    assert {stream.last["type"] for stream in streams} == {"done"}
    assert fake.calls["/api/show"] == 60
    assert fake.calls["/api/tags"] + fake.calls["/api/ps"] < 100  # one a second, on a busy machine for long
    assert len(fake.side_connections) <= 8


async def test_a_model_that_is_never_described_costs_nobody_else(fake: FakeOllama, config: Config) -> None:
    install(fake, 10)
    fake.hanging = {"m0"}
    async with serving(automatic(config)) as client:
        begun = monotonic()
        assert (await client.ask(await client.new_session())).last["model"] == "m1"
        assert monotonic() - begun < 1
        for _ in range(20):
            assert (await client.ask(await client.new_session())).last["model"] == "m1"
        assert (await client.call("GET", "/api/models"))["selected"]["model"] == "m1"
        assert monotonic() - begun < 14  # Ollama is given 15 for one description
        assert (await client.ask(await client.new_session(), model="m0")).last["model"] == "m0"
        assert fake.calls["/api/show"] == 10


async def test_without_any_description_a_message_is_answered(fake: FakeOllama, config: Config) -> None:
    install(fake, 10)
    fake.hanging = set(fake.shows)
    async with serving(automatic(config)) as client:
        assert (await client.ask(await client.new_session())).last["type"] == "done"
        assert (await client.ask(await client.new_session(), think=True)).last["type"] == "done"
    assert fake.calls["/api/show"] == 4


async def test_descriptions_that_fail_are_not_asked_for_with_each_message(
    fake: FakeOllama, config: Config
) -> None:
    fake.instead["/api/show"] = refused(500, "no")
    async with serving(automatic(config)) as client:
        for _ in range(10):
            await client.ask(await client.new_session())
    assert fake.calls["/api/show"] == 4


async def test_answers_that_wait_for_a_model_share_their_questions(
    fake: FakeOllama, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "LOADING_POLL", 0.5)
    install(fake, 32)
    fake.script = Script(answer("Late."), head=(head := Gate()))
    async with serving(automatic(config, max_concurrent_generations=64)) as client:
        sessions = [await client.new_session() for _ in range(64)]
        asking = [
            asyncio.create_task(client.ask(session, model=f"m{number % 32}"))
            for number, session in enumerate(sessions)
        ]
        await fake.arrived(64)
        before, begun = fake.calls["/api/ps"], monotonic()
        await until(lambda: fake.calls["/api/ps"] >= before + 4)
        assert monotonic() - begun > 1  # 64 answers that ask for themselves take no time for that
        head.open()
        assert {(await stream).last["type"] for stream in asking} == {"done"}


async def test_models_that_are_gone_are_forgotten(fake: FakeOllama, client: Client) -> None:
    """A model that is installed again after the list was read without it is described again."""
    await client.call("GET", "/api/models")
    models, fake.models = fake.models, [model for model in fake.models if model["name"] != OTHER]
    await client.refused(await client.new_session(), 422, json={"message": "Hi", "model": "none"})
    fake.models = models
    asked = fake.calls["/api/show"]
    await client.send(await client.new_session(), model=OTHER)
    assert fake.calls["/api/show"] == asked + 1
