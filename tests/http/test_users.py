"""Behind a proxy that names the user, each user has their own sessions (each route: test_every_route.py)."""

from typing import Final

import pytest
from chat_client import Client, Serve
from matrix import matrix
from sockets import exchange

SESSIONS: Final = "/api/chat/sessions"
HEADER: Final = "X-Forwarded-User"
ANN: Final = {HEADER: "ann"}
BOB: Final = {HEADER: "bob"}


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve(trusted_user_header=HEADER)


async def diary(client: Client) -> tuple[str, int]:
    """Make a session of Ann's with an answer; return their ids."""
    session = await client.new_session(headers=ANN, title="Ann's diary")
    path = f"{SESSIONS}/{session}/messages"
    sent = await client.call("POST", path, headers=ANN, json={"message": "Dear diary"})
    return session, sent["assistantMessageId"]


@pytest.mark.parametrize("user", [b"\xff", b"ann\xff", b"a\tb"])
async def test_a_user_that_is_not_text_is_refused(client: Client, user: bytes) -> None:
    head = f"GET {SESSIONS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{HEADER}: "
    assert (await exchange(client, head.encode() + user + b"\r\n\r\n")).status == 401


async def test_a_name_has_at_most_256_characters(client: Client) -> None:
    await client.new_session(headers={HEADER: "é" * 256})
    refusal = await client.call("POST", SESSIONS, status=401, headers={HEADER: "é" * 257})
    assert refusal["code"] == "unauthorized"
    assert f"set {HEADER} to a shorter one" in refusal["error"]


async def test_lists_and_searches_have_only_the_users_own_sessions(client: Client) -> None:
    anns, _ = await diary(client)
    bobs = await client.new_session(headers=BOB, title="Bob's diary")
    for query in ({}, {"q": "diary"}, {"limit": "1"}):
        for user, own in ((ANN, anns), (BOB, bobs)):
            page = await client.call("GET", SESSIONS, headers=user, params=query)
            assert [session["id"] for session in page["sessions"]] == [own]
            assert page["next"] is None
    carols = await client.call("GET", SESSIONS, headers={HEADER: "carol"}, params={"q": "dear"})
    assert carols == {"sessions": [], "next": None}


async def test_the_cursor_of_another_user_shows_none_of_their_sessions(client: Client) -> None:
    for _ in range(3):
        await client.new_session(headers=ANN)
    anns = await client.call("GET", SESSIONS, headers=ANN, params={"limit": 1})
    bobs = await client.call("GET", SESSIONS, headers=BOB, params={"before": anns["next"]})
    assert bobs == {"sessions": [], "next": None}


async def test_names_are_compared_exactly_but_for_space_around_them(client: Client) -> None:
    await diary(client)
    with matrix() as cases:
        for user in ("Ann", "ANN", "ann@example.com", "añn", "'; --"):
            before = (await client.call("GET", SESSIONS, headers={HEADER: user}))["sessions"]
            session = await client.new_session(headers={HEADER: user})
            after = (await client.call("GET", SESSIONS, headers={HEADER: f" {user} "}))["sessions"]
            cases.expect(([], [session]), (before, [each["id"] for each in after]), user)


async def test_a_message_of_another_user_is_not_found_through_ones_own_session(client: Client) -> None:
    _, message = await diary(client)
    own = await client.new_session(headers=BOB)
    for method, rest in (("GET", "stream"), ("POST", "cancel")):
        path = f"{SESSIONS}/{own}/messages/{message}/{rest}"
        assert (await client.call(method, path, status=404, headers=BOB))["code"] == "not_found"
    body = {"message": "a", "replaces": message - 1}
    refusal = await client.call("POST", f"{SESSIONS}/{own}/messages", status=422, headers=BOB, json=body)
    assert refusal["field"] == "replaces"


async def test_without_the_setting_the_header_is_ignored(serve: Serve) -> None:
    client = await serve()
    session = await client.new_session(headers=ANN)
    assert (await client.call("GET", f"{SESSIONS}/{session}", headers=BOB))["id"] == session
