"""Any input is either accepted or refused with a reason: never a 500, and a refusal stores nothing."""

import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any, Final

import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matrix import matrix
from sockets import exchange
from yarl import URL

from chatproxy.errors import STATUS

JSON: Final = {"Content-Type": "application/json"}
BODIES: Final = ("create", "change", "messages", "stream", "documents")
REFUSALS: Final = {400, 404, 413, 415, 422}
MAX_BODY: Final = {"create": 2 * 1024 * 1024, "change": 2 * 1024 * 1024}
LARGEST_BODY: Final = 32 * 1024 * 1024
MAX_MESSAGE: Final = 256 * 1024


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve(context_window=1_000_000)


@pytest.fixture
async def session(client: Client) -> str:
    return await client.new_session(title="as it was")


def endpoint(name: str, session: str) -> tuple[str, str]:
    """Return method and path of a call that takes a body."""
    path = f"/api/chat/sessions/{session}"
    return {
        "create": ("POST", "/api/chat/sessions"),
        "documents": ("POST", "/api/documents"),
        "change": ("PATCH", path),
        "messages": ("POST", f"{path}/messages"),
        "stream": ("POST", f"{path}/messages/stream"),
    }[name]


async def sent(client: Client, method: str, path: str, **more: Any) -> tuple[int, Any]:
    """Return status and body of a response; the code of an error says so if it has not the form of errors."""
    async with client.http.request(method, client.url(path), **more) as response:
        text = await response.text()
        if response.status >= 400 and (fault := fault_of(response.status, response.content_type, text)):
            return response.status, {"code": f"{fault}: {text}"}
        return response.status, json.loads(text) if response.status >= 400 else text


def fault_of(status: int, kind: str, text: str) -> str:
    """Return how an error differs from what every error looks like."""
    if status not in REFUSALS:
        return "not the client's fault"
    if kind != "application/json":
        return kind
    body = json.loads(text)
    if not (isinstance(body["error"], str) and isinstance(body["code"], str)):
        return "no error or no code"
    if ("field" in body) != (body["code"] in {"invalid", "option_not_allowed"}):
        return "a field too many or too few"
    return ""


async def stored(client: Client) -> Any:
    """Return everything that is stored."""
    sessions = (await client.call("GET", "/api/chat/sessions"))["sessions"]
    documents = await client.call("GET", "/api/documents")
    return documents, [(session, await client.messages(session["id"])) for session in sessions]


async def refused(client: Client, session: str, name: str, **more: Any) -> tuple[int, str, str | None]:
    """Return status, code and field of a refusal, after which the same is stored as before."""
    before = await stored(client)
    status, body = await sent(client, *endpoint(name, session), **more)
    if status < 400:
        return status, "accepted", None
    return status, body["code"] if await stored(client) == before else "stored", body.get("field")


# -- bodies


MALFORMED: Final = [
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
]


async def test_a_body_that_is_not_json_in_utf8_is_malformed(client: Client, session: str) -> None:
    with matrix() as cases:
        for name in BODIES:
            for body in MALFORMED:
                got = await refused(client, session, name, data=body, headers=JSON)
                cases.expect((400, "malformed", None), got, name, body)


async def test_an_empty_body_is_malformed_where_a_field_is_needed(client: Client, session: str) -> None:
    with matrix() as cases:
        for name in ("change", "messages", "stream"):
            got = await refused(client, session, name, data=b"", headers=JSON)
            cases.expect((400, "malformed", None), got, name)


async def test_endless_nesting_is_refused(client: Client, session: str) -> None:
    openings = (b"[", b'{"x":', b'{"options":', b'{"message":"a","options":{"a":', b'{"title":[')
    with matrix() as cases:
        for name in BODIES:
            for opening in openings:
                data = BytesIO(opening * 60_000)
                status, code, _ = await refused(client, session, name, data=data, headers=JSON)
                cases.check(status in {400, 422} and code != "stored", f"{status} {code}", name, opening)


async def test_a_body_that_is_not_an_object_is_invalid(client: Client, session: str) -> None:
    with matrix() as cases:
        for name in BODIES:
            for body in ("[]", "[{}]", '"text"', "null", "true", "1", "-0.5", "1e999", "9" * 5000):
                status, code, _ = await refused(client, session, name, data=body, headers=JSON)
                cases.expect((422, "invalid"), (status, code), name, body)


