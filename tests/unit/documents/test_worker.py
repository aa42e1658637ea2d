import asyncio
import gc
import os
import resource
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

import chatproxy
from chatproxy.documents import worker
from chatproxy.documents.worker import LIMIT_EXCEEDED, MAX_PROCESSES, Contents, DocumentReader, Refusal
from chatproxy.errors import ChatError


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("Hello\n\nyou")
    return path


async def test_reads_and_cuts(text: Path) -> None:
    with text.open("rb") as file:
        file.read()  # wherever it stands
        assert await DocumentReader().read(file, "text/plain") == Contents("text/plain", ["Hello\n\nyou"])


def test_the_process_starts_without_the_rest_of_chatproxy() -> None:
    script = "import sys, chatproxy.documents.worker; print('aiohttp' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "False\n"


def test_what_the_package_offers() -> None:
    assert [hasattr(chatproxy, name) for name in (*chatproxy.__all__, "other")] == [True, True, True, False]


async def test_refuses(text: Path) -> None:
    with text.open("rb") as file, pytest.raises(ChatError, match="not a PDF") as refused:
        await DocumentReader().read(file, "application/pdf")
    assert refused.value.code == "unsupported_media_type"


async def test_more_files_than_are_read_at_once(text: Path) -> None:
    reader = DocumentReader()
    files = [text.open("rb") for _ in range(2 * MAX_PROCESSES)]
    found = await asyncio.gather(*[reader.read(file, "text/plain") for file in files])
    assert [contents.chunks for contents in found] == [["Hello\n\nyou"]] * len(files)
    for file in files:
        file.close()


async def test_more_files_than_may_wait(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()

    async def slow(*given: object) -> Contents:
        await go.wait()
        return Contents("text/plain", [])

    monkeypatch.setattr(worker, "_run_process", slow)
    reader = DocumentReader()
    with text.open("rb") as file:
        reading = [
            asyncio.create_task(reader.read(file, "text/plain"))
            for _ in range(MAX_PROCESSES + worker.MAX_WAITING)
        ]
        await asyncio.sleep(0)  # they have come
        with pytest.raises(ChatError) as refused:
            await asyncio.wait_for(reader.read(file, "text/plain"), 10)
        assert (refused.value.code, refused.value.retry_after) == ("overloaded", 10)
        go.set()
        await asyncio.gather(*reading)
        assert await reader.read(file, "text/plain") == Contents("text/plain", [])


async def test_cancelling_the_caller_cancels_the_reading(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(worker, "_run_process", slow)
    with text.open("rb") as file:
        reading = asyncio.create_task(DocumentReader().read(file, "text/plain"))
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert ended.is_set()


async def test_a_closed_reader_refuses_files(text: Path) -> None:
    reader = DocumentReader()
    await reader.close()
    with text.open("rb") as file, pytest.raises(ChatError) as refused:
        await reader.read(file, "text/plain")
    assert refused.value.code == "shutting_down"


async def test_close_waits_until_what_it_cancels_has_ended(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    monkeypatch.setattr(worker, "_run_process", slow)
    reader = DocumentReader()
    with text.open("rb") as file:
        reading = asyncio.create_task(reader.read(file, "text/plain"))
        await begun.wait()
        await reader.close()
        assert ended.is_set()
        with pytest.raises(ChatError) as refused:
            await reading
    assert refused.value.code == "shutting_down"


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
    with text.open("rb") as file, pytest.raises(ChatError, match="takes too long") as refused:
        await DocumentReader().read(file, "text/plain")
    assert (refused.value.code, refused.value.details) == ("invalid", {"field": "file"})
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_the_process_has_no_secrets_in_its_environment(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tmp_path / "names"
    (tmp_path / "stand_in.py").write_text(f"import os\nopen({str(names)!r}, 'w').write(' '.join(os.environ))")
    monkeypatch.setattr(worker, "__name__", "stand_in")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("API_TOKEN", "secret")
    with text.open("rb") as file, pytest.raises(ChatError):
        await DocumentReader().read(file, "text/plain")
    assert "API_TOKEN" not in names.read_text().split()


def run(monkeypatch: pytest.MonkeyPatch, content: bytes, promised: str) -> Contents | Refusal:
    """Run the part of the process in this one."""
    written = BytesIO()
    limits: list[int] = []
    gc_disabled: list[bool] = []

    def limit(which: int, most: tuple[int, int]) -> None:
        limits.append(which)
        if which == resource.RLIMIT_AS:
            raise ValueError("a system without this limit")

    monkeypatch.setattr(resource, "setrlimit", limit)
    monkeypatch.setattr(gc, "disable", lambda: gc_disabled.append(True))
    monkeypatch.setattr(sys, "argv", ["worker", promised])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(content)))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=written))
    worker.main()
    assert {resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE} <= set(limits)
    assert gc_disabled
    return msgspec.json.decode(written.getvalue(), type=Contents | Refusal)


def test_the_process_writes_the_text_or_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, b"Hello", "text/plain") == Contents("text/plain", ["Hello"])
    refusal = run(monkeypatch, b"", "text/plain")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.details) == ("invalid", LIMIT_EXCEEDED.details)
