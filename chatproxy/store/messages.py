"""Messages: questions and answers, from the empty answer through its pieces to its outcome.

A send commits a question together with its answer, which is `streaming` and empty. Checkpoints insert what
the answer has gained as pieces, so that their cost does not grow with its length; the outcome replaces the
pieces with the whole text. What a crash leaves `streaming` is ended at the next start, with the text of its
pieces.

Each message has a place in its session, from 1 on. The conversation is the newest message of each place, up
to the session's `message_count`. What replaces a message is given its place, and becomes the end: this costs
the same however much is superseded.

What is imported, and so is complete, is gathered in units of bounded size, in a session that is not found
until all of it is there; see `store/sessions`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from operator import itemgetter
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import asdict, replace

from chatproxy import clock
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError
from chatproxy.store.database import (
    MAX_ID,
    STEP,
    Connection,
    Database,
    Lane,
    Row,
    Unit,
    now,
    one_row,
    size_of,
    to_json,
)
from chatproxy.store.owners.visitors import Quota
from chatproxy.store.records import (
    EarlierSend,
    Failure,
    HistoryMessage,
    ImportedTurn,
    Measurement,
    Message,
    NewSession,
    NewTurn,
    Notice,
    Piece,
    PromptCount,
    Session,
    Source,
    StoredAnswer,
    Usage,
    Version,
)
from chatproxy.store.sessions import (
    BYTES_PER_UNIT,
    USED,
    check_idle,
    gather,
    gathered,
    gathering,
    give_up,
    ids_of,
    missing,
)
from chatproxy.store.sql import ABANDONED, REPLICA, octets
from chatproxy.text.reasoning import told_apart
from chatproxy.text.titles import PICTURE, title

INTERRUPTED: Final = Failure(
    error="The server stopped in the middle of this answer; send the message again to get a whole one.",
    code="interrupted",
    retryable=True,
)
PAGE_BYTES: Final = 1024 * 1024  # of texts in a page
PIECE_BYTES: Final = 4096  # a piece that is shorter grows
TURNS_PER_UNIT: Final = 100  # of an import
TURN_BYTES: Final = 1024  # what a message costs besides its text and images
MAX_TURNS: Final = 10_000  # of an import into a session that exists; one unit moves them
PATIENCE: Final = 10.0  # seconds that the end of an answer waits for a database across a network
AGAIN: Final = 0.5  # seconds between two attempts
MAX_SYSTEM: Final = 256 * 1024  # bytes of a session's system prompt

COLUMNS: Final = (
    "id, role, content, thinking, status, model, model_reason, document_id, document_ids, sources, warnings, "
    "finish_reason, usage, error, image_count, client_message_id, version, created_at, updated_at, "
    "(SELECT session.id FROM session WHERE key = message.session) AS session_id"
)
_JSON_COLUMNS: Final[Mapping[str, Any]] = {
    "document_ids": list[int] | None,
    "sources": list[Source],
    "warnings": list[Notice],
    "usage": Usage | None,
    "error": Failure | None,
}
# Each of these takes `session`, a session's id.
_SESSION: Final = "SELECT key, message_count FROM session WHERE id = :session AND deleted = 0"
_KEY: Final = "(SELECT key FROM session WHERE id = :session AND deleted = 0)"
_LENGTH: Final = "(SELECT message_count FROM session WHERE id = :session AND deleted = 0)"
_GET: Final = f"SELECT {COLUMNS} FROM message WHERE id = :id AND session = {_KEY}"
_ANY_ANSWER: Final = (
    f"SELECT {COLUMNS}, reply_to, thought, asked, swapped, {REPLICA} FROM message WHERE id = :id"
)
_ANSWER: Final = f"{_ANY_ANSWER} AND session = {_KEY} AND role = 'assistant'"
_BYTES: Final = " + ".join(
    [octets(f"coalesce({name}, '')") for name in ("content", "thinking", "sources", "warnings", "error")]
)


def _at(place: str) -> str:
    """Return the id of the conversation's message at that place."""
    return (
        f"(SELECT max(other.id) FROM message AS other WHERE other.session = {_KEY}"
        f" AND other.place = {place} AND {place} BETWEEN 1 AND {_LENGTH})"
    )


def _page(columns: str, start: str, step: int) -> str:
    """Return a query for a page of the conversation, from the place `start` on.

    It ends with `limit` messages, or before it has more than `size` bytes of text; it has one message at
    least. Each step finds one message, so that none beyond the page is read; see `_in_order`. `more` is
    whether the conversation goes on after a message.
    """
    following = f"place + {step}"
    return f"""
        WITH RECURSIVE page (found, following, number, bytes) AS (
            SELECT id, {following}, 1, {_BYTES} FROM message WHERE id = {_at(start)}
            UNION ALL
            SELECT id, {following}, number + 1, bytes + {_BYTES}
            FROM page CROSS JOIN message
            WHERE id = {_at("following")} AND number < :limit AND bytes + {_BYTES} <= :size
        )
        SELECT {columns}, number, following BETWEEN 1 AND {_LENGTH} AS more
        FROM page CROSS JOIN message WHERE id = found
    """


