"""Documents found by meaning: made beside the upload, joined with words, and never in the way of anything."""

from dataclasses import replace
from typing import Any

import pytest
import stored
from chat_client import Client, Serve, serving
from fake_ollama import FakeOllama, Gate, Script, answer, embedded, html, refused
from waiting import until

from chatproxy import Config
from chatproxy.embedding import embedder, questions

MODEL = "all-minilm:22m"
FILLER = "Paragraphs of this agreement are long, and repeat what was said before them. " * 8
LEASE = "\n\n".join(
    [
        f"# {subject}\n\n{about} {FILLER}"
        for subject, about in (
            ("Parties", "The landlord lets a flat to the tenant."),
            ("Payments", "The rent is 900 a month."),
            ("Security", "A deposit of three payments is handed over at the beginning."),
            ("Animals", "Cats may stay, and birds."),
            ("Garden", "The lawn is mown in summer."),
            ("Attic", "Boxes may be kept there."),
            ("Cellar", "Coal is kept there."),
            ("Roof", "It is green."),
            ("Doors", "They are closed at night."),
            ("Keys", "Two are handed over."),
        )
    ]
)


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve(embedding_model="auto")


async def uploaded(client: Client, text: str = LEASE, **more: Any) -> Any:
    form = {"title": "Lease", "text": text}
    return await client.call("POST", "/api/documents", status=201, json=form, **more)


async def embedded_all(client: Client, document: Any) -> None:
    async def is_done() -> bool:
        found = await client.call("GET", f"/api/documents/{document['id']}")
        return bool(found["embedded"] == found["chunks"])

    await until(is_done)


async def ask(client: Client, document: Any, question: str) -> Any:
    return await client.ask(await client.new_session(), question, document_id=document["id"])


def headings(stream: Any) -> list[str]:
    return [source["heading"] for source in stream.last["sources"]]


def warnings(stream: Any) -> list[str]:
    return [event["code"] for event in stream.events if event["type"] == "warning"]


@pytest.mark.parametrize(
    ("question", "heading"),
    [("Wie hoch ist die Miete?", "Payments"), ("Combien de caution ?", "Security"), ("feline", "Animals")],
)
async def test_a_question_in_other_words_finds_its_place(
    client: Client, fake: FakeOllama, question: str, heading: str
) -> None:
    document = await uploaded(client)
    await embedded_all(client, document)
    stream = await ask(client, document, question)
    assert (headings(stream)[0], warnings(stream)) == (heading, [])
    assert stream.last["sources"][0]["found"] == []
    found = await client.call("GET", f"/api/documents/{document['id']}/search", params={"q": question})
    assert found["sources"][0]["heading"] == heading
    assert {request["model"] for request in fake.embeds} == {MODEL}


async def test_words_count_beside_meaning(client: Client) -> None:
    document = await uploaded(client)
    await embedded_all(client, document)
    stream = await ask(client, document, "Is there coal, and what about the Kaution?")
    assert {"Cellar", "Security"} == set(headings(stream)[:2])
    (cellar,) = [source for source in stream.last["sources"] if source["heading"] == "Cellar"]
    assert [cellar["snippet"][slice(*place)] for place in cellar["found"]] == ["Coal"]


async def test_a_follow_up_goes_on_from_what_was_meant(client: Client) -> None:
    document = await uploaded(client)
    await embedded_all(client, document)
    session = await client.new_session()
    await client.ask(session, "Wie hoch ist die Kaution?", document_id=document["id"])
    assert headings(await client.ask(session, "Warum?"))[0] == "Security"
    assert headings(await client.ask(session, "Et le loyer ?"))[0] == "Payments"


async def test_the_upload_waits_for_nothing(client: Client, fake: FakeOllama) -> None:
    gate = Gate()
    fake.instead["/api/embed"] = lambda request: embedded(request, head=gate)
    document = await uploaded(client)
    assert document["embedded"] in {None, 0}
    await until(lambda: len(fake.embeds) == 1)
    before = await client.call("GET", f"/api/documents/{document['id']}")
    assert (before["chunks"], before["embedded"]) == (10, 0)
    stream = await ask(client, document, "Is coal kept?")  # by words alone, with no request for a vector
    assert (headings(stream), len(fake.embeds)) == (["Cellar", "Attic"], 1)
    gate.let()
    await until(lambda: len(fake.embeds) == 2)
    (listed,) = (await client.call("GET", "/api/documents"))["documents"]
    assert 0 < listed["embedded"] < listed["chunks"]
    gate.open()
    await embedded_all(client, document)


async def test_without_a_model_there_are_words_alone(client: Client, fake: FakeOllama) -> None:
    fake.models = [model for model in fake.models if model["name"] != MODEL]
    document = await uploaded(client)
    stream = await ask(client, document, "Wie hoch ist die Miete?")
    assert warnings(stream) == ["document_no_match"]
    assert (await client.call("GET", f"/api/documents/{document['id']}"))["embedded"] is None
    assert fake.embeds == []


