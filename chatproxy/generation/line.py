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
from math import inf
from typing import Final

from chatproxy import clock
from chatproxy.fair import Turns
from chatproxy.generation.ticket import Ticket
from chatproxy.models.pace import Pace

PAUSE: Final = 0.5  # seconds, after Ollama had no room, in which it is asked for one more answer at most
DURATIONS: Final = 32  # that are remembered of a runner
STARTS: Final = 16  # that have to show less than was believed until it is believed
BELIEVED_FOR: Final = 3600.0  # seconds since several answers were produced at once
SURE: Final = 0.5  # seconds by which one request has to be sent before another to be at Ollama before it


class Experience:
    """What the last answers of a runner showed: how many it produces at once, and how long they take."""

    def __init__(self) -> None:
        self._together: deque[tuple[float, int]] = deque(maxlen=STARTS)
        self._seconds: deque[float] = deque(maxlen=DURATIONS)

    @property
    def at_once(self) -> int:
        """The number of answers that it produces at once, as far as was seen; Ollama's default is one."""
        since = clock.now() - BELIEVED_FOR
        return max([number for at, number in self._together if at > since], default=1)

    def seen_together(self, number: int) -> None:
        """Note how many were produced at once when another one had begun."""
        self._together.append((clock.now(), number))

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

    def __init__(self, parallel: int | None, most: int, experience: Experience) -> None:
        """Create an empty line; `most` is how many slots there are for all runners."""
        self.waiting: list[Ticket] = []  # without a slot, in the order of their turns
        self.running: dict[Ticket, None] = {}  # with a slot, in the order in which they got it
        self.ended: set[Ticket] = set()  # with a slot, but Ollama has nothing to do for them any more
        self._parallel = parallel
        self._most = most
        self._experience = experience
        self._turns = Turns()
        self._generating: set[Ticket] = set()
        self._has_spoken = False  # whether any text has come since the line is there, so the model is loaded
        self._is_full = False  # Ollama had no room, and has done nothing since
        self._paused_until = 0.0  # on `clock`

    def __contains__(self, ticket: Ticket) -> bool:
        return ticket in self.running or ticket in self.ended or ticket in self.waiting

    @property
    def is_empty(self) -> bool:
        """Whether it has no tickets."""
        return not (self.waiting or self.running or self.ended)

    @property
    def slots(self) -> int:
        """The number of tickets with a slot."""
        return len(self.running) + len(self.ended)

    @property
    def places(self) -> int:
        """How many answers Ollama is known to produce at once."""
        return self._parallel or self._experience.at_once

    @property
    def _free(self) -> int:
        limit = self._parallel or 2 * self.places
        return limit - len(self.running)

    @property
    def has_slot(self) -> bool:
        """Whether a ticket may have a slot: fewer requests are at Ollama than may be."""
        return self._free > 0 and clock.now() >= self._paused_until

    @property
    def queued(self) -> Sequence[Ticket]:
        """The tickets that have a position."""
        return [ticket for ticket in (*self.running, *self.waiting) if ticket.position]

    # -- who waits, and who has a slot

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait."""
        self.waiting.append(ticket)
        self._turns.enter(ticket.asker)
        self.sort()

    def admit(self) -> Ticket:
        """Give a slot to the ticket whose turn it is."""
        ticket = self.waiting.pop(0)
        ticket.had_to_wait = len(self.running) >= self.places
        self.running[ticket] = None
        self._turns.serve(ticket.asker)
        if self._is_full:
            self._paused_until = clock.now() + PAUSE
        ticket.grant()
        return ticket

    def take_back(self, ticket: Ticket) -> None:
        """Take the slot of a ticket that Ollama had no room for, and leave Ollama alone for a moment."""
        del self.running[ticket]
        ticket.has_slot = False
        ticket.was_refused, ticket.asked_at = True, inf
        self.waiting.append(ticket)
        self._turns.give_back(ticket.asker)
        self._is_full = True
        self._paused_until = clock.now() + PAUSE
        self.sort()

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket, which is one of these."""
        if ticket in self.running:
            del self.running[ticket]
            self._generating.discard(ticket)
            self._turns.give_back(ticket.asker)
        elif ticket in self.ended:
            self.ended.discard(ticket)
        else:
            self.waiting.remove(ticket)
        self._turns.leave(ticket.asker, served=False)
        self.sort()

    def sort(self) -> None:
        """Put those who wait in the order of their turns."""
        if len(self.waiting) < 2:
            return
        tickets = {ticket.number: ticket for ticket in sorted(self.waiting, key=lambda ticket: ticket.number)}
        refused = [ticket for ticket in tickets.values() if ticket.was_refused]
        refused.sort(key=lambda ticket: ticket.first_asked_at)
        order = self._turns.order(
            [(ticket.asker, number) for number, ticket in tickets.items() if not ticket.was_refused],
            [ticket.asker for ticket in self.running],
            free=self._free,
            ahead=[(ticket.asker, ticket.number) for ticket in refused],
        )
        self.waiting = [tickets[number] for number in order]

    # -- what Ollama does

    def note_text(self, ticket: Ticket) -> None:
        """Note that a ticket's text is arriving, and how many are produced at once.

        These are the ones with text, and what was surely sent before this one. If they are fewer than was
        believed, that shows something only of a ticket that could not begin at once.
        """
        self._has_spoken = True
        self._is_full, self._paused_until = False, 0.0
        if ticket not in self.running or ticket.ended:  # all of its text came at once
            return
        self._generating.add(ticket)
        together = sum(
            not other.ended and (other in self._generating or other.asked_at < ticket.asked_at - SURE)
            for other in self.running
        )
        if together >= self.places or ticket.had_to_wait:
            self._experience.seen_together(together)
            self.sort()  # there may be more slots than there were

    def note_end(self, ticket: Ticket) -> None:
        """Note that Ollama has nothing more to do for a ticket that has a slot, and how long it took."""
        del self.running[ticket]
        self._generating.discard(ticket)
        self.ended.add(ticket)
        self._is_full = False
        self._turns.give_back(ticket.asker)
        self.sort()
        if ticket.is_complete and ticket.text_at is not None and ticket.turn_at is not None:
            self._experience.took(clock.now() - self._began(ticket))

    # -- whose turn it is

    def tell(self) -> None:
        """Set the positions of all, and when it will probably be their turn."""
        asked, queued = self._order()
        for ticket in asked:
            if ticket.turn_at is None:
                ticket.take_turn(warm=self._has_spoken)
        for position, (ticket, due) in enumerate(self._estimates(asked, queued), start=1):
            ticket.wait(position, due)

    def correct(self) -> None:
        """Tell those who wait what has changed in the estimates."""
        for ticket, due in self._estimates(*self._order()):
            ticket.expect(due)

    def _order(self) -> tuple[Sequence[Ticket], Sequence[Ticket]]:
        """Return those whose turn it is, and the others in the order of their turns."""
        asked = [ticket for ticket in self.running if not ticket.ended]
        places = max(self.places, len(self._generating))  # which is more only if it is not believed any more
        tried: list[Ticket] = []  # while Ollama has no room, that is no turn
        if self._is_full:
            due = clock.now() - PAUSE
            tried = [ticket for ticket in asked if ticket.was_refused and ticket.asked_at > due]
            asked = [ticket for ticket in asked if ticket not in tried]
        if len(asked) > places:
            # Whoever has text was before the others, whatever the order was in which they were sent.
            asked.sort(key=lambda ticket: (ticket not in self._generating, ticket.asked_at))
        return asked[:places], [*asked[places:], *tried, *self.waiting]

    def _estimates(self, asked: Sequence[Ticket], queued: Sequence[Ticket]) -> Iterator[tuple[Ticket, float]]:
        """Yield each of those who wait, and when it will probably be its turn, on `clock`."""
        if not queued:
            return
        now, places = clock.now(), min(self.places, self._most)
        ends = [now + self._experience.left(now - self._began(ticket), ticket.pace) for ticket in asked]
        ends += [now] * min(len(self.ended), places - len(ends))
        # A place that is free all the same is somebody else's.
        ends += [now + self._experience.typical(queued[0].pace)] * (places - len(ends))
        heapify(ends)
        for ticket in queued:
            due = ends[0]
            heapreplace(ends, due + self._experience.typical(ticket.pace))
            yield ticket, due

    def _began(self, ticket: Ticket) -> float:
        """Return when the work on an answer began, on `clock`: on its prompt, after its model was loaded."""
        turn_at = clock.now() if ticket.turn_at is None else ticket.turn_at
        if ticket.was_warm:
            return turn_at
        loaded_at = turn_at + ticket.pace.load
        return loaded_at if ticket.text_at is None else min(loaded_at, ticket.text_at)
