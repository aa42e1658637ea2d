"""Sessions: one row each, listed by activity and found by the words of their titles and messages.

A deleted one is no longer found; everything in it is then removed in steps, by a task of the store's.

What is imported is gathered in a session that is not found either, until all of it is stored. One that a
crash left unfinished is deleted at the next start.
"""

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from chatproxy.errors import ChatError
from chatproxy.store.database import MAX_ID, Connection, Database, Row, now, one_row, size_of, to_json
from chatproxy.store.owners.visitors import Quota
from chatproxy.store.records import (
    EarlierSend,
    Hit,
    NewSession,
    OpenSession,
    PromptCount,
    Session,
    SessionItem,
    Think,
)
from chatproxy.store.search.hits import snippet
from chatproxy.store.search.words import Words
from chatproxy.store.sql import AFTER_ALL, AFTER_ALL_OF_OWNER, BEFORE_ALL_OF_OWNER, UNGATHERED, octets

LISTED: Final = (
    "id, title, model, document_id, documents, created_at, updated_at, used_at, message_count, pinned"
)
COLUMNS: Final = f"{LISTED}, system, think, options"
_JSON: Final = ("think", "options")  # columns
SETTINGS: Final = ("title", "model", "system", "think", "options", "pinned")  # what `update` sets
# What one unit removes of a deleted session at most, and after how many bytes it removes no more.
MESSAGES_PER_UNIT: Final = 100
BYTES_PER_UNIT: Final = 1024 * 1024
SEEN: Final = 512 * 1024  # characters of messages that are looked through for what a search has found

