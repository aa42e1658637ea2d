"""Fills a database with what the attackers use, each as the user that is named after the attack.

`python -m faults.attacks.database FILE SCALE`. Rows are written in bulk, through the store's own writer; a
SCALE below 1 makes fewer or shorter ones.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from chatproxy.documents.chunks import split
from chatproxy.documents.parts import Chunk, Part
from chatproxy.store.database import Connection
from chatproxy.store.records import NewDocument
from chatproxy.store.store import Store
from faults.attacks.child import ready

ROUNDS: Final = 3  # what an attack uses up is there for each
LONG: Final = 20_000  # messages
LONG_MESSAGE: Final = 200  # bytes
LONG_SESSIONS: Final = 3  # in each round, to delete, and to replace
ANSWERS: Final = 25
ANSWER: Final = 4_000_000  # bytes
PAGE: Final = 500  # messages
PAGE_MESSAGE: Final = 250_000  # bytes
ARCHIVE: Final = 140_000_000  # bytes
ARCHIVES: Final = 400  # sessions with equal parts of it
ARCHIVE_MESSAGE: Final = 3500  # bytes
DOCUMENT: Final = 10_000_000  # bytes
VICTIM_SESSIONS: Final = 200
WHEN: Final = "2026-01-01T00:00:00.000Z"
VOCABULARY: Final = [
    "".join(random.Random(number).choices("abcdefghijklmnop", k=9)) for number in range(2000)
]

# Questions and answers in turns, all with the same text.
_MESSAGES: Final = """
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :number)
    INSERT INTO message (
        id, session, place, reply_to, role, status, content, sources, warnings, image_count,
        created_at, updated_at
    )
    SELECT :first + i, :session, i + 1, CASE i % 2 WHEN 1 THEN :first + i - 1 END,
        CASE i % 2 WHEN 0 THEN 'user' ELSE 'assistant' END, 'complete', :text, '[]', '[]', 0, :at, :at
    FROM n
"""


def words(size: int, seed: int = 0) -> str:
    """Return about that many bytes of words."""
    return " ".join(random.Random(seed).choices(VOCABULARY, k=size // 10))


async def _add(store: Store, owner: str, name: str, first: int = 0, number: int = 0, text: str = "") -> None:
    """Add a session whose id is that name, with that many messages; the first one's id is `first`."""
    session = await store.sessions.create(owner, title=name)
    values = {"name": name, "first": first, "number": number, "text": text, "at": WHEN}

    async def unit(connection: Connection) -> None:
        renamed = "UPDATE session SET id = :name, message_count = :number WHERE id = :id RETURNING key"
        ((key,),) = await connection.fetch(renamed, **values, id=session.id)
        if number:
            await connection.execute(_MESSAGES, **values, session=key)

    await store.database.run(unit)


def first_id(name: str, number: int) -> int:
    """Return the id of the first message of the `number`th session of that name."""
    return (
        10_000_000 * (1 + ("answers", "pages", "archive", "deleted", "replaced").index(name)) + number * LONG
    )


def long_sessions(round_: int) -> Iterable[int]:
    return range(round_ * LONG_SESSIONS, (round_ + 1) * LONG_SESSIONS)


async def _fill(store: Store, scale: float) -> None:
    add = partial(_add, store)
    await asyncio.gather(*[add("victim", f"victim-{number}") for number in range(VICTIM_SESSIONS)])
    # What is not searched is of dots, which the index of words passes over.
    await add("answers", "answers", first_id("answers", 0), 2 * ANSWERS, "." * int(ANSWER * scale))
    await add("pages", "pages", first_id("pages", 0), PAGE, "." * int(PAGE_MESSAGE * scale))
    many = int(ARCHIVE * scale) // ARCHIVES // ARCHIVE_MESSAGE
    archives = [(number, words(ARCHIVE_MESSAGE, number)) for number in range(ARCHIVES)]
    await asyncio.gather(
        *[add("searches", f"archive-{n}", first_id("archive", n), many, text) for n, text in archives]
    )
    for name in ("deleted", "replaced"):
        for number in range(ROUNDS * LONG_SESSIONS):
            text = words(LONG_MESSAGE, number)
            await add(name, f"{name}-{number}", first_id(name, number), int(LONG * scale), text)


async def _batches(text: str) -> AsyncIterator[Sequence[Chunk]]:
    chunks = split([Part(text)])
    while batch := list(islice(chunks, 200)):
        yield batch


async def fill(path: Path, scale: float) -> None:
    """Create the database and what is in it."""
    store = await Store.open(path)
    await _fill(store, scale)
    text = "\n\n".join(words(500, number) for number in range(int(DOCUMENT * scale) // 500))
    new = NewDocument(title="long.txt", media_type="text/plain", size=len(text), hash=b"long")
    await store.documents.create("documents", new, _batches(text))
    await store.close()
    await ready()


if __name__ == "__main__":
    asyncio.run(fill(Path(sys.argv[1]), float(sys.argv[2])))
