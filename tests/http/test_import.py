"""Import: conversations of ChatGPT, Open WebUI and chatproxy become sessions; nothing is lost silently."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest
from chat_client import Client, Serve, Server, Start
from fake_ollama import FakeOllama, Script, answer
from waiting import until

from chatproxy import Config, create_app
from chatproxy.imports import elements
from chatproxy.store.messages import Messages
from chatproxy.web.api import imports

DATA: Final = Path(__file__).parents[1] / "data" / "imports"
IMPORT: Final = "/api/chat/sessions/import"
JSON: Final = {"Content-Type": "application/json"}


async def imported(client: Client, file: bytes | Any, status: int = 200, **more: Any) -> Any:
    body = file if isinstance(file, bytes) else json.dumps(file).encode()
    headers = {**JSON, **more.pop("headers", {})}
    return await client.call("POST", IMPORT, status=status, data=BytesIO(body), headers=headers, **more)


def data(name: str) -> bytes:
    return (DATA / f"{name}.json").read_bytes()


async def texts(client: Client, session: str) -> list[str]:
    return [f"{each['role']}: {each['content']}" for each in await client.messages(session)]


async def titles(client: Client) -> list[str]:
    found = await client.call("GET", "/api/chat/sessions")
    return [session["title"] for session in found["sessions"]]


def left_out(result: Any) -> dict[str, int]:
    return {each["kind"]: each["count"] for each in result["leftOut"]}


def chat(number: int, *contents: str) -> dict[str, Any]:
    """A chat of Open WebUI's, in its oldest form."""
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": role, "content": each} for role, each in zip(roles, contents, strict=False)]
    return {"id": f"w{number}", "chat": {"title": f"Chat {number}", "messages": messages}}


# -- what becomes of each format


async def test_chatgpt(client: Client) -> None:
    result = await imported(client, data("chatgpt"))
    assert (result["imported"], result["refused"], result["stopped"]) == (2, 0, None)
    first, second = result["sessions"]
    assert first["title"] == "Lighthouse"
    assert await texts(client, first["sessionId"]) == [
        "user: What is in this picture?",
        "assistant: A lighthouse.",
        "user: Write it as code.",
        "assistant: ```python\nlamp = True\n```",
        "user: And\n\n more",
        "assistant: No mo",
    ]
    question, reply, *_, last = await client.messages(first["sessionId"])
    assert question["createdAt"] == "2024-04-24T23:06:40.250Z"
    assert (reply["thinking"], reply["model"]) == ("Looking\nA tower with a lamp.", "o-small")
    assert (reply["status"], last["status"], last["finishReason"]) == ("complete", "cancelled", "cancelled")
    session = await client.call("GET", f"/api/chat/sessions/{first['sessionId']}")
    assert session["system"] == "I keep lighthouses.\n\nAnswer briefly."
    assert session["createdAt"] == "2024-04-24T23:06:20.250Z"
    assert session["updatedAt"] == "2024-04-24T23:06:49.250Z"
    assert left_out(result) == {
        "branches": 1,
        "hidden": 1,
        "tools": 2,
        "attachments": 1,
        "images": 1,
        "citations": 1,
    }
    assert all(each["message"].endswith(".") for each in result["leftOut"])
    assert first["leftOut"] == 7
    assert await texts(client, second["sessionId"]) == ["assistant: Hello, what can I do?", "user: Nothing"]
    assert second["title"] == "Nothing"
    assert await titles(client) == ["Lighthouse", "Nothing"]


async def test_open_webui(client: Client) -> None:
    result = await imported(client, data("open_webui"))
    first, second = result["sessions"]
    assert await texts(client, first["sessionId"]) == [
        "user: What is in this picture?",
        "assistant: A lighthouse.",
        "user: Go on.",
        "assistant: It shi",
    ]
    question, reply, _, last = await client.messages(first["sessionId"])
    assert (question["imageCount"], question["createdAt"]) == (1, "2024-04-26T02:53:20.000Z")
    assert (reply["thinking"], reply["model"]) == ("A tower\nwith a lamp & a door.", "gemma3:4b")
    assert last["status"] == "cancelled"
    session = await client.call("GET", f"/api/chat/sessions/{first['sessionId']}")
    assert (session["title"], session["system"]) == ("Tower", "You know lighthouses.")
    assert left_out(result) == {"branches": 1, "tools": 1, "attachments": 1, "images": 1}
    assert await texts(client, second["sessionId"]) == ["user: Hi", "assistant: Hello"]
    assert (await client.messages(second["sessionId"]))[1]["thinking"] == "A greeting."


