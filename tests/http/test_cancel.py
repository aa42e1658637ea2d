"""Cancelling an answer, in any state: nothing is appended afterwards, and all readers get the same end."""

import asyncio
from typing import Any

import pytest
from chat_client import Client, Serve, Stream
from fake_ollama import FakeOllama, Gate, Script, Scripted, answer, greet, refused
from held_back import WORDS, in_the_middle
from stored import rows
from waiting import until

from chatproxy import Config
from chatproxy.store.messages import Messages


async def closes(fake: FakeOllama, number: int = 1) -> None:
    """Check that the connection to Ollama is closed soon, and not because the answer is complete."""
    chat = await fake.arrived(number)
    await asyncio.wait_for(chat.closed.wait(), 5)
    assert not chat.served


async def turns(number: int) -> None:
    """Let the event loop go around that many times."""
    for _ in range(number):
        await asyncio.sleep(0)


def told(stream: Stream) -> tuple[str, str, str]:
    last = stream.last
    return last["type"], last["finishReason"], last["fullResponse"]


async def test_the_partial_text_is_kept_and_the_connection_closed(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    async with in_the_middle(client, fake, session) as (stream, _):
        message = await client.cancel(session, stream.answer_id)
        await closes(fake)
        await stream.rest()
    fields = ("status", "content", "finishReason", "error", "cursor", "usage")
    assert [message[field] for field in fields] == [
        "cancelled",
        "One two",
        "cancelled",
        None,
        "0.7.end",
        None,
    ]
    assert (await client.messages(session))[1] == message
    assert told(stream) == ("done", "cancelled", "One two")
    assert stream.kinds() == ["start", "chunk", "done"]


async def test_every_reader_gets_the_same_end(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    async with in_the_middle(client, fake, session, clientMessageId="a") as (stream, _):
        waiting = asyncio.create_task(client.send(session, clientMessageId="a"))
        async with (
            client.resuming(session, stream.answer_id) as second,
            client.resuming(session, stream.answer_id, after="0.3") as third,
        ):
            await second.has("One two")
            await third.has(" two")
            await client.cancel(session, stream.answer_id)
            for each in (stream, second, third):
                await each.rest()
                assert told(each) == ("done", "cancelled", "One two")
        answered = await waiting
    assert (answered["finishReason"], answered["fullResponse"]) == ("cancelled", "One two")


async def test_nothing_is_appended_after_the_answer_to_the_cancel(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    async with in_the_middle(client, fake, session) as (stream, gate):
        message = await client.cancel(session, stream.answer_id)
        gate.open()
        await closes(fake)
        await stream.rest()
    assert stream.text() == "One two"
    assert (await client.messages(session))[1] == message


async def test_a_queued_answer_is_cancelled_before_ollama_is_asked(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(max_concurrent_generations=1)
    running, queued = await client.new_session(), await client.new_session()
    async with in_the_middle(client, fake, running, message="first") as (first, gate):
        async with client.sending(queued, "second") as second:
            assert (await second.until("status"))["state"] == "queued"
            message = await client.cancel(queued, second.answer_id)
            await second.rest()
        gate.open()
        await first.rest()
    await client.ask(queued, "third")
    assert (message["status"], message["content"]) == ("cancelled", "")
    assert told(second) == ("done", "cancelled", "")
    assert told(first) == ("done", "stop", WORDS)
    assert [request["messages"][-1]["content"] for request in fake.requests] == ["first", "third"]


async def test_an_answer_is_cancelled_while_its_model_loads(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer(WORDS), head=Gate())
    session = await client.new_session()
    async with client.sending(session) as stream:
        await fake.arrived()
        await stream.until("status")
        message = await client.cancel(session, stream.answer_id)
        await closes(fake)
        await stream.rest()
    assert (message["status"], message["content"]) == ("cancelled", "")
    assert told(stream) == ("done", "cancelled", "")


@pytest.mark.parametrize("number", range(0, 12, 2))
async def test_an_answer_is_cancelled_right_after_its_start(
    client: Client, fake: FakeOllama, number: int
) -> None:
    fake.script = Script(answer(WORDS), head=Gate())
    session = await client.new_session()
    async with client.sending(session) as stream:
        await stream.next()
        await turns(number)
        message = await client.cancel(session, stream.answer_id)
        await stream.rest()
    assert (message["status"], told(stream)) == ("cancelled", ("done", "cancelled", ""))
    for chat in fake.chats:
        await asyncio.wait_for(chat.closed.wait(), 5)


async def test_a_second_cancel_changes_nothing(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    async with in_the_middle(client, fake, session) as (stream, _):
        messages = [await client.cancel(session, stream.answer_id) for _ in range(2)]
    assert messages[1] == messages[0]


async def test_simultaneous_cancels_get_the_same_response(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    async with in_the_middle(client, fake, session) as (stream, _):
        messages = await asyncio.gather(*[client.cancel(session, stream.answer_id) for _ in range(20)])
        await stream.rest()
    assert messages == [(await client.messages(session))[1]] * 20
    assert stream.kinds() == ["start", "chunk", "done"]


@pytest.mark.parametrize(
    ("script", "status"),
    [(greet, "complete"), (refused(400, "no"), "failed"), (Script([], end="cut"), "failed")],
    ids=["complete", "refused", "cut"],
)
async def test_a_finished_answer_is_not_changed(
    client: Client, fake: FakeOllama, script: Scripted, status: str
) -> None:
    fake.script = script
    session = await client.new_session()
    stream = await client.ask(session)
    before = (await client.messages(session))[1]
    assert await client.cancel(session, stream.answer_id) == before
    assert before["status"] == status


async def test_only_answers_of_the_session_can_be_cancelled(client: Client) -> None:
    session, other = await client.new_session(), await client.new_session()
    stream, elsewhere = await client.ask(session), await client.ask(other)
    for message in (stream.events[0]["userMessageId"], elsewhere.answer_id, 10_000, "x"):
        path = f"/api/chat/sessions/{session}/messages/{message}/cancel"
        assert (await client.call("POST", path, status=404))["code"] == "not_found"


@pytest.mark.parametrize("number", range(0, 60, 3))
async def test_a_cancel_that_races_with_the_end_has_one_outcome(
    client: Client, fake: FakeOllama, number: int
) -> None:
    session = await client.new_session()
    async with in_the_middle(client, fake, session) as (stream, gate):
        gate.open()
        await turns(number)
        message = await client.cancel(session, stream.answer_id)
        await stream.rest()
    assert told(stream) == ("done", message["finishReason"], message["content"])
    assert stream.text() == message["content"]
    assert WORDS.startswith(message["content"])
    assert (message["status"], message["finishReason"]) in [("complete", "stop"), ("cancelled", "cancelled")]
    assert message["status"] == "cancelled" or message["content"] == WORDS
    assert (await client.messages(session))[1] == message


async def test_the_next_message_can_be_sent_at_once(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    for number in range(1, 6):
        async with in_the_middle(client, fake, session) as (stream, _):
            await client.cancel(session, stream.answer_id)
        await closes(fake, number)
    fake.script = greet
    assert (await client.ask(session, "Next")).last["finishReason"] == "stop"
    assert (await client.session(session))["messageCount"] == 12


async def test_the_session_is_free_afterwards(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    async with in_the_middle(client, fake, session) as (stream, _):
        busy = await client.session(session)
        await client.cancel(session, stream.answer_id)
        idle = await client.session(session)
    assert (busy["activeMessageId"], idle["activeMessageId"]) == (stream.answer_id, None)


async def test_deleting_the_session_cancels_its_answer(
    client: Client, fake: FakeOllama, config: Config
) -> None:
    session = await client.new_session()
    async with in_the_middle(client, fake, session) as (stream, gate):
        await client.call("DELETE", f"/api/chat/sessions/{session}", status=204)
        gate.open()
        await closes(fake)
        await stream.rest()
    assert told(stream) == ("done", "cancelled", "One two")
    await client.call("GET", f"/api/chat/sessions/{session}", status=404)
    await until(lambda: rows(config.database, "SELECT count(*) FROM message") == [(0,)])


async def test_deleting_the_session_waits_for_an_answer_that_is_about_to_begin(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are stored, and nobody has begun to produce it."""
    stored, begin, committed = Messages.begin, asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> Any:
        rows = await stored(*args)
        committed.set()
        await begin.wait()
        return rows

    monkeypatch.setattr(Messages, "begin", slow)
    fake.script = Script(answer(WORDS)[:1], end="hang")
    session = await client.new_session()
    asked = asyncio.create_task(client.ask(session))
    await committed.wait()
    deleted = asyncio.create_task(client.call("DELETE", f"/api/chat/sessions/{session}", status=204))
    await asyncio.wait({deleted}, timeout=0.2)
    assert not deleted.done()
    begin.set()
    stream = await asked
    assert (stream.last["type"], stream.last["finishReason"]) == ("done", "cancelled")
    await deleted
