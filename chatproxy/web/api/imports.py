"""Import: a file of conversations, each stored as a session while the next one arrives.

A file is at most MAX_IMPORT, and only one of its conversations is in memory at a time. What was stored before
the file, the disk or the client failed stays, and the result says what it was.
"""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated, Any, Final, Protocol

from aiohttp import web
from msgspec import Meta
from msgspec.structs import replace

from chatproxy.errors import ChatError
from chatproxy.fair import FairSlots
from chatproxy.imports import chatgpt, open_webui, own
from chatproxy.imports.conversation import SENTENCES, Conversation, Fields, fields, unreadable
from chatproxy.imports.elements import MAX_BYTES, Elements
from chatproxy.store.database import size_of
from chatproxy.store.records import Failure, ImportedTurn, NewSession, Record, Session
from chatproxy.store.sessions import is_id
from chatproxy.values import folded
from chatproxy.web.api.sessions import SESSIONS
from chatproxy.web.held import HELD, LARGE, Hold
from chatproxy.web.json import MAX_IMPORT, check_is_json, json_response
from chatproxy.web.keys import STORE
from chatproxy.web.operation import operation
from chatproxy.web.security import owner
from chatproxy.web.sse import while_present


class Format(Protocol):
    """A module that reads one format."""

    def is_mine(self, found: Fields) -> bool:
        """Return whether an object is a conversation in this format."""

    def read(self, found: Fields) -> Conversation:
        """Return the conversation. Raises `invalid` and `too_large`."""


routes: Final = web.RouteTableDef()
IMPORTS: Final = web.AppKey("IMPORTS", FairSlots)
# Decoded, a conversation takes several times its size, until it is stored: one large one at a time.
ONE_LARGE: Final = web.AppKey("ONE_LARGE", asyncio.Lock)
AT_ONCE: Final = 4  # imports; one of a user
WAITING: Final = 8  # imports of other users that wait
MAX_CONVERSATIONS: Final = 20_000  # of one file
MAX_TEXT: Final = 4 * 1024 * 1024  # bytes of one message, as an answer has by default
SCANNED: Final = 16 * 1024  # bytes that are scanned at a time
LISTED: Final = 1000  # conversations that a result names
_NO_MORE: Final = bytearray()
FORMATS: Final[Mapping[str, Format]] = {"chatproxy": own, "chatgpt": chatgpt, "openwebui": open_webui}
# Errors of one conversation, after which the next one may be stored.
OF_ONE: Final = frozenset({"invalid", "too_large", "session_busy", "idempotency_conflict"})

ImportFile = Annotated[
    dict[str, Any] | list[dict[str, Any]],
    Meta(
        description="conversations.json of ChatGPT, an export of Open WebUI, or one of chatproxy. Up to"
        f" {MAX_IMPORT // 1024**2} MiB, of which a conversation has at most {MAX_BYTES // 1024**2}.",
        extra={"max_bytes": MAX_IMPORT},
    ),
]


class ImportedSession(Record, frozen=True, kw_only=True):
    """A conversation that is a session now.

    `index` is its place in the file, from 0. `known` is true if it was imported before, and not again.
    `leftOut` counts what of it was left out.
    """

    index: int
    session_id: str
    title: str | None
    message_count: int
    known: bool
    left_out: int


class RefusedConversation(Record, frozen=True, kw_only=True):
    """A conversation that cannot be imported, and why."""

    index: int
    title: str | None
    error: str
    code: str


class LeftOut(Record, frozen=True, kw_only=True):
    """Something that was left out: how often, and one sentence about it."""

    kind: str
    count: int
    message: str


class ImportResult(Record, frozen=True, kw_only=True):
    """What was imported. `sessions` and `refusals` name the first 1000; the numbers count all.

    `stopped` is why the rest of the file was not read; null if all of it was.
    """

    imported: int
    known: int
    refused: int
    sessions: Sequence[ImportedSession]
    refusals: Sequence[RefusedConversation]
    left_out: Sequence[LeftOut]
    stopped: Failure | None


