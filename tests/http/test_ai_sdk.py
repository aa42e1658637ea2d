"""The AI SDK's API, as a client without the SDK sees it; tests/clients runs the SDK's own clients."""

import asyncio
import json
import tracemalloc
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from typing import Any, Final

import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Gate, Script, answer, token
from msgspec.structs import replace
from waiting import until

from chatproxy.prompt.plan import Plan
from chatproxy.store.records import Notice

CHAT: Final = "/api/chat/ui"
IMAGE: Final = "data:image/png;base64," + b64encode(b"image").decode()


def text(name: str, words: str, role: str = "user") -> dict[str, Any]:
    return {"id": name, "role": role, "parts": [{"type": "text", "text": words}]}


class Chunks:
    """A stream of chunks, read one by one."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.all: list[dict[str, Any]] = []
        self.done = False
        self._unread = b""

    async def next(self) -> dict[str, Any] | None:
        async with asyncio.timeout(60):
            while b"\n\n" not in self._unread:
                if not (piece := await self.response.content.readany()):
                    assert not self._unread
                    return None
                self._unread += piece
        frame, _, self._unread = self._unread.partition(b"\n\n")
        assert frame.startswith(b"data: ")
        assert not self.done
        if frame == b"data: [DONE]":
            self.done = True
            return await self.next()
        chunk: dict[str, Any] = json.loads(frame[6:])
        assert next(iter(chunk)) == "type"
        self.all.append(chunk)
        return chunk

    async def until(self, kind: str) -> dict[str, Any]:
        while (chunk := await self.next()) is not None:
            if chunk["type"] == kind:
                return chunk
        raise AssertionError(f"no {kind}: {self.all}")

    async def rest(self) -> list[dict[str, Any]]:
        """Read to the end; return the chunks that are no statuses."""
        while await self.next():
            pass
        assert self.done
        return [chunk for chunk in self.all if chunk["type"] != "data-status"]

    def text(self) -> str:
        return "".join(chunk["delta"] for chunk in self.all if chunk["type"] == "text-delta")


class Chat:
    """A chat as one client has it."""

    def __init__(self, client: Client, name: str = "c1", headers: dict[str, str] | None = None) -> None:
        self.client = client
        self.name = name
        self.headers = headers

    @asynccontextmanager
    async def sending(self, *messages: dict[str, Any], **more: Any) -> AsyncIterator[Chunks]:
        body = {"id": self.name, "trigger": "submit-message"} | more
        if messages:
            body["messages"] = messages
        path = self.client.url(CHAT)
        async with self.client.http.post(path, json=body, headers=self.headers) as response:
            assert response.status == 200, await response.text()
            yield Chunks(response)

    async def send(self, *messages: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        async with self.sending(*messages, **more) as chunks:
            return await chunks.rest()

    async def refusal(self, *messages: Any, **more: Any) -> tuple[int, str, str]:
        body = BytesIO(json.dumps({"id": self.name, "messages": messages} | more).encode())
        path, headers = self.client.url(CHAT), {"Content-Type": "application/json", **(self.headers or {})}
        async with self.client.http.post(path, data=body, headers=headers) as response:
            assert response.content_type == "text/plain"
            return response.status, response.headers["X-Error-Code"], await response.text()

    async def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.client.call(
            "GET", f"{CHAT}/{self.name}", headers=self.headers
        )
        return found

    async def ids(self) -> list[str]:
        return [message["id"] for message in await self.messages()]

    @asynccontextmanager
    async def resuming(self) -> AsyncIterator[Chunks]:
        path = self.client.url(f"{CHAT}/{self.name}/stream")
        async with self.client.http.get(path, headers=self.headers) as response:
            assert response.status == 200
            yield Chunks(response)

    async def nothing_to_resume(self) -> None:
        await self.client.call("GET", f"{CHAT}/{self.name}/stream", status=204, headers=self.headers)

    async def is_idle(self) -> bool:
        messages = await self.client.messages(self.name)
        return bool(messages) and messages[-1]["status"] != "streaming"

    async def resumed(self) -> str:
        """Return the text of a stream that is resumed; an empty one if there is none."""
        path = self.client.url(f"{CHAT}/{self.name}/stream")
        async with self.client.http.get(path, headers=self.headers) as response:
            chunks = Chunks(response)
            if response.status == 200:
                await chunks.rest()
            return chunks.text()

    async def stop(self, status: int = 204) -> None:
        path = self.client.url(f"{CHAT}/{self.name}/stop")
        async with self.client.http.post(path, headers=self.headers) as response:
            assert response.status == status


@pytest.fixture
def chat(client: Client) -> Chat:
    return Chat(client)


async def test_an_answer_is_said_in_chunks(chat: Chat, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello there", thinking="Well now"))
    async with chat.sending(text("m1", "Hi")) as chunks:
        said = await chunks.rest()
        headers = chunks.response.headers
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert headers["X-Resumable-Stream-Id"] == "c1"
    kinds = [chunk["type"] for chunk in said]
    assert [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before] == [
        *("start", "reasoning-start", "reasoning-delta", "reasoning-end"),
        *("text-start", "text-delta", "text-end", "finish"),
    ]
    (question, reply) = await chat.client.messages("c1")
    assert said[0] == {
        "type": "start",
        "messageId": str(reply["id"]),
        "messageMetadata": {
            "sessionId": "c1",
            "userMessageId": question["id"],
            "model": reply["model"],
        },
    }
    assert said[-1] == {
        "type": "finish",
        "finishReason": "stop",
        "messageMetadata": {"finishReason": "stop", "model": reply["model"], "usage": reply["usage"]},
    }
    assert question["clientMessageId"] == "m1"
    (first, second) = await chat.messages()
    assert first == {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    assert second == {
        "id": str(reply["id"]),
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "text": "Well now", "state": "done"},
            {"type": "text", "text": "Hello there", "state": "done"},
        ],
        "metadata": said[0]["messageMetadata"] | said[-1]["messageMetadata"],
    }
    await chat.nothing_to_resume()


async def test_only_the_last_message_of_a_chat_that_is_known_is_taken(chat: Chat) -> None:
    await chat.send(text("m1", "One"))
    await chat.send(text("x", "Not so"), text("m2", "Two"))
    await chat.send(message=text("m3", "Three"))
    assert [each["content"] for each in await chat.client.messages("c1")][::2] == ["One", "Two", "Three"]


# -- ids: a question keeps the client's id, whatever replaces it here


async def test_the_same_message_is_answered_once(chat: Chat, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    async with chat.sending(text("m1", "Hi")) as first:
        await first.until("start")
        async with chat.sending(text("m1", "Hi")) as second:
            gate.open()
            said = await first.rest()
            assert [each for each in await second.rest() if "delta" not in each] == [
                each for each in said if "delta" not in each
            ]
            assert second.text() == first.text() == "One two"
    assert await chat.send(text("m1", "Hi")) != []
    assert len(fake.requests) == 1


async def test_a_question_is_answered_again_under_its_id(chat: Chat, fake: FakeOllama) -> None:
    await chat.send(text("m1", "Hi"))
    (_, first) = await chat.ids()
    again = {"trigger": "regenerate-message"}
    await chat.send(text("m1", "Hi"), **again)
    (question, second) = await chat.ids()
    assert (question, second != first) == ("m1", True)
    # Sent again, it names the answer that it was about, which has been written again since.
    said = await chat.send(text("m1", "Hi"), **again, messageId=first)
    assert said[0]["messageId"] == second
    await chat.send(text("m1", "Hi"), **again, messageId=second)
    await chat.send(text("m1", "Hi"), **again, messageId="m1")
    assert len(fake.requests) == 4
    rows = await chat.client.messages("c1")
    assert [(row["role"], row["content"]) for row in rows] == [
        ("user", "Hi"),
        ("assistant", rows[1]["content"]),
    ]
    assert rows[0]["clientMessageId"].startswith("m1/")


async def test_an_edited_question_keeps_its_id_and_what_follows_it_is_gone(
    chat: Chat, fake: FakeOllama
) -> None:
    await chat.send(text("m1", "One"))
    await chat.send(text("m2", "Two"))
    await chat.send(text("m1", "Uno"), messageId="m1")
    (question, _) = await chat.messages()
    assert question == text("m1", "Uno")
    await chat.send(text("m1", "Uno"), messageId="m1")  # sent again
    assert len(fake.requests) == 3
    await chat.send(text("m2", "Two"))  # of an earlier turn, sent again: it stays what it was
    assert len(fake.requests) == 3
    await chat.send(text("m2", "Two"), messageId="m2")  # edited by a client that still has it
    assert [name for name in await chat.ids() if name.startswith("m")] == ["m1", "m2"]
    await chat.send(text("m1", "Uno"), messageId="m1")  # edited, but to the same: what follows is gone again
    assert [name for name in await chat.ids() if name.startswith("m")] == ["m1"]


async def test_questions_without_an_id_of_a_client_have_one_all_the_same(client: Client) -> None:
    chat = Chat(client, await client.new_session())
    sent = await client.ask(chat.name, "Hello")
    question = f"row-{sent.events[0]['userMessageId']}"
    assert await chat.ids() == [question, str(sent.answer_id)]
    await chat.send(text(question, "Hello again"), messageId=question)
    await chat.send(text(question, "Hello again"), trigger="regenerate-message")
    assert (await chat.ids())[0] == question
    assert len(await client.messages(chat.name)) == 2


async def test_ids_that_look_alike_are_not_taken_for_versions(client: Client) -> None:
    chat = Chat(client, await client.new_session())
    for number in (1, 2, 3):
        await client.ask(chat.name, f"Question {number}", clientMessageId=f"m:{number}")
    assert (await chat.ids())[::2] == ["m:1", "m:2", "m:3"]
    await chat.send(text("m:2", "Question 2"), trigger="regenerate-message")
    assert (await chat.ids())[::2] == ["m:1", "m:2"]


async def test_an_edited_question_keeps_its_id_in_an_import(chat: Chat) -> None:
    await chat.send(text("m1", "One"))
    await chat.send(text("m1", "Uno"), messageId="m1")
    exported = await chat.client.call("GET", "/api/chat/export")
    await chat.client.call("DELETE", "/api/chat/sessions/c1", status=204)
    done = await chat.client.call("POST", "/api/chat/sessions/import", json=exported)
    again = Chat(chat.client, done["sessions"][0]["sessionId"])
    assert (await again.ids())[0] == "m1"
    await again.send(text("m1", "Eins"), messageId="m1")
    assert (await again.messages())[0] == text("m1", "Eins")


@pytest.mark.parametrize("name", ["a:1", "a:0", "1", "row", "a:b:12", "x" * 44])
async def test_an_id_of_any_form_is_given_back(chat: Chat, name: str) -> None:
    await chat.send(text("a", "Zero"))
    await chat.send(text(name, "One"))
    await chat.send(text(name, "One"), trigger="regenerate-message")
    await chat.send(text(name, "One more"), messageId=name)
    assert (await chat.ids())[::2] == ["a", name]
    assert (await chat.messages())[2]["parts"][0]["text"] == "One more"


# -- a history that is not here


async def test_a_history_that_is_new_here_is_stored_first(chat: Chat, fake: FakeOllama) -> None:
    thought = [
        {"type": "reasoning", "text": "Hm"},
        {"type": "step-start"},
        {"type": "text", "text": "There."},
    ]
    history = [
        text("m1", "Where is it?"),
        {"id": "a:1", "role": "assistant", "parts": thought},
        text("m1", "Where?"),  # an id twice
        {"id": "", "role": "assistant", "parts": []},
    ]
    await chat.send(*history, text("m4", "Thanks"))
    assert [(each["role"], each["content"]) for each in fake.requests[-1]["messages"]] == [
        ("user", "Where is it?"),
        ("assistant", "There."),
        ("user", "Where?"),
        ("user", "Thanks"),
    ]
    ids = await chat.ids()
    assert [*ids[:2], ids[3]] == ["m1", "a:1", "m4"]
    assert len(ids) == len(set(ids)) == 5
    await chat.send(*history, text("m4", "Thanks"), text("m5", "Bye"))  # it is not stored twice
    assert len(await chat.ids()) == 7


async def test_first_messages_at_once_make_one_chat(chat: Chat, fake: FakeOllama) -> None:
    fake.script = Script(answer("One"), gate=(gate := Gate()))
    history = [text("h1", "Before"), text("h2", "Yes?", "assistant")]

    async def send(name: str) -> int:
        body = {"id": "c1", "messages": [*history, text(name, name)]}
        async with chat.client.http.post(chat.client.url(CHAT), json=body) as response:
            await response.read()
            return response.status

    sends = [asyncio.create_task(send(name)) for name in ("m1", "m1", "m2", "m2")]
    await fake.arrived()
    _, waiting = await asyncio.wait(sends, timeout=0, return_when=asyncio.FIRST_COMPLETED)
    while len(waiting) > 2:  # the others are refused while the first one is answered
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    gate.open()
    assert sorted(await asyncio.gather(*sends)) == [200, 200, 409, 409]
    assert len(await chat.ids()) == 4
    (session,) = (await chat.client.call("GET", "/api/chat/sessions"))["sessions"]
    assert session["messageCount"] == 4


# -- streams: resumed, stopped, left


async def test_an_answer_is_resumed_from_its_start(chat: Chat, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two three", thinking="Hm"), gate=(gate := Gate()))
    async with chat.sending(text("m1", "Hi")) as first:
        gate.let(3)
        while first.text() != "One two":
            await first.next()
        assert await chat.ids() == ["m1"]
        async with chat.resuming() as second:
            while second.text() != "One two":
                await second.next()
            gate.open()
            assert (await first.rest())[-1] == (await second.rest())[-1]
            assert first.text() == second.text() == "One two three"
    assert len(await chat.ids()) == 2
    await chat.nothing_to_resume()


async def test_an_answer_that_ends_after_a_list_left_it_out_is_in_the_stream(
    chat: Chat, fake: FakeOllama
) -> None:
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    async with chat.sending(text("m1", "Hi")) as first:
        await first.until("start")
        assert await chat.ids() == ["m1"]
        gate.open()
        await first.rest()
    async with chat.resuming() as second:
        await second.rest()
        assert second.text() == "One two"
    await chat.nothing_to_resume()


async def test_each_of_several_tabs_is_sent_what_its_list_left_out(chat: Chat, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    async with chat.sending(text("m1", "Hi")) as first:
        await first.until("start")
        for _ in range(2):
            assert await chat.ids() == ["m1"]
        gate.open()
        await first.rest()
    for _ in range(2):
        assert await chat.resumed() == "One two"
    await chat.nothing_to_resume()


async def test_a_refused_reader_can_come_again_after_the_end(serve: Serve, fake: FakeOllama) -> None:
    chat = Chat(await serve(max_subscribers=1))
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    async with chat.sending(text("m1", "Hi")) as first:
        await first.until("start")
        assert await chat.ids() == ["m1"]
        async with chat.client.http.get(chat.client.url(f"{CHAT}/c1/stream")) as refused:
            assert refused.status == 429
        gate.open()
        await first.rest()
    assert await chat.resumed() == "One two"


async def test_what_a_client_has_lost_is_in_the_stream(chat: Chat, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    async with chat.sending(text("m1", "Hi")) as first:
        gate.let(1)
        await first.until("text-delta")
        first.response.close()
    gate.open()
    await until(chat.is_idle)

    async def is_whole() -> bool:
        return await chat.resumed() == "One two"

    await until(is_whole)  # once the server has noticed
    await chat.nothing_to_resume()


async def test_stop_ends_the_answer_for_all_who_watch(chat: Chat, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    async with chat.sending(text("m1", "Hi")) as first, AsyncExitStack() as stack:
        gate.let(1)
        await first.until("text-delta")
        second = await stack.enter_async_context(chat.resuming())
        await chat.stop()
        for chunks in (first, second):
            said = await chunks.rest()
            assert [each["type"] for each in said[-3:]] == ["text-end", "abort", "finish"]
            assert said[-1]["finishReason"] == "other"
            assert said[-1]["messageMetadata"]["finishReason"] == "cancelled"
    await (await fake.arrived()).closed.wait()
    await chat.stop()
    (_, reply) = await chat.messages()
    assert reply["parts"] == [{"type": "text", "text": "One", "state": "done"}]


async def test_an_answer_that_nobody_watches_gives_way_to_the_next_message(
    chat: Chat, fake: FakeOllama
) -> None:
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    async with chat.sending(text("m1", "Hi")) as first:
        gate.let(1)
        await first.until("text-delta")
        status, code, sentence = await chat.refusal(text("m2", "And?"))
        assert (status, code) == (409, "session_busy")
        assert sentence.endswith("; wait for that, or cancel it.")
        first.response.close()
    fake.script = Script(answer("Three"))
    said = await chat.send(text("m2", "And?"))
    assert said[-1]["finishReason"] == "stop"
    texts = [each["parts"][0]["text"] for each in await chat.messages()]
    assert texts == ["Hi", "One", "And?", "Three"]


async def test_a_response_in_the_background_does_not_give_way(chat: Chat, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    asked = {"model": "gemma3:270m", "input": "Hi", "background": True}
    response = await chat.client.call("POST", "/v1/responses", json=asked)
    chat.name = response["id"].removeprefix("resp_").rpartition("_")[0]
    assert (await chat.refusal(text("m1", "And?")))[:2] == (409, "session_busy")
    gate.open()
    await until(chat.is_idle)
    await chat.send(text("m1", "And?"))
    assert len(await chat.ids()) == 4


async def test_a_failure_is_said_and_can_be_answered_again(chat: Chat, fake: FakeOllama) -> None:
    fake.script = Script([token("One")], end="cut")
    said = await chat.send(text("m1", "Hi"))
    assert [each["type"] for each in said[-2:]] == ["text-end", "error"]
    (_, reply) = await chat.messages()
    assert reply["metadata"]["error"]["error"] == said[-1]["errorText"]
    assert "finishReason" not in reply["metadata"]
    fake.script = Script(answer("One two"))
    await chat.send(text("m1", "Hi"), trigger="regenerate-message", messageId=reply["id"])
    (question, reply) = await chat.messages()
    assert question["id"] == "m1"
    assert reply["parts"] == [{"type": "text", "text": "One two", "state": "done"}]


async def test_a_model_that_thinks_again_opens_another_part(chat: Chat, fake: FakeOllama) -> None:
    pieces = [token(thinking="a"), token("b"), token(thinking="c"), token("d"), *answer("e")]
    fake.script = Script(pieces, gate=(gate := Gate()))
    async with chat.sending(text("m1", "Hi")) as chunks:
        for kind in ("reasoning-delta", "text-delta", "reasoning-delta", "text-delta"):
            gate.let(1)
            await chunks.until(kind)
        gate.open()
        said = await chunks.rest()
    parts = [each["type"] for each in said if not each["type"].endswith("delta")]
    part = ["reasoning-start", "reasoning-end", "text-start", "text-end"]
    assert parts == ["start", *part, *part, "finish"]


async def test_what_waits_is_told_in_passing(chat: Chat, fake: FakeOllama) -> None:
    async with chat.sending(text("m1", "Hi")) as chunks:
        await chunks.rest()
    statuses = [chunk for chunk in chunks.all if chunk["type"] == "data-status"]
    assert statuses
    for status in statuses:
        assert set(status) == {"type", "data", "transient"}
        assert status["transient"] is True
        assert set(status["data"]) >= {"state", "elapsedMs"}
        assert "type" not in status["data"]


async def test_sources_and_warnings_are_parts(chat: Chat) -> None:
    client = chat.client
    document = await client.call(
        "POST", "/api/documents", status=201, json={"title": "Rainbows", "text": "Rainbows are bent light."}
    )
    said = await chat.send(text("m1", "What are rainbows?"), documentId=document["id"])
    (source,) = [each for each in said if each["type"] == "source-document"]
    (_, reply) = await client.messages("c1")
    assert source == {
        "type": "source-document",
        "sourceId": f"{document['id']}-0",
        "mediaType": "text/plain",
        "title": "Rainbows",
        "providerMetadata": {"chatproxy": reply["sources"][0]},
    }
    assert (await chat.messages())[1]["parts"][-1] == source
    await client.call("DELETE", f"/api/documents/{document['id']}", status=204)
    said = await chat.send(text("m2", "And now?"))
    (warning,) = [each for each in said if each["type"] == "data-warning"]
    assert warning["id"] == warning["data"]["code"] == "document_gone"
    assert (await chat.messages())[3]["parts"][0] == warning


async def test_warnings_of_one_kind_are_parts_of_their_own(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page keeps only the last of those that have the same id."""
    notices = [Notice(code="partial", message=f"Page {number} is a scan.") for number in (1, 2)]
    turn = Plan.turn
    monkeypatch.setattr(Plan, "turn", lambda plan: replace(turn(plan), warnings=notices))
    said = await chat.send(text("m1", "Hello"))
    parts = [each for each in said if each["type"] == "data-warning"]
    assert [part["id"] for part in parts] == ["partial", "partial-2"]
    assert (await chat.messages())[1]["parts"][:2] == parts


