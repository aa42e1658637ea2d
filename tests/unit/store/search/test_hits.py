"""Where a search has found its words: what a list of hits shows."""

import pytest

from chatproxy.store.search.hits import BEFORE, LENGTH, MOST_LOOKS, snippet
from chatproxy.store.search.places import MOST_PLACES


@pytest.mark.parametrize(
    ("q", "text", "expected"),
    [
        ("tea", "Tea, teapots and steam; TEA.", ["Tea", "tea", "TEA"]),
        ("cafe menu", "\U0001f511 The café has no menu.", ["café", "menu"]),
        ("UserName", "getUserName, user_name, user-name, surname", ["UserName", "user_name", "user-name"]),
        ("name", "getUserName, username", ["Name"]),
        ("部署", "今天讨论了部署方案", ["部署"]),
        ("数据库", "方案和数据库迁移", ["数据库"]),
        ("日", "これは日本語", ["日"]),
        ("เอกสาร", "สวัสดีชาวโลกนี่คือเอกสาร", ["เอกสาร"]),
        ("서울에서", "나는 서울에서 산다", ["서울에서"]),
        ("strasse", "Die Straße", ["Straße"]),
        ("absent", "Nothing of it.", []),
        ("...", "Nothing of it.", []),
        ("x", "", []),
    ],
)
def test_places(q: str, text: str, expected: list[str]) -> None:
    shown, found = snippet(q, text)
    assert [shown[begin:end] for begin, end in found] == expected


def test_a_snippet_is_short_and_on_one_line() -> None:
    text = "word\n" * 1000 + "The hit\r\nis here." + " word" * 1000
    shown, found = snippet("hit", text)
    assert len(shown) == LENGTH
    assert "The hit  is here." in shown
    assert shown.startswith("word ")
    assert shown[slice(*found[0])] == "hit"
    assert found[0][0] <= BEFORE
    assert snippet("absent", text) == (text[:LENGTH].replace("\n", " "), [])


def test_places_inside_of_words_are_not_looked_at_without_end() -> None:
    text = "b " + "a" * 262_000 + " a"
    folds = text.count("a")
    assert folds > 100 * MOST_LOOKS
    assert snippet(" ".join("a" * length for length in range(1, 33)), text)[1]  # at once


def test_few_places_are_shown_however_many_there_are() -> None:
    shown, found = snippet("a", "a " * 10_000)
    assert len(found) <= MOST_PLACES
    assert shown[0] == "a"
