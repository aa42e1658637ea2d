import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatproxy.documents.chunks import MAX_CHUNK, MIN_CHUNK, OVERLAP, Chunk, split
from chatproxy.documents.parts import Part


def chunks(text: str) -> list[Chunk]:
    return list(split([Part(text)]))


def texts(text: str) -> list[str]:
    return [chunk.text for chunk in chunks(text)]


def words(count: int, ending: str = " ") -> str:
    """Return that many numbered words of 8 characters, each with its ending."""
    return "".join([f"word{number:03}{ending}" for number in range(count)])


@pytest.mark.parametrize(("text", "expected"), [("", []), (" \n\n ", []), (" one ", ["one"])])
def test_short_ones(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_exactly_one() -> None:
    assert texts("x" * MAX_CHUNK) == ["x" * MAX_CHUNK]


def test_without_a_place_to_cut() -> None:
    step = MAX_CHUNK - OVERLAP
    text = "".join([chr(0x4E00 + number) for number in range(2 * step)])
    assert texts(text) == [text[:MAX_CHUNK], text[step : step + MAX_CHUNK]]


def test_at_words_that_are_repeated() -> None:
    first, second = texts(words(200).strip())
    assert first == words(125).strip()
    assert second.startswith("word113 word114")
    assert second.endswith("word199")


def test_at_sentences_rather_than_words() -> None:
    first, second = texts(words(80) + "end. " + words(80))
    assert first.endswith("word079 end.")
    assert "word079 end. word000" in second


def test_at_paragraphs_rather_than_sentences() -> None:
    first, _ = texts(words(70) + "end.\n\n" + words(5, ". ") + words(80))
    assert first.endswith("word069 end.")


@pytest.mark.parametrize(
    "heading", ["## Sixth", "6.1. How is it cut?", "6. How is it cut?", "\nCUTTING, AND SEWING\n"]
)
def test_at_headings_rather_than_paragraphs(heading: str) -> None:
    """The text before a heading is not repeated, because its subject is another one."""
    first, second = texts(words(70) + "end.\n" + heading + "\n\nText.\n\n" + words(80))
    assert first.endswith("word069 end.")
    assert second.startswith(heading.strip() + "\n")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("# Rent", "Rent"),
        ("### 3. Rent and  more", "3. Rent and more"),
        ("7.1. Rent", "7.1. Rent"),
        ("§ 5 Miete", "§ 5 Miete"),
        ("Chapter 4. Rent", "Chapter 4. Rent"),
        ("第三章 押金", "第三章 押金"),
        ("RENT", "RENT"),
        ("# " + "x" * 150, "x" * 99 + "…"),
        ("1. Chop the onions.", None),
        ("Rent", None),
        ("这是一句话", None),
        ("###", None),
    ],
)
def test_headings(line: str, shown: str | None) -> None:
    (chunk,) = chunks(f"{line}\n\nIt is due.")
    assert chunk.heading == shown


def test_a_chunk_is_below_the_heading_where_it_begins() -> None:
    text = f"Preface.\n\n# One\n\n{words(200)}\n\n## Two\n{words(180)}\n\n# Three\n\nEnd."
    found = [(chunk.heading, chunk.text[:8]) for chunk in chunks(text)]
    assert [heading for heading, _ in found] == ["One", "One", "Two", "Two"]
    assert [begin for _, begin in found][::2] == ["Preface.", "## Two\nw"]


def test_a_chunk_is_on_the_page_where_it_begins() -> None:
    pages = [Part(f"# Page\n\n{words(100)}", page) for page in (1, 3, 4)]
    assert [chunk.page for chunk in split(pages)] == [1, 3, 4]
    assert [chunk.page for chunk in split([Part("short", 2), *pages])] == [2, 3, 4]
    assert [chunk.page for chunk in chunks("short")] == [None]


@settings(deadline=None)
@given(st.text(alphabet="ab.\n #1A", max_size=5000))
def test_nothing_is_lost_and_the_number_is_bounded(text: str) -> None:
    found = texts(text)
    assert all(0 < len(chunk) <= MAX_CHUNK for chunk in found)
    assert len(found) <= len(text) / (MIN_CHUNK - OVERLAP) + 1
    assert all(chunk == chunk.strip() for chunk in found)
    place = 0
    for chunk in found:
        start = text.index(chunk, max(0, place - OVERLAP))
        assert not text[place:start].strip()
        place = max(place, start + len(chunk))
    assert not text[place:].strip()
