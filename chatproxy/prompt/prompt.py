"""The prompt: what of the conversation the model is told, within its window.

System prompt, history, passages of a document, message, in what the window holds less a reserve for the
answer. Where that is too little, the oldest turns go first, whole ones, a question with its answer, a few
at a time; then the passages, the last first. An answer that was cut short counts as what was said; one
without a word is left out together with its question. Thinking is not sent back, and images only to models
that see. The passages stand in the user's turn, so that what comes before them stays the same from turn to
turn, and Ollama need not evaluate it anew.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from chatproxy.models.catalog import KnownModel
from chatproxy.models.selection import DEMANDING, Need, too_long
from chatproxy.models.tokens import SLOPE, TokenEstimate, size_of
from chatproxy.ollama.wire import ChatMessage, ChatRequest
from chatproxy.prompt.passages import quoted
from chatproxy.prompt.request import SendRequest
from chatproxy.store.records import HistoryMessage, Notice, Source

IMAGE_TOKENS: Final = 768  # about what one costs, whatever its size
TRUNCATED: Final = "history_truncated"
MAX_RESERVE: Final = 2048  # tokens kept free for the answer
ENOUGH: Final = int(DEMANDING / SLOPE)  # bytes of a past that make any message demanding

Images = Mapping[int, Sequence[bytes]]


class FittedPrompt(Struct, frozen=True, kw_only=True):
    """A body for `/api/chat`, of about so many `tokens`. `size` is the text's, by the gauge's measure; None
    with images in it, which would lead it astray. `left_out` counts turns."""

    body: bytes
    tokens: int
    size: int | None
    left_out: int
    sources: Sequence[Source]

    @property
    def notices(self) -> list[Notice]:
        if not self.left_out:
            return []
        turns = "turn was" if self.left_out == 1 else f"{self.left_out} turns were"
        return [
            Notice(
                code=TRUNCATED,
                message=f"The oldest {turns} left out, to fit the model's window.",
            )
        ]


class Prompt(Struct, frozen=True, kw_only=True):
    """What there is to tell. `past` is newest first, and may be only the newer part of the `earlier`
    messages that the conversation has; `past_images` are by message id; `sources` the best first."""

    request: SendRequest
    system: str | None
    images: Sequence[bytes]
    earlier: int
    past: Sequence[HistoryMessage] = ()
    past_images: Images = {}
    sources: Sequence[Source] = ()

    def need(self) -> Need:
        return Need(
            least=self._least,
            whole=TokenEstimate().tokens(self._size(self.past)) + IMAGE_TOKENS * len(self.images),
            images=bool(self.images),
            think=bool(self.request.think),
            document=bool(self.sources),
            last_model=next((past.model for past in self.past if past.role == "assistant"), None),
        )

    def fit(self, model: KnownModel) -> FittedPrompt:
        """As much as the model's window holds. Raises `message_too_long` where a known window cannot hold
        what must not be left out."""
        if model.window is not None and self._least(model, model.window) > model.window:
            raise too_long(model, self.need())
        room: float = model.likely_window - self._least(model, model.likely_window)
        sources = self._quotable(model, room)
        room -= model.estimate.more(len(quoted(sources).encode()))
        kept, left_out = self._kept(model, room)
        return self._fitted(model, kept, sources, left_out)

    def _kept(self, model: KnownModel, room: float) -> tuple[list[HistoryMessage], int]:
        """The history that there is room for, oldest first, and how many turns are left out before it."""
        fitting: list[tuple[list[HistoryMessage], int]] = []
        passed = len(self.past)
        for turn, passed_by_then in turns(self.past):
            room -= self._cost(model, turn)
            if room < 0:
                passed = fitting[-1][1] if fitting else 0
                break
            fitting.append((turn, passed_by_then))
        left_out = _stepped((self.earlier - passed) // 2, len(fitting))
        newer = self.earlier - 2 * left_out
        kept = [turn for turn, passed_by_then in fitting if passed_by_then <= newer]
        return [message for turn in reversed(kept) for message in turn], left_out

    def _quotable(self, model: KnownModel, room: float) -> Sequence[Source]:
        """As many of the sources as there is room for."""
        sources = self.sources
        while sources and model.estimate.more(len(quoted(sources).encode())) > room:
            sources = sources[:-1]
        return sources

    def _fitted(
        self, model: KnownModel, history: Sequence[HistoryMessage], sources: Sequence[Source], left_out: int
    ) -> FittedPrompt:
        shown = self.past_images if model.sees else {}
        told = [ChatMessage("system", self.system)] if self.system else []
        told += [_turn(past.role, past.content, shown.get(past.id, ())) for past in history]
        passages = quoted(sources)
        message = f"{passages}\n\n{self.request.message}" if passages else self.request.message
        told.append(_turn("user", message, self.images))
        request = ChatRequest(
            model=model.name,
            messages=told,
            truncate=False,
            options=self.request.options,
            think=self.request.think,
            format=self.request.format,
            keep_alive=self.request.keep_alive,
        )
        pictures = sum(len(turn.images) for turn in told)
        size = self._size(history) + len(passages.encode())
        return FittedPrompt(
            body=msgspec.json.encode(request),
            tokens=model.estimate.tokens(size) + IMAGE_TOKENS * pictures,
            size=None if pictures else size,
            left_out=left_out,
            sources=sources,
        )

    def _least(self, model: KnownModel, window: int) -> int:
        """Tokens of what cannot be left out, with the reserve."""
        return model.estimate.tokens(self._size(())) + IMAGE_TOKENS * len(self.images) + self._reserve(window)

    def _reserve(self, window: int) -> int:
        wanted = (self.request.options or {}).get("num_predict")
        if isinstance(wanted, int) and wanted > 0:
            return min(wanted, window // 2)
        return min(window // 4, MAX_RESERVE)

    def _size(self, history: Sequence[HistoryMessage]) -> int:
        texts = [self.request.message, *([self.system] if self.system else [])]
        return sum(map(size_of, texts)) + sum(size_of(past.content) for past in history)

    def _cost(self, model: KnownModel, turn: Sequence[HistoryMessage]) -> float:
        pictures = sum(len(self.past_images.get(past.id, ())) for past in turn) if model.sees else 0
        return model.estimate.more(sum(size_of(past.content) for past in turn)) + IMAGE_TOKENS * pictures


def _stepped(left_out: int, fitting: int) -> int:
    """That many turns or a few more: the cut moves in steps, of a power of two and of a third of what fits
    at the most. Until the next step a prompt begins like the one before, and Ollama, which keeps what it has
    evaluated, has only the newest to read."""
    step = 1 << max(0, (fitting // 3).bit_length() - 1)
    return -(-left_out // step) * step


def turns(past: Sequence[HistoryMessage]) -> Iterator[tuple[list[HistoryMessage], int]]:
    """Questions with their answers, newest turn first, and how many messages have been passed by then;
    without those that came to nothing."""
    answers: list[HistoryMessage] = []
    for number, message in enumerate(past, start=1):
        if message.role == "assistant":
            answers.append(message)
            continue
        if all(answer.content.strip() for answer in answers):
            yield [message, *reversed(answers)], number
        answers = []


def _turn(role: str, content: str, images: Sequence[bytes]) -> ChatMessage:
    return ChatMessage(role, content, [b64encode(image).decode() for image in images])