async def test_a_model_that_is_installed_later_counts_from_the_next_question_on(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatproxy.models.embedding.FRESH", 0)
    models, fake.models = fake.models, [model for model in fake.models if model["name"] != MODEL]
    document = await uploaded(client)
    await ask(client, document, "rent")
    fake.models = models
    await ask(client, document, "rent")
    await embedded_all(client, document)


@pytest.mark.parametrize("is_gone", [False, True], ids=["it has other weights", "it is gone"])
async def test_a_model_that_is_another_one_now_is_not_asked(
    serve: Serve, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    """Vectors of different weights cannot be compared, so those of the chunks are made again first."""
    for module in ("models.embedding", "models.catalog"):
        monkeypatch.setattr(f"chatproxy.{module}.FRESH", 0)
    client = await serve(embedding_model="auto")
    document = await uploaded(client)
    await embedded_all(client, document)
    (model,) = [each for each in fake.models if each["name"] == MODEL]
    others = [each for each in fake.models if each is not model]
    again = {**model, "digest": "f" * 64} | ({"name": "other-embed:latest"} if is_gone else {})
    if is_gone:
        fake.shows[again["name"]] = fake.shows[MODEL]
    fake.models = [*others, again]

    async def asks() -> bool:  # the list of models is read again meanwhile
        await ask(client, document, "rent")
        return any(len(asked["input"]) > 1 for asked in fake.embeds[before:])

    before = len(fake.embeds)
    await until(asks)
    chunks = next(each for each in range(before, len(fake.embeds)) if len(fake.embeds[each]["input"]) > 1)
    assert {asked["model"] for asked in fake.embeds[chunks:]} == {again["name"]}


@pytest.mark.parametrize(("wanted", "is_said"), [("auto", False), (MODEL, True)])
async def test_without_numpy_there_are_words_alone(
    serve: Serve,
    fake: FakeOllama,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wanted: str,
    is_said: bool,
) -> None:
    monkeypatch.setattr(embedder, "find_spec", lambda name: None)
    client = await serve(embedding_model=wanted)
    document = await uploaded(client)
    assert warnings(await ask(client, document, "Wie hoch ist die Miete?")) == ["document_no_match"]
    assert ("EMBEDDING_MODEL needs numpy" in caplog.text) == is_said
    assert fake.embeds == []


async def test_a_named_model_that_is_missing_is_in_the_log(
    serve: Serve, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve(embedding_model="bge-m3")
    document = await uploaded(client)
    await until(lambda: "ollama pull bge-m3" in caplog.text)
    assert warnings(await ask(client, document, "Wie hoch ist die Miete?")) == ["document_no_match"]
    assert fake.embeds == []


async def test_a_named_chat_model_makes_no_vectors(
    serve: Serve, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    await uploaded(await serve(embedding_model="gemma3:270m"))
    await until(lambda: "gemma3:270m makes no vectors" in caplog.text)
    assert fake.embeds == []


async def test_a_late_vector_costs_one_question_some_time(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await uploaded(client)
    await embedded_all(client, document)
    monkeypatch.setattr(questions, "PATIENCE", 0.05)
    gate, count = Gate(), len(fake.embeds)
    fake.instead["/api/embed"] = lambda request: embedded(request, head=gate)
    assert headings(await ask(client, document, "Is coal kept?")) == ["Cellar", "Attic"]
    assert warnings(await ask(client, document, "Wie hoch ist die Miete?")) == ["document_no_match"]
    assert len(fake.embeds) == count + 1
    gate.open()
    monkeypatch.setattr(questions, "SILENCE", 0)


@pytest.mark.parametrize(
    "script",
    [
        refused(500, "the model has crashed"),
        refused(404, f"model '{MODEL}' not found"),
        Script([b"404 page not found"], status=404, content_type="text/plain"),
        Script([b"[1, 2]"], content_type="application/json"),
        Script([b'{"embeddings": []}'], content_type="application/json"),
        Script([b'{"embeddings": [[]]}'], content_type="application/json"),
        Script([b'{"embeddings": [[1, 2, 3]]}'], content_type="application/json"),
        Script([b'{"embeddings": [[nul'], content_type="application/json", end="cut"),
    ],
)
async def test_a_question_without_a_vector_is_asked_by_its_words(
    client: Client, fake: FakeOllama, script: Script
) -> None:
    document = await uploaded(client)
    await embedded_all(client, document)
    fake.instead["/api/embed"] = script
    stream = await ask(client, document, "Is coal kept?")
    assert (headings(stream), warnings(stream)) == (["Cellar", "Attic"], [])


async def test_only_the_text_that_a_model_refuses_is_not_found(client: Client, fake: FakeOllama) -> None:
    def picky(request: Any) -> Script:
        return refused(500, "NaN") if "Coal is kept" in str(request["input"]) else embedded(request)

    fake.instead["/api/embed"] = picky
    document = await uploaded(client)
    await embedded_all(client, document)
    assert headings(await ask(client, document, "Wie hoch ist die Miete?"))[0] == "Payments"
    assert headings(await ask(client, document, "coal"))[0] == "Cellar"  # by its word


@pytest.mark.parametrize("script", [refused(500, "the model has crashed"), html(502), html(504)])
async def test_documents_wait_for_an_ollama_that_is_away(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    monkeypatch.setattr(embedder, "RETRY", 0.02)
    fake.instead["/api/embed"] = script
    document = await uploaded(client)
    await until(lambda: len(fake.embeds) > 6)
    await fake.stop()
    del fake.instead["/api/embed"]
    await fake.start()
    await embedded_all(client, document)


async def test_answers_come_first(client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is written, there is a pause of nine times as long as the last request took."""
    gate, vector_gate = Gate(), Gate()
    fake.script = Script(answer("A long answer."), gate=gate)
    fake.instead["/api/embed"] = lambda request: embedded(request, head=vector_gate)
    monkeypatch.setattr(embedder, "PAUSE", 1e6)
    document = await uploaded(client)
    await until(lambda: len(fake.embeds) == 1)
    async with client.sending(await client.new_session(), "Hello") as stream:
        await stream.until("start")
        vector_gate.open()
        found = await progress(client, document)
        await until(lambda: progressed(client, document))
        assert len(fake.embeds) == 1, found
        gate.open()
        await stream.rest()
    await embedded_all(client, document)
    assert len(fake.embeds) > 1


async def test_an_answer_that_is_being_written_comes_first(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder, "PAUSE", 1e6)
    fake.script = Script(answer("A long answer."), gate=(gate := Gate()))
    async with client.sending(await client.new_session(), "Hello") as stream:
        await stream.until("start")
        document = await uploaded(client)

        async def has_model() -> bool:
            return await progress(client, document) is not None

        await until(has_model)
        for _ in range(20):  # in which it would have been asked
            assert await progress(client, document) == 0
        assert fake.embeds == []
        gate.open()
        await stream.rest()
    await embedded_all(client, document)


async def progress(client: Client, document: Any) -> Any:
    return (await client.call("GET", f"/api/documents/{document['id']}"))["embedded"]


async def progressed(client: Client, document: Any) -> bool:
    return bool(await progress(client, document))


def loaded(fake: FakeOllama, *names: str) -> None:
    fake.running = [{**fake.running[0], "name": name} for name in names]


async def test_where_only_one_model_fits_no_question_makes_ollama_load_two(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "FRESH", 0)
    document = await uploaded(client)
    await embedded_all(client, document)

    def evicting(request: Any) -> Script:
        loaded(fake, MODEL)
        return embedded(request)

    fake.instead["/api/embed"] = evicting
    counts = []
    for _ in range(4):
        loaded(fake, "gemma3:270m")
        before = len(fake.embeds)
        await ask(client, document, "coal")
        counts.append(len(fake.embeds) - before)
    assert counts == [1, 0, 0, 0]
    loaded(fake, MODEL)
    await ask(client, document, "coal")  # which evicts nothing
    assert len(fake.embeds) == before + 1


async def test_a_deleted_document_leaves_no_vectors(serve: Serve, config: Config) -> None:
    client = await serve(embedding_model="auto")
    document = await uploaded(client)
    await embedded_all(client, document)
    assert rows(config) > 0
    await client.call("DELETE", f"/api/documents/{document['id']}", status=204)
    await until(lambda: rows(config) == 0)


def rows(config: Config) -> int:
    return int(stored.rows(config.database, "SELECT count(*) FROM vectors")[0][0])


async def test_another_model_replaces_all_vectors(config: Config, fake: FakeOllama) -> None:
    config = replace(config, embedding_model="auto")
    async with serving(config) as client:
        document = await uploaded(client)
        await embedded_all(client, document)
        count, before = len(fake.embeds), rows(config)
    async with serving(config) as client:
        await embedded_all(client, document)
        assert len(fake.embeds) == count  # they are kept
    (model,) = [model for model in fake.models if model["name"] == MODEL]
    model["digest"] = "another"
    async with serving(config) as client:
        await embedded_all(client, document)
        assert len(fake.embeds) == 2 * count
        assert rows(config) == before
        assert headings(await ask(client, document, "Wie hoch ist die Miete?"))[0] == "Payments"


async def test_several_documents_are_searched_by_meaning_together(client: Client) -> None:
    lease = await uploaded(client)
    tower = await uploaded(client, f"# Tower\n\nA beacon of granite, forty metres high. {FILLER}")
    for document in (lease, tower):
        await embedded_all(client, document)
    session, ids = await client.new_session(), [lease["id"], tower["id"]]
    first = await client.ask(session, "Leuchtturm", document_ids=ids)
    assert first.last["sources"][0]["documentId"] == tower["id"]
    second = await client.ask(session, "Kaution", document_ids=ids)
    assert headings(second)[0] == "Security"
