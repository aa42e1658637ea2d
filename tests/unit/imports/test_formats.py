"""Nothing in a file of another program's is an error of chatproxy's own."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from cost import seconds
from hypothesis import given, settings
from hypothesis import strategies as st

from chatproxy.errors import ChatError
from chatproxy.imports import chatgpt, conversation, open_webui, own
from chatproxy.imports.conversation import Conversation, fields, image, when
from chatproxy.store.records import ImportedTurn, Message, Session

DATA: Final = Path(__file__).parents[2] / "data" / "imports"
FORMS: Final = {"chatgpt": chatgpt, "open_webui": open_webui, "own": own}
NOW: Final = "2026-01-01T00:00:00.000Z"


def exported() -> list[Any]:
    session = Session(
        id="s",
        title="T",
        model=None,
        document_id=3,
        created_at=NOW,
        updated_at=NOW,
        message_count=1,
        system=None,
    )
    message = Message(
        id=1, session_id="s", role="user", content="Hi", status="complete", created_at=NOW, updated_at=NOW
    )
    return [msgspec.to_builtins({"session": session, "messages": [message, message]})]


def files(name: str) -> list[Any]:
    found: list[Any] = exported() if name == "own" else json.loads((DATA / f"{name}.json").read_bytes())
    return found


def read(name: str, chat: Any) -> tuple[Conversation, list[ImportedTurn]]:
    found = fields(bytearray(json.dumps(chat).encode()))
    form = next((form for form in FORMS.values() if form.is_mine(found)), None)
    if form is not FORMS[name]:
        raise Unrecognised
    conversation = form.read(found)
    return conversation, list(conversation.turns)


class Unrecognised(Exception):
    pass


@contextmanager
def refusable() -> Iterator[None]:
    """Lets a conversation be refused."""
    try:
        yield
    except ChatError as error:
        if error.code not in {"invalid", "too_large"}:
            raise


ODD: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**70,
        1e300,
        "",
        "x\0",
        "1",
        {},
        [],
        [[]],
        {"x": {}},
        "data:image/png;base64,x",
        [1] * 3,
    ]
).map(copy.deepcopy)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in a value, as paths."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *[place for key, each in inner for place in places(each, (*path, key))]]


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=300)
@given(data=st.data())
def test_wrong_types_anywhere_are_left_out_or_refused(name: str, data: st.DataObject) -> None:
    chat = copy.deepcopy(data.draw(st.sampled_from(files(name))))
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(places(chat)[1:]))
        parent = chat
        for key in path:
            parent = parent[key]
        parent[last] = data.draw(ODD)
    turns: list[ImportedTurn] = []
    with suppress(Unrecognised), refusable():
        _, turns = read(name, json.loads(json.dumps(chat)))
    for turn in turns:
        msgspec.json.encode(turn)
        assert turn.content.encode() or turn.images or turn.thinking or turn.role == "user"


@pytest.mark.parametrize("name", ["chatgpt", "open_webui"])
def test_a_circle_is_refused(name: str) -> None:
    chat = files(name)[0]
    tree, parent = (
        (chat["mapping"], "parent")
        if name == "chatgpt"
        else (chat["chat"]["history"]["messages"], "parentId")
    )
    tree[next(iter(tree))][parent] = next(reversed(tree))
    with pytest.raises(ChatError, match="in a circle"):
        read(name, chat)


def test_a_conversation_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_MESSAGES", 3)
    for name in ("chatgpt", "open_webui"):
        with pytest.raises(ChatError, match="more than 3 messages"):
            read(name, files(name)[0])


def test_deep_nesting_is_refused() -> None:
    deep = b'{"mapping":{"a":' + b'{"message":' * 5000 + b"1" + b"}" * 5000 + b"}}"
    with pytest.raises(ChatError, match="nested too deeply"):
        chatgpt.read(fields(bytearray(deep)))


NO_TIMES: Final[list[object]] = [
    None,
    True,
    0,
    -5,
    1e300,
    float("inf"),
    "",
    "now",
    [],
    "0001-01-01T00:00+23:59",
]


@pytest.mark.parametrize(
    ("given", "time"),
    [
        (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
        (1_700_000_000_500, "2023-11-14T22:13:20.500Z"),
        ("2023-11-14T22:13:20.5+00:00", "2023-11-14T22:13:20.500Z"),
        ("2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20.000Z"),
        ("2023-11-14", "2023-11-14T00:00:00.000Z"),
        *[(each, None) for each in NO_TIMES],
    ],
)
def test_times(given: object, time: str | None) -> None:
    assert when(given) == time


def test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_IMAGE", 9)
    assert image("data:image/png;base64,YWJj") == b"abc"
    for url in (
        None,
        "",
        "http://x/y.png",
        "data:image/png;base64,",
        "data:image/png;base64,Y?=",
        "data:text/plain;base64,YWJj",
        "data:image/png;base64," + "YWJj" * 4,
    ):
        assert image(url) is None


@pytest.mark.parametrize(
    "text", ["<details ", "<details>", "<details><summary>", "\ue200", '<details type="', "> "]
)
def test_reading_takes_as_long_as_the_text_is(text: str) -> None:
    """Twice the text takes twice the time: four times it, at most eight times."""

    def read_both(size: int) -> None:
        content = text * size + "</details>"
        read("open_webui", {"chat": {"messages": [{"role": "assistant", "content": content}]}})
        message = {"author": {"role": "assistant"}, "content": {"parts": [content]}}
        read("chatgpt", {"mapping": {"a": {"message": message}}})

    short, long = (seconds(partial(read_both, size)) for size in (50_000, 200_000))
    assert long < 8 * short + 0.05


def test_what_an_answer_has_beside_its_text_is_counted() -> None:
    asked = {"role": "user", "content": "Hi"}
    for message in (
        {"role": "assistant", "content": "", "error": {"content": "Connection refused"}},
        {"role": "assistant", "content": "Hello", "error": True},
        {"role": "assistant", "content": "Hello", "merged": {"status": True, "content": "Both"}},
        {"role": "assistant", "content": {"text": "Hello"}},
    ):
        found, _ = read("open_webui", {"chat": {"messages": [asked, message]}})
        assert +found.left_out == {"other": 1}, message
    found, _ = read("open_webui", {"chat": {"messages": [asked, {"role": "assistant", "content": None}]}})
    assert +found.left_out == {}


def test_thinking_in_details() -> None:
    content = (
        'Before <details type="reasoning" done="true">\n<summary>Thought</summary>\n> a\n> b\n</details>\n'
        '<details><summary>Mine</summary>kept</details> after <details type="reasoning">not closed'
    )
    _, (turn,) = read("open_webui", {"chat": {"messages": [{"role": "assistant", "content": content}]}})
    assert turn.thinking == "a\nb"
    assert turn.content == (
        'Before \n<details><summary>Mine</summary>kept</details> after <details type="reasoning">not closed'
    )
