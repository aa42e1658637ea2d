"""Several Ollamas in processes of their own, one of which is killed, stops, or refuses everything."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from fake_ollama import MODEL
from faults.place import free_port
from lone_ollama import LoneOllama
from processes import Process
from readme import example
from waiting import until

HOSTS: Final = (
    example("sh", "OLLAMA_HOST=http://gpu1").removeprefix("OLLAMA_HOST=").removesuffix(" chatproxy\n")
)
pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(sys.platform == "win32", reason="its processes cannot be stopped and go on"),
]


@asynccontextmanager
async def serving(folder: Path, *ollamas: LoneOllama) -> AsyncIterator[Process]:
    hosts = HOSTS
    for number, ollama in enumerate(ollamas, start=1):
        hosts = hosts.replace(f"http://gpu{number}:11434", ollama.url)
    settings: dict[str, Any] = {
        "ollama_host": hosts,
        "ollama_num_parallel": 1,
        "default_model": MODEL,
    }
    async with Process.running(folder, **settings) as process:
        yield process


async def answers(process: Process, number: int) -> list[str]:
    """Send so many messages at once, and return how their answers end."""

    async def answer() -> str:
        session = await process.client.new_session()
        stream = await process.client.ask(session)
        assert stream.text() in ("Hello.", ""), stream.text()
        return str(stream.last.get("modelReason") or stream.last["code"])

    return await asyncio.gather(*[answer() for _ in range(number)])


async def up(process: Process, ollama: LoneOllama) -> bool:
    client = process.client
    async with client.http.get(client.url("/metrics")) as response:
        lines = (await response.text()).splitlines()
    host = ollama.url.removeprefix("http://")
    return f'chatproxy_host_up{{host="{host}"}} 1.0' in lines


async def active(process: Process) -> bool:
    """Return whether both hosts have something to do."""
    client = process.client
    async with client.http.get(client.url("/metrics")) as response:
        return "chatproxy_active_generations 2.0" in (await response.text()).splitlines()


@pytest.mark.parametrize("way", [signal.SIGKILL, getattr(signal, "SIGSTOP", signal.SIGTERM)])
async def test_what_waits_at_a_host_that_ends_goes_on_at_the_other(tmp_path: Path, way: int) -> None:
    port = free_port()
    async with (
        LoneOllama.running(port, "slow") as first,
        LoneOllama.running(free_port(), "good") as second,
        AsyncExitStack() as later,
        serving(tmp_path, first, second) as process,
    ):
        asking = asyncio.create_task(answers(process, 4))
        await until(lambda: active_or_done(process, asking))
        os.kill(first.child.pid, way)
        ended = await asyncio.wait_for(asking, 60)
        assert len(ended) == 4
        assert "upstream_unavailable" not in ended
        assert not await up(process, first)
        assert all(second.url.removeprefix("http://") in each for each in await answers(process, 2))
        if way == signal.SIGKILL:
            await first.child.wait()
            await later.enter_async_context(LoneOllama.running(port, "good"))
        else:
            os.kill(first.child.pid, signal.SIGCONT)
        await until(lambda: up(process, first), 40)


async def active_or_done(process: Process, asking: "asyncio.Task[list[str]]") -> bool:
    return asking.done() or await active(process)


async def test_a_host_that_refuses_everything_attracts_nothing(tmp_path: Path) -> None:
    async with (
        LoneOllama.running(free_port(), "busy") as busy,
        LoneOllama.running(free_port(), "good") as good,
        serving(tmp_path, busy, good) as process,
    ):
        for _ in range(3):
            (reason,) = await answers(process, 1)
            assert good.url.removeprefix("http://") in reason
