"""Whatever a client sends, it is told what is wrong with it: never a 500, and nothing is stored."""

import asyncio
import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any, Final

import pytest
import pytest_asyncio
from chat_client import Client, serving
from fake_ollama import FakeOllama
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from chatproxy import Config

JSON: Final = {"Content-Type": "application/json"}
BODIES: Final = ("create", "change", "messages", "stream", "documents")
REFUSALS: Final = {400, 404, 413, 415, 422}
MAX_BODY: Final = 16 * 1024 * 1024
MAX_MESSAGE: Final = 256 * 1024


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """One server for all of it: what one test breaks, the next ones find broken."""
    database = f"sqlite:///{tmp_path_factory.mktemp('bad')}/chat.db"
    config = Config(
        ollama_host=fake.url, database_url=database, default_model="gemma3:270m", context_window=1_000_000
    )
    async with serving(config) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def session(client: Client) -> AsyncIterator[str]:
    session = await client.new_session(title="as it was")
    yield session
    await client.call("DELETE", f"/api/chat/sessions/{session}", status=204)


def endpoint(name: str, session: str) -> tuple[str, str]:
    """Method and path of a call that takes a body."""
    path = f"/api/chat/sessions/{session}"
    return {
        "create": ("POST", "/api/chat/sessions"),
        "documents": ("POST", "/api/documents"),
        "change": ("PATCH", path),
        "messages": ("POST", f"{path}/messages"),
        "stream": ("POST", f"{path}/messages/stream"),
    }[name]


async def sent(client: Client, method: str, path: str, **more: Any) -> tuple[int, Any]:
    """Status and JSON of an answer, which has to have the form of an error where it is one."""
    async with client.http.request(method, client.url(path), **more) as response:
        text = await response.text()
        if response.status < 400:
            return response.status, text
        assert response.content_type == "application/json"
        body = json.loads(text)
        assert response.status in REFUSALS, body
        assert isinstance(body["error"], str)
        assert isinstance(body["code"], str)
        assert ("field" in body) == (body["code"] in {"invalid", "option_not_allowed"}), body
        return response.status, body


async def stored(client: Client) -> Any:
    """Everything that there is."""
    sessions = (await client.call("GET", "/api/chat/sessions"))["sessions"]
    documents = await client.call("GET", "/api/documents")
    return documents, [(session, await client.messages(session["id"])) for session in sessions]


async def refused(client: Client, session: str, name: str, **more: Any) -> tuple[int, str]:
    """Status and code of a refusal that stored nothing."""
    before = await stored(client)
    method, path = endpoint(name, session)
    status, body = await sent(client, method, path, **more)
    assert status >= 400, body
    assert await stored(client) == before
    return status, body["code"]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"message": "a", "title": "a"',
        b'{"message": "a", "title": "a", "text": "a"} {}',
        b"{'message': 'a', 'title': 'a'}",
        b'{"message": NaN, "title": NaN}',
        b'{"options": {"a": NaN}, "message": "a", "title": NaN}',
        b'{"message": "\\ud800", "title": "\\ud800"}',
        b'{"message": "\xed\xa0\x80", "title": "\xed\xa0\x80"}',
        b'{"message": "\xff", "title": "\xff"}',
        b'{"message": "\x00", "title": "\x00"}',
        b'{"message": "a\nb", "title": "a\nb"}',
        b"\xef\xbb\xbf" + b'{"message": "a", "title": "a"}',
        '{"message": "a", "title": "a"}'.encode("utf-16"),
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
async def test_what_is_not_json_in_utf8_is_malformed(
    client: Client, session: str, name: str, body: bytes
) -> None:
    status, code = await refused(client, session, name, data=body, headers=JSON)
    assert (status, code) == (400, "malformed")


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    "opening", [b"[", b'{"x":', b'{"options":', b'{"message":"a","options":{"a":', b'{"title":[']
)
async def test_nesting_without_end_is_refused(
    client: Client, session: str, name: str, opening: bytes
) -> None:
    status, _ = await refused(client, session, name, data=BytesIO(opening * 100_000), headers=JSON)
    assert status in {400, 422}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("body", ["[]", "[{}]", '"text"', "null", "true", "1", "-0.5", "1e999", "9" * 5000])
