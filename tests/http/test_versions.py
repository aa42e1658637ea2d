"""Versions: what stood in the place of a message, as long as what is before it was the same."""

from typing import Any

from chat_client import Client, Serve
from fake_ollama import FakeOllama, Script, answer


async def said(client: Client, fake: FakeOllama, session: str, question: str, **more: Any) -> tuple[int, int]:
    fake.script = Script(answer(f"{question}!"))
    stream = await client.ask(session, question, **more)
    return stream.events[0]["userMessageId"], stream.answer_id


async def versions(client: Client, session: str, message: int, **query: Any) -> Any:
    path = f"/api/chat/sessions/{session}/messages/{message}/versions"
    return await client.call("GET", path, params=query)


async def texts(client: Client, session: str, message: int) -> list[str]:
    found = await versions(client, session, message)
    assert (found["total"], found["next"]) == (len(found["messages"]), None)
    return [each["content"] for each in found["messages"]]


async def test_versions_of_questions_and_of_answers(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    first = await said(client, fake, session, "one")
    second = await said(client, fake, session, "two")
    assert await texts(client, session, first[0]) == ["one"]
    edited = await said(client, fake, session, "TWO", replaces=second[0])
    again = await said(client, fake, session, "TWO", replaces=edited[0])
    for question in (second[0], edited[0], again[0]):
        assert await texts(client, session, question) == ["two", "TWO", "TWO"]
    for reply in (second[1], edited[1], again[1]):
        assert await texts(client, session, reply) == ["two!", "TWO!", "TWO!"]


async def test_what_followed_another_version_is_no_version(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    first = await said(client, fake, session, "one")
    old = await said(client, fake, session, "after one")
    other = await said(client, fake, session, "ONE", replaces=first[0])
    new = await said(client, fake, session, "after ONE")
    assert await texts(client, session, other[0]) == ["one", "ONE"]
    assert await texts(client, session, old[0]) == ["after one"]
    assert await texts(client, session, new[0]) == ["after ONE"]
    assert await texts(client, session, new[1]) == ["after ONE!"]


async def test_pages(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    question, _ = await said(client, fake, session, "0")
    for number in range(1, 5):
        question, _ = await said(client, fake, session, str(number), replaces=question)
    seen: list[str] = []
    before: dict[str, int] = {}
    while True:
        page = await versions(client, session, question, limit=2, **before)
        assert page["total"] == 5
        seen = [each["content"] for each in page["messages"]] + seen
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert seen == ["0", "1", "2", "3", "4"]
    first = page["messages"][0]["id"]
    assert await versions(client, session, question, before=first) == {
        "messages": [],
        "next": None,
        "total": 5,
    }


async def test_only_of_a_session_of_the_user(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(trusted_user_header="X-User")
    ann, bob = {"X-User": "ann"}, {"X-User": "bob"}
    session, other = await client.new_session(headers=ann), await client.new_session(headers=ann)
    path = f"/api/chat/sessions/{session}/messages"
    sent = await client.call("POST", path, json={"message": "Hi"}, headers=ann)
    message = sent["userMessageId"]
    await client.call("GET", f"{path}/{message}/versions", headers=ann)
    await client.call("GET", f"{path}/{message}/versions", headers=bob, status=404)
    await client.call(
        "GET", f"/api/chat/sessions/{other}/messages/{message}/versions", headers=ann, status=404
    )
    await client.call("GET", f"{path}/99/versions", headers=ann, status=404)


async def test_versions_of_what_was_imported(client: Client, fake: FakeOllama) -> None:
    messages = [
        {"role": role, "content": content}
        for role, content in [("assistant", "Hello"), ("user", "a"), ("assistant", "b"), ("assistant", "c")]
    ]
    result = await client.call("POST", "/api/chat/sessions/import", json={"chat": {"messages": messages}})
    session = result["sessions"][0]["sessionId"]
    greeting, question, first, second = [each["id"] for each in await client.messages(session)]
    await said(client, fake, session, "A", replaces=question)
    assert await texts(client, session, greeting) == ["Hello"]
    assert await texts(client, session, question) == ["a", "A"]
    assert await texts(client, session, first) == ["b", "A!"]
    assert await texts(client, session, second) == ["c"]