_PLACE: Final = f"(SELECT place FROM message WHERE id = :start AND session = {_KEY})"
_START_OR_END: Final = f"CASE WHEN {_PLACE} > {_LENGTH} THEN {_LENGTH} ELSE {_PLACE} - 1 END"
_BEFORE: Final = f"CASE WHEN CAST(:start AS BIGINT) IS NULL THEN {_LENGTH} ELSE {_START_OR_END} END"
_AFTER: Final = f"coalesce({_PLACE}, 0) + 1"
_LIST: Final = _page(COLUMNS, _BEFORE, -1)
_LIST_AFTER: Final = _page(COLUMNS, _AFTER, +1)
_HISTORY: Final = _page("id, role, content, image_count, model, document_id, document_ids", _BEFORE, -1)
_IMAGES: Final = f"""
    WITH sized (message, total) AS (
        SELECT message, sum(sum(length(bytes))) OVER (ORDER BY message DESC) FROM image
        WHERE message IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))
        AND (SELECT session FROM message WHERE id = image.message) = {_KEY}
        GROUP BY message
    )
    SELECT message, bytes FROM sized JOIN image USING (message) WHERE total <= :size
    ORDER BY message, position
"""
_IMAGE: Final = f"""
    SELECT bytes FROM image WHERE message = :id AND position = :position
    AND (SELECT session FROM message WHERE id = :id) = {_KEY}
"""
# What stood where a message stands, while what is before it was the same: nothing with a lower place came in
# between. The versions of an answer are the answers to the versions of its question.
_VERSIONS: Final = f"""
    WITH given AS (
        SELECT id, place, reply_to, session FROM message WHERE id = :id AND session = {_KEY}
    ), question AS (
        SELECT id, place, role, session FROM message WHERE id = (SELECT coalesce(reply_to, id) FROM given)
    ), other (id, place, role) AS (
        SELECT id, place, role FROM message WHERE session = (SELECT session FROM question)
    ), standing (id) AS (
        SELECT other.id FROM other, question WHERE other.place = question.place AND question.place > 0
        AND other.role = question.role
        AND other.id > coalesce((SELECT max(other.id) FROM other, question
            WHERE other.place BETWEEN 1 AND question.place - 1 AND other.id < question.id), 0)
        AND other.id < coalesce((SELECT min(other.id) FROM other, question
            WHERE other.place BETWEEN 1 AND question.place - 1 AND other.id > question.id), {MAX_ID})
    ), version (id) AS (
        SELECT id FROM given
        UNION SELECT id FROM standing WHERE (SELECT reply_to FROM given) IS NULL
        UNION SELECT message.id FROM message, given
            WHERE message.reply_to IN (SELECT id FROM standing) AND message.place = given.place
    ), page AS (
        SELECT message.*, row_number() OVER newest AS number, sum({_BYTES}) OVER newest AS bytes
        FROM message WHERE id IN (SELECT id FROM version) AND id < coalesce(:before, {MAX_ID})
        WINDOW newest AS (ORDER BY id DESC)
    )
    SELECT {COLUMNS.replace("message.session", "page.session")}, total, id > first AS more
    FROM (SELECT count(*) AS total, min(id) AS first FROM version) AS counted
    LEFT JOIN page ON number <= :limit AND (number = 1 OR bytes <= :size) ORDER BY id DESC
"""
_EARLIER: Final = f"""
    SELECT question.id AS question_id, answer.id AS answer_id, question.fingerprint
    FROM message AS question JOIN message AS answer ON answer.reply_to = question.id
    WHERE question.session = {_KEY} AND question.client_message_id = :client_message_id
"""
# The range is that of an index; what begins with `prefix` goes on with digits.
_VERSION: Final = f"""
    SELECT question.id AS question_id, answer.id AS answer_id, question.fingerprint,
        coalesce(question.id = {_at("question.place")}, FALSE) AS is_shown,
        question.place + 1 = {_LENGTH} AS is_last
    FROM message AS question LEFT JOIN message AS answer ON answer.reply_to = question.id
    WHERE question.id = (
        SELECT max(id) FROM message WHERE session = {_KEY} AND role = 'user' AND (
            client_message_id = :first OR id = :row OR (
                client_message_id >= :prefix AND client_message_id < :prefix || ':'
            )
        )
    )
"""
_SHOWN: Final = f"FROM message WHERE id = :id AND session = {_KEY} AND id = {_at('message.place')}"
_COUNT_FROM: Final = f"SELECT {_LENGTH} - place + 1 AS number {_SHOWN}"
_FIRST: Final = 1  # the place of a conversation's first message
_SHOWN_PLACE: Final = f"SELECT place, version, CASE place WHEN {_FIRST} THEN content END AS first {_SHOWN}"
_REPLACEABLE: Final = f"{_SHOWN_PLACE} AND role = 'user'"
# What a session was used for besides an answer and its question; what was imported before it does not count.
_BESIDES: Final = f"""
    SELECT 1 FROM message WHERE session = {_KEY} AND id <> :id AND (id > :id OR asked IS NOT NULL) LIMIT 1
"""
# A version that a message replaced, or that replaced it for a time, and its size with its images.
_REPLACED: Final = f"""
    SELECT id,
        {_BYTES} + coalesce((SELECT sum(length(bytes)) FROM image WHERE message = message.id), 0) AS size
    FROM message WHERE session = {_KEY} AND place = :place AND id <> :id LIMIT 1
"""
_SEND_AGAIN: Final = """
    UPDATE message SET client_message_id = NULL WHERE id = (SELECT reply_to FROM message WHERE id = :id)
"""
_CLOSE_UP: Final = f"UPDATE message SET place = place - 1 WHERE session = {_KEY} AND place > :place"
_SHORTENED: Final = """
    UPDATE session SET updated_at = :now, message_count = message_count - 1, prompt_counts = NULL
    WHERE id = :session
"""
_FOLLOWING: Final = f"SELECT {_at('message.place + 1')} AS following {_SHOWN} AND role = 'assistant'"

_OWNER: Final = "SELECT owner FROM session WHERE id = :session AND deleted = 0"
_ADOPTING: Final = "SELECT key, message_count, system FROM session WHERE id = :session AND deleted = 0"
# Whether a session has a message that is newer than those gathered, or is being answered.
_USED_SINCE: Final = """
    SELECT 1 FROM message WHERE session = :key AND (
        status = 'streaming' OR id > (SELECT min(id) FROM message WHERE session = :gathered)
    ) LIMIT 1
"""
_SAME_IDS: Final = """
    SELECT 1 FROM message AS other JOIN message ON message.client_message_id = other.client_message_id
    WHERE message.session = :key AND other.session = :gathered LIMIT 1
"""
_MOVE: Final = "UPDATE message SET session = :key, place = place + :length WHERE session = :gathered"
_LENGTHENED: Final = f"""
    UPDATE session SET {USED}, message_count = :length, title = coalesce(title, :title), system = :system
    WHERE key = :key
"""

