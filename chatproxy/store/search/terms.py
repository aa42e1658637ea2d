"""The words of titles and messages, as they are in the index and in searches, each behind a key of its owner.

A long text is cut into parts, because one is indexed at a time.
"""

import re
import unicodedata
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from typing import Final

from chatproxy.store.search.pairs import MOST_TERMS, UNSPACED, pairs

PART: Final = 32 * 1024  # characters that are indexed at once
LONGEST_WORD: Final = 64  # characters; the rest of a word is not indexed
MOST_ENDS: Final = 8  # of an identifier that are indexed

# What is in the index depends on all of these; it is built again when one changes.
FORMAT: Final = f"2, Unicode {unicodedata.unidata_version}"

_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
_WORD: Final = re.compile(r"(?:[^\W_]|[\u0e01-\u0ece\u1000-\u109d\u1780-\u17dd])+")  # also signs of vowels
_IDENTIFIER: Final = re.compile(r"[^\W_]++(?:[-_][^\W_]++)*+")
# After these, a word within an identifier begins.
_BEFORE_WORD: Final = re.compile(
    r"[-_]|[a-z](?=[A-Z0-9])|[A-Z](?=[A-Z][a-z])|[0-9](?=[A-Za-z])|[A-Z](?=[0-9])"
)
_REST_OF_WORD: Final = re.compile(r"\S{0,1024}")


def parts(text: str) -> int:
    """Return how many parts a text is indexed in."""
    return -(-len(text) // PART)


def terms(owner: str, text: str, part: int) -> str:
    """Return what is indexed of one part of a text: its words behind the owner's key, separated by spaces."""
    if part < 0:
        return ""
    return " ".join(
        dict.fromkeys(_behind(owner, _indexed(text[_start(text, part) : _start(text, part + 1)])))
    )


def _start(text: str, part: int) -> int:
    """Return where a part begins: with a word, unless the words are extremely long."""
    rest = _REST_OF_WORD.match(text, part * PART) if part else None
    return rest.end() if rest else 0


def wanted(owner: str, q: str) -> list[str]:
    """Return what terms of a text begin with that has all words of `q`: letters, marks and digits."""
    return list(dict.fromkeys(_behind(owner, searched(q))))[:MOST_TERMS]


def _behind(owner: str, words: Iterator[str]) -> Iterator[str]:
    key = blake2b(owner.encode(), digest_size=8).hexdigest()
    return (key + word for word in words)


def _indexed(text: str) -> Iterator[str]:
    """Yield words, the ends of identifiers, and of a run without spaces each pair, and its last character."""
    bare = _bare(text)
    for run, is_unspaced in _runs(bare):
        if is_unspaced:
            yield from pairs(run, ends=True)
        else:
            yield run[:LONGEST_WORD]
    yield from _ends(bare)


def searched(text: str) -> Iterator[str]:
    """Yield words, and the pairs of a run without spaces; a single character is the beginning of a pair."""
    for run, is_unspaced in _runs(_bare(text)):
        if is_unspaced and len(run) > 1:
            yield from pairs(run)
        else:
            yield run[:LONGEST_WORD]


def _bare(text: str) -> str:
    """Return the text without marks."""
    if text.isascii():
        return text
    bare = [each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each)]
    return unicodedata.normalize("NFC", "".join(bare))


def _runs(bare: str) -> Iterator[tuple[str, bool]]:
    """Yield runs of letters and digits, without case, and whether their characters are UNSPACED."""
    if bare.isascii():
        for found in _ASCII_WORD.finditer(bare.lower()):
            yield found[0], False
        return
    for found in _WORD.finditer(bare.casefold()):
        for place, run in enumerate(UNSPACED.split(found[0])):  # every second one is UNSPACED
            if run:
                yield run, place % 2 == 1


def _ends(bare: str) -> Iterator[str]:
    """Yield the identifiers in a text from each of their words on, joined: getUserName, user-name, NAME_2."""
    for found in _IDENTIFIER.finditer(bare):
        word = found[0]
        if word.isalpha() and (word.islower() or word[1:].islower() or word.isupper()):
            continue
        begins = [each.end() for each in islice(_BEFORE_WORD.finditer(word), MOST_ENDS)]
        if not begins:
            continue
        for begin in begins if word.isalnum() else (0, *begins):
            end = word[begin : begin + 2 * LONGEST_WORD].replace("-", "").replace("_", "")
            yield end[:LONGEST_WORD].casefold()
