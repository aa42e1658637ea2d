"""A file of conversations is cut into the same objects, however it arrives."""

import json
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatproxy.errors import ChatError
from chatproxy.imports import elements
from chatproxy.imports.elements import Elements

MOST: Final = 5  # of what is in one list or object; more of the same only takes longer to make
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=MOST) | st.dictionaries(st.text(), inner, max_size=MOST),
    max_leaves=10,
)
OBJECTS: Final = st.lists(st.dictionaries(st.text(), JSON, max_size=MOST), max_size=MOST)


def cut(*pieces: bytes) -> list[Any]:
    found, cutter = [], Elements()
    for piece in pieces:
        for element in cutter.feed(piece):
            found.append(None if element is None else json.loads(element))
    cutter.end()
    assert cutter.held == 0
    return found


def refused(*pieces: bytes) -> str:
    with pytest.raises(ChatError) as caught:
        cut(*pieces)
    assert caught.value.code == "malformed"
    return caught.value.sentence


@given(OBJECTS, st.booleans(), st.sampled_from([b"", b"\xef\xbb\xbf", b" \n"]), st.data())
def test_objects_come_out_however_they_arrive(
    objects: list[Any], ascii: bool, before: bytes, data: st.DataObject
) -> None:
    whole = before + json.dumps(objects, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    pieces = [whole[start:end] for start, end in pairwise([0, *places, len(whole)])]
    assert cut(*pieces) == objects
    assert cut(*[bytes([each]) for each in whole]) == objects


@given(OBJECTS.filter(bool))
def test_objects_one_after_another(objects: list[Any]) -> None:
    assert cut("\n".join(map(json.dumps, objects)).encode()) == objects


@given(OBJECTS.filter(bool), st.data())
def test_a_file_that_is_cut_is_noticed(objects: list[Any], data: st.DataObject) -> None:
    whole = json.dumps(objects).encode()
    end = data.draw(st.integers(0, len(whole) - 1))
    refused(whole[:end])


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"PK\x03\x04", "conversations.json that is in it"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"<!doctype html>", "web page"),
        ("[]".encode("utf-16"), "UTF-8"),
        (b"null", "something other"),
        (b"[1]", "something other"),
        (b"[[]]", "something other"),
        (b'["a"]', "something other"),
        (b"[{}]]", "something other"),
        (b"[{}] {}", "something other"),
        (b"{},{}", "something other"),
        (b"{}}", "something other"),
        (b"[{}", "in the middle"),
        (b'{"a', "in the middle"),
        (b'{"\\', "in the middle"),
    ],
)
def test_what_is_no_file_of_conversations(file: bytes, says: str) -> None:
    assert says in refused(file)
    assert says in refused(*[bytes([each]) for each in file])


def test_what_is_too_large_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "MAX_BYTES", 100)
    monkeypatch.setattr(elements, "MAX_TOKENS", 10)
    file = json.dumps([{"a": 1}, {"a": "x" * 200}, {"b": 2}, {"c": [1] * 20}, {"d": 3}]).encode()
    expected = [{"a": 1}, None, {"b": 2}, None, {"d": 3}]
    assert cut(file) == expected
    assert cut(*[bytes([each]) for each in file]) == expected


def test_memory_is_that_of_one_object() -> None:
    cutter = Elements()
    for piece in (b'[{"a":"', *[b"x" * 1000] * 5, b'"},{"b":"'):
        for _ in cutter.feed(piece):
            pass
    assert cutter.held == len(b'{"b":"')