async def test_a_body_that_is_no_object_is_invalid(
    client: Client, session: str, name: str, body: str
) -> None:
    assert await refused(client, session, name, data=body, headers=JSON) == (422, "invalid")


@pytest.mark.parametrize("name", ["change", "messages", "stream"])
async def test_an_empty_body_is_malformed(client: Client, session: str, name: str) -> None:
    assert await refused(client, session, name, data=b"", headers=JSON) == (400, "malformed")


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": "text/plain, application/json"},
        {"Content-Type": "application/json; charset=klingon"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json; charset=latin-1"},
        JSON | {"Content-Encoding": "gzip"},
        JSON | {"Content-Encoding": "deflate, gzip"},
        JSON | {"Content-Encoding": "rot13"},
    ],
    ids=str,
)
async def test_only_plain_json_is_taken(
    client: Client, session: str, name: str, headers: dict[str, str]
) -> None:
    if name == "documents" and "multipart" in headers["Content-Type"]:
        return  # an upload, which has its own form
    body = b'{"message": "a", "title": "a", "text": "a"}'
    more: dict[str, Any] = {"data": body, "headers": headers, "skip_auto_headers": ["Content-Type"]}
    assert await refused(client, session, name, **more) == (415, "unsupported_media_type")


@pytest.mark.parametrize("name", BODIES)
async def test_no_content_type_is_not_json(client: Client, session: str, name: str) -> None:
    more: dict[str, Any] = {"data": b'{"message": "a"}', "skip_auto_headers": ["Content-Type"]}
    assert await refused(client, session, name, **more) == (415, "unsupported_media_type")


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", '"utf-8"'])
async def test_utf8_may_be_said(client: Client, session: str, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    changed = await client.call(
        "PATCH", f"/api/chat/sessions/{session}", data='{"title": "ü"}'.encode(), headers=headers
    )
    assert changed["title"] == "ü"


WRONG: Final[list[tuple[str, Any]]] = [
    ("message", None),
    ("message", 1),
    ("message", ["a"]),
    ("message", {}),
    ("message", True),
    ("message", ""),
    ("document_id", "1"),
    ("document_id", 1.5),
    ("document_id", 0),
    ("document_id", -1),
    ("documentId", 2**63),
    ("documentId", 10**30),
    ("documentId", True),
    ("model", 1),
    ("model", ""),
    ("model", "m" * 513),
    ("system", ["a"]),
    ("images", "YWJj"),
    ("images", {}),
    ("options", []),
    ("options", "a"),
    ("think", "maybe"),
    ("think", 1),
    ("think", []),
    ("format", 1),
    ("format", []),
    ("format", True),
    ("keep_alive", True),
    ("keep_alive", {}),
    ("clientMessageId", ""),
    ("clientMessageId", "a" * 65),
    ("clientMessageId", "a b"),
    ("clientMessageId", "a\n"),
    ("clientMessageId", "é"),
    ("clientMessageId", 1),
    ("replaces", 0),
    ("replaces", -1),
    ("replaces", 2**63),
    ("replaces", 10**30),
    ("replaces", 1.5),
    ("replaces", "1"),
    ("replaces", True),
]


@pytest.mark.parametrize("name", ["messages", "stream"])
@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda value: str(value)[:30])
async def test_a_field_that_cannot_be_used_is_named(
    client: Client, session: str, name: str, field: str, value: object
) -> None:
    method, path = endpoint(name, session)
    before = await stored(client)
    status, body = await sent(client, method, path, json={"message": "a"} | {field: value})
    assert (status, body["code"], body["field"]) == (422, "invalid", field)
    assert await stored(client) == before


