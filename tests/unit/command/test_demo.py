import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

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
        "the stand-in of --demo answers /api/chat only; install Ollama, and start chatproxy without --demo"
    )
    assert await refusal(http, "/api/generate", b"{}") == (404, {"error": sentence})
    error = {"type": "not_found_error", "message": sentence}
    for path in ("/v1/chat/completions", "/v1/messages"):
        assert await refusal(http, path, b"{}") == (404, {"type": "error", "error": error})
