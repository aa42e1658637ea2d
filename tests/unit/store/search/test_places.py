"""Where the words are that a search has found."""

import pytest

from chatproxy.store.search.places import MOST_PLACES, places_of


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        (["rent"], "Rent is due. It is rented, the RENTS rise; current.", ["Rent", "rented", "RENTS"]),
        (["cafe"], "\U0001f511 Un café.", ["café"]),
        (["5.2"], "See 5.2, not 52.", ["5.2"]),
        (["notice", "notice period"], "The notice period; a notice.", ["notice period", "notice"]),
        (["蜂蜜"], "他卖蜂蜜 蜂蜜甜", ["蜂蜜", "蜂蜜"]),
        (["卖蜂蜜"], "他卖蜂蜜", ["卖蜂蜜"]),
        (["书"], "图书馆", ["书"]),
        (["赔"], "赔偿金额由专家评估", ["赔"]),
        (["rent", "书"], "rent 书页", ["rent", "书"]),
        (['"', "NEAR(", "*", "\0"], 'A "quote" *', []),
        (["absent"], "Nothing of it.", []),
        ([], "Nothing of it.", []),
    ],
)
def test_places(words: list[str], text: str, expected: list[str]) -> None:
    (found,) = places_of(words, [text])
    assert [text[begin:end] for begin, end in found] == expected


def test_each_text_has_its_own_and_few() -> None:
    first, second, third = places_of(["a"], ["a b " * 100, "b", "b a"])
    assert (len(first), second, third) == (MOST_PLACES, [], [(2, 3)])
