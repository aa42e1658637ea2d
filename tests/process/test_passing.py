"""What is passed on, in a real process: clients that read nothing, and a SIGTERM in the middle."""

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from endings import ERROR, ending, sentence
from fake_ollama import NDJSON, SSE, FakeOllama, Script, last, token
from processes import Process
from sockets import request, unread

MODEL: Final = "gemma3:270m"
ASKED: Final = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
MIB: Final = 1024**2
# Of each API, the first piece of a stream.
BEGUN: Final = {
    "/api/chat": token("Hello"),
    "/v1/chat/completions": b'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n',
    "/v1/messages": b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n',
}


def memory(process: Process) -> int:
    """Return the most memory that the process has had, in bytes."""
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


async def test_clients_that_read_nothing_cost_little_and_delay_nobody(
    fake: FakeOllama, quick_disk: Path
) -> None:
    """Sixteen are sent 32 MiB each. Nothing more is read for them, and READER_TIMEOUT ends it."""
    pieces = [token("x" * 64 * 1024)] * 512
    fake.script = Script([*pieces, last()])
    fake.instead["/api/generate"] = Script([*pieces, last()])
    async with Process.running(
        quick_disk, ollama_host=fake.url, reader_timeout=2, ollama_num_parallel=32
    ) as process:
        before = memory(process)
        with ExitStack() as stack:
            for _ in range(16):
                stack.enter_context(unread(process.client, request("POST", "/api/chat", body=ASKED)))
            slow = [await fake.arrived(number + 1) for number in range(16)]
            whole = b"".join([*pieces, last()])
            async with process.client.http.post(process.client.url("/api/generate"), json=ASKED) as other:
                assert await other.read() == whole
            async with asyncio.timeout(20):
                for chat in slow:
                    await chat.closed.wait()
            assert not any(chat.served for chat in slow)
            assert memory(process) - before < 48 * MIB  # of 512 that Ollama had for them


async def test_a_sigterm_has_a_last_word_for_every_stream(fake: FakeOllama, quick_disk: Path) -> None:
    """Nine streams end with an error of their API's, and the process ends in time."""
    for path, begun in BEGUN.items():
        kind = NDJSON if path.startswith("/api/") else SSE
        fake.instead[path] = Script([begun], content_type=kind, end="hang")
    paths, reading = [*BEGUN] * 3, asyncio.Barrier(10)
    async with Process.running(quick_disk, ollama_host=fake.url, ollama_num_parallel=9) as process:

        async def read(path: str) -> bytes:
            async with process.client.http.post(process.client.url(path), json=ASKED) as response:
                first = await response.content.readany()
                await reading.wait()
                return first + await response.read()

        tasks = [asyncio.create_task(read(path)) for path in paths]
        await reading.wait()
        process.send_signal(signal.SIGTERM)
        bodies = await asyncio.gather(*tasks)
        assert await process.ended(within=8) == 0
    for path, body in zip(paths, bodies, strict=True):
        assert body.startswith(BEGUN[path])
        assert ending(path, body) == ERROR
        assert "shutting down" in sentence(path, body)
