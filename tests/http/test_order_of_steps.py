"""What comes before what: of the checks on a message, and of the steps at an answer's end."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from chat_client import Client, Start, Stream, serving
from fake_ollama import FakeOllama, Gate, Script, answer, greet, refused
from stored import changes_refused, rows
from waiting import PATIENCE, until
from yarl import URL

from chatproxy import Config, create_app
from chatproxy.store import messages
from chatproxy.web.keys import CHAT

WORDS = "One two three"


def stored(config: Config, sql: str) -> list[tuple[Any, ...]]:
    """As another process reads it: what is committed, and nothing else."""
    return rows(config.database, sql)


def answers(config: Config) -> list[tuple[Any, ...]]:
    return stored(config, "SELECT status, content FROM message WHERE role = 'assistant' ORDER BY id")


@pytest.fixture
async def narrow(config: Config) -> AsyncIterator[Client]:
    """One answer at a time, and no queue."""
    async with serving(replace(config, max_concurrent_generations=1, max_queued_generations=0)) as client:
        yield client


@asynccontextmanager
async def running(client: Client, fake: FakeOllama, session: str, **body: Any) -> AsyncIterator[Stream]:
    """An answer that stays in its middle while the block runs, and then is completed."""
    fake.script = Script(answer(WORDS), gate=(gate := Gate()))
    gate.let(1)
    async with client.sending(session, **body) as stream:
        await stream.has("One")
        yield stream
        gate.open()
        await stream.rest()


# -- the beginning


async def test_at_the_first_byte_both_rows_are_committed(
    client: Client, fake: FakeOllama, config: Config
) -> None:
    fake.script = Script(head=Gate(), raw=True, end="hang")
    session = await client.new_session()
    async with client.sending(session) as stream:
        assert stored(config, "SELECT role, status, content FROM message ORDER BY id") == [
            ("user", "complete", "Hello"),
            ("assistant", "streaming", ""),
        ]
        await stream.next()
        await client.cancel(session, stream.answer_id)


@pytest.mark.sqlite
async def test_ollama_is_asked_during_the_commit_and_heard_after_it(
    client: Client, fake: FakeOllama, config: Config
) -> None:
    session = await client.new_session()
    with closing(sqlite3.connect(config.database_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # no other process commits before this one
        sending = asyncio.create_task(client.ask(session))
        chat = await fake.arrived()
        await asyncio.wait_for(chat.closed.wait(), 5)
        assert (chat.served, sending.done()) == (True, False)
        assert stored(config, "SELECT * FROM message") == []
        other.execute("ROLLBACK")
    stream = await sending
    assert (stream.kinds()[0], stream.text()) == ("start", "Hello from a fake.")
    assert (stream.last["type"], len(fake.chats)) == ("done", 1)


# -- the end: appended, committed, free, told


@pytest.mark.parametrize(
    ("script", "terminal", "row"),
    [
        (Script(answer(WORDS)), "done", ("complete", WORDS)),
        (Script(answer(WORDS)[:2], end="cut"), "error", ("failed", "One two")),
        (refused(500, "no"), "error", ("failed", "")),
    ],
    ids=["complete", "cut", "refused"],
)
async def test_when_the_end_is_told_it_is_committed_and_the_slot_is_free(
    narrow: Client, fake: FakeOllama, config: Config, script: Script, terminal: str, row: tuple[str, str]
) -> None:
    """In the same session, and in another one."""
    fake.script = script
    sessions = [await narrow.new_session(), await narrow.new_session()]
    for turn in range(12):
        session = sessions[turn // 2 % 2]
        async with narrow.sending(session) as stream:
            await stream.until(terminal)
            assert answers(config) == [row] * (turn + 1)
            assert (await narrow.session(session))["activeMessageId"] is None


@pytest.mark.parametrize("turns", range(0, 10, 3))
async def test_when_a_cancel_is_answered_it_is_committed_and_the_slot_is_free(
    narrow: Client, fake: FakeOllama, config: Config, turns: int
) -> None:
    sessions = [await narrow.new_session(), await narrow.new_session()]
    fake.script = Script(answer(WORDS)[:1], end="hang")
    for turn in range(4):
        async with narrow.sending(sessions[turn // 2]) as stream:
            await stream.has("One")
            for _ in range(turns):
                await asyncio.sleep(0)
            await narrow.cancel(sessions[turn // 2], stream.answer_id)
            assert answers(config) == [("cancelled", "One")] * (turn + 1)


async def test_when_a_waiting_request_is_answered_the_slot_is_free(
    narrow: Client, fake: FakeOllama, config: Config
) -> None:
    session = await narrow.new_session()
    for turn in range(6):
        told = await narrow.send(session)
        assert answers(config) == [("complete", told["fullResponse"])] * (turn + 1)


async def test_when_a_session_is_deleted_the_slot_is_free(narrow: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer(WORDS)[:1], end="hang")
    for _ in range(4):
        session = await narrow.new_session()
        async with narrow.sending(session) as stream:
            await stream.has("One")
            await narrow.call("DELETE", f"/api/chat/sessions/{session}", status=204)


async def test_an_end_that_cannot_be_committed_is_told_as_a_failure_and_committed_later(
    narrow: Client,
    fake: FakeOllama,
    config: Config,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Meanwhile the text is read from memory and, unless there may be replicas, the session is free."""
    monkeypatch.setattr(messages, "PATIENCE", 0.5)
    is_free = isinstance(config.database, Path)
    session = await narrow.new_session()
    with ExitStack() as faults:
        async with running(narrow, fake, session) as stream:
            condition = f"new.id = {stream.answer_id}"
            faults.enter_context(changes_refused(config.database, "UPDATE OF status", "message", condition))
        assert (stream.last["type"], stream.last["fullResponse"]) == ("error", WORDS)
        fake.script = greet
        if is_free:
            assert (await narrow.ask(session)).last["type"] == "done"
        else:
            await narrow.refused(session, 409, json={"message": "Hi"})
        shown = (await narrow.messages(session))[1]
        assert (shown["status"], shown["content"]) == ("failed", WORDS)
        assert answers(config)[0][0] == "streaming"
        active = (await narrow.session(session))["activeMessageId"]
        assert active == (None if is_free else stream.answer_id)
    await until(lambda: answers(config)[0] == ("failed", WORDS))
    assert (await narrow.messages(session))[1]["error"]["error"] == stream.last["error"]
    assert {record.getMessage() for record in caplog.records} == {"the database failed"}


