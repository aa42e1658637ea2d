"""The export of everything: it can be imported, and never looks whole when it is not."""

import asyncio
from base64 import b64encode
from itertools import count
from typing import Any, Final

import pytest
from aiohttp import ClientPayloadError
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Gate, Script, answer, error, token
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatproxy.answers import transcript
from chatproxy.errors import ChatError
from chatproxy.store.messages import Messages
from chatproxy.web.api import export

EXPORT: Final = "/api/chat/export"
IMPORT: Final = "/api/chat/sessions/import"
# What another database numbers in its own way.
OTHER: Final = {"id", "sessionId", "documentId", "documentIds", "version"}


async def whole(client: Client, **more: Any) -> Any:
    async with client.http.get(client.url(EXPORT), **more) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert "chatproxy.json" in response.headers["Content-Disposition"]
        return await response.json()


def kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kept(each) for key, each in value.items() if key not in OTHER}
    return [kept(each) for each in value] if isinstance(value, list) else value


def says(client_text: str, **more: Any) -> Script:
    return Script(answer(client_text, **more))


async def filled(client: Client, fake: FakeOllama) -> None:
    """One session of every kind of message."""
    for shown in fake.shows.values():
        shown["capabilities"] = [*shown["capabilities"], "vision"]
    await client.new_session(title=" Empty\n", system="Be brief.", model="gemma3:270m")
    session = await client.new_session()
    picture = b64encode(b"the sun").decode()
    fake.script = says("Bright", thinking="hm")
    await client.ask(session, "Look", images=[picture], clientMessageId="c")
    stream = await client.ask(session, "Replaced")
    await client.ask(session, "Instead", replaces=stream.events[0]["userMessageId"])
    fake.script = Script([token("half"), error("broken")])
    await client.ask(session, "Fails")
    document = {"title": "Rainbows", "text": "Sunlight is bent by drops of water."}
    number = (await client.call("POST", "/api/documents", status=201, json=document))["id"]
    fake.script = says("Drops")
    await client.ask(await client.new_session(), "What bends sunlight?", document_id=number)


async def test_an_export_is_imported_as_it_was(
    client: Client, serve: Serve, fake: FakeOllama, tmp_path: Any
) -> None:
    await filled(client, fake)
    exported = await whole(client)
    assert [each["session"]["messageCount"] for each in exported] == [2, 6, 0]
    assert all(each["complete"] for each in exported)
    look = exported[1]["messages"][0]
    assert (look["images"], look["imageCount"]) == ([b64encode(b"the sun").decode()], 1)
    other = await serve(database_url=f"sqlite:///{tmp_path}/other.db")
    result = await other.call("POST", IMPORT, json=exported)
    assert (result["imported"], result["refused"]) == (3, 0)
    assert {each["kind"] for each in result["leftOut"]} == {"documents"}
    again = await whole(other)
    assert kept(again) == kept(exported)
    assert [each["session"]["id"] for each in again] == [each["session"]["id"] for each in exported]
    for server in (client, other):  # nothing is there twice
        assert (await server.call("POST", IMPORT, json=exported))["known"] == 3
    assert kept(await whole(other)) == kept(exported)


async def test_one_session_is_imported_too(
    client: Client, serve: Serve, tmp_path: Any, fake: FakeOllama
) -> None:
    await filled(client, fake)
    session = (await client.call("GET", "/api/chat/sessions"))["sessions"][1]["id"]
    one = await client.call("GET", f"/api/chat/sessions/{session}/export")
    other = await serve(database_url=f"sqlite:///{tmp_path}/other.db")
    result = await other.call("POST", IMPORT, json=one)
    assert result["imported"] == 1
    assert result["leftOut"] == []
    assert [each["content"] for each in await other.messages(session)] == [
        each["content"] for each in one["messages"]
    ]


numbers: Final = count()
text: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
turns: Final = st.lists(
    st.tuples(st.sampled_from(["user", "assistant"]), text.filter(str.strip), text, st.booleans()),
    min_size=1,
    max_size=6,
)


@pytest.fixture
async def many(serve: Serve) -> Client:
    return await serve(trusted_user_header="X-User")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(text, turns), min_size=1, max_size=4))
