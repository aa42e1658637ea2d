"""Sessions and messages in one SQLite file: read over one connection, changed in units by the one writer."""

import json
import re
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, Self

import aiosqlite

from chatproxy.errors import ChatError, StartError
from chatproxy.store import documents, file, turns
from chatproxy.store.migrations import migrate
from chatproxy.store.records import (
    Document,
    EarlierSend,
    HistoryMessage,
    Measurement,
    Message,
    NewDocument,
    NewTurn,
    Piece,
    Session,
    Source,
)
from chatproxy.store.rows import KEY, LARGEST, MESSAGE, SESSION, Row, fetch, message, now, only, session
from chatproxy.store.writer import Writer, told

_PAGE: Final = """
    owner = :owner AND (updated_at, key) < (:updated_at, :key)
    ORDER BY updated_at DESC, key DESC LIMIT :limit + 1
"""
_SESSIONS: Final = f"SELECT key, {SESSION} FROM session WHERE {_PAGE}"
# CROSS JOIN keeps SQLite from walking through all sessions to see which of them were found.
_SESSIONS_FOUND: Final = f"""
    WITH found (session) AS (
        SELECT rowid FROM session_words WHERE session_words MATCH :words
        UNION
        SELECT session FROM message_words CROSS JOIN message ON id = message_words.rowid
        WHERE message_words MATCH :words AND superseded = 0
    )
    SELECT key, {SESSION} FROM found CROSS JOIN session ON key = found.session WHERE {_PAGE}
"""
_CREATE: Final = f"""
    INSERT INTO session (id, owner, title, model, system, created_at, updated_at)
    VALUES (:session, :owner, :title, :model, :system, :now, :now) RETURNING {SESSION}
"""
_MESSAGE: Final = f"SELECT {MESSAGE} FROM message WHERE id = :id AND session = {KEY}"
_ANSWER: Final = (
    f"SELECT {MESSAGE}, reply_to FROM message WHERE id = :id AND session = {KEY} AND role = 'assistant'"
)
_SHOWN: Final = f"SELECT {MESSAGE} FROM message WHERE session = {KEY} AND superseded = 0"
_MESSAGES_BEFORE: Final = f"{_SHOWN} AND id < ifnull(:before, {LARGEST}) ORDER BY id DESC LIMIT :limit + 1"
_MESSAGES_AFTER: Final = f"{_SHOWN} AND id > :after ORDER BY id LIMIT :limit + 1"
_HISTORY: Final = f"""
    SELECT id, role, content, image_count, model FROM message
    WHERE session = {KEY} AND superseded = 0 AND id < ifnull(:before, {LARGEST}) ORDER BY id DESC LIMIT :limit
"""
_COUNT_FROM: Final = f"""
    SELECT count(*) AS number FROM message WHERE session = {KEY} AND superseded = 0 AND id >= :id
"""
_IMAGES: Final = f"""
    SELECT message, bytes FROM image
    WHERE message IN (SELECT value FROM json_each(:ids))
    AND (SELECT session FROM message WHERE id = image.message) = {KEY}
    ORDER BY message, position
"""
_PLACE: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\.(\d{1,18})", re.ASCII)


