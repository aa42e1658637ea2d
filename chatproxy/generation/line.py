"""The line of one runner: who has a slot, who waits, whose turn it is, and when the others' will be.

With a slot, a request is at Ollama, which works on a number of them at once, its `places`, and has the others
wait without a word, first come first served. So it is the turn of as many of those with a slot. All others
are told a position: first the rest of those with a slot, then those without.

When it will be their turn is estimated from how long the last answers took here, and before the first one
from what is known about the model.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import count
from typing import Final, Protocol

from msgspec import Struct

from chatproxy import clock
from chatproxy.fair import Turns
from chatproxy.models.catalog import Runner
from chatproxy.models.pace import Pace

PAUSE: Final = 0.5  # seconds, after Ollama had no room, in which it is asked for one more answer at most
REMEMBERED: Final = 32  # answers whose duration is known
DRIFT: Final = 0.25  # of the time that was told, by which a new estimate has to differ to be told
LEAST_DRIFT: Final = 2.0  # seconds


class Room(Struct, frozen=True):
    """How many bytes a kind of ticket may hold: what is to be sent to Ollama, until its text begins."""

    most: int


class Keeper(Protocol):
    """What a ticket needs of the `Queue`."""

    def add(self, asker: str, runner: Runner, size: int, room: Room, pace: Pace) -> "Ticket":
        """Return a ticket for another runner."""

    def note_start(self, ticket: "Ticket") -> None:
        """Note that its text is arriving."""

    def note_end(self, ticket: "Ticket") -> None:
        """Note that its text is complete."""

    def take_back(self, ticket: "Ticket") -> None:
        """Take its slot."""

    def remove(self, ticket: "Ticket") -> None:
        """Take its slot or its place."""


class Ticket:
    """A place in the queue, then a slot. `leave` gives up either, and is idempotent.

    `position` is how many have to begin before it is its turn, itself included; 0 from then on. With a slot,
    it is the turn of as many as Ollama is known to produce answers for at once.
    """

    def __init__(
        self, keeper: Keeper, number: int, asker: str, runner: Runner, size: int, room: Room, pace: Pace
    ) -> None:
        self.number = number  # in the order in which tickets came
        self.asker = asker
        self.runner = runner
        self.size = size  # bytes of the room that it holds
        self.room = room
        self.pace = pace  # of its model, as far as is known
        self.position = 0
        self.due = 0.0  # while it has a position: when it will probably be its turn, on `clock`
        self.turn_at: float | None = None  # since when it is its turn, on `clock`
        self.text_at: float | None = None  # since when its text arrives
        self.has_waited = False  # for others, so that the model was loaded when it was its turn
        self.ended = False  # its text is complete
        self.slot_number: int | None = None  # in the order in which slots were given, from the first one on
        self.has_slot = False
        self._keeper = keeper
        self._granted: asyncio.Future[None] | None = None  # only while it waits: tickets are many
        self._moved: Callable[[], None] = lambda: None

    @property
    def eta_ms(self) -> int:
        """How long it will probably take until it is its turn."""
        return max(0, round((self.due - clock.now()) * 1000))

    def follow(self, moved: Callable[[], None]) -> None:
        """Have `moved` called whenever the position changes, or what is expected of it."""
        self._moved = moved

    async def wait_for_slot(self) -> None:
        """Wait for a slot."""
        if not self.has_slot:
            self._granted = asyncio.get_running_loop().create_future()
            await self._granted
            self._granted = None

    def text_started(self) -> None:
        """Report that this answer's text is arriving; the queue counts how many generate at once.

        It counts on the next turn of the loop, because another answer's end may still be read on this one.
        """
        self.text_at = clock.now()
        asyncio.get_running_loop().call_soon(self._keeper.note_start, self)

    def discard_body(self) -> None:
        """Report that what was to be sent to Ollama is not needed any more."""
        self.size = 0

    def text_ended(self) -> None:
        """Report that Ollama has done its work: the next one's turn comes before the slot is given up."""
        if not self.ended:
            self.ended = True
            asyncio.get_running_loop().call_soon(self._keeper.note_end, self)

    def refused(self) -> None:
        """Report that Ollama had no room for the request. It waits for a slot again, before all others."""
        self._keeper.take_back(self)

    def leave(self) -> None:
        """Give up the slot or the place."""
        self._keeper.remove(self)

    def rejoin(self, runner: Runner, pace: Pace) -> "Ticket":
        """Leave, and join the queue of another runner, whatever it holds. Raises `overloaded`."""
        self.leave()
        return self._keeper.add(self.asker, runner, self.size, self.room, pace)

    def grant(self, slot_number: int) -> None:
        """Give it a slot. Called by the line."""
        self.has_slot = True
        if self.slot_number is None:
            self.slot_number = slot_number
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(None)

    def move_to(self, position: int, due: float) -> None:
        """Set the position, and when it will probably be its turn. Called by the line."""
        if position:
            self.turn_at = None
            self.has_waited = True
        elif self.turn_at is None:
            self.turn_at = clock.now()
        if position != self.position:
            self.position = position
            self.due = due
            self._moved()

    def expect(self, due: float) -> None:
        """Correct when it will probably be its turn, if the difference matters. Called by the line."""
        if abs(due - self.due) > max(LEAST_DRIFT, DRIFT * (self.due - clock.now())):
            self.due = due
            self._moved()


