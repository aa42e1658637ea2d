"""An answer: a growing text, and the subscribers who hold a position in it.

A generation appends, subscriptions read; neither waits for the other. A stored answer is the same thing with
its end already known, so that replay, resume and live streams share one code path.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from time import monotonic
from typing import Final, Protocol

from msgspec import UNSET, Raw
from msgspec.structs import replace

from chatproxy import clock
from chatproxy.answers import events
from chatproxy.answers.events import Chunk, Frame, State, TextFrame, Thinking, frame, text_frame
from chatproxy.cursor import Cursor
from chatproxy.store.records import Message, Notice, Source

MAX_FRAME: Final = 16 * 1024  # bytes of text, as UTF-8
BLOCK: Final = 16 * 1024  # code points

Place = tuple[int, float]  # in the queue: a position, and the seconds until it is probably the answer's turn


class Text:
    """A text that grows at its end, and is read from any code point at a cost independent of its length.

    It is kept once, as UTF-8 in blocks of BLOCK code points, after which comes the tail.
    """

    __slots__ = ("_blocks", "_size", "_starts", "_tail", "full_at", "length", "write")

    def __init__(self, text: str = "") -> None:
        self._blocks: list[bytes] = []
        self._starts = [0]  # of each block, and of the tail, in code points
        self._size = 0  # of the blocks, in bytes
        self._tail = StringIO()
        self.write = self._tail.write  # what `append` begins with, for the token path
        self.full_at = BLOCK  # the length at which the tail becomes a block
        self.length = 0  # in code points
        self.append(text)

    def append(self, text: str) -> None:
        """Add text at the end."""
        self.length += self.write(text)
        if self.length >= self.full_at:
            self.store_tail()

    def store_tail(self) -> None:
        """Make blocks of the tail."""
        text = self._tail.getvalue()
        self._tail = StringIO()
        self.write = self._tail.write
        whole = len(text) - len(text) % BLOCK
        for start in range(0, whole, BLOCK):
            block = text[start : start + BLOCK].encode()
            self._blocks.append(block)
            self._starts.append(self._starts[-1] + BLOCK)
            self._size += len(block)
        self._tail.write(text[whole:])
        self.full_at = self._starts[-1] + BLOCK

    @property
    def size(self) -> int:
        """The bytes of the text in UTF-8."""
        return self._size + len(self._tail.getvalue().encode())

    def part(self, start: int, end: int | None = None) -> str:
        """Return the text between two positions in code points; by default, to its end."""
        end = self.length if end is None else min(end, self.length)
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, end)
        text = b"".join(self._blocks[first:last]).decode()
        if last > len(self._blocks):
            text += self._tail.getvalue()
        return text[start - self._starts[first] : end - self._starts[first]]

    def piece(self, start: int) -> str:
        """Return the text from `start` on, at most as much as one frame may carry."""
        piece = self.part(start, start + MAX_FRAME)
        if len(piece) * 4 <= MAX_FRAME:
            return piece
        return piece.encode()[:MAX_FRAME].decode(errors="ignore")

    def shared(self, other: str) -> int:
        """Return how many code points this text and another one begin with alike."""
        same, end = 0, min(self.length, len(other))
        while same < end:
            middle = (same + end + 1) // 2
            if self.part(same, middle) == other[same:middle]:
                same = middle
            else:
                end = middle - 1
        return same

    def pieces(self, end: int | None = None) -> Iterator[str]:
        """Yield the text in such pieces, from its beginning to a position; by default, to its end."""
        position = 0
        while piece := self.piece(position)[: None if end is None else end - position]:
            position += len(piece)
            yield piece

    def __str__(self) -> str:
        return self.part(0)


class Progress:
    """What `status` events report about an unfinished answer."""

    __slots__ = ("_find_place", "_place", "due", "since", "state", "tokens", "version")

    def __init__(self, state: State) -> None:
        self.state = state
        self.since = monotonic()
        self.due: float | None = None  # when the state will probably end
        self.tokens = 0
        self._find_place: Callable[[], Place | None] = lambda: None
        self._place: Place | None = None  # as was found last
        self.version = 0  # counts changes, so that a subscriber knows whether it was sent the latest

    def enter(
        self, state: State, *, eta_ms: float | None = None, place: Callable[[], Place | None] = lambda: None
    ) -> None:
        """Change the state, or how long it will probably go on from now; `place` finds that in the queue."""
        now = monotonic()
        if state != self.state:
            self.state = state
            self.since = now
        self.due = None if eta_ms is None else now + eta_ms / 1000
        self._find_place, self._place = place, None
        self.version += 1

    def follow(self, status: events.Status) -> None:
        """Become what another replica reports."""
        now = monotonic()
        self.state = status.state
        self.since = now - status.elapsed_ms / 1000
        self.due = None if status.eta_ms is UNSET else now + status.eta_ms / 1000
        self._place = None if status.position is UNSET else (status.position, (status.eta_ms or 0) / 1000)
        self._find_place = lambda: None
        self.tokens = self.tokens if status.tokens is UNSET else status.tokens
        self.version += 1

    def event(self) -> events.Status:
        """Return the `status` event as of now."""
        now = monotonic()
        if place := self._find_place():  # none once the answer ends
            self._place, self.due = place, now + place[1]
        elapsed = now - self.since
        writing = self.state == "generating"
        return events.Status(
            state=self.state,
            position=UNSET if self._place is None else self._place[0],
            elapsed_ms=round(elapsed * 1000),
            eta_ms=UNSET if self.due is None else max(0, round((self.due - now) * 1000)),
            tokens=self.tokens if writing else UNSET,
            tokens_per_second=round(self.tokens / elapsed, 1) if writing and elapsed > 0.5 else UNSET,
        )


class Sink(Protocol):
    """Where frames go: an event stream, or a request that waits for the end."""

    @property
    def gone(self) -> bool:
        """Whether the client has disconnected."""

    def push(self, frame: Frame) -> bool:
        """Take the frame at once, or return False if the socket still holds earlier data."""

    async def send(self, frame: Frame) -> None:
        """Return when the socket has taken the frame. Raises ConnectionError if the client is gone."""

    async def end(self, answer: "Answer") -> None:
        """Return when the socket has taken the terminal event of an answer that has ended.

        A long text is encoded as it is sent. Raises ConnectionError if the client is gone.
        """

    def abort(self) -> None:
        """Close the connection at once."""


class Subscriber(Protocol):
    """Who watches an answer, as `Answer` needs it; implemented by `Subscription`."""

    in_step: bool  # has been sent everything so far
    sent_at: float  # time of the last frame, on `clock`
    has_text: bool  # has been sent text that `sent_at` does not count yet

    @property
    def gone(self) -> bool:
        """Whether the client has disconnected."""

    @property
    def sink(self) -> Sink:
        """What takes frames while in step."""

    def push_status(self, data: Frame, version: int) -> None:
        """Take a `status` frame; fall behind if the socket still holds earlier data."""

    def fall_behind(self) -> None:
        """Take no more frames, and read on in a task of its own: if in step, from the end of the text."""

    def drop(self) -> None:
        """Close the connection at once."""


class Answer:
    """One assistant message as its subscribers see it: the texts, the progress and, in the end, the outcome.

    It keeps the message's record without the texts, and replaces it when anything else changes.
    """

    __slots__ = (
        "__weakref__",
        "_expected_until",
        "_kept",
        "_record",
        "asked",
        "content",
        "ended",
        "id",
        "progress",
        "question_id",
        "released_at",
        "session_id",
        "size",
        "subscribers",
        "swapped",
        "thinking",
        "thought",
        "unattended",
        "when_released",
    )

    def __init__(
        self,
        message: Message,
        question_id: int | None,
        thought: int | None = None,
        asked: Raw | None = None,
        *,
        swapped: bool = False,
        unattended: bool = False,
    ) -> None:
        """Begin an answer, or take one that has ended.

        For `thought`, `asked` and `swapped`, see `StoredAnswer`.

        An `unattended` one goes on for any time without subscribers.
        """
        self.id = message.id
        self.session_id = message.session_id
        self.question_id = question_id
        self.thinking = Text(message.thinking)
        self.content = Text(message.content)
        self.thought = thought  # None while the thinking before the content may grow
        self.swapped = swapped
        self.asked = asked
        self.unattended = unattended
        self.progress = Progress("waiting")
        self.subscribers: dict[Subscriber, None] = {}  # in the order in which they came
        self._expected_until = 0.0  # on `clock`, until when one who left has said to be back
        self.ended = False  # whether subscribers may be sent the outcome
        self.released_at: float | None = None  # on `clock`, since when only its readers hold it
        self.when_released: Callable[[Answer], None] = lambda answer: None
        self.size = 0  # the bytes of its texts, once it has ended
        self._kept: list[Cursor] = []  # for each time that the texts were replaced: up to where they stayed
        self._record = _without_texts(message)
        if message.status != "streaming":
            self.end(message)
            self.release()

    @property
    def model(self) -> str | None:
        """The model that writes or wrote it."""
        return self._record.model

    @property
    def record(self) -> Message:
        """The message without its texts, which are in `thinking` and `content`."""
        return self._record

    @property
    def warnings(self) -> Sequence[Notice]:
        """The current warnings; each subscriber is sent those that it has not been sent yet."""
        return self._record.warnings

    @property
    def cursor(self) -> Cursor:
        """The end of the text so far."""
        return Cursor(self.thinking.length, self.content.length, self.ended)

    @property
    def message(self) -> Message:
        """The message as subscribers see it: `streaming` until `end` is called.

        A committed outcome does not show before that, because the session is busy until then.
        """
        return replace(
            self._record, thinking=str(self.thinking), content=str(self.content), cursor=str(self.cursor)
        )

    @property
    def watched(self) -> bool:
        """Whether a subscriber is connected, or expected."""
        present = any(not subscriber.gone for subscriber in self.subscribers)
        return present or clock.now() < self._expected_until

    def expect(self, seconds: float) -> None:
        """Regard the answer as watched for so long: a subscriber may leave, and will be back by then."""
        self._expected_until = max(self._expected_until, clock.now() + seconds)

    @contextmanager
    def subscribed_by(self, subscriber: Subscriber) -> Iterator[None]:
        """Send frames to a subscriber while the block runs."""
        self.subscribers[subscriber] = None
        try:
            yield
        finally:
            self.subscribers.pop(subscriber, None)

    # -- called by the generation

    def append(self, thinking: str, content: str, tokens: int) -> None:
        """Append what one read from Ollama brought, and push it to every subscriber that is in step.

        This is the token path: no task is woken. `tokens` counts lines with text.
        """
        self.progress.tokens += tokens
        if thinking:
            self._push(Thinking, thinking, self.thinking.length + len(thinking), self.content.length)
            self.thinking.append(thinking)
        if content:
            if self.thought is None:
                self.thought = self.thinking.length
            self._push(Chunk, content, self.thinking.length, self.content.length + len(content))
            self.content.append(content)

    def append_token(self, text: str, json: bytes) -> None:
        """Append one token of the answer, which has begun; `json` is the text within a JSON string.

        This is `append`, with what it calls written out, because nearly every token comes here.
        """
        content = self.content
        end = content.length + len(text)
        encoded: Frame | None = None
        for subscriber in self.subscribers:
            if subscriber.in_step:
                if encoded is None:
                    thinking = self.thinking.length
                    line = b'{"type":"chunk","content":"%b","cursor":"%d.%d"}' % (json, thinking, end)
                    encoded = TextFrame(Chunk, text, line, thinking, end)
                if subscriber.sink.push(encoded):
                    subscriber.has_text = True
                else:
                    subscriber.fall_behind()
        self.progress.tokens += 1
        content.write(text)
        content.length = end
        if end >= content.full_at:
            content.store_tail()

    def swap(self) -> None:
        """Let what was taken for the answer be the thinking, or the other way round: only one has text.

        This happens once at most. Readers who have some of it are sent all of it again.
        """
        self._replace(self.content, self.thinking, Cursor())
        self.thought = 0 if self.content.length else None
        self.swapped = True

    def _replace(self, thinking: Text, content: Text, kept: Cursor) -> None:
        """Replace the texts. Readers who have more than what is kept are sent all of it again."""
        self.wake()  # before: their positions are in the text as they have it
        self.thinking, self.content = thinking, content
        self._kept.append(kept)

    @property
    def edition(self) -> int:
        """How often the texts were replaced."""
        return len(self._kept)

    def has(self, position: Cursor, edition: int | None = None) -> bool:
        """Return whether the text contains everything up to there; the position is in that edition of it.

        If it was swapped, who has content without the thinking before it has the text as it was.
        """
        for kept in () if edition is None else self._kept[edition:]:
            if position.thinking > kept.thinking or position.content > kept.content:
                return False
        if position.end and position != self.cursor:
            return False
        if self.swapped and position.content and position.thinking < (self.thought or 0):
            return False
        return position.thinking <= self.thinking.length and position.content <= self.content.length

    def _push(self, kind: type[Thinking | Chunk], text: str, thinking: int, content: int) -> None:
        """Push a text, before it is appended: who cannot take it reads on from where the text ends now.

        So a subscriber in step needs no position of its own. The new end of the text is given.
        """
        if len(text) * 4 > MAX_FRAME:  # more than one frame: each subscriber reads it at its own pace
            self.wake()
            return
        encoded: Frame | None = None
        for subscriber in self.subscribers:
            if subscriber.in_step:
                if encoded is None:
                    encoded = text_frame(kind, text, thinking, content)
                if subscriber.sink.push(encoded):
                    subscriber.has_text = True
                else:
                    subscriber.fall_behind()

    def enter(
        self, state: State, *, eta_ms: float | None = None, place: Callable[[], Place | None] = lambda: None
    ) -> None:
        """Change the state, as `Progress.enter` does, and send `status` to every subscriber in step."""
        self.progress.enter(state, eta_ms=eta_ms, place=place)
        self.send_status()

    def send_status(self, quiet_for: float = 0.0) -> None:
        """Send `status` to every subscriber in step that has been sent nothing for `quiet_for` seconds."""
        encoded: Frame | None = None
        now = clock.now()
        due = now - quiet_for
        for subscriber in self.subscribers:
            if subscriber.has_text:  # noted here, so that no token has to read the clock
                subscriber.has_text, subscriber.sent_at = False, now
            if subscriber.in_step and subscriber.sent_at <= due:
                encoded = encoded or frame(self.progress.event())
                subscriber.push_status(encoded, self.progress.version)

    def fall_back(self, model: str, reason: str, notice: Notice | None = None) -> None:
        """Go on with another model; `start` names it on later streams, the warning on those under way.

        If it is the same model on another host, readers are not told.
        """
        warnings = [*self._record.warnings, *([] if notice is None else [notice])]
        self._record = replace(self._record, model=model, model_reason=reason, warnings=warnings)
        self.wake()

    def refit(self, sources: Sequence[Source], warnings: Sequence[Notice]) -> None:
        """Replace the sources and the warnings, because the prompt was fitted again."""
        self._record = replace(self._record, sources=list(sources), warnings=list(warnings))
        self.progress.version += 1  # replicas that follow the answer are told the sources with the progress
        self.wake()

    def warn(self, notice: Notice) -> None:
        """Add a warning."""
        self._record = replace(self._record, warnings=[*self._record.warnings, notice])
        self.wake()

    def end(self, outcome: Message) -> None:
        """Set the outcome, which has the same texts, and let subscribers read on to the terminal event."""
        self._record = _without_texts(outcome)
        self.ended = True
        if self.thought is None:
            self.thought = self.thinking.length
        self.size = self.thinking.size + self.content.size
        self.wake()

    def become(self, stored: Message, thought: int | None, swapped: bool) -> None:
        """Take the outcome and the texts that are stored, because the answer was ended elsewhere.

        Readers whose text is how these begin read on; all others are sent all of it again.
        """
        kept = Cursor(self.thinking.shared(stored.thinking), self.content.shared(stored.content))
        if kept == Cursor(self.thinking.length, self.content.length):
            self.wake()
            self.thinking.append(stored.thinking[kept.thinking :])
            self.content.append(stored.content[kept.content :])
        else:
            self._replace(Text(stored.thinking), Text(stored.content), kept)
        self.thought, self.swapped = thought, swapped
        self.end(stored)

    def release(self) -> None:
        """Leave the answer to its readers, once its outcome is committed."""
        self.released_at = clock.now()
        self.when_released(self)

    def drop_subscribers(self) -> None:
        """Close the connections of all subscribers, who can resume."""
        for subscriber in self.subscribers:
            subscriber.drop()

    def wake(self) -> None:
        """Let every subscriber catch up in its own task."""
        for subscriber in self.subscribers:
            subscriber.fall_behind()

    # -- called where another replica writes the answer

    def restart(self) -> None:
        """Drop the texts, which that replica sends again."""
        self._replace(Text(), Text(), Cursor())

    def describe(self, record: Message, thought: int | None, swapped: bool) -> None:
        """Become what that replica says of all but the texts, the progress and the outcome."""
        self._record = replace(
            self._record,
            model=record.model,
            model_reason=record.model_reason,
            document_ids=record.document_ids,
            sources=record.sources,
            warnings=record.warnings,
        )
        self.thought, self.swapped = thought, swapped
        self.wake()

    def report(self, status: events.Status) -> None:
        """Report what that replica does, as of now."""
        self.progress.follow(status)
        self.send_status()

    # -- called by subscribers

    def start(self, *, reset: bool) -> events.Start:
        """Return the first event of a stream; `reset` says that the text starts over."""
        return events.Start(
            user_message_id=self.question_id,
            assistant_message_id=self.id,
            document_ids=self._record.document_ids,
            sources=self._record.sources,
            model=self._record.model,
            model_reason=self._record.model_reason,
            session_id=self.session_id,
            reset=True if reset else UNSET,
        )

    def after(self, position: Cursor) -> tuple[events.Thinking | events.Chunk, Cursor] | None:
        """Return the next event for a subscriber at `position`, and the position after it, or None."""
        if text := self.thinking.piece(position.thinking):
            position = replace(position, thinking=position.thinking + len(text))
            return events.Thinking(content=text, cursor=str(position)), position
        if text := self.content.piece(position.content):
            position = replace(position, content=position.content + len(text))
            return events.Chunk(content=text, cursor=str(position)), position
        return None

    def terminal(self) -> Iterator[bytes]:
        """Yield the JSON of `done` or `error` in pieces; the same live and in every replay."""
        return events.pieces(self.terminal_event(), self.content.pieces())

    def terminal_event(self) -> events.Terminal:
        """Return `done` or `error` with an empty `full_response`, in whose place `content` is sent."""
        outcome = self._record
        if outcome.error is not None:
            return events.Error(
                error=outcome.error.error,
                code=outcome.error.code,
                retryable=outcome.error.retryable,
                request_id=outcome.error.request_id,
                assistant_message_id=self.id,
                full_response="",
                cursor=str(self.cursor),
            )
        return events.Done(
            assistant_message_id=self.id,
            full_response="",
            sources=outcome.sources,
            finish_reason=outcome.finish_reason or "stop",
            model=outcome.model,
            model_reason=outcome.model_reason,
            usage=outcome.usage,
            cursor=str(self.cursor),
        )


def _without_texts(message: Message) -> Message:
    return replace(message, thinking="", content="")