async def test_a_chat_has_several_documents(chat: Chat) -> None:
    ids = [
        (await chat.client.call("POST", "/api/documents", status=201, json=each))["id"]
        for each in ({"title": "Rain", "text": "Rain falls."}, {"title": "Snow", "text": "Snow falls."})
    ]
    said = await chat.send(text("m1", "What falls?"), documentIds=ids)
    assert {each["title"] for each in said if each["type"] == "source-document"} == {"Rain", "Snow"}
    assert (await chat.client.session("c1"))["documentIds"] == ids


# -- what is sent


@pytest.mark.usefixtures("sees")
async def test_images_of_a_message_are_passed_on(chat: Chat, fake: FakeOllama) -> None:
    file = {"type": "file", "mediaType": "image/png", "url": IMAGE, "filename": "a.png"}
    await chat.send({"id": "m1", "role": "user", "parts": [file, {"type": "text", "text": "What is it?"}]})
    await chat.send({"id": "m2", "role": "user", "parts": [file]})
    images = [request["messages"][-1].get("images") for request in fake.requests]
    assert images == [[IMAGE.partition(",")[2]]] * 2
    shown = [message["parts"] for message in (await chat.messages())[::2]]
    file.pop("filename")
    assert shown == [[file, {"type": "text", "text": "What is it?"}], [file]]
    await chat.send({"id": "m2", "role": "user", "parts": shown[1]}, trigger="regenerate-message")
    assert len(fake.requests[-1]["messages"][-1]["images"]) == 1


