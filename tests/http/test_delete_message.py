"""Deleting a message: it leaves the conversation, and what comes after it moves up."""

from typing import Any

import pytest
from chat_client import Client
from fake_ollama import FakeOllama, Gate, Script, answer


async def said(client: Client, fake: FakeOllama, session: str, question: str, **more: Any) -> tuple[int, int]:
    fake.script = Script(answer(f"{question}!"))
    stream = await client.ask(session, question, **more)
    return stream.events[0]["userMessageId"], stream.answer_id


async def delete(client: Client, session: str, message: int, status: int = 204) -> Any:
    return await client.call("DELETE", f"/api/chat/sessions/{session}/messages/{message}", status=status)


async def shown(client: Client, session: str) -> list[str]:
    """Return the texts of the conversation, read in pages of two."""
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = await client.call("GET", f"/api/chat/sessions/{session}/messages", params=query)
        found = [message["content"] for message in page["messages"]] + found
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert (await client.session(session))["messageCount"] == len(found)
    return found


def told(fake: FakeOllama) -> list[str]:
    """Return the texts that the model was sent last."""
    return [message["content"] for message in fake.requests[-1]["messages"]]


@pytest.mark.parametrize("place", range(6))
async def test_each_can_be_deleted(client: Client, fake: FakeOllama, place: int) -> None:
    session = await client.new_session()
    texts: list[str] = []
    ids: list[int] = []
    for question in ("one", "two", "three"):
        ids += await said(client, fake, session, question)
        texts += [question, f"{question}!"]
    await delete(client, session, ids[place])
    del texts[place]
    assert await shown(client, session) == texts
    await delete(client, session, ids[place], status=404)
    await said(client, fake, session, "four")
    assert told(fake) == [*texts, "four"]
    assert await shown(client, session) == [*texts, "four", "four!"]


async def test_its_versions_go_with_it_and_no_older_one_appears(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    first = await said(client, fake, session, "one")
    second = await said(client, fake, session, "two")
    await said(client, fake, session, "after two")
    edited = await said(client, fake, session, "TWO", replaces=second[0])
    await delete(client, session, edited[0])
    assert await shown(client, session) == ["one", "one!", "TWO!"]
    for gone in (second[0], edited[0]):
        await client.call("GET", f"/api/chat/sessions/{session}/messages/{gone}/versions", status=404)
    await delete(client, session, edited[1])
    await said(client, fake, session, "three")
    assert await shown(client, session) == ["one", "one!", "three", "three!"]
    again = await said(client, fake, session, "ONE", replaces=first[0])
    assert await shown(client, session) == ["ONE", "ONE!"]
    await delete(client, session, again[1])
    await delete(client, session, again[0])
    assert await shown(client, session) == []


async def test_it_is_found_no_more(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session(title="T")
    question, _ = await said(client, fake, session, "zebra crossing")
    page = await client.call("GET", "/api/chat/sessions", params={"q": "crossing"})
    while not page["sessions"]:
        page = await client.call("GET", "/api/chat/sessions", params={"q": "crossing"})
    await delete(client, session, question)
    for _, word in ((0, "zebra"), (1, "crossing")):
        found = await client.call("GET", "/api/chat/sessions", params={"q": word})
        assert [each["id"] for each in found["sessions"]] == [session]  # the answer has the words, too


async def test_none_is_deleted_while_an_answer_is_written(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    question, _ = await said(client, fake, session, "one")
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    async with client.sending(session) as stream:
        active = (await stream.until("start"))["assistantMessageId"]
        refusal = await delete(client, session, question, status=409)
        assert (refusal["code"], refusal["activeMessageId"]) == ("session_busy", active)
        gate.open()
        await stream.rest()
    await delete(client, session, question)


async def test_a_replaced_message_is_not_in_the_conversation(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    old = await said(client, fake, session, "one")
    await said(client, fake, session, "ONE", replaces=old[0])
    for message in (*old, 10**6):
        assert (await delete(client, session, message, status=404))["code"] == "not_found"
    assert await shown(client, session) == ["ONE", "ONE!"]


async def test_a_question_whose_answer_was_deleted_may_be_sent_again(
    client: Client, fake: FakeOllama
) -> None:
    session = await client.new_session()
    _, first = await said(client, fake, session, "one", clientMessageId="c-1")
    await delete(client, session, first)
    _, second = await said(client, fake, session, "one", clientMessageId="c-1")
    assert second != first
    assert await shown(client, session) == ["one", "one", "one!"]


async def test_answers_stay_versions_of_each_other_without_their_questions(
    client: Client, fake: FakeOllama
) -> None:
    session = await client.new_session()
    first = await said(client, fake, session, "one")
    second = await said(client, fake, session, "ONE", replaces=first[0])
    await delete(client, session, second[0])
    for answer_id in (first[1], second[1]):
        path = f"/api/chat/sessions/{session}/messages/{answer_id}/versions"
        assert [each["id"] for each in (await client.call("GET", path))["messages"]] == [first[1], second[1]]
