"""Regenerate and edit: which messages are replaced, and what the prompt has from then on."""

from base64 import b64encode
from typing import Any

import pytest
from chat_client import Client, Stream
from fake_ollama import FakeOllama, Gate, Script, Scripted, answer, error, refused, token
from stored import rows

from chatproxy import Config

SUN, MOON = b64encode(b"the sun").decode(), b64encode(b"the moon").decode()


@pytest.fixture(autouse=True)
def seeing(fake: FakeOllama) -> None:
    """Let the model take images."""
    for shown in fake.shows.values():
        shown["capabilities"] = [*shown["capabilities"], "vision"]


def says(text: str, **more: Any) -> Script:
    return Script(answer(text, **more))


async def said(client: Client, fake: FakeOllama, session: str, question: str, reply: Scripted) -> Stream:
    fake.script = reply
    return await client.ask(session, question)


async def talked(client: Client, fake: FakeOllama) -> tuple[str, list[int]]:
    """Make a session of three turns; return it and the ids of its questions."""
    session = await client.new_session()
    streams = [await said(client, fake, session, f"Q{number}", says(f"A{number}")) for number in (1, 2, 3)]
    return session, [stream.events[0]["userMessageId"] for stream in streams]


async def shown(client: Client, session: str) -> list[str]:
    return [message["content"] for message in await client.messages(session)]


def asked(fake: FakeOllama) -> list[str]:
    """Return the texts of the last prompt, the question included."""
    return [message["content"] for message in fake.requests[-1]["messages"]]


def pictures(fake: FakeOllama) -> list[list[str]]:
    return [message.get("images", []) for message in fake.requests[-1]["messages"]]


async def image_counts(client: Client, session: str) -> list[int]:
    return [message["imageCount"] for message in await client.messages(session)]


@pytest.mark.parametrize(
    ("number", "kept"),
    [(0, []), (1, ["Q1", "A1"]), (2, ["Q1", "A1", "Q2", "A2"])],
    ids=["the first", "one in the middle", "the last"],
)
@pytest.mark.parametrize("question", ["same", "other"])
async def test_a_send_replaces_a_message_and_all_after_it(
    client: Client, fake: FakeOllama, number: int, kept: list[str], question: str
) -> None:
    session, questions = await talked(client, fake)
    text = f"Q{number + 1}" if question == "same" else "Better"
    fake.script = says("New")
    stream = await client.ask(session, text, replaces=questions[number])
    assert stream.last["fullResponse"] == "New"
    assert asked(fake) == [*kept, text]
    assert await shown(client, session) == [*kept, text, "New"]
    assert (await client.session(session))["messageCount"] == len(kept) + 2


