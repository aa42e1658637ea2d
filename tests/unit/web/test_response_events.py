"""The events of a Response: their numbers are positions, whatever a reader was sent, and when."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chatproxy.answers.answer import Answer, Sink
from chatproxy.answers.events import Frame, frame
from chatproxy.store.records import Failure, Message, Usage
from chatproxy.web.faces.response_events import LOST, ResponseEvents, response

Event = dict[str, Any]
# Text as models write it, and what takes more than one unit in UTF-8 or UTF-16, or ends a line somewhere.
TEXTS = st.text(st.sampled_from('ab \n"\\é\u2028\u0085\U0001f600\U00020000\0'), max_size=12)


def new_answer() -> Answer:
    return Answer(
        Message(
            id=7,
            session_id="s_1",
            role="assistant",
            content="",
            status="streaming",
            model="m",
            created_at="2026-11-29T00:00:00.000Z",
            updated_at="2026-11-29T00:00:00.000Z",
        ),
        6,
    )


def ended(answer: Answer, status: Any = "complete", **outcome: Any) -> Answer:
    answer.end(replace(answer.message, status=status, **outcome))
    return answer


def stored(answer: Answer) -> Answer:
    """Return the answer as the next process reads it."""
    return Answer(answer.message, 6, answer.thought, answer.asked)


def parsed(data: bytes) -> list[Event]:
    """Return the events, which are on one line each, and have their type twice; leave out comments."""
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        if block.startswith(":"):
            continue
        name, line = block.split("\n")
        assert block.splitlines() == [name, line]
        event = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def frames(answer: Answer, events: ResponseEvents) -> Iterator[Frame]:
    """Yield what a subscription sends from the reader's position on."""
    yield frame(answer.start(reset=False))
    position = events.cursor
    while step := answer.after(position):
        event, position = step
        yield frame(event)


def replayed(answer: Answer, after: int = -1) -> list[Event]:
    events = ResponseEvents(answer, after)
    sent = [piece for each in frames(answer, events) for piece in events.of(each)]
    return parsed(b"".join([*sent, *events.ending()]))


class Reader:
    """A reader of an answer that is being written, and its sink: it takes each frame when it comes."""

    def __init__(self, answer: Answer) -> None:
        self.events = ResponseEvents(answer)
        self.sent = [b"".join(self.events.of(frame(answer.start(reset=False))))]
        self.in_step = True
        self.sent_at = 0.0
        self.has_text = False
        self.gone = False

    @property
    def sink(self) -> Sink:
        return self  # type: ignore[return-value]

    def push(self, data: Frame) -> bool:
        self.sent.append(b"".join(self.events.of(data)))
        return True

    def push_status(self, data: Frame, version: int) -> None: ...
    def fall_behind(self) -> None: ...
    def drop(self) -> None: ...


def delta(events: list[Event], kind: str = "output_text") -> str:
    return "".join(event["delta"] for event in events if event["type"].endswith(f"{kind}.delta"))


def shape(event: Event) -> tuple[str, int]:
    return event["type"].removeprefix("response."), event["sequence_number"]


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5), st.sampled_from(["complete", "cancelled"]))
def test_any_part_of_any_answer_can_be_read_again(said: list[tuple[str, str]], status: str) -> None:
    answer = new_answer()
    live = Reader(answer)
    with answer.subscribed_by(live):
        for thinking, content in said:
            answer.append(thinking, content, 1)
        ended(answer, status, finish_reason="stop")
    as_sent = parsed(b"".join([*live.sent, *live.events.ending()]))
    whole = replayed(stored(answer))
    assert whole == replayed(stored(answer))
    thought = answer.thought or 0
    text, thinking = str(answer.content), str(answer.thinking)
    for events in (as_sent, whole):
        numbers = [event["sequence_number"] for event in events]
        assert numbers == sorted(set(numbers))
        assert numbers[:2] == [0, 1]
        assert numbers[-1] == (5 + thought if thought else 2) + len(text) + 5
        assert (delta(events), delta(events, "reasoning_summary_text")) == (text, thinking[:thought])
    assert [shape(each) for each in as_sent if "delta" not in each] == [
        shape(each) for each in whole if "delta" not in each
    ]
    assert as_sent[-1] == whole[-1]
    for after in range(numbers[-1] + 2):
        rest = replayed(stored(answer), after)
        begun = [each for each in whole if each["sequence_number"] > after]
        assert [each for each in rest if "delta" not in each] == [
            each for each in begun if "delta" not in each
        ]
        assert all(each["sequence_number"] > after for each in rest)
        first = (5 + thought if thought else 2) + 1
        assert delta(rest) == text[max(after - first, 0) :]
        assert delta(rest, "reasoning_summary_text") == thinking[:thought][max(after - 2, 0) :]


