"""A signal with DRAIN_SECONDS: a real process serves on until its answers are over, and then ends."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from fake_ollama import FakeOllama, Gate, Script, answer, token
from processes import ROOT, SCRIPT, Process
from waiting import until

MODEL: Final[dict[str, Any]] = {"default_model": "gemma3:270m"}
# As on Windows: asyncio's own event loop, which handles no signals.
ELSEWHERE: Final = """
import asyncio, sys
def no_handlers(*arguments):
    raise NotImplementedError
sys.modules["uvloop"] = None
asyncio.SelectorEventLoop.add_signal_handler = no_handlers
from chatproxy.command.cli import main
sys.exit(main())
"""
BEGINS: Final = "no more answers begin"  # as the log says


@pytest.mark.parametrize("command", [SCRIPT, (sys.executable, "-c", ELSEWHERE)], ids=["uvloop", "asyncio"])
async def test_it_serves_on_until_the_answer_is_over(
    fake: FakeOllama, tmp_path: Path, command: tuple[str, ...]
) -> None:
    fake.script = Script(answer("One two three"), gate=(gate := Gate()))
    gate.let(1)
    settings = {"ollama_host": fake.url, "drain_seconds": 60, "pythonpath": ROOT, **MODEL}
    async with Process.running(tmp_path, command=command, **settings) as process:
        client = process.client
        first, second = await client.new_session(), await client.new_session()
        async with client.sending(first) as stream:
            await stream.has("One")
            process.send_signal(signal.SIGTERM)
            await until(lambda: BEGINS in process.said)
            # A new connection, as a balancer's is.
            async with aiohttp.ClientSession() as http, http.get(client.url("/readyz")) as ready:
                assert ready.status == 503
            path = f"/api/chat/sessions/{second}/messages/stream"
            async with client.http.post(client.url(path), json={"message": "Hello"}) as refused:
                assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
                assert (await refused.json())["code"] == "shutting_down"
            async with client.resuming(first, stream.answer_id) as again:
                gate.open()
                for each in (stream, again):
                    assert (await each.rest())[-1]["fullResponse"] == "One two three"
        assert await process.ended() == 0
    assert "Traceback" not in process.said


async def test_it_ends_at_once_without_an_answer(fake: FakeOllama, tmp_path: Path) -> None:
    async with Process.running(tmp_path, ollama_host=fake.url, drain_seconds=60, **MODEL) as process:
        await process.client.ask(await process.client.new_session())
        process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0


@pytest.mark.parametrize(
    ("seconds", "again"),
    [(0.5, None), (60, signal.SIGTERM), (60, signal.SIGINT)],
    ids=["time", "TERM", "INT"],
)
async def test_time_and_a_second_signal_end_what_is_left(
    fake: FakeOllama, tmp_path: Path, seconds: float, again: signal.Signals | None
) -> None:
    fake.script = Script([token("One")], end="hang")
    async with Process.running(tmp_path, ollama_host=fake.url, drain_seconds=seconds, **MODEL) as process:
        async with process.client.sending(await process.client.new_session()) as stream:
            await stream.has("One")
            process.send_signal(signal.SIGTERM)
            await until(lambda: BEGINS in process.said)
            if again is not None:
                process.send_signal(again)
            end = await stream.until("error")
            assert (end["code"], end["fullResponse"]) == ("shutting_down", "One")
            async with asyncio.timeout(5):
                assert await stream.next() is None
        assert await process.ended() == 0
