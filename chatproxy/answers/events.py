"""The events of a stream and their JSON; see docs/api.md, The stream.

`type` is the first key of each. A `Frame` is an event that is encoded once for all of its subscribers.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chatproxy.store.records import DocumentIds, FinishReason, Source, Usage

State = Literal["queued", "loading", "waiting", "generating"]


class Event(Struct, frozen=True, gc=False, rename="camel", tag_field="type", tag=str.lower):
    """Base of all events. Those that carry text, and the terminal ones, have a `cursor`."""


class Start(Event, frozen=True, kw_only=True):
    """The first event of every stream, once both rows are committed."""

    user_message_id: int | None
    assistant_message_id: int
    document_ids: DocumentIds
    sources: list[Source]
    model: str | None
    model_reason: str | None
    session_id: str
    reset: bool | UnsetType = UNSET


class Status(Event, frozen=True, kw_only=True):
    """What the answer is waiting for or doing; sent on a change, while text arrives, and as a heartbeat.

    A new position is no change of the state: the last one is sent within half a second.
    """

    state: State
    position: int | UnsetType = UNSET
    elapsed_ms: Annotated[int, Meta(description="Since the state began.")]
    eta_ms: int | UnsetType = UNSET
    tokens: Annotated[
        int | UnsetType, Meta(description="Lines with text so far; an estimate until `usage` is known.")
    ] = UNSET
    tokens_per_second: float | UnsetType = UNSET


class Thinking(Event, frozen=True):
    """Reasoning text."""

    content: str
    cursor: str


class Chunk(Event, frozen=True):
    """Answer text."""

    content: str
    cursor: str


class Warning(Event, frozen=True, kw_only=True):
    """Something that the reader should know while the answer goes on."""

    code: str
    message: str


class Done(Event, frozen=True, kw_only=True):
    """The terminal event of an answer that is complete or cancelled."""

    assistant_message_id: int
    full_response: str
    sources: list[Source]
    finish_reason: FinishReason
    model: str | None
    model_reason: str | None
    usage: Usage | None
    cursor: str


class Error(Event, frozen=True, kw_only=True):
    """The terminal event of an answer that failed; the text so far is kept."""

    error: str
    code: str
    retryable: bool
    request_id: Annotated[
        str | UnsetType, Meta(description="Of the request that asked for the answer; the log has it, too.")
    ] = UNSET
    assistant_message_id: int
    full_response: str
    cursor: str


Terminal = Done | Error
AnyEvent = Start | Status | Thinking | Chunk | Warning | Terminal

_encode: Final = msgspec.json.Encoder().encode


class EventFrame(Struct, frozen=True, gc=False):
    """An event and its JSON, and its cursor if it has one."""

    event: Event
    json: bytes
    cursor: str | None = None


class TextFrame(Struct, frozen=True, gc=False):
    """A piece of text, as every token is, and its JSON.

    Few need its event or its cursor, which are made for them.
    """

    kind: type[Thinking | Chunk]
    text: str
    json: bytes
    thinking: int  # where the piece ends in the text
    content: int

    @property
    def cursor(self) -> str:
        """The end of the piece as a cursor."""
        return f"{self.thinking}.{self.content}"

    @property
    def event(self) -> Thinking | Chunk:
        """The event."""
        return self.kind(self.text, self.cursor)


Frame = EventFrame | TextFrame


def frame(event: Event) -> EventFrame:
    """Encode an event as one line of JSON."""
    return EventFrame(event, to_json(event), getattr(event, "cursor", None))


def text_frame(kind: type[Thinking | Chunk], text: str, thinking: int, content: int) -> TextFrame:
    """Encode a piece of text that ends there."""
    cursor = f"{thinking}.{content}"
    return TextFrame(kind, text, to_json(kind(text, cursor)), thinking, content)


def pieces(event: Terminal, text: Iterator[str]) -> Iterator[bytes]:
    """Yield the JSON of a terminal event in pieces, with `text` in place of its empty `full_response`.

    A long text is encoded as it is sent, so that no reader has a copy of it.
    """
    head, key, tail = to_json(event).partition(b'"fullResponse":"')
    yield head + key
    for piece in text:
        yield to_json(piece)[1:-1]
    yield tail


def to_json(value: object) -> bytes:
    """Encode a value as one line of JSON.

    JSON escapes CR and LF. What else some clients take for the end of a line is escaped here: U+0085, U+2028
    and U+2029. In UTF-8, their bytes are part of no other character, and in JSON, they occur only within
    strings.
    """
    json = _encode(value)
    if json.isascii():
        return json
    return (
        json.replace(b"\xc2\x85", b"\\u0085")
        .replace(b"\xe2\x80\xa8", b"\\u2028")
        .replace(b"\xe2\x80\xa9", b"\\u2029")
    )
