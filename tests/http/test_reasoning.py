"""Reasoning that Ollama does not mark, in everything that shows it."""

import json
import re
from typing import Any, Final

import pytest
from chat_client import Client, serving
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, last, token
from waiting import until

from chatproxy import Config

OPENED: Final = "<think>\nLet me see.\n</think>\n\nHello!"
ALONE: Final = "Let me see.\n</think>\n\nHello!"
THINKING: Final = "Let me see.\n"


def pieces(text: str, size: int = 1) -> list[bytes]:
    return [*(token(text[at : at + size]) for at in range(0, len(text), size)), last()]


def shown(events: list[Any]) -> tuple[str, str]:
    """Return the thinking and the content that a reader has, who drops what a `reset` says."""
    texts = {"thinking": "", "chunk": ""}
    for event in events:
        if event.get("reset"):
            texts = dict.fromkeys(texts, "")
        if event["type"] in texts:
            texts[event["type"]] += event["content"]
    return texts["thinking"], texts["chunk"]


@pytest.mark.parametrize("text", [OPENED, ALONE], ids=["both tags", "the closing tag alone"])
@pytest.mark.parametrize("size", [1, 7, 100])
async def test_reasoning_is_told_apart_everywhere(
    client: Client, fake: FakeOllama, text: str, size: int
) -> None:
    fake.script = Script(pieces(text, size))
    session = await client.new_session()
    stream = await client.ask(session)
    assert shown(stream.events) == (THINKING, "Hello!")
    assert stream.last["fullResponse"] == "Hello!"
    whole = await client.send(session, "And?")
    assert (whole["thinking"], whole["fullResponse"]) == (THINKING, "Hello!")
    assert [message["content"] for message in fake.requests[-1]["messages"]] == ["Hello", "Hello!", "And?"]
    exported = await client.call("GET", f"/api/chat/sessions/{session}/export")
    for messages in (await client.messages(session), exported["messages"]):
        assert {(each["thinking"], each["content"]) for each in messages[1::2]} == {(THINKING, "Hello!")}
    ui = await client.call("GET", f"/api/chat/ui/{session}")
    assert [part["text"] for part in ui[1]["parts"]] == [THINKING, "Hello!"]
    for q, found in (("hello", 1), ("see", 0), ("think", 0)):
        assert len((await client.call("GET", "/api/chat/sessions", params={"q": q}))["sessions"]) == found


async def kinds(client: Client, fake: FakeOllama, text: str) -> list[str]:
    """Return the types of the events of an answer, of which some was read before the rest was written."""
    gate = Gate()
    gate.let(5)
    fake.script = Script(pieces(text), gate=gate)
    async with client.sending(await client.new_session()) as stream:
        while len(stream.text() + stream.text("thinking")) < 5:
            await stream.next()
        gate.open()
        await stream.rest()
    return stream.kinds()


async def test_only_what_has_changed_sides_is_sent_again(client: Client, fake: FakeOllama) -> None:
    assert await kinds(client, fake, ALONE) == ["start", "chunk", "start", "thinking", "chunk", "done"]
    # The model is known by now.
    assert await kinds(client, fake, ALONE) == ["start", "thinking", "chunk", "done"]
    assert await kinds(client, fake, "Hello!") == ["start", "thinking", "start", "chunk", "done"]
    assert await kinds(client, fake, "Hello!") == ["start", "chunk", "done"]


async def test_a_template_says_that_answers_begin_inside(client: Client, fake: FakeOllama) -> None:
    template = "{{ .System }}<|user|>{{ .Prompt }}<|assistant|>\n<think>\n{{ .Response }}<|end|>"
    fake.shows[MODEL] = {**fake.shows[MODEL], "template": template}
    assert await kinds(client, fake, ALONE) == ["start", "thinking", "chunk", "done"]


async def test_tags_stay_where_ollama_marks_the_thinking(client: Client, fake: FakeOllama) -> None:
    for text in (OPENED, ALONE):
        fake.script = Script(answer(text, thinking="Hm."))
        whole = await client.send(await client.new_session())
        assert (whole["thinking"], whole["fullResponse"]) == ("Hm.", text)