NOT_JSON: Final[list[dict[str, str]]] = [
    {},
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
]


async def test_only_plain_json_is_taken(client: Client, session: str) -> None:
    body = b'{"message": "a", "title": "a", "text": "a"}'
    with matrix() as cases:
        for name in BODIES:
            for headers in NOT_JSON:
                if name == "documents" and "multipart" in headers.get("Content-Type", ""):
                    continue  # an upload, which has a form of its own
                more: dict[str, Any] = {"headers": headers, "skip_auto_headers": ["Content-Type"]}
                got = await refused(client, session, name, data=body, **more)
                cases.expect((415, "unsupported_media_type", None), got, name, headers)


async def test_a_content_type_may_name_utf8(client: Client, session: str) -> None:
    path = client.url(f"/api/chat/sessions/{session}")
    with matrix() as cases:
        for charset in ("utf-8", "UTF8", '"utf-8"'):
            headers = {"Content-Type": f"application/json; charset={charset}"}
            data = f'{{"title": "ü {charset.strip(chr(34))}"}}'.encode()
            async with client.http.patch(path, data=data, headers=headers) as response:
                cases.expect(json.loads(data)["title"], (await response.json()).get("title"), charset)


# -- fields


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
    ("document_ids", 1),
    ("documentIds", {}),
    ("document_ids", list(range(1, 18))),
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


async def test_a_message_field_of_the_wrong_type_or_size_is_named(client: Client, session: str) -> None:
    with matrix() as cases:
        for name in ("messages", "stream"):
            for field, value in WRONG:
                got = await refused(client, session, name, json={"message": "a"} | {field: value})
                cases.expect((422, "invalid", field), got, name, field, value)
        for value in (0, 2**63, "1", None, True):
            body = {"message": "a", "documentIds": [1, value]}
            got = await refused(client, session, "messages", json=body)
            cases.expect((422, "invalid", "documentIds[1]"), got, value)


WRONG_OF_SESSIONS: Final[list[tuple[str, Any]]] = [
    ("title", ""),
    ("title", "t" * 501),
    ("title", 1),
    ("title", ["a"]),
    ("model", ""),
    ("model", {}),
    ("system", 1),
    ("system", False),
]


async def test_a_session_field_of_the_wrong_type_or_size_is_named(client: Client, session: str) -> None:
    with matrix() as cases:
        for name in ("create", "change"):
            for field, value in WRONG_OF_SESSIONS:
                got = await refused(client, session, name, json={field: value})
                cases.expect((422, "invalid", field), got, name, field, value)


async def test_numbers_out_of_range_are_refused(client: Client, session: str) -> None:
    numbers = ("1e999", "-1e999", "9" * 5000, f"0.{'1' * 5000}e400", "1" * 400 + ".5")
    with matrix() as cases:
        for field, place in (
            ("keep_alive", "{}"),
            ("options", '{{"a": {}}}'),
            ("options", '{{"a": [[{}]]}}'),
        ):
            for number in numbers:
                body = f'{{"message": "a", "{field}": {place.format(number)}}}'
                status, code, _ = await refused(client, session, "stream", data=body, headers=JSON)
                cases.check(
                    status in {400, 422} and code != "stored", f"{status} {code}", field, place, number
                )


async def test_an_image_that_is_not_base64_is_named(client: Client, session: str) -> None:
    with matrix() as cases:
        for image in (
            *("%", "YWJ", "YW Jj", "YWJj\n", "_-8=", "é", "https://example.com/cat.png"),
            *("data:image/png,YWJj", "data:image/png;base64,YW Jj", "data:image/png;base64,%59WJj"),
            *("data:text/plain;base64,YWJj", "data:;base64,YWJj", "data:image/png;base64;base64"),
            *(" data:image/png;base64,YWJj", "data:image/png;base64,data:image/png;base64,YWJj"),
        ):
            body = {"message": "a", "images": ["YWJj", image]}
            got = await refused(client, session, "stream", json=body)
            cases.expect((422, "invalid", "images[1]"), got, image)
    body = {"message": "a", "images": ["data:text/plain;base64,YWJj"]}
    said = await client.refused(session, 422, json=body)
    assert "in base64 without spaces, alone or in a data URL" in said["error"]
    empty = {"message": "a", "images": ["data:image/gif;base64,"]}
    assert (await client.refused(session, 422, json=empty))["field"] == "images[0]"


