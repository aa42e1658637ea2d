"""Sessions over HTTP: created, listed, searched, updated, deleted, exported."""

import asyncio
import json
import re
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import pytest
from chat_client import Client, serving
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, refused
from matrix import matrix
from stored import columns, rows

from chatproxy import Config
from chatproxy.answers import transcript
from chatproxy.store.messages import Messages
from chatproxy.store.records import Session

SESSIONS: Final = "/api/chat/sessions"
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def pages(client: Client, path: str, of: str, **query: Any) -> list[list[Any]]:
    """Follow `next` through a list until it is null; return its pages."""
    found: list[list[Any]] = []
    while True:
        page = await client.call("GET", path, params=query)
        assert set(page) == {of, "next"} | ({"hits"} if query.get("q", "").strip() else set())
        found.append(page[of])
        if page["next"] is None:
            return found
        query["before"] = page["next"]


async def listed(client: Client, **query: Any) -> list[str]:
    """Return the ids of all sessions, in the order of the list."""
    return [session["id"] for page in await pages(client, SESSIONS, "sessions", **query) for session in page]


# -- to make and to read


@pytest.mark.parametrize(
    "more", [{}, {"json": {}}, {"json": {"title": None, "model": None, "system": None}}], ids=str
)
async def test_a_new_session_is_empty(client: Client, more: dict[str, Any]) -> None:
    session = await client.call("POST", SESSIONS, status=201, **more)
    assert TIME.fullmatch(session["createdAt"])
    assert session == {
        "id": session["id"],
        "title": None,
        "model": None,
        "system": None,
        "think": None,
        "options": None,
        "documentId": None,
        "documentIds": [],
        "pinned": False,
        "createdAt": session["createdAt"],
        "updatedAt": session["createdAt"],
        "usedAt": session["createdAt"],
        "messageCount": 0,
        "activeMessageId": None,
    }
    assert await client.session(session["id"]) == session
    assert await client.call("GET", SESSIONS) == {"sessions": [listed_as(session)], "next": None}


def listed_as(session: dict[str, Any]) -> dict[str, Any]:
    """Return a session as lists show it: without what may be long."""
    return {name: value for name, value in session.items() if name not in ("system", "think", "options")}


async def test_a_list_shows_no_long_text(client: Client) -> None:
    prompt = "Be brief. " * 10_000
    session = await client.call("POST", SESSIONS, status=201, json={"title": "Tea", "system": prompt})
    assert session["system"] == prompt
    assert await client.session(session["id"]) == session
    for query in ({}, {"q": "tea"}):
        page = await client.call("GET", SESSIONS, params=query)
        assert page["sessions"] == [listed_as(session)]


async def test_a_session_has_the_fields_it_was_created_with(client: Client) -> None:
    given: dict[str, Any] = {"title": "Trip", "model": MODEL, "system": "Be brief."}
    session = await client.session(await client.new_session(**given))
    assert {name: session[name] for name in given} == given


async def test_session_ids_are_random(client: Client) -> None:
    ids = [await client.new_session() for _ in range(30)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22,}", each) for each in ids)  # 6 bits each: 128 or more
    # No place in the id is the same in all of them, as it would be with a counter or a clock.
    assert all(len(set(place)) > 1 for place in zip(*(each[:22] for each in ids), strict=True))


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("Hello there", "Hello there"),
        ("\n  First   line \nsecond", "First line"),
        ("word " * 30, "word " * 15 + "word…"),
        ("x" * 100, "x" * 79 + "…"),
        ("\n\t ", None),
    ],
)
async def test_the_first_line_of_the_first_message_is_the_title(
    client: Client, message: str, title: str | None
) -> None:
    session = await client.new_session()
    await client.ask(session, message)
    assert (await client.session(session))["title"] == title


async def test_a_title_given_by_the_client_stays(client: Client) -> None:
    session = await client.new_session(title="Mine")
    await client.ask(session, "Hello")
    assert (await client.session(session))["title"] == "Mine"


