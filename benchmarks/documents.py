"""The cost of documents: of an upload by its size, of a search by the number of chunks.

Uploads go over HTTP on loopback, searches directly to the store. The text is made of sentences from a
real one.
"""

import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import aiohttp
from aiohttp import web

from chatproxy import Config, create_app
from chatproxy.prompt.passages import passages_for
from chatproxy.web.keys import STORE

DATA: Final = Path(__file__).parent.parent / "tests" / "data" / "documents"
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True)
class DocumentCost:
    """The cost of one document; times are in milliseconds."""

    megabytes: float  # of text
    chunks: int
    upload: float
    search: float  # median
    slow_search: float  # 95th percentile


async def measure(sizes: Sequence[float], searches: int) -> list[DocumentCost]:
    """Upload a text of each size, in megabytes, and search it that many times."""
    sentences = re.split(r"(?<=[.?!;])\s+", (DATA / "devils-dictionary.txt").read_text())
    found = []
    with TemporaryDirectory(prefix="bench") as folder:
        for size in sizes:
            text = make_text(sentences, int(size * MEGABYTE), random.Random(size))
            database = Path(folder) / f"{size}.db"
            chunks, upload, taken = await _measure_one(database, text, make_questions(sentences, searches))
            slow = sorted(taken)[int(len(taken) * 0.95)]
            found.append(DocumentCost(size, chunks, upload * 1000, median(taken) * 1000, slow * 1000))
    return found


def make_text(sentences: list[str], size: int, chance: random.Random) -> str:
    """Return paragraphs of four sentences, about `size` bytes in all."""
    paragraphs: list[str] = []
    while size > 0:
        paragraphs.append(" ".join(chance.sample(sentences, 4)))
        size -= len(paragraphs[-1].encode()) + 2
    return "\n\n".join(paragraphs)


def make_questions(sentences: list[str], number: int) -> list[str]:
    """Return questions of five words each, rare and frequent ones at random."""
    chance = random.Random(1)
    words = [word for word in re.findall(r"\w+", " ".join(sentences)) if len(word) > 3]
    return [f"What does it say about {' '.join(chance.sample(words, 5))}?" for _ in range(number)]


async def _measure_one(database: Path, text: str, questions: list[str]) -> tuple[int, float, list[float]]:
    """Return the number of chunks, the seconds of the upload, and the seconds of each search."""
    app = create_app(Config(database_url=f"sqlite:///{database}"))
    searches = []
    async with _listening(app) as url, aiohttp.ClientSession() as http:
        form = aiohttp.FormData()
        form.add_field("file", text.encode(), filename="benchmark.txt")
        began = perf_counter()
        async with http.post(f"{url}/api/documents", data=form) as response:
            document = await response.json()
        upload = perf_counter() - began
        stored = await app[STORE].documents.get("", document["id"])
        for question in questions:
            began = perf_counter()
            await passages_for(app[STORE].documents, "", [stored], question)
            searches.append(perf_counter() - began)
    return document["chunks"], upload, searches


@asynccontextmanager
async def _listening(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
