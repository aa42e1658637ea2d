"""Search terms of a question: its words without stop words, plus pairs of adjacent words."""

import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

MAX_TERMS: Final = 32  # per question; a message may be as long as a document


def _read_stop_words() -> Mapping[str, frozenset[str]]:
    """Return the words of `stopwords.txt` by section; the file describes its own format."""
    sections: defaultdict[str, set[str]] = defaultdict(set)
    words: set[str] = set()
    for line in Path(__file__).with_name("stopwords.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            words = sections[line[1:].partition("]")[0]]
        elif not line.startswith("#"):
            words.update(line.split())
    return {name: frozenset(each) for name, each in sections.items()}


_STOP_WORDS: Final = _read_stop_words()
_COMMON: Final = _STOP_WORDS["common"]
_GENERAL: Final = _STOP_WORDS["general"]
_DOCUMENT: Final = _STOP_WORDS["document"]
_POINTING: Final = _STOP_WORDS["pointing"]

# What an apostrophe joins to a word: "contract's", "l'article".
_ELISION: Final = re.compile(
    r"(?<=\w)['’](?:s|t|ll|re|ve|d|m)\b|\b(?:[cdjlmnst]|qu|dell|nell|all)['’](?=\w)"  # noqa: RUF001
)
_WORD: Final = re.compile(r"\w+(?:[./:_-]\w+)*")  # "5.2", "var/tmp" and "policy_rc" are one word each
_PART: Final = re.compile(r"[^\W_]+")


def search_terms(question: str) -> list[str]:
    """Return the terms to search a document for, in lower case: words, their parts and pairs of words.

    The list is empty if the question is about the document as a whole ("summarise this"). Of a question
    with more than MAX_TERMS terms, the first and the last are kept.

    A word for the document itself is left out where the question points at it ("what does the contract say
    about rent?"), and kept otherwise ("what is a contract?").
    """
    words = _WORD.findall(_ELISION.sub(" ", question.lower()))
    # None marks a stop word, so that the words on either side of it do not become a pair.
    kept = [None if _is_stop_word(word, before) else word for before, word in pairwise(["", *words])]
    whole = [word for word in kept if word is not None]
    parts = [part for word in whole for part in _parts(word)]
    if _GENERAL.issuperset(parts):
        return []
    pairs = [f"{first} {second}" for first, second in pairwise(kept) if first and second]
    terms = list(dict.fromkeys([*parts, *whole, *pairs]))
    half = MAX_TERMS // 2
    return terms if len(terms) <= MAX_TERMS else terms[:half] + terms[-half:]


def _is_stop_word(word: str, before: str) -> bool:
    return not _parts(word) or (word in _DOCUMENT and before in _POINTING)


def _parts(word: str) -> list[str]:
    """Split "var/tmp" into "var" and "tmp", without common words."""
    return [part for part in _PART.findall(word) if part not in _COMMON]