# The first turn gives the session its title, and its new version a new one, unless somebody named it.
_BEGUN: Final = f"""
    UPDATE session SET {USED}, message_count = :length, document_id = :document_id, documents = :documents,
        title = coalesce(CASE WHEN title = :old_title THEN :title END, title, :title)
    WHERE key = :key
"""
# Few pieces for many checkpoints: what the outcome deletes follows from the length of the text.
_LENGTHEN: Final = f"""
    UPDATE piece SET thinking = thinking || :thinking, content = content || :content
    WHERE key = (SELECT max(key) FROM piece WHERE message = :message_id)
    AND {octets("thinking")} + {octets("content")} < {PIECE_BYTES}
"""
_ADD_PIECE: Final = """
    INSERT INTO piece (message, thinking, content)
    SELECT id, :thinking, :content FROM message WHERE id = :message_id AND status = 'streaming'
"""
# Both, in one statement: across a network, a round for each would take longer than the work.
_GROW: Final = f"WITH grown AS ({_LENGTHEN} RETURNING 1) {_ADD_PIECE} AND NOT EXISTS (SELECT 1 FROM grown)"
_THOUGHT: Final = "UPDATE message SET thought = :thought WHERE id = :message_id AND thought IS NULL"
_SWAP: Final = """
    UPDATE piece SET thinking = content, content = thinking
    WHERE message = (SELECT id FROM message WHERE id = :message_id AND status = 'streaming')
"""
_SWAPPED: Final = """
    UPDATE message SET swapped = TRUE, thought = NULL WHERE id = :message_id AND status = 'streaming'
"""
# What an answer has so far; nothing once it has ended.
_PIECES: Final = """
    SELECT piece.thinking, piece.content, thought, swapped
    FROM message LEFT JOIN piece ON piece.message = message.id
    WHERE message.id = :id AND status = 'streaming' ORDER BY piece.key
"""
# Where there are replicas: what one of them writes in a session.
_WRITTEN: Final = f"""
    SELECT id FROM message WHERE session = {_KEY} AND status = 'streaming' AND replica = :replica
"""
_FINISH: Final = """
    UPDATE message SET
        status = :status, thinking = :thinking, content = :content,
        model = :model, model_reason = :model_reason,
        sources = :sources, warnings = :warnings,
        finish_reason = :finish_reason, usage = :usage, error = :error,
        thought = CASE WHEN :swapped THEN :thought ELSE coalesce(:thought, thought) END,
        swapped = swapped OR :swapped, updated_at = :now
    WHERE id = :id AND status = 'streaming'
"""
_MEASURED: Final = """
    INSERT INTO measurement (digest, tokens_per_second, load_ms, measured_at)
    VALUES (:digest, :tokens_per_second, :load_ms, unixepoch())
    ON CONFLICT (digest) DO UPDATE SET tokens_per_second = excluded.tokens_per_second,
        load_ms = excluded.load_ms, measured_at = excluded.measured_at
"""
_MEASUREMENTS: Final = """
    SELECT digest, tokens_per_second, load_ms,
        CASE WHEN unixepoch() > measured_at THEN unixepoch() - measured_at ELSE 0 END AS age
    FROM measurement
"""


class AlreadySentError(Exception):
    """A message was sent before, and stored as `earlier`."""

    def __init__(self, earlier: EarlierSend) -> None:
        super().__init__()
        self.earlier = earlier


