"""What can go wrong with Ollama: readers learn what, keep the text, and can try again."""

from itertools import product
from typing import Any, Final, Literal, NamedTuple

import pytest
from chat_client import Client, Serve
from fake_ollama import (
    JSON,
    MODEL,
    FakeOllama,
    Script,
    answer,
    error,
    greet,
    html,
    last,
    refused,
    replay,
    token,
)
from matrix import matrix
from recordings import about, recorded, texts

HEARD = [token("One"), token(" two")]


class Fault(NamedTuple):
    """What Ollama does, and what comes of it; the status is that of the JSON call."""

    script: Script
    code: str
    retryable: bool
    status: int
    text: str = ""


FAULTS = {
    "silent before the head": Fault(Script(raw=True, end="hang"), "upstream_timeout", True, 504),
    "silent after the head": Fault(Script(end="hang"), "upstream_timeout", True, 504),
    "silent in the middle": Fault(Script(HEARD, end="hang"), "upstream_timeout", True, 504, "One two"),
    "closed before the head": Fault(Script(raw=True, end="cut"), "upstream_incomplete", True, 502),
    "closed before the body": Fault(Script(), "upstream_incomplete", True, 502),
    "no last line": Fault(Script(HEARD), "upstream_incomplete", True, 502, "One two"),
    "cut": Fault(Script(HEARD, end="cut"), "upstream_incomplete", True, 502, "One two"),
    "reset": Fault(Script(HEARD, end="reset"), "upstream_incomplete", True, 502, "One two"),
    "cut inside a line": Fault(
        Script([*HEARD, token(" three")[:-20]]), "upstream_incomplete", True, 502, "One two"
    ),
    "ends_without_done": Fault(
        replay("ends_without_done"), "upstream_incomplete", True, 502, texts("ends_without_done")[1]
    ),
    "an error first of all": Fault(Script([error("no")]), "upstream_error", False, 502),
    "an error in the middle": Fault(
        Script([*HEARD, error("no"), last()]), "upstream_error", False, 502, "One two"
    ),
    "runner_killed": Fault(replay("runner_killed"), "upstream_error", False, 502, texts("runner_killed")[1]),
    "400": Fault(refused(400, "no"), "upstream_error", False, 502),
    "429": Fault(refused(429, "no"), "upstream_error", True, 502),
    "500": Fault(refused(500, "no"), "upstream_error", True, 502),
    "503": Fault(refused(503, "no"), "upstream_error", True, 502),
    "a full queue": Fault(refused(503, "server busy, please try again"), "upstream_error", True, 502),
    "another page": Fault(html(), "upstream_invalid", False, 502),
    "a gateway's page": Fault(html(502), "upstream_unavailable", True, 502),
    "a gateway's words": Fault(
        Script([b"no available server"], status=503), "upstream_unavailable", True, 502
    ),
    "a gateway's patience": Fault(html(504), "upstream_timeout", True, 504),
    "a redirect": Fault(Script(status=307, headers={"Location": "/"}), "upstream_error", False, 502),
    "no JSON": Fault(Script([*HEARD, b"three\n"]), "upstream_invalid", False, 502, "One two"),
    "no UTF-8": Fault(
        Script([*HEARD, token("three").replace(b"three", b"\xff")]), "upstream_invalid", False, 502, "One two"
    ),
    "half a surrogate": Fault(
        Script([*HEARD, token("three").replace(b"three", rb"\ud83d")]),
        "upstream_invalid",
        False,
        502,
        "One two",
    ),
    "a line that does not end": Fault(
        Script([*HEARD, token("x" * 9 * 1024**2)[:-20]], end="hang"),
        "upstream_invalid",
        False,
        502,
        "One two",
    ),
    "a line of 9 MB": Fault(
        Script([*HEARD, token("x" * 9 * 1024**2)]), "upstream_invalid", False, 502, "One two"
    ),
}

NUMBERS = ("prompt_eval_count", "eval_count", "eval_duration", "load_duration", "total_duration")


@pytest.mark.parametrize("value", [1.5, -1, 2**63 - 1, 10**30, "many", [1], {}, True])
async def test_numbers_that_are_none_are_unknown_and_no_answer_fails(
    fake: FakeOllama, client: Client, value: Any
) -> None:
    fake.script = Script([*HEARD, last(**dict.fromkeys(NUMBERS, value))])
    stream = await client.ask(await client.new_session())
    assert (stream.last["type"], stream.text()) == ("done", "One two")
    usage = stream.last["usage"]
    known = ("promptTokens", "completionTokens", "tokensPerSecond", "loadMs", "totalMs")
    assert [usage[name] for name in known] == [None] * 5


