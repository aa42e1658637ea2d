import sys
from unicodedata import category, normalize

import pytest
from hypothesis import example, given
from hypothesis.strategies import characters, text

from chatproxy.values import folded

NAMES = text(characters(exclude_categories=["Cs"]), max_size=8)


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (["Ann", "ANN", "ann"], "ann"),
        (["Zoë", "ZOE\u0308", "zoë"], "zoë"),
        (["Straße", "STRASSE", "strasse"], "strasse"),
        (["ΣΊΣΥΦΟΣ", "Σίσυφος", "σίσυφοσ"], "σίσυφοσ"),
        (["\u212bngstr\xf6m", "ÅNGSTRÖM"], "ångström"),
        (["\u1fb4", "\u03ac\u03b9", "\u0391\u0345\u0301"], "άι"),
        (["İzel", "I\u0307ZEL"], "i\u0307zel"),
        (["李雷", "한", "한"][:1], "李雷"),
        (["한", "\u1112\u1161\u11ab"], "한"),
    ],
)
def test_forms_of_one_name_are_one(names: list[str], form: str) -> None:
    assert {folded(name) for name in names} == {form}


def test_names_that_only_look_alike_are_not_one() -> None:
    names = ["ann", "anп", "ａnn", "ánn", "ann ", "an", "a n n", "ⓐnn", "ªnn"]  # noqa: RUF001
    assert len({folded(name) for name in names}) == len(names)


def test_the_form_of_every_character_is_its_own_form() -> None:
    every = (chr(code) for code in range(sys.maxunicode + 1))
    assert [each for each in every if category(each) != "Cs" and folded(folded(each)) != folded(each)] == []


@given(NAMES)
@example("\u0345\u0301")
@example("\u1fb3\u0301")
@example("a\u0345\u0323")
@example("\u0390\u0345")
def test_the_form_of_a_form_is_itself_and_does_not_depend_on_how_a_name_is_written(name: str) -> None:
    form = folded(name)
    assert folded(form) == form == normalize("NFC", form)
    for kind in ("NFC", "NFD"):
        assert folded(normalize(kind, name)) == form
    assert folded(normalize("NFD", name).casefold()) == form
