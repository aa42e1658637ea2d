"""Reasoning in a text: what is told apart, and that it does not matter in which pieces the text arrives."""

from collections.abc import Iterable, Sequence
from typing import Final

import pytest
from cost import seconds
from hypothesis import given
from hypothesis import strategies as st

from chatproxy.answers.answer import Text
from chatproxy.text import reasoning
from chatproxy.text.reasoning import TAGS, Part, Reasoning, told_apart

# text, thinking, content
OPENED: Final = [
    ("<think>\nLet me see.\n</think>\n\nHello!", "Let me see.\n", "Hello!"),
    (" \n<think>a</think>b", "a", "b"),
    ("<THINK>a</Think>b", "a", "b"),
    ("<think>a</think>\n<think>b</think>\n\nc", "ab", "c"),
    ("<think>\n\n</think>\n\nHello!", "", "Hello!"),
    ("<think>never closed", "never closed", ""),
    ("<think>a < b </thi </ </think>c", "a < b </thi </ ", "c"),
    ("<think>I write `</think>` then.</think>b", "I write `</think>` then.", "b"),
    ("<think>He said 'x'</think>b", "He said 'x'", "b"),
    ("<think>a</think>b</think>c <think>d</think>", "a", "b</think>c <think>d</think>"),
    ("<think>a</think>", "a", ""),
    *[(f"{opening}a{closing}\nb", "a", "b") for opening, closing in TAGS.items()],
]
ALONE: Final = [
    ("Let me see.\n</think>\n\nHello!", "Let me see.\n", "Hello!"),
    ("Let me see.</think>Hello!", "Let me see.", "Hello!"),
    ("</think>\n\nHello!", "", "Hello!"),
    ("\n\n</think>Hello!", "", "Hello!"),
    ("a</thinking>b", "a", "b"),
    ("a[/THINK]b", "a", "b"),
    ("a</think><think>b</think>c", "ab", "c"),
    ("```\na\n```\nb</think>c", "```\na\n```\nb", "c"),
    ("I write `</think>` then.\n</think>\nb", "I write `</think>` then.\n", "b"),
    ("a</think>b</think>c", "a", "b</think>c"),
    ("a</think>", "a", ""),
]
PLAIN: Final = [
    "Hello!",
    "",
    " \n  Hello!\n",
    "< b",
    "<",
    "<think",
    "<thinker>a</thinker>",
    "The tag <think> begins it and </think> ends it.",
    "Write `<think>` before and `</think>` after.",
    "Only `</think>` is left.",
    'Look for "</think>" in it.',
    "```xml\n<think>\n</think>\n```\n",
    "```\na</think>b\n```\n",
    "~~~\n```\n</think>\n~~~",
    "````\n```\n</think>\n````",
    "```\n```js\n</think>\n```",
    "> ```\n> </think>\n> ```",
    "An element </thought> or </reason>.",
    "a </thin",
]


def fed(pieces: Iterable[str], *, complete: bool = True, **how: bool) -> tuple[str, str, Reasoning]:
    """Return the thinking and the content that readers have in the end, however often they changed sides."""
    thinking = content = ""
    written = Text()
    told = Reasoning(written, **how)

    def take(part: Part) -> None:
        nonlocal thinking, content
        if part.swapped:
            assert not (thinking and content)
            assert thinking or content
            thinking, content = content, thinking
        assert not (part.thinking and content), "thinking comes before the content"
        thinking, content = thinking + part.thinking, content + part.content
        written.append(part.content)

    for piece in pieces:
        take(Part(content=piece) if told.is_content(piece) else told.feed(piece))
    take(told.end(complete=complete))
    return thinking, content, told


@pytest.mark.parametrize(("text", "thinking", "content"), [*OPENED, *ALONE])
def test_reasoning_is_told_apart(text: str, thinking: str, content: str) -> None:
    for pieces in ([text], text, [text[:5], text[5:]]):
        assert fed(pieces)[:2] == (thinking, content)
        assert fed(pieces, begins_inside=True)[:2] == (thinking, content)
    assert told_apart(text) == (thinking, content)


@pytest.mark.parametrize("text", PLAIN)
def test_tags_elsewhere_are_text(text: str) -> None:
    for pieces in ([text], text):
        assert fed(pieces)[:2] == ("", text)
        assert fed(pieces, complete=False)[:2] == ("", text)


@pytest.mark.parametrize(("text", "thinking", "content"), ALONE)
def test_an_opening_tag_may_be_demanded(text: str, thinking: str, content: str) -> None:
    if "<think>" not in text:
        assert fed(text, alone=False)[:2] == ("", text)


def test_a_model_that_begins_inside_is_believed_until_it_ends_without_having_stopped() -> None:
    assert fed("Hello!", begins_inside=True)[:2] == ("", "Hello!")
    assert fed("Let me", begins_inside=True, surely=True, complete=False)[:2] == ("Let me", "")
    assert fed("Let me", begins_inside=True, complete=False)[:2] == (
        "",
        "Let me",
    )  # no text of the answer is lost


def test_what_an_answer_shows_about_its_model() -> None:
    assert fed("a</think>b")[2].found_alone is True
    assert fed("a</think>b", begins_inside=True)[2].found_alone is True
    assert fed("b")[2].found_alone is False
    assert fed("b", begins_inside=True)[2].found_alone is False
    assert fed("b", complete=False)[2].found_alone is None
    assert fed("<think>a</think>b")[2].found_alone is None


def test_once_it_is_decided_nothing_more_is_looked_at() -> None:
    told = Reasoning(Text())
    assert told.feed("<think>a</think> b").content == "b"
    assert told.decided
    watched = Reasoning(Text("a" * (reasoning.LONGEST_REASONING + 1)))
    watched.feed("a")
    assert watched.is_content("a")
    assert watched.feed("</think>").content == "</think>"
    assert watched.decided
    blank = Reasoning(Text(), alone=False)
    assert blank.feed(" " * (reasoning.MAX_BLANK + 1)).content
    assert blank.decided


@pytest.mark.parametrize("unit", ["`</think>` ", "<think></think>", "'</think>' ", "</think>", "`\n"])
def test_the_cost_grows_with_the_length_only(unit: str) -> None:
    """Four times as many tags, in one piece or in many, take far less than sixteen times as long."""

    def cost(number: int, pieces: int) -> float:
        text = unit * number
        size = max(1, len(text) // pieces)
        split = [text[at : at + size] for at in range(0, len(text), size)]
        return seconds(lambda: fed(split))

    for pieces in (1, 50):
        assert cost(80_000, pieces) < 10 * cost(20_000, pieces) + 0.05


WORDS: Final = st.sampled_from(
    [
        *TAGS,
        *TAGS.values(),
        "</think>",
        "<think>",
        "<",
        "</",
        "think>",
        "`",
        "```\n",
        "~~~",
        '"',
        "\n",
        " ",
        "a",
        "İ",
    ]
)


@given(st.lists(WORDS, max_size=14).map("".join), st.data(), st.booleans(), st.booleans(), st.booleans())
def test_pieces_make_no_difference(
    text: str, data: st.DataObject, begins_inside: bool, alone: bool, complete: bool
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces: Sequence[str] = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    how = {"begins_inside": begins_inside, "alone": alone, "complete": complete}
    whole = fed([text], **how)[:2]
    assert fed(pieces, **how)[:2] == whole
    assert fed(text, **how)[:2] == whole
