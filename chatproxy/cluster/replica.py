"""One replica of several: who lives, what they tell each other, and what they do for each other.

Replicas share a database, and nothing else. There is no setting, and no port between them: each shows by a
row that it lives (`store/postgres/replicas`), and tells the others what they need by way of the database
(`store/postgres/bus`): the text of answers (`watching`), and places in the line (`line`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, Self, cast

from chatproxy import clock
from chatproxy.answers.answer import Answer
from chatproxy.background import background, repeat
from chatproxy.clock import Looks
from chatproxy.cluster.line import SharedQueue
from chatproxy.cluster.watching import Watching
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError
from chatproxy.generation.generation import Ending
from chatproxy.generation.queue import Queue
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.store.messages import INTERRUPTED, reconciling
from chatproxy.store.postgres.bus import ALL, Bus
from chatproxy.store.postgres.database import PostgresDatabase
from chatproxy.store.postgres.replicas import SIGN_EVERY, Look
from chatproxy.store.records import Session, StoredAnswer
from chatproxy.store.store import Store

logger: Final = logging.getLogger(__name__)

LEFT_FOR: Final = 10.0  # seconds in which what one that is gone was committing may still succeed
TAKEN_FOR_DEAD: Final = Ending(status="interrupted", error=INTERRUPTED)


class Replica:
    """This replica among all; implements `Peers`."""

    def __init__(
        self,
        database: PostgresDatabase,
        store: Store,
        registry: GenerationRegistry,
        new_queue: Callable[[], Queue],
        looks: Looks,
        heartbeat: float,
    ) -> None:
        self._all = database.replicas
        self._store = store
        self._registry = registry
        self._looks = looks
        self._me = database.replica
        self._living: Sequence[int] = []
        self._look_now = asyncio.Event()
        self._late: Sequence[int] = []  # that may be dead
        self._left_until: float | None = None  # on `clock`: until then, something may be nobody's
        self._clean_now = asyncio.Event()
        self._bus: Bus | None = None
        self.queue = SharedQueue(self._me, new_queue, self._send_of_line)
        self.watching = Watching(registry, store.messages, self, looks, heartbeat=heartbeat)
        self._ending = reconciling(self.watching.heard)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        store: Store,
        registry: GenerationRegistry,
        new_queue: Callable[[], Queue],
        looks: Looks,
        *,
        heartbeat: float,
    ) -> AsyncIterator[Self]:
        """Yield this replica as one of all, with its work for the others running.

        `heartbeat` is the seconds after which a reader is sent something. Raises StartError.
        """
        database = cast(PostgresDatabase, store.database)
        replica = cls(database, store, registry, new_queue, looks, heartbeat)
        async with AsyncExitStack() as stack:
            replica._bus = await stack.enter_async_context(database.bus(replica._heard, replica._lost))
            stack.push_async_callback(replica.watching.close)
            stack.push_async_callback(replica._leave)
            await replica._look()
            replica.send(ALL, "look", urgent=True)
            await stack.enter_async_context(background(replica._keep_looking(), name="replicas"))
            await stack.enter_async_context(background(replica._keep_clean(), name="what replicas left"))
            work = repeat(looks.next, replica._work)
            await stack.enter_async_context(background(work, name="work of a replica"))
            yield replica

    # -- as peers

    @property
    def replicas(self) -> int:
        """See `Peers`."""
        return len(self._living)

    @property
    def followed(self) -> int:
        """See `Peers`."""
        return self.watching.followed

    @property
    def subscribers(self) -> int:
        """See `Peers`."""
        return self.watching.subscribers

    def copy(self, message_id: int) -> Answer | None:
        """See `Peers`."""
        return self.watching.copy(message_id)

    async def follow(self, session: Session, stored: StoredAnswer) -> Answer | None:
        """See `Peers`."""
        if stored.replica in (None, self._me):
            return None
        return await self.watching.follow(session, stored, stored.replica)

    async def catch_up(self, message_id: int, after: Cursor) -> None:
        """See `Peers`."""
        await self.watching.catch_up(message_id, after)

    async def active(self, session_ids: Iterable[str]) -> Mapping[str, int]:
        """See `Peers`."""
        return await self._all.active(session_ids)

    async def cancel(self, session: Session, message_id: int, *, if_unwatched: bool = False) -> None:
        """See `Peers`."""
        stored = await self._store.messages.get_answer(session, message_id)
        if stored.message.status == "streaming" and stored.replica not in (None, self._me):
            await self.watching.stop(session, message_id, stored.replica, if_unwatched=if_unwatched)

    def drop_readers(self) -> None:
        """See `Peers`."""
        self.watching.drop_readers()

    def delegate(self) -> bool:
        """See `Peers`: the oldest replica does it."""
        if self._living and self._living[0] != self._me:
            self.send(self._living[0], "documents")
            return True
        return False

    # -- the bus

    def send(self, address: int, line: str, *, urgent: bool = False) -> None:
        """Send a line to a replica, or to all others."""
        if self._bus is not None:
            self._bus.send(address, line, urgent=urgent)

    def has_room(self, address: int) -> bool:
        """Return whether there is room for another line to a replica."""
        return self._bus is not None and self._bus.has_room(address)

    async def room(self, address: int) -> None:
        """Return when there is."""
        assert self._bus is not None
        await self._bus.room(address)

    def _send_of_line(self, address: int, line: str) -> None:
        self.send(address, f"line {line}", urgent=True)

    def _heard(self, sender: int, line: str) -> None:
        word, _, rest = line.partition(" ")
        try:
            match word:
                case "line":
                    self.queue.heard(sender, rest)
                    self._looks.want()  # the line moves on, also if no answer is written here
                case "look":
                    self._look_now.set()
                case "documents":
                    self._store.documents.vectors.due.set()
                case _:
                    self.watching.take(sender, word, rest)
        except (ValueError, ChatError) as error:
            logger.debug("a line of replica %d means nothing here: %s", sender, error)

    def _lost(self, sender: int | None) -> None:
        self.watching.lost(sender)
        self.queue.lost(sender)
        self._look_now.set()

    def _work(self) -> None:
        """Do what is due at each look."""
        self.watching.look()
        self.queue.tick()
        if self.queue.has_tickets:
            self._looks.want()

    # -- who lives

    async def _keep_looking(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SIGN_EVERY):
                    await self._look_now.wait()
            self._look_now.clear()
            await self._despite_faults(self._look)

    async def _keep_clean(self) -> None:
        """End what is nobody's, apart from the looks, because it may be much."""
        while True:
            await self._clean_now.wait()
            self._clean_now.clear()
            await self._despite_faults(self._clean)

    async def _despite_faults(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ChatError as error:  # the database; after the next look, it is tried again
            logger.debug("replicas could not be looked after: %s", error.sentence)
        except Exception:
            logger.exception("replicas could not be looked after by a fault of chatproxy's own")

    async def _look(self) -> None:
        if (look := await self._all.look()) is None:
            return
        if look.was_lost:
            await self._come_back()
            return
        self.queue.living(look.living)
        self._late = look.late
        if look.living != self._living:
            self._note(look)
        self.watching.living(look.living)
        if self._late or self._left_until is not None or self._store.messages.unsure:
            self._clean_now.set()

    async def _clean(self) -> None:
        await self._end_lost()
        for replica in self._late:
            if await self._all.bury(replica):
                logger.warning("replica %d is dead; its answers are ended", replica)
                self._left_until = clock.now() + LEFT_FOR
        if self._left_until is not None:
            until = self._left_until
            await self._all.end_all(self._ending)
            await self._store.sessions.give_up_left()
            self.send(ALL, "look", urgent=True)  # so that readers elsewhere are told
            self.watching.living(self._living)
            if clock.now() >= until == self._left_until:
                self._left_until = None

    async def _leave(self) -> None:
        await self._all.leave()
        self.send(ALL, "look", urgent=True)

    def _note(self, look: Look) -> None:
        gone = set(self._living) - set(look.living)
        self._living = look.living
        if look.living[0] == self._me:
            self._store.documents.vectors.due.set()
        if gone:
            self._left_until = clock.now() + LEFT_FOR
        for replica in gone:
            if self._bus is not None:
                self._bus.forget(replica)

    async def _end_lost(self) -> None:
        """End answers that nobody knows of here, as the connection broke while they were committed."""
        messages = self._store.messages
        for session_id in [*messages.unsure]:
            if self._registry.beginning(session_id) is None:
                await messages.end_lost(session_id, lambda id: self._registry.of_answer(id) is not None)

    async def _come_back(self) -> None:
        """Begin again: the others have taken this one for dead, and what it wrote has an end."""
        logger.warning("this replica was out of reach, and was taken for dead; its answers are ended")
        for generation in self._registry:
            generation.end(TAKEN_FOR_DEAD)
        await self._all.come_back(end=self._ending)
        self._look_now.set()
