"""The words of titles and messages, by which sessions are found: an index that follows what is committed.

It is one FTS5 table without content. Each word is stored behind a key of its owner, so that a search reads
only what the owner wrote, and takes no longer for what others wrote. Triggers note in `unindexed` which texts
the index has yet to follow; `Words` follows in small steps, in the background, and owners take turns. As the
index is derived from the texts, nothing but a search depends on it: a damaged one is built again.

Row 2 * key of the index has the words of a session's title, row 2 * id + 1 those of a message. A long text is
indexed in parts, all in the same row.
"""

import asyncio
import logging
import re
import sqlite3
import unicodedata
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, Literal, TypedDict
from weakref import WeakValueDictionary

import aiosqlite

from chatproxy.background import background
from chatproxy.errors import ChatError
from chatproxy.store import file
from chatproxy.store.database import Database, Row, fetch
from chatproxy.store.file import INDEX
from chatproxy.store.search.pairs import MOST_TERMS, UNSPACED, pairs
from chatproxy.store.writer import (
    Connection,
    DamagedError,
    in_thread,
    is_damage,
    notice_damage,
)

logger: Final = logging.getLogger(__name__)

PART: Final = 32 * 1024  # characters that are indexed at once
BATCH: Final = 128 * 1024  # characters of texts and their words, after which a unit takes no more texts
MOST_TEXTS: Final = 50  # per unit
MOST_OWNERS: Final = 50  # per unit
KEPT: Final = 16 * 1024 * 1024  # characters of long texts that are kept from one of their parts to the next
MOST_NOTED: Final = 1000  # per unit
MOST_FORGOTTEN: Final = 20  # per unit
GATHER: Final = 0.1  # seconds after a commit, so that a busy server commits few units
CATCH_UP: Final = 0.5  # seconds that a search waits for what its owner wrote before it
REST: Final = 2.0  # seconds after a failure, such as a full disk
LONGEST_WORD: Final = 64  # characters; the rest of a word is not indexed
MOST_ENDS: Final = 8  # of an identifier that are indexed

# What is in the index depends on all of these; it is built again when one changes.
FORMAT: Final = f"2, Unicode {unicodedata.unidata_version}"

_OBSOLETE: Final = ("session_words", "message_words", "chunk_words")  # of earlier versions
_SHADOWS: Final = ("_data", "_idx", "_config", "_docsize", "_content")  # tables of an FTS5 table

_CREATE: Final = f"""
    CREATE VIRTUAL TABLE {INDEX} USING fts5(
        terms, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
    )
"""
# Of the owners of texts to index, the first from `first` on.
_OWNERS: Final = """
    WITH RECURSIVE waiting (owner) AS (
        SELECT min(owner) FROM unindexed WHERE owner >= :first
        UNION ALL
        SELECT (SELECT min(unindexed.owner) FROM unindexed WHERE unindexed.owner > waiting.owner)
        FROM waiting WHERE owner IS NOT NULL LIMIT :limit
    )
    SELECT owner FROM waiting WHERE owner IS NOT NULL
"""
_UNINDEXED: Final = """
    SELECT id, owner, key, version, indexed,
        EXISTS (SELECT 1 FROM removed WHERE id = unindexed.id) AS removing
    FROM unindexed WHERE owner = :owner ORDER BY id LIMIT :limit
"""
# As bytes, since an earlier version or another program may have written what is not UTF-8.
_REMOVED: Final = "SELECT CAST(text AS BLOB) AS text FROM removed WHERE id = :id"
_TITLE: Final = "SELECT CAST(title AS BLOB) AS text FROM session WHERE key = :key / 2 AND owner = :owner"
_CONTENT: Final = "SELECT CAST(content AS BLOB) AS text FROM message WHERE id = :key / 2"

_CURRENT: Final = "FROM unindexed WHERE id = :id AND version = :version"
_EDIT: Final = f"INSERT INTO {INDEX} ({INDEX}, rowid, terms) SELECT :command, key, :terms {_CURRENT}"
_ADVANCE: Final = "UPDATE unindexed SET indexed = :indexed WHERE id = :id AND version = :version"
_FORGET: Final = f"DELETE FROM removed WHERE id = (SELECT id {_CURRENT})"

_TITLES: Final = """
    SELECT owner, 2 * key AS key FROM session WHERE title IS NOT NULL AND session.key > :after / 2
    ORDER BY session.key LIMIT :limit
"""
_CONTENTS: Final = """
    SELECT owner, 2 * message.id + 1 AS key FROM message JOIN session ON session.key = session
    WHERE message.id > :after / 2 AND status <> 'streaming' ORDER BY message.id LIMIT :limit
"""

