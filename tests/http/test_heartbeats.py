"""Status events: the state of an answer, at once when it changes; a new place soon; and heartbeats."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from chat_client import Client, Serve, Stream
from fake_ollama import FakeOllama, Gate, Script, answer, token

from chatproxy import clock
from chatproxy.generation import generation


@pytest.fixture
async def lively(serve: Serve) -> Client:
    """A server with three heartbeats a second."""
    return await serve(heartbeat_seconds=0.3)


@pytest.fixture
async def narrow(serve: Serve) -> Client:
    """The same, which produces one answer at a time."""
    return await serve(heartbeat_seconds=0.3, max_concurrent_generations=1)


@asynccontextmanager
async def asked(client: Client) -> AsyncIterator[Stream]:
    """A stream that has started."""
    async with client.sending(await client.new_session()) as stream:
        await stream.until("start")
        yield stream


async def state(stream: Stream, wanted: str) -> Any:
    """Read on to the next status with that state."""
    while True:
        status = await stream.until("status")
        if status["state"] == wanted:
            return status


async def beats(stream: Stream, number: int) -> list[Any]:
    """Read that many events: heartbeats of one state, each later than the one before."""
    told = [await stream.next() for _ in range(number)]
    statuses = [event for event in told if event is not None]
    assert {event["type"] for event in statuses} == {"status"}
    assert len({event["state"] for event in statuses}) == 1
    assert all(a["elapsedMs"] < b["elapsedMs"] for a, b in pairwise(statuses))
    return statuses


async def test_heartbeats_come_while_ollama_has_not_answered(lively: Client, fake: FakeOllama) -> None:
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


async def test_heartbeats_come_in_the_queue(narrow: Client, fake: FakeOllama) -> None:
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


async def test_heartbeats_come_while_ollama_pauses(lively: Client, fake: FakeOllama) -> None:
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


async def test_a_status_has_no_cursor(lively: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello."), head=(head := Gate()))
    async with asked(lively) as stream:
        await stream.until("status")
        await beats(stream, 2)
        head.open()
        await stream.rest()
    statuses = [event for event in stream.events if event["type"] == "status"]
    allowed = {"type", "state", "position", "elapsedMs", "etaMs", "tokens", "tokensPerSecond"}
    assert [set(status) - allowed for status in statuses] == [set()] * len(statuses)


async def test_a_change_of_state_is_sent_at_once(serve: Serve, fake: FakeOllama) -> None:
    """This server's heartbeats are ten seconds apart, so that none is among these."""
    client = await serve(ollama_num_parallel=2)
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


async def test_a_move_in_the_queue_is_sent_without_a_heartbeat(serve: Serve, fake: FakeOllama) -> None:
    fake.script = Script([token("One")], end="hang")
    client = await serve(max_concurrent_generations=1)
    async with asked(client) as first:
        await first.until("chunk")
        async with asked(client) as second, asked(client) as third:
            assert (await state(second, "queued"))["position"] == 1
            assert (await state(third, "queued"))["position"] == 2
            start = first.events[0]
            await client.cancel(start["sessionId"], start["assistantMessageId"])
            assert (await state(third, "queued"))["position"] == 1
            assert "position" not in await state(second, "generating")


async def test_a_move_in_the_queue_is_no_event_of_its_own(
    serve: Serve, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told with the next look, of which there is none here, and to a reader who comes."""
    monkeypatch.setattr(clock, "LOOK", 3600)
    fake.script = Script([token("One")], end="hang")
    client = await serve(max_concurrent_generations=1)
    async with asked(client) as first, asked(client) as second, asked(client) as third:
        assert (await state(third, "queued"))["position"] == 2
        await client.cancel(first.events[0]["sessionId"], first.answer_id)
        await state(second, "generating")
        session = third.events[0]["sessionId"]
        async with client.resuming(session, third.answer_id) as other:
            assert (await state(other, "queued"))["position"] == 1
        await client.cancel(session, third.answer_id)
        events = await third.rest()
    assert [event["position"] for event in events if event["type"] == "status"] == [2]


async def test_the_pace_is_sent_while_text_flows(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "LOOK", 0.1)
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


async def test_a_token_is_a_line_with_text(lively: Client, fake: FakeOllama) -> None:
    said = [token(""), token("Hello"), token("", thinking="Hm"), token("")]
    fake.script = Script([b"".join(said)], end="hang")
    async with asked(lively) as stream:
        await stream.has("Hello")
        assert (await state(stream, "generating"))["tokens"] == 2


async def test_no_heartbeat_comes_while_text_flows(
    serve: Serve, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It flows for longer than heartbeats are apart. A machine that stalls for as long would get one."""
    monkeypatch.setattr(generation, "STATUS_EVERY", 60)
    pieces = answer("word " * 30)
    fake.script = Script(pieces, delays=[0.06] * len(pieces))
    client = await serve(heartbeat_seconds=1.5)
    async with asked(client) as stream:
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
