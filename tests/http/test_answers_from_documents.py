"""Answers from a document: what is in the prompt, what the reader gets, what is stored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Script, answer, refusing_over
from msgspec.structs import replace

from chatproxy.documents.parts import Remark, without_text
from chatproxy.documents.worker import DocumentReader, ReadFile

DATA = Path(__file__).parents[1] / "data" / "documents"
TEXT = "\n\n".join(
    [
        "The lighthouse of Ardnavar was built of granite in 1846 and is forty metres high. " * 8,
        "Its keeper, Morag Sinclair, kept bees and sold their honey to passing fishermen. " * 8,
        "The lamp burned rapeseed oil until paraffin came, and electricity in 1933. " * 8,
    ]
)


async def document(client: Client, text: str = TEXT) -> int:
    made = await client.call("POST", "/api/documents", status=201, json={"title": "Ardnavar", "text": text})
    return int(made["id"])


async def last_message(client: Client, session: str) -> Any:
    return (await client.messages(session))[-1]


async def test_passages_are_in_the_prompt_and_in_the_sources(client: Client, fake: FakeOllama) -> None:
    session, number = await client.new_session(), await document(client)
    stream = await client.ask(session, "Who sold honey?", document_id=number)
    start, done = stream.events[0], stream.last
    assert "Morag Sinclair" in start["sources"][0]["snippet"]
    assert {source["documentId"] for source in start["sources"]} == {number}
    assert done["sources"] == [{**source, "cited": False} for source in start["sources"]]
    assert (await last_message(client, session))["sources"] == done["sources"]

    asked = fake.requests[0]["messages"][-1]
    assert asked["role"] == "user"
    assert asked["content"].endswith("\n\nWho sold honey?")
    assert start["sources"][0]["snippet"] in asked["content"]
    assert "[1]" in asked["content"]
    stored = (await client.messages(session))[0]
    assert (stored["content"], stored["documentId"]) == ("Who sold honey?", number)


async def test_a_document_stays_with_its_session_until_it_is_removed(
    client: Client, fake: FakeOllama
) -> None:
    session, number = await client.new_session(), await document(client)
    await client.ask(session, "Who sold honey?", documentId=number)
    assert (await client.session(session))["documentId"] == number
    again = await client.ask(session, "When did paraffin come?")
    assert again.events[0]["sources"]
    without = await client.ask(session, "And now without?", document_id=None)
    assert without.events[0]["sources"] == []
    assert (await client.session(session))["documentId"] is None
    # What was quoted for an earlier message is not quoted again in the history.
    assert fake.requests[2]["messages"][0]["content"] == "Who sold honey?"


@pytest.mark.parametrize("missing", [1, 2**63 - 1])
async def test_an_unknown_document_is_refused(client: Client, missing: int) -> None:
    session = await client.new_session()
    answer = await client.refused(session, 404, json={"message": "Hello", "document_id": missing})
    assert answer["code"] == "not_found"
    assert await client.messages(session) == []


async def test_a_session_goes_on_without_a_deleted_document(client: Client) -> None:
    session, number = await client.new_session(), await document(client)
    first = await client.ask(session, "Who sold honey?", document_id=number)
    await client.call("DELETE", f"/api/documents/{number}", status=204)
    stream = await client.ask(session, "And now?")
    warnings = [event["code"] for event in stream.events if event["type"] == "warning"]
    assert (warnings, stream.last["sources"]) == (["document_gone"], [])
    assert [warning["code"] for warning in (await last_message(client, session))["warnings"]] == warnings
    # The answer from before keeps what it drew on, and the next one is not warned again.
    assert (await client.messages(session))[1]["sources"] == first.last["sources"]
    assert [event["type"] for event in (await client.ask(session, "Next")).events].count("warning") == 0


async def test_a_question_without_a_match_gets_a_warning(client: Client) -> None:
    session, number = await client.new_session(), await document(client)
    stream = await client.ask(session, "xylophone zebra", document_id=number)
    assert "document_no_match" in [event.get("code") for event in stream.events]
    assert stream.last["sources"]


@pytest.fixture
def scan(monkeypatch: pytest.MonkeyPatch) -> list[Remark]:
    """What is said of each document that is read."""
    remarks = [without_text([2, 3, 4, 7]), Remark("encoding_guessed", "It is in one, or in another.")]
    reading = DocumentReader.reading

    @asynccontextmanager
    async def remarking(*arguments: Any) -> AsyncIterator[ReadFile]:
        async with reading(*arguments) as read:
            yield replace(read, remarks=remarks)

    monkeypatch.setattr(DocumentReader, "reading", remarking)
    return remarks


async def test_an_answer_says_what_could_not_be_read(client: Client, scan: list[Remark]) -> None:
    session, number = await client.new_session(), await document(client)
    warnings = [{"code": code, "message": message} for code, message in scan]
    assert (await client.call("GET", f"/api/documents/{number}"))["warnings"] == warnings
    (listed,) = (await client.call("GET", "/api/documents"))["documents"]
    assert listed["warnings"] == warnings
    assert warnings[0]["message"].startswith("Pages 2-4 and 7 hold pictures only")
    named = [{**each, "message": f"Ardnavar: {each['message']}"} for each in warnings]
    for question in ("Who sold honey?", "What is it about?"):
        stream = await client.ask(session, question, document_id=number)
        events = [event for event in stream.events if event["type"] == "warning"]
        assert events == [{"type": "warning", **each} for each in named]
        assert (await last_message(client, session))["warnings"] == named
    no_match = await client.ask(session, "zebra xylophone", document_id=number)
    codes = [event["code"] for event in no_match.events if event["type"] == "warning"]
    assert codes == ["partial", "encoding_guessed", "document_no_match"]


async def test_a_prompt_that_is_fitted_again_keeps_the_warnings(
    client: Client, fake: FakeOllama, scan: list[Remark]
) -> None:
    scan[1] = Remark("partial", "Its pictures are not read.")
    fake.running, fake.script = [], refusing_over(1024)
    session = await client.new_session()
    number = await document(client, "\n\n".join(f"Honey {n}. " + "Bees fly far. " * 60 for n in range(9)))
    stream = await client.ask(session, "honey bees", document_id=number)
    assert (len(fake.requests), stream.last["type"]) == (2, "done")
    warnings = (await last_message(client, session))["warnings"]
    assert [warning["code"] for warning in warnings] == ["partial", "partial"]


async def test_passages_are_left_out_of_a_small_window(client: Client, fake: FakeOllama) -> None:
    fake.running[0]["context_length"] = 1024
    session = await client.new_session()
    number = await document(
        client, "\n\n".join(f"Honey chapter {n}. " + "Bees fly far. " * 60 for n in range(9))
    )
    stream = await client.ask(session, "honey bees", document_id=number)
    assert 0 < len(stream.last["sources"]) < 5
    for source in stream.last["sources"]:
        assert source["snippet"] in fake.requests[0]["messages"][-1]["content"]


async def test_passages_left_out_are_no_sources(client: Client, fake: FakeOllama) -> None:
    fake.running, fake.script = [], refusing_over(1024)
    session = await client.new_session()
    number = await document(
        client, "\n\n".join(f"Honey chapter {n}. " + "Bees fly far. " * 60 for n in range(9))
    )
    stream = await client.ask(session, "honey bees", document_id=number)
    assert (len(fake.requests), stream.last["type"]) == (2, "done")
    told = fake.requests[-1]["messages"][-1]["content"]
    quoted = [source for source in stream.events[0]["sources"] if source["snippet"] in told]
    assert 0 < len(quoted) < len(stream.events[0]["sources"])
    assert stream.last["sources"] == (await last_message(client, session))["sources"]
    assert stream.last["sources"] == [{**source, "cited": False} for source in quoted]


LEASE = "\n\n".join(
    [
        f"# {subject}\n\n{about} " + f"Paragraphs of {subject} are long, and repeat themselves. " * 12
        for subject, about in (
            ("Parties", "The landlord lets a flat to the tenant."),
            ("Rent", "It is due on the first of each month."),
            ("Deposit", "Three months are paid, and the landlord decides what is kept of them."),
            ("Keys", "Two are handed over."),
            ("Repairs", "Small ones are the business of the tenant."),
            ("Pets", "Cats may stay."),
            ("Garden", "The lawn is mown by the landlord."),
            ("Notice", "Three months before the end of a quarter, in writing."),
        )
    ]
)


def subjects(stream: Any) -> list[str]:
    return [source["heading"] for source in stream.last["sources"]]


@pytest.mark.parametrize(
    "question",
    [
        "Why?",
        "Tell me more about it.",
        "Can you explain that in more detail?",
        "Warum?",
        "为什么",
        "もっと詳しく",
    ],
)
async def test_a_question_without_words_of_its_own_keeps_the_passages(client: Client, question: str) -> None:
    session, number = await client.new_session(), await document(client, LEASE)
    first = await client.ask(session, "What is the deposit?", document_id=number)
    assert subjects(first)[0] == "Deposit"
    again = await client.ask(session, question)
    assert subjects(again)[0] == "Deposit"
    assert "document_no_match" not in [event.get("code") for event in again.events]
    third = await client.ask(session, question)
    assert third.last["sources"] == again.last["sources"]


async def test_a_question_with_words_of_its_own_is_joined_with_those_before(client: Client) -> None:
    session, number = await client.new_session(), await document(client, LEASE)
    await client.ask(session, "What is the deposit?", document_id=number)
    quarrels = await client.ask(session, "Who resolves quarrels?")  # no word is there
    assert subjects(quarrels)[0] == "Deposit"
    assert "document_no_match" in [event.get("code") for event in quarrels.events]
    other = await client.ask(session, "What about pets?")
    assert subjects(other)[0] == "Pets"
    assert "Deposit" in subjects(other)
    assert len(subjects(await client.ask(session, "Summarise the document."))) == 5
    assert "Deposit" not in subjects(await client.ask(session, "Give me a summary."))[:1]


async def test_a_thread_ends_where_the_document_changes(client: Client) -> None:
    session = await client.new_session()
    lease, lighthouse = await document(client, LEASE), await document(client)
    await client.ask(session, "What is the deposit?", document_id=lease)
    other = await client.ask(session, "Why?", document_id=lighthouse)
    assert [source["chunk"] for source in other.last["sources"]] == [0, 1, 2]
    assert all(source["found"] == [] for source in other.last["sources"])
    back = await client.ask(session, "Why?", document_id=lease)
    assert "Deposit" not in subjects(back)[:1]


async def test_another_version_of_a_question_does_not_follow_the_first(client: Client) -> None:
    session, number = await client.new_session(), await document(client, LEASE)
    first = await client.ask(session, "What is the deposit?", document_id=number)
    again = await client.ask(session, "And now?", replaces=first.events[0]["userMessageId"])
    assert all(source["found"] == [] for source in again.last["sources"])


async def test_sources_say_what_was_found_where_and_whether_it_is_cited(
    client: Client, fake: FakeOllama
) -> None:
    fake.script = Script(answer("It is kept [1], more or less [3, 4] or [17]."))
    session, number = await client.new_session(), await document(client, "# 🔑 Keys\n\n" + LEASE)
    stream = await client.ask(session, "Deposits for the keys?", document_id=number)
    start, sources = stream.events[0], stream.last["sources"]
    assert [source["cited"] for source in start["sources"]] == [None] * len(sources)
    cited = [number for number, source in enumerate(sources, start=1) if source["cited"]]
    assert cited == [number for number in (1, 3, 4) if number <= len(sources)]
    words = {source["snippet"][begin:end].lower() for source in sources for begin, end in source["found"]}
    assert words == {"keys", "deposit"}
    assert {source["heading"] for source in sources if source["found"]} >= {"Keys", "Deposit"}


async def test_pages_of_a_pdf_are_named(client: Client) -> None:
    form = FormData()
    form.add_field("file", (DATA / "fhs.pdf").read_bytes(), filename="fhs.pdf")
    made = await client.call("POST", "/api/documents", status=201, data=form)
    path = f"/api/documents/{made['id']}/search"
    found = await client.call("GET", path, params={"q": "What is /srv for?"})
    assert 0 < found["sources"][0]["page"] < 50
    pages = [source["page"] for source in sorted(found["sources"], key=lambda source: source["chunk"])]
    assert pages == sorted(pages)


# -- several documents


SUBJECTS = {
    "Beekeeping": "Bees are kept in hives, and their honey is taken in July.",
    "Sailing": "Sails are set before the wind, and the anchor is weighed.",
    "Baking": "Dough rises in the warmth, and bread is baked for an hour.",
    "Chess": "Bishops move along diagonals, and the king is castled.",
    "Rent": "The deposit is three months, and notice is given in writing.",
}


async def several(client: Client, subjects: dict[str, str] | None = None) -> list[int]:
    made = [
        await client.call(
            "POST", "/api/documents", status=201, json={"title": title, "text": f"{text} " * 60}
        )
        for title, text in (subjects or SUBJECTS).items()
    ]
    return [each["id"] for each in made]


async def test_several_documents_stay_with_their_session(client: Client, fake: FakeOllama) -> None:
    session, ids = await client.new_session(), await several(client)
    ids = [ids[3], *ids[:3]]
    stream = await client.ask(session, "When is honey taken, and how is bread baked?", document_ids=ids)
    titles = [source["title"] for source in stream.last["sources"]]
    assert {"Beekeeping", "Baking"} <= set(titles)
    prompt = fake.requests[0]["messages"][-1]["content"]
    assert "the title of its document" in prompt
    assert " title>Beekeeping" in prompt
    assert " title>Baking" in prompt
    assert stream.events[0]["documentIds"] == ids
    kept = await client.session(session)
    assert (kept["documentId"], kept["documentIds"]) == (ids[0], ids)
    again = await client.ask(session, "How does a bishop move?")
    assert again.last["sources"][0]["title"] == "Chess"
    fewer = await client.ask(session, "Is honey taken?", documentIds=[ids[2], ids[1], ids[2]])
    assert fewer.last["sources"][0]["title"] == "Beekeeping"
    await client.ask(session, "And now without?", document_ids=[])
    kept = await client.session(session)
    assert (kept["documentId"], kept["documentIds"]) == (None, [])
    whole = await client.send(session, "How does a bishop move?", document_ids=ids[:1])
    assert whole["documentIds"] == ids[:1]
    stored = (await client.messages(session))[:8]
    assert [message["documentIds"] for message in stored] == [ids] * 4 + [[ids[2], ids[1]]] * 2 + [[]] * 2
    assert [message["documentId"] for message in stored] == [ids[0]] * 4 + [ids[2]] * 2 + [None] * 2


async def test_most_passages_are_of_what_the_question_is_about(client: Client) -> None:
    session, ids = await client.new_session(), await several(client)
    stream = await client.ask(session, "How long is the notice, and how is it given?", document_ids=ids)
    titles = [source["title"] for source in stream.last["sources"]]
    assert titles.count("Rent") > len(titles) / 2


async def test_a_summary_has_something_of_each_document(client: Client) -> None:
    session, ids = await client.new_session(), await several(client)
    stream = await client.ask(session, "What are these documents about?", document_ids=ids)
    assert sorted(source["title"] for source in stream.last["sources"]) == sorted(SUBJECTS)


async def test_a_session_goes_on_with_the_documents_that_are_left(client: Client) -> None:
    session, ids = await client.new_session(), await several(client)
    await client.ask(session, "When is honey taken?", document_ids=ids)
    for number in (ids[0], ids[3]):
        await client.call("DELETE", f"/api/documents/{number}", status=204)
    stream = await client.ask(session, "How is bread baked?")
    (warning,) = [event for event in stream.events if event["type"] == "warning"]
    assert warning["code"] == "document_gone"
    assert warning["message"].startswith("The documents “Beekeeping”, “Chess” were deleted")
    assert stream.last["sources"][0]["title"] == "Baking"
    assert (await client.session(session))["documentIds"] == [ids[1], ids[2], ids[4]]
    again = await client.ask(session, "Why?")
    assert [event["type"] for event in again.events].count("warning") == 0


async def test_one_missing_document_of_several_is_refused(client: Client) -> None:
    session, ids = await client.new_session(), await several(client)
    body = {"message": "Hello", "document_ids": [ids[0], 2**63 - 1, ids[1]]}
    answer = await client.refused(session, 404, json=body)
    assert (answer["code"], str(2**63 - 1) in answer["error"]) == ("not_found", True)
    assert await client.messages(session) == []


async def test_a_document_of_another_user_is_missing_among_several(serve: Serve) -> None:
    client = await serve(trusted_user_header="X-User")
    mine, theirs = {"headers": {"X-User": "ann"}}, {"headers": {"X-User": "bob"}}
    form = {"title": "A", "text": "A"}
    own = (await client.call("POST", "/api/documents", status=201, json=form, **mine))["id"]
    other = (await client.call("POST", "/api/documents", status=201, json=form, **theirs))["id"]
    session = (await client.call("POST", "/api/chat/sessions", status=201, **mine))["id"]
    path = f"/api/chat/sessions/{session}/messages"
    body = {"message": "Hello", "document_ids": [own, other]}
    assert (await client.call("POST", path, status=404, json=body, **mine))["code"] == "not_found"


async def test_what_follows_a_question_about_one_of_the_documents_goes_on_from_it(client: Client) -> None:
    session, ids = await client.new_session(), await several(client)
    await client.ask(session, "When is honey taken?", document_ids=ids[:2])
    one = await client.ask(session, "Why?", document_ids=[ids[0], ids[4]])
    assert one.last["sources"][0]["title"] == "Beekeeping"
