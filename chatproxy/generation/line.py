"""The line of one runner: who has a slot, who waits, whose turn it is, and when the others' will be.

With a slot, a request is at Ollama, which works on a number of them at once, its `places`, and has the others
wait without a word, first come first served. So it is the turn of as many of those with a slot. All others
are told a position: first the rest of those with a slot, then those without.

When it will be their turn is estimated from how long the last answers took here, and before the first one
from what is known about the model.
"""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import chain
from math import inf
from time import monotonic
from typing import Final

from chatproxy import clock
from chatproxy.fair import Share, Turns
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
        self._together: deque[tuple[float, int]] = deque(maxlen=STARTS)  # monotonic times, and numbers
        self._seconds: deque[float] = deque(maxlen=DURATIONS)
        self._shortest_first: list[float] = []
        self._mean = 0.0

    @property
    def at_once(self) -> int:
        """The number of answers that it produces at once, as far as was seen; Ollama's default is one."""
        since = monotonic() - BELIEVED_FOR
        return max([number for at, number in self._together if at > since], default=1)

    @property
    def mean(self) -> float:
        """How many seconds the last answers took; 0 if none has ended."""
        return self._mean

    def seen_together(self, number: int) -> None:
        """Note how many were produced at once when another one had begun."""
        self._together.append((monotonic(), number))

    def took(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._seconds.append(seconds)
        self._shortest_first = sorted(self._seconds)
        self._mean = sum(self._seconds) / len(self._seconds)

    def typical(self, pace: Pace) -> float:
        """Return how many seconds an answer takes, by the pace if none has ended here."""
        return self._mean if self._seconds else pace.answer

    def left(self, elapsed: float, pace: Pace) -> float:
        """Return how long one that has taken `elapsed` seconds will go on: as those did that took longer."""
        all_of_them = self._shortest_first or [pace.answer]
        longer = all_of_them[bisect_right(all_of_them, elapsed) :]
        return sum(longer) / len(longer) - elapsed if longer else self.typical(pace) / 2


class Line:
    """The tickets of one runner. `parallel` is how many answers it produces at once; None: learned."""

    def __init__(self, parallel: int | None, most: int, experience: Experience) -> None:
        """Create an empty line; `most` is how many slots there are for all runners."""
        self.running: dict[Ticket, None] = {}  # with a slot, in the order in which they got it
        self.ended: set[Ticket] = set()  # with a slot, but Ollama has nothing to do for them any more
        self._refused: list[Ticket] = []  # without a slot, because Ollama had no room
        self._waiting: dict[str, deque[Ticket]] = {}  # the others without a slot, of each asker as they came
        self._parallel = parallel
        self._most = most
        self._experience = experience
        self._turns = Turns()
        self._generating: set[Ticket] = set()
        self._silent: dict[Ticket, None] = {}  # of those that are running: without text
        self._has_spoken = False  # whether any text has come since the line is there, so the model is loaded
        self._is_full = False  # Ollama had no room, and has done nothing since
        self._paused_until = 0.0  # on `clock`
        self._is_settled = False  # those who wait have the places that they have now

    def __contains__(self, ticket: Ticket) -> bool:
        if ticket.has_slot:
            return ticket in self.running or ticket in self.ended
        return ticket in self._refused or ticket in self._waiting.get(ticket.asker, ())

    @property
    def is_empty(self) -> bool:
        """Whether it has no tickets."""
        return not (self.running or self.ended or self._refused or self._waiting)

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
    def has_waiting(self) -> bool:
        """Whether there are tickets without a slot."""
        return bool(self._refused or self._waiting)

    @property
    def waiting(self) -> Iterator[Ticket]:
        """The tickets without a slot."""
        return chain(self._refused, *self._waiting.values())

    @property
    def heads(self) -> Iterator[Ticket]:
        """Of these, the first one of each asker, among others."""
        return chain(self._refused, (tickets[0] for tickets in self._waiting.values()))

    @property
    def queued(self) -> Sequence[Ticket]:
        """The tickets that wait for their turn, with a slot or without."""
        return [*(ticket for ticket in self._silent if ticket.waits), *self.waiting]

    @property
    def is_waking(self) -> bool:
        """Whether one was given a slot on this turn of the loop, and who waits for that does not know yet."""
        return any(ticket.is_waking for ticket in self._silent)

    # -- who waits, and who has a slot

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait."""
        self._waiting.setdefault(ticket.asker, deque()).append(ticket)
        self._turns.enter(ticket.asker)

    def adopt(self, ticket: Ticket, share: Share) -> None:
        """Take over a ticket from another line as it is, whatever the limits are."""
        self._turns.adopt(ticket.asker, share, has_slot=ticket.has_slot and not ticket.ended)
        self._is_full |= ticket.was_refused and ticket.waits
        if ticket.ended:
            self.ended.add(ticket)
        elif ticket.has_slot:
            self.running[ticket] = None
            if ticket.text_at is None:
                self._silent[ticket] = None
            else:
                self._generating.add(ticket)
                self._has_spoken = True
        elif ticket.was_refused:
            self._refused.append(ticket)
        else:
            tickets = self._waiting.setdefault(ticket.asker, deque())
            insort(tickets, ticket, key=lambda ticket: ticket.number)

    def share(self, ticket: Ticket) -> Share:
        """Return what another line needs to `adopt` a ticket besides."""
        return self._turns.share(ticket.asker)

    def admit(self) -> Ticket:
        """Give a slot to the ticket whose turn it is."""
        if self._refused:
            ticket = min(self._refused, key=_first_asked)
        else:
            ticket = min(self.heads, key=lambda ticket: self._turns.place(ticket.asker, ticket.number))
        self._withdraw(ticket)
        ticket.had_to_wait = len(self.running) >= self.places
        self.running[ticket] = self._silent[ticket] = None
        self._turns.serve(ticket.asker)
        if self._is_full:
            self._paused_until = clock.now() + PAUSE
        ticket.grant()
        return ticket

    def _withdraw(self, ticket: Ticket) -> None:
        """Take a ticket that has no slot out of the line."""
        if ticket.was_refused:
            self._refused.remove(ticket)
            return
        tickets = self._waiting[ticket.asker]
        tickets.remove(ticket)
        if not tickets:
            del self._waiting[ticket.asker]

    def take_back(self, ticket: Ticket) -> None:
        """Take the slot of a ticket that Ollama had no room for, and leave Ollama alone for a moment."""
        del self.running[ticket], self._silent[ticket]
        ticket.has_slot = False
        ticket.was_refused, ticket.asked_at = True, inf
        self._refused.append(ticket)
        ticket.wait()
        self._turns.give_back(ticket.asker)
        self._is_full = True
        self._paused_until = clock.now() + PAUSE

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket, which is one of these."""
        if ticket in self.running:
            self._stop_running(ticket)
        elif ticket in self.ended:
            self.ended.discard(ticket)
        else:
            self._withdraw(ticket)
        ticket.waits = False
        self._turns.leave(ticket.asker, served=False)

    def _stop_running(self, ticket: Ticket) -> None:
        del self.running[ticket]
        self._generating.discard(ticket)
        self._silent.pop(ticket, None)
        self._turns.give_back(ticket.asker)

    # -- what Ollama does

    def note_text(self, ticket: Ticket) -> None:
        """Note that a ticket's text is arriving, and how many are produced at once.

        These are the ones with text, and what was surely sent before this one. If they are fewer than was
        believed, that shows something only of a ticket that could not begin at once.
        """
        self._has_spoken = True
        self._is_full, self._paused_until = False, 0.0
        if ticket not in self._silent or ticket.ended:  # all of its text came at once
            return
        del self._silent[ticket]
        self._generating.add(ticket)
        if ticket.waits:
            ticket.take_turn(warm=True)
        before = ticket.asked_at - SURE
        together = sum(not other.ended for other in self._generating)
        together += sum(other.asked_at < before and not other.ended for other in self._silent)
        if together >= self.places or ticket.had_to_wait:
            self._experience.seen_together(together)

    def note_end(self, ticket: Ticket) -> None:
        """Note that Ollama has nothing more to do for a ticket that has a slot, and how long it took."""
        self._stop_running(ticket)
        self.ended.add(ticket)
        self._is_full = False
        if ticket.is_complete and ticket.text_at is not None and ticket.turn_at is not None:
            self._experience.took(clock.now() - self._began(ticket))

    # -- whose turn it is

    def tell_turns(self) -> None:
        """Tell those whose turn it is, and those whose turn it is not any more. All places may be others."""
        self._is_settled = False
        asked, others = self._silent_ones()
        for ticket in asked:
            if ticket.waits:
                ticket.take_turn(warm=self._has_spoken)
        for ticket in others:
            ticket.wait()

    def _silent_ones(self) -> tuple[Sequence[Ticket], Sequence[Ticket]]:
        """Return whose turn it is of those with a slot and without text, and the others in their order.

        Those with text were before them, whatever the order was in which they were sent.
        """
        silent = [ticket for ticket in self._silent if not ticket.ended]
        tried: list[Ticket] = []  # while Ollama has no room, that is no turn
        if self._is_full:
            due = clock.now() - PAUSE
            tried = [ticket for ticket in silent if ticket.was_refused and ticket.asked_at > due]
            silent = [ticket for ticket in silent if ticket not in tried]
        free = max(0, self.places - len(self._generating))  # there may be more than is believed any more
        if len(silent) > free:
            silent.sort(key=lambda ticket: ticket.asked_at)
        return silent[:free], [*silent[free:], *tried]

    def settle(self) -> None:
        """Give all who wait the places that they have now."""
        if self._is_settled:
            return
        self._is_settled = True
        asked, others = self._silent_ones()
        queued = [*others, *self._in_turn()]
        dues = self._dues(asked, queued)
        for position, (ticket, due) in enumerate(zip(queued, dues, strict=False), start=1):
            ticket.stand(position, due)

    def wait(self) -> float:
        """Return how many seconds it will probably take until it is the turn of one more."""
        asked, others = self._silent_ones()
        *_, last = self._dues(asked, [*others, *self.waiting])
        return last - clock.now()

    def _in_turn(self) -> Sequence[Ticket]:
        """Return those without a slot in the order of their turns."""
        refused = sorted(self._refused, key=_first_asked)
        tickets = {ticket.number: ticket for ticket in self.waiting}
        order = self._turns.order(
            {asker: [ticket.number for ticket in own] for asker, own in self._waiting.items()},
            [ticket.asker for ticket in self.running],
            free=self._free,
            ahead=[(ticket.asker, ticket.number) for ticket in refused],
        )
        return [tickets[number] for number in order]

    def _dues(self, asked: Sequence[Ticket], queued: Sequence[Ticket]) -> Iterator[float]:
        """Yield when it will probably be the turn of each who waits, on `clock`, and of one more."""
        now, places = clock.now(), min(self.places, self._most)
        producing = [*(ticket for ticket in self._generating if not ticket.ended), *asked]
        ends = [now + self._experience.left(now - self._began(ticket), ticket.pace) for ticket in producing]
        ends += [now] * min(len(self.ended), places - len(ends))
        # A place that is free all the same is somebody else's.
        free = now + self._experience.typical(queued[0].pace) if queued else now
        ends += [free] * (places - len(ends))
        heapify(ends)
        for ticket in queued:
            due = ends[0]
            heapreplace(ends, due + self._experience.typical(ticket.pace))
            yield due
        yield ends[0]

    def _began(self, ticket: Ticket) -> float:
        """Return when the work on an answer began, on `clock`: on its prompt, after its model was loaded."""
        turn_at = clock.now() if ticket.turn_at is None else ticket.turn_at
        if ticket.was_warm:
            return turn_at
        loaded_at = turn_at + ticket.pace.load
        return loaded_at if ticket.text_at is None else min(loaded_at, ticket.text_at)


def _first_asked(ticket: Ticket) -> tuple[float, int]:
    """Return what orders those that Ollama had no room for."""
    return ticket.first_asked_at, ticket.number
