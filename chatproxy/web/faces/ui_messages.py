"""The AI SDK's words: an answer as a stream of UI message chunks, and stored messages as UI messages.

Clients refuse chunks with keys or types that they do not know, so that what is sent here is what `ai` 5.0.110
knows, and nothing else. What only chatproxy has comes as `data-…` chunks.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, assert_never

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chatproxy.answers import events
from chatproxy.answers.answer import Answer
from chatproxy.answers.events import Frame
from chatproxy.prompt.images import UNKNOWN, data_url, kind_of
from chatproxy.store.records import Failure, FinishReason, Message, Notice, Record, Source, Usage
from chatproxy.web.sse import EventStream

MEDIA_TYPE: Final = "text/plain"  # of a passage, whatever its document was
VERSION: Final = "/"  # in the stored id of a question that replaced another; in none that a client gave

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,44}", re.ASCII)
_ROW: Final = re.compile(r"(row-)?([1-9][0-9]{0,17})", re.ASCII)


class Provided(Struct, frozen=True):
    """What only chatproxy knows of a source: all of it."""

    chatproxy: Source


class TextPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text of a message."""

    text: str
    state: Literal["done"] | UnsetType = UNSET


class FilePart(Record, frozen=True, kw_only=True, tag_field="type", tag="file"):
    """An image of a question, as a data URL."""

    media_type: str
    url: str


class ReasoningPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    """What a model thought."""

    text: str
    state: Literal["done"] = "done"


class SourcePart(Record, frozen=True, kw_only=True, tag_field="type", tag="source-document"):
    """A passage that an answer drew on."""

    source_id: str
    media_type: str
    title: str
    provider_metadata: Provided


class WarningPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="data-warning"):
    """Something that the reader should know. Of parts of an answer with one id, a page keeps the last."""

    id: str
    data: Notice


