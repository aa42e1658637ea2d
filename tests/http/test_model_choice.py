"""The model, the prompt and the wait, as a client and Ollama see them."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_client import Client, Event, Server, Stream, serving
from fake_ollama import (
    MODEL,
    FakeOllama,
    Gate,
    Request,
    Script,
    Scripted,
    answer,
    count_tokens,
    error,
    html,
    last,
    refused,
    refusing_over,
    replay,
    token,
)
from msgspec import structs
from waiting import until

from chatproxy import Config, create_app
from chatproxy.errors import ChatError
from chatproxy.generation import upstream
from chatproxy.models import catalog, details
from chatproxy.store.messages import Messages
from chatproxy.store.records import NewTurn
from chatproxy.store.store import Store
from chatproxy.web.keys import STORE

ECHO, THINKER = "echo:270m", "thinker:270m"  # ECHO has the weights of MODEL
EMBEDDER = "all-minilm:22m"
COLD = Script(answer("Late."), delays=[3.0, 0.0])
LOADED = "already loaded, and one of the largest general models that should be fast enough"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what Ollama says of a model on a busy machine, too; `test_side_calls` is for what is late."""
    monkeypatch.setattr(details, "PATIENCE", 2.0)


@pytest.fixture
async def auto(config: Config) -> AsyncIterator[Client]:
    async with serving(replace(config, default_model="auto")) as client:
        yield client


@pytest.fixture
def two(fake: FakeOllama) -> None:
    """MODEL is warm, and what a new session gets; THINKER, with other weights, is next."""
    shown = fake.shows[THINKER]
    fake.shows[THINKER] = {**shown, "modelfile": shown["modelfile"].replace("sha256-a5", "sha256-b5")}
    fake.models = [model for model in fake.models if model["name"] in (MODEL, THINKER)]
    for model in fake.running:
        model["context_length"] = 32768


def by_model(**scripts: Scripted) -> Callable[[Request], Script]:
    """By the model's name without its tag."""

    def script(request: Request) -> Script:
        chosen = scripts[request["model"].partition(":")[0]]
        return chosen(request) if callable(chosen) else chosen

    return script


def saying(text: str, **numbers: Any) -> Callable[[Request], Script]:
    return lambda request: Script(answer(text, model=request["model"], **numbers))


def asked(fake: FakeOllama) -> list[str]:
    return [request["model"] for request in fake.requests]


def warnings(stream: Stream) -> list[str]:
    return [event["code"] for event in stream.events if event["type"] == "warning"]


# -- the choice


@pytest.mark.usefixtures("two")
async def test_the_first_token_comes_from_the_warm_one(fake: FakeOllama, auto: Client) -> None:
    fake.script = by_model(gemma3=saying("Soon."), thinker=COLD)
    stream = await auto.ask(await auto.new_session())
    assert asked(fake) == [MODEL]
    assert (stream.events[0]["model"], stream.events[0]["modelReason"]) == (MODEL, LOADED)
    assert stream.text() == "Soon."


@pytest.mark.usefixtures("two")
async def test_a_conversation_keeps_its_model(fake: FakeOllama, auto: Client) -> None:
    session = await auto.new_session()
    await auto.ask(session, model=THINKER)
    sent = await auto.send(session)
    assert (sent["model"], sent["modelReason"]) == (THINKER, "answered last in this session")


@pytest.mark.parametrize(
    ("request_says", "session_says", "expected"),
    [
        ("THINKER:270m", MODEL, (THINKER, "named in the request")),
        (None, "echo:270M", (ECHO, "this session's model")),
        (None, None, (MODEL, "the default here")),
        ("auto", ECHO, (MODEL, LOADED.replace("models", "models described so far"))),
    ],
)
async def test_a_name_is_followed(
    client: Client,
    fake: FakeOllama,
    request_says: str | None,
    session_says: str | None,
    expected: tuple[str, str],
) -> None:
    fake.models = [model for model in fake.models if model["name"] != ECHO or session_says]
    fake.shows[ECHO] = {**fake.shows[ECHO], "capabilities": []}  # as of an older Ollama, which does not say
    session = await client.new_session(model=session_says)
    sent = await client.send(session, model=request_says)
    assert (sent["model"], sent["modelReason"]) == expected
    assert asked(fake) == [expected[0]]
    stored = (await client.messages(session))[1]
    assert (stored["model"], stored["modelReason"]) == expected


@pytest.mark.parametrize(
    ("models", "body", "status", "code"),
    [
        ([], {}, 503, "no_models"),
        ([MODEL], {"think": True}, 422, "no_suitable_model"),
        ([MODEL], {"message": "x" * 200_000}, 422, "message_too_long"),
        ([MODEL], {"model": "gemma3:27b"}, 422, "model_not_found"),
    ],
)
async def test_a_refusal_stores_nothing(
    fake: FakeOllama, auto: Client, models: list[str], body: dict[str, Any], status: int, code: str
) -> None:
    fake.models = [model for model in fake.models if model["name"] in models]
    fake.running[0]["context_length"] = 1024
    session = await auto.new_session()
    refusal = await auto.refused(session, status, json={"message": "Hello", **body})
    assert refusal["code"] == code
    assert (await auto.messages(session), fake.chats) == ([], [])


