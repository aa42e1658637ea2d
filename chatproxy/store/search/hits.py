"""Where a search has found the words in a title or a message, in a snippet around them."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from chatproxy.store.search.pairs import UNSPACED
from chatproxy.store.search.places import MOST_PLACES, Places, joined
from chatproxy.store.search.terms import searched

BEFORE: Final = 60  # code points of a snippet before what was found
LENGTH: Final = 240  # of a snippet
MOST_LOOKS: Final = 1000  # at places where a word of the search may be, but inside of others

_JOINTS: Final = "-_"  # between the words of an identifier
_LINES: Final = str.maketrans("\n\r\t\v\f\x85\u2028\u2029", " " * 8)


def snippet(q: str, text: str) -> tuple[str, Places]:
    """Return the part of a text where the words of `q` are, on one line, and where they are in it.

    There are no places if they are elsewhere, such as beyond the part of the text that was read.
    """
    places = _places(list(dict.fromkeys(searched(q))), text)
    begin = max(0, places[0][0] - BEFORE) if places else 0
    shown = text[begin : begin + LENGTH].translate(_LINES)
    if begin:  # with a word
        begin += shown.find(" ", 0, BEFORE // 2) + 1
        shown = text[begin : begin + LENGTH].translate(_LINES)
    end = begin + len(shown)
    return shown, [(place - begin, min(stop, end) - begin) for place, stop in places if place < end]


def _places(words: Sequence[str], text: str) -> Places:
    folded, origins = _folded(text)
    places: Places = []
    for word in words:
        found = folded.find(word)
        looks = number = 0
        while found >= 0 and number < MOST_PLACES and looks < MOST_LOOKS:
            begin, end = origins[found], origins[found + len(word) - 1] + 1
            if _begins_word(text, begin):
                places.append((begin, end))
                number += 1
            looks += 1
            found = folded.find(word, found + 1)
    return joined(places)


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """Return the text as words are compared, and where each of its characters was."""
    if text.isascii() and not any(joint in text for joint in _JOINTS):
        return text.lower(), range(len(text))
    folded = [_fold(each) for each in text]
    origins = [place for place, each in enumerate(folded) for _ in each]
    return "".join(folded), origins


@lru_cache(maxsize=8192)
def _fold(character: str) -> str:
    if character in _JOINTS:
        return ""
    bare = [each for each in unicodedata.normalize("NFKD", character) if not unicodedata.combining(each)]
    return unicodedata.normalize("NFC", "".join(bare)).casefold()


def _begins_word(text: str, place: int) -> bool:
    """Return whether a word begins there, which may be one within an identifier."""
    before, after, following = text[place - 1 : place], text[place], text[place + 1 : place + 2]
    if not before.isalnum() or UNSPACED.match(before) or UNSPACED.match(after):
        return True
    if before.isdigit() != after.isdigit():
        return True
    return after.isupper() and (before.islower() or following.islower())
