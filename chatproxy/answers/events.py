"""What a stream says: the events of API.md's section "The stream", and their JSON.

`type` comes first in each. A `Frame` is an event encoded once, for however many readers.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chatproxy.store.records import FinishReason, Source, Usage

State = Literal["queued", "loading", "waiting", "generating"]


class Event(Struct, frozen=True, gc=False, rename="camel", tag_field="type", tag=str.lower):
    """`cursor` is there on the events that carry text and on the terminal ones."""


class Start(Event, frozen=True, kw_only=True):
    user_message_id: int
    assistant_message_id: int
    sources: list[Source]
    model: str | None
    model_reason: str | None
    session_id: str
    reset: bool | UnsetType = UNSET


class Status(Event, frozen=True, kw_only=True):
    state: State
    position: int | UnsetType = UNSET
    elapsed_ms: Annotated[int, Meta(description="Since the state began.")]
    eta_ms: int | UnsetType = UNSET
    tokens: Annotated[
        int | UnsetType, Meta(description="Lines with text so far, an estimate until `usage`.")
    ] = UNSET
    tokens_per_second: float | UnsetType = UNSET


class Thinking(Event, frozen=True):
    content: str
    cursor: str


class Chunk(Event, frozen=True):
    content: str
    cursor: str


class Warning(Event, frozen=True, kw_only=True):
    code: str
    message: str


class Done(Event, frozen=True, kw_only=True):
    assistant_message_id: int
    full_response: str
    sources: list[Source]
    finish_reason: FinishReason
    model: str | None
    usage: Usage | None
    cursor: str


class Error(Event, frozen=True, kw_only=True):
    error: str
    code: str
    retryable: bool
    assistant_message_id: int
    full_response: str
    cursor: str


Terminal = Done | Error
AnyEvent = Start | Status | Thinking | Chunk | Warning | Terminal

_encode: Final = msgspec.json.Encoder().encode


class Frame(Struct, frozen=True, gc=False):
    json: bytes
    cursor: str | None = None


def frame(event: Event) -> Frame:
    """The event as one line of JSON. JSON itself escapes CR and LF; U+0085, U+2028 and U+2029,
    at which some readers break lines too, are escaped here (no byte of theirs occurs otherwise
    in UTF-8, or in JSON outside a string)."""
    json = _encode(event)
    if not json.isascii():
        json = (
            json.replace(b"\xc2\x85", b"\\u0085")
            .replace(b"\xe2\x80\xa8", b"\\u2028")
            .replace(b"\xe2\x80\xa9", b"\\u2029")
        )
    return Frame(json, getattr(event, "cursor", None))
