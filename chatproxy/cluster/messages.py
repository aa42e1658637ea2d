"""What replicas tell each other about the line in front of Ollama.

Each message has the whole state of something, so that one that is lost does no harm once the next one comes,
and one that comes twice does none at all. As clocks differ, a time is sent as the seconds since then.

    a replica            the head
    ticket  State ─────>            what it knows of one of its tickets
    left    id ────────>            that a ticket is not there any more
    all     ids ───────>            that it has no other tickets than these, and has told all of them
            <───────── ask          that it is to tell all of that
            <───────── stand  Standing   what becomes of a ticket
            <───────── wait   Estimate   how long others will wait
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.generation.queue import BODIES, PROMPTS, Shares
from chatproxy.generation.ticket import Room
from chatproxy.models.catalog import Runner
from chatproxy.models.pace import Pace

ROOMS: Final[Mapping[str, Room]] = {"prompts": PROMPTS, "bodies": BODIES}


class State(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ticket as the replica has it where its answer is written.

    `id` is the replica's own number for it. `number` and `shares` are what a head gave it; None: none has.
    `grant` is the number of the grant of its slot, in the order in which slots were given.
    One that rejoins is taken whatever the room has left. Times are in seconds since then.
    """

    id: int
    asker: str
    runner: Runner
    size: int
    room: str  # of ROOMS
    pace: Pace
    rejoins: bool = False
    number: int | None = None
    shares: Shares | None = None
    refusals: int = 0  # how often Ollama had no room for it
    has_slot: bool = False
    grant: int = 0
    waits: bool = True
    was_warm: bool = False
    turn: float | None = None
    asked: float | None = None
    first_asked: float | None = None
    text: float | None = None
    ended: bool = False
    is_complete: bool = False


class Refusal(Struct, frozen=True):
    """Why there is no place for a ticket: the parts of a ChatError."""

    code: str
    sentence: str
    retry_after: int | None

    @property
    def error(self) -> ChatError:
        """What its holder gets to see."""
        return ChatError(self.code, self.sentence, retry_after=self.retry_after)


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of a ticket, as the head has it.

    It is about the time after so many refusals. It has no position if that is 0: when it is the ticket's
    turn, since `turn` seconds. `eta` is in seconds.
    """

    id: int
    number: int = 0
    shares: Shares | None = None
    refusals: int = 0
    has_slot: bool = False
    grant: int = 0
    turn: float | None = None
    was_warm: bool = False
    position: int = 0
    eta: float = 0.0
    refusal: Refusal | None = None


class Estimate(Struct, frozen=True):
    """How many seconds who comes now will wait for a runner, and what is known of that.

    It produces so many answers at once, and the last ones took `mean` seconds; 0: none has ended.
    """

    runner: Runner
    wait: float
    at_once: int
    mean: float


_WORDS: Final[Mapping[str, Any]] = {
    "ticket": State,
    "left": int,
    "all": list[int],
    "ask": None,
    "stand": Standing,
    "wait": Estimate,
}


def written(word: str, content: object) -> str:
    """Return the line for a message."""
    return f"{word} {msgspec.json.encode(content).decode()}"


def read(line: str) -> tuple[str, Any]:
    """Return the word and the content of a line. Raises ValueError for one that another version wrote."""
    word, _, content = line.partition(" ")
    if word not in _WORDS:
        raise ValueError(f"{word[:20]!r} is no word of this version")
    return word, msgspec.json.decode(content, type=_WORDS[word])  # its errors are ValueErrors


def name_of(room: Room) -> str:
    """Return the name of a room."""
    return next(name for name, each in ROOMS.items() if each is room)
