"""What the stand-in of `--demo` says: answers in Markdown, made of the message, and its tricks.

A few words in a message ask for more: code, a table, a formula, all of it, a long answer, one that is
thought about, one of a slow model, or one that fails half-way. The page offers some of them
(static/page/first-use.js).
"""

import re
from collections.abc import Sequence
from enum import Flag, auto
from typing import Final

from chatproxy.models.selection import SUGGESTED

_WORD: Final = re.compile(r"[^\W_]+")
# How the page asks for the rest of an answer, in its languages (`continueMessage` in static/texts/).
_GO_ON: Final = re.compile(r"continue\b|mach genau dort weiter|continúa|中断した|请从刚才", re.IGNORECASE)
# How a prompt quotes documents before the question (prompt/passages.py).
_MATERIAL: Final = re.compile(r"\A.*?^<([a-z]{4}) title>(.*)\n</\1>\n\n", re.MULTILINE | re.DOTALL)
MAX_QUOTES: Final = 3
MAX_QUOTE: Final = 160  # characters

TOUR: Final = """\
Try these while I write:

- open this conversation in a **second tab**: both show the same text
- **reload** the page: the answer continues where it is
- press **stop**: the text so far is kept
- **drop a file** on the page and ask about it: I quote what was found"""
CODE: Final = """\
## Some code

```python
def greet(name: str) -> str:
    \"\"\"Return a greeting.\"\"\"
    return f"Hello, {name}!"


for name in ("world", "reader"):
    print(greet(name))  # Hello, world!
```"""
TABLE: Final = """\
## A table

| what | in this answer | survives a reload |
|:-----|:--------------:|------------------:|
| text | yes            | yes               |
| code | if asked       | yes               |
| view | in this column | yes               |"""
FORMULA: Final = """\
## A formula

The sum of the first $n$ whole numbers is

$$\\sum_{k=1}^{n} k = \\frac{n(n+1)}{2}$$

so that $n = 100$ gives $5050$."""
LISTS: Final = """\
## A list

1. Words arrive **one by one**, as a model produces them.
2. What is marked stays marked: *emphasis*, `code`, ~~second thoughts~~.
   - Lists have lists in them.
   - Links [lead somewhere](https://ollama.com).

> And what others said stands apart."""
SLOW: Final = (
    "This is what a **slow model** feels like: first it is loaded, which the line above the text "
    "says, and then each word takes its time. Close the page meanwhile if you like: the answer is "
    "written to its end."
)
FAILING: Final = (
    "This answer will fail half-way, as one does when Ollama runs out of memory. What was said until "
    "then is kept, the reason stands below it, and you can ask again. More words would follow here, "
    "but this is where it fails."
)
CHAPTERS: Final = (
    (
        "Not tied to a page",
        "An answer does not belong to the page that asked for it. Close this tab, and the answer is "
        "written to its end. Open the page tomorrow, and it is in the list on the left, with "
        "everything that was said before it.",
    ),
    (
        "A second tab",
        "Open this conversation in another tab, or on another device. Both show the same words at the "
        "same time. One that comes late gets at once what was said so far, and then the rest as it is "
        "written.",
    ),
    (
        "A reload in the middle",
        "Reload this page now. It asks for the answer again with the place in the text that it had "
        "reached, and goes on from there. No word is lost, and none is shown twice.",
    ),
    (
        "A crash",
        "What has been written is stored while it is written, twice a second at least. If the process is "
        "killed in the middle, the next start finds the text so far, says that the answer was "
        "interrupted, and offers to continue it.",
    ),
    (
        "A change of mind",
        "Press stop, and the model stops, too, rather than only the page. The text so far stays. Edit "
        "a question or ask for another answer: the earlier version is one click away.",
    ),
    (
        "A queue",
        "A model answers few questions at once. The others wait for their turn, which the page shows "
        "with an estimate. A hundred questions of one user do not keep the first one of another "
        "waiting.",
    ),
    (
        "What was said where",
        "Search finds words in all conversations, also in those of last year, and shows where they "
        "stand. A conversation can be pinned, renamed, exported as Markdown or JSON, and imported "
        "elsewhere.",
    ),
    (
        "Documents",
        "Drop a file on the page, and ask about it. Passages that fit the question are given to the "
        "model, and the numbers in the answer lead to them. I am no model, but I quote what was "
        "found.",
    ),
    (
        "Your own page",
        "All of this is an API of a few calls, and one element for your own page. The clients of "
        "Ollama, OpenAI and Anthropic work with another address. The reference is at `/docs`, with a "
        "line to try for each call.",
    ),
)
DISCLAIMER: Final = (
    "I am a stand-in for Ollama, **not a language model**: I only rearrange your words. "
    f"For real answers, install [Ollama](https://ollama.com), run `ollama pull {SUGGESTED}`, "
    "and start chatproxy by `make run`, or without `--demo`."
)


