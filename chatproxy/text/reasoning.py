"""Reasoning that a model writes into its text, told apart from the answer while the text arrives in pieces.

Ollama marks the reasoning of models that it knows to think. Others write it between tags, at the beginning.
Some write the closing tag alone, because the opening one is in their template. Then everything before it was
reasoning, which may have been passed on as the answer: what was written is swapped (`Part.swapped`). A model
that is known to begin so `begins_inside`; if it ends without the tag, it is swapped back.

A tag counts where it begins the text, but for white space and other reasoning, and a closing one without an
opening one where it is neither code nor quoted. All others are text, and so is everything after the answer
has begun. The tags are left out, with the white space after them.
"""

import re
from collections.abc import Callable, Collection
from typing import Final, Protocol

from msgspec import Struct

# The tags of models in use, as other front ends know them, in lower case.
TAGS: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reason>": "</reason>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
}
# Those that are in templates. The words of the others are also elements of documents.
ALONE: Final = ("</think>", "</thinking>", "</seed:think>", "[/think]", "◁/think▷")
# Code points of an answer in which a closing tag may come: no model thinks for longer.
LONGEST_REASONING: Final = 512 * 1024
MOST_TAGS: Final = 64  # in one answer; after these, all is text, so that its cost grows with its length only
MAX_BLANK: Final = 1024  # white space at the beginning that is waited with
LONGEST_TAG: Final = max(map(len, [*TAGS, *TAGS.values()]))

_OPENING: Final = re.compile(
    r"<(?:seed:)?think>|<(?:thinking|thought|reason|reasoning)>|<\|begin_of_thought\|>|\[think\]|◁think▷",
    re.IGNORECASE,
)
_TAG: Final = re.compile(
    r"</?(?:seed:)?think>|</?(?:thinking|thought|reason|reasoning)>|<\|(?:begin|end)_of_thought\|>"
    r"|\[/?think\]|◁/?think▷",
    re.IGNORECASE,
)
_FIRST: Final = "<[◁"  # the characters that tags begin with, and have nowhere else
_WATCHED: Final = frozenset([*ALONE, *[opening for opening, closing in TAGS.items() if closing in ALONE]])
_QUOTES: Final = "\"'`“”„«»「」『』"
_FENCE: Final = re.compile(r" {0,3}(?:> ?)*(`{3,}|~{3,})(.*)")


def _cut_at(tags: Collection[str], text: str) -> int:
    """Return where the end of a text begins that may be the beginning of one of the tags."""
    place = max(text.rfind(first, -LONGEST_TAG) for first in _FIRST)
    end = text[place:].lower()
    return place if place >= 0 and any(tag != end and tag.startswith(end) for tag in tags) else len(text)


class Part(Struct):
    """What a piece brings: first, `swapped` says that what was written so far changes sides."""

    swapped: bool = False
    thinking: str = ""
    content: str = ""


class Written(Protocol):
    """What was passed on as the answer."""

    length: int  # in code points

    def part(self, start: int) -> str:
        """Return it from a code point on."""


