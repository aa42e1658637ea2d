"""Words that were divided at the ends of lines."""

import re
from collections.abc import Container, Iterable
from typing import Final

_DIVIDED: Final = re.compile(r"(?<!\w)(\w+)-\n(\w+)")
_AND: Final = frozenset(
    [
        "and",
        "or",
        "to",
        "und",
        "oder",
        "bis",
        "bzw",
        "et",
        "ou",
        "y",
        "o",
        "e",
        "en",
        "of",
        "och",
        "og",
        "eller",
        "i",
        "lub",
    ]
)  # "pre- and post-"
_WORD: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


def vocabulary(texts: Iterable[str]) -> set[str]:
    """Return the words of a file in lower case, compounds with their hyphens."""
    return {word.lower() for text in texts for word in _WORD.findall(text)}


def undivided(text: str, known: Container[str]) -> str:
    """Return text with words that two lines share on the first of them.

    The hyphen goes if it only divides the word: between letters, before a small one, unless the file has the
    compound elsewhere, and not the word without it.
    """

    def joined(found: re.Match[str]) -> str:
        first, second = found.groups()
        if second in _AND:
            return f"{first}- {second}"
        whole, compound = (first + second).lower(), f"{first}-{second}".lower()
        divided = (
            len(first) > 1
            and first[-1].isalpha()
            and second[0].islower()
            and (whole in known or compound not in known)
        )
        return first + second if divided else f"{first}-{second}"

    return _DIVIDED.sub(joined, text)
