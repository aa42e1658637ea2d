"""A message on its way in: the checks in their order, the two rows, the answer that begins.

And the ways back to what was said: attach, resume, cancel, read. What the store has is completed here
with what only memory knows: the text of an answer that is being produced.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final
from weakref import WeakValueDictionary

from msgspec.structs import replace

from chatproxy.answers.answer import Answer
from chatproxy.answers.subscription import Sink, Subscription
from chatproxy.config import Config
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError, shutting_down
from chatproxy.generation.generation import AGAIN, CANCELLED, SHUTDOWN, Generation
from chatproxy.generation.queue import Queue
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.generation.upstream import UpstreamCall
from chatproxy.models.catalog import Models
from chatproxy.ollama.client import Ollama
from chatproxy.prompt.planner import Planner
from chatproxy.prompt.request import SendRequest
from chatproxy.store.records import Message, Session
from chatproxy.store.store import Store

PAGE: Final = 200  # messages read at once
LAST_SENDS: Final = 1.0  # seconds that a shutdown waits for messages that are still being checked


class ChatService:
    def __init__(
        self, config: Config, store: Store, ollama: Ollama, models: Models, generations: GenerationRegistry
    ) -> None:
        self._config = config
        self._store = store
        self._ollama = ollama
        self._models = models
        self._generations = generations
        self._planner = Planner(config, store, models, generations)
        self._queue = Queue(config.max_concurrent_generations, config.max_queued_generations)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._sends: set[asyncio.Task[Answer]] = set()
        self._storing: set[asyncio.Task[Answer]] = set()  # those whose rows are being committed
        self.closing = False

    def _lock(self, session_id: str) -> asyncio.Lock:
        """Held while a session's next message is checked and stored, so that no two begin at once."""
        return self._locks.setdefault(session_id, asyncio.Lock())

    async def close(self) -> None:
        """Takes no more messages, and ends every answer, also one whose rows are being committed. May be
        repeated."""
        self.closing = True
        if self._sends:
            await asyncio.wait(self._sends, timeout=LAST_SENDS)
            for send in self._sends - self._storing:  # for an Ollama that does not say which models it has
                send.cancel()
        await self._generations.stop_all(self._storing)
        for send in self._storing:  # for a database that does not answer in time
            send.cancel()

    # -- sending

    async def send(self, owner: str, session_id: str, request: SendRequest, arrived: float) -> Answer:
        """The answer that begins, or the one that this `clientMessageId` began before. `arrived` is a
        monotonic time. When it returns, both rows are committed; when it raises, nothing is stored,
        or it says so.

        All of it is one task: a caller who is cancelled in the middle does not undo it."""
        refusal = shutting_down(AGAIN)
        if self.closing:
            raise refusal
        send = asyncio.create_task(self._send(owner, session_id, request, arrived))
        self._sends.add(send)
        send.add_done_callback(self._sent)
        try:
            return await asyncio.shield(send)
        except asyncio.CancelledError:
            if send.cancelled():  # by `close`, and not this caller
                raise refusal from None
            raise

    def _sent(self, send: asyncio.Task[Answer]) -> None:
        self._sends.discard(send)
        self._storing.discard(send)
        if not send.cancelled():
            send.exception()  # told to the caller, if there still is one

    async def _send(self, owner: str, session_id: str, request: SendRequest, arrived: float) -> Answer:
        async with self._lock(session_id):
            session = await self._store.get_session(owner, session_id)
            earlier = await self._earlier(owner, session_id, request)
            return earlier or await self._begin(owner, session, request, arrived)

    async def _earlier(self, owner: str, session_id: str, request: SendRequest) -> Answer | None:
        if request.client_message_id is None:
            return None
        sent = await self._store.find_send(owner, session_id, request.client_message_id)
        if sent is None:
            return None
        if sent.fingerprint != request.fingerprint():
            raise ChatError(
                "idempotency_conflict",
                "This clientMessageId was used for another message; use a new one for each message.",
            )
        return await self.answer(owner, session_id, sent.answer_id)

    async def _begin(self, owner: str, session: Session, request: SendRequest, arrived: float) -> Answer:
        if busy := self._generations.in_session(session.id):
            raise ChatError(
                "session_busy",
                "This session's last message is still being answered; wait for that, or cancel it.",
                activeMessageId=busy.answer.id,
            )
        plan = await self._planner.plan(owner, session, request)
        ticket = self._queue.join(plan.first.model.runner)
        task = asyncio.current_task()
        assert task is not None
        self._storing.add(task)
        try:
            question, reply = await self._store.begin_answer(owner, session.id, plan.question())
        except BaseException as error:
            ticket.leave()
            if isinstance(error, asyncio.CancelledError):  # by `close`; the commit may still come
                raise shutting_down("see later whether it stored this message") from None
            raise
        answer = Answer(reply, question.id)
        generation = self._generations.start(
            answer, UpstreamCall(answer, plan, ticket, self._ollama, self._models), arrived=arrived
        )
        if self.closing:
            generation.end(SHUTDOWN)
        return answer

    # -- coming back to what was said

    async def answer(self, owner: str, session_id: str, message_id: int) -> Answer:
        """An answer to watch: the one being produced, or a stored one."""
        while True:
            live = self._generations.now()
            message, question_id = await self._store.get_answer(owner, session_id, message_id)
            if generation := live.get(message_id) or self._generations.now().get(message_id):
                return generation.answer
            if message.status != "streaming":
                return Answer(message, question_id)
            await asyncio.sleep(0.01)  # its rows are committed, its generation starts with the next turn

    @contextmanager
    def subscribed(self, answer: Answer, sink: Sink, after: Cursor | None) -> Iterator[Subscription]:
        """A reader of the answer from that place on; when it leaves, the answer goes on without. Raises
        `too_many_subscribers`."""
        if answer.outcome is None and len(answer.readers) >= self._config.max_subscribers:
            raise ChatError(
                "too_many_subscribers",
                f"{self._config.max_subscribers} readers watch this answer; read it when it has ended.",
                retry_after=5,
            )
        reader = Subscription(answer, sink, after)
        answer.readers.add(reader)
        try:
            with suppress(ConnectionError):
                yield reader
        finally:
            answer.readers.discard(reader)

    async def cancel(self, owner: str, session_id: str, message_id: int) -> Message:
        """The answer as it stands when nothing is appended to it any more. May be repeated."""
        await self.answer(owner, session_id, message_id)  # also one that is about to begin
        if generation := self._generations.now().get(message_id):
            await generation.stop(CANCELLED)
        return await self.message(owner, session_id, message_id)

    async def message(self, owner: str, session_id: str, message_id: int) -> Message:
        live = self._generations.now()
        return _as_it_stands(await self._store.get_message(owner, session_id, message_id), live)

    async def messages(
        self, owner: str, session_id: str, *, limit: int, before: int | None
    ) -> tuple[list[Message], int | None]:
        live = self._generations.now()
        page, following = await self._store.list_messages(owner, session_id, limit=limit, before=before)
        return [_as_it_stands(message, live) for message in page], following

    async def all_messages(self, owner: str, session_id: str) -> AsyncGenerator[list[Message], None]:
        """The whole conversation, oldest first, a page at a time."""
        after: int | None = 0
        while after is not None:
            live = self._generations.now()
            page, after = await self._store.messages_after(owner, session_id, after=after, limit=PAGE)
            yield [_as_it_stands(message, live) for message in page]

    def with_activity(self, session: Session) -> Session:
        busy = self._generations.in_session(session.id)
        return session if busy is None else replace(session, active_message_id=busy.answer.id)

    async def delete_session(self, owner: str, session_id: str) -> None:
        async with self._lock(session_id):
            await self._store.get_session(owner, session_id)
            if busy := self._generations.in_session(session_id):
                await busy.stop(CANCELLED)
            await self._store.delete_session(owner, session_id)


def _as_it_stands(message: Message, live: Mapping[int, Generation]) -> Message:
    """`live` from before the message was read: an answer that ended meanwhile is not missed."""
    generation = live.get(message.id)
    if generation is None:
        return message
    return replace(generation.answer.message, updated_at=message.updated_at)
