"""The line in front of Ollama: first come, first served, per model, with a limit that is learned.

Ollama runs one answer of a model at a time unless told otherwise, and says nowhere how many. So each
model's limit is twice what was ever seen generating together, at least two: Ollama's own pipe stays
full, what runs in parallel shows itself and lifts the limit, and the rest waits here, where a place
in the line can be told. `max_running` and `max_waiting` count over all models. A model is here what
Ollama runs, whatever its name: see `KnownModel.runner`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from chatproxy.errors import ChatError


class Ticket:
    """A place in the line, then a slot. Given back with `leave`, from either, as often as one likes."""

    def __init__(self, queue: "Queue", model: str) -> None:
        self.model = model
        self.position = 0  # 1 is next; 0: not waiting
        self.ended = False  # nothing more of its text comes
        self.moved: Callable[[int], None] = lambda position: None
        self._queue = queue
        self._admitted = asyncio.Event()

    @property
    def admitted(self) -> bool:
        return self._admitted.is_set()

    async def admission(self) -> None:
        await self._admitted.wait()

    def generating(self) -> None:
        """Tells the queue that this answer's text is coming: so many run together."""
        self._queue.saw_generating(self)

    def written(self) -> None:
        """Its text is whole: what runs from now on does not run together with it."""
        self.ended = True
        self._queue.saw_end(self)

    def leave(self) -> None:
        self._queue.remove(self)

    def rejoin(self, model: str) -> "Ticket":
        """Changes to the line of another model. Raises `overloaded`."""
        self.leave()
        return self._queue.join(model)

    def admit(self) -> None:
        self.position = 0
        self._admitted.set()

    def move_to(self, position: int) -> None:
        if position != self.position:
            self.position = position
            self.moved(position)


class Queue:
    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._waiting: list[Ticket] = []
        self._running: set[Ticket] = set()
        self._generating: set[Ticket] = set()
        self._seen: Counter[str] = Counter()  # by model: most ever generating together

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def join(self, model: str) -> Ticket:
        """A slot, if one is free, else the last place in the line. Raises `overloaded` when it is full."""
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
        self._running.discard(ticket)
        self._generating.discard(ticket)
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        self._advance()

    def saw_generating(self, ticket: Ticket) -> None:
        if ticket in self._running and not ticket.ended:
            self._generating.add(ticket)
            together = sum(other.model == ticket.model for other in self._generating)
            if together > self._seen[ticket.model]:
                self._seen[ticket.model] = together
                self._advance()

    def saw_end(self, ticket: Ticket) -> None:
        self._generating.discard(ticket)

    def _limit(self, model: str) -> int:
        return max(2, 2 * self._seen[model])

    def _advance(self) -> None:
        """Gives free slots to those who have waited longest, and tells the others where they stand."""
        running = Counter(ticket.model for ticket in self._running)
        still_waiting: list[Ticket] = []
        places: Counter[str] = Counter()
        for ticket in self._waiting:
            if running.total() < self._max_running and running[ticket.model] < self._limit(ticket.model):
                running[ticket.model] += 1
                self._running.add(ticket)
                ticket.admit()
            else:
                still_waiting.append(ticket)
                places[ticket.model] += 1
                ticket.move_to(places[ticket.model])
        self._waiting = still_waiting
