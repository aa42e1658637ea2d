"""Where in a text the words are that a search has found: what a reader is shown as the proof."""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from chatproxy.store.search.indexes import TOKENIZER, any_of
from chatproxy.store.search.pairs import MOST_TERMS, UNSPACED, pairs
from chatproxy.store.search.spellings import on_the_line

MOST_PLACES: Final = 32  # in one text

_BEGIN, _END = "\x01", "\x02"  # no text of a document has control characters
_CREATE: Final = f"CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = '{TOKENIZER}')"
_HIGHLIGHT: Final = f"SELECT rowid, highlight(words, 0, '{_BEGIN}', '{_END}') FROM words WHERE words MATCH ?"

_MARK: Final = re.compile(r"[\x01\x02]")

Places = list[tuple[int, int]]


def places_of(words: Sequence[str], texts: Sequence[str]) -> list[Places]:
    """Return where each text has any of the words, in any form that the index takes for the same.

    A place is where it begins and where it ends, in code points. Places are in the order of the text, and
    there are MOST_PLACES at most.
    """
    if not words:
        return [[] for _ in texts]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(_CREATE)
        connection.executemany(
            "INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(map(on_the_line, texts))
        )
        # To SQLite, a whole run of such characters is one word.
        separated = [word for word in words if not UNSPACED.search(word)]
        marked = dict(connection.execute(_HIGHLIGHT, (any_of(separated),)).fetchall()) if separated else {}
    unspaced = _unspaced(words)
    return [
        joined([*_marked(marked.get(number, "")), *_found(unspaced, text)])
        for number, text in enumerate(texts)
    ]


def _marked(text: str) -> Places:
    """Return the places between marks, counted without these."""
    places: Places = []
    length = 0
    for number, part in enumerate(_MARK.split(text)):
        if number % 2:
            places.append((length, length + len(part)))
        length += len(part)
    return places


def _unspaced(words: Sequence[str]) -> set[str]:
    """Return the pairs of characters in runs without spaces, and single ones."""
    return {*pairs(" ".join(words))[:MOST_TERMS], *[word for word in words if len(word) == 1]}


def _found(unspaced: set[str], text: str) -> Places:
    return [
        (place, place + length)
        for run in UNSPACED.finditer(text)
        for place in range(run.start(), run.end())
        for length in (1, 2)
        if text[place : place + length] in unspaced
    ]


def joined(places: Places) -> Places:
    """Return places in order, as one where they overlap or touch."""
    joined: Places = []
    for begin, end in sorted(places):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined[:MOST_PLACES]
