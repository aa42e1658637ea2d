"""An estimate of a prompt's tokens, before Ollama has counted them.

It is a line, learned from every prompt that Ollama counts: a base that every prompt costs (the model's
template), and a slope, the tokens per byte of text. It always passes through the latest count, so that it is
close for the next prompt of the same conversation. The slope comes from two counts that are far enough apart,
so that a short prompt does not skew the estimate of a long one. If the slope between two counts is
implausible, the prompts were of different kinds; the excess over a typical template is then attributed to the
text. An impossible count teaches nothing. Being an estimate, it never decides that a message is too long.
"""

from math import ceil
from typing import Final

from msgspec import Struct

SLOPE: Final = 0.3  # tokens per byte until something is learned: a little more than English takes
STEEPEST: Final = 1.0  # one token per byte: a script that the model hardly knows
FLATTEST: Final = 0.1
PARTIAL: Final = 0.05  # tokens per byte; with fewer, Ollama cannot have counted the whole prompt
APART: Final = 500  # bytes between two counts that determine a slope
TEMPLATE: Final = 256  # tokens that a model's template may plausibly have
UNSENT: Final = 4096  # tokens that a model may add to what it is sent: its template and its own system prompt
LONGEST: Final = 128  # bytes that one token may have: a run of spaces
OF_A_MESSAGE: Final = 16  # bytes that stand for the template's markers around a message


class TokenEstimate(Struct, frozen=True):
    """The line of one model: `base` tokens for any prompt, and `slope` for each byte of text."""

    base: float = 0.0
    slope: float = SLOPE
    last: tuple[int, int] | None = None  # the latest count: bytes, tokens

    def tokens(self, size: int) -> int:
        """Return the tokens of a prompt with `size` bytes of text."""
        return ceil(round(self.base + self.slope * size, 6))  # rounded, so that counts are met exactly

    def more(self, size: int) -> float:
        """Return the tokens that `size` more bytes add to a prompt."""
        return self.slope * size

    def learned(self, size: int, tokens: int) -> "TokenEstimate":
        """Return the estimate after Ollama counted a prompt of `size` bytes as `tokens`."""
        if not PARTIAL * size <= tokens <= size + UNSENT:
            return self
        measured = self._slope_to(size, tokens)
        slope = self.slope if measured is None else measured
        base = tokens - slope * size
        if base < 0:
            base, slope = 0.0, tokens / size
        elif measured is None and size >= APART and base > (most := max(self.base, TEMPLATE)):
            slope = min((tokens - most) / size, STEEPEST)
            base = tokens - slope * size
        return TokenEstimate(base, slope, (size, tokens))

    def _slope_to(self, size: int, tokens: int) -> float | None:
        """Return the slope between the last count and this one; None if it is implausible or uncertain."""
        if self.last is None or abs(size - self.last[0]) < APART:
            return None
        slope = (tokens - self.last[1]) / (size - self.last[0])
        return slope if FLATTEST <= slope <= STEEPEST else None


def size_of(text: str) -> int:
    """Return the size of a message in bytes, including the markers around it."""
    return len(text.encode()) + OF_A_MESSAGE