@pytest.mark.parametrize("name", ["create", "change"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "t" * 501),
        ("title", 1),
        ("title", ["a"]),
        ("model", ""),
        ("model", {}),
        ("system", 1),
        ("system", False),
    ],
)
async def test_a_session_field_that_cannot_be_used_is_named(
    client: Client, session: str, name: str, field: str, value: object
) -> None:
    before = await stored(client)
    status, body = await sent(client, *endpoint(name, session), json={field: value})
    assert (status, body["code"], body["field"]) == (422, "invalid", field)
    assert await stored(client) == before


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "9" * 5000, f"0.{'1' * 5000}e400", "1" * 400 + ".5"], ids=lambda n: n[:8]
)
@pytest.mark.parametrize("place", ["{}", '{{"a": {}}}', '{{"a": [[{}]]}}'])
async def test_numbers_beyond_all_bounds_are_refused(
    client: Client, session: str, place: str, number: str
) -> None:
    field = "options" if "a" in place else "keep_alive"
    body = f'{{"message": "a", "{field}": {place.format(number)}}}'
    status, _ = await refused(client, session, "stream", data=body, headers=JSON)
    assert status in {400, 422}


@pytest.mark.parametrize("image", ["%", "YWJ", "YW Jj", "data:image/png;base64,YWJj", "YWJj\n", "_-8=", "é"])
async def test_an_image_that_is_not_base64_is_named(client: Client, session: str, image: str) -> None:
    before = await stored(client)
    _, path = endpoint("stream", session)
    status, body = await sent(client, "POST", path, json={"message": "a", "images": ["YWJj", image]})
    assert (status, body["code"], body["field"]) == (422, "invalid", "images[1]")
    assert await stored(client) == before


@pytest.mark.parametrize("option", ["num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"])
async def test_an_option_that_reloads_the_model_is_refused_with_the_place_to_set_it(
    client: Client, session: str, option: str
) -> None:
    before = await stored(client)
    for name in ("messages", "stream"):
        body = {"message": "a", "options": {"seed": 1, option: 1}}
        status, told = await sent(client, *endpoint(name, session), json=body)
        assert (status, told["code"]) == (422, "option_not_allowed")
        assert option in told["error"]
        assert "Modelfile" in told["error"]
    assert await stored(client) == before


async def test_a_bad_body_is_told_before_anything_else_that_is_wrong(client: Client, session: str) -> None:
    await client.ask(session, clientMessageId="once")
    for body in ({"images": ["%"]}, {"options": {"num_ctx": 1}}, {"think": 7}):
        more = {"message": "a", "clientMessageId": "once", "replaces": 999, "document_id": 999, **body}
        told = await client.refused(session, 422, json=more)
        assert told["code"] in {"invalid", "option_not_allowed"}
        assert told["field"] not in {"replaces", "document_id"}


# -- sizes