_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
_WORD: Final = re.compile(r"(?:[^\W_]|[\u0e01-\u0ece\u1000-\u109d\u1780-\u17dd])+")  # also signs of vowels
_IDENTIFIER: Final = re.compile(r"[^\W_]++(?:[-_][^\W_]++)*+")
# After these, a word within an identifier begins.
_BEFORE_WORD: Final = re.compile(
    r"[-_]|[a-z](?=[A-Z0-9])|[A-Z](?=[A-Z][a-z])|[0-9](?=[A-Za-z])|[A-Z](?=[0-9])"
)
_REST_OF_WORD: Final = re.compile(r"\S{0,1024}")


# -- words


def parts(text: str) -> int:
    """Return how many parts a text is indexed in."""
    return -(-len(text) // PART)


def terms(owner: str, text: str, part: int) -> str:
    """Return what is indexed of one part of a text: its words behind the owner's key, separated by spaces."""
    if part < 0:
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
    wanted = list(dict.fromkeys(_behind(owner, searched(q))))[:MOST_TERMS]
    return " ".join([f'"{term}"*' for term in wanted]) or None


def _behind(owner: str, words: Iterator[str]) -> Iterator[str]:
    key = blake2b(owner.encode(), digest_size=8).hexdigest()
    return (key + word for word in words)


def _indexed(text: str) -> Iterator[str]:
    """Yield words, the ends of identifiers, and of a run without spaces each pair, and its last character."""
    bare = _bare(text)
    for run, is_unspaced in _runs(bare):
        if is_unspaced:
            yield from pairs(run, ends=True)
        else:
            yield run[:LONGEST_WORD]
    yield from _ends(bare)


def searched(text: str) -> Iterator[str]:
    """Yield words, and the pairs of a run without spaces; a single character is the beginning of a pair."""
    for run, is_unspaced in _runs(_bare(text)):
        if is_unspaced and len(run) > 1:
            yield from pairs(run)
        else:
            yield run[:LONGEST_WORD]


def _bare(text: str) -> str:
    """Return the text without marks."""
    if text.isascii():
        return text
    bare = [each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each)]
    return unicodedata.normalize("NFC", "".join(bare))


def _runs(bare: str) -> Iterator[tuple[str, bool]]:
    """Yield runs of letters and digits, without case, and whether their characters are UNSPACED."""
    if bare.isascii():
        for found in _ASCII_WORD.finditer(bare.lower()):
            yield found[0], False
        return
    for found in _WORD.finditer(bare.casefold()):
        for place, run in enumerate(UNSPACED.split(found[0])):  # every second one is UNSPACED
            if run:
                yield run, place % 2 == 1


def _ends(bare: str) -> Iterator[str]:
    """Yield the identifiers in a text from each of their words on, joined: getUserName, user-name, NAME_2."""
    for found in _IDENTIFIER.finditer(bare):
        word = found[0]
        if word.isalpha() and (word.islower() or word[1:].islower() or word.isupper()):
            continue
        begins = [each.end() for each in islice(_BEFORE_WORD.finditer(word), MOST_ENDS)]
        if not begins:
            continue
        for begin in begins if word.isalnum() else (0, *begins):
            end = word[begin : begin + 2 * LONGEST_WORD].replace("-", "").replace("_", "")
            yield end[:LONGEST_WORD].casefold()


# -- the index


