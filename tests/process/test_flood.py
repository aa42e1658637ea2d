"""An Ollama that sends as fast as it can, and a process that is suspended while Ollama goes on."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from fake_ollama import FakeOllama, Script, answer, token
from processes import Process

MODEL = {"default_model": "gemma3:270m"}
MOST_MEMORY = 256  # MiB


def most_memory(process: Process) -> int:
    """Return the most memory that the process ever had, in MiB."""
    lines = Path(f"/proc/{process.child.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


@asynccontextmanager
async def flooded(fake: FakeOllama, folder: Path, number: int) -> AsyncIterator[tuple[Process, str, int]]:
    """Start that many answers; yield the process, and the session and id of the last."""
    async with Process.running(
        folder, ollama_host=fake.url, max_answer_bytes=100_000_000, **MODEL
    ) as process:
        for _ in range(number):
            session = await process.client.new_session()
            async with process.client.sending(session) as stream:
                await stream.until("start")
        yield process, session, stream.answer_id


@pytest.mark.parametrize(
    ("number", "sent"),
    [(8, token("x") * 1000), (8, b"{}\n" * 20_000), (8, b"\n" * 60_000)],
    ids=["text", "no text", "no lines"],
)
async def test_a_flood_leaves_the_loop_to_others(
    fake: FakeOllama, quick_disk: Path, number: int, sent: bytes
) -> None:
    fake.script = Script(repeat(sent))
    async with flooded(fake, quick_disk, number) as (process, session, message):
        slowest, began = 0.0, monotonic()
        while monotonic() - began < 1.5:
            asked = monotonic()
            await process.client.call("GET", "/healthz")
            slowest = max(slowest, monotonic() - asked)
        asked = monotonic()
        stored = await process.client.cancel(session, message)
        assert monotonic() - asked < 1
        assert stored["status"] == "cancelled"
        assert slowest < 0.5
        assert most_memory(process) < MOST_MEMORY


async def test_a_suspended_process_is_late_for_nothing(fake: FakeOllama, quick_disk: Path) -> None:
    words = "".join(f" word{number}" for number in range(60))
    fake.script = Script(answer(words), delays=repeat(0.05))
    settings: dict[str, Any] = {
        "token_timeout": 1,
        "first_token_timeout": 1,
        "reader_timeout": 1,
        "max_answer_seconds": 3.5,
    }
    async with Process.running(quick_disk, ollama_host=fake.url, **settings, **MODEL) as process:
        async with process.client.sending(await process.client.new_session()) as stream:
            await stream.until("chunk")
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(4)  # longer than any of the limits, less what goes before and after
            process.send_signal(signal.SIGCONT)
            assert (await stream.until("done"))["fullResponse"] == words
        assert stream.text() == words