IMAGE = b64encode(b"image").decode()


@pytest.mark.parametrize("named", ["in the request", "in the session", "by default"])
@pytest.mark.parametrize(
    ("model", "body", "code", "sentence"),
    [
        (
            MODEL,
            {"think": "high"},
            "no_suitable_model",
            f"The model {MODEL} cannot think; send the message without `think`, or choose one of: {THINKER}.",
        ),
        (
            THINKER,
            {"images": [IMAGE]},
            "no_suitable_model",
            f"The model {THINKER} cannot see images; send the message without images, or install another one"
            " with `ollama pull`.",
        ),
        (
            MODEL,
            {"think": True, "images": [IMAGE]},
            "no_suitable_model",
            f"The model {MODEL} cannot see images and think; send the message without images and without"
            " `think`, or install another one with `ollama pull`.",
        ),
        (
            EMBEDDER,
            {},
            "no_suitable_model",
            f"The model {EMBEDDER} cannot chat; choose one of: {ECHO}, {MODEL}, {THINKER}.",
        ),
        (
            "gemma3:27b",
            {},
            "model_not_found",
            "The model gemma3:27b is not installed; type `ollama pull gemma3:27b`, or choose one of: "
            f"{EMBEDDER}, {ECHO}, {MODEL}, {THINKER}.",
        ),
    ],
)
async def test_what_a_named_model_cannot_do_is_refused_beforehand(
    fake: FakeOllama, config: Config, named: str, model: str, body: dict[str, Any], code: str, sentence: str
) -> None:
    default = model if named == "by default" else MODEL
    app = create_app(replace(config, default_model=default))
    async with Server(app) as server:
        client = server.client
        session = await client.new_session()
        if named == "in the session":  # as an older version, or an import, may have stored it
            store = app[STORE]
            await store.sessions.update(await store.sessions.get("", session), {"model": model})
        if named == "in the request":
            body = {"model": model, **body}
        refusal = await client.refused(session, 422, json={"message": "Hello", **body})
        assert (refusal["code"], refusal["error"]) == (code, sentence)
        assert (await client.messages(session), fake.chats) == ([], [])


async def test_images_of_the_message_that_is_replaced_count(fake: FakeOllama, client: Client) -> None:
    fake.shows[MODEL]["capabilities"] = ["completion", "vision"]
    session = await client.new_session()
    sent = await client.send(session, images=[IMAGE])
    refusal = await client.refused(
        session, 422, json={"message": "Again", "model": THINKER, "replaces": sent["userMessageId"]}
    )
    assert (refusal["code"], len(fake.chats)) == ("no_suitable_model", 1)
    assert (await client.messages(session))[0]["content"] == "Hello"


async def test_no_thinking_is_no_need_to_think(fake: FakeOllama, client: Client) -> None:
    await client.send(await client.new_session(), think=False)
    assert fake.requests[0]["think"] is False


async def test_a_named_model_that_is_not_described_is_asked(fake: FakeOllama, client: Client) -> None:
    fake.hanging.add(MODEL)
    await client.send(await client.new_session(), think=True)
    assert fake.requests[0]["think"] is True


@pytest.mark.parametrize(("body", "able"), [({"think": True}, THINKER), ({"images": [IMAGE]}, ECHO)])
async def test_auto_gets_a_model_that_can(
    fake: FakeOllama, auto: Client, body: dict[str, Any], able: str
) -> None:
    fake.shows[ECHO] = {**fake.shows[ECHO], "capabilities": ["completion", "vision"]}
    sent = await auto.send(await auto.new_session(), **body)
    assert sent["model"] == able


@pytest.mark.parametrize(
    ("model", "code"), [("gemma3:27b", "model_not_found"), (EMBEDDER, "no_suitable_model")]
)
async def test_a_session_cannot_have_a_model_that_cannot_answer(
    client: Client, model: str, code: str
) -> None:
    refusal = await client.call("POST", "/api/chat/sessions", status=422, json={"model": model})
    assert refusal["code"] == code
    assert (await client.call("GET", "/api/chat/sessions"))["sessions"] == []
    session = await client.new_session(title="Old", model=MODEL)
    url = f"/api/chat/sessions/{session}"
    assert (await client.call("PATCH", url, status=422, json={"title": "New", "model": model})) == refusal
    kept = await client.call("GET", url)
    assert (kept["title"], kept["model"]) == ("Old", MODEL)


@pytest.mark.parametrize("model", ["auto", "AUTO", MODEL.upper(), THINKER, None])
async def test_a_session_can_have_any_other_model(client: Client, model: str | None) -> None:
    session = await client.new_session(model=model)
    changed = await client.call("PATCH", f"/api/chat/sessions/{session}", json={"model": model})
    assert changed["model"] == model


async def test_without_ollama_a_session_can_have_any_model(fake: FakeOllama, client: Client) -> None:
    await fake.stop()
    assert await client.new_session(model="whatever")


