"""The line in front of Ollama that all replicas share.

The oldest living replica is its head, and has the queue (`head.Head`). Every replica, the head too, has the
tickets of the answers that it writes, and tells the head about them; the head tells it what becomes of them.
See `messages`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import count
from math import inf
from typing import Any, Final

from chatproxy import clock
from chatproxy.cluster.head import Head
from chatproxy.cluster.messages import Estimate, Standing, State, name_of, read, written
from chatproxy.errors import ChatError
from chatproxy.generation.queue import MOST_RUNNERS, Queue, Shares
from chatproxy.generation.ticket import Room, Ticket
from chatproxy.models.catalog import Runner
from chatproxy.models.pace import UNKNOWN, Pace

PATIENCE: Final = 6.0  # seconds that a new ticket waits for the head

logger: Final = logging.getLogger(__name__)


class _Own:
    """A ticket of this replica's, and what the head has said of it."""

    def __init__(self, ticket: Ticket, *, rejoins: bool) -> None:
        self.ticket = ticket
        self.rejoins = rejoins
        self.number: int | None = None  # in the queue, once it is there
        self.shares: Shares | None = None
        self.refusals = 0  # how often Ollama had no room for it
        self.grant = 0  # the number of the grant of its slot
        self.told_size = ticket.size
        self.answered: asyncio.Future[None] | None = None  # while somebody waits for the head's first word

    def state(self) -> State:
        """Return what the head is to know."""
        ticket, now = self.ticket, clock.now()
        self.told_size = ticket.size
        return State(
            id=ticket.number,
            asker=ticket.asker,
            runner=ticket.runner,
            size=ticket.size,
            room=name_of(ticket.room),
            pace=ticket.pace,
            rejoins=self.rejoins,
            number=self.number,
            shares=self.shares,
            refusals=self.refusals,
            has_slot=ticket.has_slot,
            grant=self.grant,
            waits=ticket.waits,
            was_warm=ticket.was_warm,
            turn=_since(ticket.turn_at, now),
            asked=_since(ticket.asked_at, now),
            first_asked=_since(ticket.first_asked_at, now),
            text=_since(ticket.text_at, now),
            ended=ticket.ended,
            is_complete=ticket.is_complete,
        )


