"""Visitors and users of signed tokens, apart from each other: on every route, and within their limits."""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from time import time
from typing import Any, Final

import jwt
import pytest
from chat_client import Client, Serve, Start
from fake_ollama import FakeOllama, Gate, Script, answer
from matrix import matrix
from routes import FILE, NOT_FOUND, OPEN, Route, is_open, routes
from stored import rows

from chatproxy import Config, create_app
from chatproxy.errors import StartError
from chatproxy.values import VISITOR as VISITOR_NAME

SECRET: Final = "wE5vYqZr8xK2mT9bN4cL7hJ1gF6dS3aP0uQ-oI_"
OTHER_SECRET: Final = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0"
TOKEN: Final = "correct-horse-battery"
HEADER: Final = "X-Forwarded-User"
ADDRESS: Final = "X-Real-IP"
SITE: Final = "https://shop.example"
SESSIONS: Final = "/api/chat/sessions"
VISITORS: Final = "/api/chat/visitors"
DOCUMENTS: Final = "/api/documents"
RESPONSES: Final = "/v1/responses"
UI: Final = "/api/chat/ui"
PICTURE: Final = b64encode(b"the picture of Ann's cat, which is not for others").decode()
# Enough for a test of something else.
ROOMY: Final[Mapping[str, Any]] = {
    "visitors": True,
    "jwt_secret": SECRET,
    "visitor_sends_per_minute": 10_000,
    "visitors_per_minute": 10_000,
    "visitors_per_address": 10_000,
}

Headers = Mapping[str, str]


def signed(secret: str = SECRET, *, header: Mapping[str, Any] = {}, **claims: Any) -> str:
    given = {"sub": "ann", "exp": int(time()) + 600} | claims
    given = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(given, secret, algorithm="HS256", headers=dict(header))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def new_visitor(client: Client, **headers: str) -> dict[str, str]:
    """Return the headers of a new visitor's requests."""
    given = await client.call("POST", VISITORS, status=201, headers=headers)
    return bearer(given["token"])


async def refusal(client: Client, method: str, path: str, headers: Headers, **more: Any) -> tuple[int, str]:
    """Return status and code; the code is empty where there can be none."""
    async with client.http.request(method, client.url(path), headers=headers, **more) as response:
        body = await response.text()
    code = response.headers.get("X-Error-Code", "")
    if response.content_type == "application/json" and response.status >= 400 and body:
        told = json.loads(body)
        code = told["code"] if "code" in told else told["error"]["code"]
    return response.status, code


# -- every route


class Belongings:
    """What one visitor has, and the words that others must not find in any response."""

    SECRETS: Final = ("Zanzibar", "Xylophone", "quetzal", PICTURE)

    def __init__(self, headers: Headers, ids: Mapping[str, Any], chat: str) -> None:
        self.headers = headers
        self.ids = ids
        self.chat = chat
        self.secrets = (*self.SECRETS, ids["sid"], ids["rid"], chat)

    @classmethod
    async def make(cls, client: Client, headers: Headers) -> "Belongings":
        session = await client.new_session(headers=headers, title="Zanzibar")
        sent = await client.call(
            "POST",
            f"{SESSIONS}/{session}/messages",
            headers=headers,
            json={"message": "Xylophone", "images": [PICTURE]},
        )
        text = {"title": "Quetzal", "text": "A quetzal is a bird."}
        document = await client.call("POST", DOCUMENTS, status=201, headers=headers, json=text)
        kept = {"input": "Xylophone of a response", "store": True}
        response = await client.call("POST", RESPONSES, headers=headers, json=kept)
        chat = "the-chat-of-ann"
        async with client.http.post(client.url(UI), headers=headers, json=ui_message(chat)) as stream:
            assert "Hello" in await stream.text()
        ids = {"sid": session, "mid": sent["assistantMessageId"], "id": document["id"], "rid": response["id"]}
        return cls(headers, ids | {"question": sent["userMessageId"]}, chat)

    def place(self, path: str, **other: str) -> str:
        """Fill in the names in a path."""
        if path in OPEN:
            return path.format_map({"path": FILE})
        return path.replace("{mid}/images", "{question}/images").format_map({**NAMES, **self.ids, **other})

    async def now(self, client: Client) -> list[str]:
        """Return all of it, to be compared."""
        found = []
        for path in ("/api/chat/export", DOCUMENTS, f"{SESSIONS}?limit=100"):
            async with client.http.get(client.url(path), headers=self.headers) as response:
                assert response.status == 200
                found.append(await response.text())
        return found