async def test_an_option_that_reloads_the_model_is_refused_and_its_place_named(
    client: Client, session: str
) -> None:
    before = await stored(client)
    with matrix() as cases:
        for option in ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"):
            for name in ("messages", "stream"):
                body = {"message": "a", "options": {"seed": 1, option: 1}}
                status, refusal = await sent(client, *endpoint(name, session), json=body)
                cases.expect((422, "option_not_allowed"), (status, refusal["code"]), name, option)
                named = option in refusal["error"] and "Modelfile" in refusal["error"]
                cases.check(named, refusal["error"], name, option)
    assert await stored(client) == before


async def test_the_body_is_checked_before_what_it_refers_to(client: Client, session: str) -> None:
    await client.ask(session, clientMessageId="once")
    for body in ({"images": ["%"]}, {"options": {"num_ctx": 1}}, {"think": 7}):
        more = {"message": "a", "clientMessageId": "once", "replaces": 999, "document_id": 999, **body}
        refusal = await client.refused(session, 422, json=more)
        assert refusal["code"] in {"invalid", "option_not_allowed"}
        assert refusal["field"] not in {"replaces", "document_id"}


# -- sizes


@pytest.mark.parametrize(
    "text", ["a" * MAX_MESSAGE, "é" * (MAX_MESSAGE // 2)], ids=["ascii", "two bytes each"]
)
async def test_a_message_may_have_256_kib_and_not_a_byte_more(
    client: Client, session: str, text: str
) -> None:
    status, code, _ = await refused(client, session, "stream", json={"message": text + "a"})
    assert (status, code) == (413, "too_large")
    await client.ask(session, text)
    assert (await client.messages(session))[0]["content"] == text


def padded(size: int) -> bytes:
    """Return a valid body of that many bytes."""
    body = b'{"message": "a", "title": "a", "text": "a"}'
    return body + b" " * (size - len(body))


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body to be sent chunked, with no Content-Length that would give its size away."""
    for start in range(0, len(body), 1 << 20):
        yield body[start : start + (1 << 20)]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_may_have_so_many_bytes_and_not_one_more(
    client: Client, session: str, chunked: bool
) -> None:
    def body(size: int) -> Any:
        return in_pieces(padded(size)) if chunked else BytesIO(padded(size))

    with matrix() as cases:
        for name in BODIES:
            most = MAX_BODY.get(name, LARGEST_BODY)
            got = await refused(client, session, name, data=body(most + 1), headers=JSON)
            cases.expect((413, "too_large", None), got, name)
            status, _ = await sent(client, *endpoint(name, session), data=body(most), headers=JSON)
            cases.check(status in {200, 201}, str(status), name)


# -- what looks bad and is allowed


async def test_control_characters_are_kept_as_they_are(client: Client, fake: FakeOllama) -> None:
    with matrix() as cases:
        for text in ("\0", "a\0b", "\x01\x1b[2J\x7f", "\r\n", "\u2028\u2029\x85", "\ufffe\U0010ffff"):
            session = await client.new_session(title=text, system=text)
            await client.ask(session, text)
            shown = await client.session(session)
            cases.expect((text, text), (shown["title"], shown["system"]), repr(text))
            cases.expect(text, (await client.messages(session))[0]["content"], repr(text))
            passed_on = [turn["content"] for turn in fake.requests[-1]["messages"]]
            cases.expect([text, text], passed_on, repr(text))


async def test_unknown_fields_are_ignored(client: Client) -> None:
    session = await client.new_session(title="a", colour="red", id="mine", messages=[{"role": 1}])
    stream = await client.ask(session, colour=["red"], temperature=None)
    assert stream.last["type"] == "done"


async def test_null_counts_as_absent(client: Client, session: str) -> None:
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


async def test_a_malformed_message_id_is_not_found(client: Client, session: str) -> None:
    with matrix() as cases:
        for message in NO_MESSAGE:
            for method, call in (("GET", "stream"), ("POST", "cancel")):
                path = f"/api/chat/sessions/{session}/messages/{message}/{call}"
                status, body = await sent(client, method, path)
                cases.expect((404, "not_found"), (status, body["code"]), method, call, message)


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


async def test_a_malformed_session_id_is_not_found(client: Client) -> None:
    with matrix() as cases:
        for method, rest in SESSION_CALLS:
            for session in NO_SESSION:
                url = URL(f"{client.base}/api/chat/sessions/{session}{rest}", encoded=True)
                async with client.http.request(method, url) as response:
                    got = response.status, (await response.json())["code"]
                    cases.expect((404, "not_found"), got, method, rest, session)


NOT_UTF8: Final = [
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
]
END: Final = b"\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def test_bytes_that_are_not_utf8_are_the_clients_fault(client: Client) -> None:
    with matrix() as cases:
        for head in NOT_UTF8:
            body = b"{}" if head.startswith(b"POST") else b""
            reply = await exchange(client, head + END + body)
            cases.check(reply.status in {200, *REFUSALS, 403}, reply, head)


async def test_a_body_with_a_broken_chunk_is_malformed(client: Client, session: str) -> None:
    with matrix() as cases:
        for name in BODIES:
            method, path = endpoint(name, session)
            head = f"{method} {path} HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
            for body in (b"ZZ\r\n", b"5\r\n{    \r\nZZ\r\n"):
                reply = await exchange(client, head.encode() + END + body)
                cases.expect(400, reply.status, name, body)
    assert (await client.session(session))["title"] == "as it was"


def listings(session: str) -> tuple[str, str]:
    return "/api/chat/sessions", f"/api/chat/sessions/{session}/messages"


async def test_a_limit_is_a_whole_number_from_1_to_500(client: Client, session: str) -> None:
    with matrix() as cases:
        for path in listings(session):
            for limit in ("0", "-1", "501", "1.5", "abc", "1e2", "٣", " 5", "9" * 5000, "%00", "1,2"):
                status, body = await sent(client, "GET", path, params={"limit": limit})
                cases.expect(
                    (422, "invalid", "limit"), (status, body["code"], body.get("field")), path, limit
                )


BEFORE: Final = [
    "0",
    "-1",
    "a",
    "1.5",
    "\0",
    "9" * 5000,
    "2026-01-01T00:00:00.000Z",
    "2026-01-01T00:00:00.000Z.-1",
]


async def test_a_cursor_that_no_page_has_given_is_invalid(client: Client, session: str) -> None:
    with matrix() as cases:
        for path in listings(session):
            for before in BEFORE:
                status, body = await sent(client, "GET", path, params={"before": before})
                cases.expect((400, "invalid_cursor"), (status, body["code"]), path, before)


async def test_a_cursor_that_no_event_has_given_is_invalid(client: Client, session: str) -> None:
    stream = await client.ask(session)
    path = f"/api/chat/sessions/{session}/messages/{stream.last['assistantMessageId']}/stream"
    long = ("9" * 5000, f"0.{10**30}")
    with matrix() as cases:
        for after in ("a", "1", "1.", ".1", "-1.0", "1.1.1", "0.0.END", "0.0 ", "٣.٣", "\0", *long):
            status, body = await sent(client, "GET", path, params={"after": after})
            cases.expect((400, "invalid_cursor"), (status, body["code"]), after)


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
    "{a b}: c",
    "\ufffd",
    "a " * 32,
    "é" * 500,
    "\\",
    "%",
    "+",
    "\n",
    " ",
]


async def test_a_hostile_search_is_only_a_search(client: Client, session: str) -> None:
    with matrix() as cases:
        for q in HOSTILE:
            async with client.http.get(client.url("/api/chat/sessions"), params={"q": q}) as response:
                got = response.status, set(await response.json())
                expected = {"sessions", "next"} | ({"hits"} if q.strip() else set())
                cases.expect((200, expected), got, repr(q))
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
    status, body = await sent(client, *endpoint("messages", session), data=data, headers=JSON)
    assert status == 200 or body["code"] in STATUS, body
