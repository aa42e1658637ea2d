"""A title for a conversation: the first words of a message that say what it is about."""

import re
from collections.abc import Iterator
from typing import Final

from chatproxy.text.reasoning import told_apart

LENGTH: Final = 80  # characters
SEEN: Final = 8192  # characters of a message that are looked at, as it may be very long
PICTURE: Final = "Picture"

_FENCE: Final = re.compile(r"[ >]{0,8}(```|~~~)")
# What stands before the words of a line: quotes, headings, lists, tasks.
_PREFIX: Final = re.compile(
    r"(?:\s*(?:#{1,6}(?=\s)|>|[-*+•](?=\s)|[0-9]{1,3}[.)](?=\s)|\[[ xX]\](?=\s)))*+\s*"
)
_LINK: Final = re.compile(r"!?\[([^\[\]]{0,500})\]\([^()\s]{0,2000}\)")
_TAG: Final = re.compile(r"</?[A-Za-z!][^<>]{0,200}>")
_MARKS: Final = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=[\w.!?])[*_](?!\w)")
# With the name of who is greeted, up to a comma or the like, or one or two words.
_GREETING: Final = re.compile(
    r"(?:dear|hello|hi|hey|greetings|good (?:morning|afternoon|evening|day)"
    r"|hallo|guten (?:tag|morgen|abend)|liebe[rs]?|sehr geehrte[rs]?"
    r"|bonjour|bonsoir|salut|cher|chère|madame|monsieur"
    r"|hola|buenos días|buenas (?:tardes|noches)|estimad[oa]s?|querid[oa]s?"
    r"|你好|您好|こんにちは|안녕하세요"
    r")\b(?:[^,.!:;?\uff0c\u3002\uff01\n]{0,40}[,.!:;\uff0c\u3002\uff01]+|(?: \S{1,20}){0,2}$)\s*",
    re.IGNORECASE,
)

# A word that a sentence may begin with, behind marks that open it; not what may be code, or an address.
_FIRST_WORD: Final = re.compile(
    r"[^\w\s`$@#./~<>=*+\-]*([^\W\d_]+(?:['\u2019-][^\W\d_]+)*)"
    r"(?=[\s,.!?:;…)\"”»]|$)(?!\.\w|:\S| [-=+*/<>|&])"
)


def title(content: str, pictures: int = 0, document: str | None = None) -> str | None:
    """Return a title of a message, cut between words if it is long; None if there is nothing to call it.

    One without words is called by its `document`, or is a picture.
    """
    text = content.lstrip()[:SEEN]
    text = told_apart(text)[1] or text
    first = next(_candidates(text), None)
    if first is None:
        first = document or (PICTURE if pictures else text.partition("\n")[0])
    return _cut(first) or None


def _candidates(text: str) -> Iterator[str]:
    """Yield what a message may be called, best first: its lines, its code, and how it greets."""
    later: list[str] = []
    greetings: list[str] = []
    fence = ""
    greeted = False
    for line in text.splitlines():
        if mark := _FENCE.match(line):
            fence = mark[1] if not fence else fence.replace(mark[1], "")
            continue
        if fence:
            later.append(line.strip())
            continue
        plain = _plain(line)
        rest = _GREETING.sub("", plain, count=1) if _GREETING.match(plain) else plain
        greeted = greeted or rest != plain
        if _has_words(rest):
            yield _capitalised(rest, line) if greeted else rest
        elif _has_words(plain):
            greetings.append(plain)
            greeted = True
    yield from filter(_has_words, [*later, *greetings])


def _plain(line: str) -> str:
    """Return a line without the marks of Markdown and HTML."""
    line = _PREFIX.sub("", line, count=1)
    line = _TAG.sub("", _LINK.sub(r"\1", line))
    return _MARKS.sub("", line).strip()


def _capitalised(rest: str, line: str) -> str:
    """Return what is left of a line behind a greeting as the sentence that it is now."""
    match = _FIRST_WORD.match(rest)
    if not match or not match[1].islower() or f"`{match[1]}" in line:
        return rest
    start = match.start(1)
    capital = rest[start].title()
    return f"{rest[:start]}{capital}{rest[start + 1 :]}" if len(capital) == 1 else rest


def _has_words(text: str) -> bool:
    return any(each.isalnum() for each in text)


def _cut(line: str) -> str:
    line = " ".join(line.split())
    if len(line) <= LENGTH:
        return line
    words, _, _ = line[:LENGTH].rpartition(" ")
    return (words or line[: LENGTH - 1]) + "…"