# The last words of the sentence that people read, for each recorded refusal.
REFUSALS = {
    "error_bad_format": 'expected "json" or a valid JSON Schema object',
    "error_bad_json": "unexpected EOF",
    "error_bad_keep_alive": 'invalid duration "soon"',
    "error_chat_with_embedding_model": '"all-minilm:22m" does not support chat',
    "error_empty_body": "missing request body",
    "error_images_unsupported": "but model does not support multimodal requests.",
    "error_no_model": "model is required",
    "error_queue_full": "maximum pending requests exceeded",
    "error_runner_crashed_at_load": "terminated: signal: illegal instruction",
    "error_think_unsupported": '"gemma3:270m" does not support thinking',
    "error_tools_unsupported": "registry.ollama.ai/library/gemma3:270m does not support tools",
    "error_wrong_type": "ChatRequest.messages of type []api.Message",
}


@pytest.fixture(params=list(FAULTS.values()), ids=list(FAULTS))
def fault(request: pytest.FixtureRequest) -> Fault:
    found: Fault = request.param
    return found


@pytest.fixture
async def impatient(serve: Serve, fault: Fault) -> Client:
    """A server that waits a second for Ollama if the fault is a silence or a full queue; else a minute."""
    limit = 1.0 if fault.code == "upstream_timeout" or fault is FAULTS["a full queue"] else 60.0
    return await serve(first_token_timeout=limit, token_timeout=limit)


async def test_a_fault_ends_the_stream_and_the_text_is_kept(
    impatient: Client, fake: FakeOllama, fault: Fault
) -> None:
    """The session is free, and the connection to Ollama closed, before the reader is gone."""
    fake.script = fault.script
    session = await impatient.new_session()
    async with impatient.sending(session) as stream:
        end = await stream.until("error")
        assert (await impatient.session(session))["activeMessageId"] is None
        stored = (await impatient.messages(session))[1]
        fake.script = greet
        assert (await impatient.ask(session)).last["type"] == "done"
        assert await stream.next() is None
    await (await fake.arrived()).closed.wait()
    assert stream.kinds() == ["start", *(["chunk"] if fault.text else []), "error"]
    assert stream.text() == fault.text
    assert end == {
        "type": "error",
        "error": end["error"],
        "code": fault.code,
        "retryable": fault.retryable,
        "requestId": stream.response.headers["X-Request-Id"],
        "assistantMessageId": stream.answer_id,
        "fullResponse": fault.text,
        "cursor": f"0.{len(fault.text)}.end",
    }
    error = {name: end[name] for name in ("error", "code", "retryable", "requestId")}
    fields = ("status", "content", "finishReason", "error", "cursor")
    assert [stored[field] for field in fields] == ["failed", fault.text, None, error, stream.cursor]


async def test_a_fault_ends_a_waiting_request_with_a_status(
    impatient: Client, fake: FakeOllama, fault: Fault
) -> None:
    fake.script = fault.script
    session = await impatient.new_session()
    failed = await impatient.send(session, status=fault.status)
    stored = (await impatient.messages(session))[1]
    assert failed == {
        "error": failed["error"],
        "code": fault.code,
        "requestId": stored["error"]["requestId"],
        "assistantMessageId": stored["id"],
        "fullResponse": fault.text,
    }


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_in_ollamas_own_words(serve: Serve, fake: FakeOllama, name: str) -> None:
    client = await serve(first_token_timeout=1.0)
    status = about(name)["status"]
    fake.script = Script([recorded(name)], status=status, content_type=JSON)
    stream = await client.ask(await client.new_session())
    assert (stream.last["code"], stream.last["retryable"]) == ("upstream_error", status in (500, 503))
    sentence = stream.last["error"]
    assert sentence.startswith("Ollama reports: ")
    assert REFUSALS[name] in sentence
    assert ("look into Ollama's log" in sentence) == (name == "error_runner_crashed_at_load")
    assert "{" not in sentence


