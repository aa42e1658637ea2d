"""A ticket: who holds one has a place in the queue, then a slot, and then its turn.

With a slot, a request may go to Ollama. It is its turn when nobody is before it there, either.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from msgspec import Struct

from chatproxy import clock
from chatproxy.answers.answer import Place
from chatproxy.errors import ChatError
from chatproxy.models.catalog import Runner
from chatproxy.models.pace import UNKNOWN, Pace

DRIFT: Final = 0.25  # of the time that was told, by which a new estimate has to differ to be told
LEAST_DRIFT: Final = 2.0  # seconds


class Room(Struct, frozen=True):
    """How many bytes a kind of ticket may hold: what is to be sent to Ollama, until its text begins."""

    most: int


class Entrance(Protocol):
    """Where tickets are had: the `Queue`, or what several replicas have in its place."""

    idle: asyncio.Event  # no answers are to be written, and Ollama may do something else from here

    async def ticket(
        self, asker: str, runner: Runner, size: int, room: Room, pace: Pace = UNKNOWN
    ) -> "Ticket":
        """Return a ticket as `Queue.join` does; if this is cancelled, there is none."""

    def wait(self, runner: Runner) -> float:
        """Return how many seconds it will probably take until it is the turn of who comes now."""

    @property
    def active(self) -> int:
        """The number of tickets whose turn it is."""

    @property
    def queued(self) -> int:
        """The number of tickets that have a position."""

    @property
    def eta(self) -> float:
        """Seconds until it is probably the turn of all who have a position."""


class Keeper(Protocol):
    """What a ticket needs of the `Queue`."""

    def rejoin(self, asker: str, runner: Runner, size: int, room: Room, pace: Pace) -> "Ticket":
        """Return a ticket for another runner."""

    def note_asked(self, ticket: "Ticket") -> None:
        """Note that its request is sent."""

    def note_text(self, ticket: "Ticket") -> None:
        """Note that its text is arriving."""

    def note_end(self, ticket: "Ticket") -> None:
        """Note that Ollama has nothing to do for it any more."""

    def take_back(self, ticket: "Ticket") -> None:
        """Take its slot."""

    def settle(self, ticket: "Ticket") -> None:
        """Give it the place that it has now."""

    def remove(self, ticket: "Ticket") -> None:
        """Take its slot or its place."""


class Ticket:
    """A place in the queue, then a slot. `leave` gives up either, and is idempotent.

    It waits until it is its turn: that of as many with a slot as Ollama is known to produce answers for at
    once. `position` is how many have to end before that; 0 from then on. Whether it waits is known at any
    time; its place is found when somebody asks for it, because each one that leaves moves all the others.
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
        self.waits = True  # for its turn, with a slot or without
        self.has_slot = False
        self.was_refused = False  # by an Ollama that had no room, so that it is before those that were not
        self.had_to_wait = False  # when it got its slot, Ollama had as much to do as it can do at once
        self.asked_at = inf  # when its request was sent, on `clock`
        self.first_asked_at = inf  # if that was more than once
        self.turn_at: float | None = None  # since when it is its turn, on `clock`
        self.was_warm = False  # its model was loaded when it was its turn
        self.text_at: float | None = None  # since when its text arrives
        self.ended = False  # Ollama has nothing to do for it any more
        self.is_complete = False  # and has done all of it
        self.failure: ChatError | None = None  # why it will never have a slot
        self._keeper = keeper
        self._position = 0  # as was found last
        self._due = 0.0  # when it will probably be its turn, on `clock`
        self._told = 0, 0.0  # what both were when they were told last
        self._granted: asyncio.Future[None] | None = None  # only while it waits: tickets are many
        self._moved: Callable[[], None] = lambda: None

    @property
    def position(self) -> int:
        """How many have to end before it is its turn."""
        if not self.waits:
            return 0
        self._keeper.settle(self)
        return self._position

    @property
    def eta(self) -> float:
        """Seconds until it is probably its turn."""
        return max(0.0, self._due - clock.now()) if self.position else 0.0

    @property
    def place(self) -> Place | None:
        """Its position and eta, while it waits and they are known."""
        return (position, self.eta) if (position := self.position) else None

    @property
    def has_news(self) -> bool:
        """Whether it has another place than was told last, or another estimate, if the difference matters."""
        if not self.waits:
            return False
        position, (told, due) = self.position, self._told
        return position != told or abs(self._due - due) > max(LEAST_DRIFT, DRIFT * (due - clock.now()))

    def note_told(self) -> None:
        """Note that its place is told."""
        self._told = self.position, self._due

    @property
    def is_waking(self) -> bool:
        """Whether it was given a slot on this turn of the loop, and who waits for that does not know yet."""
        return self._granted is not None and self._granted.done()

    def follow(self, moved: Callable[[], None]) -> None:
        """Have `moved` called when it is its turn, and when it is not any more."""
        self._moved = moved

    async def wait_for_slot(self) -> None:
        """Wait for a slot. Raises the error that a queue elsewhere has for it."""
        if self.failure is not None:
            raise self.failure
        if not self.has_slot:
            self._granted = asyncio.get_running_loop().create_future()
            await self._granted
            self._granted = None

    def asks(self) -> None:
        """Report that the request is sent: Ollama takes them in that order."""
        self.asked_at = clock.now()
        self.first_asked_at = min(self.first_asked_at, self.asked_at)
        self._keeper.note_asked(self)

    def discard_body(self) -> None:
        """Report that what was to be sent to Ollama is not needed any more."""
        self.size = 0

    def text_started(self) -> None:
        """Report that this answer's text is arriving; the queue counts how many generate at once.

        It counts on the next turn of the loop, because another answer's end may still be read on this one.
        """
        self.text_at = clock.now()
        asyncio.get_running_loop().call_soon(self._keeper.note_text, self)

    def end(self, *, complete: bool) -> None:
        """Report that Ollama has nothing to do for it any more; the slot is kept until `leave`. Idempotent.

        So the next one's turn comes before this answer is stored. `complete` says that all was done.
        """
        if not self.ended:
            self.ended = True
            self.is_complete = complete
            self.waits, self._moved = False, lambda: None
            if self.has_slot:
                asyncio.get_running_loop().call_soon(self._keeper.note_end, self)
            else:
                self.leave()

    def refused(self) -> None:
        """Report that Ollama had no room for the request. It waits for a slot again, before all others."""
        self._keeper.take_back(self)

    def leave(self) -> None:
        """Give up the slot or the place."""
        self._keeper.remove(self)

    def rejoin(self, runner: Runner, pace: Pace) -> "Ticket":
        """Leave, and join the queue of another runner, whatever it holds. Raises `overloaded`."""
        self.leave()
        return self._keeper.rejoin(self.asker, runner, self.size, self.room, pace)

    # Called by the line.

    def grant(self) -> None:
        """Give it a slot."""
        self.has_slot = True
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(None)

    def fail(self, error: ChatError) -> None:
        """Note that it will never have a slot."""
        self.failure = error
        if self._granted is not None and not self._granted.done():
            self._granted.set_exception(error)

    def take_turn(self, *, warm: bool) -> None:
        """Note that it is its turn from now on; `warm` says that its model was seen to be loaded."""
        self.turn_at = clock.now()
        self.was_warm = warm or self.pace.load == 0
        self.waits = False
        self._moved()

    def wait(self) -> None:
        """Note that it is not its turn, or not any more."""
        if not self.waits:
            self.turn_at = None
            self.waits = True
            self._moved()

    def stand(self, position: int, due: float) -> None:
        """Set its place."""
        self._position, self._due = position, due