async def test_one_chat_and_one_a_line(client: Client) -> None:
    assert (await imported(client, chat(1, "Q", "A")))["imported"] == 1
    lines = b"\n".join(json.dumps(chat(number, "Q")).encode() for number in (2, 3))
    assert (await imported(client, lines))["imported"] == 2
    inner = {"title": "Inner", "history": {"messages": {"a": {"role": "user", "content": "Hi"}}}}
    as_text = {"id": "t", "chat": json.dumps(inner)}
    assert (await imported(client, [inner, as_text]))["imported"] == 2


async def test_the_conversation_goes_on(client: Client, fake: FakeOllama) -> None:
    (session, greeted) = [each["sessionId"] for each in (await imported(client, data("chatgpt")))["sessions"]]
    stream = await client.ask(session, "What was it?")
    assert stream.last["type"] == "done"
    prompt = [message["content"] for message in fake.requests[-1]["messages"]]
    assert prompt[0] == "I keep lighthouses.\n\nAnswer briefly."
    assert prompt[1:3] == ["What is in this picture?", "A lighthouse."]
    assert prompt[-1] == "What was it?"
    await client.ask(greeted, "Well")
    assert [message["content"] for message in fake.requests[-1]["messages"]] == [
        "Hello, what can I do?",
        "Nothing",
        "Well",
    ]
    assert (await titles(client))[:2] == ["Nothing", "Lighthouse"]
    question, reply, *_ = await client.messages(session)
    path = f"/api/chat/sessions/{session}/messages/{reply['id']}/stream"
    async with client.stream("GET", path) as resumed:
        await resumed.rest()
    assert (resumed.text(), resumed.last["type"]) == ("A lighthouse.", "done")
    assert resumed.events[0]["userMessageId"] == question["id"]
    cancelled = await client.call("POST", f"/api/chat/sessions/{session}/messages/{reply['id']}/cancel")
    assert cancelled["status"] == "complete"
    fake.script = Script(answer("Again"))
    await client.ask(session, "Another question", replaces=question["id"])
    assert await texts(client, session) == ["user: Another question", "assistant: Again"]
    found = await client.call("GET", "/api/chat/sessions?q=nothing")
    assert [each["id"] for each in found["sessions"]] == [greeted]
    greeting = (await client.messages(greeted))[0]
    async with client.stream(
        "GET", f"/api/chat/sessions/{greeted}/messages/{greeting['id']}/stream"
    ) as stream:
        await stream.rest()
    assert stream.events[0]["userMessageId"] is None


async def test_half_a_character_spoils_no_conversation(client: Client) -> None:
    """Programs that cut texts by UTF-16 leave half of a character, which no text in UTF-8 has."""
    contents = ["cut \ud83c", "\udf08 \ud83c\ud83c\udf08", "\\\ud83c \\ud83c \\n\ud83c"]
    file = chat(1, *contents)
    file["chat"]["title"] = "Rain \ud83c"
    (session,) = (await imported(client, file))["sessions"]
    assert session["title"] == "Rain \ufffd"
    assert await texts(client, session["sessionId"]) == [
        "user: cut \ufffd",
        "assistant: \ufffd \ufffd🌈",
        "user: \\\ufffd \\ud83c \\n\ufffd",
    ]


async def test_a_long_title_is_cut_to_what_a_session_may_have(client: Client) -> None:
    nodes = {"a": {"message": {"author": {"role": "user"}, "content": {"parts": ["Hi"]}}}}
    own = {"id": "own", "model": None, "documentId": None, "messageCount": 0, "system": None}
    own |= {"createdAt": "", "updatedAt": ""}
    long = "Rainbow " * 200_000
    file = [
        {"mapping": nodes, "title": long},
        {"chat": {"title": long, "messages": [{"role": "user", "content": "Hi"}]}},
        {"session": {**own, "title": long}, "messages": []},
    ]
    sessions = (await imported(client, file))["sessions"]
    assert len(sessions) == 3
    for session in sessions:
        path, title = f"/api/chat/sessions/{session['sessionId']}", session["title"]
        assert long.startswith(title)
        assert (await client.call("PATCH", path, json={"title": title}))["title"] == title


