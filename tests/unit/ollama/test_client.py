import asyncio
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from fake_ollama import FakeOllama, Gate, Mute, Script, answer, html, refused
from recordings import recorded

from chatproxy.errors import ChatError
from chatproxy.ollama import client
from chatproxy.ollama.client import Details, Model, ModelDetails, Ollama, RunningModel
from chatproxy.ollama.wire import Line

GEMMA = "sha256-a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
MINILM = "sha256-dc4387e2242164a128615d99e9a0853f3765a6484534cff4c65c381a69234e60"


@pytest.fixture
async def ollama(fake: FakeOllama) -> AsyncIterator[Ollama]:
    ollama = Ollama(fake.url, headers={}, connect_timeout=5)
    yield ollama
    await ollama.close()


async def code_of(call: Coroutine[Any, Any, object]) -> str | None:
    asking = asyncio.create_task(call)
    await asyncio.wait([asking], timeout=20)
    error = asking.exception()
    assert isinstance(error, ChatError)
    return error.code


async def test_tags(ollama: Ollama) -> None:
    models = await ollama.tags()
    assert [model.name for model in models] == [
        "all-minilm:22m",
        "echo:270m",
        "gemma3:270m",
        "thinker:270m",
    ]
    assert models[1] == Model(
        name="echo:270m",
        digest="3a618ddbc0da4ca478a22676e036472b8204ea97db2f0579c1265c3598acacda",
        size=253113253,
        details=ModelDetails("gguf", "gemma3", "268.10M", "Q4_K_M", 32768),
    )


async def test_ps(ollama: Ollama) -> None:
    running = await ollama.ps()
    assert running[0] == RunningModel(
        name="gemma3:270m",
        digest="adb399424e272a9d2a342d84e1ed2c15d348a8faefdf9d48a64d5b646e2dd097",
        size=287781682,
        size_vram=0,
        context_length=4096,
    )


async def test_version(ollama: Ollama) -> None:
    assert await ollama.version() == "0.0.0"


@pytest.mark.parametrize(
    ("name", "details"),
    [
        (
            "gemma3:270m",
            Details(frozenset({"completion"}), None, 32768, GEMMA, family="gemma3", basename="gemma-3"),
        ),
        (
            "thinker:270m",
            Details(
                frozenset({"completion", "thinking"}), None, 32768, GEMMA, family="gemma3", basename="gemma-3"
            ),
        ),
        (
            "all-minilm:22m",
            Details(frozenset({"embedding"}), None, 512, MINILM, family="bert", continues=True),
        ),
    ],
)
async def test_show(ollama: Ollama, name: str, details: Details) -> None:
    assert await ollama.show(name) == details


async def test_embed(fake: FakeOllama, ollama: Ollama) -> None:
    fake.instead["/api/embed"] = Script([recorded("embed")], content_type="application/json")
    vectors = await ollama.embed("all-minilm:22m", ["The sea is deep.", "A fox is clever."], keep_alive="5m")
    assert [len(vector) for vector in vectors] == [384, 384]
    assert vectors[0][:2] == [-0.029175567, 0.047866527]
    assert fake.embeds == [
        {
            "model": "all-minilm:22m",
            "input": ["The sea is deep.", "A fox is clever."],
            "truncate": True,
            "keep_alive": "5m",
        }
    ]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (recorded("embed_missing"), 404, "model_not_found"),
        (recorded("embed_not_supported"), 501, "upstream_error"),
        (b"404 page not found", 404, "upstream_error"),
        (recorded("embed_empty"), 200, "upstream_invalid"),
        (recorded("embed"), 200, "upstream_invalid"),
        (b'{"embeddings":[[]]}', 200, "upstream_invalid"),
        (b'{"embeddings":[[null]]}', 200, "upstream_invalid"),
        (b'{"embeddings":[["1"]]}', 200, "upstream_invalid"),
        (b'{"embedding":[1]}', 200, "upstream_invalid"),
        (b'{"embeddings":[[%s]]}' % b",".join([b"0.123456"] * 2**20), 200, "upstream_invalid"),
    ],
    ids=range(10),
)
async def test_embed_without_a_vector_for_the_text(
    fake: FakeOllama, ollama: Ollama, body: bytes, status: int, code: str
) -> None:
    fake.instead["/api/embed"] = Script([body], status=status, content_type="application/json")
    assert await code_of(ollama.embed("all-minilm:22m", ["The sea is deep."], keep_alive="5m")) == code


