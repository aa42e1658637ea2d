"""The prompt: what of a conversation a model is told, within its window."""

import asyncio
import json
from base64 import b64encode
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatproxy.errors import ChatError
from chatproxy.models.catalog import KnownModel
from chatproxy.models.tokens import IMAGE_TOKENS, LONGEST, OF_A_MESSAGE, Size, TokenEstimate
from chatproxy.prompt.prompt import MAX_RESERVE, FittedPrompt, Prompt
from chatproxy.prompt.request import Send, SendRequest
from chatproxy.store.records import HistoryMessage

Said = tuple[str, str]


class Line(TokenEstimate, frozen=True):
    """Expects no more and no less than these."""

    base: float = 0
    slope: float = 1

    def _estimated(self, size: Size, more: float, less: float) -> int:
        return ceil(self.base + self.slope * size.bytes) + IMAGE_TOKENS * size[7]


class Estimated(KnownModel, frozen=True, kw_only=True):
    line: Line


class Estimating(Prompt, frozen=True, kw_only=True):
    def estimate(self, model: KnownModel) -> TokenEstimate:
        assert isinstance(model, Estimated)
        return model.line


EXACT = Line()  # a token for each byte


def known(
    window: int | None = 4096, *can: str, estimate: Line = EXACT, trained: int | None = None
) -> KnownModel:
    return Estimated(
        name="m", window=window, expected_window=trained, line=estimate, capabilities=frozenset(can)
    )


def prompt(
    *turns: Said,
    message: str = "Now?",
    system: str | None = None,
    images: int = 0,
    pictured: dict[int, int] | None = None,
    earlier: int | None = None,
    **request: Any,
) -> Prompt:
    """The questions have even ids, from 0 on, the answers those after them. `pictured`: images by id."""
    said = [text for turn in turns for text in turn]
    past = [
        HistoryMessage(
            id=number,
            role="assistant" if number % 2 else "user",
            content=text,
            image_count=(pictured or {}).get(number, 0),
            model="m",
        )
        for number, text in enumerate(said)
    ]
    return Estimating(
        request=send(message=message, **request),
        system=system,
        images=[b"image"] * images,
        history_images={number: [b"image"] * count for number, count in (pictured or {}).items()},
        earlier=len(past) if earlier is None else earlier,
    ).with_history(past[::-1])


def send(**request: Any) -> Send:
    return asyncio.run(SendRequest(**request).checked(("*",)))


def told(fitted: FittedPrompt) -> list[str]:
    return [message["content"] for message in json.loads(fitted.body)["messages"]]


def sized(size: int, number: int = 0) -> Said:
    """A turn of that many tokens by EXACT."""
    half = size // 2 - OF_A_MESSAGE
    return f"q{number}".ljust(half, "."), f"a{number}".ljust(size - half - 2 * OF_A_MESSAGE, ".")


def questions(fitted: FittedPrompt) -> list[str]:
    """Of the history, by their numbers."""
    return [text.rstrip(".") for text in told(fitted) if text.startswith("q")]


def test_what_fits_is_told_in_its_order() -> None:
    fitted = prompt(("Hello", "Hi"), ("How?", "So."), system="Be kind.").fit(known())
    assert json.loads(fitted.body) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "How?"},
            {"role": "assistant", "content": "So."},
            {"role": "user", "content": "Now?"},
        ],
        "truncate": False,
    }
    assert (fitted.left_out, fitted.notices) == (0, [])


def test_what_the_request_says_goes_to_ollama() -> None:
    options = {"temperature": 0.1, "num_predict": 5}
    fitted = prompt(options=options, think="low", format="json", keep_alive=-1).fit(known())
    body = json.loads(fitted.body)
    assert [body[name] for name in ("options", "think", "format", "keep_alive")] == [
        options,
        "low",
        "json",
        -1,
    ]


