"""Pairs of characters that stand in for words, in all indexes, where nothing separates these."""

import re
from typing import Final

MOST_TERMS: Final = 64  # that stand in for what a search asks for

# Chinese and Japanese do not separate words, nor do Thai, Lao, Burmese and Khmer; Korean does not separate
# them from their endings. The signs of vowels and tones are part of a run.
UNSPACED: Final = re.compile(
    r"([\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u109d\u1780-\u17d3\u17d7\u17dc\u17dd"
    r"\u3005\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]+)"
)


def pairs(text: str, *, ends: bool = False) -> list[str]:
    """Return all pairs of adjacent characters, and with `ends` the last ones, which begin no pair."""
    return [
        run[place : place + 2]
        for run in UNSPACED.findall(text)
        for place in range(len(run) - (0 if ends else 1))
    ]
