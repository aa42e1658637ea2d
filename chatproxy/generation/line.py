"""The line of one runner: who has a slot, who waits, whose turn it is, and when the others' will be.

With a slot, a request is at Ollama, which works on a number of them at once, its `places`, and has the others
wait without a word, first come first served. So it is the turn of as many of those with a slot. All others
are told a position: first the rest of those with a slot, then those without.

When it will be their turn is estimated from how long the last answers took here, and before the first one
from what is known about the model.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import count
from typing import Final

from chatproxy import clock
from chatproxy.fair import Turns
from chatproxy.generation.ticket import Ticket
from chatproxy.models.pace import Pace

PAUSE: Final = 0.5  # seconds, after Ollama had no room, in which it is asked for one more answer at most
DURATIONS: Final = 32  # that are remembered of a runner
STARTS: Final = 16  # that have to show less than was believed until it is believed


class Experience:
    """What the last answers of a runner showed: how many it produces at once, and how long they take."""

    def __init__(self) -> None:
        self._together: deque[int] = deque(maxlen=STARTS)
        self._seconds: deque[float] = deque(maxlen=DURATIONS)

    @property
    def at_once(self) -> int:
        """The number of answers that it produces at once, as far as was seen; Ollama's default is one."""
        return max(self._together, default=1)

    def seen_together(self, number: int) -> None:
        """Note how many were produced at once although more might have been."""
        self._together.append(number)

    def took(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._seconds.append(seconds)

    def typical(self, pace: Pace) -> float:
        """Return how many seconds an answer takes, by the pace if none has ended here."""
        return sum(self._seconds) / len(self._seconds) if self._seconds else pace.answer

    def left(self, elapsed: float, pace: Pace) -> float:
        """Return how long one that has taken `elapsed` seconds will go on: as those did that took longer."""
        longer = [seconds for seconds in self._seconds or (pace.answer,) if seconds > elapsed]
        return sum(longer) / len(longer) - elapsed if longer else self.typical(pace) / 2


class Line:
    """The tickets of one runner. `parallel` is how many answers it produces at once; None: learned."""

    def __init__(self, parallel: int | None, experience: Experience) -> None:
        self.waiting: list[Ticket] = []  # without a slot, in the order of their turns
        self.running: dict[Ticket, None] = {}  # with a slot, in the order in which they got it
        self._parallel = parallel
        self._experience = experience
        self._turns = Turns()
        self._slots = count()
        self._ends = 0  # of answers
        self._generating: set[Ticket] = set()
        self._is_full = False  # Ollama had no room, and has taken none since
        self._paused_until = 0.0  # on `clock`

    @property
    def places(self) -> int:
        """How many answers Ollama is known to produce at once."""
        return self._parallel or self._experience.at_once

    @property
    def has_slot(self) -> bool:
        """Whether a ticket may have a slot: fewer requests are at Ollama than may be."""
        limit = self._parallel or 2 * self.places
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
        ticket.ends_before = self._ends
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
            if ticket.turn_at is None:
                ticket.move_to(0, 0.0)
        for position, (ticket, due) in enumerate(self._estimates(asked, queued), start=1):
            ticket.move_to(position, due)

    def correct(self) -> None:
        """Tell those who wait what has changed in the estimates."""
        for ticket, due in self._estimates(*self._order()):
            ticket.expect(due)

    def _order(self) -> tuple[Sequence[Ticket], Sequence[Ticket]]:
        """Return those whose turn it is, and the others in the order of their turns."""
        asked, places = [ticket for ticket in self.running if not ticket.ended], self.places
        if len(asked) > places:
            # Whoever has text was before the others, whatever the order was in which they were sent.
            asked.sort(key=lambda ticket: ticket not in self._generating)
        return asked[:places], [*asked[places:], *self.waiting]

    def _estimates(self, asked: Sequence[Ticket], queued: Sequence[Ticket]) -> Iterator[tuple[Ticket, float]]:
        """Yield each of those who wait, and when it will probably be its turn, on `clock`."""
        if not queued:
            return
        now = clock.now()
        ends = [now + self._left(ticket, now) for ticket in asked]
        just_freed = sum(ticket.ended for ticket in self.running)
        ends += [now] * min(just_freed, self.places - len(ends))
        # A place that is free all the same is somebody else's.
        ends += [now + self._experience.typical(queued[0].pace)] * (self.places - len(ends))
        heapify(ends)
        for ticket in queued:
            due = ends[0]
            heapreplace(ends, due + self._experience.typical(ticket.pace))
            yield ticket, due

    def _left(self, ticket: Ticket, now: float) -> float:
        """Return how many seconds it will probably take until the answer of a ticket is complete."""
        if ticket.text_at is not None:
            began = ticket.text_at
        else:
            began = (now if ticket.turn_at is None else ticket.turn_at) + ticket.pace.load
        return self._experience.left(now - began, ticket.pace)

    def note_start(self, ticket: Ticket) -> None:
        """Note that a ticket's text is arriving, and how many generate at once.

        It shows how many may if it could not begin before another one ended.
        """
        self._is_full, self._paused_until = False, 0.0
        if ticket not in self.running or ticket.ended:  # all of its text came at once
            return
        self._generating = {other for other in (*self._generating, ticket) if not other.ended}
        together = len(self._generating)
        if together >= self.places or ticket.ends_before < self._ends:
            self._experience.seen_together(together)

    def note_end(self, ticket: Ticket) -> None:
        """Note that an answer is complete, and how long it took, from its turn if the model was loaded."""
        self._ends += 1
        self._generating.discard(ticket)
        if ticket.text_at is not None:
            began = ticket.turn_at if ticket.has_waited and ticket.turn_at is not None else ticket.text_at
            self._experience.took(clock.now() - began)