class UIMetadata(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The metadata of an answer: what the chunks `start` and `finish` say of it, and why it failed."""

    session_id: str
    user_message_id: int | None
    model: str | None
    finish_reason: FinishReason | UnsetType = UNSET
    usage: Usage | UnsetType | None = UNSET
    error: Failure | UnsetType = UNSET


class UIMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as `useChat` has it."""

    id: str
    role: Literal["user", "assistant"]
    parts: list[TextPart | FilePart | ReasoningPart | SourcePart | WarningPart]
    metadata: UIMetadata | UnsetType = UNSET


class UIMessageStream(EventStream):
    """A stream of UI message chunks; see docs/api.md, The AI SDK."""

    _started = False
    _open = ""  # the part that is being written: text or reasoning
    _warnings: Sequence[Notice] = ()  # that were sent

    def encode(self, frame: Frame) -> bytes:
        """Return the chunks of an event."""
        match frame.event:
            case events.Chunk(content=text):
                return self._write_part("text", text)
            case events.Thinking(content=text):
                return self._write_part("reasoning", text)
            case events.Status() as status:
                data = msgspec.to_builtins(status)
                del data["type"]
                return _chunk({"type": "data-status", "data": data, "transient": True})
            case events.Warning(code=code, message=message):
                self._warnings = [*self._warnings, Notice(code=code, message=message)]
                return _chunk(_warning_parts(self._warnings)[-1])
            case events.Start() if self._started:  # what was sent cannot be taken back; all of it follows
                return self._close_part()
            case events.Start() as start:
                self._started = True
                metadata = UIMetadata(
                    session_id=start.session_id, user_message_id=start.user_message_id, model=start.model
                )
                answer_id = str(start.assistant_message_id)
                return _chunk({"type": "start", "messageId": answer_id, "messageMetadata": metadata})
        return b""

    def ending(self, answer: Answer) -> Iterator[bytes]:
        """Yield the chunks that end an answer."""
        yield self._close_part()
        match answer.terminal_event():
            case events.Error(error=sentence):
                yield _chunk({"type": "error", "errorText": sentence})
            case events.Done() as done:
                for source in done.sources:
                    yield _chunk(source_part(source))
                reason = done.finish_reason
                if reason == "cancelled":
                    yield _chunk({"type": "abort"})
                metadata = {"finishReason": reason, "model": done.model, "usage": done.usage}
                said = "other" if reason == "cancelled" else reason
                yield _chunk({"type": "finish", "finishReason": said, "messageMetadata": metadata})
            case unknown:
                assert_never(unknown)
        yield b"data: [DONE]\n\n"

    def _write_part(self, kind: str, text: str) -> bytes:
        delta = _chunk({"type": f"{kind}-delta", "id": kind, "delta": text})
        if kind == self._open:
            return delta
        closed = self._close_part()
        self._open = kind
        return closed + _chunk({"type": f"{kind}-start", "id": kind}) + delta

    def _close_part(self) -> bytes:
        kind, self._open = self._open, ""
        return _chunk({"type": f"{kind}-end", "id": kind}) if kind else b""


def _chunk(chunk: Mapping[str, Any] | Struct) -> bytes:
    return b"data: %b\n\n" % events.to_json(chunk)


def source_part(source: Source) -> SourcePart:
    """Return a source as a part of a message, which is also its chunk."""
    return SourcePart(
        source_id=f"{source.document_id}-{source.chunk}",
        media_type=MEDIA_TYPE,
        title=source.title,
        provider_metadata=Provided(chatproxy=source),
    )


def _warning_parts(warnings: Sequence[Notice]) -> list[WarningPart]:
    """Return warnings as parts of a message, which are also chunks."""
    codes = [notice.code for notice in warnings]
    numbers = [codes[:place].count(code) + 1 for place, code in enumerate(codes)]
    return [
        WarningPart(id=notice.code if number == 1 else f"{notice.code}-{number}", data=notice)
        for notice, number in zip(warnings, numbers, strict=True)
    ]


def ui_message(message: Message, images: Sequence[bytes], question_id: int | None) -> UIMessage:
    """Return a stored message with its images; `question_id` is that of the last question up to it."""
    parts: list[TextPart | FilePart | ReasoningPart | SourcePart | WarningPart]
    if message.role == "user":
        parts = [FilePart(media_type=kind_of(image) or UNKNOWN, url=data_url(image)) for image in images]
        if message.content or not images:  # which may have been left out
            parts.append(TextPart(text=message.content))
        return UIMessage(id=ui_id(message), role="user", parts=parts)
    parts = [*_warning_parts(message.warnings)]
    if message.thinking:
        parts.append(ReasoningPart(text=message.thinking))
    if message.content:
        parts.append(TextPart(text=message.content, state="done"))
    if message.error is None:
        parts += [source_part(source) for source in message.sources]
    metadata = UIMetadata(
        session_id=message.session_id,
        user_message_id=question_id,
        model=message.model,
        finish_reason=message.finish_reason or UNSET,
        usage=UNSET if message.finish_reason is None else message.usage,
        error=message.error or UNSET,
    )
    return UIMessage(id=ui_id(message), role="assistant", parts=parts, metadata=metadata)


# -- ids
#
# A question has the id that its client gave it; one that was sent without, `row-{its row}`. What replaces it
# is another question here, but has the same id there. Because an id has at most one answer, it is stored as
# a version: `{id}/{row that it replaced}`. An answer has its row's.


def ui_id(message: Message) -> str:
    """Return the id that clients know a message by."""
    name = (message.client_message_id or "").partition(VERSION)[0]
    if is_id(name):
        return name
    return str(message.id) if message.role == "assistant" else f"row-{message.id}"


def is_id(name: str) -> bool:
    """Return whether a client may call a message that."""
    return _ID.fullmatch(name) is not None


def question_row(name: str) -> int | None:
    """Return the row of a question that is known by it; None for a client's own id."""
    form = _ROW.fullmatch(name)
    return int(form[2]) if form and form[1] else None


def answer_row(name: str) -> int | None:
    """Return the row of an answer that is known by it; None for a client's own id."""
    form = _ROW.fullmatch(name)
    return int(form[2]) if form and not form[1] else None
