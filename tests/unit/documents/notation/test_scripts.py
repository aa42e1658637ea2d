import pytest

from chatproxy.documents.notation.scripts import fraction, note, subscript, superscript, with_fractions


@pytest.mark.parametrize(
    ("before", "raised", "expected"),
    [
        ("10", "6", "⁶"),
        ("10", "-3", "⁻³"),
        ("10", "−3", "⁻³"),  # noqa: RUF001 - a minus sign
        ("m", "2 ", "² "),
        ("x", "n+1", "ⁿ⁺¹"),
        ("Ca", "2+", "²⁺"),
        ("Na", "+", "⁺"),
        ("e", "ix", "^(ix)"),
        ("e", "-x²", "^(-x²)"),
        ("2", "1.5", "^(1.5)"),
        ("2", "1/2", "^(1/2)"),
        ("1", "st", "st"),
        ("22", "nd", "nd"),
        ("1", "er", "er"),
        ("XIX", "e", "ᵉ"),
        ("Chat", "TM", "™"),
        ("word", "*", "*"),
        ("word", "[3]", "[3]"),
        ("2", "⁶", "⁶"),
        ("a", " ", " "),
        ("a", "", ""),
    ],
)
def test_raised_text(before: str, raised: str, expected: str) -> None:
    assert superscript(raised, before) == expected


@pytest.mark.parametrize(
    ("lowered", "expected"), [("2", "₂"), ("n-1", "ₙ₋₁"), ("max", "_(max)"), ("b", "_(b)")]
)
def test_lowered_text(lowered: str, expected: str) -> None:
    assert subscript(lowered) == expected


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [
        ("1", "2", "½"),
        ("5", "16", "⁵\N{FRACTION SLASH}₁₆"),
        ("a", "b", "a/b"),
        ("a+b", "2", "(a+b)/2"),
        ("1", "n+1", "1/(n+1)"),
    ],
)
def test_fractions(numerator: str, denominator: str, expected: str) -> None:
    assert fraction(numerator, denominator) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("3¹/₂ l", "3½ l"), ("2³\N{FRACTION SLASH}₈", "2⅜"), ("a¹/b", "a¹/b")]
)
def test_fractions_that_are_stacked_by_hand(text: str, expected: str) -> None:
    assert with_fractions(text) == expected


@pytest.mark.parametrize(("mark", "expected"), [("3", "[^3]"), (" [3] ", "[^3]"), ("*", "[^*]"), ("", "")])
def test_marks_of_notes(mark: str, expected: str) -> None:
    assert note(mark) == expected
