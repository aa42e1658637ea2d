import pytest
from cost import seconds
from hypothesis import given, settings
from hypothesis import strategies as st

from chatproxy.documents.chunks import MAX_CHUNK, MIN_CHUNK, OVERLAP, split
from chatproxy.documents.parts import Chunk, Part


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
    text = "".join([chr(0x1200 + number) for number in range(2 * step)])
    assert texts(text) == [text[:MAX_CHUNK], text[step : step + MAX_CHUNK]]


@pytest.mark.parametrize("first", [0x3400, 0x4E00, 0xAC00, 0x20000])
def test_ideographs_and_syllables_count_twice(first: int) -> None:
    """A chunk takes about as much of a model's window in any language."""
    most, step = MAX_CHUNK // 2, (MAX_CHUNK - OVERLAP) // 2
    text = "".join([chr(first + number) for number in range(2 * step)])
    assert texts(text) == [text[:most], text[step : step + most]]
    few = f"{words(100)} {chr(first) * 100}"
    assert texts(few) == [few]


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
    "heading",
    [
        "## Sixth",
        "6.1. How is it cut?",
        "6. How is it cut?",
        "6.1. /etc : How is it cut?",
        '6. "Cut"',
        "\nCUTTING, AND SEWING\n",
    ],
)
def test_at_headings_rather_than_paragraphs(heading: str) -> None:
    """The text before a heading is not repeated, because its subject is another one."""
    first, second = texts(words(70) + "end.\n" + heading + "\n\nText.\n\n" + words(80))
    assert first.endswith("word069 end.")
    assert second.startswith(heading.strip() + "\n")


@pytest.mark.parametrize(
    "headings", ["# Six\n\n## Seven", "6. Six\n6.1. Seven", "6. Six\n\n6.1. .d\n\nEIGHT"]
)
def test_headings_that_follow_each_other_stay_together(headings: str) -> None:
    first, second = texts(words(70) + f"end.\n\n{headings}\n\nText.\n\n" + words(80))
    assert first.endswith("word069 end.")
    assert second.startswith(f"{headings}\n")


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
        ("3.8. /home : User home directories", "3.8. /home : User home directories"),
        ("4. «Rent» and more", "4. «Rent» and more"),
        ("12. $100", None),
        ("首选第四代移动网络或者 4G", None),
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


TABLE = "id,name"


def test_a_chunk_of_a_table_begins_with_what_is_repeated() -> None:
    rows = "\n".join([f"{number},Ada {number}. Yes" for number in range(200)])
    first, *others = split([Part("Before.", 1), Part(f"{TABLE}\n{rows}", 2, TABLE), Part("After.", 3)])
    assert first.text.startswith(f"Before.\n\n{TABLE}\n0,Ada")
    assert len(others) > 2
    assert all(chunk.text.startswith(f"{TABLE}\n") for chunk in others)
    assert [chunk.page for chunk in others] == [2] * len(others)
    assert others[-1].text.endswith(",Ada 199. Yes\n\nAfter.")
    lines = [line for chunk in (first, *others) for line in chunk.text.split("\n") if "Ada" in line]
    assert "\n".join(lines) == rows


def test_a_table_that_fits_is_not_cut() -> None:
    table = f"{TABLE}\n" + "\n".join([f"{number},Ada" for number in range(60)])
    for length in (30, 60, 90, 120):
        found = split([Part(words(length)), Part(table, repeated=TABLE), Part(words(length))])
        assert [table in chunk.text for chunk in found if "Ada" in chunk.text] == [True]


def test_many_small_tables_share_chunks() -> None:
    found = list(split([Part(f"{TABLE}\n{number},Ada", repeated=TABLE) for number in range(1000)]))
    assert len(found) < 30


def test_a_row_that_is_too_long_for_a_chunk() -> None:
    row = f"1,{words(500)}"
    found = list(split([Part(f"{TABLE}\n{row}\n2,Ada", repeated=TABLE)]))
    assert all(chunk.text.startswith(f"{TABLE}\n1,word000") for chunk in found[:-1])
    assert found[-1].text.endswith("\n2,Ada")
    assert [chunk.text.count("word250") for chunk in found].count(1) == 1


def test_much_that_is_repeated_leaves_room() -> None:
    headings = words(100).strip()
    rows = "\n".join([f"{number},Ada" for number in range(400)])
    first, *others = split([Part(f"{headings}\n{rows}", repeated=headings)])
    assert all(len(chunk.text) <= MAX_CHUNK for chunk in (first, *others))
    assert {chunk.text.partition("\n")[0] for chunk in others} == {f"{headings[:399]}…"}


def test_lines_that_are_indented_say_what_they_are_below() -> None:
    text = "one:\n  [\n" + "".join([f"    two{n}:\n" + "      three: x\n" * 30 for n in range(9)])
    _, *found = split([Part(text.rstrip(), lines=True)])
    assert {chunk.text.split("two")[0] for chunk in found} == {"one:\n    "}


@pytest.mark.parametrize(
    "pattern", ["{0}x", "{0}{{\n", "{0}word word\n\n", "\n{0}x, y. z" * 9, "{0}" + "x" * 500, "}}\n{0}"]
)
@pytest.mark.parametrize("repeated", [TABLE, ""])
def test_time_grows_with_the_text(pattern: str, repeated: str) -> None:
    def cut(count: int) -> float:
        lines = "\n".join([pattern.format(" " * (number % 50)) for number in range(count)])
        parts = [Part(f"{TABLE}\n{lines}", repeated=repeated, lines=True)]
        return seconds(lambda: list(split(parts)))

    assert cut(4000) < 6 * max(cut(2000), 0.005)


PARTS = st.builds(
    lambda rows, repeated, lines: Part(f"{TABLE}\n{rows}".strip(), repeated=TABLE * repeated, lines=lines),
    st.text(alphabet="ab,. \n{}", max_size=3000),
    st.booleans(),
    st.booleans(),
)


@settings(deadline=None, max_examples=50)
@given(st.lists(PARTS, max_size=4))
def test_nothing_of_tables_is_lost_and_the_number_is_bounded(parts: list[Part]) -> None:
    found = [chunk.text for chunk in split(parts)]
    assert all(0 < len(chunk) <= MAX_CHUNK for chunk in found)
    assert all(chunk == chunk.strip() for chunk in found)
    size = sum(len(part.text) + 2 for part in parts)
    assert len(found) <= size * 6 / MAX_CHUNK + 2
    left = iter("".join(found))
    assert all(letter in left for part in parts for letter in "".join(part.text.split()))


@settings(deadline=None)
@given(st.text(alphabet="ab.\n #1A", max_size=5000) | st.text(alphabet="桜\n 。a", max_size=3000))
def test_nothing_is_lost_and_the_number_is_bounded(text: str) -> None:
    found = texts(text)
    assert all(0 < len(chunk) <= MAX_CHUNK for chunk in found)
    assert len(found) <= 2 * len(text) / (MIN_CHUNK - OVERLAP) + 1
    assert len(found) <= len(text) / (MIN_CHUNK - OVERLAP) + 1 or "桜" in text
    assert all(chunk == chunk.strip() for chunk in found)
    place = 0
    for chunk in found:
        start = text.index(chunk, max(0, place - OVERLAP))
        assert not text[place:start].strip()
        place = max(place, start + len(chunk))
    assert not text[place:].strip()
