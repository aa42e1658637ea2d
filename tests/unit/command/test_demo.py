import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from recordings import recorded

from chatproxy.command.demo import FAILURE, LOADING, SLOWNESS, demo_server
from chatproxy.command.demo_answers import answer_to, reason_about
from chatproxy.ollama.client import Ollama

FAST = 1e6

LAST = {
    "model",
    "created_at",
    "message",
    "done",
    "done_reason",
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with demo_server(FAST) as url, aiohttp.ClientSession(url) as http:
        yield http


def asking(text: str, **others: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **others}


async def lines_of(http: aiohttp.ClientSession, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with http.post("/api/chat", json=body) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/x-ndjson"
        return [json.loads(line) async for line in response.content]


async def refusal(http: aiohttp.ClientSession, path: str, body: bytes) -> tuple[int, Any]:
    async with http.post(path, data=body) as response:
        assert response.content_type == "application/json"
        return response.status, await response.json()


def text_of(lines: list[dict[str, Any]], field: str = "content") -> str:
    return "".join(line["message"].get(field, "") for line in lines)


async def test_an_answer_comes_word_by_word_in_ollamas_lines(http: aiohttp.ClientSession) -> None:
    *lines, last = await lines_of(http, asking("Tell me about the sea"))
    assert all(list(line) == ["model", "created_at", "message", "done"] for line in lines)
    assert all(list(line["message"]) == ["role", "content"] for line in lines)
    assert text_of(lines) == answer_to("Tell me about the sea", 0, 0)
    assert set(last) == LAST
    assert (last["done"], last["done_reason"], last["message"]["content"]) == (True, "stop", "")
    assert last["eval_count"] == len(lines)
    assert last["prompt_eval_count"] == 6
    stages = last["load_duration"] + last["prompt_eval_duration"] + last["eval_duration"]
    assert 0 < stages <= last["total_duration"]


async def test_the_first_use_loads_the_model(http: aiohttp.ClientSession) -> None:
    async def loaded() -> list[str]:
        async with http.get("/api/ps") as response:
            return [model["name"] for model in (await response.json())["models"]]

    assert await loaded() == []
    cold = await lines_of(http, asking("Hello"))
    assert await loaded() == ["demo:latest"]
    assert cold[0]["model"] == "demo:latest"
    warm = await lines_of(http, asking("Hello"))
    assert warm[-1]["load_duration"] > 0
    async with http.post("/api/chat", json={"model": "THINKING-demo"}) as response:
        assert (await response.json())["done_reason"] == "load"
    assert await loaded() == ["demo:latest", "thinking-demo:latest"]


async def test_without_streaming_it_is_one_object(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/chat", json=asking("Hello", stream=False)) as response:
        assert response.content_type == "application/json"
        whole = await response.json()
    assert set(whole) == LAST
    assert whole["message"] == {"role": "assistant", "content": answer_to("Hello", 0, 0)}


@pytest.mark.parametrize("think", [{}, {"think": True}, {"think": "high"}])
async def test_the_thinker_thinks_first(http: aiohttp.ClientSession, think: dict[str, Any]) -> None:
    lines = await lines_of(http, asking("The sea") | {"model": "thinking-demo:latest"} | think)
    assert text_of(lines, "thinking") == reason_about("The sea")
    assert text_of(lines) == answer_to("The sea", 0, 0)
    thoughts = [bool(line["message"].get("thinking")) for line in lines]
    assert thoughts == sorted(thoughts, reverse=True)


async def test_the_thinker_can_be_told_not_to(http: aiohttp.ClientSession) -> None:
    lines = await lines_of(http, asking("The sea") | {"model": "thinking-demo", "think": False})
    assert text_of(lines, "thinking") == ""
    assert text_of(lines) == answer_to("The sea", 0, 0)


async def test_num_predict_limits_the_length(http: aiohttp.ClientSession) -> None:
    *lines, last = await lines_of(http, asking("Hello", options={"num_predict": 3, "seed": 1}))
    assert (len(lines), last["done_reason"], last["eval_count"]) == (3, "length", 3)


async def test_num_predict_counts_thinking_too(http: aiohttp.ClientSession) -> None:
    body = asking("Hello", options={"num_predict": 3}) | {"model": "thinking-demo"}
    *lines, last = await lines_of(http, body)
    assert (len(lines), text_of(lines), last["done_reason"]) == (3, "", "length")


async def test_it_thinks_between_tags_when_asked_to(http: aiohttp.ClientSession) -> None:
    text = text_of(await lines_of(http, asking("Think about the sea")))
    reasoning, _, answer = text.removeprefix("<think>\n").partition("\n</think>\n\n")
    assert reasoning == reason_about("Think about the sea")
    assert answer == answer_to("Think about the sea", 0, 0)
    off = text_of(await lines_of(http, asking("Think about the sea", think=False)))
    assert off == answer


async def test_it_fails_half_way_when_asked_to(http: aiohttp.ClientSession) -> None:
    *lines, last = await lines_of(http, asking("Fail in the middle"))
    assert last == {"error": FAILURE}
    whole = answer_to("Fail in the middle", 0, 0)
    assert 0 < len(text_of(lines)) < len(whole)
    assert whole.startswith(text_of(lines))
    body = json.dumps(asking("Fail in the middle", stream=False)).encode()
    assert await refusal(http, "/api/chat", body) == (500, {"error": FAILURE})


async def test_a_slow_model_takes_longer() -> None:
    pace = 10_000
    async with demo_server(pace) as url, aiohttp.ClientSession(url) as http:
        *_, last = await lines_of(http, asking("Answer slowly"))
    assert last["load_duration"] >= SLOWNESS * LOADING / pace * 1e9


async def test_an_answer_mentions_earlier_turns_and_images(http: aiohttp.ClientSession) -> None:
    turns = [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two", "images": ["aGk="]},
    ]
    lines = await lines_of(http, {"model": "demo", "messages": turns})
    assert text_of(lines) == answer_to("Two", 1, 1)


def test_an_answer_repeats_the_message_and_says_what_it_is() -> None:
    answer = answer_to("Why is the octopus so clever?", 0, 0)
    assert answer.startswith("You wrote about **Why**, **the**, **octopus**, **clever**. It is the first")
    assert "\n\n- open this conversation" in answer
    assert "**not a language model**" in answer
    assert "`ollama pull llama3.2`" in answer
    assert "```" not in answer


def test_an_answer_counts_turns_and_images() -> None:
    answer = answer_to("?!", 2, 2)
    assert answer.startswith("Your message has no words. You sent 2 messages before it")
    assert "It comes with 2 images, which I cannot see." in answer
    assert reason_about("?!") == "Words in the message: 1. A short answer with a list will do."


@pytest.mark.parametrize("path", ["/api/chat", "/api/show"])
@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"", (400, {"error": "missing request body"})),
        (b"{", (400, {"error": "Input data was truncated"})),
        (b"{}", (400, {"error": "model is required"})),
        (b'{"model": 1}', (400, {"error": "Expected `str`, got `int` - at `$.model`"})),
        (b'{"model": "x"}', (404, {"error": "model 'x' not found"})),
    ],
)
async def test_refusals(http: aiohttp.ClientSession, path: str, body: bytes, answer: tuple[int, Any]) -> None:
    assert await refusal(http, path, body) == answer