async def test_any_conversation_is_imported_as_it_was(many: Client, chats: list[tuple[str, Any]]) -> None:
    picture = "data:image/png;base64," + b64encode(b"picture").decode()
    file = [
        {
            "id": str(number),
            "chat": {
                "title": title,
                "messages": [
                    {
                        "role": role,
                        "content": content,
                        "reasoning_content": thinking,
                        "timestamp": 1.7e9 + place,
                    }
                    | ({"images": [picture]} if seen and role == "user" else {})
                    for place, (role, content, thinking, seen) in enumerate(said)
                ],
            },
        }
        for number, (title, said) in enumerate(chats)
    ]
    first, second = ({"X-User": f"{name}{next(numbers)}"} for name in ("first", "second"))
    assert (await many.call("POST", IMPORT, json=file, headers=first))["imported"] == len(chats)
    exported = await whole(many, headers=first)
    assert (await many.call("POST", IMPORT, json=exported, headers=second))["imported"] == len(chats)
    assert kept(await whole(many, headers=second)) == kept(exported)
    assert [[each["content"] for each in chat["messages"]] for chat in exported] == [
        [content for _, content, _, _ in said] for _, said in chats
    ]


async def test_nothing_is_an_export_too(client: Client) -> None:
    assert await whole(client) == []
    assert (await client.call("POST", IMPORT, json=[]))["imported"] == 0


async def test_only_what_the_user_has(many: Client) -> None:
    for user in ("ann", "bob"):
        await many.new_session(headers={"X-User": user}, title=user)
    for user in ("ann", "bob"):
        exported = await whole(many, headers={"X-User": user})
        assert [each["session"]["title"] for each in exported] == [user]


async def test_an_answer_that_is_being_written(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("half whole"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session, "Hello") as stream:
        gate.let()
        await stream.has("half")
        exported = await whole(client)
        gate.open()
        await stream.rest()
    assert exported[0]["messages"][1]["content"] == "half"
    await client.call("DELETE", f"/api/chat/sessions/{session}", status=204)
    result = await client.call("POST", IMPORT, json=exported)
    (message,) = [
        each
        for each in await client.messages(result["sessions"][0]["sessionId"])
        if each["role"] == "assistant"
    ]
    assert (message["content"], message["status"]) == ("half", "interrupted")


class Held:
    """Holds up an export after the first page of messages of each session."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self.error: ChatError | None = None
        page = Messages.page_after

        async def held(messages: Messages, *given: Any, after: int, **more: Any) -> Any:
            if after:
                self.reached.set()
                await self.go_on.wait()
                if self.error is not None:
                    raise self.error
            return await page(messages, *given, after=after, **more)

        monkeypatch.setattr(Messages, "page_after", held)
        monkeypatch.setattr(transcript, "EXPORT_MESSAGES", 2)


async def test_a_deletion_in_the_middle_ends_only_that_session(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await client.new_session(title=title) for title in ("last", "cut", "gone")]
    for session in ids[:2]:
        await client.ask(session, "one")
        await client.ask(session, "two")
    held = Held(monkeypatch)
    reading = asyncio.create_task(whole(client))
    await held.reached.wait()  # in "cut", whose activity is the latest
    await client.call("DELETE", f"/api/chat/sessions/{ids[1]}", status=204)
    await client.call("DELETE", f"/api/chat/sessions/{ids[2]}", status=204)
    held.go_on.set()
    exported = await reading
    assert [(each["session"]["title"], each["complete"]) for each in exported] == [
        ("cut", False),
        ("last", True),
    ]
    result = await client.call("POST", IMPORT, json=exported)
    assert [refusal["title"] for refusal in result["refusals"]] == [None]
    assert result["known"] == 1


async def test_a_failure_in_the_middle_is_no_end(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await client.new_session()
    await client.ask(session, "one")
    await client.ask(session, "two")
    held = Held(monkeypatch)

    held.error = ChatError("overloaded", "The database took too long.")
    async with client.http.get(client.url(EXPORT)) as response:
        await held.reached.wait()
        held.go_on.set()
        with pytest.raises(ClientPayloadError):
            await response.read()


async def test_images_beyond_the_bound_are_left_out(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shown in fake.shows.values():
        shown["capabilities"] = [*shown["capabilities"], "vision"]
    session = await client.new_session()
    for number in range(3):
        await client.ask(session, "Look", images=[b64encode(bytes([number]) * 10).decode()])
    monkeypatch.setattr(export, "IMAGE_BYTES", 25)
    (exported,) = await whole(client)
    questions = [each for each in exported["messages"] if each["role"] == "user"]
    assert [len(each["images"]) for each in questions] == [1, 1, 0]
    assert [each["imageCount"] for each in questions] == [1, 1, 1]
    await client.call("DELETE", f"/api/chat/sessions/{session}", status=204)
    result = await client.call("POST", IMPORT, json=exported)
    assert {each["kind"]: each["count"] for each in result["leftOut"]} == {"images": 1}
