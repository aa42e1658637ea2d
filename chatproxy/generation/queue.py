"""The queue in front of Ollama: first come, first served, per model, with a limit that is learned.

Ollama runs one answer of a model at a time unless configured otherwise, and reports the number nowhere. So
each model's limit is twice the most answers ever seen generating together, at least two. That keeps Ollama's
own queue supplied; parallel answers show themselves and raise the limit; all others wait here, where their
position is known. `max_running` and `max_waiting` count over all models. A model is here what Ollama runs,
whatever its name: see `KnownModel.runner`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from chatproxy.errors import ChatError


class Ticket:
    """A place in the queue, then a slot. `leave` gives up either, and may be repeated."""

    def __init__(self, queue: "Queue", model: str) -> None:
        self.model = model
        self.position = 0  # 1 is next; 0: not waiting
        self.ended = False  # its text is complete
        self._queue = queue
        self._admitted = asyncio.Event()
        self._moved: Callable[[int], None] = lambda position: None

    async def admission(self, moved: Callable[[int], None]) -> None:
        """Wait for a slot. `moved` is called with the position: now, and whenever it changes."""
        if not self._admitted.is_set():
            self._moved = moved
            moved(self.position)
            await self._admitted.wait()

    def text_started(self) -> None:
        """Report that text of this answer is arriving: the queue counts how many do so together."""
        self._queue.count_generating(self)

    def text_ended(self) -> None:
        """Report that the text is complete; what runs from now on does not run together with it."""
        self.ended = True
        self._queue.discount_generating(self)

    def leave(self) -> None:
        """Give up the slot or the place."""
        self._queue.remove(self)

    def rejoin(self, model: str) -> "Ticket":
        """Leave, and join the queue of another model. Raises `overloaded`."""
        self.leave()
        return self._queue.join(model)

    def admit(self) -> None:
        """Give it a slot; for the queue."""
        self.position = 0
        self._admitted.set()

    def move_to(self, position: int) -> None:
        """Change its position; for the queue."""
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
        self._most_together: Counter[str] = Counter()  # by model: most ever generating together

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def join(self, model: str) -> Ticket:
        """Return a ticket with a slot, if one is free, else with the last place. Raises `overloaded`."""
        ticket = Ticket(self, model)
        self._waiting.append(ticket)
        self._advance()
        if self.waiting > self._max_waiting:
            self._waiting.remove(ticket)
            raise ChatError(
                "overloaded",
                f"{self._max_waiting} answers are waiting already; try again in a few seconds.",
                retry_after=5,
            )
        return ticket

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket out, and let others advance."""
        self._running.discard(ticket)
        self._generating.discard(ticket)
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        self._advance()

    def count_generating(self, ticket: Ticket) -> None:
        """Count a ticket whose text is arriving; a new maximum raises the model's limit."""
        if ticket in self._running and not ticket.ended:
            self._generating.add(ticket)
            together = sum(other.model == ticket.model for other in self._generating)
            if together > self._most_together[ticket.model]:
                self._most_together[ticket.model] = together
                self._advance()

    def discount_generating(self, ticket: Ticket) -> None:
        """Count it no more."""
        self._generating.discard(ticket)

    def _advance(self) -> None:
        """Give free slots to those that have waited longest, and the others their positions."""
        running = Counter(ticket.model for ticket in self._running)
        still_waiting: list[Ticket] = []
        places: Counter[str] = Counter()
        for ticket in self._waiting:
            limit = max(2, 2 * self._most_together[ticket.model])
            if running.total() < self._max_running and running[ticket.model] < limit:
                running[ticket.model] += 1
                self._running.add(ticket)
                ticket.admit()
            else:
                still_waiting.append(ticket)
                places[ticket.model] += 1
                ticket.move_to(places[ticket.model])
        self._waiting = still_waiting
