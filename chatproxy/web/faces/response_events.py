"""A kept Response in OpenAI's words: its object, and its events with their numbers.

`sequence_number` is a position. With T code points of thinking before A code points of text, it is

    0, 1                     response.created, response.in_progress
    2                        the reasoning item is added
    2 + t                    its delta that ends at position t, up to 2 + T
    3 + T, 4 + T             its text is done, the item is done
    m                        the message is added; m is 5 + T, or 2 if T is 0
    m + 1                    its part is added
    m + 1 + a                its delta that ends at position a, up to m + 1 + A
    m + 2 + A … m + 4 + A    its text, its part and itself are done
    m + 5 + A                the response has ended

Items without text are left out, their numbers are not used. So numbers increase, with gaps, and are the same
in every replay: they follow from the text, of which T is fixed when its first content arrives. What a model
thinks later shows in the final output only.

If text was swapped (see `text/reasoning`), all numbers from 2 on are SWAPPED higher, so that all of it is new
to readers of the text as it was.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import asdict

from chatproxy.answers.answer import Answer
from chatproxy.answers.events import Chunk, Frame, Start, Thinking, to_json
from chatproxy.cursor import Cursor
from chatproxy.store.records import Usage

# An interrupted answer may have lost text that readers have. Its end is numbered beyond any of that, so that
# they are still told, and below 2^31, which all clients can read.
LOST: Final = 2**30
SWAPPED: Final = 2**29

Status = Literal["queued", "in_progress", "completed", "incomplete", "cancelled", "failed"]
ENDED: Final[Mapping[str, Status]] = {
    "complete": "completed",
    "cancelled": "cancelled",
    "failed": "failed",
    "interrupted": "failed",
}
# OpenAI has no event for what was cancelled.
TERMINAL: Final[Mapping[Status, str]] = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "cancelled": "response.incomplete",
    "failed": "response.failed",
}

Object = dict[str, Any]
# The parts of items that hold a text.
SUMMARY: Final[Object] = {"type": "summary_text", "text": ""}
PART: Final[Object] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a Response repeats of its request. It is stored as JSON, and the objects in it stay JSON."""

    background: bool = False
    max_output_tokens: int | None = None
    metadata: Raw = Raw(b"{}")
    previous_response_id: str | None = None
    reasoning: Raw = Raw(b"null")
    temperature: float | None = None
    text: Raw = Raw(b'{"format":{"type":"text"}}')
    top_p: float | None = None


class IncompleteDetails(Struct, frozen=True):
    """Why a Response is incomplete."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseFailure(Struct, frozen=True):
    """Why a Response failed: one sentence that says what to do."""

    code: Literal["server_error"]
    message: str


class CachedTokens(Struct, frozen=True):
    """Ollama does not report these; 0."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class ReasoningTokens(Struct, frozen=True):
    """Ollama does not report these; 0."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, frozen=True, kw_only=True):
    """What a Response cost, in tokens."""

    input_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens: int
    output_tokens_details: ReasoningTokens = ReasoningTokens()
    total_tokens: int

    @classmethod
    def of(cls, usage: Usage) -> "ResponseUsage":
        """Return an answer's usage in OpenAI's form."""
        sent, received = usage.prompt_tokens or 0, usage.completion_tokens or 0
        return cls(input_tokens=sent, output_tokens=received, total_tokens=sent + received)


class Response(Struct, frozen=True, kw_only=True):
    """An answer as OpenAI's Response. What clients choose stands after `output`, which is filled in later."""

    id: str
    object: Literal["response"] = "response"
    created_at: Annotated[int, Meta(description="Unix time, in seconds.")]
    status: Status
    error: ResponseFailure | None
    incomplete_details: IncompleteDetails | None
    output: Annotated[list[dict[str, Any]], Meta(description="A reasoning item, a message, both or neither.")]
    usage: ResponseUsage | None
    model: str
    background: bool
    instructions: None = None
    max_output_tokens: int | None
    max_tool_calls: None = None
    metadata: dict[str, str]
    parallel_tool_calls: bool = True
    previous_response_id: str | None
    reasoning: dict[str, Any] | None
    service_tier: Literal["default"] = "default"
    store: bool = True
    temperature: float | None
    text: dict[str, Any]
    tool_choice: Literal["auto"] = "auto"
    tools: list[dict[str, Any]] = []
    top_p: float | None
    truncation: Literal["auto"] = "auto"
    user: None = None


