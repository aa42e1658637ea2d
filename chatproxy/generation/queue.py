"""The line in front of Ollama: who waits for a slot, with a limit for each runner.

Messages of sessions and requests that are passed on stand in the same line. Those who ask for the same runner
take turns (`fair.Turns`), and so do all for the slots of all runners, `max_running`. If these are the
bottleneck, the next slot is for the runner that the asker whose turn it is over all waits for, and there for
the one at position 1. A position is the one that the turns give as things are.

Ollama produces one answer per runner at a time unless configured otherwise, and does not report the number.
So unless the number is set, each runner's limit is twice the most answers seen generating at once. That keeps
Ollama's own queue supplied; if it produces answers in parallel, this is seen and raises the limit. All others
wait here. As Ollama may be configured otherwise one day, what a number of later answers do not confirm is
forgotten. A remote runner has no limit of its own: Ollama passes on at once what is for it.

None of those who ask takes all the places to wait in (`fair.has_room`) or all the bytes of a `Room`: each may
have half of those that the others leave.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import chain, count
from typing import Final, Self

from chatproxy.background import background, repeat
from chatproxy.clock import Looks
from chatproxy.errors import ChatError
from chatproxy.fair import Share, Turns, has_room
from chatproxy.generation.line import Experience, Line
from chatproxy.generation.ticket import Room, Ticket
from chatproxy.models.catalog import Runner
from chatproxy.models.pace import UNKNOWN, Pace

SMALL: Final = 64 * 1024  # bytes; always taken, because places are few
PROMPTS: Final = Room(96 * 1024 * 1024)  # of messages of sessions
BODIES: Final = Room(512 * 1024 * 1024)  # of requests that are passed on
MOST_RUNNERS: Final = 64  # with which there is experience

Shares = tuple[Share, Share]  # of an asker: in the line of a runner, and over all lines


class Queue:
    """The lines of all runners."""

    def __init__(
        self,
        max_running: int,
        max_waiting: int,
        parallel: int | None = None,
        most_of: Callable[[str], int | None] = lambda asker: None,
    ) -> None:
        """Create an empty queue.

        `parallel` is the limit of runners that are not remote, None: learned. `most_of` returns how many
        tickets an asker may have, None: any number.
        """
        self.idle = asyncio.Event()  # there are no tickets
        self.idle.set()
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._parallel = parallel
        self._most_of = most_of
        self._lines: dict[Runner, Line] = {}  # that have tickets
        self._experience: dict[Runner, Experience] = {}  # in the order in which it was last needed
        self._turns = Turns()
        self._numbers = count()

    @asynccontextmanager
    async def looked_after(self, looks: Looks) -> AsyncIterator[Self]:
        """Yield the queue with its periodic work running."""
        async with background(repeat(looks.next, self.tick), name="queue"):
            yield self

    @property
    def running(self) -> int:
        """The number of tickets with a slot."""
        return sum(line.slots for line in self._lines.values())

    @property
    def active(self) -> int:
        """The number of tickets whose turn it is, until Ollama has nothing more to do for them."""
        return sum(not ticket.waits for line in self._lines.values() for ticket in line.running)

    @property
    def queued(self) -> int:
        """The number of tickets that have a position, with a slot or without one."""
        return sum(len(line.queued) for line in self._lines.values())

    @property
    def eta(self) -> float:
        """Seconds until it is probably the turn of all who have a position; 0 if nobody has."""
        return max((ticket.eta for line in self._lines.values() for ticket in line.queued), default=0.0)

    def wait(self, runner: Runner) -> float:
        """Return how many seconds it will probably take until it is the turn of who comes now."""
        line = self._lines.get(runner)
        return 0.0 if line is None else line.wait()

    def join(self, asker: str, runner: Runner, size: int, room: Room, pace: Pace = UNKNOWN) -> Ticket:
        """Return a ticket with a slot if one is free, else with the place that is the asker's turn.

        It holds `size` bytes of the room; `pace` is that of its model. Raises what `check` raises.
        """
        self.check(asker, runner, size, room)
        return self._admit(asker, runner, size, room, pace)

    async def ticket(self, asker: str, runner: Runner, size: int, room: Room, pace: Pace = UNKNOWN) -> Ticket:
        """Return what `join` returns; this is for those who may have to wait for another replica's answer."""
        return self.join(asker, runner, size, room, pace)

    def rejoin(self, asker: str, runner: Runner, size: int, room: Room, pace: Pace) -> Ticket:
        """Return a ticket as `join` does, whatever the room has left."""
        self.check_place(asker, runner)
        return self._admit(asker, runner, size, room, pace)

    def _admit(self, asker: str, runner: Runner, size: int, room: Room, pace: Pace) -> Ticket:
        ticket = Ticket(self, self.next_number(), asker, runner, size, room, pace)
        self.enter(ticket)
        return ticket

    def check(self, asker: str, runner: Runner, size: int, room: Room) -> None:
        """Raise `overloaded` if there is no place or no room for who comes now.

        Raise `visitor_limit` if the asker has all the tickets that it may have.
        """
        most = self._most_of(asker)
        if most is not None and sum(other.asker == asker for other in self._tickets()) >= most:
            raise ChatError(
                "visitor_limit",
                f"No more than {most} of your answers are written at once; wait until one has ended, or stop"
                " one.",
                retry_after=5,
            )
        if size > SMALL and size > self._left(asker, room):
            raise ChatError(
                "overloaded",
                "The requests that wait for an answer hold too much; try again in a few seconds.",
                retry_after=5,
            )
        self.check_place(asker, runner)

    def check_place(self, asker: str, runner: Runner) -> None:
        """Raise `overloaded` if there is no place, whatever the room has left."""
        line = self._lines.get(runner) or self._new_line(runner)
        if self.running >= self._max_running or not line.has_slot:
            askers = [other.asker for other in self._waiting()]
            if not has_room(asker, askers, self._max_waiting, per_user=self._max_waiting):
                raise ChatError(
                    "overloaded",
                    f"{self._max_waiting} answers are waiting already; try again in a few seconds.",
                    retry_after=5,
                )

    def next_number(self) -> int:
        """Return the number of a new ticket."""
        return next(self._numbers)

    def enter(self, ticket: Ticket) -> None:
        """Add a new ticket, whatever the limits are."""
        line = self._line(ticket.runner)
        line.add(ticket)
        self._turns.enter(ticket.asker)
        if line.is_waking:  # they are to ask Ollama first
            line.tell_turns()
            asyncio.get_running_loop().call_soon(self._advance, line)
        else:
            self._advance(line)

    def adopt(self, tickets: Iterable[tuple[Ticket, Shares]]) -> None:
        """Take over tickets of another queue, in their order, and then let all advance.

        Those with a slot keep it, whatever the limits are.
        """
        first = next(self._numbers)
        for ticket, (in_line, over_all) in tickets:
            self._line(ticket.runner).adopt(ticket, in_line)
            self._turns.adopt(ticket.asker, over_all, has_slot=ticket.has_slot)
            first = max(first, ticket.number + 1)
        self._numbers = count(first)
        self.tick()

    def shares(self, ticket: Ticket) -> Shares:
        """Return what another queue needs to `adopt` a ticket of this one."""
        return self._lines[ticket.runner].share(ticket), self._turns.share(ticket.asker)

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket, if it has not left, and let others advance."""
        line = self._lines.get(ticket.runner)
        if line is None or ticket not in line:
            return
        self._turns.leave(ticket.asker, served=ticket.has_slot)
        line.remove(ticket)
        if line.is_empty:
            del self._lines[ticket.runner]
            if not self._lines:
                self.idle.set()
        self._advance(line)

    def take_back(self, ticket: Ticket) -> None:
        """Take the slot of a ticket that Ollama had no room for; it is the next of its runner again."""
        line = self._lines.get(ticket.runner)
        if line is not None and ticket in line.running:
            self._turns.give_back(ticket.asker)
            line.take_back(ticket)
            self._advance(line)

    def note_asked(self, ticket: Ticket) -> None:
        """Note that a ticket's request is sent."""
        if (line := self._lines.get(ticket.runner)) is not None:
            line.tell_turns()

    def note_text(self, ticket: Ticket) -> None:
        """Note that a ticket's text is arriving; its runner's limit may rise."""
        if (line := self._lines.get(ticket.runner)) is not None:
            line.note_text(ticket)
            self._advance(line)

    def note_end(self, ticket: Ticket) -> None:
        """Note that Ollama has nothing more to do for a ticket, and goes on with the next one."""
        line = self._lines.get(ticket.runner)
        if line is not None and ticket in line.running:
            line.note_end(ticket)
            self._advance(line)

    def settle(self, ticket: Ticket) -> None:
        """Give all in a ticket's line the places that they have now."""
        if (line := self._lines.get(ticket.runner)) is not None:
            line.settle()

    def tick(self) -> None:
        """Let those advance who wait for a moment to pass: what was learned may not be believed any more."""
        for line in list(self._lines.values()):
            self._advance(line)

    @property
    def runners(self) -> Collection[Runner]:
        """The runners that have tickets."""
        return self._lines.keys()

    def experience(self, runner: Runner) -> Experience:
        """Return what is known of a runner, which is what was needed last from now on."""
        experience = self._experience.pop(runner, None) or Experience()
        self._experience[runner] = experience
        while len(self._experience) > MOST_RUNNERS:
            del self._experience[next(iter(self._experience))]
        return experience

    def _line(self, runner: Runner) -> Line:
        """Return the line of a runner that is to have a ticket."""
        line = self._lines.get(runner)
        if line is None:
            line = self._lines[runner] = self._new_line(runner)
            self.idle.clear()
        return line

    def _new_line(self, runner: Runner) -> Line:
        experience = self.experience(runner)
        # As Ollama may produce several one day, the number is learned then.
        parallel = None if runner.one_at_a_time else self._parallel
        return Line(self._max_running if runner.remote else parallel, self._max_running, experience)

    def _waiting(self) -> Iterator[Ticket]:
        return chain.from_iterable(line.waiting for line in self._lines.values())

    def _tickets(self) -> Iterator[Ticket]:
        return chain(self._waiting(), *(chain(line.running, line.ended) for line in self._lines.values()))

    def _advance(self, changed: Line) -> None:
        """Give free slots to those whose turn it is, and tell who has a turn."""
        moved = {changed}
        while self.running < self._max_running:
            lines = [line for line in self._lines.values() if line.has_slot and line.has_waiting]
            if not lines:
                break
            line = lines[0] if len(lines) == 1 else min(lines, key=self._first_place)
            self._turns.serve(line.admit().asker)
            moved.add(line)
        for line in moved:
            line.tell_turns()

    def _first_place(self, line: Line) -> tuple[int, int, int]:
        return min(self._turns.place(ticket.asker, ticket.number) for ticket in line.heads)

    def _left(self, asker: str, room: Room) -> int:
        """Return how many bytes the asker may hold besides: half of what others leave, with what it holds."""
        held: Counter[str] = Counter()
        for other in self._tickets():
            if other.room is room:
                held[other.asker] += other.size
        left_by_others = room.most - held.total() + held[asker]
        return left_by_others // 2 - held[asker]
