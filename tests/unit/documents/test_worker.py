import asyncio
import gc
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from waiting import pause, until

import chatproxy
from chatproxy import clock
from chatproxy.documents import worker
from chatproxy.documents.parts import Chunk, Remark
from chatproxy.documents.worker import LIMIT_EXCEEDED, MAX_PROCESSES, DocumentReader, Head, ReadFile, Refusal
from chatproxy.errors import ChatError


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("Hello\n\nyou")
    return path


@pytest.fixture
def long(tmp_path: Path) -> Path:
    path = tmp_path / "long.txt"
    path.write_text("word " * 300_000)
    return path


async def read(
    reader: DocumentReader, path: Path, promised: str = "text/plain", user: str = "me"
) -> list[str]:
    with path.open("rb") as file:
        file.read()  # wherever it stands
        async with reader.reading(user, file, promised) as read:
            return [chunk.text async for batch in read.chunks for chunk in batch]


async def test_reads_and_cuts(text: Path) -> None:
    assert await read(DocumentReader(), text) == ["Hello\n\nyou"]


async def test_a_long_file_comes_in_batches(long: Path) -> None:
    with long.open("rb") as file:
        async with DocumentReader().reading("me", file, "text/plain") as read:
            sizes = [len(batch) async for batch in read.chunks]
    assert len(sizes) > 5
    assert set(sizes[:-1]) == {worker.BATCH}


async def test_a_reader_that_needs_no_more_ends_the_process(long: Path) -> None:
    with long.open("rb") as file:
        async with DocumentReader().reading("me", file, "text/plain") as read:
            await anext(read.chunks)


def test_the_process_starts_without_the_rest_of_chatproxy() -> None:
    script = "import sys, chatproxy.documents.worker; print('aiohttp' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "False\n"


def test_what_the_package_offers() -> None:
    assert all(hasattr(chatproxy, name) for name in chatproxy.__all__)
    assert not hasattr(chatproxy, "other")


async def test_refuses(text: Path) -> None:
    with pytest.raises(ChatError, match="not a PDF") as refused:
        await read(DocumentReader(), text, "application/pdf")
    assert refused.value.code == "unsupported_media_type"


async def test_more_files_than_are_read_at_once(text: Path) -> None:
    reader = DocumentReader()
    found = await asyncio.gather(*[read(reader, text) for _ in range(2 * MAX_PROCESSES)])
    assert found == [["Hello\n\nyou"]] * (2 * MAX_PROCESSES)