class Store:
    """Where a call names an owner, another owner's session is as good as missing: `not_found`."""

    def __init__(self, reader: aiosqlite.Connection, writer: Writer, resources: AsyncExitStack) -> None:
        self._reader = reader
        self._writer = writer
        self._resources = resources

    @classmethod
    async def open(cls, path: Path, committed: Callable[[float], None] = lambda seconds: None) -> Self:
        """Creates the file and its folder if need be. Raises StartError, and leaves the file as it was, where
        it is somebody else's. What a crash left behind is put in order. `committed` hears of each commit."""
        async with AsyncExitStack() as resources:
            path = resources.enter_context(file.claimed(path))
            try:
                connection = await resources.enter_async_context(_connection(path, "rwc"))
                await _prepare(connection)
                reader = await resources.enter_async_context(_connection(path, "ro"))
            except sqlite3.Error as error:
                raise StartError(
                    f"The database {path} cannot be used ({error}); see to that, or {file.ELSEWHERE}."
                ) from error
            writer = Writer(connection, committed)
            resources.push_async_callback(writer.close)
            return cls(reader, writer, resources.pop_all())

    async def close(self) -> None:
        """Commits what was asked for and lets go of the file."""
        await self._resources.aclose()

    async def ping(self) -> None:
        """Returns if the file can be read."""
        await self._fetch("SELECT key FROM session LIMIT 1")

    async def _fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        with told():
            return await fetch(self._reader, sql, **arguments)

    async def _write(self, sql: str, **arguments: object) -> Sequence[Row]:
        return await self._writer.run(lambda connection: fetch(connection, sql, **arguments))

    async def _fetch_of(self, owner: str, session_id: str, sql: str, **arguments: object) -> Sequence[Row]:
        """Of a session, which has to exist."""
        rows = await self._fetch(sql, owner=owner, session=session_id, **arguments)
        if not rows:
            await self.get_session(owner, session_id)
        return rows

    # -- sessions

    async def create_session(
        self, owner: str, *, title: str | None = None, model: str | None = None, system: str | None = None
    ) -> Session:
        (row,) = await self._write(
            _CREATE,
            session=secrets.token_urlsafe(16),
            owner=owner,
            title=title,
            model=model,
            system=system,
            now=now(),
        )
        return session(row)

    async def get_session(self, owner: str, session_id: str) -> Session:
        rows = await self._fetch(
            f"SELECT {SESSION} FROM session WHERE id = :session AND owner = :owner",
            session=session_id,
            owner=owner,
        )
        return session(only(rows, session_id))

    async def list_sessions(
        self, owner: str, *, limit: int, before: str | None, q: str | None
    ) -> tuple[list[Session], str | None]:
        """Newest activity first, and what to pass as `before` to go on, None at the end.

        Every word of `q` has to begin a word of the title, or all of them of one message.
        """
        updated_at, key = _place(before)
        page = partial(self._fetch, owner=owner, updated_at=updated_at, key=key, limit=limit)
        rows = await (page(_SESSIONS_FOUND, words=_words(q)) if q and q.strip() else page(_SESSIONS))
        shown = rows[:limit]
        following = f"{shown[-1]['updated_at']}.{shown[-1]['key']}" if len(rows) > limit else None
        return [session(row) for row in shown], following

    async def update_session(self, owner: str, session_id: str, changes: Mapping[str, str | None]) -> Session:
        """`changes` has keys among title, model and system."""
        columns = "".join([f"{name} = :{name}, " for name in ("title", "model", "system") if name in changes])
        sql = f"UPDATE session SET {columns}updated_at = :now WHERE key = {KEY} RETURNING {SESSION}"
        rows = await self._write(sql, **changes, now=now(), session=session_id, owner=owner)
        return session(only(rows, session_id))

    async def delete_session(self, owner: str, session_id: str) -> None:
        """With its messages and all that belongs to them."""
        sql = "DELETE FROM session WHERE id = :session AND owner = :owner RETURNING key"
        only(await self._write(sql, session=session_id, owner=owner), session_id)

    # -- messages

    async def get_message(self, owner: str, session_id: str, message_id: int) -> Message:
        """Superseded ones too."""
        rows = await self._fetch_of(owner, session_id, _MESSAGE, id=message_id)
        return message(_one(rows, f"message {message_id}"))

    async def get_answer(self, owner: str, session_id: str, message_id: int) -> tuple[Message, int]:
        """With the id of the question; `not_found` for what is not an answer."""
        rows = await self._fetch_of(owner, session_id, _ANSWER, id=message_id)
        row = _one(rows, f"answer {message_id}")
        return message(row), row["reply_to"]

    async def list_messages(
        self, owner: str, session_id: str, *, limit: int, before: int | None
    ) -> tuple[list[Message], int | None]:
        """The last ones before that id, oldest first, and what to pass as `before` for those before them."""
        rows = await self._fetch_of(owner, session_id, _MESSAGES_BEFORE, before=before, limit=limit)
        shown, following = _page(rows, limit)
        return [message(row) for row in reversed(shown)], following

    async def messages_after(
        self, owner: str, session_id: str, *, after: int, limit: int
    ) -> tuple[list[Message], int | None]:
        """The first ones after that id, and what to pass as `after` for those after them."""
        rows = await self._fetch_of(owner, session_id, _MESSAGES_AFTER, after=after, limit=limit)
        shown, following = _page(rows, limit)
        return [message(row) for row in shown], following

    async def images(self, owner: str, session_id: str, message_ids: Sequence[int]) -> dict[int, list[bytes]]:
        """By message, of those that have any."""
        found: dict[int, list[bytes]] = {}
        for row in await self._fetch_of(owner, session_id, _IMAGES, ids=json.dumps(list(message_ids))):
            found.setdefault(row["message"], []).append(row["bytes"])
        return found

    # -- turns

    async def history(
        self, owner: str, session_id: str, *, limit: int, before: int | None
    ) -> list[HistoryMessage]:
        """The last messages before that id, newest first, with only what a prompt needs of them."""
        rows = await self._fetch(_HISTORY, owner=owner, session=session_id, before=before, limit=limit)
        return [HistoryMessage(**dict(row)) for row in rows]

    async def count_from(self, owner: str, session_id: str, message_id: int) -> int:
        """How many messages of the conversation come from that one on."""
        rows = await self._fetch(_COUNT_FROM, owner=owner, session=session_id, id=message_id)
        return int(rows[0]["number"])

    async def find_send(self, owner: str, session_id: str, client_message_id: str) -> EarlierSend | None:
        rows = await self._fetch_of(owner, session_id, turns.SEND, client_message_id=client_message_id)
        return EarlierSend(**dict(rows[0])) if rows else None

    async def check_replaces(self, owner: str, session_id: str, replaces: int) -> None:
        """Raises `invalid` unless that is a user message of the conversation as it stands."""
        turns.check_replaceable(await self._fetch_of(owner, session_id, turns.REPLACEABLE, replaces=replaces))

    async def begin_answer(self, owner: str, session_id: str, question: NewTurn) -> tuple[Message, Message]:
        """Stores the question, and the answer as `streaming`; what the question replaces is superseded."""
        return await self._writer.run(
            partial(turns.begin, owner=owner, session_id=session_id, question=question)
        )

    async def checkpoint(self, pieces: Sequence[Piece]) -> None:
        await self._writer.run(partial(turns.checkpoint, pieces=pieces))

    async def finish_answer(self, outcome: Message, measurement: Measurement | None = None) -> None:
        """Stores how the answer ended, and what it showed of its model."""
        await self._writer.run(partial(turns.finish, outcome=outcome, measurement=measurement))

    async def measurements(self) -> list[Measurement]:
        rows = await self._fetch("SELECT * FROM measurement")
        return [Measurement(**dict(row)) for row in rows]

    # -- documents

    async def create_document(self, owner: str, new: NewDocument) -> tuple[Document, bool]:
        """The document, and whether it is a new one: the same content of the same owner is the same."""
        write = self._writer.run
        if earlier := await write(partial(documents.same, owner=owner, new=new)):
            return earlier, False
        document_id = await write(partial(documents.begin, owner=owner, new=new))
        try:
            for first in range(0, len(new.chunks), documents.AT_ONCE):
                some = new.chunks[first : first + documents.AT_ONCE]
                await write(partial(documents.add, document_id=document_id, first=first, chunks=some))
            found = await write(partial(documents.complete, owner=owner, document_id=document_id, new=new))
        except ChatError:
            with suppress(ChatError):  # else the next start does it
                await self._remove_document(document_id)
            raise
        if found.id != document_id:
            await self._remove_document(document_id)
        return found, found.id == document_id

    async def get_document(self, owner: str, document_id: int) -> Document:
        rows = await self._fetch(documents.GET, owner=owner, id=document_id)
        return documents.document(documents.only(rows, document_id))

    async def list_documents(
        self, owner: str, *, limit: int, before: int | None
    ) -> tuple[list[Document], int | None]:
        """The newest before that id, and what to pass as `before` to go on, None at the end."""
        rows = await self._fetch(documents.LIST, owner=owner, before=before, limit=limit)
        shown, following = _page(rows, limit)
        return [documents.document(row) for row in shown], following

    async def delete_document(self, owner: str, document_id: int) -> None:
        """Sessions keep its id, which will never be another document's."""
        await self._writer.run(partial(documents.withdraw, owner=owner, document_id=document_id))
        with suppress(ChatError):  # it is gone for everybody; what is left, the next start removes
            await self._remove_document(document_id)

    async def _remove_document(self, document_id: int) -> None:
        while await self._writer.run(partial(documents.remove, document_id=document_id)):
            pass

    async def search_chunks(
        self, owner: str, document_id: int, words: Sequence[str], *, limit: int
    ) -> list[Source]:
        """Those that hold one of the words or more, the best first by BM25: rare words count for most."""
        document = await self.get_document(owner, document_id)
        wanted = dict.fromkeys([*words, *documents.pairs(" ".join(words))[: documents.MAX_PAIRS]])
        any_of = " OR ".join([_quoted(word) for word in wanted])
        rows = await self._fetch(documents.SEARCH, owner=owner, id=document_id, words=any_of, limit=limit)
        return [documents.source(row, document) for row in rows]

    async def chunks(self, owner: str, document_id: int, numbers: Sequence[int]) -> list[Source]:
        """Those of that number, in the order of the document."""
        document = await self.get_document(owner, document_id)
        rows = await self._fetch(
            documents.CHUNKS, owner=owner, id=document_id, numbers=json.dumps(list(numbers))
        )
        return [documents.source(row, document) for row in rows]


