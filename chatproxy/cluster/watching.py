"""Answers that one replica writes and others read: each reads it once, for all of its readers.

A replica whose readers ask for another one's answer follows it (`answers/relay`), and serves them from its
own copy. Nothing is sent of an answer that nobody follows. That an answer has ended is a row: whoever hears
of it, or hears nothing for too long, reads that. So a line that is lost costs time, and nothing else.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from chatproxy import clock
from chatproxy.answers.answer import Answer
from chatproxy.answers.relay import Followed, Relay
from chatproxy.answers.subscription import Subscription
from chatproxy.clock import Looks
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError
from chatproxy.generation.generation import CANCELLED, Generation
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.store.messages import Messages
from chatproxy.store.records import Session, StoredAnswer

logger: Final = logging.getLogger(__name__)

LEAVE_AFTER: Final = 1.0  # seconds without readers until an answer is not followed any more
SILENT: Final = 2.0  # seconds beyond a heartbeat until the row is read, and the answer is asked for again
READ_AGAIN: Final = 0.5  # seconds until a row is read again that has no end yet
STOPS_WITHIN: Final = 15.0  # seconds: those after which a dead replica's answers are ended, and some more
STOP_AGAIN: Final = 1.0  # seconds until a replica is told again to stop an answer
READY_WITHIN: Final = 8.0  # seconds for a copy to be up to date; after that, it is read as it is
CATCH_UP: Final = 1.0  # seconds for a copy to reach the place of a reader; after that, it is told `reset`


class Post(Protocol):
    """What is needed of the bus."""

    def send(self, address: int, line: str, *, urgent: bool = False) -> None:
        """Send a line to a replica."""

    def has_room(self, address: int) -> bool:
        """Return whether there is room for another line."""

    async def room(self, address: int) -> None:
        """Return when there is."""


class _Copy:
    """An answer of another replica's, as it grows here."""

    def __init__(self, session: Session, stored: StoredAnswer, ask: Callable[[Cursor], None]) -> None:
        self.session = session
        self.owner = stored.replica or 0
        self.answer = Answer(
            stored.message,
            stored.question_id,
            stored.thought,
            stored.asked,
            swapped=stored.swapped,
        )
        self.followed = Followed(self.answer, ask)
        self.waiting = 0  # for it to be up to date
        self.unread_since: float | None = None  # on `clock`
        self.looked_at = clock.now()  # when the row was read last, on `clock`
        self.row_is_due = asyncio.Event()  # the row may have the end
        self.is_over = asyncio.Event()  # ended, or not followed any more
        self.task: asyncio.Task[None] | None = None


