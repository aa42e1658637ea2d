"""The words of titles and messages, by which sessions are found: an index that follows what is committed.

Each database has an `Index` of its own. Each word is stored behind a key of its owner, so that a search reads
only what the owner wrote, and takes no longer for what others wrote. Triggers note in `unindexed` which texts
the index has yet to follow; `Words` follows in small steps, in the background, and owners take turns. As the
index is derived from the texts, nothing but a search depends on it: a damaged one is built again.

2 * key in the index is a session's title, 2 * id + 1 a message. A long text is indexed in parts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

from chatproxy.background import background
from chatproxy.errors import ChatError
from chatproxy.store.database import Connection, DamagedError, Database, Edit, Index, Reader, Row
from chatproxy.store.search.terms import FORMAT, PART, parts, terms, wanted
from chatproxy.store.sql import as_bytes

logger: Final = logging.getLogger(__name__)

BATCH: Final = 128 * 1024  # characters of texts and their words, after which a unit takes no more texts
MOST_TEXTS: Final = 50  # per unit
MOST_OWNERS: Final = 50  # per unit
KEPT: Final = 16 * 1024 * 1024  # characters of long texts that are kept from one of their parts to the next
MOST_NOTED: Final = 1000  # per unit
GATHER: Final = 0.1  # seconds after a commit, so that a busy server commits few units
CATCH_UP: Final = 0.5  # seconds that a search waits for what its owner wrote before it
REST: Final = 2.0  # seconds after a failure, such as a full disk

# Of the owners of texts to index, the first from `first` on.
_OWNERS: Final = """
    WITH RECURSIVE waiting (owner) AS (
        SELECT min(owner) FROM unindexed WHERE owner >= :first
        UNION ALL
        SELECT (SELECT min(unindexed.owner) FROM unindexed WHERE unindexed.owner > waiting.owner)
        FROM waiting WHERE owner IS NOT NULL
    )
    SELECT owner FROM waiting WHERE owner IS NOT NULL LIMIT :limit
"""
_TITLE: Final = f"SELECT {as_bytes('title')} AS text FROM session WHERE key = :key AND owner = :owner"
_CONTENT: Final = f"SELECT {as_bytes('content')} AS text FROM message WHERE id = :key"

_TITLES: Final = """
    SELECT owner, 2 * key AS key FROM session WHERE title IS NOT NULL AND session.key > :after
    ORDER BY session.key LIMIT :limit
"""
_CONTENTS: Final = """
    SELECT owner, 2 * message.id + 1 AS key FROM message JOIN session ON session.key = session
    WHERE message.id > :after AND status <> 'streaming' ORDER BY message.id LIMIT :limit
"""

# -- the index


class Words:
    """Keeps the index up to date, and searches in it."""

    def __init__(self, database: Database, committed: asyncio.Event) -> None:
        """Set `committed` after each commit, which may have brought what the index has yet to follow."""
        self._database = database
        self._index = database.index
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
            await self._catch_up(reader, _Texts(self._index))

    async def search(self, sql: str, *, owner: str, q: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query with `{found}` for that of the texts that were found, by their `key`.

        What the owner wrote before is found, unless there is much of it. Raises `overloaded`.
        """
        if not (begun := wanted(owner, q)):
            return []
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP):
                await self._ready.wait()
                await self._follow(owner)
        if not self._ready.is_set():
            raise _unavailable("built")
        try:
            return await self._database.search(
                sql.format(found=self._index.found), owner=owner, words=self._index.query(begun), **arguments
            )
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
            self._committed.set()  # another process may have written it
            await followed.wait()

    async def _work(self, reader: Reader) -> None:
        texts = _Texts(self._index)
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
            self._damaged = await asyncio.to_thread(self._index.is_damaged)
        if self._damaged:
            logger.warning("the index for searches is damaged, and is built again")
            await self._rebuild(damaged=True)
            self._damaged = False

    async def _catch_up(self, reader: Reader, texts: "_Texts") -> None:
        """Index what is not, up to what is committed meanwhile: the event tells of that."""
        more = True
        while more:
            self._committed.clear()
            edits, more = await reader.run(texts.edits)
            if not edits:  # others may have followed what somebody waits for
                for event in [*self._followed.values()]:
                    event.set()
                self._followed.clear()
                return
            await self._database.step(partial(self._index.apply, edits=edits))
            for owner in {edit["owner"] for edit in edits if edit["finished"]}:
                if followed := self._followed.pop(owner, None):
                    followed.set()

    async def _rebuild(self, *, damaged: bool) -> None:
        """Note that all texts are to be indexed from nothing, and then replace the index by an empty one.

        What changes meanwhile is noted, too. After a crash, all of it is done again.
        """
        for remove in self._index.obsolete:
            await self._despite_damage(remove, damaged=False)
        for texts in (_TITLES, _CONTENTS):
            last: int | None = 0
            while last is not None:
                last = await self._database.step(partial(_note, texts=texts, after=last))
        await self._database.steps(self._index.forget_some)
        await self._despite_damage(partial(_replace, index=self._index), damaged=damaged)

    async def _despite_damage(self, unit: Callable[..., Coroutine[Any, Any, None]], *, damaged: bool) -> None:
        try:
            await self._database.step(partial(unit, damaged=damaged))
        except DamagedError:
            await self._database.step(partial(unit, damaged=True))


