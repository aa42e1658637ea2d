import pytest

from chatproxy.store.messages import TITLE_LENGTH, title


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Hello", "Hello"),
        ("  \n\t Hello   you \r\nsecond line", "Hello you"),
        ("one\u2028two", "one"),
        (" \n ", None),
        ("x" * TITLE_LENGTH, "x" * TITLE_LENGTH),
        ("x" * (TITLE_LENGTH + 1), "x" * (TITLE_LENGTH - 1) + "…"),
        ("abc " * 20 + "d", "abc " * 19 + "abc…"),
        ("a " + "x" * TITLE_LENGTH, "a…"),
        ("x" * (TITLE_LENGTH - 1) + " y", "x" * (TITLE_LENGTH - 1) + "…"),
        ("😀" * 100, "😀" * (TITLE_LENGTH - 1) + "…"),
    ],
)
def test_title(content: str, expected: str | None) -> None:
    assert title(content) == expected
    assert len(expected or "") <= TITLE_LENGTH
