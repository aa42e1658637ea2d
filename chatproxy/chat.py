"""The chat service: send a message, subscribe to an answer, cancel it, delete a session.

A send has two phases. The first one only reads: it makes the checks of docs/api.md, Sending, in their order,
and the plan. If its task is cancelled, nothing has happened. In the second one, a task of the registry's
commits the rows and starts the answer, whatever becomes of the caller.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from msgspec.structs import replace

from chatproxy.answers.answer import Answer, Sink
from chatproxy.answers.peers import Peers
from chatproxy.answers.subscription import Subscription
from chatproxy.answers.transcript import Transcript
from chatproxy.background import interruptible
from chatproxy.config import Config
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError, shutting_down
from chatproxy.generation.generation import AGAIN, CANCELLED, Generation
from chatproxy.generation.intake import Intake
from chatproxy.generation.queue import PROMPTS
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.generation.ticket import Entrance, Ticket
from chatproxy.generation.upstream import UpstreamCall
from chatproxy.models.hosts import Hosts
from chatproxy.models.pace import pace_of
from chatproxy.prompt.plan import Plan, Planner
from chatproxy.prompt.request import Send
from chatproxy.store.messages import AlreadySentError
from chatproxy.store.records import EarlierSend, Message, Session, SessionItem
from chatproxy.store.sessions import session_busy
from chatproxy.store.store import Store

CANCELS: Final = 3  # answers that are stopped, one after the other, for a session to be deleted
LAST_CHECKS: Final = 1.0  # seconds that a shutdown gives sends that are still being checked

S = TypeVar("S", bound=SessionItem)


class ChatService:
    """What can be done with sessions. A caller that has a session's record is allowed to use it."""

    def __init__(
        self,
        config: Config,
        store: Store,
        models: Hosts,
        registry: GenerationRegistry,
        queue: Entrance,
        peers: Peers,
    ) -> None:
        self.transcript = Transcript(store.messages, registry, peers)
        self.intake = Intake()
        self._config = config
        self._store = store
        self._models = models
        self._registry = registry
        self._peers = peers
        self._planner = Planner(config, store, self.transcript, models, queue.wait)
        self._queue = queue
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._checks: set[asyncio.Timeout] = set()
        self._checked = asyncio.Event()  # no send is being checked
        self._checked.set()
        self.closing = False
        self.draining = False  # no more answers are begun

    def check_begins(self, advice: str = AGAIN) -> None:
        """Raise `shutting_down` if no more answers are begun; `advice` ends its sentence."""
        if self.closing or self.draining:
            raise shutting_down(advice)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being checked, begun or written, or has a reader that has not got its end."""
        return bool(self._checks) or self._registry.is_busy or self.transcript.shared.have_readers

    async def close(self) -> None:
        """Refuse further sends, and end every answer, including those about to begin. Idempotent."""
        if not self.closing:
            self.closing = True
            deadline = asyncio.get_running_loop().time() + LAST_CHECKS
            for check in self._checks:  # it may be waiting for Ollama's list of models
                check.reschedule(deadline)
        await self._checked.wait()
        await self._registry.close()

    # -- sending

    async def accept(
        self, owner: str, session_id: str, request: Send, arrived: float, *, asker: str
    ) -> asyncio.Future[Answer]:
        """Check a message, and begin its answer, or find the one that this `clientMessageId` began earlier.

        `arrived` is the monotonic time of the request; `asker` is who waits in the queue. If this raises or
        is cancelled, nothing is stored.
        Raises the errors of docs/api.md, Sending, in that order.
        """
        if self.closing or self._is_taken(session_id):  # that there is no such session comes first
            await self._store.sessions.get(owner, session_id)
        async with self._checking(), self._exclusive(session_id):
            # Before the message is looked for: it may be the one that another replica begins to answer now.
            stored = await self._peers.active([session_id])
            opened = await self._store.sessions.open(owner, session_id, request.client_message_id)
            session = opened.session
            if opened.earlier is not None:
                found: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
                found.set_result(await self._earlier(session, request, opened.earlier))
                return found
            self.check_begins()
            if active := self._active_of(session_id, stored):
                raise session_busy(active)
            if request.follows is not None:
                following = await self._store.messages.following(session, request.follows)
                request = replace(request, replaces=following)
            plan = await self._planner.plan(owner, session, request, opened.counts)
            first, size = plan.first.model, plan.prompt.held_bytes
            ticket = await self._queue.ticket(asker, first.runner, size, PROMPTS, pace_of(first))
            return self._registry.begin(session.id, self._begin(session, request, plan, ticket, arrived))

    @staticmethod
    async def begun(accepted: asyncio.Future[Answer]) -> Answer:
        """Return the answer to a message that was accepted, once both rows are committed.

        If this raises, nothing is stored, unless the error says that something may be.
        """
        await asyncio.wait({accepted})  # the task goes on if this caller is cancelled
        if accepted.cancelled():  # by a shutdown that gave up on a slow commit, which may still succeed
            raise shutting_down("see later whether it stored this message")
        return accepted.result()

    @asynccontextmanager
    async def _checking(self) -> AsyncIterator[None]:
        """Let a shutdown set a deadline for the block. Raises `shutting_down`."""
        if self.closing:
            raise shutting_down(AGAIN)
        async with interruptible(lambda: shutting_down(AGAIN)) as deadline:
            self._checks.add(deadline)
            self._checked.clear()
            try:
                yield
            finally:
                self._checks.discard(deadline)
                if not self._checks:
                    self._checked.set()

    @asynccontextmanager
    async def _exclusive(self, session_id: str) -> AsyncIterator[None]:
        """Keep other sends and deletions out of a session, once none of its answers is about to begin."""
        async with self._locks.setdefault(session_id, asyncio.Lock()):
            if beginning := self._registry.beginning(session_id):
                await asyncio.wait({beginning})
            yield

    def _is_taken(self, session_id: str) -> bool:
        lock = self._locks.get(session_id)
        return (lock is not None and lock.locked()) or self._registry.beginning(session_id) is not None

    async def _check_idle(self, session: Session) -> None:
        """Raise `session_busy` while an answer is being written."""
        if active := await self._active(session):
            raise session_busy(active)

    async def _active(self, session: Session) -> int | None:
        """Return the id of the answer that is being written, if there is one."""
        return self._active_of(session.id, await self._peers.active([session.id]))

    def _active_of(self, session_id: str, stored: Mapping[str, int]) -> int | None:
        """Return the same as memory says or, where there may be replicas, the database.

        Others may have ended what is still written here.
        """
        if self._store.messages.is_shared:
            return stored.get(session_id)
        busy = self._registry.of_session(session_id)
        return None if busy is None else busy.answer.id

    async def _earlier(self, session: Session, request: Send, sent: EarlierSend) -> Answer:
        if sent.fingerprint != request.fingerprint:
            raise ChatError(
                "idempotency_conflict",
                "This clientMessageId was used for another message; use a new one for each message.",
            )
        return await self.transcript.answer(session, sent.answer_id)

    async def _begin(
        self, session: Session, send: Send, plan: Plan, ticket: Ticket, arrived: float
    ) -> Generation | Coroutine[Any, Any, Answer]:
        """Commit the rows; ask Ollama meanwhile, whose answer is read only after that.

        If another replica may commit the same message, it is not asked before: nothing is generated twice.
        """
        stream = None
        try:
            if ticket.has_slot and not self._store.messages.is_shared:
                ticket.asks()
                stream = self._models.client(plan.first.model).chat(plan.fitted.body)
            question, reply = await self._store.messages.begin(session, plan.turn())
        except BaseException as error:
            if stream is not None:
                stream.abort()
            ticket.leave()
            if isinstance(error, AlreadySentError):
                return self._earlier(session, send, error.earlier)
            raise
        request = plan.prompt.request
        answer = Answer(reply, question, asked=request.asked, unattended=request.unattended)
        call = UpstreamCall(
            answer,
            plan,
            ticket,
            self._models,
            stream=stream,
            max_bytes=self._config.max_answer_bytes,
        )
        return self._registry.generation(answer, call, arrived)

    # -- what is under way

    @contextmanager
    def subscribed(self, answer: Answer, sink: Sink, after: Cursor | None) -> Iterator[Subscription]:
        """Subscribe to an answer, from the cursor `after` on, while the block runs.

        The answer goes on when the subscriber leaves: a ConnectionError just ends the block. Raises
        `too_many_subscribers`.
        """
        if len(answer.subscribers) >= self._config.max_subscribers:
            raise ChatError(
                "too_many_subscribers",
                f"{self._config.max_subscribers} readers watch this answer; try again in a few seconds.",
                retry_after=5,
            )
        self.transcript.shared.add(answer)
        subscription = Subscription(answer, sink, after)
        with answer.subscribed_by(subscription), suppress(ConnectionError):
            yield subscription

    async def under_way(self, session: Session) -> Answer | None:
        """Return the answer that is being written, if there is one; wait for one that is about to begin."""
        if beginning := self._registry.beginning(session.id):
            await asyncio.wait({beginning})
        if busy := self._registry.of_session(session.id):
            return busy.answer
        if active := await self._active(session):
            answer = await self.transcript.answer(session, active)
            return None if answer.ended else answer
        return None

    async def cancel_unwatched(self, session: Session) -> None:
        """Stop the answer that is being written if all who watched it have left, unless it is unattended."""
        busy = self._registry.of_session(session.id)
        if busy is not None:
            await busy.stop_if_unwatched()
        elif active := await self._active(session):
            await self._peers.cancel(session, active, if_unwatched=True)

    async def cancel(self, session: Session, message_id: int) -> Message:
        """Stop an answer and return it with its text so far. Idempotent. Raises `not_found`."""
        answer = await self.transcript.answer(session, message_id)  # waits for one that is about to begin
        if generation := self._registry.of_answer(message_id):
            await generation.stop(CANCELLED)
        elif not answer.ended:
            await self._peers.cancel(session, message_id)
        return await self.transcript.message(session, message_id)

    async def delete_message(self, session: Session, message_id: int) -> None:
        """Delete a message and its versions from a conversation. Raises `not_found` and `session_busy`."""
        async with self._exclusive(session.id):
            await self._check_idle(session)
            await self._store.messages.delete(session, message_id)

    async def with_activity(self, session: S) -> S:
        """Return the session with the id of the answer being written, if there is one."""
        (session,) = await self.with_activities([session])
        return session

    async def with_activities(self, sessions: Sequence[S]) -> list[S]:
        """Return each session with the id of the answer being written, if there is one."""
        stored = await self._peers.active([session.id for session in sessions])
        return [
            replace(session, active_message_id=self._active_of(session.id, stored)) for session in sessions
        ]

    async def delete_session(self, session: Session) -> None:
        """Delete a session; an answer that is being written is cancelled first."""
        async with self._exclusive(session.id):
            for attempt in range(CANCELS):
                if active := await self._active(session):
                    await self.cancel(session, active)
                try:
                    await self._store.sessions.delete(session)
                except ChatError as error:
                    # Another replica may have begun an answer meanwhile.
                    if error.code != "session_busy" or attempt == CANCELS - 1:
                        raise
                else:
                    return