_GET: Final = f"SELECT {COLUMNS} FROM session WHERE id = :id AND owner = :owner AND deleted = 0"
# With the send that used a `clientMessageId`, if there was one: all that a send needs at first is one read.
_OPEN: Final = f"""
    SELECT {", ".join([f"session.{name} AS {name}" for name in COLUMNS.split(", ")])}, prompt_counts,
        question.id AS question_id, answer.id AS answer_id, question.fingerprint
    FROM session
    LEFT JOIN message AS question ON question.session = key
        AND question.client_message_id = :client_message_id
    LEFT JOIN message AS answer ON answer.reply_to = question.id
    WHERE session.id = :id AND owner = :owner AND deleted = 0
"""
_DOCUMENTS: Final = "SELECT documents FROM session WHERE id = :id AND deleted = 0 AND documents IS NOT NULL"
_PAGE: Final = """
    owner = :owner AND activity < :before AND deleted = 0 ORDER BY activity DESC LIMIT :limit + 1
"""
_LIST_PINNED: Final = f"SELECT activity, {LISTED} FROM session WHERE pinned AND {_PAGE}"
_IDS: Final = "SELECT id FROM session WHERE owner = :owner AND deleted = 0 ORDER BY activity DESC"
_LIST: Final = f"SELECT activity, {LISTED} FROM session WHERE {_PAGE}"
# Whether a message is part of the conversation; see `store/messages`.
_SHOWN: Final = """
    place BETWEEN 1 AND (SELECT message_count FROM session WHERE key = message.session)
    AND id = (SELECT max(id) FROM message AS other WHERE session = message.session AND place = message.place)
"""
# CROSS JOIN keeps SQLite from scanning all sessions for those that were found.
_SEARCH: Final = f"""
    WITH text (key) AS ({{found}}), hit (session, message) AS (
        SELECT CASE text.key % 2
            WHEN 0 THEN text.key / 2 ELSE (SELECT session FROM message WHERE id = text.key / 2 AND {_SHOWN})
        END, CASE text.key % 2 WHEN 1 THEN text.key / 2 END
        FROM text
    ), found (session, message) AS (SELECT session, max(message) FROM hit GROUP BY session)
    SELECT activity, found.message, {LISTED} FROM found CROSS JOIN session
    WHERE key = found.session AND {_PAGE}
"""
_TEXTS: Final = """
    SELECT id, substr(content, 1, :most) AS text FROM message
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))
"""
_CREATE: Final = f"""
    INSERT INTO session
        (id, owner, title, model, system, think, options, pinned, created_at, updated_at, used_at, activity)
    VALUES (:id, :owner, :title, :model, :system, :think, :options, :pinned, :now, :now, :now,
        {AFTER_ALL_OF_OWNER})
    ON CONFLICT (id) DO NOTHING RETURNING {COLUMNS}
"""
# What `session.deleted` may be besides 0; see the top of this module.
DELETED: Final = 1
GATHERED: Final = 2
# What is imported is listed after all that was there: it was used before that. Programs export what was used
# last first.
_GATHER: Final = f"""
    INSERT INTO session (
        id, owner, title, model, system, think, options, pinned, created_at, updated_at, used_at, deleted,
        activity
    )
    VALUES (
        :id, :owner, :title, :model, :system, :think, :options, :pinned, :created_at, :updated_at,
        :updated_at, {GATHERED},
        {BEFORE_ALL_OF_OWNER}
    )
    ON CONFLICT (id) DO NOTHING RETURNING id
"""
_BEING_GATHERED: Final = f"id = :id AND deleted = {GATHERED}"
_GATHERED: Final = f"""
    UPDATE session SET deleted = 0, message_count = :length, title = coalesce(title, :title), system = :system
    WHERE {_BEING_GATHERED} RETURNING {COLUMNS}
"""
_GIVEN_UP: Final = f"UPDATE session SET deleted = {DELETED} WHERE {_BEING_GATHERED}"
_CUT: Final = (
    f"UPDATE session SET deleted = {DELETED} WHERE deleted <> 0 AND deleted = {GATHERED} AND {UNGATHERED}"
)
REMOVABLE: Final = f"SELECT key FROM session WHERE deleted <> 0 AND deleted = {DELETED}"
# Whether a session may have an answer from `replica`: see `postgres/replicas`.
_BUSY: Final = """
    SELECT (SELECT max(id) FROM message WHERE session = :key AND status = 'streaming') AS active,
        EXISTS (SELECT 1 FROM replica WHERE id = :replica) AS lives
"""
# The assignments of every UPDATE that follows the use of a session; they take `now`.
USED: Final = f"""
    updated_at = :now,
    used_at = :now,
    activity = {AFTER_ALL}
"""
_DELETE: Final = f"UPDATE session SET deleted = {DELETED} WHERE id = :id AND deleted = 0 RETURNING key"
# The first message of a deleted session, and its size with its images. Its pieces are those of one answer.
_REMOVED: Final = f"""
    SELECT id, {octets("content")} + {octets("thinking")}
        + coalesce((SELECT sum(length(bytes)) FROM image WHERE message = message.id), 0) AS size
    FROM message WHERE session = :key LIMIT 1
"""
_CURSOR: Final = re.compile(r"[1-9][0-9]{0,17}|i(0|[1-9][0-9]{0,17})", re.ASCII)
# What a client may call a session: all of it stands in a path as it is.
_ID: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,44}\Z")