async def test_embed_may_take_longer_than_what_computes_nothing(
    fake: FakeOllama, ollama: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RESPONSE_TIMEOUT", 0.0)
    assert len(await ollama.embed("all-minilm:22m", ["a"], keep_alive="5m")) == 1
    monkeypatch.setattr(client, "EMBED_TIMEOUT", 0.05)
    fake.instead["/api/embed"] = Script(head=Gate())
    assert await code_of(ollama.embed("all-minilm:22m", ["a"], keep_alive="5m")) == "upstream_timeout"


async def test_show_with_a_window_of_its_own(fake: FakeOllama, ollama: Ollama) -> None:
    fake.shows["gemma3:270m"] = {
        "parameters": 'stop                           "num_ctx 5"\nnum_ctx                        8192\n',
        "modelfile": "# FROM gemma3:270m\r\nFROM C:\\My Models\\blobs\\" + GEMMA + "\r\nTEMPLATE x",
        "model_info": {"general.architecture": "gemma3", "gemma3.context_length": "many"},
    }
    assert await ollama.show("gemma3:270m") == Details(frozenset(), 8192, None, GEMMA)


@pytest.mark.parametrize(
    "shown",
    [{}, {"parameters": None, "model_info": None, "modelfile": None, "capabilities": None}],
)
async def test_missing_and_null_fields_are_none(
    fake: FakeOllama, ollama: Ollama, shown: dict[str, None]
) -> None:
    fake.shows["gemma3:270m"] = dict(shown)
    assert await ollama.show("gemma3:270m") == Details()


@pytest.mark.parametrize("body", [b'{"models":null}', b"{}"])
async def test_no_models(fake: FakeOllama, ollama: Ollama, body: bytes) -> None:
    fake.instead = {"/api/tags": Script([body]), "/api/ps": Script([body]), "/api/version": Script([body])}
    assert (await ollama.tags(), await ollama.ps(), await ollama.version()) == ([], [], "")


async def test_a_model_of_nulls(fake: FakeOllama, ollama: Ollama) -> None:
    fake.models = [{"name": "x", "digest": None, "size": None, "details": None}]
    assert await ollama.tags() == [Model("x")]


VALUES = [True, -1, 1.5, 1e300, 2**63 - 1, 10**30, "many", [1], {"name": 5}, None]
UNREADABLE = [b'{"size":1}', b'{"name":5}', b'{"name":"\xff"}', b"7"]


@pytest.mark.parametrize("value", VALUES)
async def test_a_value_of_another_type_is_unknown(fake: FakeOllama, ollama: Ollama, value: Any) -> None:
    """Every field of every list and description, one after the other."""
    tags, running = await ollama.tags(), await ollama.ps()
    for models, listing, kind in ((fake.models, ollama.tags, Model), (fake.running, ollama.ps, RunningModel)):
        first = dict(models[0])
        for name in set(kind.__struct_fields__) - {"name"}:
            models[0] = {**first, name: value}
            found = await listing()
            assert [model.name for model in found] == [model["name"] for model in models]
            assert getattr(found[0], name) in (None, value, ModelDetails())
        models[0] = first
    details = dict(fake.models[0]["details"])
    for name in details:
        fake.models[0]["details"] = {**details, name: value}
        (described, *_) = await ollama.tags()
        assert described.details is not None
        sizes = (None, value) if name == "parameter_size" else ("22.57M", "23M")
        assert described.details.parameter_size in sizes
    fake.models[0]["details"] = details
    assert (await ollama.tags(), await ollama.ps()) == (tags, running)
    shown = fake.shows["gemma3:270m"]
    for name in (
        "capabilities",
        "parameters",
        "model_info",
        "modelfile",
        "template",
        "system",
        "messages",
        "details",
    ):
        fake.shows["gemma3:270m"] = {**shown, name: value}
        found_details = await ollama.show("gemma3:270m")
        assert found_details.weights == (None if name == "modelfile" else GEMMA)
    fake.shows["gemma3:270m"] = {
        **shown,
        "model_info": {
            "general.architecture": "gemma3",
            "general.basename": value,
            "gemma3.context_length": value,
            "gemma3.expert_count": value,
            "gemma3.expert_used_count": value,
        },
    }
    found_details = await ollama.show("gemma3:270m")
    assert (found_details.trained_window, found_details.active) == (None, 1.0)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({"system": "You are a captain.\n"}, {"system": "You are a captain."}),
        ({"system": "x" * 10_000}, {"system": "x" * 500}),
        ({"messages": [{"role": "user", "content": "Ahoy!"}]}, {"has_examples": True}),
        ({"messages": []}, {"has_examples": False}),
        ({"details": {"family": "llama", "parent_model": "llama3.2:latest"}}, {"parent": "llama3.2:latest"}),
        ({"details": {"parent_model": "/root/.ollama/models/blobs/sha256-0123"}}, {"parent": ""}),
        ({"template": "{{ .Prompt }}"}, {"continues": True}),
        ({"template": "{{- .Prompt -}}\n"}, {"continues": True}),
        ({"template": "{{ .System }} {{ .Prompt }}"}, {"continues": False}),
        ({"template": ""}, {"continues": False}),
        ({"template": "{{ .Prompt }}<|im_start|>assistant\n<think>\n"}, {"begins_inside": True}),
        ({"template": "{{ .Prompt }}<think>{{ .Response }}<|end|>"}, {"begins_inside": True}),
        ({"template": "{{ .Prompt }}{{ if .Last }}<think>\n{{ end }}"}, {"begins_inside": True}),
        ({"template": "{{ .Prompt }}<think>\n\n</think>\n\n{{ .Response }}"}, {"begins_inside": False}),
        ({"template": "{{ .Prompt }}<think>{{ .Thinking }}{{ .Response }}"}, {"begins_inside": False}),
        ({"template": "Use <think> tags. {{ .Prompt }}"}, {"begins_inside": False}),
        ({"template": "<think>", "modelfile": "RENDERER qwen3"}, {"begins_inside": False}),
        (
            {"template": "{{ .Prompt }}", "modelfile": "FROM x\nTEMPLATE {{ .Prompt }}\nRENDERER qwen3-vl\n"},
            {"continues": False},
        ),
        (
            {
                "model_info": {
                    "general.architecture": "gptoss",
                    "gptoss.expert_count": 32,
                    "gptoss.expert_used_count": 4,
                }
            },
            {"active": 0.175},
        ),
        ({"model_info": {"general.architecture": "a", "a.expert_count": 8}}, {"active": 1.0}),
        (
            {"model_info": {"general.architecture": "a", "a.expert_count": 8, "a.expert_used_count": 8}},
            {"active": 1.0},
        ),
    ],
)
async def test_what_tells_a_models_purpose_and_pace(
    fake: FakeOllama, ollama: Ollama, shown: dict[str, object], expected: dict[str, object]
) -> None:
    fake.shows["gemma3:270m"] |= shown
    found = await ollama.show("gemma3:270m")
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("unreadable", UNREADABLE)
async def test_one_model_that_cannot_be_read_hides_no_other(
    fake: FakeOllama, ollama: Ollama, unreadable: bytes
) -> None:
    fake.instead["/api/tags"] = Script([b'{"models":[' + unreadable + b',{"name":"x"}]}'])
    assert await ollama.tags() == [Model("x")]


