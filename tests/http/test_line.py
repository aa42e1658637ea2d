"""The line in front of Ollama: users take turns, with the positions that they are told."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
import pytest
from chat_client import Client, Serve, Stream
from fake_ollama import MODEL, FakeOllama, Gate, Request, Script, answer

HEADER: Final = "X-Forwarded-User"


class Crowd:
    """Streams of several users, which are closed with the stack."""

    def __init__(self, client: Client, stack: AsyncExitStack) -> None:
        self.client = client
        self._stack = stack

    async def send(self, user: str, message: str) -> Stream:
        headers = {HEADER: user}
        session = await self.client.new_session(headers=headers)
        path = f"/api/chat/sessions/{session}/messages/stream"
        sending = self.client.stream("POST", path, json={"message": message}, headers=headers)
        return await self._stack.enter_async_context(sending)


async def position(stream: Stream) -> int:
    """Return the next position that the stream is told."""
    status = await stream.until("status")
    assert status["state"] == "queued", status
    return int(status["position"])


def asked(fake: FakeOllama) -> list[str]:
    """Return the messages in the order in which Ollama got them."""
    return [request["messages"][-1]["content"] for request in fake.requests]


@pytest.mark.parametrize("slots", [1, 2])
async def test_a_message_behind_a_hundred_of_another_user_is_next(
    serve: Serve, fake: FakeOllama, slots: int
) -> None:
    fake.script = Script(answer("Hi"), head=(head := Gate()))
    client = await serve(
        trusted_user_header=HEADER, max_concurrent_generations=slots, ollama_num_parallel=slots
    )
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http, AsyncExitStack() as stack:
        crowd = Crowd(Client(http, client.base), stack)
        for number in range(100):
            last = await crowd.send("ann", f"ann {number}")
        assert await position(last) == 100 - slots
        bobs = await crowd.send("bob", "bob")
        assert await position(bobs) == 1
        assert await position(last) == 101 - slots
        head.open()
        await bobs.rest()
        assert asked(fake).index("bob") == slots
        await last.rest()


async def test_users_take_turns_and_are_told_their_positions(serve: Serve, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hi"), head=(head := Gate()))
    client = await serve(trusted_user_header=HEADER, max_concurrent_generations=2, ollama_num_parallel=2)
    async with AsyncExitStack() as stack:
        crowd = Crowd(client, stack)
        streams = {name: await crowd.send(name[:3], name) for name in ("ann 0", "ann 1", "ann 2", "ann 3")}
        assert [await position(streams[name]) for name in ("ann 2", "ann 3")] == [1, 2]
        streams["bob 0"] = await crowd.send("bob", "bob 0")
        assert [await position(streams[name]) for name in ("bob 0", "ann 2", "ann 3")] == [1, 2, 3]
        streams["bob 1"] = await crowd.send("bob", "bob 1")
        streams["eve 0"] = await crowd.send("eve", "eve 0")
        assert [await position(streams[name]) for name in ("bob 1", "eve 0")] == [3, 2]
        head.open()
        for stream in streams.values():
            assert (await stream.rest())[-1]["type"] == "done"
    assert asked(fake)[2:4] == ["bob 0", "eve 0"]
    for name in ("ann", "bob"):  # each user's own, in the order in which they came
        own = [message for message in asked(fake) if message.startswith(name)]
        assert own == sorted(own)


async def test_without_users_addresses_take_turns(serve: Serve, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hi"), head=(head := Gate()))
    client = await serve(max_concurrent_generations=1)
    elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(connector=elsewhere) as http, AsyncExitStack() as stack:
        crowd, other = Crowd(client, stack), Crowd(Client(http, client.base), stack)
        for number in range(5):
            await crowd.send("", f"here {number}")
        assert await position(await other.send("", "there")) == 1
        head.open()


@pytest.mark.parametrize(("number", "running"), [(1, 1), (3, 3), (" 3 ", 3), ("0", 1), ("four", 2), ("", 2)])
async def test_so_many_of_a_model_go_to_ollama_at_once(
    serve: Serve, fake: FakeOllama, number: Any, running: int
) -> None:
    fake.script = Script(answer("Hi"), head=(head := Gate()))
    client = await serve(**({"ollama_num_parallel": number} if number else {}))
    async with AsyncExitStack() as stack:
        crowd = Crowd(client, stack)
        streams = [await crowd.send("", f"message {place}") for place in range(5)]
        places = running if number and number != "four" else 1  # one is what Ollama does unless it is told
        assert [await position(stream) for stream in streams[places:]] == list(range(1, 6 - places))
        await fake.arrived(running)
        assert fake.active == running
        head.open()
        for stream in streams:
            await stream.rest()
    if number and number != "four":
        assert fake.peak == running


# -- what is sent to Ollama and waits there


def one_at_a_time(gate: Gate) -> Callable[[Request], Script]:
    """Answer the first request for a second and a half, and the others when the gate is open."""
    first = Script(answer("One two three four"), delays=[0.3] * 5)
    scripts = iter([first])
    return lambda request: next(scripts, Script(answer("Hi"), head=gate))


async def test_while_others_are_answered_no_time_runs_out(serve: Serve, fake: FakeOllama) -> None:
    fake.script = one_at_a_time(gate := Gate())
    client = await serve(first_token_timeout=0.6, max_answer_seconds=2)
    async with AsyncExitStack() as stack:
        crowd = Crowd(client, stack)
        first = await crowd.send("", "first")
        await first.until("chunk")
        second = await crowd.send("", "second")
        assert await position(second) == 1
        await fake.arrived(2)
        await first.until("done")
        assert (await second.until("status"))["state"] in ("waiting", "loading")
        gate.open()
        assert (await second.rest())[-1]["type"] == "done"


async def test_when_it_is_its_turn_the_time_runs(serve: Serve, fake: FakeOllama) -> None:
    fake.script = one_at_a_time(Gate())
    client = await serve(first_token_timeout=0.6)
    async with AsyncExitStack() as stack:
        crowd = Crowd(client, stack)
        first = await crowd.send("", "first")
        await first.until("chunk")
        second = await crowd.send("", "second")
        await first.until("done")
        assert (await second.rest())[-1]["code"] == "upstream_timeout"


async def test_what_is_passed_on_waits_for_others_without_a_limit_too(serve: Serve, fake: FakeOllama) -> None:
    fake.script = one_at_a_time(gate := Gate())
    client = await serve(first_token_timeout=0.6)
    async with AsyncExitStack() as stack:
        crowd = Crowd(client, stack)
        first = await crowd.send("", "first")
        await first.until("chunk")
        passed = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
        asking = asyncio.create_task(client.http.post(client.url("/api/chat"), json=passed))
        await fake.arrived(2)
        await first.until("done")
        gate.open()
        async with await asking as response:
            assert response.status == 200
            assert response.headers["Server-Timing"].startswith("queue;dur=1")  # a second and more
            assert b'"done":true' in await response.read()
