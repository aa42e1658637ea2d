"""The prompt: as much of the conversation as the model's window holds, less a reserve for the answer.

It has the system prompt, the history, the passages of a document, and the message. If that is too long, the
oldest turns (a question with its answer) are left out first, a few at a time; then passages are, the worst
first. Tokens are only estimated here, and counted by Ollama: nothing is left out while it may fit, and what
seems too long even then is sent.

An answer that was cut short stays in; one without text is left out with its question. Thinking is not sent
back, and images are sent only to models with vision. The passages are in the user's message, so that what
comes before them stays the same from turn to turn, and Ollama need not evaluate it again.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, Self

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr, replace

from chatproxy.models.catalog import KnownModel
from chatproxy.models.selection import Need, surely_too_long, too_long
from chatproxy.models.tokens import (
    A_PROMPT,
    LONGEST,
    MOST_IMAGE_TOKENS,
    NOTHING,
    UNSENT,
    Size,
    TokenEstimate,
    size_of,
    total,
)
from chatproxy.ollama.wire import ChatMessage, ChatRequest
from chatproxy.prompt.passages import quoted
from chatproxy.prompt.request import Send
from chatproxy.store.records import HistoryMessage, Notice, PromptCount, Source

TRUNCATED: Final = "history_truncated"
MAX_RESERVE: Final = 2048  # tokens kept free for the answer

Images = Mapping[int, Sequence[bytes]]


class FittedPrompt(Struct, frozen=True, kw_only=True):
    """A request to `/api/chat`, of `most_tokens` at most. `left_out` counts turns."""

    request: ChatRequest
    most_tokens: int
    size: Size
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
    has; `sizes` has the size of each, by its id, and `with_history` sets both. `history_images` are by
    message id. `sources` are best first. `counts` are what Ollama counted in earlier prompts of the session.
    `size` is that of what cannot be left out.
    """

    request: Send
    system: str | None
    images: Sequence[bytes]
    earlier: int
    history: Sequence[HistoryMessage] = ()
    history_images: Images = {}
    sources: Sequence[Source] = ()
    counts: Sequence[PromptCount] = ()
    sizes: Mapping[int, Size] = {}
    size: Size = NOTHING

    def __post_init__(self) -> None:
        if not any(self.size):  # it is worked out once
            system = size_of(self.system) if self.system else NOTHING
            size = A_PROMPT + system + size_of(self.request.message, images=len(self.images))
            force_setattr(self, "size", size)

    def with_history(self, more: Sequence[HistoryMessage]) -> Self:
        """Return the prompt with more messages, from before those that it has."""
        sizes = {**self.sizes, **{past.id: size_of(past.content) for past in more}}
        return replace(self, history=[*self.history, *more], sizes=sizes)

    @property
    def held_bytes(self) -> int:
        """The bytes of its texts and images, and of what is passed on to Ollama."""
        images = [self.images, *self.history_images.values()]
        passed_on = [json for json in (self.request.options, self.request.format) if json is not None]
        return (
            self.size.bytes
            + self.history_size.bytes
            + sum(len(image) for some in images for image in some)
            + sum(len(memoryview(json)) for json in passed_on)
        )

    def need(self) -> Need:
        """Return what the prompt requires of a model."""
        answers = (message for message in self.history if message.role == "assistant")
        size = self.size
        return Need(
            least=lambda model, window: self.estimate(model).tokens(size) + self._reserve(window),
            surely=size.bytes // LONGEST,
            images=bool(self.images),
            think=bool(self.request.think),
            last_model=next((answer.model for answer in answers), None),
        )

    def fit(self, model: KnownModel) -> FittedPrompt:
        """Return the prompt, with as much as the model's window holds.

        Raises `message_too_long` if the window is known and cannot hold what cannot be left out.
        """
        if surely_too_long(model, need := self.need()):
            raise too_long(model, need.least(model, model.likely_window))
        room = model.likely_window - self._reserve(model.likely_window)
        estimate = self.estimate(model)
        fixed, sources = self.size, self.sources
        size = fixed + _size_of(quoted(sources)) if sources else fixed
        while sources and estimate.tokens(size) > room:
            sources = sources[:-1]
            size = fixed + _size_of(quoted(sources))
        kept, left_out = self._fit_history(model, estimate, size, room)
        return self._build(model, kept, sources, left_out)

    def may_hold_more(self, model: KnownModel) -> bool:
        """Return whether the model's window may hold a longer history."""
        return self.estimate(model).least(self.size + self.history_size) <= model.likely_window

    def estimate(self, model: KnownModel) -> TokenEstimate:
        """Return how the model counts this conversation's prompts."""
        answers = {past.id for past in self.history if past.role == "assistant" and past.content.strip()}
        return TokenEstimate.of(self.counts, model.id, answers)

    @property
    def history_size(self) -> Size:
        """The size of the history, without its images."""
        return total(self.sizes.values())

    def bare(self, model: KnownModel) -> FittedPrompt:
        """Return the prompt without anything that can be left out."""
        return self._build(model, (), (), self.earlier // 2)

    def _fit_history(
        self, model: KnownModel, estimate: TokenEstimate, size: Size, room: int
    ) -> tuple[list[HistoryMessage], int]:
        """Return the history that fits, oldest first, and the number of turns left out before it.

        All of it is kept if it may fit. Else as much as will fit, as far as can be told. `size` is that of
        everything else.
        """
        fitting = list(turns(self.history, whole=len(self.history) >= self.earlier))
        passed = len(self.history)
        if (
            self.history
            and estimate.least(size + total(self._sent(model, past) for turn, _ in fitting for past in turn))
            > room
        ):
            sizes = [total(self._sent(model, past) for past in turn) for turn, _ in fitting]
            reached = list(accumulate(sizes, initial=size))[1:]
            del fitting[bisect_right(reached, room, key=estimate.most) :]
            passed = fitting[-1][1] if fitting else 0
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
        size = self.size
        if passages or history:
            size = size + _size_of(passages) + total(self._sent(model, past) for past in history)
        return FittedPrompt(
            request=request,
            most_tokens=size.bytes + UNSENT + MOST_IMAGE_TOKENS * pictures,
            size=size,
            left_out=left_out,
            sources=sources,
        )

    def _reserve(self, window: int) -> int:
        """Return the tokens to keep free for the answer in a window of so many."""
        wanted = self.request.num_predict
        return min(wanted, window // 2) if wanted and wanted > 0 else min(window // 4, MAX_RESERVE)

    def _sent(self, model: KnownModel, past: HistoryMessage) -> Size:
        """Return the size of an earlier message as that model is sent it."""
        images = len(self.history_images.get(past.id, ())) if model.sees else 0
        return self.sizes[past.id] + size_of("", messages=0, images=images) if images else self.sizes[past.id]


def _size_of(passages: str) -> Size:
    """Return the size of quoted passages, which are a part of the question."""
    return size_of(passages, messages=0)


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