async def test_a_choice_asks_nothing_more_of_ollama(fake: FakeOllama, auto: Client) -> None:
    session = await auto.new_session()
    await auto.ask(session)
    shown = fake.calls["/api/show"]
    assert shown == len(fake.models)
    for _ in range(5):
        await auto.ask(session)
    assert fake.calls["/api/show"] == shown


async def test_the_captain_does_not_answer_a_hello(fake: FakeOllama, auto: Client) -> None:
    captain = {**fake.models[2], "name": "captain:latest", "digest": "captain"}
    fake.models = [captain, fake.models[2]]
    fake.shows["captain:latest"] = {**fake.shows[MODEL], "system": "You are a captain. Answer as one."}
    sent = await auto.send(await auto.new_session())
    assert (sent["model"], sent["modelReason"]) == (MODEL, "the only general model here")


async def test_a_model_installed_meanwhile_is_found(fake: FakeOllama, client: Client) -> None:
    *fake.models, new = fake.models
    session = await client.new_session()
    await client.ask(session)
    assert (await client.refused(session, 422, json={"message": "Hi", "model": THINKER}))["installed"] == [
        model["name"] for model in fake.models
    ]
    fake.models.append(new)
    assert (await client.send(session, model=THINKER))["model"] == THINKER


async def test_without_the_list_a_named_model_is_tried_all_the_same(fake: FakeOllama, client: Client) -> None:
    fake.instead["/api/tags"] = refused(500, "no")
    sent = await client.send(await client.new_session(), model="whatever")
    assert (sent["model"], sent["modelReason"]) == ("whatever", "named in the request")


async def test_without_the_list_there_is_no_choice(fake: FakeOllama, auto: Client) -> None:
    fake.instead["/api/tags"] = refused(500, "no")
    session = await auto.new_session()
    assert (await auto.refused(session, 502, json={"message": "Hello"}))["code"] == "upstream_error"
    assert (await auto.messages(session), fake.chats) == ([], [])


@pytest.fixture
def always_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ollama's lists are used, and asked for again beside that, every time."""
    monkeypatch.setattr(catalog, "FRESH", 0.0)


@pytest.mark.usefixtures("always_stale")
@pytest.mark.parametrize("lists", [("/api/tags",), ("/api/ps",), ("/api/tags", "/api/ps")])
async def test_no_send_waits_for_lists_that_are_known(
    fake: FakeOllama, auto: Client, lists: tuple[str, ...]
) -> None:
    session = await auto.new_session()
    await auto.ask(session)
    for path in lists:
        fake.instead[path] = Script(head=Gate())
    asked = sum(fake.calls[path] for path in lists)
    async with asyncio.timeout(14):  # Ollama is given 15 to answer
        for _ in range(3):
            await auto.ask(session)
    assert len(fake.chats) == 4
    await until(lambda: sum(fake.calls[path] for path in lists) == asked + len(lists))  # each hangs


async def test_lists_are_not_asked_for_on_every_message(fake: FakeOllama, auto: Client) -> None:
    session = await auto.new_session()
    for _ in range(20):
        await auto.ask(session)
    assert fake.calls["/api/tags"] + fake.calls["/api/ps"] < 20


# -- the second choice

FAILURES = [
    refused(500, "model requires more system memory (9 GiB) than is available (4 GiB)"),
    replay("error_runner_crashed_at_load", status=500, content_type="application/json"),
    refused(404, f"model '{MODEL}' not found"),
    Script([error("out of memory")]),
    Script([token("")], end="cut"),
]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_model_that_fails_gives_way_to_the_next(
    fake: FakeOllama, auto: Client, failure: Script
) -> None:
    fake.script = by_model(gemma3=failure, thinker=saying("Here I am."))
    session = await auto.new_session()
    stream = await auto.ask(session)
    assert asked(fake) == [MODEL, THINKER]
    assert stream.kinds() == ["start", "warning", "chunk", "done"]
    assert (stream.events[0]["model"], stream.last["model"]) == (MODEL, THINKER)
    assert warnings(stream) == ["model_fallback"]
    stored = (await auto.messages(session))[1]
    assert (stored["model"], stored["modelReason"]) == (THINKER, f"{MODEL} failed")
    assert [(warning["code"], stored["content"]) for warning in stored["warnings"]] == [
        ("model_fallback", "Here I am.")
    ]


@pytest.mark.usefixtures("two")
async def test_it_gives_way_once(fake: FakeOllama, auto: Client) -> None:
    fake.models.append({**fake.models[0], "name": ECHO, "digest": "another"})
    fake.script = refused(500, "no")
    stream = await auto.ask(await auto.new_session())
    assert len(fake.chats) == 2
    assert (stream.last["type"], stream.last["code"]) == ("error", "upstream_error")