class Sessions:
    """The sessions of all owners.

    Only `find`, `get`, `open`, `get_or_create`, `page` and `create` take an owner. Everything else
    takes a `Session`, which comes only from them. Another owner's session is as missing as one that is none.
    """

    def __init__(
        self, database: Database, words: Words, deleted: asyncio.Event, quota: Quota | None = None
    ) -> None:
        """Set `deleted` whenever there is something for `remove_deleted`; `quota` is that of visitors."""
        self._database = database
        self._quota = quota
        self._words = words
        self._deleted = deleted

    async def create(
        self,
        owner: str,
        *,
        id: str | None = None,
        title: str | None = None,
        model: str | None = None,
        system: str | None = None,
        think: Think | None = None,
        options: Mapping[str, Any] | None = None,
        pinned: bool | None = None,
    ) -> Session:
        """Create a session; without an `id`, under a new, unguessable one of 128 random bits.

        An id is 1 to 44 of `A-Za-z0-9._:-`; anything else raises `invalid`. One that exists, of any owner and
        also while a deleted session is being removed, raises `not_found`, as `get` does for another owner's.
        Raises `visitor_limit` if a visitor may have no more.
        """
        name = secrets.token_urlsafe(16) if id is None else _checked_id(id)
        columns = _columns(
            {
                "title": title,
                "model": model,
                "system": system,
                "think": think,
                "options": options,
                "pinned": pinned,
            }
        )
        columns |= {"id": name, "owner": owner, "now": now()}
        create = partial(_create, columns=columns, quota=self._quota)
        rows = await self._database.run(create, size=size_of(*columns.values()))
        return _session(one_row(rows, missing(name)))

    async def get_or_create(
        self,
        owner: str,
        session_id: str,
        *,
        title: str | None = None,
        model: str | None = None,
        system: str | None = None,
    ) -> Session:
        """Return the owner's session of that id as it is, or else create it.

        All that ask for one id at the same time get the same session. Raises `not_found` and `invalid` as
        `create` does.
        """
        if session := await self.find(owner, session_id):
            return session
        try:
            return await self.create(owner, id=session_id, title=title, model=model, system=system)
        except ChatError as error:
            if error.code != "not_found":
                raise
        return await self.get(owner, session_id)  # another request has created it in between

    async def get(self, owner: str, session_id: str) -> Session:
        """Return the owner's session; raise `not_found`."""
        return _session(
            one_row(await self._database.fetch(_GET, id=session_id, owner=owner), missing(session_id))
        )

    async def find(self, owner: str, session_id: str) -> Session | None:
        """Return the owner's session, if there is one."""
        rows = await self._database.fetch(_GET, id=session_id, owner=owner)
        return _session(rows[0]) if rows else None

    async def open(self, owner: str, session_id: str, client_message_id: str | None) -> OpenSession:
        """Return the owner's session with what a send needs of it; raise `not_found`."""
        rows = await self._database.fetch(
            _OPEN, id=session_id, owner=owner, client_message_id=client_message_id
        )
        row = one_row(rows, missing(session_id))
        counts = row["prompt_counts"]
        return OpenSession(
            session=_session(row),
            counts=msgspec.json.decode(counts, type=list[PromptCount]) if counts else (),
            earlier=None
            if row["answer_id"] is None
            else EarlierSend(
                question_id=row["question_id"], answer_id=row["answer_id"], fingerprint=row["fingerprint"]
            ),
        )

    async def page(
        self, owner: str, *, limit: int, before: str | None, pinned: bool = False
    ) -> tuple[list[SessionItem], str | None]:
        """Return a page, latest activity first, and the next `before` (None: no more).

        It has those that are `pinned` alone, or all. Raises `invalid_cursor`.
        """
        place = {"before": _parse_before(before), "limit": limit}
        rows = await self._database.fetch(_LIST_PINNED if pinned else _LIST, owner=owner, **place)
        return _split(rows, limit)

    async def search(
        self, owner: str, *, limit: int, before: str | None, q: str
    ) -> tuple[list[SessionItem], str | None, list[Hit]]:
        """Return a page of the sessions that a search finds, the next `before`, and where each was found.

        Every word of `q` must begin a word of the title, or all of them must begin words of one message.
        Raises `invalid_cursor`, and `overloaded` if the search takes too long.
        """
        place = {"before": _parse_before(before), "limit": limit}
        rows = await self._words.search(_SEARCH, owner=owner, q=q, **place)
        shown = rows[:limit]
        ids = [row["message"] for row in shown if row["message"] is not None]
        read = {"ids": to_json(ids), "most": SEEN // max(1, len(ids))}
        texts = {
            row["id"]: row["text"] for row in await self._database.fetch_slow(_TEXTS, owner=owner, **read)
        }
        return *_split(rows, limit), await asyncio.to_thread(_hits, q, shown, texts)

    async def document_titles(self, session: Session) -> dict[int, str]:
        """Return the titles of the session's documents by id, also of deleted ones, where they are known."""
        rows = await self._database.fetch(_DOCUMENTS, id=session.id)
        return dict(msgspec.json.decode(rows[0]["documents"], type=list[tuple[int, str]])) if rows else {}

    async def ids(self, owner: str) -> list[str]:
        """Return the ids of all the owner's sessions as they are now, latest activity first."""
        return [row["id"] for row in await self._database.fetch_slow(_IDS, owner=owner)]

    async def update(self, session: Session, changes: Mapping[str, Any]) -> Session:
        """Set the fields in `changes`, which are among SETTINGS; return the new record.

        The session keeps its place in the list. Raises `not_found`, and `visitor_limit`.
        """
        columns = "".join([f"{name} = :{name}, " for name in SETTINGS if name in changes])
        where = f"WHERE id = :id AND deleted = 0 RETURNING {COLUMNS}"
        sql = f"UPDATE session SET {columns}updated_at = :now {where}"
        values = _columns(changes) | {"now": now(), "id": session.id}
        update = partial(_update, sql=sql, values=values, quota=self._quota)
        rows = await self._database.run(update, size=size_of(*values.values()))
        return _session(one_row(rows, missing(session.id)))

    async def delete(self, session: Session) -> None:
        """Delete the session. Raises `not_found`, and `session_busy` while another replica writes in it."""
        if (replica := self._database.replica) is None:
            rows = await self._database.write(_DELETE, id=session.id)
        else:
            rows = await self._database.run(partial(_delete, id=session.id, replica=replica))
        one_row(rows, missing(session.id))
        self._deleted.set()

    async def give_up_left(self) -> None:
        """Delete what replicas that are gone were gathering."""
        await self._database.write(_CUT)
        self._deleted.set()

    async def remove_deleted(self) -> None:
        """Remove deleted sessions, and everything in them."""
        for row in await self._database.fetch(REMOVABLE):
            await self._database.steps(partial(remove_some, key=row["key"]))


async def _update(
    connection: Connection, sql: str, values: Mapping[str, Any], quota: Quota | None
) -> Sequence[Row]:
    if quota is not None:
        for row in await connection.fetch("SELECT owner FROM session WHERE id = :id", id=values["id"]):
            await quota.check_bytes(connection, row["owner"], size_of(*values.values()))
    return await connection.fetch(sql, **values)


async def _create(connection: Connection, columns: Mapping[str, Any], quota: Quota | None) -> Sequence[Row]:
    if quota is not None:
        await quota.check_session(connection, columns["owner"])
        await quota.check_bytes(connection, columns["owner"], size_of(*columns.values()))
    return await connection.fetch(_CREATE, **columns)


def _split(rows: Sequence[Row], limit: int) -> tuple[list[SessionItem], str | None]:
    """Split one row more than a page has into the page and the next `before`."""
    shown = rows[:limit]
    return [_item(row) for row in shown], _cursor(shown[-1]["activity"]) if len(rows) > limit else None


def _hits(q: str, rows: Sequence[Row], texts: Mapping[int, str]) -> list[Hit]:
    """Return where each session was found; `texts` are the beginnings of messages, by id."""
    hits = []
    for row in rows:
        text = (row["title"] or "") if row["message"] is None else texts.get(row["message"], "")
        shown, found = snippet(q, text)
        hits.append(Hit(session_id=row["id"], message_id=row["message"], snippet=shown, found=found))
    return hits


async def remove_some(connection: Connection, key: int) -> bool:
    """Delete some messages of a deleted session or, after the last, the session itself.

    Return whether there is more to delete.
    """
    removed = 0
    for _ in range(MESSAGES_PER_UNIT):
        rows = await connection.fetch(_REMOVED, key=key)
        if not rows:
            await connection.execute("DELETE FROM session WHERE key = :key", key=key)
            return False
        await connection.execute("DELETE FROM message WHERE id = :id", id=rows[0]["id"])
        removed += rows[0]["size"]
        if removed > BYTES_PER_UNIT:
            break
    return True


async def _delete(connection: Connection, id: str, replica: int) -> Sequence[Row]:
    """Delete a session that others use, too. Raises `session_busy`."""
    await connection.lock(id)
    for row in await connection.fetch("SELECT key FROM session WHERE id = :id", id=id):
        await check_idle(connection, row["key"], replica)
    return await connection.fetch(_DELETE, id=id)


async def check_idle(connection: Connection, key: int, replica: int) -> None:
    """Raise `session_busy` while an answer is written in a session, `overloaded` for a dead replica."""
    (row,) = await connection.fetch(_BUSY, key=key, replica=replica)
    if row["active"] is not None:
        raise session_busy(row["active"])
    if not row["lives"]:
        raise ChatError(
            "overloaded", "This server was out of reach of its database; try again.", retry_after=1
        )


def session_busy(answer_id: int) -> ChatError:
    """Return the error of a message to a session whose last one is being answered."""
    return ChatError(
        "session_busy",
        "This session's last message is still being answered; wait for that, or cancel it.",
        activeMessageId=answer_id,
    )


def is_id(id: str) -> bool:
    """Return whether a client may call a session so."""
    return _ID.match(id) is not None


def _checked_id(id: str) -> str:
    if not is_id(id):
        raise ChatError(
            "invalid",
            "The id cannot be that of a session; use 1 to 44 letters, digits and `.`, `_`, `:` or `-`.",
            field="id",
        )
    return id


# -- units of an import


async def gather(connection: Connection, owner: str, new: NewSession, replica: int | None) -> bool:
    """Begin a session that is not found before `gathered`; return False, and do nothing, if its id exists."""
    columns = _columns(asdict(new)) | {
        "created_at": new.created_at or now(),
        "updated_at": new.updated_at or now(),
        "owner": owner,
    }
    if not await connection.fetch(_GATHER, **columns):
        return False
    if replica is not None:
        await connection.execute(
            "UPDATE session SET gathered_by = :replica WHERE id = :id", replica=replica, id=new.id
        )
    return True


async def gathering(connection: Connection, id: str) -> int:
    """Return the key of a session that is being gathered; raise `not_found` if it was given up."""
    rows = await connection.fetch(f"SELECT key FROM session WHERE {_BEING_GATHERED}", id=id)
    return int(one_row(rows, missing(id))["key"])


async def gathered(
    connection: Connection, id: str, *, length: int, title: str | None, system: str | None
) -> Session:
    """Show a session with its `length` messages, which are all there; the title is for one without."""
    rows = await connection.fetch(_GATHERED, id=id, length=length, title=title, system=system)
    return _session(one_row(rows, missing(id)))


async def give_up(connection: Connection, id: str) -> None:
    """Delete a session if it is being gathered."""
    await connection.execute(_GIVEN_UP, id=id)


async def reconcile(connection: Connection) -> bool:
    """Delete what a crash kept from being gathered. There is nothing more to do."""
    await connection.execute(_CUT)
    return False


def missing(session_id: str) -> str:
    """Return the argument of `one_row` for a session that does not exist."""
    return f"session {session_id}; list the sessions, or create one"


def _item(row: Row) -> SessionItem:
    return SessionItem(**_fields(row, LISTED))


def _session(row: Row) -> Session:
    fields = _fields(row, COLUMNS)
    for name in _JSON:
        if fields[name] is not None:
            fields[name] = msgspec.json.decode(fields[name])
    return Session(**fields)


def _fields(row: Row, columns: str) -> dict[str, Any]:
    fields = {name: row[name] for name in columns.split(", ")}
    fields["pinned"] = bool(fields["pinned"])
    documents = fields.pop("documents")
    fields["document_ids"] = ids_of(
        row["document_id"], documents and [id for id, _ in msgspec.json.decode(documents)]
    )
    return fields


def ids_of(first: int | None, ids: list[int] | None) -> list[int]:
    """Return the ids of documents; `ids` is None for rows of when there was one at most."""
    return ids if ids is not None else [] if first is None else [first]


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored of a session's fields."""
    columns = dict(fields)
    columns |= {name: to_json(fields[name]) for name in _JSON if name in fields}
    return columns | ({"pinned": bool(fields["pinned"])} if "pinned" in fields else {})


def _cursor(activity: int) -> str:
    """Return a place in a list; that of what was imported is marked, as its activity counts down from 0."""
    return str(activity) if activity > 0 else f"i{-activity}"


def _parse_before(before: str | None) -> int:
    """Return the activity of the previous page's last session. Raises `invalid_cursor`."""
    if before is None:
        return MAX_ID
    if not _CURSOR.fullmatch(before):
        raise ChatError(
            "invalid_cursor",
            "The cursor is malformed; pass `next` of the page before, or none for the first page.",
        )
    return -int(before[1:]) if before.startswith("i") else int(before)
