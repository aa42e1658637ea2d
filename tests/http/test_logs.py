"""What chatproxy logs: ids, sizes and times, never text and never secrets."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from typing import Any, Final

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
    (line,) = [line for line in entries(written) if line["level"] == "error"]
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
