"""A conversation as a file has it, and what the formats have in common: times, images, what is left out."""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from chatproxy.errors import ChatError
from chatproxy.ollama.lenient import decode_halves
from chatproxy.store.records import ImportedTurn, Think

MAX_MESSAGES: Final = 20_000  # of one conversation
MAX_SYSTEM: Final = 128 * 1024  # characters of instructions that become the system prompt
MAX_IMAGE: Final = 12 * 1024 * 1024  # bytes
MAX_IMAGES: Final = 32  # of a message
MAX_NAME: Final = 512  # characters of a model's name
MAX_TITLE: Final = 500  # characters
MAX_OPTIONS: Final = 64 * 1024  # bytes of JSON

# What can be left out, and the sentence that says so.
SENTENCES: Final[Mapping[str, str]] = {
    "branches": "Other versions of messages are left out; only the conversation that was shown last is kept.",
    "hidden": "Messages that the other program did not show are left out.",
    "tools": "Calls of tools and their results are left out; the answers that follow from them are kept.",
    "attachments": "Attached files are left out; add those that you need as documents.",
    "images": "Images that are not in the file, or are too large, are left out.",
    "documents": "Links to documents are left out; the passages that answers name are kept.",
    "instructions": "Instructions beyond the length of a system prompt are left out.",
    "citations": "Marks of citations in answers are left out.",
    "other": "Contents of a kind that chatproxy does not have are left out.",
}

T = TypeVar("T")


class Conversation(Struct, kw_only=True):
    """A conversation about to be imported.

    `turns` reads its messages, one at a time, and counts in `left_out` what is not imported, by a key of
    SENTENCES. `id` is the other program's, None if it has none. Reading a message raises `invalid` if it
    cannot be read.
    """

    id: str | None
    title: str | None
    turns: Iterator[ImportedTurn]
    left_out: Counter[str]
    model: str | None = None
    system: str | None = None
    think: Think | None = None
    options: dict[str, Any] | None = None
    pinned: bool = False
    created_at: str | None = None
    updated_at: str | None = None


def unreadable(what: str) -> ChatError:
    """Return the error for a conversation that cannot be read; `what` begins its sentence."""
    return ChatError("invalid", f"{what}; export it again, or leave it out.")


def decoded(raw: Raw | bytearray, kind: type[T]) -> T:
    """Return a part of a file as a value of this type, with U+FFFD for each half of a character.

    Raises `invalid`.
    """
    try:
        return decode_halves(raw, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(f"This conversation cannot be read ({_problem(error)})") from error


def _problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        return str(error)[:200]
    return "it is not valid JSON in UTF-8"


Fields = Mapping[str, Raw]


def fields(raw: Raw | bytearray | None) -> Fields:
    """Return the fields of an object, still encoded; none of anything else."""
    if raw is None or memoryview(raw)[:1].tobytes() != b"{":
        return {}
    return decoded(raw, dict[str, Raw])


def items(raw: Raw | None) -> Sequence[Raw]:
    """Return the items of a list, still encoded; none of anything else."""
    if raw is None or memoryview(raw)[:1].tobytes() != b"[":
        return ()
    return decoded(raw, list[Raw])


def value(raw: Raw | None) -> Any:
    """Return a value with everything in it; None if it is absent."""
    return None if raw is None else decoded(raw, object)


def get(parent: object, *path: str) -> Any:
    """Return what is at a path of objects in objects; None if there is nothing."""
    for name in path:
        parent = parent.get(name) if isinstance(parent, dict) else None
    return parent


def listed(found: object) -> list[Any]:
    """Return a list as it is, and an empty one for anything else."""
    return found if isinstance(found, list) else []


def text(found: object) -> str:
    """Return a text as it is, and an empty one for anything else."""
    return found if isinstance(found, str) else ""


def name(found: object) -> str | None:
    """Return a name, cut if it is long; None for anything else."""
    return text(found)[:MAX_NAME].strip() or None


def title(found: object) -> str | None:
    """Return a title, cut if it is long; None for anything else."""
    return text(found)[:MAX_TITLE].strip() or None


def when(found: object) -> str | None:
    """Return a time as chatproxy has it, from ISO 8601 or from seconds or milliseconds since 1970.

    None stands for what is no time.
    """
    try:
        if isinstance(found, str):
            time = datetime.fromisoformat(found)
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        elif isinstance(found, int | float) and not isinstance(found, bool) and found > 0:
            time = datetime.fromtimestamp(found / 1000 if found > 1e11 else found, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_DATA_URL: Final = re.compile(r"data:image/[\w.+-]+;base64,", re.ASCII)


def image(url: object) -> bytes | None:
    """Return the image in a data URL; None for any other address, and for one that is too large."""
    found = _DATA_URL.match(text(url))
    if found is None or not 0 < (len(text(url)) - found.end()) * 3 // 4 <= MAX_IMAGE:
        return None
    try:
        return base64.b64decode(text(url)[found.end() :], validate=True) or None
    except (binascii.Error, ValueError):
        return None


class Instructions:
    """What becomes the system prompt, as much as it may have."""

    def __init__(self, left_out: Counter[str]) -> None:
        self._left_out = left_out
        self._room = MAX_SYSTEM

    def turn(self, content: str) -> Iterator[ImportedTurn]:
        """Yield the instructions as a message, if they have a text and there is room for it."""
        if not content.strip():
            return
        if len(content.encode()) > self._room:
            self._left_out["instructions"] += 1
            return
        self._room -= len(content.encode()) + 2
        yield ImportedTurn(role="system", content=content)


def branch(last: str, parent: Callable[[str], str | None]) -> list[str]:
    """Return the ids of the messages from the first one to this one; `parent` gives the one before each.

    Raises `invalid` if they go round in a circle, and `too_large`.
    """
    path: dict[str, None] = {}
    at: str | None = last
    while at is not None:
        if at in path:
            raise unreadable("The messages of this conversation go round in a circle")
        if len(path) == MAX_MESSAGES:
            raise too_many()
        path[at] = None
        at = parent(at)
    return [*reversed(path)]


def too_many() -> ChatError:
    """Return the error for a conversation with too many messages."""
    return ChatError("too_large", f"This conversation has more than {MAX_MESSAGES} messages; leave it out.")