async def test_a_session_has_the_id_of_its_streaming_answer(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        active = (await stream.until("start"))["assistantMessageId"]
        shown = await client.session(session)
        assert (shown["activeMessageId"], shown["messageCount"]) == (active, 2)
        assert (await client.call("GET", SESSIONS))["sessions"] == [listed_as(shown)]
        changed = await client.call("PATCH", f"{SESSIONS}/{session}", json={"title": "Now"})
        assert changed["activeMessageId"] == active
        gate.open()
        await stream.rest()
    assert (await client.session(session))["activeMessageId"] is None


# -- to change


@pytest.mark.parametrize("field", ["title", "model", "system", "think", "options", "pinned"])
async def test_an_update_sets_fields_null_clears_them_and_absent_ones_stay(
    client: Client, field: str
) -> None:
    given: dict[str, Any] = {
        "title": "Trip",
        "model": MODEL,
        "system": "Be brief.",
        "think": True,
        "options": {"temperature": 1},
        "pinned": True,
    }
    others = {"model": "echo:270m", "think": "low", "options": {"top_k": 1, "stop": ["\n"]}, "pinned": False}
    path = f"{SESSIONS}/{await client.new_session(**given)}"
    for value in (others.get(field, "other"), None):
        changed = await client.call("PATCH", path, json={field: value})
        expected = False if field == "pinned" else value
        assert {name: changed[name] for name in given} == given | {field: expected}
        assert await client.call("GET", path) == changed


async def test_an_empty_update_changes_nothing(client: Client) -> None:
    session = await client.session(await client.new_session(title="Trip", system="Be brief."))
    changed = await client.call("PATCH", f"{SESSIONS}/{session['id']}", json={})
    assert changed | {"updatedAt": ""} == session | {"updatedAt": ""}


async def test_only_messages_move_a_session_in_the_list(client: Client) -> None:
    first, second = await client.new_session(), await client.new_session()
    used = (await client.session(first))["usedAt"]
    await client.call("PATCH", f"{SESSIONS}/{first}", json={"title": "Renamed", "pinned": True})
    assert await listed(client) == [second, first]
    assert (await client.session(first))["usedAt"] == used
    await client.ask(first, "Hello")
    assert await listed(client) == [first, second]
    assert (await client.session(first))["usedAt"] > used


async def test_those_that_are_pinned_are_listed_alone_in_pages(client: Client) -> None:
    sessions = [await client.new_session(pinned=number % 2 == 0) for number in range(6)]
    assert await listed(client, pinned="true", limit=2) == sessions[4::-2]
    await client.call("PATCH", f"{SESSIONS}/{sessions[2]}", json={"pinned": False})
    assert await listed(client, pinned="true") == [sessions[4], sessions[0]]
    for query in ({"pinned": "false"}, {"pinned": "true", "q": "x"}):
        assert (await client.call("GET", SESSIONS, status=422, params=query))["field"] == "pinned"


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_session_takes_no_options_of_the_operator(client: Client, method: str) -> None:
    path = SESSIONS if method == "POST" else f"{SESSIONS}/{await client.new_session()}"
    refusal = await client.call(method, path, status=422, json={"options": {"num_ctx": 1}})
    assert (refusal["code"], refusal["field"]) == ("option_not_allowed", "options.num_ctx")


async def moved(client: Client, session: str, before: str) -> str:
    """Return `updatedAt`, which has to be later than the one before."""
    after = str((await client.session(session))["updatedAt"])
    assert after > before
    return after


async def test_every_activity_updates_updated_at(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello"), gate=(gate := Gate()))
    session = await client.new_session()
    at = str((await client.session(session))["updatedAt"])
    await asyncio.sleep(0.002)  # the clock's step, so that later can be told from equal
    await client.call("PATCH", f"{SESSIONS}/{session}", json={"title": "Trip"})
    at = await moved(client, session, at)
    await asyncio.sleep(0.002)
    async with client.sending(session) as stream:
        await stream.until("start")
        at = await moved(client, session, at)
        await asyncio.sleep(0.002)
        gate.open()
        await stream.rest()
    await moved(client, session, at)


# -- to take away


async def test_a_deleted_session_is_gone(client: Client) -> None:
    session = await client.new_session()
    stream = await client.ask(session, "unmistakable")
    path = f"{SESSIONS}/{session}"
    await client.call("DELETE", path, status=204)
    for method, rest in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/messages"),
        ("GET", "/export"),
        ("GET", f"/messages/{stream.last['assistantMessageId']}/stream"),
        ("POST", f"/messages/{stream.last['assistantMessageId']}/cancel"),
        ("POST", "/messages"),
        ("POST", "/messages/stream"),
    ):
        told = await client.call(method, path + rest, status=404)
        assert told["code"] == "not_found"
    assert await listed(client) == []
    assert await listed(client, q="unmistakable") == []


async def test_deleting_cancels_a_running_answer_first(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        gate.let(1)
        await stream.until("chunk")
        await client.call("DELETE", f"{SESSIONS}/{session}", status=204)
        await stream.rest()
    assert (stream.last["type"], stream.last["finishReason"]) == ("done", "cancelled")
    async with asyncio.timeout(5):
        await (await fake.arrived()).closed.wait()
    assert not fake.chats[0].served


# -- the list


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 500])
async def test_pages_list_all_sessions_by_latest_activity(client: Client, limit: int) -> None:
    ids = [await client.new_session() for _ in range(7)]
    found = await pages(client, SESSIONS, "sessions", limit=limit)
    assert [session["id"] for page in found for session in page] == ids[::-1]
    assert all(len(page) == limit for page in found[:-1])
    assert 0 < len(found[-1]) <= limit