class Words:
    """Keeps the index up to date, and searches in it."""

    def __init__(self, database: Database, committed: asyncio.Event) -> None:
        """Set `committed` after each commit, which may have brought what the index has yet to follow."""
        self._database = database
        self._committed = committed
        self._ready = asyncio.Event()
        self._damaged: bool | None = None  # None: it may be
        self._followed: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()  # by owner

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow what is committed, while a block runs, and first what an earlier process left unindexed."""
        async with self._database.reader() as reader, background(self._work(reader), name="words"):
            yield

    async def catch_up(self) -> None:
        """Follow what is committed by now, where nothing is following."""
        async with self._database.reader() as reader:
            await self._prepare()
            await self._catch_up(reader, _Texts())

    async def search(self, sql: str, *, owner: str, q: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query that finds rows of the index with `MATCH :words`.

        What the owner wrote before is found, unless there is much of it. Raises `overloaded`.
        """
        if (words := query(owner, q)) is None:
            return []
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP):
                await self._ready.wait()
                await self._follow(owner)
        if not self._ready.is_set():
            raise _unavailable("built")
        try:
            return await self._database.search(sql, owner=owner, words=words, **arguments)
        except DamagedError as error:
            self._damaged = None
            self._committed.set()
            raise _unavailable("repaired") from error

    async def _follow(self, owner: str) -> None:
        """Wait until the index has followed what the owner has written so far; others' texts do not count."""
        (row,) = await self._database.fetch(
            "SELECT max(id) AS newest FROM unindexed WHERE owner = :owner", owner=owner
        )
        while row["newest"] is not None:
            followed = self._followed.setdefault(owner, asyncio.Event())
            if not await self._database.fetch(
                "SELECT 1 FROM unindexed WHERE owner = :owner AND id <= :newest LIMIT 1",
                owner=owner,
                newest=row["newest"],
            ):
                return
            await followed.wait()

    async def _work(self, reader: aiosqlite.Connection) -> None:
        texts = _Texts()
        self._committed.set()  # an earlier process may have left some
        while True:
            try:
                await self._prepare()
                await self._committed.wait()
                await asyncio.sleep(GATHER)
                await self._catch_up(reader, texts)
            except Exception as error:
                if isinstance(error, DamagedError):
                    self._damaged = True
                elif not isinstance(error, ChatError):
                    logger.exception("the index for searches could not follow; it will try again")
                await asyncio.sleep(REST)
                self._committed.set()

    async def _prepare(self) -> None:
        """Build the index if there is none, if it was made in another way, or if it is damaged."""
        if not self._ready.is_set():
            rows = await self._database.fetch("SELECT format FROM word_index")
            if [row["format"] for row in rows] != [FORMAT]:
                await self._rebuild(damaged=False)
            self._ready.set()
        if self._damaged is None:
            self._damaged = await asyncio.to_thread(file.index_is_damaged, self._database.path)
        if self._damaged:
            logger.warning("the index for searches is damaged, and is built again")
            await self._rebuild(damaged=True)
            self._damaged = False

    async def _catch_up(self, reader: aiosqlite.Connection, texts: "_Texts") -> None:
        """Index what is not, up to what is committed meanwhile: the event tells of that."""
        more = True
        while more:
            self._committed.clear()
            edits, more = await in_thread(reader, texts.edits)
            if not edits:
                return
            await self._database.step(partial(_apply, edits=edits))
            for owner in {edit["owner"] for edit in edits if edit["finished"]}:
                if followed := self._followed.pop(owner, None):
                    followed.set()

    async def _rebuild(self, *, damaged: bool) -> None:
        """Note that all texts are to be indexed from nothing, and then replace the index by an empty one.

        What changes meanwhile is noted, too. After a crash, all of it is done again.
        """
        for name in _OBSOLETE:
            await self._despite_damage(partial(_remove, name=name), damaged=False)
        for texts in (_TITLES, _CONTENTS):
            last: int | None = 0
            while last is not None:
                last = await self._database.step(partial(_note, texts=texts, after=last))
        await self._database.steps(_forget_some)
        await self._despite_damage(_create, damaged=damaged)

    async def _despite_damage(self, unit: Callable[..., Coroutine[Any, Any, None]], *, damaged: bool) -> None:
        try:
            await self._database.step(partial(unit, damaged=damaged))
        except DamagedError:
            await self._database.step(partial(unit, damaged=True))


def _unavailable(state: str) -> ChatError:
    return ChatError(
        "overloaded", f"The index for searches is being {state}; search again soon.", retry_after=5
    )


class Edit(TypedDict):
    """One step towards an index that holds what a row has: `terms` to add or to delete, if any."""

    id: int
    version: int
    owner: str
    command: Literal["delete"] | None
    terms: str
    indexed: int
    finished: bool