def test_all_that_a_prompt_holds_counts() -> None:
    long = {"a": "x" * 1000}
    bare, all_of_it = prompt(), prompt(images=2, pictured={0: 3}, options=long, format=long)
    assert all_of_it.held_bytes - bare.held_bytes == 5 * len(b"image") + 2 * len('{"a":""}') + 2000


@pytest.mark.parametrize("silent", ["", "\n"])
def test_an_answer_without_a_word_is_left_out_with_its_question(silent: str) -> None:
    fitted = prompt(("One", "1"), ("Two", silent), ("Three", "3")).fit(known())
    assert told(fitted) == ["One", "1", "Three", "3", "Now?"]
    assert fitted.left_out == 0


@pytest.mark.parametrize(
    ("options", "window", "reserve"),
    [
        (None, 4096, 1024),
        ({"num_predict": 300}, 4096, 300),
        ({"num_predict": -1}, 4096, 1024),
        ({"num_predict": -2}, 4096, 1024),
        ({"num_predict": 0}, 4096, 1024),
        ({"num_predict": "300"}, 4096, 1024),
        (None, 8192, MAX_RESERVE),
        (None, 131_072, MAX_RESERVE),
        ({"num_predict": 4000}, 8192, 4000),
        ({"num_predict": 100_000}, 4096, 2048),
    ],
)
def test_room_for_the_answer(options: dict[str, Any] | None, window: int, reserve: int) -> None:
    turn = sized(1000)
    most = window - reserve - OF_A_MESSAGE - 1000
    fits = prompt(turn, message="x" * most, options=options).fit(known(window))
    assert told(fits) == [*turn, "x" * most]
    assert told(prompt(turn, message="x" * (most + 1), options=options).fit(known(window))) == [
        "x" * (most + 1)
    ]


def test_system_prompt_and_images_count_as_what_cannot_be_left_out() -> None:
    turn = sized(1000)
    most = 4096 - 1024 - 2 * IMAGE_TOKENS - 2 * OF_A_MESSAGE - 100 - 1000
    assert len(told(prompt(turn, message="x" * most, system="s" * 100, images=2).fit(known()))) == 4
    assert len(told(prompt(turn, message="x" * (most + 1), system="s" * 100, images=2).fit(known()))) == 2


def test_what_seems_too_long_is_sent_all_the_same_without_what_can_be_left_out() -> None:
    wrong = Line(base=4000)
    fitted = prompt(sized(100), message="Now?", system="Be kind.").fit(known(estimate=wrong))
    assert told(fitted) == ["Be kind.", "Now?"]
    assert fitted.left_out == 1


def test_what_no_model_can_count_as_fewer_tokens_is_refused() -> None:
    most = 1024 * LONGEST + LONGEST - 1 - OF_A_MESSAGE
    assert told(prompt(message="x" * most).fit(known(1024))) == ["x" * most]
    with pytest.raises(ChatError) as refused:
        prompt(message="x" * (most + 1)).fit(known(1024))
    assert refused.value.code == "message_too_long"
    assert refused.value.details["contextLength"] == 1024


@pytest.mark.parametrize("trained", [None, 512])
def test_an_unknown_window_refuses_nothing(trained: int | None) -> None:
    fitted = prompt(("q", "a"), message="x" * 200_000).fit(known(None, trained=trained))
    assert told(fitted) == ["x" * 200_000]
    assert fitted.left_out == 1


def test_until_the_window_is_known_the_trained_one_is_filled() -> None:
    turns = [sized(1000, number) for number in range(5)]
    assert questions(prompt(*turns).fit(known(None, trained=4096))) == ["q2", "q3", "q4"]


@pytest.mark.parametrize(
    ("turns", "kept", "sentence"),
    [
        (3, ["q0", "q1", "q2"], None),
        (4, ["q1", "q2", "q3"], "The oldest turn was left out, to fit the model's window."),
        (5, ["q2", "q3", "q4"], "The oldest 2 turns were left out, to fit the model's window."),
    ],
)
def test_the_oldest_turns_are_left_out_whole(turns: int, kept: list[str], sentence: str | None) -> None:
    fitted = prompt(*(sized(1000, number) for number in range(turns))).fit(known())
    assert questions(fitted) == kept
    assert len(told(fitted)) == 2 * len(kept) + 1
    assert [(notice.code, notice.message) for notice in fitted.notices] == (
        [("history_truncated", sentence)] if sentence else []
    )


