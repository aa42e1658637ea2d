"""The one idea: an answer is a growing text, and everybody who watches it holds a position in it.

A generation appends, subscriptions read; neither waits for the other. A stored answer is the same
thing with its end already known, so replay, resume and live streams are one code path.
"""

from collections.abc import Sequence
from io import SEEK_END, StringIO
from time import monotonic
from typing import Final, Protocol

from msgspec import UNSET
from msgspec.structs import replace

from chatproxy.answers import events
from chatproxy.answers.events import Frame, State, frame
from chatproxy.cursor import Cursor
from chatproxy.store.records import Message, Notice, Source

MAX_FRAME: Final = 16 * 1024  # bytes of text, as UTF-8


class Text:
    """A text that grows at its end and is read from anywhere, by code points, at no cost per length."""

    __slots__ = ("_buffer", "length")

    def __init__(self, text: str = "") -> None:
        self._buffer = StringIO()
        self.length = 0
        self.append(text)

    def append(self, text: str) -> None:
        self.length += self._buffer.write(text)

    def part(self, start: int, size: int = -1) -> str:
        self._buffer.seek(start)
        try:
            return self._buffer.read(size)
        finally:
            self._buffer.seek(0, SEEK_END)

    def piece(self, start: int) -> str:
        """What follows `start`, as much of it as one frame may carry; whole characters."""
        piece = self.part(start, MAX_FRAME)
        if len(piece) * 4 <= MAX_FRAME:
            return piece
        return piece.encode()[:MAX_FRAME].decode(errors="ignore")

    def __str__(self) -> str:
        return self._buffer.getvalue()


class Progress:
    """Where an answer stands before it ends: what the `status` event tells."""

    __slots__ = ("eta_ms", "position", "since", "state", "tokens", "version")

    def __init__(self, state: State) -> None:
        self.state = state
        self.since = monotonic()
        self.position: int | None = None
        self.eta_ms: float | None = None  # how long loading takes here, once that was measured
        self.tokens = 0
        self.version = 0  # counts the changes, so that a reader knows whether it was told of the last

    def enter(self, state: State, position: int | None = None) -> None:
        if state != self.state:
            self.state = state
            self.since = monotonic()
        self.position = position
        self.version += 1

    def event(self) -> events.Status:
        elapsed = monotonic() - self.since
        writing = self.state == "generating"
        return events.Status(
            state=self.state,
            position=UNSET if self.position is None else self.position,
            elapsed_ms=round(elapsed * 1000),
            eta_ms=UNSET
            if self.eta_ms is None or self.state != "loading"
            else max(0, round(self.eta_ms - elapsed * 1000)),
            tokens=self.tokens if writing else UNSET,
            tokens_per_second=round(self.tokens / elapsed, 1) if writing and elapsed > 0.5 else UNSET,
        )


class Reader(Protocol):
    """Who watches an answer: a `Subscription`."""

    in_step: bool  # has seen everything so far
    sent_at: float

    @property
    def gone(self) -> bool: ...

    def push(self, text: Frame, position: Cursor) -> None:
        """For who is in step, and falls behind where its socket still has something waiting."""

    def push_status(self, status: Frame, version: int) -> None:
        """The same."""

    def fall_behind(self) -> None:
        """Reads on by itself from here."""


