"""How many tokens a prompt has, before Ollama has counted them: from what it counted in the same session.

The size of a prompt is a vector: the bytes of its text by kind of character, its messages, its images. An
estimate is anchored at the count, among those of the conversation's own answers, whose prompt is most alike,
so that it meets each count exactly; what a prompt has more or less than that one is added at a rate for each
kind. The rates begin as what texts usually take, and follow the differences between the counts. Without a
count, the anchor is the empty prompt. What other sessions say changes nothing: texts differ more than models
do.

An estimate is also a range: `least` is what a prompt has even if the text that is not counted yet takes much
less than texts like it, `most` if it takes more. That a message is too long is never decided here.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import ceil
from operator import add, mul
from operator import sub as subtract
from typing import Final

from msgspec import Struct

from chatproxy.store.records import PromptCount

UNSENT: Final = 4096  # tokens that a model may add to what it is sent: its template and its own system prompt
LONGEST: Final = 128  # bytes that one token may have: a run of spaces
OF_A_MESSAGE: Final = 16  # bytes that stand for the template's markers around a message
IMAGE_TOKENS: Final = 768  # that an image usually has, whatever its size
MOST_IMAGE_TOKENS: Final = 16_384  # that one image can have
# The tokens that one of each kind usually takes, and may take at least and at most: letters, digits and marks
# in ASCII, characters of two, three and four bytes, all by the byte; messages, images, and the prompt itself.
USUAL: Final = (0.24, 0.6, 0.5, 0.26, 0.32, 0.5, 5.0, float(IMAGE_TOKENS), 16.0)
SMALLEST: Final = (0.05, 0.1, 0.05, 0.05, 0.05, 0.05, 0.0, 32.0, 0.0)
GREATEST: Final = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 64.0, float(MOST_IMAGE_TOKENS), float(UNSENT))
# How far each may be from what is usual: a difference is put down to what may be furthest.
SPREAD: Final = (0.12, 0.3, 0.25, 0.13, 0.16, 0.25, 3.0, 512.0, 256.0)
LEAST: Final = 0.5  # of what is expected
MOST: Final = 1.25
NOISE: Final = 4.0  # tokens by which a count says nothing
UNLIKE: Final = (
    0.05  # of a count: the same, as texts of one kind differ, and some may have been left out since
)
MAX_COUNTS: Final = 12  # of a session

_KINDS: Final = bytes(
    ord("d") if chr(byte).isdigit() and byte < 0x80
    else ord("l") if byte < 0x80 and (chr(byte).isalpha() or chr(byte).isspace())
    else ord("m") if byte < 0x80
    else ord("4") if byte >= 0xF0
    else ord("3") if byte >= 0xE0
    else ord("2") if byte >= 0xC0
    else ord("c")
    for byte in range(256)
)  # fmt: skip


class Size(tuple[int, ...]):
    """How much a prompt has of each kind, in the order of USUAL."""

    __slots__ = ()

    def __add__(self, other: Iterable[int]) -> "Size":  # type: ignore[override]
        return Size(map(add, self, other))

    def __sub__(self, other: Iterable[int]) -> "Size":
        return Size(map(subtract, self, other))

    @property
    def bytes(self) -> int:
        """The bytes of its texts, with those that stand for the markers around each message."""
        return sum(self[:6]) + OF_A_MESSAGE * self[6]


NOTHING: Final = Size((0,) * len(USUAL))
A_PROMPT: Final = Size((*(0,) * (len(USUAL) - 1), 1))  # without a message in it


def size_of(text: str, *, messages: int = 1, images: int = 0) -> Size:
    """Return the size of a message, or of a part of one."""
    kinds = text.encode().translate(_KINDS)
    letters, digits = kinds.count(b"l"), kinds.count(b"d")
    if len(kinds) == len(text):
        return Size((letters, digits, len(kinds) - letters - digits, 0, 0, 0, messages, images, 0))
    wide = [length * kinds.count(b"%d" % length) for length in (2, 3, 4)]
    return Size((letters, digits, kinds.count(b"m"), *wide, messages, images, 0))


def total(sizes: Iterable[Size]) -> Size:
    """Return the size of all of them together."""
    return Size(map(sum, zip(NOTHING, *sizes, strict=True)))


class TokenEstimate(Struct, frozen=True):
    """How many tokens the prompts of one conversation have for one model.

    `counts` are those of prompts that this one goes on from, oldest first; `exactly`, of any by their sizes.
    """

    counts: Sequence[tuple[Size, int]] = ()
    exactly: Mapping[Size, int] = {}
    rates: Sequence[float] = USUAL

    @classmethod
    def of(cls, counts: Iterable[PromptCount], model: str, answers: Container[int]) -> "TokenEstimate":
        """Return the estimate for a model, from a session's counts.

        `answers` are the ids of those in the conversation. What was sent for others, which were superseded,
        had texts that this prompt has not. A count that contradicts the latest one teaches nothing: one of
        both is wrong, and the next one will tell.
        """
        known = [(Size(count.size), count.tokens, count.answer) for count in counts if count.model == model]
        own = [(size, tokens) for size, tokens, answer in known if answer in answers]
        own = [(size, tokens) for size, tokens in own if _is_possible(own[-1][0] - size, own[-1][1] - tokens)]
        rates: Sequence[float] = USUAL
        for before, after in [*pairwise([(NOTHING, 0), *own]), *(((NOTHING, 0), last) for last in own[-1:])]:
            noise = NOISE + UNLIKE * after[1]
            rates = _followed(rates, after[0] - before[0], after[1] - before[1], noise)
        return cls(own, {size: tokens for size, tokens, _ in known}, rates)

    def tokens(self, size: Size) -> int:
        """Return how many tokens a prompt of that size is expected to have."""
        return self._estimated(size, 1.0, 1.0)

    def least(self, size: Size) -> int:
        """Return how many it has at least, as far as can be told."""
        return self._estimated(size, LEAST, MOST)

    def most(self, size: Size) -> int:
        """Return how many it has at most, as far as can be told."""
        return self._estimated(size, MOST, LEAST)

    def _estimated(self, size: Size, more: float, less: float) -> int:
        """Return the estimate with these factors for what the prompt has more and less than the anchor."""
        if (exact := self.exactly.get(size)) is not None:
            return exact
        anchor, counted = min(
            [*reversed(self.counts), (NOTHING, 0)],  # of those that are equally near, the latest
            key=lambda count: sum(map(abs, self._costs(size - count[0]))),
        )
        added = sum(cost * (more if cost > 0 else less) for cost in self._costs(size - anchor))
        return max(0, ceil(counted + added))

    def _costs(self, size: Size) -> Iterator[float]:
        return map(mul, self.rates, size)


def learned(
    counts: Sequence[PromptCount], answer: int, model: str, size: Size, tokens: int | None, *, host: str = ""
) -> Sequence[PromptCount]:
    """Return a session's counts with that of the prompt for an answer, unless it is impossible."""
    if tokens is None or not _is_possible(size, tokens):
        return counts
    count = PromptCount(answer=answer, model=model, size=size, tokens=tokens, host=host)
    return [*counts, count][-MAX_COUNTS:]


def _is_possible(more: Size, tokens: int) -> bool:
    """Return whether so much more, or less if negative, can have so many more tokens."""
    low = high = 0.0
    for number, smallest, greatest in zip(more, SMALLEST, GREATEST, strict=True):
        ends = (number * smallest, number * greatest)
        low, high = low + min(ends), high + max(ends)
    return low - NOISE <= tokens <= high + NOISE


def _followed(rates: Sequence[float], more: Size, tokens: int, noise: float) -> Sequence[float]:
    """Return the rates, changed so that `more` takes `tokens`: each by its share of it."""
    followed = list(rates)
    kinds = [kind for kind, number in enumerate(more) if number]
    missing = tokens - sum(rates[kind] * more[kind] for kind in kinds)
    whole = noise * noise + sum((SPREAD[kind] * more[kind]) ** 2 for kind in kinds)
    for kind in kinds:
        rate = rates[kind] + missing * SPREAD[kind] ** 2 * more[kind] / whole
        followed[kind] = min(max(rate, SMALLEST[kind]), GREATEST[kind])
    return followed
