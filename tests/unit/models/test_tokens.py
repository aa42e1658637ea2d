"""Tokens of a text before Ollama has counted them: learned from its counts, and never far off for long."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatproxy.models.tokens import (
    APART,
    FLATTEST,
    OF_A_MESSAGE,
    PARTIAL,
    SLOPE,
    STEEPEST,
    TEMPLATE,
    UNSENT,
    TokenEstimate,
    size_of,
)

Count = tuple[int, int]  # bytes, tokens


def taught(*counts: Count) -> TokenEstimate:
    estimate = TokenEstimate()
    for size, tokens in counts:
        estimate = estimate.learned(size, tokens)
    return estimate


def counted(size: int) -> st.SearchStrategy[Count]:
    return st.tuples(st.just(size), st.integers(ceil(size * PARTIAL), size + UNSENT))


def test_before_anything_was_counted_it_guesses() -> None:
    assert TokenEstimate().tokens(1000) == SLOPE * 1000


def test_size_is_in_bytes_with_the_marks_around_a_message() -> None:
    assert size_of("é€😀") == 2 + 3 + 4 + OF_A_MESSAGE


@given(st.lists(st.integers(1, 300_000).flatmap(counted), min_size=1, max_size=6))
def test_the_latest_count_is_always_met(counts: list[Count]) -> None:
    size, tokens = counts[-1]
    assert taught(*counts).tokens(size) == tokens


@given(st.floats(FLATTEST, STEEPEST), st.integers(0, TEMPLATE), st.permutations([40, 900, 2500, 6000]))
def test_two_counts_far_apart_show_template_and_slope(slope: float, base: int, sizes: list[int]) -> None:
    estimate = taught(*((size, round(base + slope * size)) for size in sizes))
    for size in (100, 3000, 20_000):
        assert estimate.tokens(size) == pytest.approx(base + slope * size, rel=0.05, abs=20)


def test_counts_close_together_show_no_slope() -> None:
    assert taught((1000, 400), (1000 + APART - 1, 500)).slope == taught((1000, 400)).slope == SLOPE


def test_a_short_prompt_with_a_long_template_says_nothing_about_a_long_one() -> None:
    assert taught((40, 1000)).tokens(4000) == pytest.approx(1000 + SLOPE * 4000, abs=20)


def test_a_text_of_many_tokens_is_not_taken_for_a_template() -> None:
    emoji = taught((10_000, 6000))
    assert emoji.tokens(100) <= TEMPLATE + 100


@pytest.mark.parametrize(
    "counts",
    [
        [(6000, 1500), (5000, 3000)],  # English, then emoji: fewer bytes, more tokens
        [(5000, 3000), (6000, 1500)],
        [(1000, 250), (1600, 900)],  # steeper than a token for each byte
    ],
)
def test_counts_of_different_texts_show_no_slope(counts: list[Count]) -> None:
    estimate = taught(*counts)
    assert FLATTEST <= estimate.slope <= STEEPEST
    assert estimate.base <= TEMPLATE


def test_a_count_of_a_part_is_not_learned_from() -> None:
    """Ollama versions differ in whether they count what they had evaluated before."""
    assert taught((10_000, 2600), (12_000, 74)) == taught((10_000, 2600))


@pytest.mark.parametrize("tokens", [10_000 + UNSENT + 1, 2**31 - 1, 2**63 - 1, 0, -5])
def test_an_impossible_count_is_not_learned_from(tokens: int) -> None:
    assert taught((10_000, 2600), (10_000, tokens)) == taught((10_000, 2600))