async def test_settings_of_a_message_are_passed_on(chat: Chat, fake: FakeOllama) -> None:
    await chat.send(text("m1", "Hi"), model="gemma3:270m", system="Rhyme.", think=False, options={"seed": 7})
    (request,) = fake.requests
    assert request["messages"][0] == {"role": "system", "content": "Rhyme."}
    assert (request["model"], request["think"], request["options"]["seed"]) == ("gemma3:270m", False, 7)


FILE: Final = {"type": "file", "mediaType": "application/pdf", "url": "data:application/pdf;base64,AAAA"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"messages": []}, 422, "messages cannot be used: there are none."),
        ({"messages": None}, 422, "messages cannot be used: expected `array`, got `null`."),
        ({"messages": [1]}, 422, "expected `object`"),
        ({"messages": [{"id": "m1", "role": "user"}]}, 422, "missing required field `parts`"),
        ({"messages": [{"id": "m1", "role": "user", "parts": {}}]}, 422, "parts cannot be used"),
        ({"messages": [{"id": "m1", "role": "user", "parts": []}]}, 422, "empty"),
        ({"messages": [text("m1", "Hi", "assistant")]}, 422, "role assistant"),
        ({"messages": [text("m/1", "Hi")]}, 422, "1 to 44"),
        ({"messages": [text("m" * 45, "Hi")]}, 422, "1 to 44"),
        ({"messages": [{"id": "m", "role": "user", "parts": [FILE]}]}, 422, "upload a document"),
        ({"messages": [text("m1", "é" * 131_073)]}, 413, "256 KiB"),
        (
            {"messages": [text("m0", "a" * 10), {"id": 1}, text("m1", "Hi")]},
            422,
            "messages.id cannot be used",
        ),
        ({"messages": [text("m1", "Hi")], "message": text("m1", "Hi")}, 422, "one of the two"),
        ({"messages": [text("m1", "Hi")], "id": "a/b"}, 422, "id cannot be used"),
        ({"messages": [text("m1", "Hi")], "id": ".."}, 422, "id cannot be used"),
        ({"messages": [text("m1", "Hi")], "trigger": "x"}, 422, "trigger cannot be used"),
        ({"messages": [text("m1", "Hi")], "model": "none"}, 422, "none"),
        ({"messages": [text("m1", "Hi")], "options": {"num_ctx": 1}}, 422, "ALLOWED_OPTIONS"),
    ],
)
async def test_what_cannot_be_used_is_refused_in_one_sentence(
    chat: Chat, fake: FakeOllama, body: dict[str, Any], status: int, said: str
) -> None:
    got, _, sentence = await chat.refusal(**body)
    assert got == status
    assert said in sentence
    assert sentence.endswith(".")
    assert not {"\n", "{"} & set(sentence)
    assert not fake.requests