async def test_what_a_description_lists_is_not_unfolded(fake: FakeOllama, ollama: Ollama) -> None:
    """A model's tensors and words stay as they came: unfolded, they take thirty times the memory."""
    shown = {**fake.shows["gemma3:270m"], "tensors": [{}] * 300_000}
    shown["model_info"] = {**shown["model_info"], "words": [{}] * 300_000}
    body = json.dumps(shown, separators=(",", ":")).encode()
    fake.instead["/api/show"] = Script([body])
    tracemalloc.start()
    try:
        assert (await ollama.show("gemma3:270m")).trained_window == 32768
        assert tracemalloc.get_traced_memory()[1] < 6 * len(body)
    finally:
        tracemalloc.stop()


async def test_a_missing_model(ollama: Ollama) -> None:
    with pytest.raises(ChatError, match="`ollama pull nope:1b`") as caught:
        await ollama.show("nope:1b")
    assert caught.value.code == "model_not_found"


async def test_the_api_key(fake: FakeOllama) -> None:
    ollama = Ollama(fake.url, headers={"Authorization": "Bearer secret"}, connect_timeout=5)
    await ollama.version()
    await ollama.close()
    assert fake.headers["Authorization"] == "Bearer secret"


async def test_chat_goes_to_the_same_place(fake: FakeOllama) -> None:
    ollama = Ollama(fake.url, headers={"Authorization": "Bearer secret"}, connect_timeout=5)
    fake.script = Script(answer("Hello"))
    lines: list[Line] = []
    stream = ollama.chat(b'{"model":"gemma3:270m"}')
    stream.deliver(lines.extend)
    await stream.finished
    await ollama.close()
    assert lines[0].content == "Hello"
    assert fake.chats[0].headers["Authorization"] == "Bearer secret"


