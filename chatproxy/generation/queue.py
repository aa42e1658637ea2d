"""The line in front of Ollama: who waits for a slot, at which position, with a limit for each runner.

Messages of sessions and requests that are passed on stand in the same line. Those who ask for the same runner
take turns (`fair.Turns`), and so do all for the slots of all runners, `max_running`. If these are the
bottleneck, the next slot is for the runner that the asker whose turn it is over all waits for, and there for
the one at position 1. A position is the one that the turns give as things are.

Ollama produces one answer per runner at a time unless configured otherwise, and does not report the number.
So unless the number is set, each runner's limit is twice the most answers seen generating at once, but at
least two. That keeps Ollama's own queue supplied; if it produces answers in parallel, this is seen and raises
the limit. All others wait here, where their position is known. What was seen of a runner is forgotten once it
has nothing to do: Ollama may be configured otherwise by then. A remote runner has no limit of its own: Ollama
passes on at once what is for it.

None of those who ask takes all the places to wait in (`fair.has_room`) or all the bytes of a `Room`: each may
have half of those that the others leave.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, count
from typing import Final

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.fair import Turns, has_room
from chatproxy.models.catalog import Runner

SMALL: Final = 64 * 1024  # bytes; always taken, because places are few


class Room(Struct, frozen=True):
    """How many bytes a kind of ticket may hold: what is to be sent to Ollama, until its text begins."""

    most: int


PROMPTS: Final = Room(96 * 1024 * 1024)  # of messages of sessions
BODIES: Final = Room(512 * 1024 * 1024)  # of requests that are passed on


class Ticket:
    """A place in the queue, then a slot. `leave` gives up either, and is idempotent."""

    def __init__(
        self, queue: "Queue", number: int, asker: str, runner: Runner, size: int, room: Room
    ) -> None:
        self.number = number  # in the order in which tickets came
        self.asker = asker
        self.runner = runner
        self.size = size  # bytes of the room that it holds
        self.room = room
        self.position = 0  # 1 is next; 0 is not waiting
        self.ended = False  # its text is complete
        self._queue = queue
        self._is_admitted = False
        self._admission: asyncio.Future[None] | None = None  # only while it waits: tickets are many
        self._moved: Callable[[int], None] = lambda position: None

    async def wait_for_slot(self, moved: Callable[[int], None]) -> None:
        """Wait for a slot. `moved` is called with the position: now, and whenever it changes."""
        if not self._is_admitted:
            self._moved = moved
            moved(self.position)
            self._admission = asyncio.get_running_loop().create_future()
            await self._admission
            self._admission = None

    def text_started(self) -> None:
        """Report that this answer's text is arriving; the queue counts how many generate at once.

        It counts on the next turn of the loop, because another answer's end may still be read on this one.
        """
        asyncio.get_running_loop().call_soon(self._queue.add_generating, self)

    def discard_body(self) -> None:
        """Report that what was to be sent to Ollama is not needed any more."""
        self.size = 0

    def text_ended(self) -> None:
        """Report that the text is complete, so that answers that start later do not count as parallel."""
        self.ended = True

    def leave(self) -> None:
        """Give up the slot or the place."""
        self._queue.remove(self)

    def rejoin(self, runner: Runner) -> "Ticket":
        """Leave, and join the queue of another runner, whatever it holds. Raises `overloaded`."""
        self.leave()
        return self._queue.add(self.asker, runner, self.size, self.room)

    def admit(self) -> None:
        """Grant the slot. Called by the queue."""
        self.position = 0
        self._is_admitted = True
        if self._admission is not None and not self._admission.done():
            self._admission.set_result(None)

    def move_to(self, position: int) -> None:
        """Set the position. Called by the queue."""
        if position != self.position:
            self.position = position
            self._moved(position)


class Line:
    """The tickets of one runner. `parallel` is its limit; None: learned."""

    def __init__(self, parallel: int | None) -> None:
        self.waiting: list[Ticket] = []  # in the order of their turns
        self.running: set[Ticket] = set()
        self._parallel = parallel
        self._turns = Turns()
        self._generating: set[Ticket] = set()
        self._most_together = 0  # the most generating at once

    @property
    def has_slot(self) -> bool:
        """Whether fewer run than may."""
        return len(self.running) < (self._parallel or max(2, 2 * self._most_together))

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait."""
        self.waiting.append(ticket)
        self._turns.enter(ticket.asker)
        self._sort()

    def admit(self) -> Ticket:
        """Give a slot to the ticket whose turn it is."""
        ticket = self.waiting.pop(0)
        self.running.add(ticket)
        self._turns.serve(ticket.asker)
        ticket.admit()
        return ticket

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket, which is one of these."""
        had_slot = ticket in self.running
        if had_slot:
            self.running.discard(ticket)
        else:
            self.waiting.remove(ticket)
        self._generating.discard(ticket)
        self._turns.leave(ticket.asker, served=had_slot)
        self._sort()

    def _sort(self) -> None:
        before: dict[str, int] = {}
        places = {}
        for ticket in self.waiting:  # those of one asker are in the order in which they came
            own = before.get(ticket.asker, 0)
            places[ticket] = self._turns.place(ticket.asker, ticket.number, own)
            before[ticket.asker] = own + 1
        self.waiting.sort(key=places.__getitem__)

    def tell_positions(self) -> None:
        """Set the positions of all who wait."""
        for position, ticket in enumerate(self.waiting, start=1):
            ticket.move_to(position)

    def text_started(self, ticket: Ticket) -> None:
        """Count a ticket whose text is arriving; a new maximum raises a limit that is learned."""
        if ticket in self.running:
            self._generating.add(ticket)
            self._generating = {other for other in self._generating if not other.ended}
            self._most_together = max(self._most_together, len(self._generating))


class Queue:
    """The lines of all runners."""

    def __init__(self, max_running: int, max_waiting: int, parallel: int | None = None) -> None:
        """Create an empty queue; `parallel` is the limit of each runner that is not remote, None: learned."""
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._parallel = parallel
        self._lines: dict[Runner, Line] = {}  # that have tickets
        self._turns = Turns()
        self._numbers = count()

    @property
    def running(self) -> int:
        """The number of tickets with a slot."""
        return sum(len(line.running) for line in self._lines.values())

    @property
    def waiting(self) -> int:
        """The number of tickets without a slot."""
        return sum(len(line.waiting) for line in self._lines.values())

    def join(self, asker: str, runner: Runner, size: int, room: Room) -> Ticket:
        """Return a ticket with a slot if one is free, else with the place that is the asker's turn.

        It holds `size` bytes of the room. Raises `overloaded` if there is no place or no room for the asker.
        """
        held: Counter[str] = Counter()
        for other in self._tickets():
            if other.room is room:
                held[other.asker] += other.size
        left_by_others = room.most - held.total() + held[asker]
        if size > SMALL and held[asker] + size > left_by_others // 2:
            raise ChatError(
                "overloaded",
                "The requests that wait for an answer hold too much; try again in a few seconds.",
                retry_after=5,
            )
        return self.add(asker, runner, size, room)

    def add(self, asker: str, runner: Runner, size: int, room: Room) -> Ticket:
        """Return a ticket as `join` does, whatever the room has left."""
        line = self._lines.get(runner) or Line(self._max_running if runner.remote else self._parallel)
        has_to_wait = self.running >= self._max_running or not line.has_slot
        askers = [other.asker for other in self._waiting()]
        if has_to_wait and not has_room(asker, askers, self._max_waiting, per_user=self._max_waiting):
            raise ChatError(
                "overloaded",
                f"{self._max_waiting} answers are waiting already; try again in a few seconds.",
                retry_after=5,
            )
        ticket = Ticket(self, next(self._numbers), asker, runner, size, room)
        self._lines[runner] = line
        line.add(ticket)
        self._turns.enter(asker)
        self._advance(line)
        return ticket

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket, if it has not left, and let others advance."""
        line = self._lines.get(ticket.runner)
        if line is None or not (ticket in line.running or ticket in line.waiting):
            return
        self._turns.leave(ticket.asker, served=ticket in line.running)
        line.remove(ticket)
        if not (line.running or line.waiting):
            del self._lines[ticket.runner]
        self._advance(line)

    def add_generating(self, ticket: Ticket) -> None:
        """Count a ticket whose text is arriving; its runner's limit may rise."""
        line = self._lines.get(ticket.runner)
        if line is not None:
            line.text_started(ticket)
            self._advance(line)

    def _waiting(self) -> Iterator[Ticket]:
        return chain.from_iterable(line.waiting for line in self._lines.values())

    def _tickets(self) -> Iterator[Ticket]:
        return chain(self._waiting(), *(line.running for line in self._lines.values()))

    def _advance(self, changed: Line) -> None:
        """Give free slots to those whose turn it is, and all others their positions."""
        moved = {changed}
        while self.running < self._max_running:
            candidates = [
                (self._turns.place(ticket.asker, ticket.number), line)
                for line in self._lines.values()
                if line.has_slot
                for ticket in line.waiting
            ]
            if not candidates:
                break
            _, line = min(candidates)
            self._turns.serve(line.admit().asker)
            moved.add(line)
        for line in moved:
            line.tell_positions()
