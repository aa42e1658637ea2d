"""Tokens of a prompt before Ollama has counted them: exact where it counted, and a range beside that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatproxy.models.tokens import (
    A_PROMPT,
    LEAST,
    MAX_COUNTS,
    MOST,
    OF_A_MESSAGE,
    UNSENT,
    USUAL,
    Size,
    TokenEstimate,
    learned,
    size_of,
    total,
)
from chatproxy.store.records import PromptCount

LETTERS, DIGITS = 0, 1


def sized(text: str, *, images: int = 0) -> Size:
    """The size of a prompt with one message."""
    return A_PROMPT + size_of(text, images=images)


def taught(*counts: tuple[str, int], shown: int | None = None) -> TokenEstimate:
    """What follows from these texts and their tokens, of answers 1, 2 and so on; the first `shown` remain."""
    known: list[PromptCount] = []
    for answer, (text, tokens) in enumerate(counts, start=1):
        known = list(learned(known, answer, "m", sized(text), tokens))
    return TokenEstimate.of(known, "m", range(1, 1 + (len(counts) if shown is None else shown)))


def test_size_is_by_kind_of_character() -> None:
    assert size_of("ab c1(é€😀") == (4, 1, 1, 2, 3, 4, 1, 0, 0)
    assert size_of("abc 12!", messages=0) == (4, 2, 1, 0, 0, 0, 0, 0, 0)
    assert size_of("é€😀").bytes == 2 + 3 + 4 + OF_A_MESSAGE


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=50), max_size=8))
def test_sizes_add_up(texts: list[str]) -> None:
    whole = total(size_of(text) for text in texts)
    assert whole.bytes == sum(len(text.encode()) + OF_A_MESSAGE for text in texts)
    assert whole - size_of("a") + size_of("a") == whole


def test_before_anything_was_counted_it_guesses_in_a_range() -> None:
    estimate, size = TokenEstimate(), sized("word " * 1000)
    assert estimate.tokens(size) == pytest.approx(USUAL[LETTERS] * 5000, rel=0.05)
    assert estimate.least(size) == pytest.approx(LEAST * estimate.tokens(size), abs=1)
    assert estimate.most(size) == pytest.approx(MOST * estimate.tokens(size), abs=1)


@given(
    st.lists(
        st.tuples(st.text("ab 12\u4e00\u0436", min_size=1, max_size=2000), st.floats(0.05, 0.9)),
        min_size=1,
        max_size=6,
    )
)
def test_the_latest_count_is_always_met(texts: list[tuple[str, float]]) -> None:
    counts = [(text, 1 + round(rate * len(text.encode()))) for text, rate in texts]
    estimate = taught(*counts)
    size = sized(counts[-1][0])
    assert {estimate.least(size), estimate.tokens(size), estimate.most(size)} == {counts[-1][1]}


def test_what_is_new_is_added_at_the_rate_of_texts_like_it() -> None:
    """Numbers that cost much make no words cost more."""
    words = "some words " * 100
    estimate = taught(("a", 20), (words, 240), (words + "1" * 500, 740))
    assert estimate.rates[DIGITS] == pytest.approx(1, rel=0.1)
    assert estimate.rates[LETTERS] == pytest.approx(0.2, rel=0.15)
    more = sized(words * 2 + "1" * 500)
    assert estimate.tokens(more) == pytest.approx(740 + 220, rel=0.05)
    assert 740 < estimate.least(more) < estimate.tokens(more) < estimate.most(more) < 740 + 400


def test_a_template_costs_no_text_more() -> None:
    assert taught(("Hello", 4000)).rates[LETTERS] == pytest.approx(USUAL[LETTERS], rel=0.05)
    assert taught(("Hello", 4000)).tokens(sized("word " * 200)) == pytest.approx(4000 + 240, rel=0.02)


def test_what_was_sent_for_superseded_answers_counts_only_where_it_is_sent_again() -> None:
    words, numbers = "some words " * 100, "12 34 " * 200
    estimate = taught(("a", 20), (numbers, 1150), shown=1)
    assert estimate.tokens(sized(words)) == taught(("a", 20)).tokens(sized(words))
    assert estimate.tokens(sized(numbers)) == 1150


def test_one_model_is_not_estimated_by_what_another_one_counted() -> None:
    counts = learned((), 1, "m", sized("some words"), 30)
    assert TokenEstimate.of(counts, "other", [1]).tokens(sized("some words")) < 30


def test_a_count_that_the_next_one_contradicts_is_forgotten() -> None:
    """The same text cannot have become longer by two thousand tokens."""
    words = "some words " * 100
    wrong = taught(("Hello", 4000), ("Hello" + words, 260), ("Hello" + words * 2, 480))
    right = taught(("Hello", 20), ("Hello" + words, 260), ("Hello" + words * 2, 480))
    size = sized("Hello" + words * 3)
    assert wrong.tokens(size) == pytest.approx(right.tokens(size), rel=0.1)


@pytest.mark.parametrize("tokens", [None, 74, 10_000 + UNSENT + 300, 2**31 - 1, 2**63 - 1, 0, -5])
def test_an_impossible_count_is_not_learned_from(tokens: int | None) -> None:
    """Nor is that of a part: Ollama versions differ in whether they count what they had evaluated before."""
    assert learned((), 1, "m", sized("word " * 2000), tokens) == ()


def test_images_are_learned_from_as_texts_are() -> None:
    text = "some words " * 100
    counts = learned((), 1, "m", sized(text), 240)
    counts = learned(counts, 2, "m", sized(text, images=2), 240 + 2 * 256)
    estimate = TokenEstimate.of(counts, "m", [1, 2])
    assert estimate.tokens(sized(text, images=4)) == pytest.approx(240 + 4 * 256, rel=0.05)


def test_few_counts_are_kept() -> None:
    counts = learned((), 1, "m", sized("Hi"), 12)
    for answer in range(2, 3 * MAX_COUNTS):
        counts = learned(counts, answer, "m", sized("Hi" * answer), 12 + answer)
    assert [count.answer for count in counts] == list(range(2 * MAX_COUNTS, 3 * MAX_COUNTS))