async def test_a_model_that_cannot_think_says_so(http: aiohttp.ClientSession) -> None:
    body = json.dumps(asking("Hello", think=True)).encode()
    assert await refusal(http, "/api/chat", body) == (400, {"error": '"demo" does not support thinking'})


async def test_chatproxys_own_client_understands_it(http: aiohttp.ClientSession) -> None:
    ollama = Ollama(str(http._base_url), headers={}, connect_timeout=5)
    try:
        assert [model.name for model in await ollama.tags()] == ["demo:latest", "thinking-demo:latest"]
        assert await ollama.version() == "0.0.0-demo"
        shown = await ollama.show("thinking-demo")
        assert shown.capabilities == {"completion", "vision", "thinking"}
        assert (shown.window, shown.trained_window) == (8192, 32768)
        assert (shown.weights or "").startswith("sha256-")
        assert shown.weights != (await ollama.show("demo")).weights
        await lines_of(http, asking("Hello"))
        assert [(model.name, model.context_length) for model in await ollama.ps()] == [("demo:latest", 8192)]
    finally:
        await ollama.close()


async def test_the_root_says_that_ollama_is_running(http: aiohttp.ClientSession) -> None:
    async with http.get("/") as response:
        assert await response.text() == "Ollama is running"
    async with http.head("/") as response:
        assert response.status == 200