NOTHING: Final = {
    "messages": b'"messages":[%b1]' % (b"1," * 5_000_000),
    "parts": b'"messages":[{"id":"m","role":"user","parts":[%b1]}]' % (b'{"type":""},' * 1_500_000),
    "parts of one": b'"message":{"id":"m","role":"user","parts":[%b1]}' % (b'{"type":""},' * 1_500_000),
    "history": b'"messages":[%b1]' % (b'{"id":"","role":"user","parts":[]},' * 300_000),
}


@pytest.mark.parametrize("inner", NOTHING.values(), ids=NOTHING)
async def test_a_list_of_nothing_is_not_unfolded(chat: Chat, inner: bytes) -> None:
    peaks = []
    for fill in (inner, b'"messages":"%b"' % (b"1" * len(inner))):
        tracemalloc.start()
        path, headers = chat.client.url(CHAT), {"Content-Type": "application/json"}
        body = BytesIO(b'{"id":"c1",%b}' % fill)
        async with chat.client.http.post(path, data=body, headers=headers) as response:
            assert response.status in {413, 422}
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 1.5 * peaks[1]


LAST: Final = b'{"id":"m","role":"user","parts":[%b{"type":"text","text":"Hi"}]}'
UNFOLDED: Final = {
    "messages": b'"messages":[%b%b]' % (b"1," * 1_000_000, LAST % b""),
    "parts": b'"message":' + LAST % (b'{"type":""},' * 1_000_000),
}


