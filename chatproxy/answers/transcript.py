"""The transcript: stored messages, with the text of answers that are still being written.

The database has an answer's text as of its last checkpoint; the memory of who writes it has all of it.
Everything that reads messages reads them here, so that no page, export or prompt shows less than the stream
does.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final, Protocol
from weakref import WeakValueDictionary

from msgspec.structs import replace

from chatproxy.answers.answer import Answer
from chatproxy.answers.peers import Peers
from chatproxy.answers.shared import SharedAnswers
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError, shutting_down
from chatproxy.fair import FairSlots
from chatproxy.store.messages import Messages
from chatproxy.store.records import HistoryMessage, Message, Session

# How much of an export is read at a time.
EXPORT_MESSAGES: Final = 200
EXPORT_BYTES: Final = 64 * 1024
# Stored answers are read one at a time, in turn among sessions: they may be long, and others wait for reads.
MAX_READS_WAITING: Final = 4096
MOMENT: Final = 1.0  # seconds for who is given the copy of another replica's answer to subscribe to it


class LiveAnswers(Protocol):
    """The answers in memory, which the registry keeps."""

    def answer(self, message_id: int) -> Answer | None:
        """Return one of `answers`."""

    def answers(self) -> Mapping[int, Answer]:
        """Return a copy, by message id: the answers being written, and those ended but not committed yet."""

    def beginning(self, session_id: str) -> asyncio.Future[Answer] | None:
        """Return the session's answer whose rows are being committed, if there is one."""


class Transcript:
    """The messages of sessions as clients see them.

    Each method gets the live answers before it reads rows, so as not to miss one that ends in between.
    """

    def __init__(self, messages: Messages, live: LiveAnswers, peers: Peers) -> None:
        self.shared = SharedAnswers()
        self._messages = messages
        self._live = live
        self._peers = peers
        self._reading: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()
        self._reads = FairSlots(
            1,
            MAX_READS_WAITING,
            slots_per_user=1,
            places_per_user=MAX_READS_WAITING,
            refusal=lambda: ChatError(
                "overloaded", "Too many answers are being read; try again in a moment.", retry_after=1
            ),
        )

    async def answer(self, session: Session, message_id: int, after: Cursor | None = None) -> Answer:
        """Return an answer to subscribe to, live or stored; raise `not_found` for anything else.

        It has the text up to the cursor `after` of who wants to read on there, unless that was lost.

        An answer whose rows are committed, but which has not started, is waited for. All who use a stored one
        at the same time get the same object. Raises `shutting_down` if a shutdown keeps it from starting.
        """
        answer = self._in_memory(session, message_id)  # no row to read: many may resume at once
        if answer is None:
            async with self._reading.setdefault((session.id, message_id), asyncio.Lock()):
                answer = self._in_memory(session, message_id) or await self._read_answer(session, message_id)
        if after is not None and not answer.ended and not answer.has(after):
            await self._peers.catch_up(message_id, after)
        return answer

    async def _read_answer(self, session: Session, message_id: int) -> Answer:
        waited = False
        while True:
            async with self._reads.slot(session.id):
                stored = await self._messages.get_answer(session, message_id)
            if answer := self._in_memory(session, message_id):
                return answer
            if stored.message.status != "streaming":
                answer = Answer(
                    stored.message,
                    stored.question_id,
                    stored.thought,
                    stored.asked,
                    swapped=stored.swapped,
                )
                self.shared.add(answer)
                return answer
            if followed := await self._peers.follow(session, stored):
                followed.expect(MOMENT)
                return followed
            if beginning := self._live.beginning(session.id):
                await asyncio.wait({beginning})
            elif waited:  # a shutdown gave up on it; the next start ends the row
                raise shutting_down("read this answer again in a moment")
            waited = True  # otherwise, it began and ended while the row was read
            if answer := self._in_memory(session, message_id):
                return answer

    def _in_memory(self, session: Session, message_id: int) -> Answer | None:
        answer = self._live.answer(message_id)
        if answer is None and (answer := self._peers.copy(message_id)) is not None:
            answer.expect(MOMENT)
        if answer is None:
            answer = self.shared.get(message_id)
            if answer is not None and not answer.ended:  # a copy that is not followed any more
                return None
        return answer if answer is not None and answer.session_id == session.id else None

    async def _as_it_is(self, session: Session, message: Message, live: Mapping[int, Answer]) -> Message:
        """Return a message that was read after `live`, with all of its text."""
        if message.status != "streaming" and message.id not in live:
            return message
        if answer := live.get(message.id) or self._peers.copy(message.id):
            return replace(answer.message, updated_at=message.updated_at)
        return await self._messages.so_far(session, message)

    async def message(self, session: Session, message_id: int) -> Message:
        """Return a message, superseded or not; raise `not_found`."""
        answer = self._live.answer(message_id)
        message = await self._messages.get(session, message_id)
        return await self._as_it_is(session, message, {} if answer is None else {message_id: answer})

    async def page(
        self, session: Session, *, limit: int, before: int | None
    ) -> tuple[list[Message], int | None]:
        """Return the last messages before that id, oldest first, and the next `before` (None: no more)."""
        live = self._live.answers()
        page, following = await self._messages.page(session, limit=limit, before=before)
        return [await self._as_it_is(session, message, live) for message in page], following

    async def versions(
        self, session: Session, owner: str, message_id: int, *, limit: int, before: int | None
    ) -> tuple[list[Message], int | None, int]:
        """Return what stood where a message stands; see `Messages.versions`."""
        live = self._live.answers()
        page, following, total = await self._messages.versions(
            session, owner, message_id, limit=limit, before=before
        )
        return [await self._as_it_is(session, message, live) for message in page], following, total

    async def conversation(self, session: Session, owner: str) -> AsyncGenerator[Message, None]:
        """Yield every message, oldest first. Few are in memory at a time; owners take turns at reading."""
        after: int | None = 0
        while after is not None:
            live = self._live.answers()
            page, after = await self._messages.page_after(
                session, owner, limit=EXPORT_MESSAGES, size=EXPORT_BYTES, after=after
            )
            page.reverse()
            while page:  # what is yielded is not kept: it may be long, and the reader slow
                yield await self._as_it_is(session, page.pop(), live)

    async def history(self, session: Session, *, limit: int, before: int | None) -> list[HistoryMessage]:
        """Return the last messages before that id, newest first; see `Messages.history`."""
        live = self._live.answers()
        page = await self._messages.history(session, limit=limit, before=before)
        return [
            replace(message, content=str(answer.content), model=answer.model)
            if (answer := live.get(message.id))
            else message
            for message in page
        ]