@pytest.mark.parametrize(
    "text", ["a" * MAX_MESSAGE, "é" * (MAX_MESSAGE // 2)], ids=["ascii", "two bytes each"]
)
async def test_a_message_may_have_256_kib_and_not_a_byte_more(
    client: Client, session: str, text: str
) -> None:
    assert await refused(client, session, "stream", json={"message": text + "a"}) == (413, "too_large")
    await client.ask(session, text)
    assert (await client.messages(session))[0]["content"] == text


def padded(size: int) -> bytes:
    """A valid body of that many bytes."""
    body = b'{"message": "a", "title": "a", "text": "a"}'
    return body + b" " * (size - len(body))


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Sent chunked, with no Content-Length that could give its size away."""
    for start in range(0, len(body), 1 << 20):
        yield body[start : start + (1 << 20)]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_more_than_16_mib_is_too_large(
    client: Client, session: str, name: str, chunked: bool
) -> None:
    body = padded(MAX_BODY + 1)
    data = in_pieces(body) if chunked else BytesIO(body)
    assert await refused(client, session, name, data=data, headers=JSON) == (413, "too_large")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_16_mib_is_taken(client: Client, session: str, chunked: bool) -> None:
    body = padded(MAX_BODY)
    data = in_pieces(body) if chunked else BytesIO(body)
    await client.call("PATCH", f"/api/chat/sessions/{session}", data=data, headers=JSON)


# -- what looks bad and is allowed


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "\x01\x1b[2J\x7f", "\r\n", "\u2028\u2029\x85", "\ufffe\U0010ffff"]
)
async def test_control_characters_are_kept_as_they_are(
    client: Client, fake: FakeOllama, session: str, text: str
) -> None:
    await client.call("PATCH", f"/api/chat/sessions/{session}", json={"title": text, "system": text})
    await client.ask(session, text)
    shown = await client.session(session)
    assert (shown["title"], shown["system"]) == (text, text)
    assert (await client.messages(session))[0]["content"] == text
    assert [turn["content"] for turn in fake.requests[-1]["messages"]] == [text, text]


async def test_unknown_fields_are_ignored(client: Client) -> None:
    session = await client.new_session(title="a", colour="red", id="mine", messages=[{"role": 1}])
    stream = await client.ask(session, colour=["red"], temperature=None)
    assert stream.last["type"] == "done"


async def test_null_is_as_good_as_absent(client: Client, session: str) -> None:
    names = ("model", "system", "images", "options", "think", "format", "keep_alive", "clientMessageId")
    nothing: dict[str, Any] = dict.fromkeys((*names, "replaces", "document_id"))
    stream = await client.ask(session, **nothing)
    assert stream.last["type"] == "done"


# -- addresses

NO_MESSAGE: Final = [
    "0",
    "-1",
    "01",
    "+1",
    "1.5",
    "abc",
    "%00",
    "٣",
    str(2**63),
    str(10**30),
    "9" * 4000,
    "1%20",
]


@pytest.mark.parametrize("message", NO_MESSAGE)
@pytest.mark.parametrize(("method", "call"), [("GET", "stream"), ("POST", "cancel")])
async def test_what_can_be_no_message_is_not_found(
    client: Client, session: str, method: str, call: str, message: str
) -> None:
    path = f"/api/chat/sessions/{session}/messages/{message}/{call}"
    status, body = await sent(client, method, path)
    assert (status, body["code"]) == (404, "not_found")


NO_SESSION: Final = [
    "%00",
    "a%00b",
    "%FF",
    "%ED%A0%80",
    "%2e%2e",
    "..%2F",
    "%0d%0aX:1",
    "'--",
    "s" * 7000,
    "%F0%9F%98%80",
]
SESSION_CALLS: Final = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("GET", "/messages"),
    ("POST", "/messages"),
    ("POST", "/messages/stream"),
    ("GET", "/messages/1/stream"),
    ("POST", "/messages/1/cancel"),
    ("GET", "/export"),
]


@pytest.mark.parametrize("sid", NO_SESSION, ids=lambda sid: sid[:12])
@pytest.mark.parametrize(("method", "rest"), SESSION_CALLS)
async def test_what_can_be_no_session_is_not_found(client: Client, method: str, rest: str, sid: str) -> None:
    url = URL(f"{client.base}/api/chat/sessions/{sid}{rest}", encoded=True)
    async with client.http.request(method, url) as response:
        body = await response.json()
        assert (response.status, body["code"]) == (404, "not_found")


async def raw(client: Client, head: bytes, body: bytes = b"") -> tuple[int, bytes]:
    """What no decent client can send; status and body of what comes back. `head` ends where the headers
    that every request has are added."""
    host, _, port = client.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n" + body)
    async with asyncio.timeout(10):
        status = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(status), answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/chat/sessions/\xff\xfe HTTP/1.1",
        b"GET /api/chat/sessions/\xed\xa0\x80/messages HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /api/chat/sessions?q=\xff HTTP/1.1",
        b"GET /api/chat/sessions?before=\xff HTTP/1.1",
        b"GET /api/chat/sessions?limit=\xff HTTP/1.1",
        b"OPTIONS / HTTP/1.1\r\nOrigin: http://\xff\r\nAccess-Control-Request-Method: GET",
        b"OPTIONS / HTTP/1.1\r\nOrigin: http://a\r\nAccess-Control-Request-Method: \xff",
        b"GET / HTTP/1.1\r\nX-Request-Id: \xff",
        b"POST /api/chat/sessions HTTP/1.1\r\nContent-Type: \xff\r\nContent-Length: 2",
        b"POST /api/chat/sessions HTTP/1.1\r\nContent-Type: text/\xff;charset=\xff\r\nContent-Length: 2",
    ],
    ids=lambda head: head[:50].decode("latin-1"),
)
async def test_bytes_that_are_not_utf8_are_no_fault_of_the_server(client: Client, head: bytes) -> None:
    status, body = await raw(client, head, b"{}" if head.startswith(b"POST") else b"")
    assert status in {200, *REFUSALS, 403}, body


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_whose_chunks_are_broken_is_malformed(client: Client, session: str, name: str) -> None:
    method, path = endpoint(name, session)
    head = f"{method} {path} HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
    for body in (b"ZZ\r\n", b"5\r\n{    \r\nZZ\r\n"):
        status, answer = await raw(client, head.encode(), body)
        assert status == 400, answer
    assert (await client.session(session))["title"] == "as it was"


@pytest.mark.parametrize(
    "limit", ["0", "-1", "501", "1.5", "abc", "1e2", "٣", " 5", "9" * 5000, "%00", "1,2"]
)
@pytest.mark.parametrize("listing", ["", "/messages"])
async def test_a_limit_is_a_whole_number_from_1_to_500(
    client: Client, session: str, listing: str, limit: str
) -> None:
    path = f"/api/chat/sessions/{session}{listing}" if listing else "/api/chat/sessions"
    status, body = await sent(client, "GET", path, params={"limit": limit})
    assert (status, body["code"], body["field"]) == (422, "invalid", "limit")


CURSORS: Final = [
    "0",
    "-1",
    "a",
    "1.5",
    "\0",
    "9" * 5000,
    "2026-01-01T00:00:00.000Z",
    "2026-01-01T00:00:00.000Z.-1",
]


@pytest.mark.parametrize("before", CURSORS, ids=lambda text: text[:30])
@pytest.mark.parametrize("listing", ["", "/messages"])
async def test_a_place_that_no_page_named_is_an_invalid_cursor(
    client: Client, session: str, listing: str, before: str
) -> None:
    path = f"/api/chat/sessions/{session}{listing}" if listing else "/api/chat/sessions"
    status, body = await sent(client, "GET", path, params={"before": before})
    assert (status, body["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "after",
    ["a", "1", "1.", ".1", "-1.0", "1.1.1", "0.0.END", "0.0 ", "٣.٣", "\0", "9" * 5000, f"0.{10**30}"],
)
async def test_a_cursor_that_no_event_carried_is_invalid(client: Client, session: str, after: str) -> None:
    stream = await client.ask(session)
    path = f"/api/chat/sessions/{session}/messages/{stream.last['assistantMessageId']}/stream"
    status, body = await sent(client, "GET", path, params={"after": after})
    assert (status, body["code"]) == (400, "invalid_cursor")


HOSTILE: Final = [
    '"',
    '""',
    "*",
    "a*",
    "AND",
    "a OR",
    "NEAR(",
    "title:a",
    "^a",
    "-",
    "(",
    "\0",
    "a\0b",
    "'; DROP TABLE",
]


@pytest.mark.parametrize(
    "q", [*HOSTILE, "{a b}: c", "\ufffd", "a " * 2000, "é" * 1000, "\\", "%", "+", "\n", " "]
)
async def test_a_hostile_search_is_only_a_search(client: Client, session: str, q: str) -> None:
    async with client.http.get(client.url("/api/chat/sessions"), params={"q": q}) as response:
        assert response.status == 200, await response.text()
        assert set(await response.json()) == {"sessions", "next"}
    assert (await client.session(session))["title"] == "as it was"


# -- anything at all

ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS: Final = sorted({field for field, _ in WRONG})


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(fields=st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=4), message=st.booleans())
async def test_anything_is_answered_or_refused(
    client: Client, session: str, fields: dict[str, Any], message: bool
) -> None:
    data = json.dumps(({"message": "a"} if message else {}) | fields)  # NaN and lone surrogates too
    status, _ = await sent(client, *endpoint("messages", session), data=data, headers=JSON)
    assert status in REFUSALS | {200}