# -- the checks


class Refusal(NamedTuple):
    """The fields of a send that break something, and what is said of it."""

    body: dict[str, Any]
    status: int
    code: str


TOO_LONG = {"message": "x" * (256 * 1024 + 1)}
UNUSABLE = [
    Refusal({"message": "", "replaces": None}, 422, "invalid"),
    Refusal({"message": None}, 422, "invalid"),
    Refusal({"images": ["no base64!"]}, 422, "invalid"),
    Refusal({"options": {"num_ctx": 1}}, 422, "option_not_allowed"),
    Refusal({"replaces": "x"}, 422, "invalid"),
    Refusal(TOO_LONG, 413, "too_large"),
]
# Each breaks what its own line names and all that is checked after it.
MODEL = {"model": "nobody:1b"}
DOCUMENT = MODEL | {"document_id": 10_000}
REPLACES = DOCUMENT | {"replaces": 10_000}
KNOWN = REPLACES | {"clientMessageId": "known"}


@asynccontextmanager
async def full(client: Client, fake: FakeOllama) -> AsyncIterator[tuple[str, str]]:
    """A busy session, whose answer takes all the room there is, and an idle one; both know the id `known`."""
    busy, idle = await client.new_session(), await client.new_session()
    for session in (busy, idle):
        await client.ask(session, "First", clientMessageId="known")
    async with running(client, fake, busy):
        yield busy, idle


async def refused_in(client: Client, config: Config, session: str, refusal: Refusal) -> Any:
    """What is told, on either endpoint, and that nothing is stored."""
    everything = (  # but how far the answer is that is being written
        "SELECT * FROM message WHERE status <> 'streaming'",
        *("SELECT count(*) FROM message", "SELECT * FROM session", "SELECT * FROM image"),
    )
    before = [stored(config, table) for table in everything]
    path = f"/api/chat/sessions/{session}/messages"
    body = {"message": "Hello"} | refusal.body
    told = [
        await client.call("POST", path + end, status=refusal.status, json=body) for end in ("", "/stream")
    ]
    assert [stored(config, table) for table in everything] == before
    assert [each["code"] for each in told] == [refusal.code] * 2
    return told[0]


async def test_the_session_comes_first(narrow: Client, fake: FakeOllama, config: Config) -> None:
    async with full(narrow, fake):
        for unusable in UNUSABLE:
            refusal = Refusal(KNOWN | unusable.body, 404, "not_found")
            await refused_in(narrow, config, "nobody", refusal)
        path = narrow.url("/api/chat/sessions/nobody/messages")
        async with narrow.http.post(path, data=b"{", headers={"Content-Type": "text/plain"}) as response:
            assert response.status == 404