async def test_a_model_that_was_removed_meanwhile_is_not_found(client: Client, fake: FakeOllama) -> None:
    fake.script = Script([recorded("error_model_missing")], status=404, content_type=JSON)
    session = await client.new_session()
    stream = await client.ask(session)
    assert (stream.last["code"], stream.last["retryable"]) == ("model_not_found", False)
    assert (await client.send(session, status=422))["code"] == "model_not_found"


async def test_a_fault_keeps_the_thinking_too(client: Client, fake: FakeOllama) -> None:
    fake.script = Script([token(thinking="Hm"), token("One")], end="cut")
    session = await client.new_session()
    stream = await client.ask(session)
    stored = (await client.messages(session))[1]
    assert (stored["thinking"], stored["content"]) == ("Hm", "One")
    assert (stream.text("thinking"), stream.last["cursor"]) == ("Hm", "2.3.end")


AFTER: Final = {
    "done again": [last("!")],
    "text": [token("!")],
    "error": [error("no")],
    "nonsense": [b"nonsense\n"],
    "half a line": [token("!")[:9]],
}


async def test_what_follows_done_is_ignored(client: Client, fake: FakeOllama) -> None:
    ends: list[Literal["clean", "cut", "reset", "hang"]] = ["clean", "cut", "reset", "hang"]
    with matrix() as cases:
        for name, end, together in product(AFTER, ends, (False, True)):
            pieces = [*answer("One two"), *AFTER[name]]
            fake.script = Script([b"".join(pieces)] if together else pieces, end=end)
            session = await client.new_session()
            stream = await client.ask(session)
            stored = (await client.messages(session))[1]["status"]
            got = stream.last["type"], stream.last.get("fullResponse"), stream.text(), stored
            cases.expect(("done", "One two", "One two", "complete"), got, name, end, f"{together=}")


async def test_a_last_line_without_its_newline_ends_an_answer(client: Client, fake: FakeOllama) -> None:
    fake.script = Script([*HEARD, last().rstrip()])
    stream = await client.ask(await client.new_session())
    assert (stream.last["type"], stream.last["fullResponse"]) == ("done", "One two")