@pytest.mark.parametrize("inner", UNFOLDED.values(), ids=UNFOLDED)
async def test_what_was_unfolded_is_not_kept(client: Client, fake: FakeOllama, inner: bytes) -> None:
    """While a message is checked, no more than the body counts as held."""
    fake.instead["/api/tags"] = Script(head=(head := Gate()))
    body = b'{"id":"%b",%b}' % ((await client.new_session()).encode(), inner)
    path, headers = client.url(CHAT), {"Content-Type": "application/json"}
    tracemalloc.start()
    async with asyncio.TaskGroup() as tasks:
        sent = tasks.create_task(client.http.post(path, data=BytesIO(body), headers=headers))
        await until(lambda: fake.calls["/api/tags"] > 0)
        held, _ = tracemalloc.get_traced_memory()
        head.open()
    tracemalloc.stop()
    assert sent.result().status == 200
    sent.result().close()
    assert held < 4 * len(body)


async def test_histories_that_come_at_once_are_unfolded_in_turn(client: Client) -> None:
    """Of each who asks, the next one is read once the one before it is stored."""
    history, headers = [text("", "Hi")] * 1_000, {"Content-Type": "application/json"}
    peaks = []
    for number in (2, 10):
        chats = [
            {"id": f"{number}-{each}", "messages": [*history, text("m", "Hi")]} for each in range(number)
        ]
        bodies = [BytesIO(json.dumps(chat).encode()) for chat in chats]
        tracemalloc.start()
        sending = [client.http.post(client.url(CHAT), data=body, headers=headers) for body in bodies]
        for response in await asyncio.gather(*sending):
            assert response.status == 200
            response.close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 3 * peaks[0]