class Durations:
    """How long the last answers of a runner took, in seconds."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, seconds: float) -> None:
        """Note one that has ended."""
        self._last.append(seconds)

    def typical(self, pace: Pace) -> float:
        """Return how long one takes, by the pace if none has ended here."""
        return sum(self._last) / len(self._last) if self._last else pace.answer

    def left(self, elapsed: float, pace: Pace) -> float:
        """Return how long one that has taken `elapsed` seconds will go on: as those did that took longer."""
        longer = [seconds for seconds in self._last or (self.typical(pace),) if seconds > elapsed]
        return sum(longer) / len(longer) - elapsed if longer else self.typical(pace) / 2


class Line:
    """The tickets of one runner. `parallel` is how many answers it produces at once; None: learned."""

    def __init__(self, parallel: int | None, durations: Durations) -> None:
        self.waiting: list[Ticket] = []  # without a slot, in the order of their turns
        self.running: dict[Ticket, None] = {}  # with a slot, in the order in which they got it
        self._parallel = parallel
        self._durations = durations
        self._turns = Turns()
        self._slots = count()
        self._generating: set[Ticket] = set()
        self._most_together = 0  # the most generating at once
        self._is_full = False  # Ollama had no room, and has taken none since
        self._paused_until = 0.0  # on `clock`

    @property
    def places(self) -> int:
        """How many answers Ollama is known to produce at once."""
        return self._parallel or max(1, self._most_together)

    @property
    def has_slot(self) -> bool:
        """Whether a ticket may have a slot: fewer requests are at Ollama than may be."""
        limit = self._parallel or max(2, 2 * self._most_together)
        return sum(not ticket.ended for ticket in self.running) < limit and clock.now() >= self._paused_until

    @property
    def has_queued(self) -> bool:
        """Whether anybody has a position."""
        return bool(self.waiting) or any(ticket.position for ticket in self.running)

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait."""
        self.waiting.append(ticket)
        self._turns.enter(ticket.asker)
        self._sort()

    def admit(self) -> Ticket:
        """Give a slot to the ticket whose turn it is."""
        ticket = self.waiting.pop(0)
        self.running[ticket] = None
        self._turns.serve(ticket.asker)
        if self._is_full:
            self._paused_until = clock.now() + PAUSE
        ticket.grant(next(self._slots))
        return ticket

    def take_back(self, ticket: Ticket) -> None:
        """Take the slot of a ticket that Ollama had no room for, and leave Ollama alone for a moment."""
        del self.running[ticket]
        ticket.has_slot = False
        self.waiting.append(ticket)
        self._turns.give_back(ticket.asker)
        self._is_full = True
        self._paused_until = clock.now() + PAUSE
        self._sort()

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket, which is one of these."""
        had_slot = ticket in self.running
        if had_slot:
            del self.running[ticket]
        else:
            self.waiting.remove(ticket)
        self._generating.discard(ticket)
        self._turns.leave(ticket.asker, served=had_slot)
        self._sort()

    def _sort(self) -> None:
        before: dict[str, int] = {}
        places: dict[Ticket, tuple[int, ...]] = {}
        self.waiting.sort(key=lambda ticket: ticket.slot_number is None)
        for ticket in self.waiting:  # those of one asker are in the order in which they came
            own = before.get(ticket.asker, 0)
            if ticket.slot_number is None:
                places[ticket] = (1, *self._turns.place(ticket.asker, ticket.number, own))
            else:  # it had a slot
                places[ticket] = (0, ticket.slot_number)
            before[ticket.asker] = own + 1
        self.waiting.sort(key=places.__getitem__)

    def tell(self) -> None:
        """Set the positions of all, and when it will probably be their turn."""
        asked, queued = self._order()
        for ticket in asked:
            ticket.move_to(0, 0.0)
        for position, (ticket, due) in enumerate(self._estimates(asked, queued), start=1):
            ticket.move_to(position, due)

    def correct(self) -> None:
        """Tell those who wait what has changed in the estimates."""
        for ticket, due in self._estimates(*self._order()):
            ticket.expect(due)

    def _order(self) -> tuple[Sequence[Ticket], Sequence[Ticket]]:
        """Return those whose turn it is, and the others in the order of their turns."""
        # Whoever has text was before the others, whatever the order was in which they were sent.
        asked = sorted(
            (ticket for ticket in self.running if not ticket.ended),
            key=lambda ticket: ticket not in self._generating,
        )
        return asked[: self.places], [*asked[self.places :], *self.waiting]

    def _estimates(self, asked: Sequence[Ticket], queued: Sequence[Ticket]) -> Iterator[tuple[Ticket, float]]:
        """Yield each of those who wait, and when it will probably be its turn, on `clock`."""
        if not queued:
            return
        now = clock.now()
        ends = [now + self._left(ticket, now) for ticket in asked]
        ends += [now] * sum(ticket.ended for ticket in self.running)
        # A place that is free all the same is somebody else's.
        ends += [now + self._durations.typical(queued[0].pace)] * (self.places - len(ends))
        heapify(ends)
        for ticket in queued:
            due = ends[0]
            heapreplace(ends, due + self._durations.typical(ticket.pace))
            yield ticket, due

    def _left(self, ticket: Ticket, now: float) -> float:
        """Return how many seconds it will probably take until the answer of a ticket is complete."""
        if ticket.text_at is not None:
            began = ticket.text_at
        else:
            began = (now if ticket.turn_at is None else ticket.turn_at) + ticket.pace.load
        return self._durations.left(now - began, ticket.pace)

    def note_start(self, ticket: Ticket) -> None:
        """Count a ticket whose text is arriving; a new maximum raises a limit that is learned."""
        if ticket in self.running:
            self._is_full, self._paused_until = False, 0.0
            self._generating.add(ticket)
            self._generating = {other for other in self._generating if not other.ended}
            self._most_together = max(self._most_together, len(self._generating))

    def note_end(self, ticket: Ticket) -> None:
        """Note how long an answer took, from its turn if the model was loaded by then."""
        self._generating.discard(ticket)
        if ticket.text_at is not None:
            began = ticket.turn_at if ticket.has_waited and ticket.turn_at is not None else ticket.text_at
            self._durations.add(clock.now() - began)