class Trick(Flag):
    """What a message asks for beside an answer."""

    NONE = 0
    CODE = auto()
    TABLE = auto()
    FORMULA = auto()
    LISTS = auto()
    LONG = auto()
    THINK = auto()
    SLOW = auto()
    FAIL = auto()


_ALL_KINDS: Final = Trick.CODE | Trick.TABLE | Trick.FORMULA | Trick.LISTS
_ASKS_FOR: Final = (
    (re.compile(r"\b(?:code|python|program|script|function|snippet)\b", re.IGNORECASE), Trick.CODE),
    (re.compile(r"\b(?:tables?)\b", re.IGNORECASE), Trick.TABLE),
    (re.compile(r"\b(?:formulas?|maths?|equations?)\b", re.IGNORECASE), Trick.FORMULA),
    (re.compile(r"\b(?:everything)\b", re.IGNORECASE), _ALL_KINDS),
    (re.compile(r"\b(?:long|length|story|thousand)\b", re.IGNORECASE), Trick.LONG),
    (re.compile(r"\b(?:think(?:ing)?|reason(?:ing)?)\b", re.IGNORECASE), Trick.THINK),
    (re.compile(r"\b(?:slow(?:ly)?)\b", re.IGNORECASE), Trick.SLOW),
    (re.compile(r"\b(?:fails?)\b", re.IGNORECASE), Trick.FAIL),
)
_SAID: Final = (
    (Trick.SLOW, SLOW),
    (Trick.FAIL, FAILING),
    (Trick.LISTS, LISTS),
    (Trick.TABLE, TABLE),
    (Trick.FORMULA, FORMULA),
    (Trick.CODE, CODE),
    (
        Trick.LONG,
        "\n\n".join(f"## {number}. {title}\n\n{text}" for number, (title, text) in enumerate(CHAPTERS, 1)),
    ),
)


def tricks_of(question: str) -> Trick:
    """Return what the words of a message ask for."""
    found = Trick.NONE
    for words, trick in _ASKS_FOR:
        if words.search(question):
            found |= trick
    return found


def asks_for_the_rest(question: str) -> bool:
    """Return whether a message asks for the rest of the answer before it, as the page's button does."""
    return _GO_ON.match(question) is not None


def topics(question: str) -> list[str]:
    """Return up to four of the question's words, the longest, in its order."""
    words = list(dict.fromkeys(_WORD.findall(question)))
    chosen = sorted(words, key=len, reverse=True)[:4]
    return [word for word in words if word in chosen]


def split_material(content: str) -> tuple[list[tuple[str, str]], str]:
    """Return the numbers and beginnings of the passages that a prompt quotes, and the question after them."""
    found = _MATERIAL.match(content)
    if found is None:
        return [], content
    marked = f"\n{found[2]}".split(f"\n<{found[1]} ")[1:]
    numbered = [
        (number, text) for number, _, text in (each.partition(">\n") for each in marked) if number.isdecimal()
    ]
    return [(number, _beginning(" ".join(text.split()))) for number, text in numbered], content[found.end() :]


def _beginning(text: str) -> str:
    return text if len(text) <= MAX_QUOTE else f"{text[:MAX_QUOTE].rpartition(' ')[0]} …"


def reason_about(question: str) -> str:
    """Return what the model thinks before it answers the question."""
    words = topics(question)
    main_words = f" The main words: {', '.join(words)}." if words else ""
    return f"Words in the message: {len(question.split())}.{main_words} A short answer with a list will do."


def answer_to(question: str, earlier: int, images: int, passages: Sequence[tuple[str, str]] = ()) -> str:
    """Return an answer in Markdown; `earlier` is the number of the user's messages before this one.

    `passages` are numbers and texts, the best first.
    """
    words = topics(question)
    about = f"You wrote about **{'**, **'.join(words)}**." if words else "Your message has no words."
    if earlier:
        place = f"You sent {_count(earlier, 'message')} before it, and I have the whole conversation."
    else:
        place = "It is the first message of this conversation."
    seen = f"It comes with {_count(images, 'image')}, which I cannot see." if images else ""
    tricks = tricks_of(question)
    said = [text for trick, text in _SAID if trick in tricks]
    quotes = [f"> {text} [{number}]" for number, text in passages[:MAX_QUOTES]]
    if quotes:
        said.insert(0, "\n\n".join(["## What the document says", *quotes]))
    parts = [f"{about} {place}", seen, *(said or [_numbers(words), TOUR]), DISCLAIMER]
    return "\n\n".join(filter(None, parts))


def _numbers(words: Sequence[str]) -> str:
    """Return a table of the words."""
    if not words:
        return ""
    rows = "\n".join(f"| {word} | {len(word)} | {word[::-1]} |" for word in words)
    return f"## Your message in numbers\n\n| word | letters | backwards |\n|:--|--:|:--|\n{rows}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