# -- what goes wrong


async def test_a_refused_connection_is_unavailable(fake: FakeOllama, ollama: Ollama) -> None:
    await fake.stop()
    assert await code_of(ollama.tags()) == "upstream_unavailable"


async def test_a_connection_that_takes_too_long_is_unavailable() -> None:
    async with Mute.listening() as mute:
        ollama = Ollama(f"https://{mute.address}", headers={}, connect_timeout=0.05)
        assert await code_of(ollama.version()) == "upstream_unavailable"
        await ollama.close()


async def test_a_response_that_takes_too_long_is_a_timeout(
    fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RESPONSE_TIMEOUT", 0.05)
    ollama = Ollama(fake.url, headers={}, connect_timeout=0.5)
    fake.instead["/api/tags"] = Script(head=Gate())
    fake.instead["/api/ps"] = Script([b"{"], end="hang")
    assert await code_of(ollama.tags()) == "upstream_timeout"
    assert await code_of(ollama.ps()) == "upstream_timeout"
    await ollama.close()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (refused(500, "broken"), "upstream_error"),
        (Script(status=302, headers={"Location": "/api/version"}), "upstream_error"),
        (html(), "upstream_invalid"),
        (html(502), "upstream_unavailable"),
        (html(504), "upstream_timeout"),
        (Script([b'{"models":5}']), "upstream_invalid"),
        (Script([b"[]"]), "upstream_invalid"),
        (Script([b'{"x":' + b"[" * 100_000]), "upstream_invalid"),
        (Script([recorded("tags")], headers={"Content-Encoding": "gzip"}), None),
        (Script([b" " * 1024**2] * 3), "upstream_invalid"),
        (Script([recorded("tags")[:50]], end="clean"), "upstream_invalid"),
        (Script([recorded("tags")[:50]], end="cut"), "upstream_incomplete"),
        (Script([b"SSH-2.0-OpenSSH_9.2\r\n"], raw=True, end="cut"), "upstream_invalid"),
    ],
)
async def test_unusable_responses(fake: FakeOllama, ollama: Ollama, script: Script, code: str | None) -> None:
    fake.instead["/api/tags"] = script
    if code is None:  # identity was asked for, so identity it is
        assert len(await ollama.tags()) == 4
    else:
        assert await code_of(ollama.tags()) == code
    assert fake.calls == {"/api/tags": 1}


async def test_a_new_connection_that_closes_is_not_tried_again(fake: FakeOllama, ollama: Ollama) -> None:
    fake.instead["/api/show"] = Script(raw=True, end="cut")
    assert await code_of(ollama.show("gemma3:270m")) == "upstream_unavailable"
    assert fake.calls["/api/show"] == 1


async def test_a_kept_connection_that_closes_is_tried_again_once(fake: FakeOllama, ollama: Ollama) -> None:
    await ollama.version()
    fake.instead["/api/show"] = Script(raw=True, end="cut")
    assert await code_of(ollama.show("gemma3:270m")) == "upstream_unavailable"
    assert fake.calls["/api/show"] == 2


async def test_a_restart_of_ollama_goes_unnoticed(fake: FakeOllama, ollama: Ollama) -> None:
    first = await ollama.show("gemma3:270m")
    await fake.stop()
    await fake.start()
    assert await ollama.show("gemma3:270m") == first


async def test_an_ollama_that_returns_with_another_address_is_found(
    fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a container that was made again; here, its name leads to another port."""
    named = [fake]
    resolve = socket.getaddrinfo

    def getaddrinfo(_host: str, _port: int, *more: Any, **options: Any) -> Any:
        return resolve("127.0.0.1", named[0].url.rpartition(":")[2], *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    ollama = Ollama("http://ollama.test:11434", headers={}, connect_timeout=5)
    assert await ollama.version() == fake.version
    await fake.stop()
    assert await code_of(ollama.version()) == "upstream_unavailable"
    async with FakeOllama() as moved:
        named[0], moved.version = moved, "1.2.3"
        assert await ollama.version() == "1.2.3"
    await ollama.close()
