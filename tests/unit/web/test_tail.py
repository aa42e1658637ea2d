"""Whether a stream's own end is there, from the bytes at its end."""

import json
from typing import Any, Final

import pytest
from recordings import BROKEN, DATA, recorded

from chatproxy.web.faces.passing.tail import SIZE, Tail

WHOLE: Final = sorted(path.stem for path in DATA.glob("*.ndjson") if path.stem not in BROKEN)
EVENTS: Final = ("chat_completions", "completions", "responses", "messages")


def fed(body: bytes, size: int) -> Tail:
    tail = Tail()
    for start in range(0, len(body), size):
        tail.feed(body[start : start + size])
    return tail


@pytest.mark.parametrize("size", [1, 7, 100, 4096, 10**6])
def test_recordings_end_as_they_say(size: int) -> None:
    for name in (*WHOLE, "faces/generate", "faces/generate_failed"):
        if name != "closed_by_client":
            assert fed(recorded(name), size).is_last_line(), name
    assert not fed(recorded("ends_without_done"), size).is_last_line()
    for name in EVENTS:
        assert fed(recorded(f"faces/{name}"), size).is_last_event(), name
        assert not fed(recorded(f"faces/{name}_failed"), size).is_last_event(), name


@pytest.mark.parametrize("name", EVENTS)
def test_events_cut_at_any_byte_have_no_end(name: str) -> None:
    body = recorded(f"faces/{name}")[-3 * SIZE :]
    body = body[body.index(b"\n\n") + 2 :]
    assert [cut for cut in range(1, len(body)) if fed(body[:cut], 50).is_last_event()] == []


def test_lines_cut_at_any_byte_have_no_end_but_the_newline() -> None:
    for body in (recorded("faces/generate")[-SIZE:], recorded("answer_warm")[-2 * SIZE :], generate(400)):
        whole = body[body.index(b"{") :] if b"\n" not in body[:-1] else body[body.index(b"\n") + 1 :]
        ends = [cut for cut in range(1, len(whole)) if fed(whole[:cut], 50).is_last_line()]
        assert ends == [len(whole) - 1]


def generate(context: int, response: str = "", **more: Any) -> bytes:
    """Return the last line of `/api/generate`, which repeats the whole context as numbers."""
    line = {
        "model": "m",
        "created_at": "2026-11-28T12:00:00Z",
        "response": response,
        "done": True,
        "done_reason": "stop",
        "context": list(range(100_000, 100_000 + context)),
        "total_duration": 1_904_441_385,
        "eval_count": 18,
        "eval_duration": 392_620_000,
        **more,
    }
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("size", [1, 100, 10**6])
@pytest.mark.parametrize("context", [0, 20, 60, 80, 5000])
def test_a_last_line_of_any_length_is_known(context: int, size: int) -> None:
    for response in ("", "x" * 400, "x" * 2000):
        tail = fed(b'{"done":false}\n' + generate(context, response), size)
        assert tail.is_last_line()
        assert tail.tokens == 18


def test_long_lines_cut_at_any_byte_have_no_end() -> None:
    for said in ({"done": True}, {"error": "no"}):
        arguments = {"long": "x" * 600, **said}
        line = json.dumps({"message": {"arguments": arguments}, "done": False, "logprobs": [{}, {}]})
        for cut in range(1, len(line)):
            assert not fed(line[:cut].encode(), 100).is_last_line()


SAID: Final = (
    '"done":true',
    ',"done":true,"total_duration":1}',
    '{"error":"no"}',
    "data: [DONE]",
    '\n\ndata: [DONE]\n\n{"done":true}\n',
    "\\",
)


@pytest.mark.parametrize("text", SAID)
@pytest.mark.parametrize("length", [0, 300, 2000])
def test_no_text_of_an_answer_is_an_end(text: str, length: int) -> None:
    for said in (text + "x" * length, "x" * length + text, text * (length // 10)):
        tool = {"function": {"name": "f", "arguments": {"done": True, "error": "none"}}}
        for message in ({"content": said}, {"content": said, "tool_calls": [tool]}):
            line = json.dumps({"model": "m", "message": message, "done": False}, separators=(",", ":"))
            assert not fed(line.encode() + b"\n", 100).is_last_line()
        chunk = json.dumps({"choices": [{"delta": {"content": said}}]}, separators=(",", ":"))
        assert not fed(f"data: {chunk}\n\n".encode(), 100).is_last_event()
        event = json.dumps({"delta": said, "type": "response.output_text.delta"}, separators=(",", ":"))
        assert not fed(f"data: {event}\n\n".encode(), 100).is_last_event()


def test_what_stands_before_another_frame() -> None:
    for body, line, event in (
        (b"", b"", b""),
        (b"data: a\n\n", b"", b""),
        (b"data: a\n", b"", b"\n"),
        (b"data: a", b"\n", b"\n\n"),
    ):
        tail = fed(body, 100)
        assert (tail.before_line(), tail.before_event()) == (line, event)


def test_tokens_are_those_of_the_last_count() -> None:
    for name in EVENTS:
        assert fed(recorded(f"faces/{name}"), 100).tokens == (0 if name == "completions" else 20), name
        assert fed(recorded(f"faces/{name}_not_streamed"), 100).tokens == 20
    assert fed(recorded("faces/generate"), 100).tokens == 20


def test_an_end_may_be_an_error() -> None:
    for body in (
        b'{"done":false}\n{"error":"unexpected EOF"}',
        b'data: {"error":{"message":"no"}}\n\n',
        b'event: error\ndata: {"type":"error","error":{}}\n\n',
        b'event: response.failed\ndata: {"response":{},"type":"response.failed"}\n\n',
    ):
        assert fed(body, 7).is_error
    for name in EVENTS:
        assert not fed(recorded(f"faces/{name}"), 100).is_error
    assert not fed(recorded("faces/generate"), 100).is_error
