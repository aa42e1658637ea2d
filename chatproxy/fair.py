"""Fair shares: users take turns, and none of them, nor a few together, keep out one who has nothing."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import TypeVar

from chatproxy.errors import ChatError

K = TypeVar("K")
Share = tuple[
    int, int, int
]  # numbers of services: a user's last, the last of all, the one before the last round
Place = tuple[str, int]  # of one who waits: the user, and a number in the order in which they came


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
    services make no difference to users who come back, and are forgotten in the end.
    """

    def __init__(self) -> None:
        self.slots: Counter[str] = Counter()  # by user
        self._present: Counter[str] = Counter()  # by user: how many wait or have a slot
        self._served: dict[str, int] = {}  # by user: the number of the last service
        self._services = 0
        self._before_last_round = 0  # the number of a service

    def place(self, user: str, number: int) -> tuple[int, int, int]:
        """Return what orders those who wait now; `number` is the order in which they came."""
        return self.slots.get(user, 0), self._served[user], number

    def order(
        self,
        waiting: Mapping[str, Iterable[int]],
        leaving: Iterable[str],
        *,
        free: int,
        ahead: Iterable[Place],
    ) -> list[int]:
        """Return the numbers of those who wait in the order in which they will be served, as things are.

        Those of each user are given in the order in which they came. After as many as there are `free` slots,
        one more is served whenever a slot is given up, which is expected in the order in which slots were
        given; `leaving` has the users of the present ones. Who is `ahead` is served first, whoever's turn it
        is.
        """
        if len(waiting) == 1:
            return [*(number for _, number in ahead), *chain(*waiting.values())]
        slots, served, services = Counter(self.slots), dict(self._served), self._services
        first, ends = deque(ahead), deque(leaving)
        lines = {user: deque(numbers) for user, numbers in waiting.items()}

        def entry(user: str) -> tuple[int, int, int, str]:
            return slots[user], served[user], lines[user][0], user

        heads = [entry(user) for user in lines]  # also some that are not true any more
        heapify(heads)
        order: list[int] = []
        while first or lines:
            if len(order) >= free and ends:
                slots[user := ends.popleft()] -= 1
                if user in lines:
                    heappush(heads, entry(user))
            if first:
                user, number = first.popleft()
            else:
                while (head := heappop(heads))[-1] not in lines or head != entry(head[-1]):
                    pass
                user = head[-1]
                number = lines[user].popleft()
                if not lines[user]:
                    del lines[user]
            order.append(number)
            services += 1
            slots[user] += 1
            served[user] = services
            ends.append(user)
            if user in lines:
                heappush(heads, entry(user))
        return order

    def share(self, user: str) -> Share:
        """Return what another one needs to go on with a user who waits or has a slot (`adopt`)."""
        return self._served[user], self._services, self._before_last_round

    def adopt(self, user: str, share: Share, *, has_slot: bool) -> None:
        """Take over a user who waits, or has a slot, as another one had it."""
        served, services, before_last_round = share
        self._present[user] += 1
        if has_slot:
            self.slots[user] += 1
        self._served[user] = max(self._served.get(user, 0), served)
        self._services = max(self._services, services)
        self._before_last_round = max(self._before_last_round, before_last_round)

    def enter(self, user: str) -> None:
        """Note that the user waits for a slot, or for one more."""
        self._present[user] += 1
        if self._present[user] == 1:
            self._served[user] = max(self._served.get(user, 0), self._before_last_round)

    def serve(self, user: str) -> None:
        """Note that the user, who waited, has a slot."""
        self._services += 1
        self._served[user] = self._services
        self.slots[user] += 1

    def give_back(self, user: str) -> None:
        """Note that the user waits for a slot again that was given in vain."""
        self._lower(self.slots, user)

    def leave(self, user: str, *, served: bool) -> None:
        """Note that the user has given up a slot, or waits for one less."""
        self._lower(self._present, user)
        if served:
            self._lower(self.slots, user)
        self._before_last_round = max(self._before_last_round, self._services - len(self._present))
        if len(self._served) > 3 * len(self._present):  # not at each call: users may be many
            self._served = {
                user: number
                for user, number in self._served.items()
                if user in self._present or number > self._before_last_round
            }

    @staticmethod
    def _lower(counter: Counter[str], user: str) -> None:
        counter[user] -= 1
        if not counter[user]:
            del counter[user]


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