def ui_message(chat: str, text: str = "Xylophone of a chat") -> dict[str, Any]:
    message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": chat, "messages": [message], "trigger": "submit-message"}


MISSING: Final = (404, "not_found")
FORBIDDEN: Final = (403, "not_for_visitors")
HELLO: Final = {"message": "Hello"}
RENAME: Final = {"title": "Mine now"}
# What another visitor gets: for each route that is not open, the query and body, and what is answered.
CASES: Final[Mapping[Route, tuple[Mapping[str, Any], tuple[int, str]]]] = {
    ("POST", SESSIONS): ({"json": {"title": "B"}}, (201, "")),
    ("GET", SESSIONS): ({}, (200, "")),
    ("GET", f"{SESSIONS}/{{sid}}"): ({}, MISSING),
    ("PATCH", f"{SESSIONS}/{{sid}}"): ({"json": RENAME}, MISSING),
    ("DELETE", f"{SESSIONS}/{{sid}}"): ({}, MISSING),
    ("GET", f"{SESSIONS}/{{sid}}/export"): ({}, MISSING),
    ("GET", "/api/chat/export"): ({}, (200, "")),
    ("POST", f"{SESSIONS}/import"): ({"json": {"messages": []}}, FORBIDDEN),
    ("POST", f"{SESSIONS}/{{sid}}/messages"): ({"json": HELLO}, MISSING),
    ("POST", f"{SESSIONS}/{{sid}}/messages/stream"): ({"json": HELLO}, MISSING),
    ("GET", f"{SESSIONS}/{{sid}}/messages"): ({}, MISSING),
    ("DELETE", f"{SESSIONS}/{{sid}}/messages/{{mid}}"): ({}, MISSING),
    ("GET", f"{SESSIONS}/{{sid}}/messages/{{mid}}/versions"): ({}, MISSING),
    ("GET", f"{SESSIONS}/{{sid}}/messages/{{mid}}/stream"): ({}, MISSING),
    ("GET", f"{SESSIONS}/{{sid}}/messages/{{mid}}/images/{{n}}"): ({}, MISSING),
    ("POST", f"{SESSIONS}/{{sid}}/messages/{{mid}}/cancel"): ({}, MISSING),
    ("POST", DOCUMENTS): ({"json": {"title": "B", "text": "B"}}, (201, "")),
    ("GET", DOCUMENTS): ({}, (200, "")),
    ("GET", f"{DOCUMENTS}/{{id}}"): ({}, MISSING),
    ("DELETE", f"{DOCUMENTS}/{{id}}"): ({}, MISSING),
    ("GET", f"{DOCUMENTS}/{{id}}/search"): ({"params": {"q": "bird"}}, MISSING),
    ("GET", "/api/models"): ({}, (200, "")),
    ("POST", UI): ({"json": ui_message("the-chat-of-ann", "Hello")}, MISSING),
    ("GET", f"{UI}/{{sid}}"): ({}, (200, "")),
    ("GET", f"{UI}/{{sid}}/stream"): ({}, (204, "")),
    ("POST", f"{UI}/{{sid}}/stop"): ({}, MISSING),
    ("POST", RESPONSES): ({"json": {"input": "Hello", "previous_response_id": "{rid}"}}, MISSING),
    ("GET", f"{RESPONSES}/{{rid}}"): ({}, MISSING),
    ("DELETE", f"{RESPONSES}/{{rid}}"): ({}, MISSING),
    ("POST", f"{RESPONSES}/{{rid}}/cancel"): ({}, MISSING),
    ("GET", f"{RESPONSES}/{{rid}}/input_items"): ({}, MISSING),
    ("GET", "/metrics"): ({}, FORBIDDEN),
    **{
        ("POST", path): ({"json": {"model": "words", "input": "Hello"}}, FORBIDDEN)
        for path in (
            *("/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/show"),
            *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/audio/transcriptions"),
            *("/v1/messages", "/v1/{rest}"),
        )
    },
    **{
        ("GET", path): ({}, FORBIDDEN)
        for path in (
            *("/api/version", "/api/tags", "/api/ps", "/api/status"),
            *("/v1/models", "/v1/models/{model}", "/v1/{rest}"),
        )
    },
    **{(method, NOT_FOUND): ({}, MISSING) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")},
}
NAMES: Final = {"path": "nothing", "model": "words", "rest": "files", "n": "0"}


def test_every_route_has_a_case() -> None:
    guarded = {each for each in routes() if not is_open(*each) and each[0] != "HEAD"}
    assert guarded == set(CASES)


@pytest.mark.parametrize("prefix", ["", "/x/y"], ids=["root", "mounted"])
async def test_nobody_sees_what_a_visitor_has_on_any_route(serve: Serve, sees: None, prefix: str) -> None:
    """Another visitor gets what the table says, and so does who has no token of this server's: nothing."""
    client = await serve(prefix, **ROOMY)
    ann = await Belongings.make(client, await new_visitor(client))
    bob = await new_visitor(client)
    before = await ann.now(client)
    assert all(any(secret.lower() in each.lower() for each in before) for secret in Belongings.SECRETS)
    named: dict[str, Any] = {"sub": "0" * 32, "visitor": True}
    strangers: Mapping[str, Headers] = {
        "without a token": {},
        "with an expired one": bearer(signed(exp=int(time()) - 3600, **named)),
        "with a forged one": bearer(signed(OTHER_SECRET, **named)),
    }
    with matrix() as cases:
        for method, path in routes():
            given, (status, code) = CASES.get(("GET" if method == "HEAD" else method, path), ({}, (200, "")))
            for place in {ann.place(path), ann.place(path, sid=ann.chat)}:
                body = json.dumps(given).replace("{rid}", ann.ids["rid"])
                for who, headers in {"another visitor": bob, **strangers}.items():
                    async with client.http.request(
                        method, client.url(place), headers=headers, **json.loads(body)
                    ) as response:
                        said = (await response.read()).decode(errors="replace") + str(response.headers)
                    case = method, place, who
                    # An error may say again what the request has named.
                    for secret in set(ann.secrets) - {each for each in ann.secrets if each in place + body}:
                        cases.check(secret.lower() not in said.lower(), f"{secret} in {said}", *case)
                    if is_open(method, path):
                        continue
                    expected = status if headers is bob else 401
                    is_again = (expected, response.status) == (201, 200)  # the second time
                    cases.check(response.status == expected or is_again, f"{response.status} {said}", *case)
                    if headers is bob and method != "HEAD":
                        cases.check(code in said, said, *case)
        cases.expect(before, await ann.now(client), "what the first visitor has")


async def test_what_a_visitor_names_in_a_body_or_query_has_to_be_its_own(serve: Serve, sees: None) -> None:
    client = await serve(**ROOMY)
    ann = await Belongings.make(client, await new_visitor(client))
    bob = await new_visitor(client)
    session = await client.new_session(headers=bob)
    messages = f"{SESSIONS}/{session}/messages"
    with matrix() as cases:
        body = HELLO | {"document_id": ann.ids["id"]}
        cases.expect(MISSING, await refusal(client, "POST", messages, bob, json=body), "a document")
        body = HELLO | {"replaces": ann.ids["mid"]}
        got = await refusal(client, "POST", messages, bob, json=body)
        cases.expect((422, "invalid"), got, "a message to replace")
        for path in (f"{messages}/{ann.ids['mid']}/stream", f"{messages}/{ann.ids['mid']}/versions"):
            cases.expect(MISSING, await refusal(client, "GET", path, bob), path)
        for word in ("Zanzibar", "Xylophone", "quetzal", "a", ""):
            found = await client.call("GET", SESSIONS, headers=bob, params={"q": word})
            cases.expect(
                [session] if not word else [], [each["id"] for each in found["sessions"]], "search", word
            )
        response = ann.ids["rid"].replace(ann.ids["rid"].split("_")[1], session)
        got = await refusal(client, "GET", f"{RESPONSES}/{response}", bob)
        cases.expect(MISSING, got, "a response of another session's number")


async def test_a_visitor_has_the_calls_for_what_is_its_own(serve: Serve, sees: None) -> None:
    client = await serve(**ROOMY)
    ann = await Belongings.make(client, await new_visitor(client))
    with matrix() as cases:
        for (method, path), (given, expected) in CASES.items():
            if expected == FORBIDDEN or path == NOT_FOUND or method == "DELETE":
                continue
            place = ann.place(path, **({"sid": ann.chat} if path.startswith(UI) else {}))
            more = json.loads(json.dumps(given).replace("{rid}", ann.ids["rid"]))
            status, code = await refusal(client, method, place, ann.headers, **more)
            cases.check(status in {200, 201, 204}, f"{status} {code}", method, place)


async def test_nothing_is_passed_on_for_a_visitor(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(**ROOMY)
    visitor = await new_visitor(client)
    asked = {"model": "words", "input": "Hello"}
    assert await refusal(client, "POST", RESPONSES, visitor, json=asked) == FORBIDDEN
    assert (await refusal(client, "POST", "/api/pull", visitor, json=asked))[0] == 403
    named = bearer(signed(sub="ann"))
    status, code = await refusal(client, "GET", "/api/version", named)
    assert status == 200, code  # as a user that a proxy names


# -- who is who


async def test_a_signed_token_names_the_user(serve: Serve) -> None:
    client = await serve(jwt_secret=SECRET)
    session = await client.new_session(headers=bearer(signed(sub="Ann")))
    with matrix() as cases:
        again = {
            "bearer": bearer(signed(sub="Ann", exp=int(time()) + 60)),
            "basic": {"Authorization": "Basic " + b64encode(f"x:{signed(sub='Ann')}".encode()).decode()},
            "x-api-key": {"x-api-key": signed(sub="Ann")},
            "beside a proxy's login": {"x-api-key": signed(sub="Ann"), "Authorization": "Basic eDp5"},
        }
        for way, headers in again.items():
            cases.expect((200, ""), await refusal(client, "GET", f"{SESSIONS}/{session}", headers), way)
        for name in ("ann", "Ann\u200b2", "Bob"):
            got = await refusal(client, "GET", f"{SESSIONS}/{session}", bearer(signed(sub=name)))
            cases.expect((401, "unauthorized") if not name.isprintable() else MISSING, got, name)
        two = {"x-api-key": signed(sub="Bob"), **bearer(signed(sub="Ann"))}
        cases.expect((401, "unauthorized"), await refusal(client, "GET", SESSIONS, two), "two users")


async def test_names_are_compared_as_those_of_a_proxy(serve: Serve) -> None:
    client = await serve(jwt_secret=SECRET, trusted_user_header=HEADER, fold_user_names=True)
    session = await client.new_session(headers=bearer(signed(sub="Ren\u00e9")))
    for headers in ({HEADER: "rene\u0301"}, bearer(signed(sub=" RENE\u0301 "))):
        assert await refusal(client, "GET", f"{SESSIONS}/{session}", headers) == (200, "")
    beside = {HEADER: "bob", **bearer(signed(sub="ren\u00e9"))}  # the token counts, as one of a file does
    assert await refusal(client, "GET", f"{SESSIONS}/{session}", beside) == (200, "")
    assert (await refusal(client, "GET", SESSIONS, {})) == (401, "unauthorized")
    stale = {HEADER: "rene\u0301", **bearer(signed(exp=1))}
    assert (await refusal(client, "GET", SESSIONS, stale)) == (401, "unauthorized")


async def test_nobody_can_be_called_as_a_visitor_is(serve: Serve) -> None:
    client = await serve(**ROOMY, trusted_user_header=HEADER)
    visitor = await new_visitor(client)
    session = await client.new_session(headers=visitor)
    claims = jwt.decode(visitor["Authorization"].removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    name = claims["sub"]
    assert re.fullmatch("[0-9a-f]{32}", name)
    assert claims["visitor"] is True
    with matrix() as cases:
        for other in (name, f"{VISITOR_NAME}{name}", f"visitor:{name}", f" visitor:{name}"):
            got = await refusal(client, "GET", f"{SESSIONS}/{session}", bearer(signed(sub=other)))
            cases.expect((401, "unauthorized") if "\t" in other.strip() else MISSING, got, "signed", other)
            got = await refusal(client, "GET", f"{SESSIONS}/{session}", {HEADER: other})
            cases.expect((401, "unauthorized") if "\t" in other.strip() else MISSING, got, "header", other)


async def test_a_token_of_the_server_opens_all_as_before(serve: Serve) -> None:
    client = await serve(**ROOMY, api_token=TOKEN)
    visitor, own = await new_visitor(client), bearer(TOKEN)
    theirs = await client.new_session(headers=visitor)
    with matrix() as cases:
        for path in (SESSIONS, "/metrics", "/api/version", "/v1/models"):
            cases.expect((200, ""), await refusal(client, "GET", path, own), path)
        cases.expect(MISSING, await refusal(client, "GET", f"{SESSIONS}/{theirs}", own), "a visitor's")
        both = {**own, "x-api-key": visitor["Authorization"].removeprefix("Bearer ")}
        cases.expect((401, "unauthorized"), await refusal(client, "GET", SESSIONS, both), "both")
        cases.expect((401, "unauthorized"), await refusal(client, "GET", SESSIONS, {}), "none")


async def test_without_visitors_a_visitor_s_token_opens_nothing(serve: Serve) -> None:
    client = await serve(jwt_secret=SECRET)
    token = bearer(signed(sub="a", visitor=True))
    assert await refusal(client, "GET", SESSIONS, token) == (401, "unauthorized")
    assert await refusal(client, "POST", VISITORS, token) == MISSING


@pytest.mark.parametrize("secret", ["", None])
def test_visitors_need_a_secret(config: Config, secret: str | None) -> None:
    with pytest.raises(StartError, match="VISITORS needs a secret"):
        create_app(replace(config, visitors=True))


# -- tokens of visitors


async def test_a_visitor_s_token_is_renewed_for_the_same_visitor(serve: Serve) -> None:
    client = await serve(**ROOMY, cors_origins=(SITE,))
    visitor = await new_visitor(client, Origin=SITE)
    session = await client.new_session(headers=visitor)
    again = await client.call("POST", VISITORS, headers=visitor)
    assert await refusal(client, "GET", f"{SESSIONS}/{session}", bearer(again["token"])) == (200, "")
    with matrix() as cases:
        for what, token in {
            "expired": signed(sub="0" * 32, visitor=True, exp=1),
            "forged": signed(OTHER_SECRET, sub="0" * 32, visitor=True),
            "a user's": signed(),
        }.items():
            got = await refusal(client, "POST", VISITORS, bearer(token))
            cases.expect((401, "unauthorized"), got, what)
        got = await refusal(client, "POST", VISITORS, {"Origin": "https://evil.example"})
        cases.expect((403, "origin_not_allowed"), got, "another origin")
        refused = await client.call("GET", SESSIONS, status=401)
        cases.expect(True, refused["visitors"], "whether there are visitors")


def content(config: Config) -> list[int]:
    """Return how many rows there are of what a visitor may make."""
    tables = ("session", "message", "document", "image", "unindexed")
    return [int(rows(config.database, f"SELECT count(*) FROM {name}")[0][0]) for name in tables]


async def test_a_visitor_who_makes_nothing_leaves_nothing(serve: Serve, config: Config) -> None:
    client = await serve(**ROOMY)
    before = content(config)
    for _ in range(3):
        visitor = await new_visitor(client)
        await client.call("GET", SESSIONS, headers=visitor)
        await client.call("POST", VISITORS, headers=visitor)
    assert content(config) == before
    await client.new_session(headers=await new_visitor(client))
    assert content(config) != before


async def test_no_token_is_in_the_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    client = await serve(**ROOMY)
    visitor = await new_visitor(client)
    forged = signed(OTHER_SECRET)
    await refusal(client, "GET", SESSIONS, bearer(forged))
    await client.call(
        "POST",
        f"{SESSIONS}/{await client.new_session(headers=visitor)}/messages",
        headers=visitor,
        json=HELLO,
    )
    assert forged not in caplog.text
    assert visitor["Authorization"].removeprefix("Bearer ") not in caplog.text


# -- limits


async def limited(client: Client, method: str, path: str, headers: Headers, **more: Any) -> int:
    """Return the `Retry-After` of a refusal because of a limit, in seconds."""
    async with client.http.request(method, client.url(path), headers=headers, **more) as response:
        told = await response.json()
        assert (response.status, told["code"]) == (429, "visitor_limit"), told
        assert re.search(r"(wait|delete|try again)", told["error"]), told
        return int(response.headers["Retry-After"])


async def test_an_address_gets_so_many_visitors_a_minute_and_all_together_so_many(serve: Serve) -> None:
    settings: dict[str, Any] = {
        "visitors_per_address": 3,
        "visitors_per_minute": 5,
        "trusted_address_header": ADDRESS,
    }
    client = await serve(visitors=True, jwt_secret=SECRET, **settings)
    visitor = {}
    for _ in range(3):
        visitor = await new_visitor(client, **{ADDRESS: "192.0.2.1"})
    for same in ("192.0.2.1", "evil, 192.0.2.1", "203.0.113.9, 192.0.2.1", "::ffff:192.0.2.1"):
        assert 0 < await limited(client, "POST", VISITORS, {ADDRESS: same}) <= 20
    for network in ("2001:db8::1", "2001:db8::ffff:2"):
        await new_visitor(client, **{ADDRESS: network})
    assert 0 < await limited(client, "POST", VISITORS, {ADDRESS: "192.0.2.2"}) <= 12
    await client.call("POST", VISITORS, headers=visitor)  # those who are there go on


async def test_without_a_proxy_the_header_counts_for_nothing(serve: Serve) -> None:
    client = await serve(visitors=True, jwt_secret=SECRET, visitors_per_address=1)
    await new_visitor(client, **{ADDRESS: "192.0.2.1", "X-Forwarded-For": "192.0.2.1"})
    await limited(client, "POST", VISITORS, {ADDRESS: "192.0.2.2", "X-Forwarded-For": "192.0.2.2"})


async def test_a_visitor_sends_so_much_a_minute(serve: Serve) -> None:
    client = await serve(visitors=True, jwt_secret=SECRET, visitor_sends_per_minute=3)
    one, other = await new_visitor(client), await new_visitor(client)
    session = await client.new_session(headers=one)
    path = f"{SESSIONS}/{session}/messages"
    sent = await client.call("POST", path, headers=one, json=HELLO)
    await client.call("PATCH", f"{SESSIONS}/{session}", headers=one, json=RENAME)
    with matrix() as cases:
        for method, place, body in (
            ("POST", path, HELLO),
            ("POST", f"{path}/stream", HELLO),
            ("POST", SESSIONS, {}),
            ("POST", DOCUMENTS, {"title": "a", "text": "a"}),
        ):
            wait = await limited(client, method, place, one, json=body)
            cases.check(0 < wait <= 20, wait, method, place)
        for method, place in (
            ("GET", path),
            ("POST", f"{path}/{sent['assistantMessageId']}/cancel"),
            ("POST", VISITORS),
            ("DELETE", f"{SESSIONS}/{session}"),
        ):
            status, code = await refusal(client, method, place, one)
            cases.check(status in {200, 204}, f"{status} {code}", method, place)
    await client.new_session(headers=other)


async def test_many_tokens_of_one_address_do_not_send_more(serve: Serve) -> None:
    """Tokens can be gathered in time; what is sent with them is what counts."""
    settings: dict[str, Any] = {"visitors_per_address": 2, "visitor_sends_per_minute": 3}
    client = await serve(visitors=True, jwt_secret=SECRET, **settings)
    gathered = [bearer(signed(sub=f"{number:032x}", visitor=True)) for number in range(4)]
    sent = [await refusal(client, "POST", SESSIONS, visitor) for visitor in gathered for _ in range(3)]
    assert sent == [(201, "")] * 6 + [(429, "visitor_limit")] * 6


async def test_a_visitor_has_so_many_answers_at_once(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(**ROOMY, visitor_answers=1)
    visitor = await new_visitor(client)
    paths = [f"{SESSIONS}/{await client.new_session(headers=visitor)}/messages/stream" for _ in range(2)]
    gate = Gate()
    gate.let()
    fake.script = Script(answer("Hello again"), gate=gate)
    async with client.stream("POST", paths[0], headers=visitor, json=HELLO) as first:
        await first.until("chunk")
        assert await limited(client, "POST", paths[1], visitor, json=HELLO) == 5
        kept = {"input": "Hello", "store": True}
        async with client.http.post(client.url(RESPONSES), headers=visitor, json=kept) as response:
            assert response.status == 429
        other = await new_visitor(client)
        free = f"{SESSIONS}/{await client.new_session(headers=other)}/messages/stream"
        async with client.stream("POST", free, headers=other, json=HELLO) as another:
            await another.until("start")
            gate.open()
            await another.rest()
        await first.rest()
    async with client.stream("POST", paths[1], headers=visitor, json=HELLO) as second:
        assert (await second.rest())[-1]["type"] == "done"
    sessions = await client.call("GET", SESSIONS, headers=visitor)
    assert len(sessions["sessions"]) == 2  # nothing is left of what was refused


async def test_a_visitor_has_so_many_sessions_however_they_are_made(serve: Serve) -> None:
    client = await serve(**ROOMY, visitor_sessions=3)
    visitor = await new_visitor(client)
    made = await asyncio.gather(*(refusal(client, "POST", SESSIONS, visitor) for _ in range(8)))
    assert sorted(made) == [(201, "")] * 3 + [(429, "visitor_limit")] * 5
    history = ui_message("new-chat")
    history["messages"] = [
        {"id": "m0", "role": "user", "parts": [{"type": "text", "text": "Earlier"}]},
        {"id": "m00", "role": "assistant", "parts": [{"type": "text", "text": "Answer"}]},
        *history["messages"],
    ]
    with matrix() as cases:
        for path, body in (
            (UI, ui_message("new-chat")),
            (UI, history),
            (RESPONSES, {"input": "Hello", "store": True}),
        ):
            got = await refusal(client, "POST", path, visitor, json=body)
            cases.expect((429, "visitor_limit"), got, path)
    sessions = (await client.call("GET", SESSIONS, headers=visitor))["sessions"]
    assert len(sessions) == 3
    await client.call("DELETE", f"{SESSIONS}/{sessions[0]['id']}", status=204, headers=visitor)
    await client.new_session(headers=visitor)
    named = bearer(signed())
    for _ in range(5):
        await client.new_session(headers=named)  # users have no such limit


async def test_a_visitor_keeps_so_many_bytes_whatever_they_are(serve: Serve, sees: None) -> None:
    client = await serve(**ROOMY, visitor_bytes=50_000)
    visitor = await new_visitor(client)
    session = await client.new_session(headers=visitor)
    path = f"{SESSIONS}/{session}/messages"
    picture = b64encode(b"p" * 20_000).decode()
    await client.call("POST", path, headers=visitor, json={"message": "Look", "images": [picture]})
    document = {"title": "a", "text": "d" * 20_000}
    made = await client.call("POST", DOCUMENTS, status=201, headers=visitor, json=document)
    long = "x" * 10_000
    history = ui_message("new-chat", long)
    turns: list[Any] = [{"role": "user", "content": long}, {"role": "assistant", "content": long}]
    with matrix() as cases:
        for place, body in (
            (path, {"message": long}),
            (f"{path}/stream", {"message": "Look", "images": [picture]}),
            (DOCUMENTS, {"title": "b", "text": long}),
            (UI, history),
            (RESPONSES, {"input": [*turns, {"role": "user", "content": "Hello"}], "store": True}),
            (SESSIONS, {"system": long}),
        ):
            got = await refusal(client, "POST", place, visitor, json=body)
            cases.expect((429, "visitor_limit"), got, place)
    await client.call("DELETE", f"{DOCUMENTS}/{made['id']}", status=204, headers=visitor)
    await client.call("POST", path, headers=visitor, json={"message": long})


async def test_visitors_take_turns(start: Start, config: Config, fake: FakeOllama) -> None:
    """One who has waited for nothing is before the second answer of another."""
    app = create_app(replace(config, **ROOMY, visitor_answers=3, max_concurrent_generations=1))
    client = (await start(app)).client
    gate = Gate()
    gate.let()
    fake.script = Script(answer("Hello again"), gate=gate)
    busy, late = await new_visitor(client), await new_visitor(client)

    async def path(visitor: Headers) -> str:
        return f"{SESSIONS}/{await client.new_session(headers=visitor)}/messages/stream"

    async with client.stream("POST", await path(busy), headers=busy, json=HELLO) as first:
        await first.until("chunk")
        async with client.stream("POST", await path(busy), headers=busy, json=HELLO) as second:
            assert (await second.until("status"))["position"] == 1
            async with client.stream("POST", await path(late), headers=late, json=HELLO) as third:
                assert (await third.until("status"))["position"] == 1
                gate.open()
                await third.rest()
                await second.rest()
        await first.rest()


async def test_a_stream_is_resumed_by_its_visitor_only(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(**ROOMY)
    ann, bob = await new_visitor(client), await new_visitor(client)
    session = await client.new_session(headers=ann)
    gate = Gate()
    gate.let()
    fake.script = Script(answer("Hello again"), gate=gate)
    path = f"{SESSIONS}/{session}/messages"
    async with client.stream("POST", f"{path}/stream", headers=ann, json=HELLO) as stream:
        await stream.until("chunk")
        place = f"{path}/{stream.answer_id}"
        cursor = stream.cursor
    for call in (("GET", f"{place}/stream"), ("POST", f"{place}/cancel")):
        assert await refusal(client, *call, bob) == MISSING
    renewed = bearer((await client.call("POST", VISITORS, headers=ann))["token"])
    gate.open()
    async with client.stream("GET", f"{place}/stream?after={cursor}", headers=renewed) as rest:
        await rest.rest()
    assert rest.text() == " again"


async def test_clients_behind_a_proxy_take_turns_by_the_address_that_it_names(
    serve: Serve, fake: FakeOllama
) -> None:
    client = await serve(trusted_address_header=ADDRESS, max_concurrent_generations=1)
    gate = Gate()
    gate.let()
    fake.script = Script(answer("Hello again"), gate=gate)
    path = f"{SESSIONS}/{{}}/messages/stream"
    busy, late = {ADDRESS: "192.0.2.1"}, {ADDRESS: "192.0.2.2"}
    paths = [path.format(await client.new_session()) for _ in range(3)]
    async with client.stream("POST", paths[0], headers=busy, json=HELLO) as first:
        await first.until("chunk")
        async with client.stream("POST", paths[1], headers=busy, json=HELLO) as second:
            assert (await second.until("status"))["position"] == 1
            async with client.stream("POST", paths[2], headers=late, json=HELLO) as third:
                assert (await third.until("status"))["position"] == 1
                gate.open()
                for stream in (third, second, first):
                    await stream.rest()
