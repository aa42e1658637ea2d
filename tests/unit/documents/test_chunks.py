import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatproxy.documents.chunks import MAX_CHUNK, MIN_CHUNK, OVERLAP, split_text


def words(count: int, ending: str = " ") -> str:
    """Return that many numbered words of 8 characters, each with its ending."""
    return "".join([f"word{number:03}{ending}" for number in range(count)])


@pytest.mark.parametrize(("text", "expected"), [("", []), (" \n\n ", []), (" one ", ["one"])])
def test_short_ones(text: str, expected: list[str]) -> None:
    assert list(split_text(text)) == expected


def test_exactly_one() -> None:
    assert list(split_text("x" * MAX_CHUNK)) == ["x" * MAX_CHUNK]


def test_without_a_place_to_cut() -> None:
    step = MAX_CHUNK - OVERLAP
    text = "".join([chr(0x4E00 + number) for number in range(2 * step)])
    assert list(split_text(text)) == [text[:MAX_CHUNK], text[step : step + MAX_CHUNK]]


def test_at_words_that_are_repeated() -> None:
    first, second = split_text(words(200).strip())
    assert first == words(125).strip()
    assert second.startswith("word113 word114")
    assert second.endswith("word199")


def test_at_sentences_rather_than_words() -> None:
    first, second = split_text(words(80) + "end. " + words(80))
    assert first.endswith("word079 end.")
    assert "word079 end. word000" in second


def test_at_paragraphs_rather_than_sentences() -> None:
    first, _ = split_text(words(70) + "end.\n\n" + words(5, ". ") + words(80))
    assert first.endswith("word069 end.")


@pytest.mark.parametrize(
    "heading", ["## Sixth", "6.1. How is it cut?", "6. How is it cut?", "\nCUTTING, AND SEWING\n"]
)
def test_at_headings_rather_than_paragraphs(heading: str) -> None:
    """The text before a heading is not repeated, because its subject is another one."""
    first, second = split_text(words(70) + "end.\n" + heading + "\n\nText.\n\n" + words(80))
    assert first.endswith("word069 end.")
    assert second.startswith(heading.strip() + "\n")


@settings(deadline=None)
@given(st.text(alphabet="ab.\n #1A", max_size=5000))
def test_nothing_is_lost_and_the_number_is_bounded(text: str) -> None:
    found = list(split_text(text))
    assert all(0 < len(chunk) <= MAX_CHUNK for chunk in found)
    assert len(found) <= len(text) / (MIN_CHUNK - OVERLAP) + 1
    assert all(chunk == chunk.strip() for chunk in found)
    place = 0
    for chunk in found:
        start = text.index(chunk, max(0, place - OVERLAP))
        assert not text[place:start].strip()
        place = max(place, start + len(chunk))
    assert not text[place:].strip()
