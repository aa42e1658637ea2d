"""Positions as text, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError


@given(st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1), st.booleans())
def test_a_cursor_survives_writing_and_reading(thinking: int, content: int, end: bool) -> None:
    cursor = Cursor(thinking, content, end)
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "1.",
        ".1",
        "1.2.",
        "1.2.END",
        "-1.2",
        "1.2 ",
        "1.2\n",
        "٣.٤",
        "1.2.end.end",
        "1e3.0",
        "9" * 16 + ".0",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ChatError) as refused:
        Cursor.parse(text)
    assert refused.value.code == "invalid_cursor"
