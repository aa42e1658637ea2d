"""What a database takes on the disk, and how long a start and a list take: `python -m benchmarks.sizes`.

Writes BENCHMARKS.md. Messages are stored as imports are, so that the figures are the store's own.
"""

import argparse
import asyncio
import random
import sqlite3
from bisect import bisect
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from itertools import accumulate, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from benchmarks.report import number, table, write
from chatproxy.documents.chunks import split
from chatproxy.documents.extract import Part
from chatproxy.store.records import ImportedTurn, NewChunk, NewDocument, NewSession, Usage
from chatproxy.store.search.words import Words
from chatproxy.store.sqlite.database import SQLiteDatabase
from chatproxy.store.store import Store

FILE: Final = Path(__file__).parents[1] / "BENCHMARKS.md"
MESSAGES: Final = 100_000
TURNS: Final = 10  # questions of a conversation
QUESTION, ANSWER = 25, 225  # words
VOCABULARY: Final = 30_000  # words, the n-th of which is 1/n as frequent as the first
DIMENSIONS: Final = 768  # of a vector
MIB: Final = 1024**2
_TABLES: Final = "SELECT name, sum(pgsize) AS size FROM dbstat GROUP BY name"
USAGE: Final = Usage(
    prompt_tokens=812,
    completion_tokens=301,
    tokens_per_second=41.27,
    time_to_first_token_ms=412,
    load_ms=21,
    total_ms=7712,
)


class Writer:
    """Texts of words that are as frequent as those of a language."""

    def __init__(self) -> None:
        self._random = random.Random(7)
        letters = "etaoinshrdlucmfwypvbgk"
        self._words = [
            "".join(self._random.choices(letters, k=self._random.choice((2, 3, 4, 5, 6, 7, 9, 11))))
            for _ in range(VOCABULARY)
        ]
        self._sums = [*accumulate(1 / rank for rank in range(1, VOCABULARY + 1))]

    def text(self, words: int) -> str:
        """Return a text of that many words."""
        places = (bisect(self._sums, self._random.random() * self._sums[-1]) for _ in range(words))
        return " ".join(self._words[min(place, VOCABULARY - 1)] for place in places)


def sizes(path: Path) -> dict[str, int]:
    """Return the bytes of each table and index, and of all."""
    with closing(sqlite3.connect(path)) as connection:
        found = dict(connection.execute(_TABLES))
    return found | {"all": path.stat().st_size}


def part(found: dict[str, int], *beginnings: str) -> int:
    """Return the bytes of the tables and indexes whose names begin so."""
    return sum(size for name, size in found.items() if name.startswith(beginnings))


async def fill(store: Store, writer: Writer, messages: int) -> float:
    """Store conversations; return the MiB of their texts."""
    characters = 0
    for session in range(messages // (2 * TURNS)):
        turns: list[ImportedTurn] = []
        for _ in range(TURNS):
            question, answer = writer.text(QUESTION), writer.text(ANSWER)
            characters += len(question) + len(answer)
            turns += [
                ImportedTurn(role="user", content=question),
                ImportedTurn(
                    role="assistant",
                    content=answer,
                    model="llama3.2:3b",
                    model_reason="the default model",
                    finish_reason="stop",
                    usage=USAGE,
                ),
            ]
        await store.messages.import_session("", NewSession(id=f"s{session}", title=writer.text(6)), turns)
    return characters / MIB


async def add_document(store: Store, text: str) -> int:
    """Store a document; return the number of its passages."""
    chunks = list(split([Part(text)]))

    async def batches() -> AsyncIterator[Sequence[NewChunk]]:
        rest = iter(chunks)
        while batch := list(islice(rest, 100)):
            yield batch

    new = NewDocument(title="a", media_type="text/plain", size=len(text), hash=text[:32].encode())
    await store.documents.create("", new, batches())
    return len(chunks)


async def follow(path: Path) -> None:
    """Let the index of words follow."""
    database = await SQLiteDatabase.open(path)
    await Words(database, asyncio.Event()).catch_up()
    await database.close()


async def timed(path: Path) -> tuple[float, float, float]:
    """Return the seconds of a start, of the first page of the list, and of a search."""
    began = perf_counter()
    store = await Store.open(path)
    opened = perf_counter()
    await store.sessions.page("", limit=50, before=None)
    listed = perf_counter()
    await store.sessions.search("", limit=50, before=None, q="tao")
    found = perf_counter()
    await store.close()
    return opened - began, listed - opened, found - listed


async def measure(folder: Path, messages: int) -> str:
    """Return the section."""
    path, writer = folder / "chatproxy.db", Writer()
    store = await Store.open(path)
    text = await fill(store, writer, messages)
    await store.close()
    await follow(path)
    found = sizes(path)
    scale = 1_000_000 / messages / MIB
    start, listed, searched = await timed(path)
    store = await Store.open(path)
    before = path.stat().st_size
    document = writer.text(8 * MIB // 5)[: 8 * MIB]
    passages = await add_document(store, document)
    await store.close()
    grown = sizes(path)["all"] - before
    mib = len(document) / MIB
    index = part(found, "words", "word_index", "unindexed", "removed")
    kept = part(found, "message", "session")
    counted = index + kept
    rows = [
        ("the text alone, in UTF-8", number(text * 1_000_000 / messages, 0)),
        ("conversations and messages, with their texts", number(kept * scale, 0)),
        ("the index of words", number(index * scale, 0)),
        ("other indexes, and what is free", number((found["all"] - counted) * scale, 0)),
        ("**the file**", f"**{number(found['all'] * scale, 0)}**"),
    ]
    others = [
        ("1 MiB of text in documents", number(grown / MIB / mib, 2)),
        (
            f"its vectors, if there are: {passages / mib:.0f} passages, {DIMENSIONS} numbers each",
            number(passages / mib * DIMENSIONS * 2 / MIB, 2),
        ),
        ("an image", "its own size"),
    ]
    times = [
        ("start", number(start * 1000, 0)),
        ("first page of the list", number(listed * 1000, 1)),
        ("search for the beginning of a word", number(searched * 1000, 0)),
    ]
    characters, words = round(text * MIB / messages), f"{VOCABULARY:,}"
    return f"""## Sizes

{messages:,} messages went through the store, and the figures are scaled to a million. A conversation had
{TURNS} questions of {QUESTION} words and answers of {ANSWER}, which are {characters} characters a message,
from {words} words as frequent as those of a language.

{table(("a million messages", "MiB"), rows)}

{table(("besides", "MiB"), others)}

With {messages:,} messages, on this machine:

{table(("", "ms"), times)}"""


def main() -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--file", type=Path, default=FILE)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        section = asyncio.run(measure(Path(folder), given.messages))
    print(section)
    write(given.file, "sizes", section)


if __name__ == "__main__":
    main()