async def test_the_conversation_goes_on_from_the_replacement(client: Client, fake: FakeOllama) -> None:
    session, questions = await talked(client, fake)
    fake.script = says("New")
    await client.ask(session, "Better", replaces=questions[1])
    await client.ask(session, "And then?")
    assert asked(fake) == ["Q1", "A1", "Better", "New", "And then?"]
    assert [turn["role"] for turn in fake.requests[-1]["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert (await client.session(session))["messageCount"] == 6


async def test_a_message_can_be_replaced_more_than_once(client: Client, fake: FakeOllama) -> None:
    session, questions = await talked(client, fake)
    replaced = questions[1]
    for number in range(3):
        stream = await client.ask(session, f"Try {number}", replaces=replaced)
        replaced = stream.events[0]["userMessageId"]
    assert asked(fake) == ["Q1", "A1", "Try 2"]
    assert (await client.session(session))["messageCount"] == 4


async def test_replaced_messages_are_kept_in_the_database(
    client: Client, fake: FakeOllama, config: Config
) -> None:
    session, questions = await talked(client, fake)
    await client.ask(session, "Better", replaces=questions[1])
    kept = rows(config.database, "SELECT content FROM message ORDER BY id")
    assert {("Q2",), ("A2",), ("Q3",), ("A3",)} <= set(kept)


async def test_replaced_messages_are_neither_listed_nor_found_nor_exported(
    client: Client, fake: FakeOllama
) -> None:
    session, questions = await talked(client, fake)
    await client.call("PATCH", f"/api/chat/sessions/{session}", json={"title": "Talk"})
    fake.script = says("New")
    await client.ask(session, "Better", replaces=questions[0])
    found = [
        len((await client.call("GET", "/api/chat/sessions", params={"q": words}))["sessions"])
        for words in ("Q1", "A3", "Better")
    ]
    assert found == [0, 0, 1]
    exported = await client.call("GET", f"/api/chat/sessions/{session}/export", params={"format": "json"})
    assert [message["content"] for message in exported["messages"]] == await shown(client, session)


@pytest.mark.parametrize("which", ["an answer", "superseded", "another session's", "none", "its answer's"])
async def test_only_a_question_of_the_session_can_be_replaced(
    client: Client, fake: FakeOllama, which: str
) -> None:
    session, questions = await talked(client, fake)
    _, others = await talked(client, fake)
    await client.ask(session, "Better", replaces=questions[1])
    answers = [message["id"] for message in await client.messages(session) if message["role"] != "user"]
    replaces = {
        "an answer": answers[0],
        "its answer's": answers[-1],
        "superseded": questions[1],
        "another session's": others[0],
        "none": 10_000,
    }[which]
    before = await client.messages(session), await client.session(session), len(fake.requests)
    told = await client.send(session, "Again", status=422, replaces=replaces)
    assert (told["code"], told["field"]) == ("invalid", "replaces")
    assert (await client.messages(session), await client.session(session), len(fake.requests)) == before


@pytest.mark.parametrize("replaces", [0, -1, "1", 1.5, 2**63, True])
async def test_a_malformed_id_replaces_nothing(client: Client, replaces: object) -> None:
    session = await client.new_session()
    told = await client.send(session, status=422, replaces=replaces)
    assert (told["code"], told["field"]) == ("invalid", "replaces")


async def test_a_refused_replacement_changes_nothing(client: Client, fake: FakeOllama) -> None:
    session, questions = await talked(client, fake)
    before = await client.messages(session)
    await client.send(session, "Better", status=422, replaces=questions[0], model="nobody:1b")
    assert await client.messages(session) == before


async def test_a_failed_answer_can_be_retried_until_one_succeeds(client: Client, fake: FakeOllama) -> None:
    session, questions = await talked(client, fake)
    fake.script = refused(500, "no")
    await client.ask(session, "Better", replaces=questions[1])
    assert await shown(client, session) == ["Q1", "A1", "Better", ""]


# -- images


async def test_images_are_sent_again_with_the_history(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    await client.ask(session, "What is this?", images=[SUN, MOON])
    assert pictures(fake) == [[SUN, MOON]]
    await client.ask(session, "And the second?")
    assert pictures(fake) == [[SUN, MOON], [], []]
    assert await image_counts(client, session) == [2, 0, 0, 0]


@pytest.mark.parametrize(
    ("named", "sent"),
    [({}, [SUN]), ({"images": None}, [SUN]), ({"images": []}, [SUN]), ({"images": [MOON, SUN]}, [MOON, SUN])],
    ids=["absent", "null", "an empty list", "others"],
)
async def test_a_replacement_keeps_the_images_unless_it_has_its_own(
    client: Client, fake: FakeOllama, named: dict[str, Any], sent: list[str]
) -> None:
    session = await client.new_session()
    first = await client.ask(session, "What is this?", images=[SUN])
    second = await client.ask(session, "What?", replaces=first.events[0]["userMessageId"], **named)
    assert pictures(fake) == [sent]
    await client.ask(session, "Really?", replaces=second.events[0]["userMessageId"])
    assert pictures(fake) == [sent]
    await client.ask(session, "And?")
    assert pictures(fake) == [sent, [], []]
    assert await image_counts(client, session) == [len(sent), 0, 0, 0]


async def test_a_replacement_takes_no_images_of_another_question(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    await client.ask(session, "What is this?", images=[SUN])
    second = await client.ask(session, "And this?")
    await client.ask(session, "And that?", replaces=second.events[0]["userMessageId"])
    assert pictures(fake) == [[SUN], [], []]
    assert await image_counts(client, session) == [1, 0, 0, 0]


# -- what counts as said


@pytest.mark.parametrize(
    ("reply", "history"),
    [
        (says("Done"), ["Q1", "Done"]),
        (says("Done", reason="length"), ["Q1", "Done"]),
        (says("Done", thinking="Hm, well"), ["Q1", "Done"]),
        (Script([token("Half")], end="cut"), ["Q1", "Half"]),
        (Script([token("Half"), error("no")]), ["Q1", "Half"]),
        (Script([token(thinking="Hm")], end="cut"), []),
        (Script([], end="cut"), []),
        (refused(500, "no"), []),
        (says(""), []),
    ],
    ids=[
        "complete",
        "at its limit",
        "after thinking",
        "cut",
        "broken off",
        "only thought",
        "without a word",
        "refused",
        "empty",
    ],
)
async def test_an_empty_answer_is_left_out_of_the_prompt_with_its_question(
    client: Client, fake: FakeOllama, reply: Script, history: list[str]
) -> None:
    session = await client.new_session()
    await said(client, fake, session, "Q0", says("A0"))
    await said(client, fake, session, "Q1", reply)
    await said(client, fake, session, "Q2", says("A2"))
    assert asked(fake) == ["Q0", "A0", *history, "Q2"]
    assert all(set(turn) == {"role", "content"} for turn in fake.requests[-1]["messages"])


@pytest.mark.parametrize("words", [0, 1])
async def test_the_text_of_a_cancelled_answer_is_in_the_prompt(
    client: Client, fake: FakeOllama, words: int
) -> None:
    session = await client.new_session()
    fake.script = Script(answer("Half done"), gate=(gate := Gate()))
    gate.let(words)
    async with client.sending(session, "Q1") as stream:
        await stream.until("chunk" if words else "status")
        await client.cancel(session, stream.answer_id)
    await said(client, fake, session, "Q2", says("A2"))
    assert asked(fake) == (["Q1", "Half", "Q2"] if words else ["Q2"])


async def test_the_first_question_names_the_session_and_a_later_one_does_not(
    client: Client, fake: FakeOllama
) -> None:
    session, questions = await talked(client, fake)
    await client.ask(session, "Better", replaces=questions[1])
    assert (await client.session(session))["title"] == "Q1"


async def test_a_new_version_of_the_first_question_renames_the_session_unless_somebody_named_it(
    client: Client, fake: FakeOllama
) -> None:
    session, questions = await talked(client, fake)
    fake.script = says("New")
    await client.ask(session, "Better", replaces=questions[0])
    assert (await client.session(session))["title"] == "Better"
    (edited, _) = await client.messages(session)
    await client.call("PATCH", f"/api/chat/sessions/{session}", json={"title": "Talk"})
    await client.ask(session, "Best", replaces=edited["id"])
    assert (await client.session(session))["title"] == "Talk"
