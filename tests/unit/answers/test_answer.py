"""The growing text, and readers who hold a position in it; without a network."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatproxy.answers.answer import MAX_FRAME, Answer, Text
from chatproxy.answers.events import Chunk, Frame, frame
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
    assert text.part(start, size) == whole[start : start + size]
    text.append("end")
    assert str(text) == whole + "end"


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


def test_a_terminal_event_is_encoded_once() -> None:
    answer = Answer(message(content="hello", status="complete", finish_reason="length"), 1)
    assert answer.outcome is not None
    done = answer.terminal(answer.outcome)
    assert answer.terminal(answer.outcome) is done
    assert msgspec.json.decode(done.json) == {
        "type": "done",
        "assistantMessageId": 2,
        "fullResponse": "hello",
        "sources": [],
        "finishReason": "length",
        "model": None,
        "usage": None,
        "cursor": "0.5.end",
    }
    assert done == Frame(done.json, "0.5.end")