class Messages:
    """The messages of sessions; see `Sessions` for who may hold a `Session`."""

    def __init__(self, database: Database, deleted: asyncio.Event, quota: Quota | None = None) -> None:
        """Set `deleted` whenever there is something for `Sessions.remove_deleted`; see `Sessions`."""
        self.is_shared = database.replica is not None
        self.unsure: set[str] = set()  # sessions where `begin` may have been committed, and nobody was told
        self._database = database
        self._quota = quota
        self._deleted = deleted

    # -- for clients

    async def get(self, session: Session, message_id: int) -> Message:
        """Return a message, superseded or not; raise `not_found`."""
        return _message(await self._one(_GET, session, message_id, "message"))

    async def get_answer(self, session: Session, message_id: int) -> StoredAnswer:
        """Return an answer; raise `not_found` for anything else."""
        row = await self._one(_ANSWER, session, message_id, "answer")
        if row["status"] == "streaming":
            if pieces := await self._database.fetch(_PIECES, id=message_id):
                return _grown(_stored_answer(row), pieces)
            row = await self._one(_ANSWER, session, message_id, "answer")  # it has ended meanwhile
        return _stored_answer(row)

    async def so_far(self, session: Session, message: Message) -> Message:
        """Return a message that is being written with its text so far, or as it is by now."""
        return (await self.get_answer(session, message.id)).message

    async def _one(self, sql: str, session: Session, message_id: int, noun: str) -> Row:
        rows = await self._fetch(sql, session, id=message_id)
        return one_row(rows, f"{noun} {message_id} in this session; list its messages")

    async def page(
        self, session: Session, *, limit: int, before: int | None
    ) -> tuple[list[Message], int | None]:
        """Return the last messages before that id, oldest first, and the next `before` (None: no more).

        They are at most `limit`, and have at most PAGE_BYTES of text unless there is only one.
        """
        rows = _in_order(await self._fetch(_LIST, session, start=before, limit=limit, size=PAGE_BYTES))
        return [_message(row) for row in reversed(rows)], _next(rows)

    async def page_after(
        self, session: Session, owner: str, *, limit: int, size: int, after: int
    ) -> tuple[list[Message], int | None]:
        """Return the first messages after that id, oldest first, and the next `after` (None: no more).

        They are at most `limit`, and have at most `size` bytes of text unless there is only one. Owners take
        turns; see `Database.fetch_slow`.
        """
        rows = await self._database.fetch_slow(
            _LIST_AFTER, owner=owner, session=session.id, start=after, limit=limit, size=size
        )
        if not rows:
            await self._check_exists(session)
        rows = _in_order(rows)
        return [_message(row) for row in rows], _next(rows)

    async def versions(
        self, session: Session, owner: str, message_id: int, *, limit: int, before: int | None
    ) -> tuple[list[Message], int | None, int]:
        """Return what stood where a message stands, oldest first, the next `before`, and how many there are.

        Those of an answer are the answers to all versions of its question. They are the last ones before
        that id, as many as `page` returns. Owners take turns; see `Database.fetch_slow`. Raises `not_found`.
        """
        await self.get(session, message_id)
        rows = await self._database.fetch_slow(
            _VERSIONS,
            owner=owner,
            session=session.id,
            id=message_id,
            before=before,
            limit=limit,
            size=PAGE_BYTES,
        )
        page = [row for row in rows if row["id"] is not None]  # an empty page is a row with the total alone
        return [_message(row) for row in reversed(page)], _next(page), rows[0]["total"]

    async def _fetch(self, sql: str, session: Session, **arguments: object) -> Sequence[Row]:
        rows = await self._database.fetch(sql, session=session.id, **arguments)
        if not rows:
            await self._check_exists(session)
        return rows

    async def _check_exists(self, session: Session) -> None:
        """Raise `not_found` if the session was deleted after its record was read.

        Without that, a deletion in the middle would look like the end of the messages.
        """
        one_row(await self._database.fetch(_SESSION, session=session.id), missing(session.id))

    # -- for prompts

    async def history(self, session: Session, *, limit: int, before: int | None) -> list[HistoryMessage]:
        """Return the last messages before that id, newest first, with what a prompt needs of each.

        They are at most `limit`, and have at most PAGE_BYTES of text unless there is only one.
        """
        rows = await self._database.fetch(
            _HISTORY, session=session.id, start=before, limit=limit, size=PAGE_BYTES
        )
        return [_history_message(row) for row in _in_order(rows)]

    async def images(self, session: Session, message_ids: Sequence[int], size: int) -> dict[int, list[bytes]]:
        """Return the images of those messages that have any, by message id.

        Beyond `size` bytes in all, older messages are left out. Sessions take turns with the owners of other
        slow reads, so that a send waits for no search of its own user; see `Database.fetch_slow`.
        """
        found: dict[int, list[bytes]] = {}
        ids = to_json([id for id in message_ids if id <= MAX_ID])
        for row in await self._database.fetch_slow(
            _IMAGES, owner=session.id, session=session.id, ids=ids, size=size
        ):
            found.setdefault(row["message"], []).append(row["bytes"])
        return found

    async def image(self, session: Session, owner: str, message_id: int, position: int) -> bytes:
        """Return an image of a message, superseded or not; raise `not_found`.

        Owners take turns; see `Database.fetch_slow`.
        """
        rows = await self._database.fetch_slow(
            _IMAGE, owner=owner, session=session.id, id=message_id, position=position
        )
        what = f"image {position} of message {message_id} in this session; list its messages"
        image: bytes = one_row(rows, what)["bytes"]
        return image

    async def count_from(self, session: Session, message_id: int) -> int:
        """Return how many messages the conversation has from that one on."""
        rows = await self._database.fetch(_COUNT_FROM, session=session.id, id=message_id)
        return sum(row["number"] for row in rows)

    async def is_alone(self, session: Session, answer_id: int) -> bool:
        """Return whether an answer is the first and only one that was asked for in its session."""
        return not await self._database.fetch(_BESIDES, session=session.id, id=answer_id)

    async def following(self, session: Session, answer_id: int) -> int | None:
        """Return the id of the message after an answer of the conversation, None if it is the last one.

        Raises `invalid` if the answer was superseded.
        """
        rows = await self._fetch(_FOLLOWING, session, id=answer_id)
        if not rows:
            raise ChatError(
                "invalid",
                "The conversation went on without this answer; go on after a later one, or send the whole"
                " conversation as input.",
            )
        following: int | None = rows[0]["following"]
        return following

    async def find_version(
        self, session: Session, *, first: str, prefix: str, row: int | None
    ) -> Version | None:
        """Return the newest question that has one of these, if there is one.

        Its `clientMessageId` is `first`, or `prefix` and digits, as nothing else begins, or its id is `row`.
        """
        rows = await self._database.fetch(_VERSION, session=session.id, first=first, prefix=prefix, row=row)
        if not rows:
            return None
        found = dict(rows[0])
        return Version(**found | {name: bool(found[name]) for name in ("is_shown", "is_last")})

    async def check_replaces(self, session: Session, replaces: int) -> None:
        """Raise `invalid` unless that is a user message of the conversation as it stands."""
        _replaced_place(await self._fetch(_REPLACEABLE, session, id=replaces))

    # -- writes

    async def begin(self, session: Session, turn: NewTurn) -> tuple[int, Message]:
        """Commit the question, and its answer as `streaming`; supersede what the question replaces.

        Return the question's id, and the answer. Raises `not_found` if the session was deleted, `invalid` if
        `replaces` is not in the conversation, `session_busy` while another replica writes an answer there,
        AlreadySentError if the turn's `client_message_id` is stored already, and `visitor_limit` if it is
        more than a visitor may keep.
        """
        size = size_of(turn.content, *turn.images, *[source.snippet for source in turn.sources])
        is_written = False

        async def begin(connection: Connection) -> tuple[int, Message]:
            nonlocal is_written
            if self._quota is not None:
                for row in await connection.fetch(_OWNER, session=session.id):  # none if it was deleted
                    await self._quota.check_bytes(connection, row["owner"], size)
            begun = await _begin(connection, session.id, turn, self._database.replica)
            is_written = True
            return begun

        try:
            return await self._database.run(begin, size=size)
        except BaseException:
            if is_written and self.is_shared:  # the answer to its COMMIT was lost
                self.unsure.add(session.id)
            raise

    async def end_lost(self, session_id: str, is_written: Callable[[int], bool]) -> None:
        """End the answer of an `unsure` session, if there is one that is not written by this replica."""
        end = partial(_end_lost, session_id=session_id, replica=self._database.replica, is_written=is_written)
        await self._database.run(end)
        self.unsure.discard(session_id)

    async def checkpoint(self, pieces: Sequence[Piece]) -> None:
        """Store what answers have gained. Pieces of deleted or ended answers are dropped."""
        size = sum(size_of(piece.thinking, piece.content) for piece in pieces)
        checkpoint = partial(_checkpoint, pieces=pieces, at_once=self.is_shared)
        await self._database.run(checkpoint, size=size, lane=Lane.ENDINGS)

    async def reached(self, answer_id: int) -> tuple[Cursor, bool]:
        """Return up to where checkpoints have stored an answer, and whether as it is after it was swapped."""
        return await self._database.run(partial(_reached, answer_id=answer_id))

    async def finish(
        self,
        outcome: Message,
        measurement: Measurement | None = None,
        thought: int | None = None,
        counts: Sequence[PromptCount] | None = None,
        *,
        swapped: bool = False,
    ) -> StoredAnswer | None:
        """Store how an answer ended, and what it showed about its model.

        Return None, also if it was deleted; or how it was ended already, by a replica that took this one for
        dead. For `thought` and `swapped`, see `StoredAnswer`. `counts` become the session's, unless None.
        A database that others use, too, is waited for: it may be on its way to another server.
        """
        size = size_of(outcome.thinking, outcome.content, *[source.snippet for source in outcome.sources])
        finish = partial(
            _finish,
            outcome=outcome,
            measurement=measurement,
            thought=thought,
            counts=counts,
            swapped=swapped,
        )
        deadline = clock.now() + (PATIENCE if self.is_shared else 0.0)
        while True:
            try:
                return await self._database.run(finish, size=size, lane=Lane.ENDINGS)
            except ChatError:
                if clock.now() >= deadline:
                    raise
            await asyncio.sleep(AGAIN)

    async def delete(self, session: Session, message_id: int) -> None:
        """Delete a message of the conversation and its versions; those after it move up.

        An answer to it replies to nothing then. Raises `not_found` if the conversation has no such message.
        """
        await self._database.steps(
            partial(
                _delete_some,
                session_id=session.id,
                message_id=message_id,
                replica=self._database.replica,
            )
        )

    # -- imports

    async def import_turns(self, session: Session, turns: Sequence[ImportedTurn]) -> None:
        """Append messages to a conversation, in their order: all of them in the end, or none.

        Each `user` and `assistant` message gets the next place, in whatever order the roles are: an answer
        replies to the last question before it, one with none before it to nothing, and a question that no
        answer follows has none. The text of `system` messages is appended to the session's system prompt,
        wherever they stood, as a conversation has no others. A session without a title gets one from the
        first question.

        Raises `not_found` if the session was deleted, `session_busy` if it was used meanwhile or is being
        answered, `idempotency_conflict` if it has a `client_message_id` of these, `too_large` for more than
        MAX_TURNS or for system messages beyond MAX_SYSTEM.
        """
        if len(turns) > MAX_TURNS:
            raise ChatError("too_large", f"The history has more than {MAX_TURNS} messages; send fewer.")
        new = NewSession(id=secrets.token_urlsafe(16))
        owner = one_row(await self._database.fetch(_OWNER, session=session.id), missing(session.id))["owner"]
        async with self._gathering(owner, new, turns, is_session=False):
            adopt = partial(_adopt, gathered=new.id, session_id=session.id, turns=turns)
            await self._database.run(adopt, size=STEP)

    async def import_session(
        self, owner: str, new: NewSession, turns: Sequence[ImportedTurn]
    ) -> Session | None:
        """Create a session with its messages, which is not found before all of it is stored.

        Messages are those of `import_turns`. Return None, and do nothing, if the id exists, of any owner and
        also while a deleted session is being removed. Raises `too_large` as `import_turns` does, and
        `visitor_limit` if it is more than a visitor may keep.
        """
        system = _system(new.system, turns)
        show = partial(gathered, id=new.id, length=_length(turns), title=_title(turns), system=system)
        async with self._gathering(owner, new, turns) as begun:
            return await self._database.run(show) if begun else None

    @asynccontextmanager
    async def _gathering(
        self, owner: str, new: NewSession, turns: Sequence[ImportedTurn], *, is_session: bool = True
    ) -> AsyncIterator[bool]:
        """Store messages in a session that is not found; give the block False if its id exists already.

        It is one of the owner's sessions later if `is_session`. If this or the block fails, or is cancelled,
        what was stored is deleted again.
        """
        begun = False

        async def begin(connection: Connection) -> bool:
            nonlocal begun  # even if this is cancelled before it has the result
            if self._quota is not None:
                if is_session:
                    await self._quota.check_session(connection, owner)
                await self._quota.check_bytes(connection, owner, sum(map(_size, turns)))
            begun = await gather(connection, owner, new, self._database.replica)
            return begun

        async def end(connection: Connection) -> None:
            if begun:
                await give_up(connection, new.id)

        try:
            if await self._database.run(begin):
                place, question = 0, None
                for unit in _units(turns):
                    add = partial(_add_turns, id=new.id, turns=unit, place=place, question=question)
                    place, question = await self._database.run(
                        add, size=sum(map(_size, unit)), lane=Lane.STEPS
                    )
            yield begun
        except BaseException:
            with suppress(ChatError):  # such as a full disk; the next start deletes it
                await self._database.run(end)
            self._deleted.set()
            raise

    async def measurements(self) -> list[Measurement]:
        """Return the running figures of every model that has answered here."""
        rows = await self._database.fetch(_MEASUREMENTS)
        return [Measurement(**dict(row)) for row in rows]