class _Texts:
    """Reads what is to be indexed, in the thread of a connection, and cuts it.

    A text of several parts is kept from one to the next, so that its cost grows with its length only.
    """

    def __init__(self) -> None:
        self._first = ""  # whose turn it is: the first owner from here on
        self._kept: dict[tuple[int, int, bool], str] = {}  # least recently used first

    def edits(self, connection: sqlite3.Connection) -> tuple[list[Edit], bool]:
        """Return the next steps, as many as one unit may take, and whether there may be more.

        Owners take turns.
        """
        edits: list[Edit] = []
        size = 0
        owners = self._owners(connection)
        more = len(owners) == MOST_OWNERS
        for owner in owners:
            self._first = owner + "\0"
            share = MOST_TEXTS // len(owners)
            rows = connection.execute(_UNINDEXED, {"owner": owner, "limit": share}).fetchall()
            more = more or len(rows) == share
            for row in rows:
                edit, length = self._edit(connection, row)
                edits.append(edit)
                more = more or not edit["finished"]
                size += min(length, PART) + len(edit["terms"])
                if size >= BATCH:
                    return edits, True
        return edits, more

    def _owners(self, connection: sqlite3.Connection) -> list[str]:
        for first in (self._first, ""):
            rows = connection.execute(_OWNERS, {"first": first, "limit": MOST_OWNERS}).fetchall()
            if rows:
                return [row["owner"] for row in rows]
        self._kept.clear()
        return []

    def _edit(self, connection: sqlite3.Connection, row: Row) -> tuple[Edit, int]:
        """Return the next step of a text, and its length. One that cannot be read or cut is left out."""
        length = 0
        edit = Edit(
            id=row["id"],
            version=row["version"],
            owner=row["owner"],
            command="delete" if row["removing"] else None,
            terms="",
            indexed=0,
            finished=True,
        )
        try:
            place = row["id"], row["version"], bool(row["removing"])
            text = self._kept.pop(place) if place in self._kept else _read(connection, row)
            length, count = len(text), parts(text)
            before = count if row["indexed"] is None else row["indexed"]
            if row["removing"]:
                edit["indexed"] = max(0, before - 1)
                edit["finished"] = False
                edit["terms"] = terms(row["owner"], text, before - 1)
                again = before > 1
            else:
                edit["indexed"] = before + 1
                edit["finished"] = before + 1 >= count
                edit["terms"] = terms(row["owner"], text, before)
                again = not edit["finished"]
            if again:
                self._keep(place, text)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            logger.exception("text %d cannot be indexed; no search finds it", row["key"])
        return edit, length

    def _keep(self, place: tuple[int, int, bool], text: str) -> None:
        self._kept[place] = text
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT:
            del self._kept[next(iter(self._kept))]


def _read(connection: sqlite3.Connection, row: Row) -> str:
    sql = _REMOVED if row["removing"] else _CONTENT if row["key"] % 2 else _TITLE
    found = connection.execute(sql, dict(row)).fetchone()
    return (found["text"] or b"").decode(errors="replace") if found else ""


# -- units of work, for the writer


async def _apply(connection: Connection, edits: Sequence[Edit]) -> None:
    """Edit the index. A text that has changed since the edits were made is left to later ones."""
    async with _noticing_damage(connection):
        await connection.executemany(_EDIT, [edit for edit in edits if edit["terms"]])
        # A savepoint makes FTS5 write what it has in memory, so that damage shows here and not at the COMMIT.
        await connection.execute("SAVEPOINT written")
        await connection.execute("RELEASE written")
    await connection.executemany(_ADVANCE, [edit for edit in edits if not edit["finished"]])
    await connection.executemany(_FORGET, [edit for edit in edits if edit["command"] and not edit["indexed"]])
    await connection.executemany(f"DELETE {_CURRENT}", [edit for edit in edits if edit["finished"]])


async def _note(connection: Connection, texts: str, after: int) -> int | None:
    """Note that some texts are not in the index; return the last one's key, None if it is the last of all.

    Triggers note what is added meanwhile.
    """
    rows = await fetch(
        connection,
        f"INSERT INTO unindexed (owner, key) SELECT owner, key FROM ({texts}) WHERE true"
        " ON CONFLICT (owner, key) DO UPDATE SET version = version + 1, indexed = 0 RETURNING key",
        after=after,
        limit=MOST_NOTED,
    )
    return max(row["key"] for row in rows) if len(rows) == MOST_NOTED else None


async def _forget_some(connection: Connection) -> bool:
    """Forget some texts that were removed, once all others are noted; return whether there were any."""
    some = f"(SELECT id FROM removed ORDER BY id LIMIT {MOST_FORGOTTEN})"
    await connection.execute(f"DELETE FROM unindexed WHERE id IN {some} AND indexed IS NOT 0")
    cursor = await connection.execute(f"DELETE FROM removed WHERE id IN {some}")
    return cursor.rowcount > 0


async def _create(connection: Connection, *, damaged: bool) -> None:
    """Put an empty index in place of the old one."""
    await _remove(connection, INDEX, damaged=damaged)
    await connection.execute(_CREATE)
    await connection.execute("DELETE FROM word_index")
    await connection.execute("INSERT INTO word_index (format) VALUES (?)", (FORMAT,))


async def _remove(connection: Connection, name: str, *, damaged: bool) -> None:
    """Remove an FTS5 table. The pages of a damaged one cannot be reused until a VACUUM."""
    if not damaged:
        async with _noticing_damage(connection):
            await connection.execute(f"DROP TABLE IF EXISTS {name}")
        return
    tables = [(f"{name}{suffix}",) for suffix in ("", *_SHADOWS)]
    try:
        await connection.execute("PRAGMA writable_schema = ON")
        await connection.executemany("DELETE FROM sqlite_schema WHERE tbl_name = ?", tables)
    finally:
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