async def test_a_page_has_50_sessions_by_default(client: Client) -> None:
    await asyncio.gather(*(client.new_session() for _ in range(51)))
    assert [len(page) for page in await pages(client, SESSIONS, "sessions")] == [50, 1]


async def test_activity_between_pages_neither_hides_nor_repeats_sessions(client: Client) -> None:
    ids = [await client.new_session() for _ in range(6)]
    first = await client.call("GET", SESSIONS, params={"limit": 2})
    await client.ask(ids[0])  # was last of all
    await client.ask(ids[5])  # was on the page that is read already
    newest = await client.new_session()
    others = await listed(client, limit=2, before=first["next"])
    assert [session["id"] for session in first["sessions"]] + others == ids[:0:-1]
    assert (await listed(client))[:3] == [newest, ids[5], ids[0]]


# -- search


@pytest.fixture
async def library(client: Client, fake: FakeOllama) -> dict[str, str]:
    """Make three sessions; return their ids by what is in them."""
    fake.script = Script(answer("The Matterhorn has 4478 metres."))
    mountains = await client.new_session(title="Mountains of Europe")
    await client.ask(mountains, "Which one is the prettiest?")
    fake.script = Script(answer("Zürich, über Winterthur."))
    trains = await client.new_session()
    await client.ask(trains, "Trains to where?\nThe second line.")
    return {"mountains": mountains, "trains": trains, "empty": await client.new_session(title="Empty")}


FOUND: Final[list[tuple[str, list[str]]]] = [
    ("mountains", ["mountains"]),
    ("MOUNT", ["mountains"]),
    ("europe mountains", ["mountains"]),
    ("m", ["mountains"]),
    ("ountains", []),  # the beginning of no word
    ("matter", ["mountains"]),
    ("matterhorn 44", ["mountains"]),
    ("prettiest", ["mountains"]),
    ("second", ["trains"]),
    ("zurich", ["trains"]),
    ("zür", ["trains"]),
    ("the", ["trains", "mountains"]),
    ("e", ["empty", "mountains"]),
    ("europe zürich", []),
    ("nowhere", []),
    ("   ", ["empty", "trains", "mountains"]),
    ("", ["empty", "trains", "mountains"]),
]


async def test_search_matches_prefixes_of_words(client: Client, library: dict[str, str]) -> None:
    names = {session: name for name, session in library.items()}
    with matrix() as cases:
        for q, found in FOUND:
            for query in ({}, {"limit": 1}):
                cases.expect(
                    found, [names[each] for each in await listed(client, q=q, **query)], repr(q), query
                )


async def test_search_follows_changes(client: Client, library: dict[str, str]) -> None:
    path = f"{SESSIONS}/{library['mountains']}"
    await client.call("PATCH", path, json={"title": "Hills"})
    assert await listed(client, q="mountains") == []
    assert await listed(client, q="hills") == [library["mountains"]]
    question = (await client.messages(library["mountains"]))[0]["id"]
    await client.ask(library["mountains"], "Rivers?", replaces=question)
    assert await listed(client, q="prettiest") == []
    assert await listed(client, q="matterhorn") == []
    assert await listed(client, q="rivers") == [library["mountains"]]


# -- messages


