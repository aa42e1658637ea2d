"""Searches of conversations: what is found, and where."""

import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Script, answer

SESSIONS = "/api/chat/sessions"


@pytest.mark.parametrize(
    ("message", "q"),
    [
        ("今天讨论了部署方案和数据库迁移", "数据库"),
        ("これは日本語のテストです", "日本語"),
        ("สวัสดีชาวโลกนี่คือเอกสาร", "เอกสาร"),
        ("The getUserName function failed", "UserName"),
        ("The get_user_name function failed", "UserName"),
    ],
)
async def test_a_hit_says_where_it_is(client: Client, fake: FakeOllama, message: str, q: str) -> None:
    session = await client.new_session(title="Other")
    asked = (await client.ask(session, message)).events[0]["userMessageId"]
    page = await client.call("GET", SESSIONS, params={"q": q})
    assert [each["id"] for each in page["sessions"]] == [session]
    (hit,) = page["hits"]
    assert (hit["sessionId"], hit["messageId"], hit["snippet"]) == (session, asked, message)
    (place,) = hit["found"]
    assert message[slice(*place)].replace("_", "").lower() == q.lower()


async def test_a_hit_is_in_the_newest_message_or_in_the_title(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session(title="Tea and cake")
    fake.script = Script(answer("Some tea."))
    ids = [(await client.ask(session, f"Tea {number}?")).answer_id for number in (1, 2)]
    hits = (await client.call("GET", SESSIONS, params={"q": "tea"}))["hits"]
    assert hits == [{"sessionId": session, "messageId": ids[1], "snippet": "Some tea.", "found": [[5, 8]]}]
    hits = (await client.call("GET", SESSIONS, params={"q": "cake"}))["hits"]
    assert hits == [{"sessionId": session, "messageId": None, "snippet": "Tea and cake", "found": [[8, 12]]}]
    assert "hits" not in await client.call("GET", SESSIONS)


async def test_hits_are_the_users_own(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(trusted_user_header="X-User")
    for user in ("ann", "bob"):
        headers = {"X-User": user}
        session = await client.new_session(headers=headers)
        path = f"{SESSIONS}/{session}/messages"
        await client.call("POST", path, json={"message": f"Tea of {user}"}, headers=headers)
    hits = (await client.call("GET", SESSIONS, params={"q": "tea"}, headers={"X-User": "ann"}))["hits"]
    assert [hit["snippet"] for hit in hits] == ["Tea of ann"]
