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


class FairSlots:
    """Slots for work that costs much, and places in which users wait for one.

    Of those who wait, the user with the fewest slots is next, then the one who was served least recently,
    then the one who came first. A user has at most `slots_per_user` slots and `places_per_user` places;
    there are `places`, and a few more as `has_room` says.
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
        self._taken: Counter[str] = Counter()  # slots by user
        self._served: dict[str, int] = {}  # when each user who waits or works was served last, as a count
        self._count = 0
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def slot(self, user: str) -> AsyncIterator[None]:
        """Hold a slot while the block runs; wait for it if need be. Raises the refusal."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (user, turn)
        others = [other for other, _ in self._waiting]
        self._waiting.append(entry)
        self._advance()
        if not turn.done() and not has_room(user, others, self._places, per_user=self._places_per_user):
            self._waiting.remove(entry)
            raise self._refusal()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._release(user)
            else:
                self._waiting.remove(entry)

    def _release(self, user: str) -> None:
        self._taken[user] -= 1
        self._advance()
        self._taken = +self._taken
        present = {*self._taken, *(other for other, _ in self._waiting)}
        self._served = {each: count for each, count in self._served.items() if each in present}

    def _advance(self) -> None:
        """Give free slots to those whose turn it is."""
        while self._taken.total() < self._slots:
            entitled = [
                (user, turn)
                for user, turn in self._waiting
                if self._taken[user] < self._slots_per_user and not turn.cancelled()
            ]
            if not entitled:
                return
            entry = min(entitled, key=lambda entry: (self._taken[entry[0]], self._served.get(entry[0], 0)))
            user, turn = entry
            self._waiting.remove(entry)
            self._count += 1
            self._taken[user] += 1
            self._served[user] = self._count
            turn.set_result(None)
