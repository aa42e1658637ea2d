"""The words of titles and messages, by which sessions are found: an index that follows what is committed.

It is one FTS5 table without content. Each word is stored behind a key of its owner, so that a search reads
only what the owner wrote, and takes no longer for what others wrote. Triggers note in `unindexed` which texts
the index has yet to follow; `Words` follows in small steps, in the background. As the index is derived from
the texts, nothing but a search depends on it: a damaged one is built again.

Row 2 * key of the index has the words of a session's title, row 2 * id + 1 those of a message. A long text is
indexed in parts, all in the same row.
"""

import asyncio
import logging
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from hashlib import blake2b
from typing import Any, Final, Literal, Self, TypedDict

import aiosqlite

from chatproxy.background import background
from chatproxy.errors import ChatError
from chatproxy.store import file
from chatproxy.store.database import Database, Row, fetch
from chatproxy.store.file import INDEX
from chatproxy.store.writer import STEP, Connection, DamagedError, Lane, notice_damage, translate_errors

logger: Final = logging.getLogger(__name__)

PART: Final = 32 * 1024  # characters that are indexed at once
BATCH: Final = 64 * 1024  # characters of words, after which a unit takes no more texts
MOST_TEXTS: Final = 200  # per unit
MOST_NOTED: Final = 10_000  # titles, and as many messages, per unit
GATHER: Final = 0.1  # seconds between units, so that a busy server commits few of them
CATCH_UP: Final = 1.0  # seconds that a search waits for what was committed before it
REST: Final = 2.0  # seconds after a failure, such as a full disk
LONGEST_WORD: Final = 64  # characters; the rest of a word is not indexed
MOST_TERMS: Final = 64  # of a search

# What is in the index depends on all of these; it is built again when one changes.
FORMAT: Final = f"1, Unicode {unicodedata.unidata_version}"

_OBSOLETE: Final = ("session_words", "message_words", "chunk_words")  # of earlier versions
_SHADOWS: Final = ("_data", "_idx", "_config", "_docsize", "_content")  # tables of an FTS5 table

_CREATE: Final = f"""
    CREATE VIRTUAL TABLE {INDEX} USING fts5(
        terms, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
    )
"""
_LAST: Final = """
    SELECT max(last) AS last
    FROM (SELECT max(key) AS last FROM session UNION ALL SELECT max(id) FROM message)
"""
_UNNOTE: Final = "DELETE FROM unindexed WHERE key BETWEEN 2 * :first AND 2 * :last + 1"
_NOTE: Final = """
    INSERT INTO unindexed (key)
    SELECT 2 * key FROM session WHERE key BETWEEN :first AND :last
    UNION ALL
    SELECT 2 * id + 1 FROM message WHERE id BETWEEN :first AND :last AND status <> 'streaming'
"""
# `terms` and `parts` are the functions of this module. A NULL in `indexed` stands for all parts.
_UNINDEXED: Final = """
    SELECT key, version, indexed, removing, parts(text) AS parts, terms(
        owner, text, iif(removing, ifnull(indexed, parts(text)) - 1, indexed)
    ) AS terms FROM (
        SELECT unindexed.key, version, indexed, removed IS NOT NULL AS removing,
            iif(removed IS NULL, session.owner, unindexed.owner) AS owner,
            coalesce(removed, iif(unindexed.key % 2, content, title)) AS text
        FROM unindexed
        LEFT JOIN message ON unindexed.key % 2 AND message.id = unindexed.key / 2
        LEFT JOIN session ON session.key = iif(unindexed.key % 2, message.session, unindexed.key / 2)
        ORDER BY unindexed.key LIMIT :limit
    )
"""
_CURRENT: Final = "FROM unindexed WHERE key = :key AND version = :version"
_EDIT: Final = f"INSERT INTO {INDEX} ({INDEX}, rowid, terms) SELECT :command, key, :terms {_CURRENT}"
_ADVANCE: Final = """
    UPDATE unindexed SET indexed = :indexed, removed = iif(:indexed, removed, NULL)
    WHERE key = :key AND version = :version
"""

# Chinese and Japanese do not separate words, Korean does not separate them from their endings.
_CJK: Final = re.compile(
    r"([\u3005\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]+)"
)
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
_WORD: Final = re.compile(r"[^\W_]+")
_REST_OF_WORD: Final = re.compile(r"\S{0,1024}")


# -- words