def _in_order(page: Sequence[Row]) -> Sequence[Row]:
    """Return the rows in the order in which they were found. SQLite has them so; nothing promises it."""
    return sorted(page, key=itemgetter("number"))


def _next(page: Sequence[Row]) -> int | None:
    """Return the id of a page's last message if others follow it."""
    return page[-1]["id"] if page and page[-1]["more"] else None


def _history_message(row: Row) -> HistoryMessage:
    fields = {name: row[name] for name in HistoryMessage.__struct_fields__}
    ids = fields["document_ids"]
    return HistoryMessage(
        **fields | {"document_ids": ids_of(row["document_id"], ids and msgspec.json.decode(ids))}
    )


def _stored_answer(row: Row) -> StoredAnswer:
    return StoredAnswer(
        message=_message(row),
        question_id=row["reply_to"],
        thought=row["thought"],
        asked=None if row["asked"] is None else Raw(row["asked"].encode()),
        swapped=bool(row["swapped"]),
        replica=row["replica"],
    )


def _grown(answer: StoredAnswer, pieces: Sequence[Row]) -> StoredAnswer:
    """Return an answer that is being written with the text of its pieces, the first of which may be none."""
    thinking = "".join([piece["thinking"] or "" for piece in pieces])
    content = "".join([piece["content"] or "" for piece in pieces])
    message = replace(
        answer.message, thinking=thinking, content=content, cursor=str(Cursor(len(thinking), len(content)))
    )
    return replace(answer, message=message, thought=pieces[0]["thought"], swapped=bool(pieces[0]["swapped"]))


