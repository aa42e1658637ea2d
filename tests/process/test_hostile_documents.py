"""Hostile documents are refused in their time, in a real process, while others are served."""

import asyncio
import sys
from asyncio import Queue
from io import BytesIO
from itertools import repeat
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp
from chat_client import Client
from fake_ollama import FakeOllama, Script, answer
from hostile_documents import HOSTILE
from office_files import row, xlsx
from processes import ROOT, Process

HIS, HERS = {"X-User": "him"}, {"X-User": "her"}
TIMEOUT: Final = 10  # seconds for a file, instead of minutes
TOO_LONG: Final = 422  # what a busy machine may make of any file
NEVER: Final = aiohttp.ClientTimeout(total=None)
MOST_MEMORY: Final = 256  # MiB
# The command, with less time for each file.
COMMAND: Final = (
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from chatproxy.documents import worker;"
    f" worker.TIMEOUT = {TIMEOUT}; from chatproxy.command.cli import main; sys.exit(main())",
)


async def upload(client: Client, name: str, content: bytes, user: dict[str, str]) -> tuple[int, str]:
    form = aiohttp.FormData()
    form.add_field("file", BytesIO(content), filename=name)
    async with client.http.post(client.url("/api/documents"), data=form, headers=user) as response:
        return response.status, await response.text()


def most_memory(process: Process) -> int:
    """Return the most memory that the process ever had, in MiB."""
    lines = Path(f"/proc/{process.child.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


async def test_hostile_documents_delay_nobody(fake: FakeOllama, quick_disk: Path) -> None:
    fake.script = Script(answer(" word" * 10_000), delays=repeat(0.05))
    settings = {"default_model": "gemma3:270m", "trusted_user_header": "X-User"}
    async with Process.running(quick_disk, command=COMMAND, ollama_host=fake.url, **settings) as process:
        client = process.client
        files: Queue[str] = Queue()
        for what in HOSTILE:
            files.put_nowait(what)
        wrong: dict[str, tuple[int, str]] = {}

        async def attack() -> None:
            while not files.empty():
                what = files.get_nowait()
                name, expected, made = HOSTILE[what]
                content = await asyncio.to_thread(made)
                status, said = await upload(client, name, content, HIS)
                if status not in {expected, TOO_LONG}:
                    wrong[what] = (status, said)

        session = await client.new_session(HERS)
        path = f"/api/chat/sessions/{session}/messages/stream"
        async with client.stream(
            "POST", path, json={"message": "Hello"}, headers=HERS, timeout=NEVER
        ) as stream:
            await stream.until("chunk")
            attacks = [asyncio.create_task(attack()) for _ in range(4)]
            slowest, last = 0.0, monotonic()
            good: list[float] = []
            while not all(task.done() for task in attacks):
                await stream.next()
                slowest, last = max(slowest, monotonic() - last), monotonic()
                if len(good) * 100 < len(stream.events):
                    good.append(await read_good(client, len(good)))
                    last = monotonic()
            await asyncio.gather(*attacks)
        assert wrong == {}
        assert slowest < 2
        assert max(good) < TIMEOUT
        assert most_memory(process) < MOST_MEMORY


async def read_good(client: Client, number: int) -> float:
    """Upload a good document; return how long that took."""
    began = monotonic()
    status, said = await upload(client, "good.xlsx", xlsx({"A": row(f"Good {number}")}), HERS)
    assert status == 201, said
    return monotonic() - began
