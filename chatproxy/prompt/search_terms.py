"""Search terms of a question: its words without stop words, plus pairs of adjacent words."""

import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

MAX_TERMS: Final = 32  # per question; a message may be as long as a document
MAX_PARTS: Final = 4  # of a term; a search takes as long for each part as for a term
MAX_QUESTION: Final = 4000  # characters; of a longer one, half as many count at either end


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
_WORD: Final = re.compile(r"\w+(?:[./:-]\w+)*")  # "5.2", "var/tmp" and "policy_rc" are one word each
_PART: Final = re.compile(r"[^\W_]+")


def search_terms(question: str) -> list[str]:
    """Return the terms to search a document for, in lower case: words, their parts and pairs of words.

    The list is empty if the question is about the document as a whole ("summarise this"). Of a question
    with more than MAX_TERMS terms, the first and the last are kept. Terms of more than MAX_PARTS parts
    are left out.

    A word for the document itself is left out where the question points at it ("what does the contract say
    about rent?"), and kept otherwise ("what is a contract?").
    """
    words = [word for part in _ends(question) for word in ("", *_words(part))]
    # None marks a stop word, so that the words on either side of it do not become a pair.
    kept = [None if _is_stop_word(word, before) else word for before, word in pairwise(words)]
    whole = [word for word in kept if word is not None]
    parts = [part for word in whole for part in _parts(word)]
    if _GENERAL.issuperset(parts):
        return []
    pairs = [f"{first} {second}" for first, second in pairwise(kept) if first and second]
    terms = [
        term for term in dict.fromkeys([*parts, *whole, *pairs]) if len(_PART.findall(term)) <= MAX_PARTS
    ]
    half = MAX_TERMS // 2
    return terms if len(terms) <= MAX_TERMS else terms[:half] + terms[-half:]


def _ends(question: str) -> list[str]:
    if len(question) <= MAX_QUESTION:
        return [question]
    return [question[: MAX_QUESTION // 2], question[-MAX_QUESTION // 2 :]]


def _words(text: str) -> list[str]:
    return _WORD.findall(_ELISION.sub(" ", text.lower()))


def _is_stop_word(word: str, before: str) -> bool:
    return not _parts(word) or (word in _DOCUMENT and before in _POINTING)


def _parts(word: str) -> list[str]:
    """Split "var/tmp" into "var" and "tmp", without common words."""
    return [part for part in _PART.findall(word) if part not in _COMMON]