def _message(row: Row) -> Message:
    fields = {name: row[name] for name in Message.__struct_fields__ if name != "cursor"}
    for name, shape in _JSON_COLUMNS.items():
        if fields[name] is not None:
            fields[name] = msgspec.json.decode(fields[name], type=shape)
    fields["document_ids"] = ids_of(fields["document_id"], fields["document_ids"])
    if fields["role"] == "assistant":
        # Counted here, because length() in SQL stops at NUL.
        end = fields["status"] != "streaming"
        fields["cursor"] = str(Cursor(len(fields["thinking"]), len(fields["content"]), end))
    return Message(**fields)


# -- units of work, for the writer


async def _begin(
    connection: Connection, session_id: str, turn: NewTurn, replica: int | None
) -> tuple[int, Message]:
    await connection.lock(session_id)
    rows = await connection.fetch(_SESSION, session=session_id)
    key, place = one_row(rows, missing(session_id))
    if replica is not None:
        await _check_sent(connection, session_id, turn)
        await check_idle(connection, key, replica)
    edited = None  # what the first message was
    if turn.replaces is None:
        place, version = place + 1, 1
    else:
        rows = await connection.fetch(_SHOWN_PLACE, session=session_id, id=turn.replaces)
        place, version, edited = _replaced_place(rows), rows[0]["version"] + 1, rows[0]["first"]
    time = now()
    question = await _insert_question(connection, key, place, version, turn, time)
    if question is None:
        await _check_sent(connection, session_id, turn)
        raise _id_taken()
    answer = await _insert_answer(
        connection, key, place + 1, version, turn, question, session_id, time, replica
    )
    await connection.execute(
        _BEGUN,
        now=time,
        old_title=None if edited is None else title(edited) or PICTURE,
        length=place + 1,
        document_id=turn.document_id,
        documents=to_json(turn.documents),
        title=title(turn.content, len(turn.images), turn.sources[0].title if turn.sources else None),
        key=key,
    )
    return question, answer


async def _end_lost(
    connection: Connection, session_id: str, replica: int | None, is_written: Callable[[int], bool]
) -> None:
    await connection.lock(session_id)  # so that a COMMIT that is under way is seen
    for row in await connection.fetch(_WRITTEN, session=session_id, replica=replica):
        if not is_written(row["id"]):
            await _interrupt(connection, row["id"], None)


async def _check_sent(connection: Connection, session_id: str, turn: NewTurn) -> None:
    """Raise `AlreadySentError` if the turn was sent before."""
    if turn.client_message_id is None:
        return
    for row in await connection.fetch(_EARLIER, session=session_id, client_message_id=turn.client_message_id):
        raise AlreadySentError(EarlierSend(**dict(row)))


def _id_taken() -> ChatError:
    return ChatError(
        "idempotency_conflict",
        "This clientMessageId is that of an imported message; use a new one for each message.",
    )


def _replaced_place(rows: Sequence[Row]) -> int:
    if not rows:
        raise ChatError(
            "invalid",
            "The message to replace is not a user message of this conversation; list its messages.",
            field="replaces",
        )
    return int(rows[0]["place"])


async def _insert_question(
    connection: Connection, key: int, place: int, version: int, turn: NewTurn, time: str
) -> int | None:
    """Insert a question and its images; return its id, None if its `client_message_id` is taken."""
    id = await _insert(
        connection,
        session=key,
        place=place,
        version=version,
        role="user",
        status="complete",
        content=turn.content,
        document_id=turn.document_id,
        document_ids=to_json(turn.document_ids),
        sources="[]",
        warnings="[]",
        image_count=len(turn.images),
        client_message_id=turn.client_message_id,
        fingerprint=turn.fingerprint,
        created_at=time,
        updated_at=time,
    )
    if id is not None:
        await _insert_images(connection, id, turn.images)
    return id


