"""What an answer measures about its model, without what cannot be true.

A figure that is too high or too low would decide about later messages: how much of a conversation fits, which
model answers. So each is believed only within what is possible for the text that was sent and received.
"""

from math import isfinite
from typing import Final

from msgspec.structs import replace

from chatproxy.ollama.wire import Line
from chatproxy.store.records import Measurement

WEIGHT: Final = 1 / 3  # of a new measurement
MIN_TOKENS: Final = 8  # a shorter answer says nothing about the speed
FASTEST: Final = 100_000  # tokens per second
REAL_LOAD_MS: Final = 100  # Ollama reports about 1 ms, never 0, for a model that was loaded already
LONGEST_LOAD_MS: Final = 3_600_000
UNWRITTEN: Final = 256  # tokens of an answer that may have no text: marks of the template


def possible(last: Line, *, prompt: int, window: int | None, answer: int) -> Line:
    """Return Ollama's final line; what cannot be true in it is None.

    `prompt` is the most tokens that the prompt can have; `window` is in tokens; `answer` is the size of all
    text that arrived, in bytes. A token has at least one byte, except for the marks of a template.
    """
    prompted, answered = last.prompt_eval_count, last.eval_count
    if prompted is not None and not 0 < prompted <= min(prompt, window or prompt):
        last = replace(last, prompt_eval_count=None)
    if answered is not None and not bool(answer) <= answered <= answer + UNWRITTEN:
        last = replace(last, eval_count=None)
    if (last.tokens_per_second or 0) > FASTEST:
        last = replace(last, eval_duration=None)
    return last


def updated(before: Measurement, last: Line) -> Measurement:
    """Return the running averages with those of an answer that ended with `last`."""
    rate = last.tokens_per_second if (last.eval_count or 0) >= MIN_TOKENS else None
    return replace(
        before,
        tokens_per_second=_averaged(before.tokens_per_second, rate),
        load_ms=_averaged(before.load_ms, real_load_ms(last)),
    )


def real_load_ms(last: Line) -> int | None:
    """Return how long the model took to load; None if it was loaded already, or if that is not known."""
    load = last.load_ms
    return load if load is not None and REAL_LOAD_MS <= load <= LONGEST_LOAD_MS else None


def stored(measured: Measurement) -> Measurement:
    """Return what was measured before the start, without what is impossible."""
    rate, load = measured.tokens_per_second, measured.load_ms
    return Measurement(
        digest=measured.digest,
        tokens_per_second=rate if rate and _is_within(rate, FASTEST) else None,
        load_ms=load if _is_within(load, LONGEST_LOAD_MS) else None,
    )


def _is_within(value: float | None, most: float) -> bool:
    return value is not None and isfinite(value) and 0 <= value <= most


def _averaged(before: float | None, now: float | None) -> float | None:
    if before is None or now is None:
        return before if now is None else now
    return before + (now - before) * WEIGHT
