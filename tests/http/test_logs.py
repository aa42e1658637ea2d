"""What chatproxy logs: ids, sizes and times, never text and never secrets."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from typing import Any, Final

import aiohttp
import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Gate, Script, answer, refused
from sockets import opened, request

from chatproxy import Config, log

SAID: Final = ("pomegranate", "quetzalcoatl", "zeppelinfeld", "marzipanbrot", "xylophonist", "wintergarten")
SECRETS: Final = ("ollama-key-4711", "bearer-token-0815", "cookie-2342")
SESSIONS: Final = "/api/chat/sessions"
HEADERS: Final = {
    "Authorization": f"Bearer {SECRETS[1]}",
    "Cookie": f"id={SECRETS[2]}",
    "X-Request-Id": "r-42",
}


@pytest.fixture(autouse=True)
def written() -> Iterator[StringIO]:
    """Collect the log, as with LOG_FORMAT=json and LOG_LEVEL=debug."""
    root, own = logging.getLogger(), logging.getLogger("chatproxy")
    handler = logging.StreamHandler(stream := StringIO())
    handler.setFormatter(log.JsonFormatter())
    levels = root.level, own.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    own.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.fixture
async def client(serve: Serve) -> Client:
    client = await serve(ollama_api_key=SECRETS[0])
    client.http.headers.update(HEADERS)
    return client


def entries(written: StringIO, event: str = "") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    return [line for line in lines if not event or line["event"] == event]


async def test_an_answer_logs_its_start_and_its_end(
    client: Client, fake: FakeOllama, written: StringIO
) -> None:
    fake.script = Script(answer("one two three", thinking="hm"))
    session = await client.new_session()
    stream = await client.ask(session)
    of_the_answer = [line for line in entries(written) if line["event"].startswith("answer ")]
    assert [line["event"] for line in of_the_answer] == ["answer started", "answer ended"]
    for line in of_the_answer:
        assert line["level"] == "info"
        assert line["requestId"] == "r-42"
        assert line["sessionId"] == session
        assert line["assistantMessageId"] == stream.last["assistantMessageId"]
        assert line["model"] == "gemma3:270m"
    ended = of_the_answer[1]
    assert (ended["status"], ended["code"]) == ("complete", None)
    assert (ended["thinkingChars"], ended["contentChars"]) == (2, 13)
    assert 0 <= ended["timeToFirstTokenMs"] <= ended["ms"] < 60_000


async def test_a_failed_answer_logs_its_code(client: Client, fake: FakeOllama, written: StringIO) -> None:
    fake.script = refused(400, f"cannot say {SAID[0]}")
    await client.ask(await client.new_session())
    (ended,) = entries(written, "answer ended")
    assert (ended["status"], ended["code"]) == ("failed", "upstream_error")
    assert (ended["contentChars"], ended["timeToFirstTokenMs"]) == (0, None)


async def test_a_cancelled_answer_is_logged_as_such(
    client: Client, fake: FakeOllama, written: StringIO
) -> None:
    fake.script = Script(answer("one two"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        gate.let(1)
        message = (await stream.until("start"))["assistantMessageId"]
        await stream.until("chunk")
        await client.cancel(session, message)
    (ended,) = entries(written, "answer ended")
    assert (ended["status"], ended["code"], ended["contentChars"]) == ("cancelled", None, 3)


async def test_simultaneous_answers_log_their_own_request_ids(client: Client, written: StringIO) -> None:
    sessions = [await client.new_session() for _ in range(3)]

    async def ask(number: int) -> None:
        path = f"{SESSIONS}/{sessions[number]}/messages"
        headers = {"X-Request-Id": f"r-{number}"}
        await client.call("POST", path, json={"message": "Hello"}, headers=headers)

    await asyncio.gather(*(ask(number) for number in range(3)))
    lines = entries(written)
    for event in ("answer started", "answer ended"):
        told = {(line["requestId"], line["sessionId"]) for line in lines if line["event"] == event}
        assert told == {(f"r-{number}", sessions[number]) for number in range(3)}


async def test_neither_text_nor_secrets_are_logged(
    client: Client, fake: FakeOllama, written: StringIO
) -> None:
    fake.script = Script(answer(f"{SAID[0]} {SAID[1]}", thinking=SAID[2]))
    session = await client.new_session(title=SAID[3], system=SAID[4])
    stream = await client.ask(session, SAID[5], options={"stop": [SAID[3]]}, format={"title": SAID[4]})
    async with client.resuming(session, stream.last["assistantMessageId"]) as again:
        await again.rest()
    await client.call("GET", SESSIONS, params={"q": SAID[0]})
    await client.call("GET", f"{SESSIONS}/{session}/export")
    for body in ({"message": [SAID[0]]}, {"message": SAID[1], "think": SAID[2]}):
        await client.refused(session, 422, json=body)
    await client.refused(
        session, 400, data=f'{{"message": "{SAID[3]}', headers={"Content-Type": "application/json"}
    )
    fake.script = Script([*answer(SAID[0])[:1], b'{"error": "%s"}\n' % SAID[1].encode()])
    await client.ask(session, SAID[2])
    fake.script = Script([b"<p>%s</p>\n" % SAID[3].encode()])
    await client.ask(session, SAID[4])
    await client.call("GET", f"/{SAID[5]}", status=404)
    assert fake.chats[0].headers["Authorization"] == f"Bearer {SECRETS[0]}"
    assert len(entries(written, "answer ended")) == 3
    assert [word for word in (*SAID, *SECRETS) if word in written.getvalue()] == []


@pytest.mark.usefixtures("sees")
async def test_an_internal_error_is_logged_without_the_text(
    client: Client, config: Config, written: StringIO
) -> None:
    session = await client.new_session(title=SAID[0])
    with closing(sqlite3.connect(config.database_path)) as database, database:
        database.execute("DROP TABLE image")
    path = f"{SESSIONS}/{session}/messages/stream"
    body = {"message": SAID[1], "images": ["YWJj"]}
    assert (await client.call("POST", path, status=500, json=body))["code"] == "internal"
    errors = [line for line in entries(written) if line["level"] == "error"]
    (line,) = [line for line in errors if line["logger"].startswith("chatproxy")]  # not what Ollama logs
    assert line["requestId"] == "r-42"
    assert "image" in line["exception"]
    assert [word for word in SAID if word in json.dumps(line)] == []


async def test_a_client_that_leaves_is_not_logged_as_an_error(
    client: Client, fake: FakeOllama, written: StringIO
) -> None:
    fake.script = Script(answer("one two"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.until("start")
    kind = {"Content-Type": "application/json", "Content-Length": "99", "Expect": "100-continue"}
    async with opened(client) as (reader, writer):  # and leave before the body
        writer.write(request("POST", f"{SESSIONS}/{session}/messages", kind))
        assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")
    gate.open()
    await (await fake.arrived()).closed.wait()
    await client.call("GET", "/readyz")
    assert [line for line in entries(written) if line["level"] != "info"] == []


def ended(written: StringIO) -> dict[str, Any]:
    (line,) = entries(written, "answer ended")
    return line


@pytest.mark.parametrize(
    "fault",
    [
        Script([*answer("one")[:1], b'{"error": "no"}\n']),
        Script(answer("one")[:1]),  # Ollama's response breaks off
        Script(answer("one two"), gate=Gate()),  # what notices it is a timer, of no request
    ],
    ids=["Ollama's error", "broken off", "silence"],
)
async def test_a_failed_answer_leads_to_its_line(
    serve: Serve, fake: FakeOllama, written: StringIO, fault: Script
) -> None:
    client = await serve(first_token_timeout=0.3, token_timeout=0.3)
    fake.script = fault
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.rest()
        sent = stream.response.headers["X-Request-Id"]
    event = stream.last
    assert (event["type"], event["requestId"]) == ("error", sent)
    line = ended(written)
    assert (line["requestId"], line["code"]) == (sent, event["code"])
    # Later, and for others, it is still that of the request that asked.
    async with client.resuming(session, event["assistantMessageId"]) as again:
        assert again.response.headers["X-Request-Id"] != sent
        assert (await again.rest())[-1]["requestId"] == sent
    assert (await client.messages(session))[-1]["error"]["requestId"] == sent


async def test_an_answer_in_one_piece_names_the_request_that_asked(
    client: Client, fake: FakeOllama, written: StringIO
) -> None:
    fake.script = refused(500, "no")
    path = f"{SESSIONS}/{await client.new_session()}/messages"
    body = {"message": "Hello", "clientMessageId": "once"}
    for number in (1, 2):
        headers = {"X-Request-Id": f"r-{number}"}
        error = await client.call("POST", path, json=body, headers=headers, status=502)
        assert error["requestId"] == "r-1"
    assert ended(written)["requestId"] == "r-1"


async def test_an_outcome_that_is_not_stored_leads_to_its_line(
    client: Client, config: Config, fake: FakeOllama, written: StringIO
) -> None:
    fake.script = Script(answer("one"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.until("start")
        with closing(sqlite3.connect(config.database_path)) as database, database:
            database.execute("ALTER TABLE piece RENAME TO elsewhere")
        gate.open()
        await stream.rest()
        with closing(sqlite3.connect(config.database_path)) as database, database:
            database.execute("ALTER TABLE elsewhere RENAME TO piece")
    assert (stream.last["code"], stream.last["requestId"]) == ("storage_full", "r-42")
    assert (ended(written)["code"], ended(written)["requestId"]) == ("storage_full", "r-42")
    assert [line["requestId"] for line in entries(written) if line["level"] == "error"] == ["r-42"]


async def test_each_refused_request_leads_to_its_line(client: Client, written: StringIO) -> None:
    session = await client.new_session()
    form = aiohttp.FormData()
    form.add_field("file", b"\0\1\2" * 100, filename=f"{SAID[0]}.bin")
    calls: list[tuple[str, str, int, dict[str, Any]]] = [
        ("POST", f"{SESSIONS}/{session}/messages/stream", 422, {"json": {"message": ""}}),
        ("POST", "/api/documents", 415, {"data": form}),
        ("GET", f"{SESSIONS}/{SAID[0]}", 404, {}),
        ("GET", f"/{SAID[0]}", 404, {}),
        ("DELETE", "/api/version", 405, {}),
        ("GET", "/readyz", 403, {"headers": {"Origin": "https://elsewhere.example"}}),
        ("POST", "/api/pull", 403, {"json": {"model": SAID[0]}}),
    ]
    for number, (method, path, status, more) in enumerate(calls):
        more = {**more, "headers": {**more.get("headers", {}), "X-Request-Id": f"r-{number}"}}
        async with client.http.request(method, client.url(path), **more) as response:
            assert (response.status, response.headers["X-Request-Id"]) == (status, f"r-{number}")
        line = entries(written)[-1]
        assert (line["requestId"], line["status"]) == (f"r-{number}", status)
    assert SAID[0] not in written.getvalue().lower()