def parts(text: str | None) -> int:
    """Return how many parts a text is indexed in."""
    return -(-len(text or "") // PART)


def terms(owner: str, text: str | None, part: int) -> str:
    """Return what is indexed of one part of a text: its words behind the owner's key, separated by spaces."""
    if not text or part < 0:
        return ""
    return " ".join(
        dict.fromkeys(_behind(owner, _indexed(text[_start(text, part) : _start(text, part + 1)])))
    )


def _start(text: str, part: int) -> int:
    """Return where a part begins: with a word, unless the words are extremely long."""
    rest = _REST_OF_WORD.match(text, part * PART) if part else None
    return rest.end() if rest else 0


def query(owner: str, q: str) -> str | None:
    """Return an FTS5 query for texts with words that begin with those of `q`; None if it has no words."""
    wanted = list(dict.fromkeys(_behind(owner, _searched(q))))[:MOST_TERMS]
    return " ".join([f'"{term}"*' for term in wanted]) or None


def _behind(owner: str, words: Iterator[str]) -> Iterator[str]:
    key = blake2b(owner.encode(), digest_size=8).hexdigest()
    return (key + word for word in words)


def _indexed(text: str) -> Iterator[str]:
    """Yield words, and of a run of CJK characters each pair, and the last one, which begins no pair."""
    for run, is_cjk in _runs(text):
        if is_cjk:
            yield from (run[place : place + 2] for place in range(len(run)))
        else:
            yield run[:LONGEST_WORD]


def _searched(text: str) -> Iterator[str]:
    """Yield words, and the pairs of a run of CJK characters; a single one is the beginning of a pair."""
    for run, is_cjk in _runs(text):
        if is_cjk and len(run) > 1:
            yield from (run[place : place + 2] for place in range(len(run) - 1))
        else:
            yield run[:LONGEST_WORD]


def _runs(text: str) -> Iterator[tuple[str, bool]]:
    """Yield runs of letters and digits, without case and marks, and whether their characters are CJK."""
    if text.isascii():
        for found in _ASCII_WORD.finditer(text.lower()):
            yield found[0], False
        return
    bare = [each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each)]
    for found in _WORD.finditer(unicodedata.normalize("NFC", "".join(bare)).casefold()):
        for place, run in enumerate(_CJK.split(found[0])):  # every second one is CJK
            if run:
                yield run, place % 2 == 1


# -- the index