@pytest.mark.usefixtures("sees")
async def test_a_message_has_all_its_fields(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world", thinking="Hm, so"))
    session = await client.new_session()
    await client.ask(session, "Hi", images=["YWJj"], clientMessageId="c-1")
    asked, answered = await client.messages(session)
    assert all(
        TIME.fullmatch(message[name]) for message in (asked, answered) for name in ("createdAt", "updatedAt")
    )
    assert asked == {
        "id": asked["id"],
        "sessionId": session,
        "role": "user",
        "content": "Hi",
        "thinking": "",
        "status": "complete",
        "cursor": None,
        "model": asked["model"],
        "modelReason": asked["modelReason"],
        "documentId": None,
        "documentIds": [],
        "sources": [],
        "warnings": [],
        "finishReason": None,
        "usage": None,
        "error": None,
        "imageCount": 1,
        "clientMessageId": "c-1",
        "version": 1,
        "createdAt": asked["createdAt"],
        "updatedAt": asked["updatedAt"],
    }
    assert set(answered["usage"]) == {
        "promptTokens",
        "completionTokens",
        "tokensPerSecond",
        "timeToFirstTokenMs",
        "thinkingMs",
        "loadMs",
        "totalMs",
    }
    assert answered == asked | {
        "id": answered["id"],
        "role": "assistant",
        "content": "Hello world",
        "thinking": "Hm, so",
        "cursor": "6.11.end",
        "model": MODEL,
        "modelReason": answered["modelReason"],
        "finishReason": "stop",
        "usage": answered["usage"],
        "imageCount": 0,
        "clientMessageId": None,
        "createdAt": answered["createdAt"],
        "updatedAt": answered["updatedAt"],
    }
    assert asked["id"] < answered["id"]


async def test_a_streaming_answer_is_listed_with_text_and_cursor(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        gate.let(1)
        await stream.until("chunk")
        shown = (await client.messages(session))[1]
        assert (shown["status"], shown["content"], shown["cursor"]) == ("streaming", "Hello", "0.5")
        assert (shown["finishReason"], shown["error"], shown["usage"]) == (None, None, None)
        gate.open()
        await stream.rest()


async def test_a_failed_answer_has_its_error(client: Client, fake: FakeOllama) -> None:
    fake.script = refused(400, "no such thing")
    session = await client.new_session()
    stream = await client.ask(session)
    failed = (await client.messages(session))[1]
    assert failed["status"] == "failed"
    assert failed["finishReason"] is None
    assert failed["error"] == {
        "error": failed["error"]["error"],
        "code": "upstream_error",
        "retryable": False,
        "requestId": stream.response.headers["X-Request-Id"],
    }
    assert "no such thing" in failed["error"]["error"]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 500])
async def test_messages_come_oldest_first_and_page_backwards(client: Client, limit: int) -> None:
    session = await client.new_session()
    for number in range(3):
        await client.ask(session, f"Question {number}")
    found = await pages(client, f"{SESSIONS}/{session}/messages", "messages", limit=limit)
    assert all(len(page) == limit for page in found[:-1])
    assert 0 < len(found[-1]) <= limit
    whole = [message for page in reversed(found) for message in page]
    assert whole == await client.messages(session)
    assert [message["content"] for message in whole[::2]] == ["Question 0", "Question 1", "Question 2"]
    assert [message["role"] for message in whole] == ["user", "assistant"] * 3


async def test_a_session_without_messages_has_an_empty_page(client: Client) -> None:
    path = f"{SESSIONS}/{await client.new_session()}/messages"
    assert await client.call("GET", path) == {"messages": [], "next": None}


# -- export


async def exported(client: Client, session: str, form: str) -> tuple[str, Any]:
    """Return text and headers of an export."""
    url = client.url(f"{SESSIONS}/{session}/export")
    async with client.http.get(url, params={"format": form}) as response:
        assert response.status == 200, await response.text()
        return await response.text(), response.headers


async def test_a_json_export_has_the_session_and_all_messages(client: Client) -> None:
    session = await client.new_session(title="Trip")
    await client.ask(session, "One \u2028 \0 “two”")
    text, headers = await exported(client, session, "json")
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(text) == {
        "session": await client.session(session),
        "messages": [{**each, "images": []} for each in await client.messages(session)],
    }


async def test_the_default_export_is_json(client: Client) -> None:
    session = await client.new_session()
    whole = await client.call("GET", f"{SESSIONS}/{session}/export")
    assert whole == {"session": await client.session(session), "messages": []}