# -- again


async def test_a_file_that_was_imported_before_changes_nothing(client: Client) -> None:
    for name in ("chatgpt", "open_webui"):
        first = await imported(client, data(name))
        again = await imported(client, data(name))
        assert (again["imported"], again["known"]) == (0, 2)
        ids = [each["sessionId"] for each in first["sessions"]]
        assert [each["sessionId"] for each in again["sessions"]] == ids
        assert all(each["known"] for each in again["sessions"])
        await client.call("DELETE", f"/api/chat/sessions/{ids[0]}", status=204)

        async def restored(name: str = name) -> bool:  # the deleted session may still be being removed
            return bool((await imported(client, data(name)))["imported"])

        await until(restored)
    assert len(await titles(client)) == 4


async def test_users_have_their_own(serve: Serve) -> None:
    client = await serve(trusted_user_header="X-User")
    ids = set()
    for user in ("ann", "bob"):
        result = await imported(client, data("chatgpt"), headers={"X-User": user})
        assert result["imported"] == 2
        ids |= {each["sessionId"] for each in result["sessions"]}
    assert len(ids) == 4
    await client.call("GET", f"/api/chat/sessions/{ids.pop()}", status=404, headers={"X-User": "eve"})


async def test_what_another_form_of_a_name_imported_is_known_once_names_are_folded(
    start: Start, config: Config
) -> None:
    config = replace(config, trusted_user_header="X-User")
    ids: dict[str, list[str]] = {}
    async with Server(create_app(config)) as server:
        for user in ("Ann", "ann", "BOB"):  # two of them the same file
            for _ in range(2):  # and again
                result = await imported(server.client, data("chatgpt"), headers={"X-User": user})
                ids.setdefault(user, [each["sessionId"] for each in result["sessions"]])
                assert ids[user] == [each["sessionId"] for each in result["sessions"]]
            assert result["known"] == 2
    assert len({id for each in ids.values() for id in each}) == 6
    client = (await start(create_app(replace(config, fold_user_names=True)))).client
    for user, before in (("ANN", ids["Ann"]), ("bob", ids["BOB"])):
        result = await imported(client, data("chatgpt"), headers={"X-User": user})
        assert (result["imported"], result["known"]) == (0, 2)
        assert [each["sessionId"] for each in result["sessions"]] == before


# -- what is not in order