def _unavailable(state: str) -> ChatError:
    return ChatError(
        "overloaded", f"The index for searches is being {state}; search again soon.", retry_after=5
    )


class _Texts:
    """Reads what is to be indexed, and cuts it.

    A text of several parts is kept from one to the next, so that its cost grows with its length only.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._first = ""  # whose turn it is: the first owner from here on
        self._kept: dict[tuple[int, int, bool], str] = {}  # least recently used first

    async def edits(self, connection: Connection) -> tuple[list[Edit], bool]:
        """Return the next steps, as many as one unit may take, and whether there may be more.

        Owners take turns.
        """
        edits: list[Edit] = []
        size = 0
        owners = await self._owners(connection)
        more = len(owners) == MOST_OWNERS
        for owner in owners:
            self._first = owner + "\0"
            share = MOST_TEXTS // len(owners)
            rows = await connection.fetch(self._index.unindexed, owner=owner, limit=share)
            more = more or len(rows) == share
            for row in rows:
                edit, length = await self._edit(connection, row)
                edits.append(edit)
                more = more or not edit["finished"]
                size += min(length, PART) + len(edit["terms"])
                if size >= BATCH:
                    return edits, True
        return edits, more

    async def _owners(self, connection: Connection) -> list[str]:
        for first in (self._first, ""):
            rows = await connection.fetch(_OWNERS, first=first, limit=MOST_OWNERS)
            if rows:
                return [row["owner"] for row in rows]
        self._kept.clear()
        return []

    async def _edit(self, connection: Connection, row: Row) -> tuple[Edit, int]:
        """Return the next step of a text, and its length. One that cannot be read or cut is left out."""
        length = 0
        edit = Edit(
            id=row["id"],
            version=row["version"],
            owner=row["owner"],
            command="delete" if row["removing"] else None,
            part=0,
            terms="",
            indexed=0,
            finished=True,
        )
        try:
            place = row["id"], row["version"], bool(row["removing"])
            text = self._kept.pop(place) if place in self._kept else await self._read(connection, row)
            length, count = len(text), parts(text)
            before = count if row["indexed"] is None else row["indexed"]
            if row["removing"]:
                edit["part"] = before - 1
                edit["indexed"] = max(0, before - 1)
                edit["finished"] = False
                again = before > 1
            else:
                edit["part"] = before
                edit["indexed"] = before + 1
                edit["finished"] = before + 1 >= count
                again = not edit["finished"]
            edit["terms"] = await connection.apart(terms, row["owner"], text, edit["part"])
            if again:
                self._keep(place, text)
        except Exception as error:
            if self._index.may_pass(error):
                raise
            logger.exception("text %d cannot be indexed; no search finds it", row["key"])
        return edit, length

    async def _read(self, connection: Connection, row: Row) -> str:
        current = _CONTENT if row["key"] % 2 else _TITLE
        sql = self._index.removed if row["removing"] else current
        rows = await connection.fetch(sql, id=row["id"], key=row["key"] // 2, owner=row["owner"])
        text = rows[0]["text"] if rows else None
        return text.decode(errors="replace") if isinstance(text, bytes) else text or ""

    def _keep(self, place: tuple[int, int, bool], text: str) -> None:
        self._kept[place] = text
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT:
            del self._kept[next(iter(self._kept))]


# -- units of work


async def _note(connection: Connection, texts: str, after: int) -> int | None:
    """Note that some texts are not in the index; return the last one's number, None if it is the last of all.

    Triggers note what is added meanwhile.
    """
    rows = await connection.fetch(
        f"INSERT INTO unindexed (owner, key) SELECT owner, key FROM ({texts}) AS text WHERE true"
        " ON CONFLICT (owner, key) DO UPDATE SET version = unindexed.version + 1, indexed = 0 RETURNING key",
        after=after,
        limit=MOST_NOTED,
    )
    return max(row["key"] for row in rows) // 2 if len(rows) == MOST_NOTED else None


async def _replace(connection: Connection, index: Index, *, damaged: bool) -> None:
    """Put an empty index in place of the old one, unless another replica has."""
    await connection.lock("words")
    rows = await connection.fetch("SELECT format FROM word_index")
    if damaged or [row["format"] for row in rows] != [FORMAT]:
        await create_empty(connection, index, damaged=damaged)


async def create_empty(connection: Connection, index: Index, *, damaged: bool) -> None:
    """Put an empty index in place of the old one."""
    await index.create(connection, damaged=damaged)
    await connection.execute("DELETE FROM word_index")
    await connection.execute("INSERT INTO word_index (format) VALUES (:format)", format=FORMAT)