class ResponseEvent(Struct, frozen=True):
    """One of OpenAI's events, with the fields of its type."""

    type: str
    sequence_number: Annotated[int, Meta(description="A position in the text; increases, with gaps.")]


def response_id(answer: Answer) -> str:
    """Return the id of an answer as a Response."""
    return f"resp_{answer.session_id}_{answer.id}"


def status_of(answer: Answer) -> Status:
    """Return the status of a Response."""
    if not answer.ended:
        return "queued" if answer.progress.state == "queued" else "in_progress"
    outcome = answer.record
    return "incomplete" if outcome.finish_reason == "length" else ENDED[outcome.status]


def response(answer: Answer) -> Iterator[bytes]:
    """Yield the JSON of a Response as it is now, in pieces; the output of one that goes on is empty."""
    status = status_of(answer)
    items, texts = _output(answer, status) if answer.ended else ([], [])
    return _filled(_response(answer, status, items), *texts)


class ResponseEvents:
    """The events of one Response for one reader, who has those up to the number `after`.

    It takes the frames of a subscription that begins at `cursor`; in the end, those of `ending` follow. No
    number is sent twice.
    """

    def __init__(self, answer: Answer, after: int = -1) -> None:
        self._answer = answer
        self._last = after  # the number that was sent last

    @property
    def cursor(self) -> Cursor:
        """Where in the text the reader is."""
        answer = self._answer
        thought = self._last - self._thinking_number
        if answer.thought is None or thought <= answer.thought:
            return Cursor(min(max(thought, 0), answer.thinking.length), 0)
        position = self._last - self._message_number - 1
        return Cursor(answer.thinking.length, min(max(position, 0), answer.content.length))

    @property
    def _thinking_number(self) -> int:
        """The number with which the thinking, or what comes first, is added."""
        return 2 + SWAPPED if self._answer.swapped else 2

    @property
    def _message_number(self) -> int:
        """The number with which the message is added, once it is known where thinking ends."""
        thought = self._answer.thought
        return self._thinking_number + (3 + thought if thought else 0)

    def is_short(self, frame: Frame) -> bool:
        """Return whether a frame does not end the thinking, all of which is then repeated."""
        ends_thinking = self._answer.thought and self._last <= self._message_number
        return not (ends_thinking and isinstance(frame.event, Chunk))

    def of(self, frame: Frame) -> Iterator[bytes]:
        """Yield what a frame brings, in pieces of bounded size."""
        match frame.event:
            case Start():
                begun = _response(self._answer, "in_progress", [])
                yield from self._event(0, "response.created", response=begun)
                yield from self._event(1, "response.in_progress", response=begun)
            case Thinking(content=text, cursor=cursor):
                yield from self._thinking(text, Cursor.parse(cursor).thinking)
            case Chunk(content=text, cursor=cursor):
                yield from self._message_begins()
                end, part = Cursor.parse(cursor).content, _part_of(self._answer)
                yield from self._delta(
                    self._message_number + 1, end, text, "response.output_text.delta", **part, logprobs=[]
                )
            case _:  # a heartbeat, or a warning, for which OpenAI has no event: a comment
                yield b": %b\n\n" % frame.json

    def ending(self) -> Iterator[bytes]:
        """Yield the events after the last text, in pieces of bounded size."""
        answer, status, number = self._answer, status_of(self._answer), self._message_number
        if not answer.content.length:
            yield from self._thinking_ends()
        else:
            yield from self._message_begins()
            number += answer.content.length
            place, text = _part_of(answer), answer.content.pieces
            yield from self._event(
                number + 2, "response.output_text.done", text(), **place, text="", logprobs=[]
            )
            yield from self._event(number + 3, "response.content_part.done", text(), **place, part=PART)
            yield from self._event(
                number + 4,
                "response.output_item.done",
                text(),
                output_index=place["output_index"],
                item=_message(answer, status, PART),
            )
        items, texts = _output(answer, status)
        number += 5 + (LOST if answer.record.status == "interrupted" else 0)
        yield from self._event(number, TERMINAL[status], *texts, response=_response(answer, status, items))

    def _thinking(self, text: str, end: int) -> Iterator[bytes]:
        thought = self._answer.thought
        if thought is not None and end > thought:
            text, end = text[: max(len(text) - (end - thought), 0)], thought
        if text:
            item = _reasoning(self._answer)
            number, place = self._thinking_number, _summary_of(self._answer)
            yield from self._event(number, "response.output_item.added", output_index=0, item=item)
            yield from self._delta(number, end, text, "response.reasoning_summary_text.delta", **place)
        else:  # a late thought may be long, and proxies close connections that are silent
            yield b":\n\n"

    def _thinking_ends(self) -> Iterator[bytes]:
        if thought := self._answer.thought:
            text = self._answer.thinking.pieces
            place, item = _summary_of(self._answer), _reasoning(self._answer)
            number = self._thinking_number + thought
            yield from self._event(
                number + 1, "response.reasoning_summary_text.done", text(thought), **place, text=""
            )
            yield from self._event(
                number + 2, "response.output_item.done", text(thought), output_index=0, item=item
            )

    def _message_begins(self) -> Iterator[bytes]:
        yield from self._thinking_ends()
        number, place = self._message_number, _part_of(self._answer)
        item = _message(self._answer, "in_progress")
        yield from self._event(
            number, "response.output_item.added", output_index=place["output_index"], item=item
        )
        yield from self._event(number + 1, "response.content_part.added", **place, part=PART)

    def _delta(self, first: int, end: int, text: str, type: str, **fields: object) -> Iterator[bytes]:
        """Yield what the reader lacks of a text that ends at `end`; the number of position 0 is `first`."""
        if (lacking := first + end - max(self._last, first)) > 0:
            yield from self._event(first + end, type, **fields, delta=text[-lacking:])

    def _event(self, number: int, type: str, *texts: Iterator[str], **fields: object) -> Iterator[bytes]:
        """Yield an event, unless the reader has its number; `texts` take the places of its empty ones."""
        if number > self._last:
            self._last = number
            yield b"event: %b\ndata: " % type.encode()
            yield from _filled({"type": type, "sequence_number": number, **fields}, *texts)
            yield b"\n\n"


