"""The queue in front of Ollama: first come, first served, per model, with a limit that is learned.

Ollama produces one answer per model at a time unless configured otherwise, and does not report the number. So
each model's limit is twice the most answers seen generating at once, but at least two. That keeps Ollama's
own queue supplied; if it produces answers in parallel, this is seen and raises the limit. All others wait
here, where their position is known. What was seen of a model is forgotten once it has nothing to do: Ollama
may be configured otherwise by then. `max_running` and `max_waiting` apply to all models together. Names that
share a runner in Ollama (`KnownModel.runner`) count as one model.

The order is the same for all who ask, but none of them takes all the places (`fair.has_room`) or all the
bytes of a `Room`: each may have half of those that the others leave.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.fair import has_room
from chatproxy.models.catalog import Runner

SMALL: Final = 64 * 1024  # bytes; always taken, because places are few


class Room(Struct, frozen=True):
    """How many bytes a kind of ticket may hold: what is to be sent to Ollama, until its text begins."""

    most: int


PROMPTS: Final = Room(96 * 1024 * 1024)  # of messages of sessions
BODIES: Final = Room(512 * 1024 * 1024)  # of requests that are passed on


class Ticket:
    """A place in the queue, then a slot. `leave` gives up either, and is idempotent."""

    def __init__(self, queue: "Queue", asker: str, runner: Runner, size: int, room: Room) -> None:
        self.asker = asker
        self.runner = runner
        self.size = size  # bytes of the room that it holds
        self.room = room
        self.position = 0  # 1 is next; 0 is not waiting
        self.ended = False  # its text is complete
        self._queue = queue
        self._admitted = asyncio.Event()
        self._moved: Callable[[int], None] = lambda position: None

    async def wait_for_slot(self, moved: Callable[[int], None]) -> None:
        """Wait for a slot. `moved` is called with the position: now, and whenever it changes."""
        if not self._admitted.is_set():
            self._moved = moved
            moved(self.position)
            await self._admitted.wait()

    def text_started(self) -> None:
        """Report that this answer's text is arriving; the queue counts how many generate at once."""
        self._queue.add_generating(self)

    def discard_body(self) -> None:
        """Report that what was to be sent to Ollama is not needed any more."""
        self.size = 0

    def text_ended(self) -> None:
        """Report that the text is complete, so that answers that start later do not count as parallel."""
        self.ended = True
        self._queue.discard_generating(self)

    def leave(self) -> None:
        """Give up the slot or the place."""
        self._queue.remove(self)

    def rejoin(self, runner: Runner) -> "Ticket":
        """Leave, and join the queue of another runner. Raises `overloaded`."""
        self.leave()
        return self._queue.add(Ticket(self._queue, self.asker, runner, self.size, self.room))

    def admit(self) -> None:
        """Grant the slot. Called by the queue."""
        self.position = 0
        self._admitted.set()

    def move_to(self, position: int) -> None:
        """Set the position. Called by the queue."""
        if position != self.position:
            self.position = position
            self._moved(position)


class Queue:
    """The tickets of all answers."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._waiting: list[Ticket] = []
        self._running: set[Ticket] = set()
        self._generating: set[Ticket] = set()
        self._most_together: Counter[Runner] = Counter()  # by runner: the most generating at once

    @property
    def waiting(self) -> int:
        """The number of tickets without a slot."""
        return len(self._waiting)

    def join(self, asker: str, runner: Runner, size: int, room: Room) -> Ticket:
        """Return a ticket with a slot if one is free, else with the last place.

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
        return self.add(Ticket(self, asker, runner, size, room))

    def add(self, ticket: Ticket) -> Ticket:
        """Return a ticket as `join` does, whatever it holds."""
        askers = [other.asker for other in self._waiting]
        self._waiting.append(ticket)
        self._advance()
        if ticket in self._waiting and not has_room(
            ticket.asker, askers, self._max_waiting, per_user=self._max_waiting
        ):
            self._waiting.remove(ticket)
            raise ChatError(
                "overloaded",
                f"{self._max_waiting} answers are waiting already; try again in a few seconds.",
                retry_after=5,
            )
        return ticket

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket, and let others advance."""
        self._running.discard(ticket)
        self._generating.discard(ticket)
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        if all(other.runner != ticket.runner for other in self._tickets()):
            self._most_together.pop(ticket.runner, None)
        self._advance()

    def _tickets(self) -> Iterator[Ticket]:
        return chain(self._waiting, self._running)

    def add_generating(self, ticket: Ticket) -> None:
        """Count a ticket whose text is arriving; a new maximum raises the runner's limit."""
        if ticket in self._running and not ticket.ended:
            self._generating.add(ticket)
            together = sum(other.runner == ticket.runner for other in self._generating)
            if together > self._most_together[ticket.runner]:
                self._most_together[ticket.runner] = together
                self._advance()

    def discard_generating(self, ticket: Ticket) -> None:
        """Stop counting a ticket."""
        self._generating.discard(ticket)

    def _advance(self) -> None:
        """Give free slots to the tickets that have waited longest, and the others their positions."""
        running = Counter(ticket.runner for ticket in self._running)
        still_waiting: list[Ticket] = []
        places: Counter[Runner] = Counter()
        for ticket in self._waiting:
            limit = max(2, 2 * self._most_together[ticket.runner])
            if running.total() < self._max_running and running[ticket.runner] < limit:
                running[ticket.runner] += 1
                self._running.add(ticket)
                ticket.admit()
            else:
                still_waiting.append(ticket)
                places[ticket.runner] += 1
                ticket.move_to(places[ticket.runner])
        self._waiting = still_waiting
