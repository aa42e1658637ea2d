"""A question finds a number or a unit in whatever spelling the document has it."""

import pytest

from chatproxy.prompt.search_terms import queries
from chatproxy.store.search.indexes import DocumentIndex
from chatproxy.store.search.places import places_of
from chatproxy.store.search.spellings import plain

SAME = (
    ("m2", "m²", "m^2"),
    ("10^6", "10⁶", "106"),
    ("CO2", "CO₂"),
    ("1000", "1.000", "1,000", "1'000", "1\u202f000"),
    ("1000,50", "1.000,50", "1,000.50", "1000.50"),
    ("2500000", "2.500.000", "2,500,000"),
)


@pytest.mark.parametrize(
    ("written", "asked"), [(one, other) for spellings in SAME for one in spellings for other in spellings]
)
def test_a_question_finds_another_spelling(written: str, asked: str) -> None:
    index = DocumentIndex()
    index.add(["Nothing of it.", f"The house has {written} of them.", "Nor here."])
    index.finish()
    assert list(index.search(queries(f"What has {asked}?", []), 5)) == [1]


@pytest.mark.parametrize(
    "text", ["1.5", "10,25", "192.168.0.1", "1.000.5", "0,125", "2019, 100", "^ a", "x^", "5.1000", "a1.000"]
)
def test_what_is_no_other_spelling_stays(text: str) -> None:
    assert plain(text) == text


def test_the_places_are_those_of_the_text() -> None:
    assert places_of(["m2"], ["It has 80 m² or so."]) == [[(10, 12)]]