@pytest.mark.parametrize(
    ("file", "status", "says"),
    [
        (b"", 400, "empty"),
        (b"PK\x03\x04\0\0\0", 400, "conversations.json"),
        (b"<html></html>", 400, "web page"),
        (b"[[1]]", 400, "something other"),
        (b'[{"mapping": ', 400, "in the middle"),
        (b'[{"mapping": nonsense}]', 422, "valid JSON"),
        (b'[{"mapping": {"a": "\xff"}}]', 422, "no messages|valid JSON"),
        (b'{"name": "ann"}', 422, "no conversation of"),
        (b'[{"name": "ann"}, {"name": ', 400, "in the middle"),
        (b'{"session": {}, "messages": []}', 422, "missing required field"),
        (b'{"chat": {"messages": []}}', 422, "no messages"),
        (b'{"chat": {"messages": [{"role": "user", "content": "\\ud80"}]}}', 422, "valid JSON"),
        (b'{"mapping": {"a": {"parent": "b"}, "b": {"parent": "a"}}}', 422, "circle"),
        (b'{"mapping": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422, "deeply"),
    ],
)
async def test_refusals_say_what_to_do(client: Client, file: bytes, status: int, says: str) -> None:
    error = await imported(client, file, status=status)
    assert any(each in error["error"] for each in says.split("|")), error
    assert await titles(client) == []


async def test_only_json_that_is_declared(client: Client) -> None:
    for kind in ("text/plain", "application/zip", "multipart/form-data"):
        await imported(client, b"[]", status=415, headers={"Content-Type": kind})


async def test_what_came_before_a_fault_stays(client: Client) -> None:
    good, bad = json.dumps(chat(1, "Q", "A")).encode(), b'{"chat": {"messages": [oh]}}'
    result = await imported(client, b"[" + good + b"," + bad + b',{"id":"w2"},' + good + b", oh")
    assert (result["imported"], result["known"], result["refused"]) == (1, 1, 2)
    assert [(each["index"], each["code"]) for each in result["refusals"]] == [(1, "invalid"), (2, "invalid")]
    assert "something other" in result["stopped"]["error"]
    assert result["stopped"]["code"] == "malformed"
    assert await titles(client) == ["Chat 1"]


async def test_bounds(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(elements, "MAX_BYTES", 1000)
        result = await imported(client, [chat(1, "x" * 2000), chat(2, "Q")])
    assert [each["code"] for each in result["refusals"]] == ["too_large"]
    result = await imported(client, [chat(1, "Q", "x" * (4 * 1024 * 1024 + 1)), chat(2, "Q")])
    assert (result["known"], [each["code"] for each in result["refusals"]]) == (1, ["too_large"])
    assert "longer than 4 MiB" in result["refusals"][0]["error"]
    monkeypatch.setattr(imports, "MAX_CONVERSATIONS", 2)
    result = await imported(client, [chat(number, "Q") for number in range(3, 7)])
    assert (result["imported"], result["stopped"]["code"]) == (2, "too_large")
    monkeypatch.setattr(imports, "LISTED", 1)
    result = await imported(client, [chat(number, "Q") for number in (7, 8)])
    assert (result["imported"], len(result["sessions"])) == (2, 1)
    monkeypatch.setattr(imports, "MAX_IMPORT", 1000)
    await imported(client, b" " * 2000, status=413)

    async def is_stored() -> bool:
        return "Chat 9" in await titles(client)

    async def slowly() -> AsyncIterator[bytes]:
        yield json.dumps(chat(9, "Q")).encode() + b"\n"
        await until(is_stored)
        yield b" " * 1000

    result = await client.call("POST", IMPORT, data=slowly(), headers=JSON)
    assert (result["imported"], result["stopped"]["code"]) == (1, "too_large")


async def test_a_client_that_leaves_ends_the_import(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, more = asyncio.Event(), asyncio.Event()
    store = Messages.import_session
    calls = 0

    async def counted(self: Messages, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        return await store(self, *given)

    monkeypatch.setattr(Messages, "import_session", counted)

    async def file() -> AsyncIterator[bytes]:
        yield b"[" + json.dumps(chat(1, "Q")).encode() + b","
        begun.set()
        await more.wait()
        yield b"never"

    request = asyncio.create_task(imported_from(client, file()))
    await begun.wait()
    await until(lambda: calls == 1)
    request.cancel()
    await asyncio.wait({request})

    async def free() -> bool:
        async with client.http.post(client.url(IMPORT), data=b"[]", headers=JSON) as response:
            return response.status == 200

    await until(free)  # the place of the one that left
    assert await titles(client) == ["Chat 1"]


async def imported_from(client: Client, file: AsyncIterator[bytes]) -> None:
    await client.call("POST", IMPORT, data=file, headers=JSON)


async def test_one_import_of_a_user_at_a_time(serve: Serve) -> None:
    client = await serve(trusted_user_header="X-User")
    end = asyncio.Event()

    async def file(title: str) -> AsyncIterator[bytes]:
        yield b"[" + json.dumps(chat(1, title)).encode()
        await end.wait()
        yield b"]"

    def begin(user: str) -> asyncio.Task[Any]:
        headers = {**JSON, "X-User": user}
        return asyncio.create_task(client.call("POST", IMPORT, data=file(user), headers=headers))

    async def sessions(user: str) -> int:
        return len((await client.call("GET", "/api/chat/sessions", headers={"X-User": user}))["sessions"])

    async def first_is_stored() -> bool:
        return await sessions("ann") == 1

    first = begin("ann")
    await until(first_is_stored)
    second = begin("ann")  # waits
    third = asyncio.create_task(imported(client, [chat(2, "Q")], 503, headers={"X-User": "ann"}))
    refusal = await third
    assert refusal["code"] == "overloaded"
    assert (await imported(client, [chat(2, "Q")], headers={"X-User": "bob"}))["imported"] == 1
    end.set()
    results = await asyncio.gather(first, second)
    assert [result["known"] for result in results] == [0, 1]