async def _insert_images(connection: Connection, message_id: int, images: Sequence[bytes]) -> None:
    if images:
        await connection.executemany(
            "INSERT INTO image (message, position, bytes) VALUES (:message, :position, :bytes)",
            [
                {"message": message_id, "position": position, "bytes": image}
                for position, image in enumerate(images)
            ],
        )


async def _insert_answer(
    connection: Connection,
    key: int,
    place: int,
    version: int,
    turn: NewTurn,
    reply_to: int,
    session_id: str,
    time: str,
    replica: int | None,
) -> Message:
    """Insert an empty answer, and return it as a query would, without the time that one takes."""
    id = await _insert(
        connection,
        session=key,
        place=place,
        version=version,
        reply_to=reply_to,
        role="assistant",
        status="streaming",
        content="",
        model=turn.model,
        model_reason=turn.model_reason,
        document_id=turn.document_id,
        document_ids=to_json(turn.document_ids),
        sources=to_json(turn.sources),
        warnings=to_json(turn.warnings),
        image_count=0,
        asked=None if turn.asked is None else bytes(turn.asked).decode(),
        created_at=time,
        updated_at=time,
        **({} if replica is None else {"replica": replica}),
    )
    assert id is not None, "it has no client_message_id"
    return Message(
        id=id,
        session_id=session_id,
        role="assistant",
        content="",
        status="streaming",
        cursor=str(Cursor()),
        model=turn.model,
        model_reason=turn.model_reason,
        document_id=turn.document_id,
        document_ids=turn.document_ids,
        sources=turn.sources,
        warnings=turn.warnings,
        version=version,
        created_at=time,
        updated_at=time,
    )


async def _insert(connection: Connection, **columns: object) -> int | None:
    """Insert a message and return its id, None if the session has its `client_message_id` already."""
    return await connection.insert(_insertion(tuple(columns)), **columns)


@cache
def _insertion(names: tuple[str, ...]) -> str:
    values = ", ".join([f":{name}" for name in names])
    return (
        f"INSERT INTO message ({', '.join(names)}) VALUES ({values})"
        " ON CONFLICT (session, client_message_id) DO NOTHING"
    )


async def _delete_some(connection: Connection, session_id: str, message_id: int, replica: int | None) -> bool:
    """Delete some versions of a message or, after the last, the message itself.

    Return whether there is more to delete.
    """
    await connection.lock(session_id)
    if replica is not None:
        for row in await connection.fetch(_SESSION, session=session_id):
            await check_idle(connection, row["key"], replica)
    message: dict[str, Any] = {"session": session_id, "id": message_id}
    rows = await connection.fetch(_SHOWN_PLACE, **message)
    missing_here = f"message {message_id} in this conversation; list its messages"
    message["place"] = one_row(rows, missing_here)["place"]
    removed = 0
    while rows := await connection.fetch(_REPLACED, **message):
        await _delete(connection, rows[0]["id"])
        removed += TURN_BYTES + rows[0]["size"]
        if removed > BYTES_PER_UNIT:
            return True
    await _delete(connection, message_id)
    await connection.execute(_CLOSE_UP, **message)
    await connection.execute(_SHORTENED, **message, now=now())
    return False


async def _delete(connection: Connection, id: int) -> None:
    """Delete a message. An answer to it replies to nothing then; a question may be sent again with its id."""
    await connection.execute(_SEND_AGAIN, id=id)
    await connection.execute("DELETE FROM message WHERE id = :id", id=id)
    await connection.execute("UPDATE message SET reply_to = NULL WHERE reply_to = :id", id=id)


async def _checkpoint(connection: Connection, pieces: Sequence[Piece], *, at_once: bool) -> None:
    await connection.lock(*[_lock(piece.message_id) for piece in pieces])
    rows = [asdict(piece) for piece in pieces]
    for row in rows:
        if row["swaps"]:
            await connection.execute(_SWAP, **row)
            await connection.execute(_SWAPPED, **row)
    if at_once:
        await connection.executemany(_GROW, rows)
    else:
        for row in rows:
            if not await connection.execute(_LENGTHEN, **row):
                await connection.execute(_ADD_PIECE, **row)
    for row in rows:
        if row["thought"] is not None:
            await connection.execute(_THOUGHT, **row)


async def _reached(connection: Connection, answer_id: int) -> tuple[Cursor, bool]:
    await connection.lock(_lock(answer_id))  # so that a COMMIT that is under way is seen
    pieces = await connection.fetch(_PIECES, id=answer_id)
    thinking, content = [sum(len(piece[name] or "") for piece in pieces) for name in ("thinking", "content")]
    return Cursor(thinking, content), any(piece["swapped"] for piece in pieces)


def _lock(answer_id: int) -> str:
    """Return the name of the lock for the text of an answer and its end."""
    return f"answer {answer_id}"


async def _finish(
    connection: Connection,
    outcome: Message,
    measurement: Measurement | None = None,
    thought: int | None = None,
    counts: Sequence[PromptCount] | None = None,
    swapped: bool = False,
) -> StoredAnswer | None:
    await connection.lock(_lock(outcome.id))
    columns = asdict(outcome) | {
        "sources": to_json(outcome.sources),
        "warnings": to_json(outcome.warnings),
        "usage": to_json(outcome.usage),
        "error": to_json(outcome.error),
        "thought": thought,
        "swapped": swapped,
        "counts": to_json(counts),
        "now": now(),
    }
    if not await connection.execute(_FINISH, **columns):
        rows = await connection.fetch(_ANY_ANSWER, id=outcome.id)
        return _stored_answer(rows[0]) if rows else None
    if measurement is not None:
        await connection.execute(_MEASURED, **asdict(measurement))
    await connection.execute("DELETE FROM piece WHERE message = :id", id=outcome.id)
    await connection.execute(
        f"UPDATE session SET {USED}, prompt_counts = coalesce(:counts, prompt_counts)"
        " WHERE key = (SELECT session FROM message WHERE id = :id)",
        **columns,
    )
    return None