async def test_a_history_has_limits(chat: Chat) -> None:
    history = [text("", "Hi")] * 10_001
    status, _, sentence = await chat.refusal(*history, text("m1", "Hi"))
    assert (status, sentence) == (
        413,
        "There are more than 10000 messages; send only the last one, as `message`.",
    )
    long = text("m0", "é" * 2**21 + "é")
    status, _, sentence = await chat.refusal(long, text("m1", "Hi"))
    assert (status, sentence) == (
        413,
        "A message is longer than 4 MiB; send only the last one, as `message`.",
    )
    await chat.send(text("m1", "Hi"))
    await chat.send(*history, text("m2", "Hi"))  # of a chat that is known, it is not read
    assert len(await chat.ids()) == 4


# -- chats that are not there


async def test_a_chat_without_messages_has_nothing_to_list_or_resume(chat: Chat) -> None:
    assert await chat.messages() == []
    await chat.nothing_to_resume()
    await chat.stop(status=404)


async def test_a_chat_of_another_user_is_as_one_that_is_not_there(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(trusted_user_header="X-User")
    ann, bob = Chat(client, headers={"X-User": "ann"}), Chat(client, headers={"X-User": "bob"})
    fake.script = Script(answer("One two"), gate=(gate := Gate()))
    async with ann.sending(text("m1", "Hi")) as chunks:
        gate.let(1)
        await chunks.until("text-delta")
        assert await bob.messages() == []
        await bob.nothing_to_resume()
        await bob.stop(status=404)
        for history in ([], [text("m1", "Hi"), text("a", "b", "assistant")]):
            assert (await bob.refusal(*history, text("m2", "Mine")))[:2] == (404, "not_found")
        gate.open()
        await chunks.rest()
        assert chunks.text() == "One two"
    assert len(await ann.messages()) == 2


async def test_a_refused_first_message_can_be_sent_again(chat: Chat) -> None:
    history = [text("m0", "Before")]
    assert (await chat.refusal(*history, text("m1", "Hi"), model="none"))[0] == 422
    await chat.send(*history, text("m1", "Hi"), trigger="regenerate-message")
    assert (await chat.ids())[:2] == ["m0", "m1"]