def set_up(app: web.Application) -> None:
    """Add the route, and the limits of imports at a time."""
    app[ONE_LARGE] = asyncio.Lock()
    app[IMPORTS] = FairSlots(
        AT_ONCE,
        WAITING,
        slots_per_user=1,
        places_per_user=1,
        refusal=lambda: ChatError(
            "overloaded", "Other files are being imported; try again when that is done.", retry_after=30
        ),
    )
    app.add_routes(routes)


@routes.post(f"{SESSIONS}/import")
@operation(
    "importSessions",
    "Import conversations, each as a session.",
    tag="sessions",
    body=ImportFile,
    example={"chat": {"title": "Rainbows", "messages": [{"role": "user", "content": "Why are they round?"}]}},
    answers={200: ImportResult},
    errors=("shutting_down",),
)
async def import_sessions(request: web.Request) -> web.StreamResponse:
    check_is_json(request)
    if (request.content_length or 0) > MAX_IMPORT:
        raise _too_large()
    return json_response(await while_present(request, _import(request)))


async def _import(request: web.Request) -> ImportResult:
    user = owner(request)
    async with request.app[IMPORTS].slot(user), request.app[HELD].holding(request) as hold:
        return await _Import(request, hold, user).run()


class _Import:
    """One file: what has been done so far."""

    def __init__(self, request: web.Request, hold: Hold, user: str) -> None:
        self._request = request
        self._store = request.app[STORE]
        self._held = request.app[HELD]
        self._one_large = request.app[ONE_LARGE]
        self._hold = hold
        self._user = user
        self._index = 0  # of the next conversation in the file
        self._counts: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._sessions: list[ImportedSession] = []
        self._refusals: list[RefusedConversation] = []

    async def run(self) -> ImportResult:
        """Read the file. Raises what is wrong with it if nothing in it can be imported."""
        stopped: ChatError | None = None
        try:
            await self._read()
        except ChatError as error:
            stopped = error
        if not self._sessions:
            if stopped is not None:
                raise stopped
            if self._refusals:
                raise ChatError(self._refusals[0].code, self._refusals[0].error)
        return ImportResult(
            imported=self._counts["imported"],
            known=self._counts["known"],
            refused=self._counts["refused"],
            sessions=self._sessions,
            refusals=self._refusals,
            left_out=[
                LeftOut(kind=kind, count=self._left_out[kind], message=sentence)
                for kind, sentence in SENTENCES.items()
                if self._left_out[kind]
            ],
            stopped=Failure.of(stopped) if stopped else None,
        )

    async def _read(self) -> None:
        elements, received = Elements(), 0
        async for piece in self._request.content.iter_any():
            received += len(piece)
            if received > MAX_IMPORT:
                raise _too_large()
            for start in range(0, len(piece), SCANNED):
                await self._feed(elements, piece[start : start + SCANNED])
            del piece
        elements.end()

    async def _feed(self, elements: Elements, piece: bytes) -> None:
        cut, more = elements.feed(piece), True
        while more:
            async with self._held.turn():
                element = next(cut, _NO_MORE)
            more = element is not _NO_MORE
            self._count_held(elements.held + len(element or b""))
            if more:
                await self._take(element)

    def _count_held(self, size: int) -> None:
        self._hold.grow(size - self._hold.size)

    async def _take(self, element: bytearray | None) -> None:
        """Store a conversation, or note why it cannot be; None is one that is too large."""
        index, self._index = self._index, self._index + 1
        if index == MAX_CONVERSATIONS:
            raise ChatError(
                "too_large",
                f"The file has more than {MAX_CONVERSATIONS} conversations; send the rest by itself.",
            )
        title = None
        try:
            if element is None:
                raise ChatError("too_large", "This conversation is too large to be imported; leave it out.")
            async with self._one_large if len(element) > LARGE else nullcontext():
                async with self._held.turn():
                    # In a thread, as a large one takes longer than the loop may wait.
                    name, conversation = await asyncio.to_thread(_recognised, element)
                title = conversation.title
                await self._store_it(index, name, conversation, element)
        except ChatError as error:
            if error.code not in OF_ONE:
                raise
            self._counts["refused"] += 1
            if len(self._refusals) < LISTED:
                refusal = RefusedConversation(index=index, title=title, error=error.sentence, code=error.code)
                self._refusals.append(refusal)

    async def _store_it(self, index: int, name: str, conversation: Conversation, element: bytearray) -> None:
        ids = await asyncio.to_thread(_derived_ids, self._user, name, conversation.id, element)
        if name == "chatproxy" and conversation.id is not None and is_id(conversation.id):
            ids.insert(0, conversation.id)
        known = [
            session for id in ids if (session := await self._store.sessions.find(self._user, id)) is not None
        ]
        if known:
            self._note("known", index, known[0], conversation)
            return
        async with self._held.turn():
            turns = await asyncio.to_thread(_turns, conversation)
        if not turns and name != "chatproxy":
            raise unreadable("This conversation has no messages")
        turns, first, last = _timed(turns, conversation.created_at or conversation.updated_at)
        for id in ids:
            new = NewSession(
                id=id,
                title=conversation.title,
                model=conversation.model,
                system=conversation.system,
                think=conversation.think,
                options=conversation.options,
                pinned=conversation.pinned,
                created_at=conversation.created_at or first,
                updated_at=conversation.updated_at or last,
            )
            if session := await self._store.messages.import_session(self._user, new, turns):
                self._note("imported", index, session, conversation)
                self._left_out.update(conversation.left_out)
                return
        raise ChatError(
            "session_busy",
            "The session of this conversation is being deleted; import the file again in a moment. If that "
            "does not help, another user has its id; change the `id` in the file.",
        )

    def _note(self, outcome: str, index: int, session: Session, conversation: Conversation) -> None:
        self._counts[outcome] += 1
        if len(self._sessions) < LISTED:
            self._sessions.append(
                ImportedSession(
                    index=index,
                    session_id=session.id,
                    title=session.title,
                    message_count=session.message_count,
                    known=outcome == "known",
                    left_out=conversation.left_out.total() if outcome == "imported" else 0,
                )
            )


