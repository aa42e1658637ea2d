"""An answer that another replica writes: there, a relay reads it; here, it grows by what the relay sends.

A relay is one more subscriber, whose socket is the bus. It sends events of the HTTP contract and `Described`,
each as a line that begins with the relay's name and a running number. So whatever is missing is seen, also of
what is said besides the text, and asked for from where the text ends here: then another relay begins. Events
say where their text belongs; what is here already is dropped. No more is needed for an exact copy, whatever
the bus loses, or sends again.

All is sent but the end, which is a row.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from msgspec import Struct

from chatproxy import clock
from chatproxy.answers import events
from chatproxy.answers.answer import Answer
from chatproxy.answers.events import Chunk, EventFrame, Frame, Start, Status, Thinking
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError
from chatproxy.store.records import Message

ASK_EVERY: Final = 1.0  # seconds from one question for what is missing to the next


class Described(Struct, frozen=True, kw_only=True, tag_field="type", tag="described"):
    """All of an answer but its text and its progress. A relay begins with it, and repeats it when it changes.

    With `reset`, the text starts over.
    """

    record: Message  # without texts
    thought: int | None
    swapped: bool
    reset: bool


_decoder: Final = msgspec.json.Decoder(Described | Status | Thinking | Chunk)


class Relay:
    """The `Sink` of the subscription for another replica.

    `send` sends it a line, for which the bus has room when `has_room` says so, and when `room` returns. `end`
    is called when the outcome is committed.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        send: Callable[[str], None],
        has_room: Callable[[], bool],
        room: Callable[[], Awaitable[None]],
        end: Callable[[], None],
    ) -> None:
        self.gone = False  # the other replica does not follow the answer any more
        self._answer = answer
        self._send = send
        self._has_room = has_room
        self._room = room
        self._end = end
        self._name = random.getrandbits(32)
        self._number = 0  # of the next line
        self._told: tuple[Message, int | None, bool] | None = None  # of the answer, as it was then

    def push(self, frame: Frame) -> bool:
        """Send a frame, or return False if there is no room for it."""
        if self.gone or not self._has_room():
            return False
        self._tell(frame)
        return True

    async def send(self, frame: Frame) -> None:
        """Send a frame once there is room for it."""
        await self._room()
        if self.gone:
            raise ConnectionResetError("the other replica does not follow the answer any more")
        self._tell(frame)

    async def end(self, answer: Answer) -> None:
        """Say that it has ended."""
        self._end()

    def abort(self) -> None:
        """Send nothing more."""
        self.gone = True

    def _tell(self, frame: Frame) -> None:
        """Send a frame, and before it, what the answer has become, such as another model's."""
        event = frame.event if isinstance(frame, EventFrame) else None
        answer = self._answer
        told = answer.record, answer.thought, answer.swapped
        if isinstance(event, Start) or told != self._told:
            self._told = record, thought, swapped = told
            reset = isinstance(event, Start) and event.reset is True
            self._line(
                events.to_json(Described(record=record, thought=thought, swapped=swapped, reset=reset))
            )
        if not isinstance(event, Start | events.Warning):
            self._line(frame.json)

    def _line(self, json: bytes) -> None:
        self._send(f"{self._name} {self._number} {json.decode()}")
        self._number += 1


class Followed:
    """An answer that grows by what the relay of another replica sends."""

    def __init__(self, answer: Answer, ask: Callable[[Cursor], None]) -> None:
        """Follow `answer`, which is as it was stored; `ask` has a relay begin after a position."""
        self.answer = answer
        self.heard_at = clock.now()  # on `clock`: when the last line came that was of use
        self._ask = ask
        self._asked_at: float | None = None  # on `clock`
        self._relay = ""  # the name of the one that is listened to; none if something is missing
        self._number = 0  # of its next line
        self._current = asyncio.Event()

    @property
    def is_current(self) -> bool:
        """Whether the text here is all that there was a moment ago, as far as is known.

        If not, a reader may have more of it from elsewhere, and would be sent it again.
        """
        return self._current.is_set()

    async def wait_until_current(self) -> None:
        """Return once `is_current` is so, or the answer has ended."""
        await self._current.wait()

    def ask(self) -> None:
        """Ask for what comes after the text here."""
        self._asked_at = clock.now()
        self._ask(self.answer.cursor)

    def look(self) -> None:
        """Ask again for what did not come: a question may be lost, too."""
        if not self.is_current and clock.now() - (self._asked_at or 0.0) >= ASK_EVERY:
            self.ask()

    def renew(self) -> None:
        """Be current no more until the owner has sent what comes after the text here."""
        self._current.clear()
        self.ask()

    def end(self, stored: Message, thought: int | None, swapped: bool) -> None:
        """Take the outcome and the texts that are stored."""
        self.answer.become(stored, thought, swapped)
        self._current.set()

    def take(self, line: str) -> None:
        """Take a line that a relay has sent.

        One that is malformed, as another version's may be, counts as missing.
        """
        if self.answer.ended:
            return
        try:
            name, number, json = line.split(" ", 2)
            if self._is_new(name, int(number)):
                self._take(_decoder.decode(json))
        except (ValueError, msgspec.MsgspecError, ChatError):
            self._miss()

    def _is_new(self, name: str, number: int) -> bool:
        """Return whether a line was not taken yet. Raises ValueError if something is missing before it."""
        if number == 0 and name != self._relay:
            self._relay, self._number = name, 0
        if name != self._relay or number > self._number:
            raise ValueError("there is something missing before the line")
        is_new = number == self._number
        self._number += is_new
        return is_new

    def _take(self, event: Described | Status | Thinking | Chunk) -> None:
        answer = self.answer
        match event:
            case Described():
                if event.reset or event.swapped != answer.swapped:
                    answer.restart()
                answer.describe(event.record, event.thought, event.swapped)
            case Status():
                answer.report(event)
                self._current.set()
            case _:
                self._grow(event)
        self.heard_at = clock.now()

    def _grow(self, event: Thinking | Chunk) -> None:
        """Append what is new of a piece. Raises ValueError if something is missing before it."""
        answer, end, text = self.answer, Cursor.parse(event.cursor), event.content
        here = Cursor(answer.thinking.length, answer.content.length)
        if isinstance(event, Thinking):
            begin, new = end.thinking - len(text), end.thinking - here.thinking
            is_missing = begin > here.thinking or end.content > here.content
        else:
            begin, new = end.content - len(text), end.content - here.content
            is_missing = begin > here.content or end.thinking > here.thinking
        if is_missing or begin < 0:
            raise ValueError("the text does not go on there")
        if new > 0:
            text = text[-new:]
            if isinstance(event, Thinking):
                answer.append(text, "", 1)
            else:
                answer.append("", text, 1)

    def _miss(self) -> None:
        """Ask for what is missing, unless that was asked for a moment ago."""
        self._relay = ""
        self._current.clear()
        if self._asked_at is None or clock.now() - self._asked_at >= ASK_EVERY:
            self.ask()