async def test_the_session_comes_before_a_body_that_is_still_to_come(client: Client) -> None:
    url = URL(client.url("/api/chat/sessions/nobody/messages"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 100"
    writer.write(f"POST {url.path} HTTP/1.1\r\n{head}\r\n\r\n{{".encode())
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
    writer.close()


async def test_the_session_comes_before_a_shutdown(start: Start, config: Config) -> None:
    app = create_app(config)
    client = (await start(app)).client
    session = await client.new_session()
    app[CHAT].closing = True
    for path, status in ((session, 503), ("nobody", 404)):
        body = {"message": "Hello"}
        await client.call("POST", f"/api/chat/sessions/{path}/messages", status=status, json=body)
    app[CHAT].closing = False


async def test_nobody_waits_for_what_another_user_sends(start: Start, config: Config) -> None:
    app = create_app(replace(config, trusted_user_header="X-User"))
    client = (await start(app)).client
    headers = {"X-User": "ann"}
    session = (await client.call("POST", "/api/chat/sessions", status=201, headers=headers))["id"]
    path = f"/api/chat/sessions/{session}/messages"
    async with asyncio.timeout(PATIENCE), app[CHAT]._exclusive(session):
        body = {"message": "Hello"}
        await client.call("POST", path, status=404, json=body, headers={"X-User": "bob"})


@pytest.mark.parametrize("unusable", UNUSABLE, ids=lambda refusal: str(refusal)[:60])
async def test_then_the_body(narrow: Client, fake: FakeOllama, config: Config, unusable: Refusal) -> None:
    async with full(narrow, fake) as sessions:
        for session in sessions:
            await refused_in(narrow, config, session, unusable._replace(body=KNOWN | unusable.body))


async def test_then_the_client_message_id(narrow: Client, fake: FakeOllama, config: Config) -> None:
    async with full(narrow, fake) as sessions:
        for session in sessions:
            await refused_in(narrow, config, session, Refusal(KNOWN, 422, "idempotency_conflict"))
            told = await narrow.send(session, "First", clientMessageId="known")
            assert told["fullResponse"] == "Hello from a fake."


async def test_then_whether_the_session_is_busy(narrow: Client, fake: FakeOllama, config: Config) -> None:
    async with full(narrow, fake) as (busy, _):
        for body in (REPLACES, DOCUMENT, MODEL, {}):
            told = await refused_in(narrow, config, busy, Refusal(body, 409, "session_busy"))
            assert told["activeMessageId"] == (await narrow.session(busy))["activeMessageId"]


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        (Refusal(REPLACES, 422, "invalid"), "replaces"),
        (Refusal(DOCUMENT, 404, "not_found"), None),
        (Refusal(MODEL, 422, "model_not_found"), None),
        (Refusal({}, 503, "overloaded"), None),
    ],
    ids=["replaces", "document", "model", "queue"],
)
async def test_then_what_it_replaces_its_document_its_model_and_the_queue(
    narrow: Client, fake: FakeOllama, config: Config, refusal: Refusal, field: str | None
) -> None:
    async with full(narrow, fake) as (_, idle):
        told = await refused_in(narrow, config, idle, refusal)
        assert told.get("field") == field


async def test_what_was_refused_may_be_sent_again(narrow: Client, fake: FakeOllama, config: Config) -> None:
    async with full(narrow, fake) as (_, idle):
        await refused_in(narrow, config, idle, Refusal({"clientMessageId": "a"}, 503, "overloaded"))
    fake.script = greet
    assert (await narrow.ask(idle, clientMessageId="a")).last["type"] == "done"


async def test_a_message_that_cannot_be_stored_takes_no_room(
    narrow: Client, fake: FakeOllama, config: Config
) -> None:
    """Neither here nor in Ollama, which was asked already."""
    fake.script = Script(answer(WORDS)[:1], end="hang")
    session = await narrow.new_session()
    with changes_refused(config.database, "UPDATE OF message_count", "session"):
        for _ in range(2):
            assert (await narrow.send(session, status=500))["code"] == "internal"
        await until(lambda: fake.active == 0)
        assert stored(config, "SELECT * FROM message") == []
    fake.script = greet
    assert (await narrow.ask(session)).last["type"] == "done"


# -- the queue


async def test_places_in_the_queue_are_told_and_a_full_one_refuses(config: Config, fake: FakeOllama) -> None:
    fake.script = Script(answer(WORDS), gate=(gate := Gate()))
    config = replace(config, max_concurrent_generations=1, max_queued_generations=2)
    async with serving(config) as client:
        sessions = [await client.new_session() for _ in range(4)]
        async with (
            client.sending(sessions[0]) as first,
            client.sending(sessions[1]) as second,
            client.sending(sessions[2]) as third,
        ):
            path = client.url(f"/api/chat/sessions/{sessions[3]}/messages/stream")
            async with client.http.post(path, json={"message": "Hello"}) as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "5")
                assert (await response.json())["code"] == "overloaded"
            gate.let(len(answer(WORDS)))
            await first.rest()
            while places(third) != [2, 1]:
                await third.until("status")
            gate.open()
            streams = (first, second, third)
            for stream in streams:
                await stream.rest()
    assert [places(stream) for stream in streams] == [[], [1], [2, 1]]
    assert [stream.last["type"] for stream in streams] == ["done"] * 3


def places(stream: Stream) -> list[int]:
    told = [event for event in stream.events if event["type"] == "status" and event["state"] == "queued"]
    return [event["position"] for event in told]