def _recognised(element: bytearray) -> tuple[str, Conversation]:
    """Return the name of a conversation's format, and the conversation. Raises `invalid` and `too_large`."""
    found = fields(element)
    for name, form in FORMATS.items():
        if form.is_mine(found):
            return name, form.read(found)
    raise unreadable("This is no conversation of ChatGPT, Open WebUI or chatproxy")


def _turns(conversation: Conversation) -> Sequence[ImportedTurn]:
    """Return the messages. Raises `invalid`, and `too_large` if one is longer than MAX_TEXT."""
    turns = []
    for turn in conversation.turns:
        if size_of(turn.content, turn.thinking) > MAX_TEXT:
            raise ChatError(
                "too_large",
                f"A message of this conversation is longer than {MAX_TEXT // 1024**2} MiB; leave it out.",
            )
        turns.append(turn)
    return turns


def _timed(
    turns: Sequence[ImportedTurn], time: str | None
) -> tuple[list[ImportedTurn], str | None, str | None]:
    """Give each message without a time that of the one before, and the first `time`.

    Return them, and the first and the last time.
    """
    timed: list[ImportedTurn] = []
    for turn in turns:
        time = turn.created_at or time
        timed.append(turn if turn.created_at else replace(turn, created_at=time))
    return timed, timed[0].created_at if timed else time, time


def _derived_ids(user: str, name: str, id: str | None, element: bytearray) -> list[str]:
    """Return the ids of the session that a conversation becomes: the same ones each time, for each user.

    The first one is the same for all forms of the user's name, so that it is found again once they are one
    user. The second one is for a user of whose name another form has the first.
    """
    what = id.encode() if id is not None else hashlib.sha256(element).digest()
    ids = []
    for whose in (folded(user), f"{user}\0"):
        digest = hashlib.blake2b(b"\0".join([whose.encode(), name.encode(), what]), digest_size=16).digest()
        ids.append(base64.urlsafe_b64encode(digest).decode().rstrip("="))
    return ids


def _too_large() -> ChatError:
    most = MAX_IMPORT // 1024**2
    return ChatError("too_large", f"The file is larger than {most} MiB; send it in parts, each an array.")