# -- imports


def _units(turns: Sequence[ImportedTurn]) -> Iterator[list[ImportedTurn]]:
    """Yield the messages of each unit: a few, of about STEP bytes at most unless it is a single one."""
    unit: list[ImportedTurn] = []
    size = 0
    for turn in turns:
        if turn.role == "system":
            continue
        if unit and (len(unit) == TURNS_PER_UNIT or size + _size(turn) > STEP):
            yield unit
            unit, size = [], 0
        unit.append(turn)
        size += _size(turn)
    if unit:
        yield unit


def _size(turn: ImportedTurn) -> int:
    more = map(to_json, (turn.sources, turn.warnings, turn.error))
    return TURN_BYTES + size_of(turn.content, turn.thinking, turn.model_reason, *turn.images, *more)


def _length(turns: Sequence[ImportedTurn]) -> int:
    """Return how many of them are messages of the conversation."""
    return sum(turn.role != "system" for turn in turns)


def _title(turns: Sequence[ImportedTurn]) -> str | None:
    return next((title(turn.content, len(turn.images)) for turn in turns if turn.role == "user"), None)


def _system(system: str | None, turns: Sequence[ImportedTurn]) -> str | None:
    """Return the system prompt with the text of the system messages. Raises `too_large`."""
    texts = [turn.content for turn in turns if turn.role == "system" and turn.content.strip()]
    whole = "\n\n".join([*([system] if system else []), *texts]) if texts else system
    if whole is not None and size_of(whole) > MAX_SYSTEM:
        raise ChatError(
            "too_large", f"The system messages are longer than {MAX_SYSTEM // 1024} KiB in all; shorten them."
        )
    return whole


async def _add_turns(
    connection: Connection, id: str, turns: Sequence[ImportedTurn], place: int, question: int | None
) -> tuple[int, int | None]:
    """Add messages to a session that is being gathered, after the one at `place`.

    `question` is the id of the last question so far. Return both as they are then.
    """
    key = await gathering(connection, id)
    for turn in turns:
        place += 1
        message = await _insert_turn(connection, key, place, turn, question)
        await _insert_images(connection, message, turn.images)
        if turn.role == "user":
            question = message
    return place, question


async def _insert_turn(
    connection: Connection, key: int, place: int, turn: ImportedTurn, question: int | None
) -> int:
    thinking, content = turn.thinking, turn.content
    if turn.role == "assistant" and not thinking:  # other programs leave it in the text
        thinking, content = told_apart(content)
    id = await _insert(
        connection,
        session=key,
        place=place,
        reply_to=question if turn.role == "assistant" else None,
        role=turn.role,
        status=turn.status,
        content=content,
        thinking=thinking,
        model=turn.model,
        model_reason=turn.model_reason,
        sources=to_json(turn.sources),
        warnings=to_json(turn.warnings),
        finish_reason=turn.finish_reason,
        usage=to_json(turn.usage),
        error=to_json(turn.error),
        image_count=len(turn.images),
        client_message_id=turn.client_message_id,
        created_at=turn.created_at or now(),
        updated_at=turn.updated_at or turn.created_at or now(),
    )
    if id is None:
        raise _id_taken()
    return id


async def _adopt(
    connection: Connection, gathered: str, session_id: str, turns: Sequence[ImportedTurn]
) -> None:
    """Move gathered messages to the end of a conversation that nothing was added to meanwhile."""
    await connection.lock(session_id)
    rows = await connection.fetch(_ADOPTING, session=session_id)
    key, length, system = one_row(rows, missing(session_id))
    source = await gathering(connection, gathered)
    columns: dict[str, object] = {"key": key, "length": length, "gathered": source}
    if await connection.fetch(_USED_SINCE, **columns):
        raise ChatError("session_busy", "This session was used meanwhile; read its messages, then try again.")
    if await connection.fetch(_SAME_IDS, **columns):
        raise _id_taken()
    await connection.execute(_MOVE, **columns)
    columns |= {
        "length": length + _length(turns),
        "title": _title(turns),
        "system": _system(system, turns),
        "now": now(),
    }
    await connection.execute(_LENGTHENED, **columns)
    await connection.execute("DELETE FROM session WHERE key = :gathered", gathered=source)


def reconciling(heard: Callable[[int], tuple[str, str] | None] = lambda answer_id: None) -> Unit[bool]:
    """Return a unit that ends one answer that nobody writes any more, with its text so far.

    It returns whether there was one. `heard` returns the thinking and the content of an answer as this
    replica has heard them, which may be more than is stored.
    """

    async def unit(connection: Connection) -> bool:
        rows = await connection.fetch(f"SELECT id FROM message WHERE {ABANDONED} LIMIT 1")
        for row in rows:
            await _interrupt(connection, row["id"], heard(row["id"]))
        return bool(rows)

    return unit


reconcile: Final = reconciling()


async def _interrupt(connection: Connection, answer_id: int, heard: tuple[str, str] | None) -> None:
    await connection.lock(_lock(answer_id))
    rows = await connection.fetch(_ANY_ANSWER, id=answer_id)
    pieces = await connection.fetch(_PIECES, id=answer_id)
    if not pieces:  # it has ended meanwhile
        return
    answer = _grown(_stored_answer(rows[0]), pieces)
    thinking, content = answer.message.thinking, answer.message.content
    if heard is not None and heard[0].startswith(thinking) and heard[1].startswith(content):
        thinking, content = heard
    outcome = replace(
        answer.message, status="interrupted", thinking=thinking, content=content, error=INTERRUPTED
    )
    await _finish(connection, outcome)
