"""Kept Responses beyond what OpenAI's clients show; those are in tests/clients."""

import asyncio
import json
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from unittest.mock import AsyncMock

import pytest
from chat_client import Client, Serve, serving
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, last, token
from waiting import until

import chatproxy
from chatproxy import Config
from chatproxy.errors import ChatError
from chatproxy.store.messages import Messages
from chatproxy.web.json import MAX_BODY

RESPONSES: Final = "/v1/responses"
SESSIONS: Final = "/api/chat/sessions"
JSON: Final = {"Content-Type": "application/json"}
IMAGE: Final = "data:image/png;base64,AAAA"
Event = dict[str, Any]


async def create(client: Client, *, status: int = 200, **body: Any) -> Any:
    sent = BytesIO(json.dumps({"input": "Hello", "store": True} | body).encode())
    return await client.call("POST", RESPONSES, status=status, data=sent, headers=JSON)


async def text(client: Client, id: str, **query: Any) -> str:
    """Return a stream as it was sent."""
    path = client.url(f"{RESPONSES}/{id}")
    async with client.http.get(path, params={"stream": "true", **query}) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        return await response.text()


def events(stream: str) -> list[Event]:
    return [
        json.loads(line.removeprefix("data: ")) for line in stream.split("\n") if line.startswith("data: ")
    ]


async def has_ended(client: Client, id: str) -> bool:
    return (await client.call("GET", f"{RESPONSES}/{id}"))["status"] not in {"queued", "in_progress"}