@pytest.mark.usefixtures("two")
async def test_where_the_next_one_has_no_room_the_first_ones_failure_is_told(
    fake: FakeOllama, config: Config
) -> None:
    fake.script = by_model(gemma3=FAILURES[0], thinker=Script(head=Gate()))
    async with (
        serving(replace(config, default_model="auto", max_queued_generations=0)) as client,
        client.sending(await client.new_session(), model=THINKER),
        client.sending(await client.new_session(), model=THINKER),
    ):
        await fake.arrived(2)
        stream = await client.ask(await client.new_session())
    assert (asked(fake)[2:], warnings(stream)) == ([MODEL], [])
    assert stream.last["code"] == "upstream_error"
    assert "more system memory" in stream.last["error"]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("failure", "body"),
    [
        (FAILURES[0], {"model": MODEL}),  # it was named
        (Script([error('invalid format: "xml"')]), {}),  # the request's own fault
        (refused(400, "no"), {}),  # the request is to blame
        (
            replay("error_bad_format", status=500, content_type="application/json"),
            {"format": "xml"},  # and here too
        ),
        (html(502), {}),  # a proxy in front of Ollama does not reach it, whatever the model
        (Script([b"no available server"], status=503), {}),
        (html(504), {}),
        (Script([token("One"), error("out of memory")]), {}),  # after the first token
        (Script([token(thinking="One"), error("out of memory")]), {}),
    ],
)
async def test_it_does_not_give_way(
    fake: FakeOllama, auto: Client, failure: Script, body: dict[str, Any]
) -> None:
    fake.script = by_model(gemma3=failure, thinker=saying("Here I am."))
    stream = await auto.ask(await auto.new_session(), **body)
    assert asked(fake) == [MODEL]
    assert stream.last["type"] == "error"
    assert warnings(stream) == []


@pytest.mark.usefixtures("two")
async def test_what_the_second_one_is_not_told_is_said(fake: FakeOllama, auto: Client) -> None:
    fake.shows[THINKER]["parameters"] = "num_ctx 4096"
    fake.script = saying("Yes. " * 3000)
    session = await auto.new_session()
    for _ in range(2):
        await auto.ask(session, model=MODEL)
    fake.script = by_model(gemma3=FAILURES[0], thinker=saying("Here I am."))
    stream = await auto.ask(session)
    assert warnings(stream) == ["model_fallback", "history_truncated"]
    assert len(fake.requests[-1]["messages"]) < len(fake.requests[-2]["messages"]) == 5


@pytest.mark.usefixtures("two")
async def test_who_answers_instead_is_told_while_it_writes(fake: FakeOllama, auto: Client) -> None:
    fake.script = by_model(gemma3=FAILURES[0], thinker=Script(answer("Here."), gate=(gate := Gate())))
    session = await auto.new_session()
    async with auto.sending(session) as stream:
        await fake.arrived(2)
        live = (await auto.messages(session))[1]
        assert (live["status"], live["model"], live["modelReason"]) == (
            "streaming",
            THINKER,
            f"{MODEL} failed",
        )
        gate.open()
        await stream.rest()


@pytest.mark.usefixtures("two")
async def test_who_answered_instead_goes_on_also_where_that_is_not_stored_yet(
    fake: FakeOllama, auto: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*given: object) -> None:
        raise ChatError("storage_full", "The disk is full.")

    monkeypatch.setattr(Messages, "finish", full)
    fake.script = by_model(gemma3=FAILURES[0], thinker=saying("Here I am."))
    session = await auto.new_session()
    for _ in range(2):
        assert (await auto.ask(session)).last["code"] == "storage_full"
    assert asked(fake) == [MODEL, THINKER, THINKER]


# -- the window


PROSE = (
    "A lighthouse is a tower with a strong light at the top. It warns ships of rocks, and shows them "
    "the way into the harbour at night; in fog, a horn does. Who keeps it lit? "
)


async def test_a_window_that_ollama_names_is_learned(fake: FakeOllama, client: Client) -> None:
    fake.running = []
    session = await client.new_session()
    fake.script = saying(PROSE * 60)
    for _ in range(4):
        await client.ask(session, "Tell me.")
    fake.script = refusing_over(4096)
    stream = await client.ask(session, "And then?")
    assert (stream.last["type"], stream.text(), warnings(stream)) == ("done", "Well.", ["history_truncated"])
    lengths = [len(request["messages"]) for request in fake.requests[4:]]
    assert lengths[0] == 9 > lengths[1]
    await client.ask(session, "And then?")
    assert len(fake.chats) == 7  # the window is known now
    stored = (await client.messages(session))[9]
    assert [warning["code"] for warning in stored["warnings"]] == ["history_truncated"]


async def test_images_that_cost_more_than_was_thought_are_made_room_for(
    fake: FakeOllama, client: Client
) -> None:
    fake.shows[MODEL]["capabilities"] = ["completion", "vision"]
    fake.script = refusing_over(4096, PROSE * 8, image=2500)
    session = await client.new_session()
    for _ in range(10):
        await client.ask(session, "Tell me.")
    stream = await client.ask(session, "And here?", images=[b64encode(b"image").decode()])
    assert (stream.last["type"], len(fake.chats)) == ("done", 12)
    refused, answered = fake.requests[-2:]
    assert count_tokens(refused, image=2500) > 4096 > count_tokens(answered, image=2500)
    assert len(answered["messages"]) > 1