async def test_an_answer_stops_when_its_reader_leaves() -> None:
    """At this pace, the whole answer would take hours."""
    async with asyncio.timeout(30), demo_server(pace=0.01) as url:
        before = asyncio.all_tasks()
        async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(0.05)) as http:
            with pytest.raises(TimeoutError):
                await http.post("/api/chat", json=asking("Hello"))
        await asyncio.gather(*asyncio.all_tasks() - before, return_exceptions=True)


async def test_what_it_does_not_answer_is_refused_in_each_apis_form(http: aiohttp.ClientSession) -> None:
    sentence = (
        "the stand-in of --demo answers chats only, in Ollama's API and at /v1/chat/completions; "
        "install Ollama, and start chatproxy without --demo"
    )
    assert await refusal(http, "/api/embed", b"{}") == (404, {"error": sentence})
    error = {"type": "not_found_error", "message": sentence, "param": None, "code": None}
    for path in ("/v1/responses", "/v1/messages", "/v1/embeddings"):
        assert await refusal(http, path, b"{}") == (404, {"type": "error", "error": error})


# -- the other ways to chat, in the form of what a real Ollama sent


def form(value: Any) -> Any:
    """Return what is left of JSON without its texts and numbers."""
    if isinstance(value, dict):
        return {name: form(each) for name, each in value.items()}
    return [form(each) for each in value] if isinstance(value, list) else type(value)


def forms(values: list[Any]) -> list[Any]:
    """Return the forms, each once, in the order of their first."""
    found: list[Any] = []
    for value in values:
        if (each := form(value)) not in found:
            found.append(each)
    return found


def chunks(events: bytes) -> list[Any]:
    """Return the chunks of a stream of chat completions that has its end."""
    *found, end, rest = events.split(b"\n\n")
    assert (end, rest) == (b"data: [DONE]", b"")
    return [json.loads(event.removeprefix(b"data: ")) for event in found]


async def sent(http: aiohttp.ClientSession, path: str, body: dict[str, Any], content_type: str) -> bytes:
    async with http.post(path, json=body) as response:
        assert (response.status, response.content_type) == (200, content_type)
        return await response.read()


COMPLETIONS = "/v1/chat/completions"


async def test_chat_completions_are_streamed_as_ollama_does(http: aiohttp.ClientSession) -> None:
    body = asking("The sea") | {"model": "thinking-demo", "stream": True}
    with_usage = body | {"stream_options": {"include_usage": True}}
    got = chunks(await sent(http, COMPLETIONS, with_usage, "text/event-stream"))
    assert forms(got) == forms(chunks(recorded("faces/chat_completions")))
    *said, end, counts = got
    deltas = [chunk["choices"][0]["delta"] for chunk in said]
    assert "".join(delta.get("reasoning", "") for delta in deltas) == reason_about("The sea")
    assert "".join(delta["content"] for delta in deltas) == answer_to("The sea", 0, 0)
    assert end["choices"][0]["finish_reason"] == "stop"
    assert counts["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": len(said),
        "total_tokens": 3 + len(said),
    }
    assert forms(chunks(await sent(http, COMPLETIONS, body, "text/event-stream"))) == forms(got[:-1])


