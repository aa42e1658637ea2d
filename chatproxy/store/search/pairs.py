"""Pairs of CJK characters, which stand in for words in both indexes, and how many terms a search has."""

import re
from typing import Final

MOST_TERMS: Final = 64  # that stand in for what a search asks for

# Chinese and Japanese do not separate words, Korean does not separate them from their endings.
CJK: Final = re.compile(
    r"([\u3005\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]+)"
)


def pairs(text: str, *, ends: bool = False) -> list[str]:
    """Return all pairs of adjacent CJK characters, and with `ends` the last ones, which begin no pair."""
    return [
        run[place : place + 2] for run in CJK.findall(text) for place in range(len(run) - (0 if ends else 1))
    ]
