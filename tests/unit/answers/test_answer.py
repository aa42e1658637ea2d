"""The growing text, and readers who hold a position in it; without a network."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chatproxy.answers.answer import MAX_FRAME, Answer, Text
from chatproxy.answers.events import Chunk, frame
from chatproxy.cursor import Cursor
from chatproxy.store.records import Message


def message(**fields: Any) -> Message:
    given: dict[str, Any] = {
        "id": 2,
        "session_id": "s",
        "role": "assistant",
        "content": "",
        "status": "streaming",
        "created_at": "",
        "updated_at": "",
    }
    return Message(**given | fields)


@given(st.lists(st.text()), st.integers(0, 50), st.integers(0, 50))
def test_text_is_read_by_code_points(pieces: list[str], start: int, size: int) -> None:
    text = Text()
    for piece in pieces:
        text.append(piece)
    whole = "".join(pieces)
    assert (text.length, str(text)) == (len(whole), whole)
    assert text.part(start, start + size) == whole[start : start + size]
    text.append("end")
    assert str(text) == whole + "end"


@given(st.text(), st.text(), st.text())
def test_two_texts_begin_alike(same: str, one: str, other: str) -> None:
    text = Text(same + one)
    shared = text.shared(same + other)
    assert shared >= len(same)
    assert (same + one)[:shared] == (same + other)[:shared]
    assert (same + one)[shared : shared + 1] != (same + other)[shared : shared + 1] or one == other
    assert text.shared(same + one + other) == len(same + one)


def test_text_translates_no_line_ends() -> None:
    assert str(Text("a\r\nb\rc\nd\x00")) == "a\r\nb\rc\nd\x00"


@pytest.mark.parametrize("letter", ["a", "é", "漢", "😀", "\x00"])
def test_no_piece_is_larger_than_a_frame_may_be(letter: str) -> None:
    text, pieces, at = Text("x" + letter * 40_000), [], 0
    while piece := text.piece(at):
        assert len(piece.encode()) <= MAX_FRAME
        at += len(piece)
        pieces.append(piece)
    assert "".join(pieces) == str(text)


def test_a_frame_has_no_line_break_that_any_reader_knows() -> None:
    text = "a\nb\rc\x85d\u2028e\u2029f\x0bg\x0ch\x1ci"
    encoded = frame(Chunk(content=text, cursor="0.1"))
    assert len(encoded.json.decode().splitlines()) == 1
    assert msgspec.json.decode(encoded.json) == {"type": "chunk", "content": text, "cursor": "0.1"}
    assert encoded.json.startswith(b'{"type":"chunk"')
    assert encoded.cursor == "0.1"


def test_an_answer_is_read_from_any_place() -> None:
    answer = Answer(message(thinking="hmm", content="hello", status="complete"), 1)
    read: list[str] = []
    position = Cursor(1, 2)
    while step := answer.after(position):
        event, position = step
        read.append(f"{type(event).__name__} {event.content} {event.cursor}")
    assert read == ["Thinking mm 3.2", "Chunk llo 3.5"]
    assert str(answer.cursor) == "3.5.end"


def test_an_answer_streams_until_its_readers_are_told_otherwise() -> None:
    """Also where its end is committed already: the session is busy until then."""
    stored = message(content="hello", status="complete", finish_reason="stop", cursor="0.5.end")
    answer = Answer(message(), 1)
    answer.append("", "hello", tokens=1)
    assert answer.message == message(content="hello", cursor="0.5")
    answer.end(stored)
    assert answer.message == stored


def test_the_terminal_event_is_made_in_pieces() -> None:
    text = 'a\u2028"😀' * 20_000
    answer = Answer(message(content=text, status="complete", finish_reason="length"), 1)
    pieces = list(answer.terminal())
    assert max(map(len, pieces)) < 6 * MAX_FRAME
    assert len(b"".join(pieces).decode().splitlines()) == 1
    assert msgspec.json.decode(b"".join(pieces)) == {
        "type": "done",
        "assistantMessageId": 2,
        "fullResponse": text,
        "sources": [],
        "finishReason": "length",
        "model": None,
        "modelReason": None,
        "usage": None,
        "cursor": "0.80000.end",
    }


def test_a_text_takes_as_much_memory_as_its_bytes() -> None:
    tracemalloc.start()
    try:
        for letter, size in (("a", 1), ("漢", 3)):
            before, _ = tracemalloc.get_traced_memory()
            text = Text()
            for _ in range(100_000):
                text.append(letter * 10)
            after, _ = tracemalloc.get_traced_memory()
            assert text.size == 1_000_000 * size
            assert after - before < 1.2 * text.size
    finally:
        tracemalloc.stop()


def test_an_ended_answer_keeps_its_text_once() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        answer = Answer(message(), 1)
        for _ in range(100):
            answer.append("", "x" * 10_000, 1)
        answer.end(replace(answer.message, status="complete"))
        terminal = answer.terminal()
        next(terminal)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.size == 1_000_000
    assert after - before < 1.2 * answer.size
