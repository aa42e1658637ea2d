"""Stored messages with the text of live answers, over a real store."""

import asyncio
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from chatproxy.answers import transcript as module
from chatproxy.answers.answer import Answer
from chatproxy.answers.peers import Alone
from chatproxy.answers.transcript import Transcript
from chatproxy.errors import ChatError
from chatproxy.store.records import Message, NewTurn, Session
from chatproxy.store.store import Store


class Live:
    """The answers in memory, as the registry would keep them."""

    def __init__(self) -> None:
        self.by_id: dict[int, Answer] = {}
        self.begins: dict[str, asyncio.Future[Answer]] = {}

    def answer(self, message_id: int) -> Answer | None:
        return self.by_id.get(message_id)

    def answers(self) -> Mapping[int, Answer]:
        return dict(self.by_id)

    def beginning(self, session_id: str) -> asyncio.Future[Answer] | None:
        return self.begins.get(session_id)


@pytest.fixture
async def session(store: Store) -> Session:
    return await store.sessions.create("")


@pytest.fixture
def live() -> Live:
    return Live()


@pytest.fixture
def transcript(store: Store, live: Live) -> Transcript:
    return Transcript(store.messages, live, Alone())


async def begun(store: Store, session: Session) -> Message:
    _, reply = await store.messages.begin(session, NewTurn(content="Hi", model="m"))
    return reply


async def stored(store: Store, session: Session) -> Message:
    """An answer that has ended."""
    reply = await begun(store, session)
    await store.messages.finish(replace(reply, status="complete", content="Done."))
    return reply


def writing(live: Live, reply: Message, text: str) -> Answer:
    answer = Answer(reply, reply.id - 1)
    answer.append("", text, 1)
    live.by_id[reply.id] = answer
    return answer


async def test_every_read_shows_the_live_text(
    store: Store, session: Session, live: Live, transcript: Transcript
) -> None:
    reply = await begun(store, session)
    answer = writing(live, reply, "so far")
    assert await transcript.answer(session, reply.id) is answer
    assert (await transcript.message(session, reply.id)).content == "so far"
    page, _ = await transcript.page(session, limit=10, before=None)
    pages = [message async for message in transcript.conversation(session, "ann")]
    history = await transcript.history(session, limit=10, before=None)
    assert [message.content for message in page] == ["Hi", "so far"]
    assert [message.content for message in pages] == ["Hi", "so far"]
    assert [message.content for message in history] == ["so far", "Hi"]


async def test_a_deletion_in_the_middle_does_not_look_like_the_end(
    store: Store, session: Session, transcript: Transcript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXPORT_MESSAGES", 1)
    await begun(store, session)
    pages = transcript.conversation(session, "ann")
    assert (await anext(pages)).role == "user"
    await store.sessions.delete(session)
    with pytest.raises(ChatError) as refused:
        await anext(pages)
    assert refused.value.code == "not_found"


async def test_an_outcome_that_is_not_committed_yet_is_shown(
    store: Store, session: Session, live: Live, transcript: Transcript
) -> None:
    reply = await begun(store, session)
    answer = writing(live, reply, "all of it")
    answer.end(replace(answer.message, status="complete", finish_reason="stop"))
    assert (await transcript.message(session, reply.id)).status == "complete"


async def test_a_live_answer_of_another_session_is_not_found(
    store: Store, session: Session, live: Live, transcript: Transcript
) -> None:
    reply = await begun(store, await store.sessions.create("somebody else"))
    writing(live, reply, "secret")
    for read in (transcript.answer, transcript.message):
        with pytest.raises(ChatError) as refused:
            await read(session, reply.id)
        assert refused.value.code == "not_found"


async def test_a_stored_answer_is_read_from_the_store(
    store: Store, session: Session, transcript: Transcript
) -> None:
    reply = await stored(store, session)
    answer = await transcript.answer(session, reply.id)
    assert answer.ended
    assert answer.message.content == "Done."


async def test_all_who_read_a_stored_answer_at_once_share_it(
    store: Store, session: Session, transcript: Transcript
) -> None:
    reply = await stored(store, session)
    first, second = await asyncio.gather(*[transcript.answer(session, reply.id) for _ in range(2)])
    assert first is second is await transcript.answer(session, reply.id)
    other = await store.sessions.create("somebody else")
    with pytest.raises(ChatError, match="no answer"):
        await transcript.answer(other, reply.id)


async def test_an_answer_about_to_begin_is_waited_for(
    store: Store, session: Session, live: Live, transcript: Transcript
) -> None:
    reply = await begun(store, session)
    beginning: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    live.begins[session.id] = beginning
    reading = asyncio.create_task(transcript.answer(session, reply.id))
    await asyncio.wait({reading}, timeout=0.1)
    assert not reading.done()
    beginning.set_result(writing(live, reply, ""))
    del live.begins[session.id]
    assert await reading is live.by_id[reply.id]


async def test_an_answer_that_was_given_up_is_not_waited_for(
    store: Store, session: Session, transcript: Transcript
) -> None:
    """After a shutdown the database did not answer, the row is left to the next start."""
    reply = await begun(store, session)
    with pytest.raises(ChatError) as refused:
        await asyncio.wait_for(transcript.answer(session, reply.id), 5)
    assert refused.value.code == "shutting_down"


async def test_a_question_is_no_answer(store: Store, session: Session, transcript: Transcript) -> None:
    reply = await begun(store, session)
    with pytest.raises(ChatError, match="no answer"):
        await transcript.answer(session, reply.id - 1)
