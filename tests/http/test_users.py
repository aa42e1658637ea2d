"""Where a proxy or a token names the user, each user has their own sessions (test_every_route.py)."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from chat_client import Client, Serve, Server, Start
from matrix import matrix
from sockets import exchange
from waiting import until

from chatproxy import Config, create_app
from chatproxy.web.api.login import LOGIN_CODES

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
    assert f"set {HEADER} once: use a name of at most 256 characters." in refusal["error"]


async def test_lists_and_searches_have_only_the_users_own_sessions(client: Client) -> None:
    anns, _ = await diary(client)
    bobs = await client.new_session(headers=BOB, title="Bob's diary")
    for query in ({}, {"q": "diary"}, {"limit": "1"}):
        for user, own in ((ANN, anns), (BOB, bobs)):
            page = await client.call("GET", SESSIONS, headers=user, params=query)
            assert [session["id"] for session in page["sessions"]] == [own]
            assert page["next"] is None
    carols = await client.call("GET", SESSIONS, headers={HEADER: "carol"}, params={"q": "dear"})
    assert carols == {"sessions": [], "next": None, "hits": []}


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


# -- users whom their tokens name

TOKENS: Final = """
# the family
ann ann-has-a-long-token
Zo\xeb zoe-has-a-long-token
"""
SHARED: Final = "one-for-all-the-others"


def sent(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} | more


ANNS: Final = sent("ann-has-a-long-token")
ZOES: Final = sent("zoe-has-a-long-token")


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    """A file with the tokens of two users, and one that names none."""
    path = tmp_path / "tokens"
    path.write_text(f"{TOKENS}{SHARED}\n", encoding="utf-8")
    return str(path)


async def sessions_of(client: Client, headers: dict[str, str], q: str = "") -> list[str]:
    page = await client.call("GET", SESSIONS, headers=headers, params={"q": q} if q else {})
    return [session["id"] for session in page["sessions"]]


async def test_a_token_names_its_user(serve: Serve, tokens: str) -> None:
    client = await serve(api_token_file=tokens)
    nameless = sent(SHARED)
    anns, zoes, others = [
        await client.new_session(headers=each, title="Diary") for each in (ANNS, ZOES, nameless)
    ]
    document = {"title": "a.txt", "text": "Dear diary"}
    made = await client.call("POST", "/api/documents", status=201, headers=ANNS, json=document)
    with matrix() as cases:
        for headers, own in ((ANNS, anns), (ZOES, zoes), (nameless, others)):
            cases.expect([own], await sessions_of(client, headers), "list", own)
            cases.expect([own], await sessions_of(client, headers, "diary"), "search", own)
            listed = await client.call("GET", "/api/documents", headers=headers)
            expected = [made["id"]] if own == anns else []
            cases.expect(expected, [each["id"] for each in listed["documents"]], "documents", own)
    for headers in (ZOES, nameless):
        await client.call("GET", f"{SESSIONS}/{anns}", status=404, headers=headers)
    await client.call("GET", SESSIONS, status=401, headers=sent("ann"))
    await client.call("GET", SESSIONS, status=401)


async def test_the_user_of_a_proxy_counts_for_the_token_without_a_name_only(
    serve: Serve, tokens: str
) -> None:
    """So a user with a token cannot say to be another one, and the proxy has the token without a name."""
    client = await serve(api_token_file=tokens, trusted_user_header=HEADER)
    anns = await client.new_session(headers=ANNS)
    with matrix() as cases:
        for user in ("zo\xeb", "bob", "", "\ufffd", "n" * 300):
            cases.expect([anns], await sessions_of(client, ANNS | {HEADER: user}), "Ann as", user[:9])
        cases.expect([anns], await sessions_of(client, sent(SHARED, **ANN)), "Ann through the proxy")
        cases.expect([], await sessions_of(client, sent(SHARED, **BOB)), "Bob through the proxy")
    refusal = await client.call("GET", SESSIONS, status=401, headers=sent(SHARED))
    assert HEADER in refusal["error"]


async def test_without_a_nameless_token_the_header_does_not_count(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(TOKENS, encoding="utf-8")
    client = await serve(api_token_file=str(path), trusted_user_header=HEADER)
    anns = await client.new_session(headers=ANNS)
    assert await sessions_of(client, ANNS | BOB) == [anns]
    await client.call("GET", SESSIONS, status=401, headers=ANN)


async def test_a_request_has_the_token_of_one_user(serve: Serve, tokens: str) -> None:
    client = await serve(api_token_file=tokens)
    anns = await client.new_session(headers=ANNS)
    assert await sessions_of(client, ANNS | {"x-api-key": "ann-has-a-long-token"}) == [anns]
    assert await sessions_of(client, ANNS | {"x-api-key": "nothing"}) == [anns]
    for key in ("zoe-has-a-long-token", SHARED):
        refusal = await client.call("GET", SESSIONS, status=401, headers=ANNS | {"x-api-key": key})
        assert "tokens of two users" in refusal["error"]


async def test_the_first_token_is_the_one_of_a_login(start: Start, config: Config, tokens: str) -> None:
    app = create_app(replace(config, api_token_file=tokens))
    client = (await start(app)).client
    code = {"Login-Code": app[LOGIN_CODES].create()}
    assert await client.call("POST", "/api/login", headers=code) == {"token": "ann-has-a-long-token"}


# -- names in one form


@pytest.mark.parametrize("is_one", [False, True])
async def test_names_of_a_proxy_and_of_tokens_are_compared_in_one_form(
    serve: Serve, tokens: str, is_one: bool
) -> None:
    client = await serve(api_token_file=tokens, trusted_user_header=HEADER, fold_user_names=is_one)
    zoes = await client.new_session(headers=ZOES)
    document = {"title": "a.txt", "text": "Dear diary"}
    await client.call("POST", "/api/documents", status=201, headers=ZOES, json=document)
    with matrix() as cases:
        for name in ("ZOË", "zoe\u0308", "zoë", " ZoË "):
            headers = sent(SHARED, **{HEADER: name})
            expected = [zoes] if is_one else []
            cases.expect(expected, await sessions_of(client, headers), name, "sessions")
            listed = (await client.call("GET", "/api/documents", headers=headers))["documents"]
            cases.expect(len(expected), len(listed), name, "documents")
        cases.expect([], await sessions_of(client, sent(SHARED, **{HEADER: "zoe"})), "another letter")


async def test_what_was_stored_is_found_once_names_are_folded(start: Start, config: Config) -> None:
    sessions = {}
    async with Server(create_app(replace(config, trusted_user_header=HEADER))) as server:
        for name in ("Ann", "ANN", "ann", "Bob"):
            headers = {HEADER: name}
            sessions[name] = await server.client.new_session(headers=headers, title=f"Diary of {name}")
    folding = replace(config, trusted_user_header=HEADER, fold_user_names=True)
    client = (await start(create_app(folding))).client
    assert set(await sessions_of(client, ANN)) == {sessions[name] for name in ("Ann", "ANN", "ann")}
    assert await sessions_of(client, BOB) == [sessions["Bob"]]

    async def is_found() -> bool:
        async with client.http.get(client.url(SESSIONS), headers=ANN, params={"q": "diary"}) as response:
            body = await response.json()  # 503 while the index is being built again
        return {session["id"] for session in body.get("sessions", [])} == set(sessions.values())

    del sessions["Bob"]
    await until(is_found)