async def test_a_markdown_export_reads_as_a_conversation(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello *you*."))
    session = await client.new_session(title="A\ntrip")
    await client.ask(session, "Hi")
    text, headers = await exported(client, session, "markdown")
    assert headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert text == f"# A trip\n\n## You\n\nHi\n\n## {MODEL}\n\nHello *you*.\n"


@pytest.mark.parametrize("form", ["xml", "JSON", "json,markdown", "\0", "../json"])
async def test_an_unknown_export_format_is_invalid(client: Client, form: str) -> None:
    path = f"{SESSIONS}/{await client.new_session()}/export"
    told = await client.call("GET", path, status=422, params={"format": form})
    assert (told["code"], told["field"]) == ("invalid", "format")


@pytest.mark.parametrize("form", ["json", "markdown"])
async def test_an_export_that_a_deletion_cuts_short_breaks_off(
    client: Client, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a broken connection shows that this is not all."""
    session = await client.new_session()
    await client.ask(session)
    monkeypatch.setattr(transcript, "EXPORT_MESSAGES", 1)
    read = Messages.page_after

    async def read_and_delete(self: Messages, of: Session, owner: str, **page: int) -> Any:
        found = await read(self, of, owner, **page)
        if page["after"] == 0:
            await client.call("DELETE", f"{SESSIONS}/{session}", status=204)
        return found

    monkeypatch.setattr(Messages, "page_after", read_and_delete)
    with pytest.raises(aiohttp.ClientPayloadError):
        await exported(client, session, form)


@pytest.mark.parametrize("turns", [99, 100, 101, 200, 201])
async def test_a_long_conversation_is_exported_completely(config: Config, turns: int) -> None:
    async with serving(config) as client:
        session = await client.new_session(title="Long")
        await client.ask(session, "number 0")
    _multiply(config, turns)
    async with serving(config) as client:
        messages = json.loads((await exported(client, session, "json"))[0])["messages"]
        assert len(messages) == 2 * turns
        assert [message["content"] for message in messages[::2]] == [f"number {n}" for n in range(turns)]
        assert [message["id"] for message in messages] == sorted({message["id"] for message in messages})
        markdown, _ = await exported(client, session, "markdown")
        assert re.findall(r"^number \d+$", markdown, re.MULTILINE) == [f"number {n}" for n in range(turns)]


def _multiply(config: Config, turns: int) -> None:
    """Repeat the one turn in the database, which is faster than sending messages."""
    names = [name for name in columns(config.database, "message") if name != "id"]
    taken = ", ".join(names)
    for name, value in (
        ("content", "replace(content, '0', CAST(number AS TEXT))"),
        ("place", "place + 2 * number"),
    ):
        taken = taken.replace(name, value, 1)
    copy = f"""
        WITH RECURSIVE n (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number + 1 < :turns)
        INSERT INTO message ({", ".join(names)}) SELECT {taken} FROM n CROSS JOIN message
        WHERE id <= 2 AND number < :turns ORDER BY number, id RETURNING id
    """
    rows(config.database, copy, turns=turns)
    rows(config.database, "UPDATE session SET message_count = :number", number=2 * turns)


async def test_a_streaming_answer_is_exported_with_its_text_so_far(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        gate.let(1)
        await stream.until("chunk")
        whole = json.loads((await exported(client, session, "json"))[0])
        assert whole["session"] == await client.session(session)
        assert whole["messages"] == [{**each, "images": []} for each in await client.messages(session)]
        assert whole["messages"][1]["content"] == "Hello"
        markdown, _ = await exported(client, session, "markdown")
        assert markdown.endswith(f"\n## {MODEL} (streaming)\n\nHello\n")
        gate.open()
        await stream.rest()


@pytest.mark.parametrize(
    ("title", "plain", "real"),
    [
        ("Trip", "Trip", "Trip"),
        ('a"; filename="evil.exe', "a ; filename= evil.exe", "a ; filename= evil.exe"),
        ("a\r\nSet-Cookie: x=1", "a Set-Cookie x=1", "a Set-Cookie x=1"),
        ("../../etc/passwd", "etc passwd", "etc passwd"),
        ("C:\\autoexec", "C autoexec", "C autoexec"),
        ("Zürich 日本", "Z_rich __", "Zürich 日本"),
        ("\0\x1b\x7f", "conversation", "conversation"),
        ("...", "conversation", "conversation"),
        ("\u202eexe.txt", "_exe.txt", "\u202eexe.txt"),
        ("x" * 500, "x" * 80, "x" * 80),
        (None, "conversation", "conversation"),
    ],
)
async def test_a_hostile_title_makes_a_harmless_file_name(
    client: Client, title: str | None, plain: str, real: str
) -> None:
    session = await client.new_session(title=title)
    _, headers = await exported(client, session, "markdown")
    expected = f"attachment; filename=\"{plain}.md\"; filename*=UTF-8''{quote(real, safe='')}.md"
    assert headers.getall("Content-Disposition") == [expected]
    assert "Set-Cookie" not in headers