async def test_ollama_may_be_stopped_and_started_again(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    ends = []
    for step in (None, fake.stop, fake.start):
        if step is not None:
            await step()
        stream = await client.ask(session)
        ends.append((stream.last["type"], stream.last.get("code"), stream.last.get("retryable")))
    assert ends == [("done", None, None), ("error", "upstream_unavailable", True), ("done", None, None)]


async def test_without_ollama_a_waiting_request_ends_with_a_status(client: Client, fake: FakeOllama) -> None:
    await fake.stop()
    session = await client.new_session()
    failed = await client.send(session, status=502)
    assert (failed["code"], failed["fullResponse"]) == ("upstream_unavailable", "")
    assert [message["status"] for message in await client.messages(session)] == ["complete", "failed"]


async def test_the_limit_is_on_silence_and_not_on_the_whole_answer(serve: Serve, fake: FakeOllama) -> None:
    pieces = answer("1 2 3 4 5 6 7 8 9")
    fake.script = Script(pieces, delays=[0.12] * len(pieces))
    client = await serve(first_token_timeout=1, token_timeout=1)
    stream = await client.ask(await client.new_session())
    assert (stream.last["type"], stream.last["fullResponse"]) == ("done", "1 2 3 4 5 6 7 8 9")


async def test_a_failed_message_can_be_sent_again_in_its_place(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    fake.script = Script(HEARD, end="cut")
    failed = await client.ask(session)
    fake.script = greet
    retried = await client.ask(session, replaces=failed.events[0]["userMessageId"])
    assert retried.last["type"] == "done"
    assert [message["status"] for message in await client.messages(session)] == ["complete", "complete"]
    assert fake.requests[1]["messages"] == fake.requests[0]["messages"]


# -- servers in Ollama's place, older ones, and what stands in front of it


def bare(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields}


def lacking(status: int = 404, body: bytes = b"404 page not found") -> Script:
    return Script([body], status=status, content_type="text/plain")


UNEXPECTED: Final = Script([b'{"error":"Unexpected endpoint or method."}'], content_type=JSON)
EVERY_CALL: Final = ("/api/tags", "/api/ps", "/api/show", "/api/version", "/api/chat")


class Surrounding(NamedTuple):
    """What is found at OLLAMA_HOST instead of today's Ollama, and what is said about it.

    `instead` is what calls are answered with. `auto` and `named` are the code of a send, `done` if it is
    answered, `models` the names listed or the code, and `ready` what `/readyz` says of Ollama.
    """

    instead: dict[str, Script]
    auto: str = "done"
    named: str = "done"
    models: Any = (MODEL,)
    ready: Any = "0.0.0"
    says: str = ""
    tags: list[dict[str, Any]] | None = None


def everywhere(script: Script, code: str, says: str) -> Surrounding:
    return Surrounding(dict.fromkeys(EVERY_CALL, script), code, code, code, code, says)


ONE: Final = [bare(MODEL)]
SURROUNDINGS: Final = {
    "no model is described": Surrounding({"/api/show": lacking()}, tags=ONE),
    "descriptions in HTML": Surrounding({"/api/show": html()}, tags=ONE),
    "descriptions that never come": Surrounding({"/api/show": Script(raw=True, end="hang")}, tags=ONE),
    "Ollama 0.3": Surrounding(
        {"/api/show": Script([b'{"modelfile":"","details":{"family":"gemma"}}'], content_type=JSON)},
        tags=[bare(MODEL, model=MODEL, size=1, digest="abc", details={"family": "gemma", "families": None})],
    ),
    "Docker Model Runner": Surrounding(
        {"/api/show": lacking(501, b""), "/api/ps": lacking(501, b""), "/api/version": lacking()},
        models=("ai/smollm2:latest", MODEL),
        ready=None,
        tags=[bare("ai/smollm2:latest", digest="", details=None), bare(MODEL, digest=None)],
    ),
    "Olla": Surrounding(
        {"/api/show": lacking(501, b'{"error":"not implemented"}'), "/api/ps": lacking(501)},
        tags=[bare(MODEL, olla={"endpoint": "a"}, size="large", details=[])],
    ),
    "no version": Surrounding({"/api/version": lacking()}, ready=None, tags=ONE),
    "loaded models are not listed": Surrounding({"/api/ps": lacking()}, tags=ONE),
    "llama-swap": everywhere(lacking(), "upstream_error", "OpenAI's API, at /v1, cannot be used"),
    "LM Studio": Surrounding(
        dict.fromkeys(EVERY_CALL, UNEXPECTED),
        "upstream_invalid",
        "upstream_error",
        "upstream_invalid",
        "upstream_invalid",
        "Unexpected endpoint",
    ),
    "a login's page": everywhere(html(), "upstream_invalid", "check that OLLAMA_HOST"),
    "a login": everywhere(
        Script(status=302, headers={"Location": "/login"}), "upstream_error", "OLLAMA_HEADERS"
    ),
    **{
        f"a proxy's {status}": everywhere(html(status), code, says)
        for status, code, says in (
            (401, "upstream_error", "OLLAMA_HEADERS"),
            (403, "upstream_error", "A proxy in front of Ollama does not let chatproxy in"),
            (407, "upstream_error", "OLLAMA_HEADERS"),
            (502, "upstream_unavailable", "A proxy in front of Ollama does not reach it"),
            (530, "upstream_unavailable", "A proxy in front of Ollama does not reach it"),
            (503, "upstream_unavailable", "A proxy in front of Ollama does not reach it"),
            (504, "upstream_timeout", "did not wait"),
            (524, "upstream_timeout", "did not wait"),
        )
    },
}


@pytest.mark.parametrize("name", SURROUNDINGS)
async def test_what_is_found_at_ollamas_address(serve: Serve, fake: FakeOllama, name: str) -> None:
    """It works, or the cause is said, in each place."""
    found = SURROUNDINGS[name]
    fake.instead = {path: script for path, script in found.instead.items() if path != "/api/chat"}
    fake.script = found.instead.get("/api/chat", greet)
    fake.models, fake.running = found.tags or fake.models, []
    client = await serve(default_model="auto")

    ready = (await client.call("GET", "/readyz"))["ollama"]
    assert ready.get("code", ready.get("version")) == found.ready
    async with client.http.get(client.url("/api/models")) as response:
        listed = await response.json()
    assert (listed.get("code") or tuple(each["name"] for each in listed["models"])) == found.models

    session = await client.new_session()
    for model, expected in (("auto", found.auto), (MODEL, found.named)):
        path, body = f"/api/chat/sessions/{session}/messages", {"message": "Hi", "model": model}
        async with client.http.post(client.url(path), json=body) as response:
            said = await response.json()
        assert said.get("code", "done") == expected, said
        assert found.says in said.get("error", ""), said