async def test_a_message_that_turns_out_too_long_fails_with_the_numbers(
    fake: FakeOllama, client: Client
) -> None:
    fake.running = []
    fake.script = refusing_over(4096)
    session = await client.new_session()
    stream = await client.ask(session, PROSE * 150)
    assert (stream.last["type"], stream.last["code"]) == ("error", "message_too_long")
    assert "holds 4096" in stream.last["error"]
    assert f"needs about {count_tokens(fake.requests[0])} tokens" in stream.last["error"]
    # Loaded, as a real Ollama has it by now, its window is known; a raised one is tried.
    fake.running = [{"name": MODEL, "context_length": 4096}]
    listed = fake.calls["/api/ps"]
    again = await client.ask(session, PROSE * 150)
    assert again.last["code"] == "message_too_long"
    await until(lambda: fake.calls["/api/ps"] > listed)
    fake.script = refusing_over(8192)
    assert (await client.ask(session, PROSE * 150)).text() == "Well."


async def test_a_long_message_of_many_tokens_is_not_held_against_the_next(
    fake: FakeOllama, client: Client
) -> None:
    """A history of emoji makes Ollama refuse; what is learned of it must leave room for a short message."""
    fake.running = []
    session = await client.new_session()
    fake.script = saying("😀" * 2500)
    await client.ask(session)
    fake.script = refusing_over(2048)
    assert (await client.send(session, "Go on."))["fullResponse"] == "Well."


async def remembering(path: Path, turns: int) -> str:
    """A session in which so much was said already."""
    store = await Store.open(path)
    session = await store.sessions.create("", system="You know lighthouses.")
    begun = await asyncio.gather(
        *[
            store.messages.begin(session, NewTurn(content=f"Question {number}: {PROSE}", model=MODEL))
            for number in range(turns)
        ]
    )
    ended = [structs.replace(reply, status="complete", content=PROSE) for _, reply in begun]
    await asyncio.gather(*[store.messages.finish(outcome) for outcome in ended])
    await store.close()
    return session.id


async def test_a_conversation_of_300_turns_goes_on(fake: FakeOllama, config: Config) -> None:
    fake.script = refusing_over(4096 - 1024, PROSE)
    session = await remembering(config.database_path, 260)
    app = create_app(config)
    async with Server(app) as server:
        for number in range(260, 300):
            stream = await server.client.ask(session, f"Question {number}: {PROSE[number % 100 :]}")
            assert stream.last["type"] == "done", stream.last
            sent = fake.requests[-1]["messages"]
            assert stream.last["usage"]["promptTokens"] > 1500
        (message,) = await server.client.messages(session, limit=1)
    assert len(fake.chats) <= 41  # only the first may have been refused: nothing had been counted
    assert count_tokens(fake.requests[-1]) > 2000
    left_out = 299 - (len(sent) - 2) // 2
    assert [warning["message"] for warning in message["warnings"]] == [
        f"The oldest {left_out} turns were left out, to fit the model's window."
    ]
    assert sent[0]["content"] == "You know lighthouses."
    assert sent[1]["content"].startswith(f"Question {left_out}:")


async def test_what_is_left_out_is_counted_anew(fake: FakeOllama, config: Config) -> None:
    fake.running = []
    fake.shows[MODEL]["parameters"] = "num_ctx 4096"
    fake.script = refusing_over(1024)
    session = await remembering(config.database_path, 90)
    async with serving(config) as client:
        stream = await client.ask(session)
        (message,) = await client.messages(session, limit=1)
    assert set(warnings(stream)) == {"history_truncated"}  # both, if it was there before the second
    left_out = 90 - (len(fake.requests[-1]["messages"]) - 2) // 2
    assert [warning["message"] for warning in message["warnings"]] == [
        f"The oldest {left_out} turns were left out, to fit the model's window."
    ]


@pytest.mark.usefixtures("two")
async def test_who_answers_instead_may_be_told_all(fake: FakeOllama, config: Config) -> None:
    for model in fake.running:
        model["context_length"] = 4096
    fake.script = by_model(gemma3=FAILURES[0], thinker=saying("Here I am."))
    session = await remembering(config.database_path, 120)
    async with serving(replace(config, default_model="auto")) as client:
        stream = await client.ask(session)
        (message,) = await client.messages(session, limit=1)
    assert asked(fake) == [MODEL, THINKER]
    assert len(fake.requests[1]["messages"]) == 242 > len(fake.requests[0]["messages"])
    assert warnings(stream) == ["history_truncated", "model_fallback"]
    assert [warning["code"] for warning in message["warnings"]] == ["model_fallback"]


