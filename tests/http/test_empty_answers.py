"""Answers without an answer, in everything that shows them."""

from typing import Any, Final

import pytest
from chat_client import Client, Serve, Stream
from fake_ollama import FakeOllama, Script, answer, last, line, token

CALL: Final = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}


def calling(**message: Any) -> bytes:
    return line(message={"role": "assistant", "content": "", **message}, done=False)


EMPTY: Final = {
    "only thinking": ([token(thinking="Let me see."), last()], "thinking"),
    "only unmarked thinking": ([token("<think>Let me see."), last()], "thinking"),
    "nothing": ([last()], "without a word"),
    "white space": ([token("\n \n"), last()], "without a word"),
    "a tool": ([calling(tool_calls=[CALL]), last()], "get_weather"),
    "a tool after thinking": ([calling(thinking="Hm.", tool_calls=[CALL]), last()], "get_weather"),
    "a tool of another shape": ([calling(tool_calls={"name": 1}), last()], "a tool"),
    "the length": ([token(thinking="Let me"), last(reason="length")], "num_predict"),
}


@pytest.mark.parametrize(("lines", "word"), EMPTY.values(), ids=EMPTY)
async def test_an_answer_without_an_answer_says_so(
    client: Client, fake: FakeOllama, lines: list[bytes], word: str
) -> None:
    fake.script = Script(lines)
    session = await client.new_session()
    stream: Stream = await client.ask(session)
    assert stream.last["type"] == "done"
    (warning,) = [event for event in stream.events if event["type"] == "warning"]
    assert warning["code"] == "empty_answer"
    assert word in warning["message"]
    notice = {"code": warning["code"], "message": warning["message"]}
    assert (await client.send(session, "Again"))["warnings"] == [notice]
    listed = await client.messages(session)
    exported = (await client.call("GET", f"/api/chat/sessions/{session}/export"))["messages"]
    assert [each["warnings"] for each in (listed[1], listed[3], exported[1])] == [[notice]] * 3
    ui = await client.call("GET", f"/api/chat/ui/{session}")
    assert ui[1]["parts"][0] == {"type": "data-warning", "id": "empty_answer", "data": notice}
    async with client.resuming(session, stream.answer_id) as again:
        await again.rest()
    assert [event for event in again.events if event["type"] == "warning"] == [warning]


async def test_an_answer_that_says_something_has_no_such_warning(client: Client, fake: FakeOllama) -> None:
    for lines in (answer("Hello"), [calling(tool_calls=[CALL]), token("Hello"), last()], [last("Hello")]):
        fake.script = Script(lines)
        assert (await client.send(await client.new_session()))["warnings"] == []


async def test_a_limit_says_by_itself_why_there_is_no_answer(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(max_answer_bytes=10)
    fake.script = Script([token(thinking="Let me see it."), last()])
    warnings = (await client.send(await client.new_session()))["warnings"]
    assert [notice["code"] for notice in warnings] == ["answer_limit"]


async def test_a_kept_response_tells_why_it_has_no_text(client: Client, fake: FakeOllama) -> None:
    fake.script = Script([last()])
    response = await client.call("POST", "/v1/responses", json={"input": "Hello", "store": True})
    assert response["output"] == []
    async with client.http.get(client.url(f"/v1/responses/{response['id']}"), params={"stream": "true"}) as r:
        assert "empty_answer" in await r.text()