@asynccontextmanager
async def _connection(path: Path, mode: str) -> AsyncIterator[aiosqlite.Connection]:
    address = f"{path.as_uri()}?mode={mode}"
    async with aiosqlite.connect(address, uri=True, isolation_level=None, timeout=5) as connection:
        connection.row_factory = Row
        yield connection


async def _prepare(connection: aiosqlite.Connection) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    await migrate(connection)
    await connection.execute("BEGIN IMMEDIATE")
    await turns.reconcile(connection)
    await documents.reconcile(connection)
    await connection.commit()


def _one(rows: Sequence[Row], what: str) -> Row:
    if not rows:
        raise ChatError("not_found", f"There is no {what} in this session; list its messages.")
    return rows[0]


def _page(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], int | None]:
    """Of rows that are one more than asked for where there are more: those to show, and the id to go on
    from, None at the end."""
    shown = rows[:limit]
    return shown, shown[-1]["id"] if len(rows) > limit else None


def _place(before: str | None) -> tuple[str, int]:
    """Where a page of sessions starts: the time and the key of the last session of the page before it."""
    if before is None:
        return "~", 0  # after every time
    place = _PLACE.fullmatch(before)
    if place is None:
        raise ChatError(
            "invalid_cursor",
            "The cursor is malformed; pass `next` of the page before, or none for the first page.",
        )
    return place[1], int(place[2])


def _words(q: str) -> str:
    """A query that matches where every word begins one; quoted, so that nothing in it is FTS5's syntax."""
    return " ".join([f"{_quoted(word)}*" for word in q.split()])


def _quoted(word: str) -> str:
    """As FTS5 takes it, whatever is in it. SQLite would stop reading at NUL."""
    return '"{}"'.format(word.replace("\0", "\ufffd").replace('"', '""'))
