"""The prompt: as much of the conversation as the model's window holds, less a reserve for the answer.

It has the system prompt, the history, the passages of a document, and the message. If that is too long, the
oldest turns (a question with its answer) are left out first, a few at a time; then passages are, the worst
first. What seems too long even then is sent, because tokens are only estimated here, and counted by Ollama.

An answer that was cut short stays in; one without text is left out with its question. Thinking is not sent
back, and images are sent only to models with vision. The passages are in the user's message, so that what
comes before them stays the same from turn to turn, and Ollama need not evaluate it again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from chatproxy.models.catalog import KnownModel
from chatproxy.models.selection import Need, surely_too_long, too_long
from chatproxy.models.tokens import LONGEST, UNSENT, size_of
from chatproxy.ollama.wire import ChatMessage, ChatRequest
from chatproxy.prompt.passages import quoted
from chatproxy.prompt.request import Send
from chatproxy.store.records import HistoryMessage, Notice, Source

IMAGE_TOKENS: Final = 768  # per image, roughly, whatever its size
MOST_IMAGE_TOKENS: Final = 16_384  # that one image can have
TRUNCATED: Final = "history_truncated"
MAX_RESERVE: Final = 2048  # tokens kept free for the answer

Images = Mapping[int, Sequence[bytes]]


class FittedPrompt(Struct, frozen=True, kw_only=True):
    """A request to `/api/chat`, of about `tokens` tokens, and of `most_tokens` at most.

    `size` is that of its texts in bytes, as `size_of` counts them; None if it has images, whose tokens would
    distort the estimate. `left_out` counts turns.
    """

    request: ChatRequest
    tokens: int
    most_tokens: int
    size: int | None
    left_out: int
    sources: Sequence[Source]

    @property
    def body(self) -> bytes:
        """The body of the request, which is encoded here, because it has a copy of every image."""
        return msgspec.json.encode(self.request)

    @property
    def notices(self) -> list[Notice]:
        """The warnings that readers get about it."""
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
    """Everything that may be sent, before it is fitted to a model's window.

    `history` is newest first, and may be only the newer part of the `earlier` messages that the conversation
    has. `history_images` are by message id. `sources` are best first.
    """

    request: Send
    system: str | None
    images: Sequence[bytes]
    earlier: int
    history: Sequence[HistoryMessage] = ()
    history_images: Images = {}
    sources: Sequence[Source] = ()

    @property
    def held_bytes(self) -> int:
        """The bytes of its texts and images, and of what is passed on to Ollama."""
        images = [self.images, *self.history_images.values()]
        passed_on = [json for json in (self.request.options, self.request.format) if json is not None]
        return (
            self._size(self.history)
            + sum(len(image) for some in images for image in some)
            + sum(len(memoryview(json)) for json in passed_on)
        )

    def need(self) -> Need:
        """Return what the prompt requires of a model."""
        answers = (message for message in self.history if message.role == "assistant")
        size = self._size(())
        return Need(
            least=lambda model, window: self._least(model, window, size),
            surely=size // LONGEST,
            images=bool(self.images),
            think=bool(self.request.think),
            last_model=next((answer.model for answer in answers), None),
        )

    def fit(self, model: KnownModel) -> FittedPrompt:
        """Return the prompt, with as much as the model's window holds.

        Raises `message_too_long` if the window is known and cannot hold what cannot be left out.
        """
        size = self._size(())
        if surely_too_long(model, need := self.need()):
            raise too_long(model, need.least(model, model.likely_window))
        room: float = model.likely_window - self._least(model, model.likely_window, size)
        sources = self.sources
        while sources and model.estimate.more(len(quoted(sources).encode())) > room:
            sources = sources[:-1]
        room -= model.estimate.more(len(quoted(sources).encode()))
        kept, left_out = self._fit_history(model, room)
        return self._build(model, kept, sources, left_out)

    def bare(self, model: KnownModel) -> FittedPrompt:
        """Return the prompt without anything that can be left out."""
        return self._build(model, (), (), self.earlier // 2)

    def _fit_history(self, model: KnownModel, room: float) -> tuple[list[HistoryMessage], int]:
        """Return the history that fits, oldest first, and the number of turns left out before it."""
        fitting: list[tuple[list[HistoryMessage], int]] = []
        passed = len(self.history)
        whole = len(self.history) >= self.earlier
        for turn, passed_by_then in turns(self.history, whole=whole):
            room -= self._cost(model, turn)
            if room < 0:
                passed = fitting[-1][1] if fitting else 0
                break
            fitting.append((turn, passed_by_then))
        left_out = _round_up((self.earlier - passed) // 2, len(fitting))
        newer = self.earlier - 2 * left_out
        kept = [turn for turn, passed_by_then in fitting if passed_by_then <= newer]
        return [message for turn in reversed(kept) for message in turn], left_out

    def _build(
        self, model: KnownModel, history: Sequence[HistoryMessage], sources: Sequence[Source], left_out: int
    ) -> FittedPrompt:
        images = self.history_images if model.sees else {}
        messages = [ChatMessage("system", self.system)] if self.system else []
        messages += [ChatMessage(past.role, past.content, list(images.get(past.id, ()))) for past in history]
        passages = quoted(sources)
        question = f"{passages}\n\n{self.request.message}" if passages else self.request.message
        messages.append(ChatMessage("user", question, list(self.images)))
        request = ChatRequest(
            model=model.name,
            messages=messages,
            truncate=False,
            options=self.request.options,
            think=self.request.think,
            format=self.request.format,
            keep_alive=self.request.keep_alive,
        )
        pictures = sum(len(message.images) for message in messages)
        size = self._size(history) + len(passages.encode())
        return FittedPrompt(
            request=request,
            tokens=model.estimate.tokens(size) + IMAGE_TOKENS * pictures,
            most_tokens=size + UNSENT + MOST_IMAGE_TOKENS * pictures,
            size=None if pictures else size,
            left_out=left_out,
            sources=sources,
        )

    def _least(self, model: KnownModel, window: int, size: int) -> int:
        """Return the tokens of what cannot be left out, the reserve included; its text has `size` bytes."""
        wanted = self.request.num_predict
        if wanted is not None and wanted > 0:
            reserve = min(wanted, window // 2)
        else:
            reserve = min(window // 4, MAX_RESERVE)
        return model.estimate.tokens(size) + IMAGE_TOKENS * len(self.images) + reserve

    def _size(self, history: Sequence[HistoryMessage]) -> int:
        texts = [self.request.message, *([self.system] if self.system else [])]
        return sum(map(size_of, texts)) + sum(size_of(past.content) for past in history)

    def _cost(self, model: KnownModel, turn: Sequence[HistoryMessage]) -> float:
        """Return the tokens that a turn adds."""
        pictures = sum(len(self.history_images.get(past.id, ())) for past in turn) if model.sees else 0
        return model.estimate.more(sum(size_of(past.content) for past in turn)) + IMAGE_TOKENS * pictures


def _round_up(left_out: int, fitting: int) -> int:
    """Return `left_out`, rounded up to a step: a power of two, at most a third of the turns that fit.

    Until the next step, each prompt begins like the one before, so Ollama, which caches what it has
    evaluated, has only the newest part to evaluate.
    """
    step = 1 << max(0, (fitting // 3).bit_length() - 1)
    return -(-left_out // step) * step


def turns(history: Sequence[HistoryMessage], *, whole: bool) -> Iterator[tuple[list[HistoryMessage], int]]:
    """Yield questions with their answers, newest turn first, and how many messages were read by then.

    Turns whose answer has no text are skipped. What an imported conversation has before its first question is
    a turn as well, if the history is `whole`.
    """
    answers: list[HistoryMessage] = []
    for number, message in enumerate(history, start=1):
        if message.role == "assistant":
            answers.append(message)
            continue
        if all(answer.content.strip() for answer in answers):
            yield [message, *reversed(answers)], number
        answers = []
    if whole and answers and all(answer.content.strip() for answer in answers):
        yield [*reversed(answers)], len(history)