class Words:
    """Keeps the index up to date, and searches in it."""

    def __init__(self) -> None:
        self._database: Database  # set by `follow`
        self._woken = asyncio.Event()
        self._woken.set()
        self._caught_up = asyncio.Event()
        self._suspect = True
        self._resources = AsyncExitStack()

    def wake(self) -> None:
        """Note that something was committed, which the index may have yet to follow."""
        self._woken.set()
        self._caught_up.clear()

    async def follow(self, database: Database) -> Self:
        """Begin to follow what is committed, and what a crash or an earlier version left unindexed.

        Build the index if there is none, or one that was made in another way.
        """
        self._database = database
        rows = await database.fetch("SELECT format FROM word_index")
        if [row["format"] for row in rows] != [FORMAT]:
            await self._rebuild(damaged=False)
        reader = await self._resources.enter_async_context(database.reader())
        await reader.create_function("parts", 1, parts, deterministic=True)
        await reader.create_function("terms", 3, terms, deterministic=True)
        await self._resources.enter_async_context(background(self._work(reader), name="words"))
        return self

    async def close(self) -> None:
        """Stop; the next start goes on from there."""
        await self._resources.aclose()

    async def search(self, sql: str, *, owner: str, q: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query that finds rows of the index with `MATCH :words`.

        What was committed before is found, unless there is much of it. Raises `overloaded`.
        """
        if (words := query(owner, q)) is None:
            return []
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP):
                await self._caught_up.wait()
        try:
            return await self._database.search(sql, owner=owner, words=words, **arguments)
        except DamagedError as error:
            self._suspect = True
            self.wake()
            raise ChatError(
                "overloaded", "The index for searches is being repaired; search again soon.", retry_after=5
            ) from error

    async def _work(self, reader: aiosqlite.Connection) -> None:
        while True:
            await self._woken.wait()
            await asyncio.sleep(GATHER)
            self._woken.clear()
            try:
                await self._catch_up(reader)
            except ChatError:
                await asyncio.sleep(REST)
                self.wake()
            if not self._woken.is_set():
                self._caught_up.set()

    async def _catch_up(self, reader: aiosqlite.Connection) -> None:
        """Index what is not; if the index is damaged, build it again."""
        try:
            with translate_errors():
                if self._suspect and await asyncio.to_thread(file.index_is_damaged, self._database.path):
                    raise DamagedError
                self._suspect = False
                while edits := await _edits(reader):
                    await self._database.run(partial(_apply, edits=edits), size=STEP, lane=Lane.STEPS)
        except DamagedError:
            logger.warning("the index for searches is damaged, and is built again")
            await self._rebuild(damaged=True)
            await asyncio.sleep(REST)  # if that did not help

    async def _rebuild(self, *, damaged: bool) -> None:
        """Note that all texts are to be indexed, and replace the index by an empty one.

        Whatever changes meanwhile is noted, too, as nothing follows what is noted before this has ended.
        """
        last = await self._database.run(_begin_again, size=STEP, lane=Lane.STEPS)
        for first in range(0, last + 1, MOST_NOTED):
            await self._database.run(
                partial(_note, first=first, last=first + MOST_NOTED - 1), size=STEP, lane=Lane.STEPS
            )
        units: list[Callable[..., Coroutine[Any, Any, None]]] = [
            partial(_remove, name=name) for name in _OBSOLETE
        ]
        for unit in (*units, _create):
            try:
                await self._database.run(partial(unit, damaged=damaged), size=STEP, lane=Lane.STEPS)
            except DamagedError:
                await self._database.run(partial(unit, damaged=True), size=STEP, lane=Lane.STEPS)


class Edit(TypedDict):
    """One step towards an index that holds what a row has: `terms` to add or to delete, if any."""

    key: int
    version: int
    command: Literal["delete"] | None
    terms: str | None
    indexed: int
    finished: bool


async def _edits(reader: aiosqlite.Connection) -> list[Edit]:
    """Return the next steps, as many as one unit may take."""
    edits: list[Edit] = []
    size = 0
    async with reader.execute(_UNINDEXED, {"limit": MOST_TEXTS}) as cursor:
        while size < BATCH and (row := await cursor.fetchone()):
            edits.append(_edit(row))
            size += len(row["terms"])
    return edits


def _edit(row: Row) -> Edit:
    before = row["parts"] if row["indexed"] is None else row["indexed"]
    if row["removing"]:
        more, after, finished = before > 0, max(0, before - 1), False
    else:
        more, after, finished = before < row["parts"], before + 1, before + 1 >= row["parts"]
    return Edit(
        key=row["key"],
        version=row["version"],
        command="delete" if row["removing"] else None,
        terms=row["terms"] if more else None,
        indexed=after,
        finished=finished,
    )


# -- units of work, for the writer


async def _apply(connection: Connection, edits: Sequence[Edit]) -> None:
    """Edit the index. A text that has changed since the edits were made is left to later ones."""
    async with _noticing_damage(connection):
        await connection.executemany(_EDIT, [edit for edit in edits if edit["terms"] is not None])
        # A savepoint makes FTS5 write what it has in memory, so that damage shows here and not at the COMMIT.
        await connection.execute("SAVEPOINT written")
        await connection.execute("RELEASE written")
    await connection.executemany(_ADVANCE, [edit for edit in edits if not edit["finished"]])
    await connection.executemany(f"DELETE {_CURRENT}", [edit for edit in edits if edit["finished"]])


async def _begin_again(connection: Connection) -> int:
    """Forget what is noted of the old index; return the last key of a session or message.

    Should the rest be interrupted, the next start begins again, too.
    """
    await connection.execute("DELETE FROM word_index")
    await connection.execute("DELETE FROM unindexed")
    (row,) = await fetch(connection, _LAST)
    return row["last"] or 0


async def _note(connection: Connection, first: int, last: int) -> None:
    """Note that texts are to be indexed as a whole, whatever became of them since `_begin_again`."""
    for sql in (_UNNOTE, _NOTE):
        await connection.execute(sql, {"first": first, "last": last})


async def _create(connection: Connection, *, damaged: bool) -> None:
    """Put an empty index in place of the old one."""
    await _remove(connection, INDEX, damaged=damaged)
    await connection.execute(_CREATE)
    await connection.execute("INSERT INTO word_index (format) VALUES (?)", (FORMAT,))


async def _remove(connection: Connection, name: str, *, damaged: bool) -> None:
    """Remove an FTS5 table. The pages of a damaged one cannot be reused until a VACUUM."""
    if not damaged:
        async with _noticing_damage(connection):
            await connection.execute(f"DROP TABLE IF EXISTS {name}")
        return
    await connection.execute("PRAGMA writable_schema = ON")
    tables = [(f"{name}{suffix}",) for suffix in ("", *_SHADOWS)]
    await connection.executemany("DELETE FROM sqlite_schema WHERE tbl_name = ?", tables)
    await connection.execute("PRAGMA writable_schema = RESET")


@asynccontextmanager
async def _noticing_damage(connection: Connection) -> AsyncIterator[None]:
    """Raise DamagedError if a change of an FTS5 table fails because of damage.

    The whole transaction is rolled back then: nothing else would succeed in it.
    """
    try:
        with notice_damage():
            yield
    except DamagedError:
        await connection.rollback()
        raise
