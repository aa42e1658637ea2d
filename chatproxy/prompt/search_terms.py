"""Search terms of a question: its words without stop words, plus pairs of adjacent words.

A question that goes on from earlier ones ("why?", "who decides?", "how long does it take?") is searched for
with their terms.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from chatproxy.store.search.indexes import Query
from chatproxy.store.search.spellings import plain

MAX_TERMS: Final = 32  # per question; a message may be as long as a document
MAX_PARTS: Final = 4  # of a term; a search takes as long for each part as for a term
MAX_EARLIER: Final = 3  # questions that a search goes back to
FADING: Final = 0.5  # the weight of an earlier question, by that of the one after it
FOLLOWING: Final = 0.5  # how much of a passage's score for an earlier question the one after it gets
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
_BACK: Final = _STOP_WORDS["back"]
_COMMON: Final = _STOP_WORDS["common"] | _STOP_WORDS["particle"] | _BACK
_WHOLE: Final = _STOP_WORDS["whole"]
_MORE: Final = _STOP_WORDS["more"]
_DOCUMENT: Final = _STOP_WORDS["document"]
_POINTING: Final = _STOP_WORDS["pointing"]

# What an apostrophe joins to a word: "contract's", "l'article".
_ELISION: Final = re.compile(
    r"(?<=\w)['’](?:s|t|ll|re|ve|d|m)\b|\b(?:[cdjlmnst]|qu|dell|nell|all)['’](?=\w)"  # noqa: RUF001
)
_WORD: Final = re.compile(r"\w+(?:[./:-]\w+)*")  # "5.2", "var/tmp" and "policy_rc" are one word each
_PART: Final = re.compile(r"[^\W_]+")
# Japanese and Chinese, which do not separate words, and what questions in them are split at.
_UNSEPARATED: Final = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\u3400-\u9fff]")
_SPLITTING: Final = {
    word
    for words in _STOP_WORDS.values()
    for word in words
    if _UNSEPARATED.search(word) and (len(word) > 1 or word in _STOP_WORDS["particle"])
}
_LONGEST: Final = {word[0]: len(word) for word in sorted(_SPLITTING, key=len)}  # by the first character
# The endings of Japanese words, and particles: Hiragana after an ideograph, or at most two.
_ENDING: Final = re.compile(
    r"(?<=[\u3400-\u9fff])[\u3041-\u3096]+|(?<![\u3041-\u3096])[\u3041-\u3096]{1,2}(?![\u3041-\u3096])"
)


def search_terms(question: str) -> list[str]:
    """Return the terms to search a document for, in lower case: words, their parts and pairs of words.

    The list is empty if the question has no words of its own ("summarise this", "tell me more"). Of a
    question with more than MAX_TERMS terms, the first and the last are kept. Terms of more than MAX_PARTS
    parts are left out.

    A word for the document itself is left out where the question points at it ("what does the contract say
    about rent?"), and kept otherwise ("what is a contract?").
    """
    # None marks a stop word, so that the words on either side of it do not become a pair.
    kept = [None if _is_stop_word(word, before) else word for before, word in pairwise(_asked(question))]
    whole = [word for word in kept if word is not None]
    parts = [part for word in whole for part in _parts(word)]
    if _WHOLE.union(_MORE).issuperset(parts):
        return []
    pairs = [f"{first} {second}" for first, second in pairwise(kept) if first and second]
    terms = [
        term for term in dict.fromkeys([*parts, *whole, *pairs]) if len(_PART.findall(term)) <= MAX_PARTS
    ]
    half = MAX_TERMS // 2
    return terms if len(terms) <= MAX_TERMS else terms[:half] + terms[-half:]


def queries(question: str, earlier: Iterable[str]) -> list[Query]:
    """Return what to search a document for: the terms of a question and of `earlier` ones, newest first.

    One that points back ("how long does it take?") counts as much as what it points at, and any other more
    than those before it. One without terms asks for what the one before it asked for. The list is empty if
    the question is about the whole document ("summarise the contract"), or has no terms and follows none.
    """
    found: list[Query] = []
    seen: set[str] = set()
    weight = 1.0
    for place, each in enumerate((question, *earlier)):
        words = [term for term in search_terms(each) if term not in seen]
        if words:
            following = weight * FOLLOWING if place else 0.0
            found.append(Query(words, weight, following, " ".join(_ends(each))))
            seen.update(words)
            weight *= 1.0 if _points_back(each) else FADING
        elif not seen and _is_about_the_whole(each):
            break
        if len(found) > MAX_EARLIER:
            break
    return found


def stands_alone(question: str) -> bool:
    """Return whether a question has words to search for, and none that points back at earlier ones."""
    return bool(search_terms(question)) and not _points_back(question)


def _is_about_the_whole(question: str) -> bool:
    """Return whether a question without search terms names the document, or asks for a summary."""
    words = _asked(question)
    names_it = any(word in _DOCUMENT and before in _POINTING for before, word in pairwise(words))
    return names_it or (not _WHOLE.isdisjoint(words) and not _points_back(question))


def _points_back(question: str) -> bool:
    return not _BACK.isdisjoint(_asked(question))


def _asked(question: str) -> list[str]:
    """Return the words of a question, with an empty one before each part that is looked at."""
    return [word for part in _ends(question) for word in ("", *_words(part))]


def _ends(question: str) -> list[str]:
    if len(question) <= MAX_QUESTION:
        return [question]
    return [question[: MAX_QUESTION // 2], question[-MAX_QUESTION // 2 :]]


def _words(text: str) -> list[str]:
    return [
        part
        for word in _WORD.findall(_ELISION.sub(" ", plain(text.lower())))
        for part in _without_spaces(word)
    ]


def _without_spaces(word: str) -> Iterator[str]:
    """Yield a word, or what one of Chinese or Japanese has: listed words, and what is between them."""
    if not _UNSEPARATED.search(word):
        yield word
        return
    place = begin = 0
    while place < len(word):
        lengths = range(_LONGEST.get(word[place], 0), 0, -1)
        length = next((each for each in lengths if word[place : place + each] in _SPLITTING), 0)
        if length:
            yield from filter(None, _ENDING.split(word[begin:place]))
            yield word[place : place + length]
            begin = place + length
        place += length or 1
    yield from filter(None, _ENDING.split(word[begin:]))


def _is_stop_word(word: str, before: str) -> bool:
    return not _parts(word) or (word in _DOCUMENT and before in _POINTING)


def _parts(word: str) -> list[str]:
    """Split "var/tmp" into "var" and "tmp", without common words."""
    return [part for part in _PART.findall(word) if part not in _COMMON]
