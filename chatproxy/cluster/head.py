"""The head of the line: the replica that has the queue, with a stand-in for each ticket of any replica.

A new head gathers first: for GATHER seconds at most, until each living replica has said what tickets it has.
Then it goes on as the last one would have: who has a slot keeps it, and the others wait in their order.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from math import inf
from typing import Any, Final

from chatproxy import clock
from chatproxy.cluster.messages import ROOMS, Estimate, Refusal, Standing, State
from chatproxy.errors import ChatError
from chatproxy.generation.queue import MOST_RUNNERS, Queue
from chatproxy.generation.ticket import DRIFT, LEAST_DRIFT, Ticket
from chatproxy.models.catalog import Runner

GATHER: Final = 3.0  # seconds
SETTLE: Final = 0.2  # seconds in which what replicas say of one moment has arrived from all

Key = tuple[int, int]  # of a ticket: the replica, and its id there
Post = Callable[[int, str, Any], None]  # sends a message to a replica: the word and the content


class StandIn(Ticket):
    """What is in the queue for a ticket of a replica; `changed` is called at each change of its standing.

    `holder` is that ticket if it is of this replica.
    """

    def __init__(
        self,
        queue: Queue,
        key: Key,
        number: int,
        state: State,
        holder: Ticket | None,
        changed: Callable[["StandIn"], None],
    ) -> None:
        room = ROOMS[state.room]
        super().__init__(queue, number, state.asker, state.runner, state.size, room, state.pace)
        self.key = key
        self.refusals = 0  # how often Ollama had no room for it
        self.granted = 0  # the number of the grant of its slot; 0: none
        self._holder = holder
        self._changed = changed

    def take(self, state: State) -> None:
        """Take over what its holder knows better."""
        now = clock.now()
        self.size = state.size
        if state.asked is not None and self.asked_at == inf:
            self.asked_at = now - state.asked
        if state.first_asked is not None:
            self.first_asked_at = min(self.first_asked_at, now - state.first_asked)
        if state.text is not None and self.text_at is None:
            self.text_at = now - state.text
        if state.ended:
            self.ended, self.is_complete, self.waits = True, state.is_complete, False

    def go_on(self, state: State) -> None:
        """Take over all, as another head gave it."""
        self.has_slot = state.has_slot
        self.granted = state.grant if state.has_slot else 0
        self.refusals, self.was_refused = state.refusals, state.refusals > 0
        self.was_warm = state.was_warm
        if state.turn is not None:
            self.turn_at, self.waits = clock.now() - state.turn, False
        self.take(state)

    @property
    def is_waking(self) -> bool:
        """Whether its holder was given the slot on this turn of the loop, and does not know yet."""
        return self._holder is not None and self._holder.is_waking

    @property
    def due(self) -> float:
        """When it will probably be its turn, on `clock`, as was found last."""
        return self._due

    def grant(self) -> None:
        """Give it a slot."""
        super().grant()
        self._changed(self)

    def take_turn(self, *, warm: bool) -> None:
        """Note that it is its turn."""
        super().take_turn(warm=warm)
        self._changed(self)

    def wait(self) -> None:
        """Note that it is not its turn, or not any more."""
        if not self.waits:
            super().wait()
            self._changed(self)


class Head:
    """Has the queue, and tells each replica what becomes of its tickets."""

    def __init__(self, me: int, queue: Queue, living: Collection[int], post: Post) -> None:
        """Take over; `living` has the ids of the replicas, of which `me` is one. All others are asked."""
        self.queue = queue
        self._me = me
        self._post = post
        self._stand_ins: dict[Key, StandIn] = {}
        self._grants = 0  # the number of the last one
        self._changes: dict[StandIn, None] = {}  # that are to be told
        self._telling: asyncio.Handle | None = None
        self._estimates: dict[Runner, tuple[int, float]] = {}  # as told last: how many at once; until when
        self._living: Collection[int] = [me]
        # As long as it gathers.
        self._gathered: dict[Key, tuple[State, Ticket | None]] | None = {}
        self._silent = set(living)  # replicas that have not said all
        self._deadline = clock.now() + GATHER
        self.live(living)

    @property
    def is_idle(self) -> bool:
        """Whether there are no tickets, as is known."""
        return self._gathered is None and self.queue.idle.is_set()

    def live(self, living: Collection[int]) -> None:
        """Ask replicas that are new what tickets they have, and remove those of replicas that are gone."""
        for replica in living:
            if replica not in self._living:
                self._post(replica, "ask", None)
        self._living = living
        self._silent.intersection_update(living)
        if self._gathered is not None:
            for key in [key for key in self._gathered if key[0] not in living]:
                del self._gathered[key]
            self._begin_if_all_have_spoken()
        for key in [key for key in self._stand_ins if key[0] not in living]:
            self._remove(key)

    def lost(self, sender: int | None) -> None:
        """Ask a replica for all its tickets, of which it may have said more than has arrived; None: all."""
        for replica in self._living:
            if replica != self._me and sender in {None, replica}:
                self._post(replica, "ask", None)

    def retire(self) -> None:
        """Say nothing more: another one is the head."""
        self._stand_ins.clear()
        self._changes.clear()

    # -- what replicas say

    def take(self, replica: int, state: State, holder: Ticket | None = None) -> None:
        """Take what a replica knows of a ticket; `holder` is that if it is of this one."""
        key = replica, state.id
        if replica not in self._living or state.room not in ROOMS:
            return
        if self._gathered is not None:
            self._gathered[key] = state, holder
        elif (stand_in := self._stand_ins.get(key)) is not None:
            self._update(stand_in, state, holder)
        elif state.number is not None:
            self._adopt([(key, state, holder)])
        else:
            self._join(key, state, holder)

    def leave(self, replica: int, ticket_id: int) -> None:
        """Note that a ticket is not there any more."""
        key = replica, ticket_id
        if self._gathered is not None:
            self._gathered.pop(key, None)
        else:
            self._remove(key)

    def take_all(self, replica: int, ids: Collection[int]) -> None:
        """Note that a replica has no other tickets than these, all of which it has told; say all of them."""
        if replica not in self._living:
            return
        known: Collection[Key] = self._stand_ins if self._gathered is None else self._gathered
        for _, ticket_id in [key for key in known if key[0] == replica and key[1] not in ids]:
            self.leave(replica, ticket_id)
        for key, stand_in in list(self._stand_ins.items()):
            if key[0] == replica:
                self._changed(stand_in)
        self._estimates.clear()  # so that it will have them
        self._silent.discard(replica)
        self._begin_if_all_have_spoken()

    def _begin_if_all_have_spoken(self) -> None:
        if self._gathered is None or (self._silent and clock.now() < self._deadline):
            return
        gathered = [(key, state, holder) for key, (state, holder) in self._gathered.items()]
        self._gathered = None
        self._adopt([each for each in gathered if each[1].number is not None])
        for key, state, holder in gathered:
            if state.number is None:
                self._join(key, state, holder)

    def _adopt(self, tickets: Sequence[tuple[Key, State, Ticket | None]]) -> None:
        """Take over tickets that another head knew."""
        numbers = {stand_in.number for stand_in in self._stand_ins.values()}
        adopted = []
        for key, state, holder in sorted(tickets, key=lambda ticket: _order(ticket[1])):
            assert state.number is not None, "it was known"
            # Two heads may have given one number, while they did not know of each other.
            number = max(numbers) + 1 if state.number in numbers else state.number
            numbers.add(number)
            stand_in = StandIn(self.queue, key, number, state, holder, self._changed)
            stand_in.go_on(state)
            self._stand_ins[key] = stand_in
            self._grants = max(self._grants, stand_in.granted)
            adopted.append((stand_in, state.shares or ((0, 0, 0), (0, 0, 0))))
        self.queue.adopt(adopted)
        for stand_in, _ in adopted:
            self._changed(stand_in)

    def _join(self, key: Key, state: State, holder: Ticket | None) -> None:
        """Let a new ticket in, or refuse it."""
        queue = self.queue
        try:
            if state.rejoins:
                queue.check_place(state.asker, state.runner)
            else:
                queue.check(state.asker, state.runner, state.size, ROOMS[state.room])
        except ChatError as error:
            refusal = Refusal(error.code, error.sentence, error.retry_after)
            self._post(key[0], "stand", Standing(id=key[1], refusal=refusal))
            return
        stand_in = StandIn(queue, key, queue.next_number(), state, holder, self._changed)
        self._stand_ins[key] = stand_in
        queue.enter(stand_in)
        self._changed(stand_in)

    def _update(self, stand_in: StandIn, state: State, holder: Ticket | None) -> None:
        queue = self.queue
        is_refused = state.refusals > stand_in.refusals
        if is_refused and stand_in.has_slot and not state.has_slot:
            stand_in.refusals, stand_in.granted = state.refusals, 0
            queue.take_back(stand_in)
            self._changed(stand_in)  # what was told before that did not count
        elif is_refused or (state.has_slot and not stand_in.has_slot):  # another head has given a slot
            self._remove(stand_in.key)
            self._adopt([(stand_in.key, state, holder)])
            return
        had_asked, had_text, had_ended = stand_in.asked_at, stand_in.text_at, stand_in.ended
        stand_in.take(state)
        if stand_in.asked_at != had_asked:
            queue.note_asked(stand_in)
        if stand_in.text_at != had_text:
            self._note_text(stand_in)
        if stand_in.ended != had_ended:
            queue.note_end(stand_in)

    def _note_text(self, stand_in: StandIn) -> None:
        """Note that a text is arriving, once the ends before it have surely been heard of.

        Ollama begins with the next answer when one ends, and who writes that one may be another replica. Told
        in the wrong order, the two would count as produced at once.
        """
        if SETTLE and len(self._living) > 1:
            asyncio.get_running_loop().call_later(SETTLE, self._settled, stand_in)
        else:
            self.queue.note_text(stand_in)

    def _settled(self, stand_in: StandIn) -> None:
        if self._stand_ins.get(stand_in.key) is stand_in:
            self.queue.note_text(stand_in)

    def _remove(self, key: Key) -> None:
        if (stand_in := self._stand_ins.pop(key, None)) is not None:
            self._changes.pop(stand_in, None)
            self.queue.remove(stand_in)

    # -- what replicas are told

    def _changed(self, stand_in: StandIn) -> None:
        """Tell the standing of a ticket: to this replica at once, to others once all that moves has moved.

        Where it stands is not told to this one, which finds it when it needs it.
        """
        if self._stand_ins.get(stand_in.key) is not stand_in:
            return
        if stand_in.has_slot and not stand_in.granted:
            self._grants += 1
            stand_in.granted = self._grants
        if stand_in.key[0] == self._me:
            self._post(self._me, "stand", self._standing(stand_in, 0, 0.0))
            return
        self._changes[stand_in] = None
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = None
        changes, self._changes = self._changes, {}
        for stand_in in changes:
            self._post(stand_in.key[0], "stand", self._standing(stand_in, stand_in.position, stand_in.eta))
            stand_in.note_told()

    def _standing(self, stand_in: StandIn, position: int, eta: float) -> Standing:
        has_turn = not stand_in.waits and stand_in.turn_at is not None
        return Standing(
            id=stand_in.key[1],
            number=stand_in.number,
            shares=self.queue.shares(stand_in),
            refusals=stand_in.refusals,
            has_slot=stand_in.has_slot,
            grant=stand_in.granted,
            turn=clock.now() - (stand_in.turn_at or 0.0) if has_turn else None,
            was_warm=stand_in.was_warm,
            position=position,
            eta=eta,
        )

    def place(self, ticket_id: int) -> tuple[int, float] | None:
        """Return the position of a ticket of this replica, and when its turn will be, on `clock`.

        None: it does not wait, as is known.
        """
        stand_in = self._stand_ins.get((self._me, ticket_id))
        if stand_in is None or not (position := stand_in.position):
            return None
        return position, stand_in.due

    def tick(self) -> None:
        """Let those advance who wait for a moment to pass, and tell others what has changed for them."""
        self._begin_if_all_have_spoken()
        if self._gathered is not None:
            return
        self.queue.tick()
        for stand_in in self._stand_ins.values():
            if stand_in.key[0] != self._me and stand_in.has_news:
                self._changes[stand_in] = None
        self._tell()
        self._tell_estimates()

    def _tell_estimates(self) -> None:
        """Tell others how long who comes now will wait, if that differs noticeably from what they expect."""
        others = [replica for replica in self._living if replica != self._me]
        if not others:
            return
        now, queue = clock.now(), self.queue
        for runner in {*queue.runners, *self._estimates}:
            wait, experience = queue.wait(runner), queue.experience(runner)
            at_once, due = self._estimates.get(runner, (0, now))
            left = max(0.0, due - now)
            if at_once != experience.at_once or abs(wait - left) > max(LEAST_DRIFT, DRIFT * left):
                self._estimates[runner] = experience.at_once, now + wait
                estimate = Estimate(runner, wait, experience.at_once, experience.mean)
                for replica in others:
                    self._post(replica, "wait", estimate)
        while len(self._estimates) > MOST_RUNNERS:
            del self._estimates[next(iter(self._estimates))]


def _order(state: State) -> tuple[bool, int]:
    """Return what orders tickets: those with a slot as they got it, then the others as they came."""
    return not state.has_slot, state.grant if state.has_slot else state.number or 0