class Answer:
    """One assistant message as its readers see it: texts, progress, and in the end the outcome."""

    def __init__(self, message: Message, question_id: int) -> None:
        self.id = message.id
        self.question_id = question_id
        self.session_id = message.session_id
        self.sources = message.sources
        self.warnings = list(message.warnings)
        self.model = message.model
        self.model_reason = message.model_reason
        self.thinking = Text(message.thinking)
        self.content = Text(message.content)
        self.progress = Progress("waiting")
        self.outcome: Message | None = None  # the message as it ended
        self.readers: set[Reader] = set()
        self._begun = message
        self._terminal: Frame | None = None
        if message.status != "streaming":
            self.end(message)

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.thinking.length, self.content.length, self.outcome is not None)

    def append(self, thinking: str, content: str, tokens: int) -> None:
        """Takes in what one read from Ollama brought, and hands it to everybody who is in step.

        No task is woken for it: this is the path of every token."""
        self.progress.tokens += tokens
        if thinking:
            self.thinking.append(thinking)
            self._hand_out(events.Thinking, thinking)
        if content:
            self.content.append(content)
            self._hand_out(events.Chunk, content)

    def _hand_out(self, event: type[events.Thinking | events.Chunk], text: str) -> None:
        if len(text) * 4 > MAX_FRAME:  # more than one frame: everybody reads it at their own pace
            self.wake()
            return
        position = Cursor(self.thinking.length, self.content.length)
        encoded: Frame | None = None
        for reader in self.readers:
            if reader.in_step:
                if encoded is None:
                    encoded = frame(event(text, str(position)))
                reader.push(encoded, position)

    def enter(self, state: State, position: int | None = None) -> None:
        """The answer's state, or its place in the queue, changed: tell everybody who can be told now."""
        self.progress.enter(state, position)
        self.tell_status()

    def tell_status(self, quiet_for: float = 0.0) -> None:
        """Sends `status` to whoever is in step and was sent nothing for that many seconds."""
        encoded: Frame | None = None
        due = monotonic() - quiet_for
        for reader in self.readers:
            if reader.in_step and reader.sent_at <= due:
                encoded = encoded or frame(self.progress.event())
                reader.push_status(encoded, self.progress.version)

    def warn(self, notice: Notice) -> None:
        self.warnings.append(notice)
        self.wake()

    def refit(self, sources: Sequence[Source], warnings: Sequence[Notice]) -> None:
        """It draws on other passages than `start` told, and other warnings hold."""
        self.sources, self.warnings = list(sources), list(warnings)
        self.wake()

    def end(self, outcome: Message) -> None:
        """Nothing is appended any more; everybody reads on to the terminal event."""
        self.outcome = outcome
        self.wake()

    def wake(self) -> None:
        for reader in self.readers:
            reader.fall_behind()

    def start(self, *, reset: bool) -> events.Start:
        return events.Start(
            user_message_id=self.question_id,
            assistant_message_id=self.id,
            sources=self.sources,
            model=self.model,
            model_reason=self.model_reason,
            session_id=self.session_id,
            reset=True if reset else UNSET,
        )

    def after(self, position: Cursor) -> tuple[events.Thinking | events.Chunk, Cursor] | None:
        """The next event for a reader at that position, with the position after it."""
        if text := self.thinking.piece(position.thinking):
            position = replace(position, thinking=position.thinking + len(text))
            return events.Thinking(content=text, cursor=str(position)), position
        if text := self.content.piece(position.content):
            position = replace(position, content=position.content + len(text))
            return events.Chunk(content=text, cursor=str(position)), position
        return None

    def terminal(self, outcome: Message) -> Frame:
        """`done` or `error`, as it is told live and in every replay; encoded once."""
        if self._terminal is None:
            self._terminal = frame(self._terminal_event(outcome))
        return self._terminal

    def _terminal_event(self, outcome: Message) -> events.Terminal:
        if outcome.error is not None:
            return events.Error(
                error=outcome.error.error,
                code=outcome.error.code,
                retryable=outcome.error.retryable,
                assistant_message_id=self.id,
                full_response=outcome.content,
                cursor=str(self.cursor),
            )
        return events.Done(
            assistant_message_id=self.id,
            full_response=outcome.content,
            sources=self.sources,
            finish_reason=outcome.finish_reason or "stop",
            model=outcome.model,
            usage=outcome.usage,
            cursor=str(self.cursor),
        )

    @property
    def message(self) -> Message:
        """All of it, as it stands now; how it ended only when readers are told, though it be committed:
        until then the session is busy."""
        return self.outcome or replace(
            self._begun,
            thinking=str(self.thinking),
            content=str(self.content),
            cursor=str(self.cursor),
            model=self.model,
            model_reason=self.model_reason,
            sources=self.sources,
            warnings=list(self.warnings),
        )
