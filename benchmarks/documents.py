"""What documents cost: an upload by its size, a search by its chunks: `python benchmarks/documents.py`

Uploads go over HTTP on loopback, searches to the store; the text is made of a real one's sentences.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import aiohttp
from aiohttp import web

from chatproxy import Config, create_app
from chatproxy.chat.retrieval import passages
from chatproxy.web.keys import STORE

DATA: Final = Path(__file__).parent.parent / "tests" / "documents"
SIZES: Final = (0.25, 1, 4, 8)  # MB; the last one has 10,000 chunks
SEARCHES: Final = 300
MEGABYTE: Final = 1_000_000


async def main() -> None:
    sentences = re.split(r"(?<=[.?!;])\s+", (DATA / "devils-dictionary.txt").read_text())
    print(f"{'text':>8} {'chunks':>8} {'upload':>10} {'per MB':>10} {'search, median':>16} {'95%':>10}")
    with TemporaryDirectory() as folder:
        for size in SIZES:
            text = made(sentences, int(size * MEGABYTE), random.Random(size))
            database = Path(folder) / f"{size}.db"
            chunks, upload, searches = await measured(database, text, questions(sentences))
            slow = sorted(searches)[int(len(searches) * 0.95)]
            print(
                f"{size:5g} MB {chunks:8} {upload * 1000:7.0f} ms {upload * 1000 / size:7.0f} ms"
                f" {median(searches) * 1000:13.2f} ms {slow * 1000:7.2f} ms"
            )


def made(sentences: list[str], size: int, chance: random.Random) -> str:
    """Paragraphs of four sentences, of that many bytes."""
    paragraphs: list[str] = []
    while size > 0:
        paragraphs.append(" ".join(chance.sample(sentences, 4)))
        size -= len(paragraphs[-1].encode()) + 2
    return "\n\n".join(paragraphs)


def questions(sentences: list[str]) -> list[str]:
    """Of five words each, rare and frequent ones as they come."""
    chance = random.Random(1)
    words = [word for word in re.findall(r"\w+", " ".join(sentences)) if len(word) > 3]
    return [f"What does it say about {' '.join(chance.sample(words, 5))}?" for _ in range(SEARCHES)]


async def measured(database: Path, text: str, asked: list[str]) -> tuple[int, float, list[float]]:
    """The number of chunks, the seconds of the upload, the seconds of each search."""
    app = create_app(Config(database_url=f"sqlite:///{database}"))
    searches = []
    async with listening(app) as url, aiohttp.ClientSession() as http:
        form = aiohttp.FormData()
        form.add_field("file", text.encode(), filename="benchmark.txt")
        began = perf_counter()
        async with http.post(f"{url}/api/documents", data=form) as response:
            document = await response.json()
        upload = perf_counter() - began
        for question in asked:
            began = perf_counter()
            await passages(app[STORE], "", document["id"], question)
            searches.append(perf_counter() - began)
    return document["chunks"], upload, searches


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