class Watching:
    """What this replica follows, and who follows what it writes."""

    def __init__(
        self,
        registry: GenerationRegistry,
        messages: Messages,
        post: Post,
        looks: Looks,
        *,
        heartbeat: float,
    ) -> None:
        """`heartbeat` is the seconds after which a reader is sent something."""
        self._registry = registry
        self._messages = messages
        self._post = post
        self._looks = looks
        self._silence = heartbeat + SILENT
        self._copies: dict[int, _Copy] = {}  # by message
        self._relays: dict[tuple[int, int], tuple[Relay | None, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # By message: set when its owner says that it has ended.
        self._told: WeakValueDictionary[int, asyncio.Event] = WeakValueDictionary()

    @property
    def followed(self) -> int:
        """The number of answers that are followed here."""
        return len(self._copies)

    @property
    def subscribers(self) -> int:
        """The number of their readers, less the replicas that follow what is written here."""
        relays = sum(relay is not None for relay, _ in self._relays.values())
        return sum(len(copy.answer.subscribers) for copy in self._copies.values()) - relays

    def drop_readers(self) -> None:
        """Follow nothing. Readers are cut off, and go on elsewhere."""
        for copy in [*self._copies.values()]:
            self._let_go(copy)
            copy.answer.drop_subscribers()

    async def close(self) -> None:
        """Follow nothing, and let nobody follow."""
        self.drop_readers()
        for _, task in self._relays.values():
            task.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- what others write

    def copy(self, message_id: int) -> Answer | None:
        """See `Peers`. There is none before it is up to date."""
        copy = self._copies.get(message_id)
        return None if copy is None or not copy.followed.is_current else copy.answer

    def heard(self, message_id: int) -> tuple[str, str] | None:
        """Return the thinking and the content of an answer as they have grown here, if it is followed."""
        copy = self._copies.get(message_id)
        return None if copy is None else (str(copy.answer.thinking), str(copy.answer.content))

    async def follow(self, session: Session, stored: StoredAnswer, owner: int) -> Answer | None:
        """Return a copy of an answer of `owner` once it is up to date; None if there is none then."""
        message_id = stored.message.id
        copy = self._copies.get(message_id)
        if copy is None:
            line = f"follow {session.id} {message_id}"
            copy = _Copy(
                session, stored, lambda after: self._post.send(owner, f"{line} {after}", urgent=True)
            )
            self._copies[message_id] = copy
            copy.task = self._run(self._follow(copy))
            self._looks.want()
        copy.waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(READY_WITHIN):
                    await _first_of(copy.followed.wait_until_current(), copy.is_over.wait())
        finally:
            copy.waiting -= 1
        return None if copy.is_over.is_set() and not copy.answer.ended else copy.answer

    async def catch_up(self, message_id: int, after: Cursor) -> None:
        """See `Peers`. A reader who comes from elsewhere may be some milliseconds ahead of the copy."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP):
                for _ in range(2):  # the first answer may be to an earlier question of somebody else's
                    copy = self._copies.get(message_id)
                    if copy is None or copy.answer.has(after):
                        return
                    copy.followed.renew()
                    await _first_of(copy.followed.wait_until_current(), copy.is_over.wait())

    async def _follow(self, copy: _Copy) -> None:
        """Follow an answer until the row has its end. The text comes through `take`."""
        try:
            await self._follow_to_the_end(copy)
        finally:
            copy.is_over.set()  # whatever has happened, nobody waits for it

    async def _follow_to_the_end(self, copy: _Copy) -> None:
        copy.followed.ask()
        while True:
            heard_at = max(copy.followed.heard_at, copy.looked_at)
            if (patience := heard_at + self._silence - clock.now()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await copy.row_is_due.wait()
                if not copy.row_is_due.is_set():
                    continue
            copy.row_is_due.clear()
            copy.looked_at = clock.now()
            try:
                stored = await self._messages.get_answer(copy.session, copy.answer.id)
            except ChatError as error:
                if error.code == "not_found":  # deleted: readers are told so when they come again
                    self._let_go(copy)
                    copy.answer.drop_subscribers()
                    return
            else:
                if stored.message.status != "streaming":
                    copy.followed.end(stored.message, stored.thought, stored.swapped)
                    copy.answer.release()
                    self._forget(copy)
                    return
                copy.followed.ask()
            await asyncio.sleep(READ_AGAIN)

    def _let_go(self, copy: _Copy) -> None:
        self._post.send(copy.owner, f"leave {copy.answer.id}")
        self._forget(copy)

    def _forget(self, copy: _Copy) -> None:
        if self._copies.get(copy.answer.id) is copy:
            del self._copies[copy.answer.id]
        copy.is_over.set()
        if copy.task is not None and copy.task is not asyncio.current_task():
            copy.task.cancel()

    async def stop(self, session: Session, message_id: int, owner: int, *, if_unwatched: bool) -> None:
        """Have `owner` stop an answer; see `Peers.cancel`."""
        line = f"stop {session.id} {message_id} {int(if_unwatched)}"
        if if_unwatched and (copy := self._copies.get(message_id)) is not None:
            if copy.answer.watched:
                return
            self._let_go(copy)
        deadline = clock.now() + STOPS_WITHIN
        while clock.now() < deadline:
            told = self._told.setdefault(message_id, asyncio.Event())
            self._post.send(owner, line, urgent=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_AGAIN):
                    await told.wait()
            stored = await self._messages.get_answer(session, message_id)
            if stored.message.status != "streaming":
                if (copy := self._copies.get(message_id)) is not None:
                    copy.row_is_due.set()
                    await copy.is_over.wait()
                return
            if if_unwatched and told.is_set():  # somebody watches it there
                return
            if told.is_set():  # the outcome could not be committed yet
                await asyncio.sleep(STOP_AGAIN)
        raise ChatError(
            "overloaded", "The server that writes this answer cannot be reached; try again.", retry_after=1
        )

    # -- what others ask for, and tell

    def take(self, sender: int, word: str, rest: str) -> None:
        """Take a line of another replica's, after its first word; others than these are ignored."""
        match word:
            case "at":
                message_id, _, line = rest.partition(" ")
                if (copy := self._copies.get(int(message_id))) is not None and copy.owner == sender:
                    copy.followed.take(line)
                else:  # it has not heard that it is not followed any more
                    self._post.send(sender, f"leave {message_id}")
            case "end":
                if (told := self._told.pop(int(rest), None)) is not None:
                    told.set()
                if (copy := self._copies.get(int(rest))) is not None:
                    copy.row_is_due.set()
            case "follow":
                session_id, message_id, after = rest.split(" ")
                self._begin_relay(sender, session_id, int(message_id), Cursor.parse(after))
            case "leave":
                self._end_relay((sender, int(rest)))
            case "stop":
                session_id, message_id, if_unwatched = rest.split(" ")
                self._run(self._stop(sender, session_id, int(message_id), if_unwatched == "1"))

    async def _stop(self, sender: int, session_id: str, message_id: int, if_unwatched: bool) -> None:
        if (generation := await self._generation(session_id, message_id)) is not None:
            if if_unwatched:
                await generation.stop_if_unwatched()
            else:
                await generation.stop(CANCELLED)
        self._post.send(sender, f"end {message_id}", urgent=True)

    async def _generation(self, session_id: str, message_id: int) -> Generation | None:
        """Return what writes an answer here, also if it is about to begin."""
        if beginning := self._registry.beginning(session_id):
            await asyncio.wait({beginning})
        return self._registry.of_answer(message_id)

    def _begin_relay(self, sender: int, session_id: str, message_id: int, after: Cursor) -> None:
        self._end_relay((sender, message_id))
        task = self._run(self._relay(sender, session_id, message_id, after))
        self._relays[sender, message_id] = None, task

    def _end_relay(self, key: tuple[int, int]) -> None:
        relay, task = self._relays.pop(key, (None, None))
        if relay is not None:
            relay.abort()
        if task is not None:
            task.cancel()

    async def _relay(self, sender: int, session_id: str, message_id: int, after: Cursor) -> None:
        """Send an answer to a replica until it has ended, or is not followed any more."""
        key = sender, message_id
        try:
            generation = await self._generation(session_id, message_id)
            if generation is None:
                self._post.send(sender, f"end {message_id}", urgent=True)
                return
            answer = generation.answer
            relay = Relay(
                answer,
                send=lambda line: self._post.send(sender, f"at {message_id} {line}"),
                has_room=lambda: self._post.has_room(sender),
                room=lambda: self._post.room(sender),
                end=lambda: self._post.send(sender, f"end {message_id}", urgent=True),
            )
            self._relays[key] = relay, self._relays[key][1]
            subscription = Subscription(answer, relay, after)
            with answer.subscribed_by(subscription), suppress(ConnectionError):
                await subscription.run()
        finally:
            if (entry := self._relays.get(key)) is not None and entry[1] is asyncio.current_task():
                del self._relays[key]

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("an answer could not be followed by a fault of chatproxy's own", exc_info=error)

    # -- losses, and looks

    def lost(self, sender: int | None) -> None:
        """Note that lines of a replica's, or of any, may be missing."""
        for copy in self._copies.values():
            if sender in (None, copy.owner):
                copy.followed.ask()  # which says, too, that it has ended

    def living(self, replicas: Sequence[int]) -> None:
        """Note who lives: others follow nothing, and what they wrote has an end, or will have one."""
        for key in [key for key in self._relays if key[0] not in replicas]:
            self._end_relay(key)
        for copy in self._copies.values():
            if copy.owner not in replicas:
                copy.row_is_due.set()

    def look(self) -> None:
        """Let readers go who have left, and the answers that nobody reads any more."""
        for copy in [*self._copies.values()]:
            for subscriber in copy.answer.subscribers:
                if subscriber.gone:
                    subscriber.fall_behind()
            copy.followed.look()
            now = clock.now()
            if copy.answer.watched or copy.waiting:
                copy.unread_since = None
            elif copy.unread_since is None:
                copy.unread_since = now
            elif now - copy.unread_since >= LEAVE_AFTER:
                self._let_go(copy)
        if self._copies:
            self._looks.want()


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Return once one of these has."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