async def test_a_response_in_the_background_needs_no_reader(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(disconnect_grace_seconds=0.1)
    gate = Gate()
    fake.script = lambda request: Script(answer("One two"), gate=gate)
    response = await create(client, background=True)
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.until("start")
    other = await fake.arrived(2)
    await other.closed.wait()  # nobody read it, for more than the grace
    gate.open()
    await until(lambda: has_ended(client, response["id"]))
    assert (await client.call("GET", f"{RESPONSES}/{response['id']}"))["status"] == "completed"


async def test_heartbeats_are_comments_and_say_the_place_in_the_queue(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(heartbeat_seconds=0.3, max_concurrent_generations=1)
    fake.script = Script(answer("One"), gate=(gate := Gate()))
    await create(client, background=True)
    second = await create(client, background=True)
    assert second["status"] == "queued"
    path = client.url(f"{RESPONSES}/{second['id']}")
    async with client.http.get(path, params={"stream": "true"}) as stream:
        comments: list[Any] = []
        while len(comments) < 3:
            line = await stream.content.readline()
            if line.startswith(b": "):
                comments.append(json.loads(line[2:]))
        assert {(each["type"], each["state"], each["position"]) for each in comments} == {
            ("status", "queued", 1)
        }
        gate.open()
        assert events((await stream.read()).decode())[-1]["type"] == "response.completed"


async def test_numbers_stay_when_a_model_thinks_again(config: Config, fake: FakeOllama) -> None:
    lines = [token(thinking="hm"), token("Hi"), token(thinking=" ah"), token(" you"), last()]
    fake.script = Script(lines, gate=(gate := Gate()))
    async with serving(config) as client:
        response = await create(client, background=True)
        session = response["id"].removeprefix("resp_").rpartition("_")[0]
        watching = asyncio.create_task(text(client, response["id"]))
        for said in (("hm", ""), ("hm", "Hi"), ("hm ah", "Hi"), ("hm ah", "Hi you")):
            gate.let(1)
            await until(partial(shows, client, session, *said))
        gate.open()
        live = events(await watching)
        replayed = events(await text(client, response["id"]))
    async with serving(config) as client:
        again = events(await text(client, response["id"]))
    assert live[-1] == again[-1]
    assert again == replayed
    ends = [event["sequence_number"] for event in again if "delta" not in event]
    assert ends == [event["sequence_number"] for event in live if "delta" not in event]
    assert ends == [0, 1, 2, 5, 6, 7, 8, 15, 16, 17, 18]
    reasoning, message = again[-1]["response"]["output"]
    assert (reasoning["summary"][0]["text"], message["content"][0]["text"]) == ("hm ah", "Hi you")


async def shows(client: Client, session: str, thinking: str, content: str) -> bool:
    latest = (await client.messages(session))[-1]
    return (latest["thinking"], latest["content"]) == (thinking, content)


async def test_images_stay_with_their_message(client: Client, fake: FakeOllama) -> None:
    fake.shows["gemma3:270m"]["capabilities"].append("vision")
    picture = b64encode(b"picture").decode()
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{picture}"}
    first = await create(client, input=[{"role": "user", "content": "Hello"}])
    await create(
        client,
        previous_response_id=first["id"],
        input=[{"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, image]}],
    )
    assert fake.requests[-1]["messages"][-1]["images"] == [picture]
    await create(client, previous_response_id=first["id"], input="Something else")
    assert [message.get("images") for message in fake.requests[-1]["messages"]] == [None, None, None]


async def test_a_conversation_goes_on_between_two_answers(client: Client, fake: FakeOllama) -> None:
    spoken = [("user", "one"), ("assistant", "two"), ("assistant", "three"), ("user", "four")]
    first = await create(client, input=[{"role": role, "content": content} for role, content in spoken])
    session = first["id"].removeprefix("resp_").rpartition("_")[0]
    two = (await client.messages(session))[1]["id"]
    await create(client, previous_response_id=f"resp_{session}_{two}", input="other")
    assert [message["content"] for message in fake.requests[-1]["messages"]] == ["one", "two", "other"]
    shown = await client.messages(session)
    assert [message["content"] for message in shown] == ["one", "two", "other", "Hello from a fake."]
    path = f"{SESSIONS}/{session}/messages/{shown[2]['id']}/versions"
    assert [each["content"] for each in (await client.call("GET", path))["messages"]] == ["other"]


async def test_two_may_not_follow_one_response_at_once(client: Client, fake: FakeOllama) -> None:
    first = await create(client)
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    follow = {"input": "And?", "previous_response_id": first["id"], "background": True}

    async def status() -> int:
        async with client.http.post(client.url(RESPONSES), json=follow) as response:
            return response.status

    assert sorted(await asyncio.gather(*(status() for _ in range(5)))) == [200, 409, 409, 409, 409]
    gate.open()
    await until(lambda: idle(client))
    (session,) = (await client.call("GET", SESSIONS))["sessions"]
    assert session["messageCount"] == 4


async def idle(client: Client) -> bool:
    """Whether every session has an answer, and every answer has ended."""
    for session in (await client.call("GET", SESSIONS))["sessions"]:
        messages = await client.messages(session["id"])
        if not messages or messages[-1]["status"] == "streaming":
            return False
    return True


async def test_any_answer_of_a_session_is_a_response(client: Client) -> None:
    session = await client.new_session()
    sent = await client.send(session, "Hello")
    response = await client.call("GET", f"{RESPONSES}/resp_{session}_{sent['assistantMessageId']}")
    assert response["output"][0]["content"][0]["text"] == "Hello from a fake."
    await create(client, previous_response_id=response["id"], input="And?")
    assert [message["content"] for message in await client.messages(session)] == [
        *("Hello", "Hello from a fake.", "And?", "Hello from a fake.")
    ]
    refused = await client.call("DELETE", f"{RESPONSES}/{response['id']}", status=422)
    assert refused["error"]["message"].endswith(f"DELETE /api/chat/sessions/{session}.")


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ("é" * (128 * 1024 + 1), 413, "longer than 256 KiB"),
        ([{"role": "user", "content": "x" * (256 * 1024 + 1)}], 413, "longer than 256 KiB"),
        ([{"role": "user", "content": "Hi"}] * 40_000, 413, "longer than 1024 KiB without its images"),
        ([], 422, "has to end with a message of the user's"),
        ([{"role": "assistant", "content": "Hi"}], 422, "has to end with a message of the user's"),
        ([{"role": "tool", "content": "Hi"}], 422, "input[0].role"),
        ([{"role": "user", "content": [{"type": "input_text", "text": 7}]}], 422, "input[0]"),
        ({}, 422, "input"),
        (None, 422, "expected `str | array`, got `null`"),
        ("", 422, "says something"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": IMAGE}] * 33}], 422, "32 images"),
    ],
)
async def test_an_input_that_cannot_be_used_leaves_nothing(
    client: Client, given: object, status: int, said: str
) -> None:
    refused = await create(client, status=status, input=given)
    assert said in refused["error"]["message"]
    assert (await client.call("GET", SESSIONS))["sessions"] == []


async def test_large_images_are_no_long_input(client: Client, fake: FakeOllama) -> None:
    fake.shows["gemma3:270m"]["capabilities"].append("vision")
    picture = b64encode(b"x" * 2_000_000).decode()
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{picture}"}
    response = await create(client, input=[{"role": "user", "content": [image]}])
    assert response["status"] == "completed"
    assert fake.requests[-1]["messages"][-1]["images"] == [picture]


async def test_a_response_that_cannot_be_stored_leaves_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await create(client)
    full = ChatError("storage_full", "The disk is full; make room.")
    with monkeypatch.context() as patch:
        patch.setattr(Messages, "begin", AsyncMock(side_effect=full))
        for more in ({}, {"background": True, "stream": True}, {"previous_response_id": first["id"]}):
            refused = await create(client, status=507, **more)
            assert refused["error"]["code"] == "storage_full"
    (session,) = (await client.call("GET", SESSIONS))["sessions"]
    assert session["messageCount"] == 2


async def test_a_waiting_call_may_be_left(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    call = asyncio.create_task(create(client))
    await fake.arrived()
    call.cancel()
    gate.open()
    await until(lambda: idle(client))
    (session,) = (await client.call("GET", SESSIONS))["sessions"]
    assert (await client.messages(session["id"]))[-1]["content"] == "One two"


async def test_a_response_may_be_asked_for_by_head(client: Client, fake: FakeOllama) -> None:
    response = await create(client)
    whole = await client.call("GET", f"{RESPONSES}/{response['id']}")
    for query in ({}, {"stream": "true"}):
        path = client.url(f"{RESPONSES}/{response['id']}")
        async with client.http.head(path, params=query) as head:
            assert (head.status, head.content_type) == (200, "application/json")
            assert head.content_length == len(json.dumps(whole, ensure_ascii=False, separators=(",", ":")))
    async with client.http.head(client.url(f"{RESPONSES}/resp_x_1")) as head:
        assert head.status == 404
    assert len(fake.chats) == 1  # nothing was passed on


# -- what is not kept


TOOLS: Final = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"store": False},
        {"store": None, "background": False, "previous_response_id": None},
        {"store": True, "tools": TOOLS},
        {"store": "yes", "stream": True},
    ],
    ids=str,
)
async def test_what_is_not_kept_is_passed_on(client: Client, fake: FakeOllama, body: Event) -> None:
    asked = {"model": MODEL, "input": "Hello", **body}
    async with client.http.post(client.url(RESPONSES), json=asked) as response:
        through = await response.read()
    async with client.http.post(f"{fake.url}{RESPONSES}", json=asked) as response:
        assert through == await response.read()
    assert fake.requests[0] == asked
    assert (await client.call("GET", SESSIONS))["sessions"] == []


async def test_a_body_that_is_no_json_is_judged_by_ollama(client: Client, fake: FakeOllama) -> None:
    for body in (b"", b"{", b"[]", b'"store"', b"\xff", b"[" * 100_000):
        async with client.http.post(client.url(RESPONSES), data=body) as response:
            through = response.status, await response.read()
        async with client.http.post(f"{fake.url}{RESPONSES}", data=body) as response:
            assert through == (response.status, await response.read())
    assert (await client.call("GET", SESSIONS))["sessions"] == []


@pytest.mark.parametrize(
    "kept", [b'"store": true', b'"background": true', b'"previous_response_id": "resp_x_1"']
)
async def test_half_a_character_is_no_reason_to_keep_nothing(
    client: Client, fake: FakeOllama, kept: bytes
) -> None:
    body = b'{"input": "cut \\ud83c", %b}' % kept
    refused = await client.call("POST", RESPONSES, status=400, data=BytesIO(body), headers=JSON)
    assert refused["error"]["code"] == "malformed"
    assert not fake.chats


async def test_only_what_is_kept_is_there_without_passing(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(passthrough=False)
    response = await create(client)
    assert (await client.call("GET", f"{RESPONSES}/{response['id']}"))["status"] == "completed"
    refused = await create(client, status=404, store=False)
    assert "set PASSTHROUGH=on" in refused["error"]["message"]
    assert len(fake.chats) == 1


# -- sizes


def items(content: str) -> bytes:
    return b'{"store":true,"input":[{"role":"user","content":%b}]}' % content.encode()


MANY: Final = 10 * 1024 * 1024


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (lambda: items("[" + "{}," * MANY + "{}]"), 413),
        (lambda: items('"' + "\\n" * MANY + '"'), 413),
        (lambda: items('"data:image/' + "xxx" * MANY + '"'), 413),
        (lambda: items("[" + '{"image_url":"data:image"},' * 30_000 + "{}]"), 422),
        (lambda: b'{"store":true,"input":[%b{}],"input":"Hello"}' % (b"{}," * MANY), 200),
    ],
    ids=["objects", "escapes", "a text like an image", "objects like images", "twice"],
)
async def test_nothing_large_is_unfolded(client: Client, body: Callable[[], bytes], status: int) -> None:
    """The memory for it is a small multiple of the body, whatever is in it."""
    sent = body()
    tracemalloc.start()
    try:
        async with client.http.post(client.url(RESPONSES), data=BytesIO(sent), headers=JSON) as response:
            assert response.status == status
        assert tracemalloc.get_traced_memory()[1] < 5 * MAX_BODY
    finally:
        tracemalloc.stop()


async def test_an_input_is_not_held_until_the_end(client: Client, fake: FakeOllama) -> None:
    fake.shows[MODEL]["capabilities"].append("vision")
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{'AAAA' * 2_000_000}"}
    body = json.dumps({"input": [{"role": "user", "content": [image]}], "store": True, "stream": True})
    sent = body.encode()
    del body, image
    tracemalloc.start(20)
    try:
        async with client.http.post(client.url(RESPONSES), data=BytesIO(sent), headers=JSON) as response:
            gate.let(1)
            while b"output_text.delta" not in await response.content.readline():
                pass
            await client.new_session()  # a commit's data are held until the next one
            ours = tracemalloc.Filter(True, f"{Path(chatproxy.__file__).parent}/*", all_frames=True)
            held = tracemalloc.take_snapshot().filter_traces([ours]).statistics("filename")
            assert sum(each.size for each in held) < len(sent) // 4
            gate.open()
            assert events((await response.read()).decode())[-1]["type"] == "response.completed"
    finally:
        tracemalloc.stop()