async def test_a_chat_completion_is_one_object_unless_a_stream_is_asked_for(
    http: aiohttp.ClientSession,
) -> None:
    parts = [{"type": "text", "text": "The sea"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    body = {"model": "demo", "messages": [{"role": "user", "content": parts}]}
    whole = json.loads(await sent(http, COMPLETIONS, body, "application/json"))
    assert form(whole) == form(json.loads(recorded("faces/chat_completions_not_streamed")))
    assert whole["model"] == "demo:latest"
    assert whole["choices"][0]["message"]["content"] == answer_to("The sea", 0, 1)


async def test_max_tokens_limits_a_chat_completion(http: aiohttp.ClientSession) -> None:
    body = asking("Hello", max_tokens=3)
    whole = json.loads(await sent(http, COMPLETIONS, body, "application/json"))
    assert (whole["choices"][0]["finish_reason"], whole["usage"]["completion_tokens"]) == ("length", 3)


async def test_a_chat_completion_that_fails_ends_as_ollamas(http: aiohttp.ClientSession) -> None:
    """Ollama hides the failure: a chunk of no model, and no end."""
    body = asking("Fail in the middle", stream=True)
    last = (await sent(http, COMPLETIONS, body, "text/event-stream")).split(b"\n\n")[-2]
    expected = recorded("faces/chat_completions_failed").split(b"\n\n")[-2]
    assert [last.partition(b'"model":')[2]] == [expected.partition(b'"model":')[2]]
    status, answer = await refusal(http, COMPLETIONS, json.dumps(body | {"stream": None}).encode())
    assert (status, answer["error"]["message"], answer["error"]["type"]) == (500, FAILURE, "api_error")


@pytest.mark.parametrize(
    ("body", "status", "kind", "sentence"),
    [
        (b"{", 400, "invalid_request_error", "Input data was truncated"),
        (b'{"model": "demo"}', 400, "invalid_request_error", "[] is too short - 'messages'"),
    ],
)
async def test_refusals_of_chat_completions(
    http: aiohttp.ClientSession, body: bytes, status: int, kind: str, sentence: str
) -> None:
    error = {"message": sentence, "type": kind, "param": None, "code": None}
    assert await refusal(http, COMPLETIONS, body) == (status, {"type": "error", "error": error})


async def test_another_model_is_missing_as_in_ollama(http: aiohttp.ClientSession) -> None:
    for path, name in ((COMPLETIONS, "chat_completions"), ("/api/generate", "generate")):
        body = json.dumps(asking("Hello", prompt="Hello") | {"model": "missing"}).encode()
        status, answer = await refusal(http, path, body)
        assert (status, answer["error"]) == (
            404,
            json.loads(recorded(f"faces/{name}_model_missing"))["error"],
        )


async def test_the_models_are_listed_for_openais_clients(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/models") as response:
        listed = await response.json()
    assert [model["id"] for model in listed["data"]] == ["demo:latest", "thinking-demo:latest"]
    real = json.loads(recorded("faces/models"))
    assert form(listed) == form(real | {"data": real["data"][:2]})
    async with http.get("/v1/models/demo") as response:
        assert (await response.json())["id"] == "demo:latest"


async def test_a_prompt_is_answered_as_a_message(http: aiohttp.ClientSession) -> None:
    body = {"model": "thinking-demo", "prompt": "The sea"}
    got = (await sent(http, "/api/generate", body, "application/x-ndjson")).splitlines()
    lines = [json.loads(line) for line in got]
    real = [json.loads(line) for line in recorded("faces/generate").splitlines()]
    of_others = {"remote_model", "remote_host", "context"}
    assert forms(lines) == forms([{k: v for k, v in line.items() if k not in of_others} for line in real])
    assert "".join(line.get("thinking", "") for line in lines) == reason_about("The sea")
    assert "".join(line["response"] for line in lines) == answer_to("The sea", 0, 0)
    whole = await sent(http, "/api/generate", body | {"stream": False}, "application/json")
    assert json.loads(whole)["response"] == answer_to("The sea", 0, 0)
    loaded = await sent(http, "/api/generate", {"model": "demo"}, "application/json")
    assert json.loads(loaded)["done_reason"] == "load"
    failing = await sent(http, "/api/generate", {"model": "demo", "prompt": "Fail"}, "application/x-ndjson")
    assert json.loads(failing.splitlines()[-1]) == {"error": FAILURE}