class Reasoning:
    """Tells the reasoning apart in one answer that Ollama does not mark."""

    def __init__(
        self, written: Written, *, begins_inside: bool = False, surely: bool = False, alone: bool = True
    ) -> None:
        """Begin an answer. What a part brings has to be added to `written` before the next one.

        One that is only believed to begin inside, and not `surely`, is the answer if it breaks off without a
        tag: the last answer of a model says little of the next one, and may be that of somebody else. Unless
        `alone`, a closing tag without an opening one is text.
        """
        self.found_alone: bool | None = None  # a closing tag without an opening one; None: not known
        self._written = written
        self._begins_inside = begins_inside
        self._surely = surely
        self._alone = alone
        self._step: Callable[[str], str] | None = self._begin
        self._watches = False
        self._held = ""  # text whose side the next piece decides
        self._last = ""  # the character before it, of thinking
        self._final = False  # whether nothing may be held any more
        self._tags = 0  # seen so far
        self._opened = False  # whether reasoning came before
        self._closing: Collection[str] = ALONE
        self._part = Part()
        self._thought = 0  # code points of thinking passed on
        self._read = 0  # up to where what was written was looked through for code: the beginning of a line
        self._fence = ""  # that is open there

    @property
    def decided(self) -> bool:
        """Whether everything that follows is the answer."""
        return self._step is None

    def is_content(self, text: str) -> bool:
        """Return whether the next piece is of the answer as it is, and need not be fed. This costs little."""
        return self._watches and not self._held and "<" not in text and "[" not in text and "◁" not in text

    def feed(self, text: str) -> Part:
        """Return what the next piece of the text brings."""
        part = self._part = Part()
        text, self._held = self._held + text, ""
        while text and self._step is not None:
            text = self._step(text)
        part.content += text
        return part

    def end(self, *, complete: bool) -> Part:
        """Return what the end brings: all that was held. `complete` says that the model ended by itself."""
        self._final = True
        part = self.feed("")
        never_stopped = self._step == self._inside and self._begins_inside and not self._opened
        if never_stopped and (complete or not self._surely):  # to think, so it did not begin
            part.swapped = self._thought > len(part.thinking)
            part.content, part.thinking = part.thinking, ""
        if complete and self._step is not None:
            self.found_alone = False
        self._step = None
        self._watches = False
        return part

    # -- the steps: each takes from the text what it can, and returns the rest; what it cannot, it holds

    def _begin(self, text: str) -> str:
        """Look for an opening tag, after white space."""
        rest = text.lstrip()
        if self._opened:
            text = rest
        waits = not rest or (len(rest) < LONGEST_TAG and self._may_begin(rest.lower()))
        if waits and not self._final and len(text) - len(rest) < MAX_BLANK:
            self._held = text
            return ""
        if opening := _OPENING.match(rest):
            self._closing = [TAGS[opening[0].lower()]]
            self._opened = True
            self._go_on(self._enter)
            return rest[opening.end() :]
        if self._alone and not self._opened:
            closing = _TAG.match(rest)
            if closing and closing[0].lower() in ALONE:
                return self._close_alone(rest[closing.end() :])
            self._step = self._enter if self._begins_inside else self._watch
            self._watches = not self._begins_inside
        else:
            self._step = None
        return text

    def _may_begin(self, text: str) -> bool:
        tags = TAGS if self._opened or not self._alone else (*TAGS, *ALONE)
        return any(tag != text and tag.startswith(text) for tag in tags)

    def _enter(self, text: str) -> str:
        """Leave out the white space at the beginning of reasoning."""
        if text := text.lstrip():
            self._step = self._inside
        return text

    def _inside(self, text: str) -> str:
        """Pass reasoning on up to the closing tag."""
        begin, end = self._find(self._closing, text, self._last)
        self._pass_thinking(text[:begin])
        if begin == end:
            self._held = text[begin:]
            return ""
        if not self._opened:
            return self._close_alone(text[end:])
        self._step = self._begin
        return text[end:]

    def _watch(self, text: str) -> str:
        """Pass the answer on while it may turn out to be reasoning."""
        begin, end = self._find(_WATCHED, text, self._written.part(max(0, self._written.length - 1)))
        about_tags = begin < end and "/" not in text[begin:end]
        if about_tags or self._written.length > LONGEST_REASONING:
            self._step = None
            return text
        if begin < end and self._is_code(text[:begin]):
            self._part.content += text[:end]
            self._go_on(self._watch)
            return text[end:]
        if begin < end:
            self._part.swapped = self._written.length > 0
            self._part.thinking, self._part.content = self._part.content, ""
            self._pass_thinking(text[:begin])
            return self._close_alone(text[end:])
        self._part.content += text[:begin]
        self._held = text[begin:]
        return ""

    def _close_alone(self, rest: str) -> str:
        self.found_alone = True
        self._opened = True
        self._go_on(self._begin)
        return rest

    def _go_on(self, step: Callable[[str], str]) -> None:
        """Take the next step after a tag, unless there were too many."""
        self._tags += 1
        self._step = step if self._tags < MOST_TAGS else None
        self._watches = self._step == self._watch

    # -- of these

    def _find(self, tags: Collection[str], text: str, last: str) -> tuple[int, int]:
        """Return where a tag is that is not quoted, or else, twice, up to where the text has none.

        `last` is the character before the text.
        """
        for tag in _TAG.finditer(text):
            if tag[0].lower() not in tags:
                continue
            before = text[tag.start() - 1] if tag.start() else last
            after = text[tag.end() : tag.end() + 1]
            quoted = bool(before) and before in _QUOTES
            if quoted and not after and not self._final:
                return tag.start(), tag.start()
            if not (quoted and after and after in _QUOTES):
                return tag.span()
        cut = len(text) if self._final else _cut_at(tags, text)
        return cut, cut

    def _is_code(self, text: str) -> bool:
        """Return whether what follows the text, and what was written before it, is code in Markdown."""
        text = self._part.content + text
        known = self._written.part(self._read) if self._read < self._written.length else ""
        *lines, line = (known + text[max(0, self._read - self._written.length) :]).split("\n")
        for each in lines:
            self._read += len(each) + 1
            if fence := _FENCE.match(each):
                mark, rest = fence.groups()
                if not self._fence:
                    self._fence = mark
                elif mark.startswith(self._fence) and not rest.strip():
                    self._fence = ""
        return bool(self._fence) or line.count("`") % 2 == 1

    def _pass_thinking(self, text: str) -> None:
        self._part.thinking += text
        self._thought += len(text)
        self._last = text[-1:] or self._last


class _Nothing:
    length = 0

    def part(self, start: int) -> str:
        return ""


def told_apart(text: str) -> tuple[str, str]:
    """Return the reasoning and the answer of a whole text."""
    reasoning = Reasoning(_Nothing())
    part, last = reasoning.feed(text), reasoning.end(complete=True)
    return part.thinking + last.thinking, part.content + last.content
