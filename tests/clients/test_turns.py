"""One line for what sessions ask and what is passed on, in which users take turns and SDKs wait."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
import openai
import pytest
from chat_client import Client, Serve, Stream
from fake_ollama import FakeOllama, Gate, Request, Script, answer, replayed
from waiting import until

HEADER: Final = "X-OpenWebUI-User-Id"
MODEL: Final = "gemma3:270m"
PASSED: Final = ("/api/chat", "/v1/chat/completions", "/v1/messages")


class Crowd:
    """Requests of several users, each under way until its answer is there."""

    def __init__(self, client: Client, tasks: asyncio.TaskGroup) -> None:
        self._client = client
        self._tasks = tasks
        self.number = 0

    async def ask(self, user: str, path: str) -> asyncio.Task[None]:
        """Ask for an answer; return once the request is running or waiting."""
        headers = {HEADER: user}
        body: dict[str, Any] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": user}],
            "stream": True,
        }
        if path == "a session":
            session = await self._client.new_session(headers=headers)
            path, body = f"/api/chat/sessions/{session}/messages/stream", {"message": user, "model": MODEL}
        self.number += 1
        task = self._tasks.create_task(self._read(path, body, headers))
        await until(self._is_there)
        return task

    async def _read(self, path: str, body: Request, headers: dict[str, str]) -> None:
        async with self._client.http.post(self._client.url(path), json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            assert await response.read()

    async def _is_there(self) -> bool:
        async with self._client.http.get(self._client.url("/metrics"), headers={HEADER: "any"}) as response:
            lines = (await response.text()).splitlines()
        names = ("chatproxy_active_generations ", "chatproxy_queued_generations ")
        return sum(float(line.split()[1]) for line in lines if line.startswith(names)) == self.number


def asked(fake: FakeOllama) -> list[str]:
    """Return the users in the order in which Ollama got what they ask."""
    return [request["messages"][-1]["content"] for request in fake.requests]


def hold_all(fake: FakeOllama) -> Gate:
    """Hold every answer before its head; return the gate."""
    head = Gate()
    fake.script = Script(answer("Hi"), head=head)
    fake.instead = {
        "/v1/chat/completions": replayed("chat_completions", head=head),
        "/v1/messages": replayed("messages", head=head),
    }
    return head


@pytest.mark.parametrize("slots", [1, 2])
async def test_one_request_behind_a_hundred_of_another_user_is_next(
    serve: Serve, fake: FakeOllama, slots: int
) -> None:
    """A script's hundred are a mixture of all that can be asked; so are those of the others."""
    head = hold_all(fake)
    client = await serve(trusted_user_header=HEADER, max_concurrent_generations=slots)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        crowd = Crowd(Client(http, client.base), tasks)
        for number in range(100):
            await crowd.ask("ann", (*PASSED, "a session")[number % 4])
        for user, path in (("bob", "/v1/chat/completions"), ("eve", "a session")):
            await crowd.ask(user, path)
        head.open()
    order = asked(fake)
    assert len(order) == 102
    assert (order.index("bob"), order.index("eve")) == (slots, slots + 1)
    assert fake.peak == slots


async def test_sessions_and_passed_requests_have_places_in_one_line(serve: Serve, fake: FakeOllama) -> None:
    head = hold_all(fake)
    client = await serve(max_concurrent_generations=2, ollama_num_parallel=2)
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        crowd = Crowd(client, tasks)
        for path in (*PASSED, PASSED[0]):
            await crowd.ask("ann", path)
        streams = []
        for place in (3, 4):
            session = await client.new_session()
            streams.append(await stack.enter_async_context(client.sending(session)))
            assert await position(streams[-1]) == place
        for places in ((2, 3), (1, 2)):
            head.let()
            assert tuple([await position(stream) for stream in streams]) == places
        head.open()
        for stream in streams:
            assert (await stream.rest())[-1]["type"] == "done"


async def position(stream: Stream) -> int:
    """Return the next position that a stream is told."""
    return int((await stream.until("status"))["position"])


@pytest.mark.slow
async def test_openai_waits_for_a_line_that_is_full(serve: Serve, fake: FakeOllama) -> None:
    """The SDK repeats what is refused with 503, after as many seconds as `Retry-After` says."""
    head = Gate()
    fake.script = Script(answer("Hi"), head=head)
    client = await serve(max_concurrent_generations=1, max_queued_generations=0)
    async with (
        openai.AsyncOpenAI(base_url=f"{client.base}/v1", api_key="unused") as api,
        asyncio.TaskGroup() as tasks,
    ):
        crowd = Crowd(client, tasks)
        held = await crowd.ask("ann", "/api/chat")
        repeated = tasks.create_task(words(api))
        await until(lambda: refused(client))
        head.open()
        await held
    retries, said = repeated.result()
    assert retries == 1
    assert said.startswith("w0 w1")


async def words(api: openai.AsyncOpenAI) -> tuple[int, str]:
    """Ask for an answer; return how often that was repeated, and the answer."""
    response = await api.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "Say words."}]
    )
    return response.retries_taken, response.parse().choices[0].message.content or ""


async def refused(client: Client) -> bool:
    async with client.http.get(client.url("/metrics")) as response:
        return 'chatproxy_passed_total{api="openai"' in await response.text()