class SharedQueue:
    """One replica's part of the line; for those who want tickets, a `Queue`, and the keeper of its tickets.

    Lines that it sends may be lost, if `lost` is called where they were to arrive; those to one replica
    arrive in their order. Where it is the head, it needs a `tick` every 0.3 s as long as there are tickets of
    any replica.
    """

    def __init__(self, me: int, new_queue: Callable[[], Queue], send: Callable[[int, str], None]) -> None:
        """`me` is the replica's id; `send` sends a line to another one."""
        self.idle = asyncio.Event()  # this is the head, and no replica has tickets
        self._me = me
        self._new_queue = new_queue
        self._send = send
        self._own: dict[int, _Own] = {}  # by the ticket's number, which is its id for the head
        self._ids = count(1)
        self._leader: int | None = None  # the id of the head
        self._head: Head | None = None  # if this is it
        self._estimates: dict[Runner, tuple[Estimate, float]] = {}  # and until when who comes now will wait

    # -- as a queue

    async def ticket(self, asker: str, runner: Runner, size: int, room: Room, pace: Pace = UNKNOWN) -> Ticket:
        """Return a ticket as `Queue.join` does; if this is cancelled, there is none.

        Raises `overloaded`, too, if no head answers.
        """
        own = self._add(asker, runner, size, room, pace, rejoins=False)
        own.answered = asyncio.get_running_loop().create_future()
        try:
            self._tell(own)
            if not own.answered.done():
                async with clock.timeout(PATIENCE):
                    await own.answered
            own.answered.result()
        except TimeoutError:
            own.ticket.leave()
            raise ChatError(
                "overloaded",
                "The replica that keeps the line does not answer; try again in a few seconds.",
                retry_after=5,
            ) from None
        except BaseException:
            own.ticket.leave()
            raise
        own.answered = None
        return own.ticket

    def wait(self, runner: Runner) -> float:
        """Return how many seconds it will probably take until it is the turn of who comes now; 0: unknown."""
        if self._head is not None:
            return self._head.queue.wait(runner)
        _, due = self._estimates.get(runner, (None, 0.0))
        return max(0.0, due - clock.now())

    @property
    def running(self) -> int:
        """The number of this replica's tickets with a slot."""
        return sum(own.ticket.has_slot for own in self._own.values())

    @property
    def active(self) -> int:
        """The number of those whose turn it is, until Ollama has nothing more to do for them."""
        tickets = [own.ticket for own in self._own.values()]
        return sum(ticket.has_slot and not ticket.waits and not ticket.ended for ticket in tickets)

    @property
    def queued(self) -> int:
        """The number of those that have a position, with a slot or without one."""
        return sum(own.ticket.waits for own in self._own.values())

    @property
    def eta(self) -> float:
        """Seconds until it is probably the turn of all who have a position; 0 if nobody has."""
        return max((own.ticket.eta for own in self._own.values()), default=0.0)

    # -- as the keeper of tickets

    def rejoin(self, asker: str, runner: Runner, size: int, room: Room, pace: Pace) -> Ticket:
        """Return a ticket at once, whatever the room has left.

        If there is no place, this raises `overloaded`, or the ticket's `wait_for_slot` does once it is known.
        """
        own = self._add(asker, runner, size, room, pace, rejoins=True)
        self._tell(own)
        if own.ticket.failure is not None:
            raise own.ticket.failure
        return own.ticket

    def note_asked(self, ticket: Ticket) -> None:
        """Note that a ticket's request is sent."""
        self._note(ticket)

    def note_text(self, ticket: Ticket) -> None:
        """Note that a ticket's text is arriving."""
        self._note(ticket)

    def note_end(self, ticket: Ticket) -> None:
        """Note that Ollama has nothing more to do for a ticket."""
        self._note(ticket)

    def take_back(self, ticket: Ticket) -> None:
        """Take the slot of a ticket that Ollama had no room for."""
        own = self._own.get(ticket.number)
        if own is not None and ticket.has_slot:
            own.refusals += 1  # so that what the head has said by now gives it no slot
            ticket.has_slot, ticket.was_refused, ticket.asked_at = False, True, inf
            self._tell(own)
            if not ticket.has_slot:
                ticket.wait()

    def settle(self, ticket: Ticket) -> None:
        """Give a ticket the place that it has now, if that is known here."""
        if self._head is not None and (place := self._head.place(ticket.number)) is not None:
            ticket.stand(*place)

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket's slot or its place."""
        if self._own.pop(ticket.number, None) is not None:
            ticket.waits = False
            self._post_to_head("left", ticket.number)

    def _add(self, asker: str, runner: Runner, size: int, room: Room, pace: Pace, *, rejoins: bool) -> _Own:
        ticket = Ticket(self, next(self._ids), asker, runner, size, room, pace)
        own = self._own[ticket.number] = _Own(ticket, rejoins=rejoins)
        return own

    def _note(self, ticket: Ticket) -> None:
        if (own := self._own.get(ticket.number)) is not None:
            self._tell(own)

    def _tell(self, own: _Own) -> None:
        self._post_to_head("ticket", own.state())

    def _tell_all(self) -> None:
        for own in list(self._own.values()):
            self._tell(own)
        self._post_to_head("all", list(self._own))

    def _post_to_head(self, word: str, content: Any) -> None:
        if self._leader is not None:
            self._post(self._leader, word, content)

    # -- as one of several replicas

    @property
    def has_tickets(self) -> bool:
        """Whether there are any, of whatever replicas; known at the head alone."""
        return self._head is not None and not self._head.is_idle

    def living(self, replicas: Sequence[int]) -> None:
        """Take the ids of the living replicas, oldest first. It is called every second, and at changes."""
        if not replicas:
            return
        leader, *_ = replicas
        if self._head is not None and leader != self._me:
            self._head.retire()
            self._head = None
        is_new = leader != self._leader
        self._leader = leader
        if self._head is not None:
            self._head.live(replicas)
        elif leader == self._me:
            self._lead(replicas)
        if is_new:
            self._tell_all()
        self._note_idle()

    def _lead(self, replicas: Sequence[int]) -> None:
        queue = self._new_queue()
        for estimate, _ in self._estimates.values():
            experience = queue.experience(estimate.runner)
            experience.seen_together(estimate.at_once)
            if estimate.mean:
                experience.took(estimate.mean)
        self._head = Head(self._me, queue, replicas, self._post)

    def heard(self, sender: int, line: str) -> None:
        """Take a line that another replica has sent. One that is not understood is another version's."""
        try:
            word, content = read(line)
        except ValueError as error:
            logger.debug("a line of replica %d means nothing here: %s", sender, error)
        else:
            self._take(sender, word, content)

    def lost(self, sender: int | None) -> None:
        """Note that lines of a sender may be missing; None: of anybody."""
        if self._head is not None:
            self._head.lost(sender)
        elif sender is None or sender == self._leader:
            self._tell_all()

    def tick(self) -> None:
        """Let those advance who wait for a moment to pass, and tell others what has changed for them."""
        for own in list(self._own.values()):
            if own.ticket.size != own.told_size:
                self._tell(own)
        if self._head is not None:
            self._head.tick()
            self._note_idle()

    def _post(self, replica: int, word: str, content: Any) -> None:
        if replica == self._me:
            self._take(replica, word, content)
        else:
            self._send(replica, written(word, content))

    def _take(self, sender: int, word: str, content: Any) -> None:
        """Take a message, unless it is for the head and this is not it, or by one that is not the head."""
        if word in {"ticket", "left", "all"}:
            if self._head is not None:
                self._take_as_head(self._head, sender, word, content)
                self._note_idle()
        elif sender == self._leader:
            match word:
                case "stand":
                    self._stand(content)
                case "wait":
                    self._estimate(content)
                case "ask":
                    self._tell_all()

    def _take_as_head(self, head: Head, sender: int, word: str, content: Any) -> None:
        match word:
            case "ticket":
                own = self._own.get(content.id) if sender == self._me else None
                head.take(sender, content, None if own is None else own.ticket)
            case "left":
                head.leave(sender, content)
            case "all":
                head.take_all(sender, content)

    def _note_idle(self) -> None:
        if self._head is not None and self._head.is_idle:
            self.idle.set()
        else:
            self.idle.clear()

    def _stand(self, standing: Standing) -> None:
        """Take the head's word on a ticket."""
        own = self._own.get(standing.id)
        if own is None:  # it has left, or was refused before
            self._post_to_head("left", standing.id)
            return
        if standing.refusal is not None:
            self._refuse(own, standing.refusal.error)
            return
        own.number, own.shares, own.grant = standing.number, standing.shares, standing.grant
        if standing.refusals == own.refusals and not own.ticket.ended:
            _apply(standing, own.ticket)
        if own.answered is not None and not own.answered.done():
            own.answered.set_result(None)

    def _refuse(self, own: _Own, error: ChatError) -> None:
        del self._own[own.ticket.number]
        own.ticket.waits = False
        if own.answered is None:
            own.ticket.fail(error)
        elif not own.answered.done():
            own.answered.set_exception(error)
            own.answered.exception()  # mark as retrieved: whoever waited may be cancelled by now

    def _estimate(self, estimate: Estimate) -> None:
        self._estimates.pop(estimate.runner, None)
        self._estimates[estimate.runner] = estimate, clock.now() + estimate.wait
        while len(self._estimates) > MOST_RUNNERS:
            del self._estimates[next(iter(self._estimates))]


def _apply(standing: Standing, ticket: Ticket) -> None:
    """Let a ticket stand as the head says."""
    now = clock.now()
    if standing.has_slot and not ticket.has_slot:
        ticket.grant()
    if standing.position:
        ticket.stand(standing.position, now + standing.eta)
    if standing.turn is None:
        ticket.wait()
    elif ticket.waits:
        ticket.take_turn(warm=standing.was_warm)
        ticket.turn_at = now - standing.turn


def _since(at: float | None, now: float) -> float | None:
    """Return how many seconds ago a time on `clock` was; None if it has not come."""
    return None if at is None or at == inf else now - at