def test_numbers_are_positions() -> None:
    answer = new_answer()
    answer.append("hm😀", "", 1)
    answer.append("", "Hi", 1)
    ended(answer, finish_reason="stop")
    assert [shape(event) for event in replayed(answer)] == [
        ("created", 0),
        ("in_progress", 1),
        ("output_item.added", 2),
        ("reasoning_summary_text.delta", 5),
        ("reasoning_summary_text.done", 6),
        ("output_item.done", 7),
        ("output_item.added", 8),
        ("content_part.added", 9),
        ("output_text.delta", 11),
        ("output_text.done", 12),
        ("content_part.done", 13),
        ("output_item.done", 14),
        ("completed", 15),
    ]


def test_without_thinking_the_message_comes_first() -> None:
    answer = new_answer()
    answer.append("", "Hi", 1)
    ended(answer, finish_reason="stop")
    assert [shape(event) for event in replayed(answer)] == [
        ("created", 0),
        ("in_progress", 1),
        ("output_item.added", 2),
        ("content_part.added", 3),
        ("output_text.delta", 5),
        ("output_text.done", 6),
        ("content_part.done", 7),
        ("output_item.done", 8),
        ("completed", 9),
    ]
    assert [event["output_index"] for event in replayed(answer)[2:-1]] == [0] * 6


@pytest.mark.parametrize("thinking", ["", "hm"])
def test_a_response_without_text_has_no_message(thinking: str) -> None:
    answer = new_answer()
    answer.append(thinking, "", 1)
    ended(answer, "failed", error=Failure(error="It broke; mend it.", code="upstream_error", retryable=True))
    events = replayed(answer)
    numbers = [0, 1, 2, 4, 5, 6, 12] if thinking else [0, 1, 7]
    assert [event["sequence_number"] for event in events] == numbers
    failed = events[-1]["response"]
    assert failed["error"] == {"code": "server_error", "message": "It broke; mend it."}
    assert [item["type"] for item in failed["output"]] == (["reasoning"] if thinking else [])


def test_later_thinking_shows_in_the_output_only() -> None:
    for first, kinds in (("hm", ["reasoning", "message"]), ("", ["message", "reasoning"])):
        answer = new_answer()
        for thinking, content in ((first, ""), ("", "Hi"), (" ah", ""), ("", " you")):
            answer.append(thinking, content, 1)
        ended(answer, finish_reason="stop")
        events = replayed(stored(answer))
        assert delta(events, "reasoning_summary_text") == first
        assert [event["text"] for event in events if event["type"].endswith("summary_text.done")] == (
            [first] if first else []
        )
        output = events[-1]["response"]["output"]
        assert [item["type"] for item in output] == kinds
        assert {item["type"]: item for item in output}["reasoning"]["summary"][0]["text"] == f"{first} ah"


def test_a_late_thought_keeps_the_connection_busy() -> None:
    answer = new_answer()
    live = Reader(answer)
    with answer.subscribed_by(live):
        answer.append("", "Hi", 1)
        answer.append("hm", "", 1)
    assert live.sent[-1] == b":\n\n"


def test_a_replay_begins_as_the_stream_did() -> None:
    """What is known at the end only is not told at the beginning."""
    answer = new_answer()
    live = Reader(answer)
    answer.append("", "Hi", 1)
    failure = Failure(error="It broke; mend it.", code="upstream_error", retryable=True)
    ended(answer, "failed", error=failure, usage=Usage(prompt_tokens=1, completion_tokens=2))
    assert replayed(stored(answer))[:2] == parsed(live.sent[0])


def test_a_reader_of_lost_text_is_told_that_it_failed() -> None:
    """A crash may lose text that a reader has, so that its number is beyond the end, or at it."""
    answer = new_answer()
    answer.append("", "Hello", 1)
    ended(answer, "interrupted", error=Failure(error="Stopped.", code="interrupted", retryable=True))
    end = replayed(answer)[-1]
    assert end["sequence_number"] == 12 + LOST < 2**31
    for had in range(8, 40):
        assert replayed(answer, had)[-1] == end
    assert replayed(answer, end["sequence_number"]) == []


def test_what_a_client_chose_is_no_place_for_a_text() -> None:
    answer = new_answer()
    answer.asked = b'{"metadata":{"text":""},"text":{"format":{"schema":{"text":""}}}}'  # type: ignore[assignment]
    answer.append("hm", "Hi", 1)
    ended(answer, finish_reason="length")
    shown = json.loads(b"".join(response(answer)))
    assert shown["metadata"] == {"text": ""}
    assert shown["text"] == {"format": {"schema": {"text": ""}}}
    assert [item.get("summary", item.get("content"))[0]["text"] for item in shown["output"]] == ["hm", "Hi"]
    assert (shown["status"], shown["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_a_long_text_is_sent_in_pieces() -> None:
    answer = new_answer()
    answer.append("é" * 500_000, "ü" * 500_000, 1)
    ended(answer, finish_reason="stop")
    assert max(map(len, ResponseEvents(answer, 500_000 + 5 + 500_001).ending())) < 64 * 1024
