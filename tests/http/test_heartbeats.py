"""Status events: where the answer stands, told at once when that changes, and as a sign of life."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from chat_client import Client, Stream, serving
from fake_ollama import FakeOllama, Gate, Script, answer, token

from chatproxy import Config
from chatproxy.generation import generation


@pytest.fixture
async def lively(config: Config) -> AsyncIterator[Client]:
    """Of a server that gives a sign of life several times a second."""
    async with serving(replace(config, heartbeat_seconds=0.3)) as client:
        yield client


@pytest.fixture
async def narrow(config: Config) -> AsyncIterator[Client]:
    """Of the same, where one answer runs at a time."""
    async with serving(replace(config, heartbeat_seconds=0.3, max_concurrent_generations=1)) as client:
        yield client


@asynccontextmanager
async def asked(client: Client) -> AsyncIterator[Stream]:
    """A stream that has started."""
    async with client.sending(await client.new_session()) as stream:
        await stream.until("start")
        yield stream


async def state(stream: Stream, wanted: str) -> Any:
    """The next status that tells of that state."""
    while True:
        status = await stream.until("status")
        if status["state"] == wanted:
            return status


async def beats(stream: Stream, number: int) -> list[Any]:
    """The next events, which are all heartbeats: of one state, each later than the one before."""
    told = [await stream.next() for _ in range(number)]
    statuses = [event for event in told if event is not None]
    assert {event["type"] for event in statuses} == {"status"}
    assert len({event["state"] for event in statuses}) == 1
    assert all(a["elapsedMs"] < b["elapsedMs"] for a, b in pairwise(statuses))
    return statuses


async def test_there_are_heartbeats_while_nothing_comes_of_ollama(lively: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello."), head=(head := Gate()))
    async with asked(lively) as stream:
        chat = await fake.arrived()
        await stream.until("status")
        told = await beats(stream, 4)
        assert told[0]["state"] in ("loading", "waiting")
        assert "tokens" not in told[0]
        assert not chat.served
        head.open()
        assert (await stream.until("done"))["fullResponse"] == "Hello."


async def test_there_are_heartbeats_in_the_queue(narrow: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello."), head=(head := Gate()))
    async with asked(narrow) as first:
        await fake.arrived()
        async with asked(narrow) as second:
            await state(second, "queued")
            told = await beats(second, 4)
            assert [(status["state"], status["position"]) for status in told] == [("queued", 1)] * 4
            head.open()
            await first.rest()
            assert (await second.until("done"))["fullResponse"] == "Hello."


async def test_there_are_heartbeats_in_a_silence_of_ollama(lively: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two."), gate=(gate := Gate()))
    gate.let()
    async with asked(lively) as stream:
        await stream.until("chunk")
        told = await beats(stream, 4)
        assert {(status["state"], status["tokens"]) for status in told} == {("generating", 1)}
        gate.open()
        assert (await stream.until("done"))["fullResponse"] == "One two."


async def test_every_reader_of_an_answer_gets_heartbeats(lively: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two."), gate=(gate := Gate()))
    gate.let()
    async with asked(lively) as stream:
        start = stream.events[0]
        await stream.until("chunk")
        async with lively.resuming(start["sessionId"], start["assistantMessageId"]) as second:
            await second.until("chunk")
            assert (await state(second, "generating"))["tokens"] == 1
            await beats(second, 3)
            assert set(second.ids[-3:]) == {None}
        await beats(stream, 3)


async def test_a_status_names_no_place(lively: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello."), head=(head := Gate()))
    async with asked(lively) as stream:
        await stream.until("status")
        await beats(stream, 2)
        head.open()
        await stream.rest()
    statuses = [event for event in stream.events if event["type"] == "status"]
    allowed = {"type", "state", "position", "elapsedMs", "etaMs", "tokens", "tokensPerSecond"}
    assert [set(status) - allowed for status in statuses] == [set()] * len(statuses)


async def test_a_change_of_state_is_told_at_once(client: Client, fake: FakeOllama) -> None:
    """The heartbeats of this server are ten seconds apart: those here are none."""
    gates = [Gate() for _ in range(3)]
    scripts = [Script(answer("One two."), head=gate) for gate in gates]
    fake.script = lambda request: scripts[len(fake.chats) - 1]
    async with asked(client) as first, asked(client) as second:
        await fake.arrived(2)
        async with asked(client) as third:
            assert (await third.until("status"))["state"] == "queued"
            gates[0].open()
            await first.until("done")
            assert (await third.until("status"))["state"] in ("loading", "waiting")
            gates[2].open()
            assert (await state(third, "generating"))["elapsedMs"] < 5000
            assert third.text() == ""  # the state is told before its text
            await third.until("done")
        gates[1].open()
        await second.until("done")


async def test_a_move_in_the_queue_is_told_at_once(config: Config, fake: FakeOllama) -> None:
    fake.script = Script([token("One")], end="hang")
    async with serving(replace(config, max_concurrent_generations=1)) as client, asked(client) as first:
        await first.until("chunk")
        async with asked(client) as second, asked(client) as third:
            assert (await state(second, "queued"))["position"] == 1
            assert (await state(third, "queued"))["position"] == 2
            start = first.events[0]
            await client.cancel(start["sessionId"], start["assistantMessageId"])
            assert (await state(third, "queued"))["position"] == 1
            assert "position" not in await state(second, "generating")


async def test_the_pace_is_told_while_text_flows(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "STATUS_EVERY", 0.3)
    pieces = answer(" ".join(["word"] * 150))
    fake.script = Script(pieces, delays=[0.01] * len(pieces))
    async with asked(client) as stream:
        await stream.rest()
    told = [event for event in stream.events if event["type"] == "status" and event["state"] == "generating"]
    tokens = [status["tokens"] for status in told]
    assert tokens == sorted(tokens)
    assert len({*tokens}) >= 3
    assert all(status["tokensPerSecond"] > 0 for status in told if status["elapsedMs"] > 600)
    assert tokens[-1] <= 150
    assert stream.last["type"] == "done"


async def test_tokens_are_lines_with_text(lively: Client, fake: FakeOllama) -> None:
    said = [token(""), token("Hello"), token("", thinking="Hm"), token("")]
    fake.script = Script([b"".join(said)], end="hang")
    async with asked(lively) as stream:
        await stream.has("Hello")
        assert (await state(stream, "generating"))["tokens"] == 2


async def test_text_that_flows_needs_no_heartbeats(
    config: Config, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than they are apart; only a machine that stands still for so long could have one sent."""
    monkeypatch.setattr(generation, "STATUS_EVERY", 60)
    pieces = answer("word " * 50)
    fake.script = Script(pieces, delays=[0.05] * len(pieces))
    async with serving(replace(config, heartbeat_seconds=1.7)) as client, asked(client) as stream:
        await stream.until("chunk")
        await stream.rest()
    kinds = [event["type"] for event in stream.events]
    assert set(kinds[kinds.index("chunk") :]) == {"chunk", "done"}


async def test_nothing_follows_the_end(lively: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello."), delays=[0.3, 0.3])
    async with asked(lively) as stream:
        await stream.rest()
    kinds = [event["type"] for event in stream.events]
    assert kinds.count("done") == 1
    assert kinds[-1] == "done"


async def test_a_replay_of_a_finished_answer_has_no_status(lively: Client) -> None:
    session = await lively.new_session()
    message = (await lively.ask(session)).last["assistantMessageId"]
    async with lively.resuming(session, message) as stream:
        await stream.rest()
    assert [event["type"] for event in stream.events] == ["start", "chunk", "done"]
