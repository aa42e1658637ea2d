"""Fair shares: users take turns, and none of them, nor a few together, keep out one who has nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from chatproxy.errors import ChatError

K = TypeVar("K")


def has_room(user: str, taken: Sequence[str], most: int, *, per_user: int) -> bool:
    """Return whether a user may have another place; `taken` has the user of each place.

    There are `most` places, and at most `per_user` for each user. When all are taken, a user who has none
    still gets one, up to twice as many in all.
    """
    mine = taken.count(user)
    return mine < per_user and len(taken) < (most if mine else 2 * most)


def surplus(held: Mapping[K, tuple[str, int]], most: int) -> Iterator[K]:
    """Yield what to give up until the rest is at most `most`; `held` has the user and the size of each.

    It is always of the user who then has most, and that user's first.
    """
    left = dict(held)
    sizes: Counter[str] = Counter()
    for user, size in left.values():
        sizes[user] += size
    while sizes.total() > most:
        ((largest, _),) = sizes.most_common(1)
        first = next(each for each, (user, _) in left.items() if user == largest)
        sizes[largest] -= left.pop(first)[1]
        yield first


class Turns:
    """Whose turn it is among users who each have some slots, and wait for more.

    The user with the fewest slots is next, then the one who was served least recently, then the one who came
    first. A user who comes for the first time counts as served just before the last round, as many services
    ago as there are others: so no others, however many, keep out one who waits for longer than that. Older
    services make no difference to users who come back, and are forgotten.
    """

    def __init__(self) -> None:
        self.slots: Counter[str] = Counter()  # by user
        self._present: Counter[str] = Counter()  # by user: how many wait or have a slot
        self._served: dict[str, int] = {}  # by user: the number of the last service
        self._services = 0
        self._before_last_round = 0  # the number of a service

    def place(self, user: str, number: int, before: int = 0) -> tuple[int, int, int, int]:
        """Return what orders those who wait; `number` is the order in which they came.

        `before` is how many of the same user are served first. Serving those whose turn it is does not
        change the order of the others.
        """
        slots = self.slots.get(user, 0)
        return slots + before, -slots, self._served[user], number

    def enter(self, user: str) -> None:
        """Note that the user waits for a slot, or for one more."""
        self._present[user] += 1
        self._served.setdefault(user, self._before_last_round)

    def serve(self, user: str) -> None:
        """Note that the user, who waited, has a slot."""
        self._services += 1
        self._served[user] = self._services
        self.slots[user] += 1

    def give_back(self, user: str) -> None:
        """Note that the user waits for a slot again that was given in vain."""
        self.slots[user] -= 1
        self.slots = +self.slots

    def leave(self, user: str, *, served: bool) -> None:
        """Note that the user has given up a slot, or waits for one less."""
        self._present[user] -= 1
        self.slots[user] -= served
        self._present, self.slots = +self._present, +self.slots
        self._before_last_round = max(self._before_last_round, self._services - len(self._present))
        self._served = {
            user: number
            for user, number in self._served.items()
            if user in self._present or number > self._before_last_round
        }


class FairSlots:
    """Slots for work that costs much, and places in which users wait for one, in their turn (`Turns`).

    A user has at most `slots_per_user` slots and `places_per_user` places; there are `places`, and a few more
    as `has_room` says.
    """

    def __init__(
        self,
        slots: int,
        places: int,
        *,
        slots_per_user: int,
        places_per_user: int,
        refusal: Callable[[], ChatError],
    ) -> None:
        """Create `slots` slots; a user who finds no place gets the error that `refusal` returns."""
        self._slots = slots
        self._places = places
        self._slots_per_user = slots_per_user
        self._places_per_user = places_per_user
        self._refusal = refusal
        self._turns = Turns()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def slot(self, user: str) -> AsyncIterator[None]:
        """Hold a slot while the block runs; wait for it if need be. Raises the refusal."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (user, turn)
        others = [other for other, _ in self._waiting]
        self._waiting.append(entry)
        self._turns.enter(user)
        self._advance()
        if not turn.done() and not has_room(user, others, self._places, per_user=self._places_per_user):
            self._withdraw(entry)
            raise self._refusal()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._turns.leave(user, served=True)
                self._advance()
            else:
                self._withdraw(entry)

    def _withdraw(self, entry: tuple[str, asyncio.Future[None]]) -> None:
        self._waiting.remove(entry)
        self._turns.leave(entry[0], served=False)

    def _advance(self) -> None:
        """Give free slots to those whose turn it is."""
        slots = self._turns.slots
        while slots.total() < self._slots:
            entitled = [
                (self._turns.place(user, number), user, turn)
                for number, (user, turn) in enumerate(self._waiting)
                if slots[user] < self._slots_per_user and not turn.cancelled()
            ]
            if not entitled:
                return
            (*_, number), user, turn = min(entitled)
            del self._waiting[number]
            self._turns.serve(user)
            turn.set_result(None)
