"""The cost of documents: of an upload by its size, of a search by the number of chunks.

Searches are by words, and then by words and meaning. Ollama's own time for vectors is not part of it.

Uploads go over HTTP on loopback, searches directly to the store. The text is made of sentences from a
real one.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import aiohttp

from chatproxy import Config, create_app
from chatproxy.command.demo import on_loopback
from chatproxy.embedding.embedder import MOST
from chatproxy.prompt.passages import passages_for
from chatproxy.store.documents import Documents
from chatproxy.web.keys import STORE

DATA: Final = Path(__file__).parents[2] / "tests" / "data" / "documents"
MEGABYTE: Final = 1_000_000
WIDTH: Final = 768  # numbers in a vector


@dataclass(frozen=True)
class DocumentCost:
    """The cost of one document; times are in milliseconds."""

    megabytes: float  # of text
    chunks: int
    upload: float
    search: float  # median
    slow_search: float  # 95th percentile
    by_meaning: float  # median, with vectors, which Ollama makes beside it
    slow_by_meaning: float


async def measure(sizes: Sequence[float], searches: int) -> list[DocumentCost]:
    """Upload a text of each size, in megabytes, and search it that many times."""
    sentences = re.split(r"(?<=[.?!;])\s+", (DATA / "devils-dictionary.txt").read_text())
    found = []
    with TemporaryDirectory(prefix="bench") as folder:
        for size in sizes:
            text = make_text(sentences, int(size * MEGABYTE), random.Random(size))
            database = Path(folder) / f"{size}.db"
            cost = await _measure_one(database, text, make_questions(sentences, searches))
            chunks, upload, by_words, by_meaning = cost
            found.append(
                DocumentCost(size, chunks, upload * 1000, *_summary(by_words), *_summary(by_meaning))
            )
    return found


def _summary(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile, in milliseconds."""
    return median(seconds) * 1000, sorted(seconds)[int(len(seconds) * 0.95)] * 1000


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


async def _measure_one(
    database: Path, text: str, questions: list[str]
) -> tuple[int, float, list[float], list[float]]:
    """Return the number of chunks, the seconds of the upload, and of each search by words and by meaning."""
    app = create_app(Config(database_url=f"sqlite:///{database}", embedding_model="none"))
    async with on_loopback(app) as url, aiohttp.ClientSession() as http:
        form = aiohttp.FormData()
        form.add_field("file", text.encode(), filename="benchmark.txt")
        began = perf_counter()
        async with http.post(f"{url}/api/documents", data=form) as response:
            document = await response.json()
        upload = perf_counter() - began
        documents = app[STORE].documents
        by_words = await _searched(documents, document["id"], questions)
        await _embed(documents)
        by_meaning = await _searched(documents, document["id"], questions)
    return document["chunks"], upload, by_words, by_meaning


async def _searched(documents: Documents, document_id: int, questions: list[str]) -> list[float]:
    """Return the seconds of each search; the first question was asked before, as it reads the document."""
    document = await documents.get("", document_id)
    seconds = []
    for question in [questions[0], *questions]:
        began = perf_counter()
        await passages_for(documents, "", [document], question)
        seconds.append(perf_counter() - began)
    return seconds[1:]


class _Random:
    """Makes vectors as long as those of middling embedding models, in any direction."""

    def __init__(self) -> None:
        self._chance = random.Random(2)

    async def of_questions(self, questions: Sequence[str]) -> list[list[float]]:
        return [[self._chance.gauss(0, 1) for _ in range(WIDTH)] for _ in questions]


async def _embed(documents: Documents) -> None:
    """Give all chunks vectors."""
    made = _Random()
    vectors = documents.vectors
    vectors.key, vectors.meaning = "random", made
    while pending := await vectors.pending("random", None):
        texts = await vectors.texts(pending, MOST)
        await vectors.add(pending, "random", await made.of_questions(texts))