class Slow:
    """Takes the place of the process; what is read comes to a halt until `go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: asyncio.Queue[None] = asyncio.Queue()
        self.go, self.ended = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(worker, "_reading", self.reading)

    @asynccontextmanager
    async def reading(self, *_: object) -> AsyncIterator[ReadFile]:
        self.begun.put_nowait(None)
        try:
            yield ReadFile("text/plain", [], self.chunks())
        finally:
            self.ended.set()

    async def chunks(self) -> AsyncIterator[list[Chunk]]:
        await self.go.wait()
        yield [Chunk("Hello")]


async def test_a_user_with_many_files_leaves_room_for_others(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, reader = Slow(monkeypatch), DocumentReader()
    hers = [
        asyncio.create_task(read(reader, text, user="her"))
        for _ in range(worker.PROCESSES_PER_USER + worker.WAITING_PER_USER)
    ]
    for _ in range(worker.PROCESSES_PER_USER):
        await slow.begun.get()
    with pytest.raises(ChatError) as refused:
        await asyncio.wait_for(read(reader, text, user="her"), 10)
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 10)
    his = asyncio.create_task(read(reader, text, user="him"))
    await asyncio.wait_for(slow.begun.get(), 10)
    slow.go.set()
    assert await asyncio.gather(*hers, his) == [["Hello"]] * (len(hers) + 1)


async def test_cancelling_the_caller_cancels_the_reading(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    reading = asyncio.create_task(read(DocumentReader(), text))
    await slow.begun.get()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert slow.ended.is_set()


async def test_a_closed_reader_refuses_files(text: Path) -> None:
    reader = DocumentReader()
    reader.close()
    with pytest.raises(ChatError) as refused:
        await read(reader, text)
    assert refused.value.code == "shutting_down"


async def test_close_ends_what_is_being_read_and_what_waits(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, reader = Slow(monkeypatch), DocumentReader()
    readings = [asyncio.create_task(read(reader, text)) for _ in range(MAX_PROCESSES)]
    for _ in range(worker.PROCESSES_PER_USER):
        await slow.begun.get()
    reader.close()
    for result in await asyncio.gather(*readings, return_exceptions=True):
        assert isinstance(result, ChatError)
        assert result.code == "shutting_down"
    assert slow.ended.is_set()


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("import time; time.sleep(600)", marks=pytest.mark.slow),
        pytest.param("while True: pass", marks=pytest.mark.slow),
        "bytes(10**11)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "raise SystemExit(1)",
    ],
)
async def test_a_hostile_file_is_stopped(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: str
) -> None:
    """Another program takes the place of the reading; it is stopped, and its end waited for."""
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(
        f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n{hostile}\n"
    )
    monkeypatch.setattr(worker, "__name__", "stand_in")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(worker, "TIMEOUT", 3)
    monkeypatch.setattr(clock, "STEP", 3)  # nothing else reads it here
    with pytest.raises(ChatError, match="takes too long") as refused:
        await read(DocumentReader(), text)
    assert (refused.value.code, refused.value.details) == ("invalid", {"field": "file"})
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.slow
async def test_a_pause_of_this_process_refuses_no_file(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (begun := tmp_path / "begun").mkdir()
    (tmp_path / "stand_in.py").write_text(
        f"import os, time\nos.rmdir({str(begun)!r})\ntime.sleep(0.2)\n"
        """print('{"type":"Head","media_type":"","remarks":[]}\\n[["Hello", null, null]]')"""
    )
    monkeypatch.setattr(worker, "__name__", "stand_in")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(worker, "TIMEOUT", 2)
    reading = asyncio.create_task(read(DocumentReader(), text))
    await until(lambda: not begun.exists())
    pause(2.1)
    assert await reading == ["Hello"]


async def test_the_process_has_no_secrets_in_its_environment(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tmp_path / "names"
    (tmp_path / "stand_in.py").write_text(f"import os\nopen({str(names)!r}, 'w').write(' '.join(os.environ))")
    monkeypatch.setattr(worker, "__name__", "stand_in")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("API_TOKEN", "secret")
    with pytest.raises(ChatError):  # it writes nothing
        await read(DocumentReader(), text)
    assert "API_TOKEN" not in names.read_text().split()


async def test_what_could_not_be_read_comes_with_the_chunks(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remarks = [Remark("partial", "Page 1 is a scan.")]
    lines = b"\n".join(map(msgspec.json.encode, (Head("text/csv", remarks), [Chunk("Hello", 2)])))
    (tmp_path / "stand_in.py").write_text(f"print({lines.decode()!r})")
    monkeypatch.setattr(worker, "__name__", "stand_in")
    monkeypatch.syspath_prepend(str(tmp_path))
    with text.open("rb") as file:
        async with DocumentReader().reading("me", file, "text/plain") as read:
            assert [batch async for batch in read.chunks] == [[Chunk("Hello", 2)]]
            assert (read.media_type, read.remarks) == ("text/csv", remarks)


def run(monkeypatch: pytest.MonkeyPatch, content: bytes, promised: str) -> list[list[Chunk] | Head | Refusal]:
    """Run the part of the process in this one."""
    written = BytesIO()
    limits: list[int] = []
    gc_disabled: list[bool] = []
    priorities: list[int] = []

    def limit(which: int, most: tuple[int, int]) -> None:
        limits.append(which)
        if which == resource.RLIMIT_AS:
            raise ValueError("a system without this limit")

    monkeypatch.setattr(resource, "setrlimit", limit)
    monkeypatch.setattr(gc, "disable", lambda: gc_disabled.append(True))
    monkeypatch.setattr(os, "nice", priorities.append)
    monkeypatch.setattr(sys, "argv", ["worker", promised])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(content)))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=written))
    worker.main()
    assert {resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE} <= set(limits)
    assert gc_disabled
    assert priorities == [10]
    return msgspec.json.Decoder(list[Chunk] | Head | Refusal).decode_lines(written.getvalue())


def test_the_process_writes_the_text_or_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, b"Hello", "text/plain") == [Head("text/plain", []), [Chunk("Hello")]]
    (refusal,) = run(monkeypatch, b"", "text/plain")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.details) == ("invalid", LIMIT_EXCEEDED.details)
