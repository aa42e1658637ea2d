"""JSON with halves of characters, as programs write it that cut texts by UTF-16."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatproxy.ollama import lenient
from chatproxy.ollama.lenient import mended

ESCAPES = [r"\ud83d", r"\ude00", r"\uD83D", r"\\", r"\n", r"\"", r"\u0041", "ud83d", "x", "é"]


@given(st.lists(st.sampled_from(ESCAPES), max_size=12))
def test_halves_become_replacement_characters_and_all_else_stays(parts: list[str]) -> None:
    sent = f'{{"a": "{"".join(parts)}"}}'
    text = re.sub("[\ud800-\udfff]", "\ufffd", json.loads(sent)["a"])
    assert msgspec.json.decode(mended(sent.encode())) == {"a": text}


def test_what_has_too_many_escapes_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenient, "MAX_ESCAPES", 3)
    assert mended(rb'"\n\n\ud83d"') == rb'"\n\n\ufffd"'
    assert mended(rb'"\n\n\n\ud83d"') == rb'"\n\n\n\ud83d"'
