"""How many tokens a text will be, for a model, before Ollama has counted them.

Two numbers, learned from every prompt that Ollama counts: what any prompt costs (the model's template),
and what each byte of text adds. The line always goes through the latest count; its slope comes from two
counts that lie far enough apart. So the next prompt of the same conversation is met closely, and a short
one says nothing wrong about a long one. Where two counts show no slope that a text can have, they were of
different texts, and what a long one has more than a template would is put down to its text.
"""

from math import ceil
from typing import Final

from msgspec import Struct

SLOPE: Final = 0.3  # tokens per byte until something is known: a little more than English has
STEEPEST: Final = 1.0  # a token for each byte: the scripts that a model knows worst
FLATTEST: Final = 0.1
PARTIAL: Final = 0.05  # tokens per byte below which not all of a prompt can have been counted
APART: Final = 500  # bytes between two counts that show a slope
TEMPLATE: Final = 256  # tokens that one may well have, and a short prompt may show more
OF_A_MESSAGE: Final = 16  # bytes' worth, for the marks around each message


class TokenEstimate(Struct, frozen=True):
    base: float = 0.0
    slope: float = SLOPE
    last: tuple[int, int] | None = None  # the latest count: bytes, tokens

    def tokens(self, size: int) -> int:
        return ceil(round(self.base + self.slope * size, 6))  # what was counted is met to the token

    def more(self, size: int) -> float:
        """What those bytes add to a prompt."""
        return self.slope * size

    def learned(self, size: int, tokens: int) -> "TokenEstimate":
        if tokens < PARTIAL * size:
            return self
        shown = self._shown(size, tokens)
        slope = self.slope if shown is None else shown
        base = tokens - slope * size
        if base < 0:
            base, slope = 0.0, tokens / size
        elif shown is None and size >= APART and base > (most := max(self.base, TEMPLATE)):
            slope = min((tokens - most) / size, STEEPEST)
            base = tokens - slope * size
        return TokenEstimate(base, slope, (size, tokens))

    def _shown(self, size: int, tokens: int) -> float | None:
        """The slope from the last count to this one; None where they are too close, or not of one kind."""
        if self.last is None or abs(size - self.last[0]) < APART:
            return None
        slope = (tokens - self.last[1]) / (size - self.last[0])
        return slope if FLATTEST <= slope <= STEEPEST else None


def size_of(text: str) -> int:
    """A message's, with what surrounds it in the prompt."""
    return len(text.encode()) + OF_A_MESSAGE
