"""The queue in front of Ollama: first come, first served, per model, with a limit that is learned.

Ollama produces one answer per model at a time unless configured otherwise, and does not report the number. So
each model's limit is twice the most answers seen generating at once, but at least two. That keeps Ollama's
own queue supplied; if it produces answers in parallel, this is seen and raises the limit. All others wait
here, where their position is known. What was seen of a model is forgotten once it has nothing to do: Ollama
may be configured otherwise by then. `max_running` and `max_waiting` apply to all models together, and so does
the limit of the bytes that their prompts hold. Names that share a runner in Ollama (`KnownModel.runner`)
count as one model.

The order is the same for all users, but no user takes all the places (`fair.has_room`) or all the bytes: each
may have half of those that the others leave.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from chatproxy.errors import ChatError
from chatproxy.fair import has_room

MAX_PROMPT_BYTES: Final = 96 * 1024 * 1024  # of all prompts that wait to be sent, or for their first text
SMALL_PROMPT: Final = 64 * 1024  # bytes; always taken, because places are few


class Ticket:
    """A place in the queue, then a slot. `leave` gives up either, and is idempotent."""

    def __init__(self, queue: "Queue", owner: str, model: str, prompt_bytes: int) -> None:
        self.owner = owner
        self.model = model
        self.prompt_bytes = prompt_bytes  # that the answer still holds
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

    def discard_prompt(self) -> None:
        """Report that the answer does not need its prompt any more."""
        self.prompt_bytes = 0

    def text_ended(self) -> None:
        """Report that the text is complete, so that answers that start later do not count as parallel."""
        self.ended = True
        self._queue.discard_generating(self)

    def leave(self) -> None:
        """Give up the slot or the place."""
        self._queue.remove(self)

    def rejoin(self, model: str) -> "Ticket":
        """Leave, and join the queue of another model. Raises `overloaded`."""
        self.leave()
        return self._queue.add(Ticket(self._queue, self.owner, model, self.prompt_bytes))

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
        self._most_together: Counter[str] = Counter()  # by model: the most generating at once

    @property
    def waiting(self) -> int:
        """The number of tickets without a slot."""
        return len(self._waiting)

    def join(self, owner: str, model: str, prompt_bytes: int) -> Ticket:
        """Return a ticket with a slot if one is free, else with the last place.

        Raises `overloaded` if there is no place for the owner, or no room for the prompt.
        """
        held: Counter[str] = Counter()
        for other in self._tickets():
            held[other.owner] += other.prompt_bytes
        left_by_others = MAX_PROMPT_BYTES - held.total() + held[owner]
        if prompt_bytes > SMALL_PROMPT and held[owner] + prompt_bytes > left_by_others // 2:
            raise ChatError(
                "overloaded",
                "The messages that wait for an answer hold too much; try again in a few seconds.",
                retry_after=5,
            )
        return self.add(Ticket(self, owner, model, prompt_bytes))

    def add(self, ticket: Ticket) -> Ticket:
        """Return a ticket as `join` does, whatever its prompt holds."""
        owners = [other.owner for other in self._waiting]
        self._waiting.append(ticket)
        self._advance()
        if ticket in self._waiting and not has_room(
            ticket.owner, owners, self._max_waiting, per_user=self._max_waiting
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
        if all(other.model != ticket.model for other in self._tickets()):
            self._most_together.pop(ticket.model, None)
        self._advance()

    def _tickets(self) -> Iterator[Ticket]:
        return chain(self._waiting, self._running)

    def add_generating(self, ticket: Ticket) -> None:
        """Count a ticket whose text is arriving; a new maximum raises the model's limit."""
        if ticket in self._running and not ticket.ended:
            self._generating.add(ticket)
            together = sum(other.model == ticket.model for other in self._generating)
            if together > self._most_together[ticket.model]:
                self._most_together[ticket.model] = together
                self._advance()

    def discard_generating(self, ticket: Ticket) -> None:
        """Stop counting a ticket."""
        self._generating.discard(ticket)

    def _advance(self) -> None:
        """Give free slots to the tickets that have waited longest, and the others their positions."""
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