def _filled(value: object, *texts: Iterator[str]) -> Iterator[bytes]:
    """Yield JSON in pieces, with the texts in place of the first empty ones under the key `text`.

    A long text is encoded as it is sent, so that no reader has a copy of it. Within JSON's strings, quotation
    marks are escaped, so that none of these looks like an empty text.
    """
    first, *parts = to_json(value).split(b'"text":""', len(texts))
    yield first
    for text, part in zip(texts, parts, strict=True):
        yield b'"text":"'
        for piece in text:
            yield to_json(piece)[1:-1]
        yield b'"' + part


def _response(answer: Answer, status: Status, items: list[Object]) -> Response:
    outcome = answer.record
    asked = Asked() if answer.asked is None else msgspec.json.decode(answer.asked, type=Asked)
    has_ended = status in TERMINAL
    return Response(
        id=response_id(answer),
        created_at=int(datetime.fromisoformat(outcome.created_at).timestamp()),
        status=status,
        error=ResponseFailure("server_error", outcome.error.error) if has_ended and outcome.error else None,
        incomplete_details=IncompleteDetails() if status == "incomplete" else None,
        output=items,
        usage=ResponseUsage.of(outcome.usage) if has_ended and outcome.usage else None,
        model=outcome.model or "",
        **asdict(asked),
    )


def _output(answer: Answer, status: Status) -> tuple[list[Object], list[Iterator[str]]]:
    """Return the items of an answer that has ended, in the order of their events, and their texts."""
    found: list[tuple[Object, Iterator[str]]] = []
    if answer.thinking.length:
        found.append((_reasoning(answer), answer.thinking.pieces()))
    if answer.content.length:
        found.insert(_message_index(answer), (_message(answer, status, PART), answer.content.pieces()))
    return [item for item, _ in found], [text for _, text in found]


def _message_index(answer: Answer) -> int:
    return 1 if answer.thought else 0


def _reasoning(answer: Answer) -> Object:
    # The part is there from the beginning: OpenAI's client for JavaScript fails for a delta without one, and
    # no number is left for an event that adds it.
    return {"id": f"rs_{answer.session_id}_{answer.id}", "type": "reasoning", "summary": [SUMMARY]}


def _message(answer: Answer, status: Status, *parts: Object) -> Object:
    return {
        "id": f"msg_{answer.session_id}_{answer.id}",
        "type": "message",
        "role": "assistant",
        "status": status if status in {"in_progress", "completed"} else "incomplete",
        "content": parts,
    }


def _summary_of(answer: Answer) -> Object:
    return {"item_id": f"rs_{answer.session_id}_{answer.id}", "output_index": 0, "summary_index": 0}


def _part_of(answer: Answer) -> Object:
    return {
        "item_id": f"msg_{answer.session_id}_{answer.id}",
        "output_index": _message_index(answer),
        "content_index": 0,
    }
