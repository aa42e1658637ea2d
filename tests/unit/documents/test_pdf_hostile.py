"""Files that would keep a reader of PDFs busy: each ends, by itself or by the limits of its process."""

import asyncio
from io import BufferedRandom
from pathlib import Path

import pytest
from hostile_pdfs import FILES, LONG
from pdf_files import pdf, put

from chatproxy.documents import worker
from chatproxy.documents.worker import DocumentReader
from chatproxy.errors import ChatError


async def outcome(data: bytes, folder: Path) -> str:
    """Return how a file ends in a process of its own: what is in it, or the code of the refusal."""
    with (folder / "a.pdf").open("w+b") as file:
        file.write(data)
        return await _outcome(file)


async def _outcome(file: BufferedRandom) -> str:
    try:
        async with DocumentReader().reading("me", file, "application/pdf") as read:
            return " ".join([chunk.text async for batch in read.chunks for chunk in batch])
    except ChatError as error:
        return error.code


@pytest.mark.parametrize("name", sorted(FILES.keys() - LONG))
async def test_short_ones_end_by_themselves(name: str, tmp_path: Path) -> None:
    assert (await outcome(FILES[name](), tmp_path)).split()[0] in {"Words", "ab", "invalid"}


@pytest.mark.slow
async def test_a_long_one_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TIMEOUT", 3)
    other = tmp_path / "other"
    other.mkdir()
    long, short = await asyncio.gather(
        outcome(FILES["many pages"](), tmp_path), outcome(pdf(put(50, 700, "Words")), other)
    )
    assert (long, short) == ("invalid", "Words")