def test_a_turn_that_is_too_long_hides_those_before_it() -> None:
    fitted = prompt(("q0", "short"), sized(4000, 1), ("q2", "short")).fit(known())
    assert questions(fitted) == ["q2"]
    assert fitted.left_out == 2


def test_turns_that_were_not_even_read_count_as_left_out() -> None:
    assert prompt(("q", "a"), earlier=2 + 40).fit(known()).left_out == 20


def test_the_cut_moves_in_steps() -> None:
    """Between two steps a prompt begins as the one before did, which Ollama has evaluated."""
    turns = [sized(100, number) for number in range(100)]
    first = [questions(prompt(*turns[:many]).fit(known()))[0] for many in range(40, 100)]
    moves = [before != after for before, after in pairwise(first)]
    assert sum(moves) == len(moves) // 8  # about 30 turns fit: steps of 8
    assert min(len(questions(prompt(*turns[:many]).fit(known()))) for many in range(40, 100)) >= 20


def test_images_are_sent_to_a_model_that_sees() -> None:
    pictured = prompt(("q", "a"), images=1, pictured={0: 2})
    image = b64encode(b"image").decode()
    messages = json.loads(pictured.fit(known(4096, "vision")).body)["messages"]
    assert [message.get("images") for message in messages] == [[image, image], None, [image]]


def test_earlier_images_are_kept_from_a_model_that_does_not_see() -> None:
    messages = json.loads(prompt(("q", "a"), pictured={0: 2}).fit(known()).body)["messages"]
    assert [message.get("images") for message in messages] == [None, None, None]


@pytest.mark.parametrize(("can", "kept"), [(["vision"], ["q1"]), ([], ["q0", "q1"])])
def test_earlier_images_cost_their_room_where_they_are_sent(can: list[str], kept: list[str]) -> None:
    fitted = prompt(("q0", "a"), ("q1", "a"), pictured={0: 3, 2: 3}).fit(known(4096, *can))
    assert questions(fitted) == kept


def test_a_prompt_has_the_size_of_all_that_is_sent() -> None:
    sizes = [
        prompt(("q1", "a"), pictured={0: 2}, images=1, system="Be kind.").fit(model).size
        for model in (known(4096, "vision"), known())
    ]
    assert sizes == [(12, 1, 2, 0, 0, 0, 4, images, 1) for images in (3, 1)]
    assert sizes[0].bytes == len("Be kind.q1aNow?") + 4 * OF_A_MESSAGE


texts = st.text(st.characters(codec="utf-8"), max_size=300)
lines = st.builds(Line, base=st.floats(0, 300), slope=st.floats(0.1, 1))


@given(
    turns=st.lists(st.tuples(texts, texts), max_size=30),
    message=st.text(min_size=1, max_size=300),
    system=st.none() | texts,
    window=st.integers(400, 6000),
    estimate=lines,
)
def test_a_prompt_stays_within_its_window_and_tells_the_newest_run_of_turns(
    turns: list[Said], message: str, system: str | None, window: int, estimate: Line
) -> None:
    asked, model = prompt(*turns, message=message, system=system), known(window, estimate=estimate)
    fitted = asked.fit(model)
    if asked.need().least(model, window) > window:
        assert told(fitted) == [*([system] if system else []), message]
        return
    assert estimate.tokens(fitted.size) + min(window // 4, MAX_RESERVE) <= window + 1  # rounding
    newest = turns[fitted.left_out :]
    history = [text for question, answer in newest if answer.strip() for text in (question, answer)]
    assert told(fitted) == [*([system] if system else []), *history, message]
