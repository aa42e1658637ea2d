"""Behind a proxy that names the user, everybody has their own sessions, and nobody else's exist for them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import pytest
from chat_client import Client, serving

from chatproxy import Config, create_app

HEADER: Final = "X-Forwarded-User"
ANN: Final = {HEADER: "ann"}
BOB: Final = {HEADER: "bob"}
SESSIONS: Final = "/api/chat/sessions"
# Answered without a user; whatever else there is belongs to somebody.
EXEMPT: Final = {"/", "", "/healthz", "/readyz", "/openapi.json", "/docs"}
OF_NOBODY: Final = {"/{path}"}  # where there is nothing, nothing is kept from anybody


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    async with serving(replace(config, trusted_user_header=HEADER)) as client:
        yield client


def routes() -> list[tuple[str, str]]:
    """Method and path, its names in braces, of every route that belongs to somebody."""
    app = create_app(Config(trusted_user_header=HEADER))
    found = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "OPTIONS"
    }
    return sorted(
        (method, path)
        for method, path in found
        if path not in EXEMPT | OF_NOBODY and not path.startswith("/static/")
    )


async def of_ann(client: Client) -> dict[str, Any]:
    """What the names in the paths stand for: things of Ann's."""
    session = await client.new_session(headers=ANN, title="Ann's diary")
    path = f"{SESSIONS}/{session}/messages"
    sent = await client.call("POST", path, headers=ANN, json={"message": "Dear diary"})
    return {"sid": session, "mid": sent["assistantMessageId"]}


async def document_of_ann(client: Client) -> dict[str, Any]:
    text = {"title": "Ann's letter", "text": "Dear Bob"}
    document = await client.call("POST", "/api/documents", status=201, headers=ANN, json=text)
    return {"id": document["id"]}


def test_the_routes_are_found() -> None:
    assert ("GET", f"{SESSIONS}/{{sid}}/export") in routes()
    assert ("POST", f"{SESSIONS}/{{sid}}/messages/stream") in routes()


@pytest.mark.parametrize(("method", "path"), [each for each in routes() if "{" in each[1]])
async def test_what_belongs_to_somebody_else_does_not_exist(client: Client, method: str, path: str) -> None:
    names = await (document_of_ann(client) if "{id}" in path else of_ann(client))
    place = path.format_map(names)
    body: dict[str, Any] = {"json": {"message": "Mine now", "title": "Mine now"}}
    before = await client.call("GET", SESSIONS, headers=ANN)
    async with client.http.request(method, client.url(place), headers=BOB, **body) as response:
        assert response.status == 404, await response.text()
        if method != "HEAD":
            assert (await response.json())["code"] == "not_found"
    assert await client.call("GET", SESSIONS, headers=ANN) == before
    # The owner's own request shows that the address was right.
    async with client.http.request(method, client.url(place), headers=ANN, **body) as response:
        assert response.status in {200, 201, 204}, await response.text()


@pytest.mark.parametrize(
    "headers",
    [[], [(HEADER, "")], [(HEADER, "  ")], [(HEADER, "ann"), (HEADER, "bob")], [(HEADER, "ann")] * 2],
    ids=["missing", "empty", "blank", "two", "twice"],
)
async def test_without_one_user_nothing_is_answered(client: Client, headers: list[tuple[str, str]]) -> None:
    for method, path in routes():
        place = client.url(path.format_map(dict.fromkeys(("sid", "mid", "id"), "1")))
        async with client.http.request(method, place, headers=headers, data=b"x") as response:
            assert response.status == 401, (method, path)
            if method != "HEAD":
                told = await response.json()
                assert told["code"] == "unauthorized"
                assert HEADER in told["error"]


@pytest.mark.parametrize("user", [b"\xff", b"ann\xff", b"a\tb"])
async def test_a_user_that_is_not_text_is_none(client: Client, user: bytes) -> None:
    reader, writer = await asyncio.open_connection(*client.base.removeprefix("http://").split(":"))
    head = f"GET {SESSIONS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{HEADER}: "
    writer.write(head.encode() + user + b"\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("HEAD", "/"), ("GET", "/healthz"), ("GET", "/readyz")]
)
async def test_probes_need_no_user(client: Client, method: str, path: str) -> None:
    async with client.http.request(method, client.url(path)) as response:
        assert response.status == 200


async def test_lists_and_searches_show_ones_own_only(client: Client) -> None:
    anns = (await of_ann(client))["sid"]
    bobs = await client.new_session(headers=BOB, title="Bob's diary")
    for query in ({}, {"q": "diary"}, {"limit": "1"}):
        for user, own in ((ANN, anns), (BOB, bobs)):
            page = await client.call("GET", SESSIONS, headers=user, params=query)
            assert [session["id"] for session in page["sessions"]] == [own]
            assert page["next"] is None
    nobodys = await client.call("GET", SESSIONS, headers={HEADER: "carol"}, params={"q": "dear"})
    assert nobodys == {"sessions": [], "next": None}


async def test_another_ones_cursor_shows_nothing_of_theirs(client: Client) -> None:
    for _ in range(3):
        await client.new_session(headers=ANN)
    anns = await client.call("GET", SESSIONS, headers=ANN, params={"limit": 1})
    bobs = await client.call("GET", SESSIONS, headers=BOB, params={"before": anns["next"]})
    assert bobs == {"sessions": [], "next": None}


@pytest.mark.parametrize("user", ["Ann", "ANN", "ann@example.com", "añn", "'; --"])
async def test_users_are_told_apart_exactly(client: Client, user: str) -> None:
    await of_ann(client)
    assert (await client.call("GET", SESSIONS, headers={HEADER: user}))["sessions"] == []
    session = await client.new_session(headers={HEADER: user})
    own = await client.call("GET", SESSIONS, headers={HEADER: f" {user} "})
    assert [each["id"] for each in own["sessions"]] == [session]


async def test_a_message_of_another_session_does_not_exist_in_ones_own(client: Client) -> None:
    anns = await of_ann(client)
    own = await client.new_session(headers=BOB)
    for method, rest in (("GET", "stream"), ("POST", "cancel")):
        path = f"{SESSIONS}/{own}/messages/{anns['mid']}/{rest}"
        assert (await client.call(method, path, status=404, headers=BOB))["code"] == "not_found"
    told = await client.call(
        "POST",
        f"{SESSIONS}/{own}/messages",
        status=422,
        headers=BOB,
        json={"message": "a", "replaces": anns["mid"] - 1},
    )
    assert told["field"] == "replaces"


async def test_without_the_setting_the_header_means_nothing(config: Config) -> None:
    async with serving(config) as client:
        session = await client.new_session(headers=ANN)
        shown = await client.call("GET", f"{SESSIONS}/{session}", headers=BOB)
        assert shown["id"] == session