@pytest.mark.usefixtures("two")
async def test_no_more_is_read_than_the_chosen_model_could_be_told(
    fake: FakeOllama, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other models' windows, which may be a hundred times as large, cost nothing."""
    for model in fake.running:
        model["context_length"] = 4096
    session = await remembering(config.database_path, 500)
    read: list[int] = []

    async def history(self: Messages, *arguments: Any, **more: Any) -> Any:
        page = await as_it_is(self, *arguments, **more)
        read.append(len(page))
        return page

    as_it_is = Messages.history
    monkeypatch.setattr(Messages, "history", history)
    async with serving(replace(config, default_model="auto")) as client:
        sent = await client.send(session)
    assert sent["model"] == MODEL
    assert len(fake.requests[0]["messages"]) < sum(read) <= 256


async def test_what_is_left_out_is_counted_from_what_is_replaced(fake: FakeOllama, client: Client) -> None:
    fake.script = refusing_over(4096 - 1024, PROSE * 4)
    session = await client.new_session()
    sent = [await client.send(session, f"Question {number}") for number in range(40)]
    again = await client.ask(session, "Instead", replaces=sent[30]["userMessageId"])
    (warning,) = [event["message"] for event in again.events if event["type"] == "warning"]
    messages = fake.requests[-1]["messages"]
    assert warning == f"The oldest {30 - len(messages) // 2} turns were left out, to fit the model's window."
    assert [message["content"] for message in messages][-3:] == ["Question 29", PROSE * 4, "Instead"]


async def test_cancelled_and_failed_answers_are_history_and_thinking_is_not(
    fake: FakeOllama, client: Client
) -> None:
    session = await client.new_session()
    fake.script = Script([token(thinking="Hm."), token("Half")], end="hang")
    async with client.sending(session, "One") as stream:
        await stream.has("Half")
        await client.cancel(session, stream.answer_id)
        await stream.rest()
    fake.script = Script([token("Broken"), error("no")])
    await client.ask(session, "Two")
    fake.script = Script([token(thinking="Only thoughts"), last()])
    await client.ask(session, "Three")
    await client.ask(session, "Four")
    assert fake.requests[-1]["messages"] == [
        {"role": role, "content": content}
        for role, content in [
            ("user", "One"),
            ("assistant", "Half"),
            ("user", "Two"),
            ("assistant", "Broken"),
            ("user", "Four"),
        ]
    ]


async def test_images_are_sent_again_where_there_is_room_and_eyes_to_see(
    fake: FakeOllama, client: Client
) -> None:
    fake.shows[MODEL]["capabilities"] = ["completion", "vision"]
    image = b64encode(b"image").decode()
    session = await client.new_session()
    await client.send(session, "One", images=[image] * 5)
    await client.send(session, "Two", images=[image] * 2)
    await client.send(session, "Three")
    await client.send(session, "Four", images=[image] * 2)
    await client.send(session, "Five", model=THINKER)
    pictures = [
        [len(message.get("images", [])) for message in request["messages"] if message["role"] == "user"]
        for request in fake.requests
    ]
    # 4096 less a quarter for the answer may hold eight images, and surely holds three.
    assert pictures == [[5], [5, 2], [5, 2, 0], [0, 2], [0, 0, 0, 0, 0]]


# -- the wait


def states(stream: Stream) -> list[tuple[str, int | None]]:
    """State and position of each status, runs of one counted once."""
    told = [(event["state"], event.get("position")) for event in stream.events if event["type"] == "status"]
    return [state for state, before in zip(told, [None, *told], strict=False) if state != before]


async def until_state(stream: Stream, state: str, position: int | None = None) -> Event:
    while True:
        event = await stream.until("status")
        if (event["state"], event.get("position")) == (state, position):
            return event


async def test_loading_becomes_waiting_when_the_model_is_there(
    fake: FakeOllama, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "LOADING_POLL", 0.02)
    session = await client.new_session()
    fake.script = saying("Hi.", load_duration=60 * 10**9)
    fake.running, loaded = [], fake.running
    await client.ask(session)
    fake.script = Script(answer("Hello."), head=(head := Gate()))
    async with client.sending(session) as stream:
        loading = await until_state(stream, "loading")
        assert 0 < loading["etaMs"] <= 60_000
        assert "tokens" not in loading
        fake.running = loaded
        assert "etaMs" not in await until_state(stream, "waiting")
        head.open()
        generating = await until_state(stream, "generating")
        assert {"tokens", "elapsedMs"} <= generating.keys()
        await stream.rest()
    assert [state for state, _ in states(stream)] == ["loading", "waiting", "generating"]


async def test_what_runs_elsewhere_is_not_loaded_here(fake: FakeOllama, client: Client) -> None:
    cloud = {**fake.models[2], "name": "large:cloud", "digest": "cloud", "remote_host": "https://ollama.com"}
    fake.models.append(cloud)
    fake.shows["large:cloud"] = {"capabilities": ["completion"]}
    fake.script = Script(answer("Hello."), head=(head := Gate()))
    async with client.sending(await client.new_session(), model="large:cloud") as stream:
        await until_state(stream, "waiting")
        head.open()
        await stream.rest()
    assert states(stream) == [("waiting", None), ("generating", None)]
    assert fake.calls["/api/ps"] == 1
    listed = (await client.call("GET", "/api/models"))["models"][-1]
    assert (listed["name"], listed["loaded"]) == ("large:cloud", False)


async def test_what_was_unloaded_unnoticed_is_said_to_be_loading(
    fake: FakeOllama, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "LOADING_POLL", 0.02)
    await client.call("GET", "/api/models")  # the list of loaded ones is known
    fake.running, loaded = [], fake.running
    fake.script = Script(answer("Hello."), head=(head := Gate()))
    async with client.sending(await client.new_session()) as stream:
        for state in ("waiting", "loading", "waiting"):
            await until_state(stream, state)
            fake.running = loaded if state == "loading" else []
        head.open()
        await stream.rest()
    assert [state for state, _ in states(stream)] == ["waiting", "loading", "waiting", "generating"]


async def test_before_it_was_measured_nobody_says_how_long_loading_takes(
    fake: FakeOllama, client: Client
) -> None:
    fake.running = []
    fake.script = Script(answer("Hello."), head=(head := Gate()))
    async with client.sending(await client.new_session()) as stream:
        assert "etaMs" not in await until_state(stream, "loading")
        head.open()
        await stream.rest()


async def test_heartbeats_of_an_answer_tell_how_fast_it_is(fake: FakeOllama, config: Config) -> None:
    fake.script = Script([token("One"), token(" two")], end="hang")
    async with (
        serving(replace(config, heartbeat_seconds=0.4)) as client,
        client.sending(await client.new_session()) as stream,
    ):
        await stream.has("One two")
        while "tokensPerSecond" not in (event := await stream.until("status")):
            pass
        assert (event["state"], event["tokens"]) == ("generating", 2)
        assert 0 < event["tokensPerSecond"] <= 4


async def test_only_lines_with_text_are_counted(fake: FakeOllama, config: Config) -> None:
    fake.script = Script([token(thinking="One") + token() + token("two")], end="hang")
    async with (
        serving(replace(config, heartbeat_seconds=0.4)) as client,
        client.sending(await client.new_session()) as stream,
    ):
        await stream.has("two")
        assert (await stream.until("status"))["tokens"] == 2


def one_at_a_time(config: Config, **more: Any) -> Config:
    return replace(config, max_concurrent_generations=1, **more)


async def test_positions_count_down_and_everybody_sees_their_own(fake: FakeOllama, config: Config) -> None:
    fake.script = Script(answer("Hi"), head=(head := Gate()))
    async with serving(one_at_a_time(config)) as client, AsyncExitStack() as open_streams:
        streams = []
        for place in range(6):
            sending = client.sending(await client.new_session(), str(place))
            streams.append(await open_streams.enter_async_context(sending))
            await until_state(streams[-1], *(("queued", place) if place else ("waiting", None)))
        for gone in range(6):
            assert len(fake.chats) == gone + 1
            head.let()
            await streams[gone].rest()
            for place, stream in enumerate(streams[gone + 2 :], start=1):
                await until_state(stream, "queued", place)
            if gone < 5:
                await fake.arrived(gone + 2)
    for place, stream in enumerate(streams):
        assert states(stream)[:place] == [("queued", position) for position in range(place, 0, -1)]
        assert states(stream)[place:] == [("waiting", None), ("generating", None)]
    assert [request["messages"][-1]["content"] for request in fake.requests] == list("012345")
    assert fake.peak == 1


async def test_cancelling_one_that_waits_moves_the_others_up(fake: FakeOllama, config: Config) -> None:
    fake.script = Script(answer("Hi"), head=(head := Gate()))
    async with serving(one_at_a_time(config)) as client, AsyncExitStack() as open_streams:
        streams, sessions = [], [await client.new_session() for _ in range(4)]
        for place, session in enumerate(sessions):
            streams.append(
                await open_streams.enter_async_context(client.sending(session, f"message {place}"))
            )
            await until_state(streams[-1], *(("queued", place) if place else ("waiting", None)))
        cancelled = await client.cancel(sessions[2], streams[2].answer_id)
        assert cancelled["status"] == "cancelled"
        await until_state(streams[3], "queued", 2)
        head.open()
        for stream in streams:
            await stream.rest()
    assert states(streams[2]) == [("queued", 2)]
    assert streams[2].last["finishReason"] == "cancelled"
    assert [request["messages"][-1]["content"][-1] for request in fake.requests] == ["0", "1", "3"]


async def test_who_waited_while_the_model_was_loaded_is_not_told_that_it_loads(
    fake: FakeOllama, config: Config
) -> None:
    fake.running, loaded = [], fake.running
    fake.script = Script(answer("Hi"), head=(head := Gate()))
    async with serving(one_at_a_time(config)) as client, AsyncExitStack() as open_streams:
        first, second, third = [
            await open_streams.enter_async_context(client.sending(await client.new_session()))
            for _ in range(3)
        ]
        await until_state(first, "loading")
        fake.running = loaded
        head.let()
        await second.until("status")
        await fake.arrived(2)
        await until(lambda: fake.calls["/api/ps"] >= 2)  # after the first answer
        head.open()
        await third.rest()
    assert states(third)[-2:] == [("waiting", None), ("generating", None)]


async def test_past_the_queue_a_send_is_refused_and_stores_nothing(fake: FakeOllama, config: Config) -> None:
    fake.script = Script(answer("Hi"), head=(head := Gate()))
    async with serving(one_at_a_time(config, max_queued_generations=1)) as client:
        async with (
            client.sending(await client.new_session()) as first,
            client.sending(await client.new_session()) as second,
        ):
            await until_state(second, "queued", 1)
            session = await client.new_session()
            url = client.url(f"/api/chat/sessions/{session}/messages/stream")
            async with client.http.post(url, json={"message": "Hi"}) as response:
                assert (response.status, (await response.json())["code"]) == (503, "overloaded")
                assert int(response.headers["Retry-After"]) > 0
            assert await client.messages(session) == []
            head.open()
            await first.rest()
            await second.rest()
        assert (await client.ask(session)).last["type"] == "done"


@pytest.mark.parametrize("parallel", [1, 4, 16])
async def test_ollama_is_never_idle_and_never_holds_more_than_twice_what_it_runs(
    fake: FakeOllama, client: Client, parallel: int
) -> None:
    """Ollama runs so many of forty at a time, in the order in which they came."""
    gates = [Gate() for _ in range(40)]
    fake.script = lambda _: Script([token("One"), last()], gate=gates[len(fake.chats) - 1])
    asking = [asyncio.create_task(client.ask(await client.new_session())) for _ in range(40)]
    running, held = 0, 2
    while running < parallel:  # what they hold rises with what runs together
        await fake.arrived(held)
        for number in range(running, min(parallel, held)):
            gates[number].let()
        running = min(parallel, held)
        held = 2 * running if running > 1 else 2
    await fake.arrived(held)
    for done in range(40):
        assert fake.active == min(held, 40 - done)
        gates[done].open()
        await fake.chats[done].closed.wait()
        if done + parallel < 40:
            gates[done + parallel].let()  # the next one has its turn, while this one is being stored
        await fake.arrived(min(40, done + 1 + held))
    assert fake.peak == max(2, 2 * parallel)
    assert {(await stream).last["type"] for stream in asking} == {"done"}


async def test_names_of_the_same_weights_wait_in_one_line(fake: FakeOllama, client: Client) -> None:
    fake.script = Script(answer("Hi"), head=(head := Gate()))
    async with AsyncExitStack() as open_streams:
        streams = []
        for place, model in enumerate([MODEL, ECHO, MODEL, ECHO]):
            sending = client.sending(await client.new_session(), model=model)
            streams.append(await open_streams.enter_async_context(sending))
            expected = ("queued", place) if place else ("waiting", None)
            await until_state(streams[-1], *expected)
        assert asked(fake) == [MODEL, ECHO]
        head.open()
        for stream in streams:
            await stream.rest()
    assert fake.peak == 2


# -- the list


async def test_the_list_of_models(fake: FakeOllama, client: Client) -> None:
    fake.running[0]["size_vram"] = fake.running[0]["size"]
    await client.ask(await client.new_session())
    shown = await client.call("GET", "/api/models")
    gemma = {
        "name": MODEL,
        "parameterSize": "268.10M",
        "quantization": "Q4_K_M",
        "sizeBytes": 253113817,
        "contextLength": 4096,
        "capabilities": ["completion"],
        "loaded": True,
        "tokensPerSecond": 45.8,
        "loadMs": None,
    }
    assert shown["selected"] == {"model": MODEL, "reason": "the default here", "isDefault": True}
    assert [model["name"] for model in shown["models"]] == ["all-minilm:22m", ECHO, MODEL, THINKER]
    assert shown["models"][2] == gemma
    assert shown["models"][3] == gemma | {
        "name": THINKER,
        "sizeBytes": 253113780,
        "capabilities": ["completion", "thinking"],
        "tokensPerSecond": None,  # it is loaded: it has the weights of the other
    }


@pytest.mark.parametrize(
    ("models", "selected"),
    [
        ([], None),
        (["all-minilm:22m"], None),
        ([MODEL], {"model": MODEL, "reason": "the only one installed", "isDefault": False}),
        ([MODEL, THINKER], {"model": MODEL, "reason": LOADED, "isDefault": False}),
    ],
)
async def test_the_list_says_what_would_be_chosen(
    fake: FakeOllama, auto: Client, models: list[str], selected: object
) -> None:
    fake.models = [model for model in fake.models if model["name"] in models]
    assert (await auto.call("GET", "/api/models"))["selected"] == selected


async def test_the_list_selects_no_default_that_cannot_chat(config: Config) -> None:
    async with serving(replace(config, default_model=EMBEDDER)) as client:
        assert (await client.call("GET", "/api/models"))["selected"] is None


async def test_without_ollama_there_is_no_list(fake: FakeOllama, client: Client) -> None:
    await fake.stop()
    assert (await client.call("GET", "/api/models", status=502))["code"] == "upstream_unavailable"