async def test_a_form_has_nothing_before_it(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    fake.script = Script(pieces('{"tag": "</think>"}'))
    assert (await client.send(session, format="json"))["fullResponse"] == '{"tag": "</think>"}'
    fake.script = Script(pieces('<think>Hm.</think>\n{"a": 1}'))
    assert (await client.send(session, format="json"))["fullResponse"] == '{"a": 1}'


@pytest.mark.parametrize("before", [0, 3, 11])
async def test_a_reader_is_exact_from_every_cursor(client: Client, fake: FakeOllama, before: int) -> None:
    """One that left before the tag came, with so much of the text, is sent all of it again."""
    text = "x" * 20 + "</think>" + "y" * 40
    gate = Gate()
    fake.script = Script(pieces(text), gate=gate)
    session = await client.new_session()
    gate.let(before)
    async with client.sending(session) as stream:
        await stream.until("start")
        await stream.has("x" * before)
        cursor = stream.cursor if before else "0.0"
    gate.open()
    answer_id = stream.answer_id
    async with client.resuming(session, answer_id) as whole:
        await whole.rest()
    assert shown(whole.events) == ("x" * 20, "y" * 40)
    async with client.resuming(session, answer_id, cursor) as rest:
        await rest.rest()
    assert rest.events[0].get("reset", False) is bool(before)
    assert shown(rest.events) == ("x" * 20, "y" * 40)
    for thinking, content in ((5, 0), (20, 0), (20, 13)):
        async with client.resuming(session, answer_id, f"{thinking}.{content}") as rest:
            await rest.rest()
        assert "reset" not in rest.events[0]
        assert shown(rest.events) == ("x" * (20 - thinking), "y" * (40 - content))


async def test_a_cursor_from_before_the_tag_is_none_after_a_restart(config: Config, fake: FakeOllama) -> None:
    gate = Gate()
    gate.let(7)
    fake.script = Script(pieces("x" * 20 + "</think>" + "y" * 40), gate=gate)
    async with serving(config) as client:
        session = await client.new_session()
        async with client.sending(session) as stream:
            await stream.has("x" * 7)
            gate.open()
            await stream.rest()
        message = stream.answer_id
    async with serving(config) as client, client.resuming(session, message, "0.7") as stream:
        await stream.rest()
    assert stream.events[0]["reset"] is True
    assert shown(stream.events) == ("x" * 20, "y" * 40)


async def test_a_cancel_keeps_what_was_held_back(client: Client, fake: FakeOllama) -> None:
    gate = Gate()
    gate.let(3)
    fake.script = Script([token("Hi"), token(" </thi"), token("n"), last()], gate=gate)
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.has("Hi ")
        await until(lambda: fake.chats[-1].sent == 3)
        await client.cancel(session, stream.answer_id)
        await stream.rest()
    assert stream.last["fullResponse"].startswith("Hi </thi")
    assert stream.text() == stream.last["fullResponse"]


async def response_events(client: Client, id: str, **query: Any) -> list[Any]:
    async with client.http.get(client.url(f"/v1/responses/{id}"), params={"stream": "true", **query}) as r:
        assert r.status == 200
        lines = (await r.text()).split("\n")
    return [json.loads(each.removeprefix("data: ")) for each in lines if each.startswith("data: ")]


async def test_numbers_of_a_kept_response_are_new_after_it_changed_sides(
    client: Client, fake: FakeOllama
) -> None:
    gate = Gate()
    gate.let(6)
    fake.script = Script(pieces(ALONE), gate=gate)
    body = {"input": "Hello", "store": True, "stream": True}
    async with client.http.post(client.url("/v1/responses"), json=body) as posted:
        seen = b""
        while b"".join(re.findall(rb'"delta":"([^"]*)"', seen)) != b"Let me":
            seen += await posted.content.readany()
        gate.open()
        seen += await posted.read()
    live = [json.loads(each[6:]) for each in seen.decode().split("\n") if each.startswith("data: ")]
    numbers = [event["sequence_number"] for event in live]
    assert numbers == sorted(set(numbers))
    id = live[0]["response"]["id"]
    replayed = await response_events(client, id)
    last_old = max(number for number in numbers if number < 2**29)
    assert [event for event in live if event["sequence_number"] > last_old] == replayed[2:]
    assert await response_events(client, id, starting_after=last_old) == replayed[2:]
    for place, event in enumerate(replayed):
        rest = await response_events(client, id, starting_after=event["sequence_number"])
        assert [each["sequence_number"] for each in rest] == [
            each["sequence_number"] for each in replayed[place + 1 :]
        ]
    output = replayed[-1]["response"]["output"]
    assert output[0]["summary"][0]["text"] == THINKING
    assert output[1]["content"][0]["text"] == "Hello!"


async def chunks(client: Client, fake: FakeOllama, chat: str, text: str) -> list[Any]:
    """Return the chunks of an answer, of which some was read before the rest was written."""
    gate = Gate()
    gate.let(5)
    fake.script = Script(pieces(text), gate=gate)
    message = {"id": "q1", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
    async with client.http.post(client.url("/api/chat/ui"), json={"id": chat, "messages": [message]}) as r:
        seen = b""
        while b"-delta" not in seen and text[0] != "<":
            seen += await r.content.readany()
        gate.open()
        seen += await r.read()
    return [json.loads(each[6:]) for each in seen.decode().split("\n") if each.startswith("data: {")]


async def test_a_page_of_the_ai_sdk_gets_one_start_and_what_changed_sides_again(
    client: Client, fake: FakeOllama
) -> None:
    kinds = [chunk["type"] for chunk in await chunks(client, fake, "chat-one", OPENED)]
    assert [kind for kind in kinds if not kind.startswith("data-")][1] == "reasoning-start"
    found = await chunks(client, fake, "chat-two", ALONE)
    assert [chunk["type"] for chunk in found].count("start") == 1
    texts = dict.fromkeys(("reasoning-delta", "text-delta"), "")
    for chunk in found:
        if chunk["type"] in texts:
            texts[chunk["type"]] += chunk["delta"]
    shown_before = texts["text-delta"].removesuffix("Hello!")
    assert THINKING.startswith(shown_before)
    assert shown_before
    assert texts["reasoning-delta"] == THINKING
    begun = [chunk["type"] for chunk in found if chunk["type"].endswith(("-start", "-end"))]
    assert begun == ["text-start", "text-end", "reasoning-start", "reasoning-end", "text-start", "text-end"]


async def test_imported_reasoning_is_told_apart(client: Client, fake: FakeOllama) -> None:
    messages = [
        {"id": "1", "role": "user", "parts": [{"type": "text", "text": "Hello"}]},
        {"id": "2", "role": "assistant", "parts": [{"type": "text", "text": OPENED}]},
        {"id": "3", "role": "user", "parts": [{"type": "text", "text": "And?"}]},
    ]
    async with client.http.post(
        client.url("/api/chat/ui"), json={"id": "imported", "messages": messages}
    ) as r:
        await r.read()
    assert [each["content"] for each in fake.requests[-1]["messages"]] == ["Hello", "Hello!", "And?"]
