"""What Python programs use today works unchanged: each client is pointed at chatproxy, and that is all."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anthropic
import ollama
import openai
import pytest
from chat_client import Client
from endings import COMPLETE, SHORT, ending
from fake_ollama import NDJSON, SSE, FakeOllama, Script
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI
from matrix import matrix
from processes import Process
from pydantic import SecretStr
from recordings import texts

pytestmark = pytest.mark.usefixtures("clients_that_close_nothing")

WORDS = "".join(f"w{number} " for number in range(20))
THOUGHTS = "".join(f"hm{number} " for number in range(5))
GREETING = "Hello from a fake."
MODEL = "gemma3:270m"
ASKED: list[Any] = [{"role": "user", "content": "Say words."}]
FAILING: list[Any] = [{"role": "user", "content": "Fail half-way."}]
MANAGED = "Models are managed where Ollama runs"
KILLED = "an error was encountered while running the model"
CUT = "Ollama.s answer stopped before its end"  # chatproxy's own words


def ollama_python(base: str) -> None:
    api = ollama.Client(base)
    assert "".join(part.message.content or "" for part in api.chat(MODEL, ASKED, stream=True)) == GREETING
    assert api.chat(MODEL, ASKED).message.content == GREETING
    generated = list(api.generate(MODEL, "Say words.", stream=True))
    assert "".join(part.response or "" for part in generated) == WORDS
    assert "".join(part.thinking or "" for part in generated) == THOUGHTS
    assert api.generate(MODEL, "Say words.").response == WORDS
    assert len(api.embed("all-minilm:22m", ["The sea is deep.", "A fox is clever."]).embeddings) == 2
    assert list(api.embeddings("all-minilm:22m", "The sea is deep.").embedding) == [0.5, -0.25, 0.125]
    assert MODEL in [model.model for model in api.list().models]
    assert MODEL in [model.model for model in api.ps().models]
    assert "completion" in (api.show(MODEL).capabilities or [])
    for manage in (api.pull, api.push, api.delete, lambda name: api.copy(name, "mine")):
        with pytest.raises(ollama.ResponseError, match=MANAGED) as refusal:
            manage(MODEL)
        assert refusal.value.status_code == 403


def openai_python(base: str) -> None:
    api = openai.OpenAI(base_url=f"{base}/v1", api_key="unused")
    with api.chat.completions.create(model=MODEL, messages=ASKED, stream=True) as stream:
        deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == WORDS
    whole = api.chat.completions.create(model=MODEL, messages=ASKED)
    assert whole.choices[0].message.content == WORDS
    assert whole._request_id, "the X-Request-Id of chatproxy's log"
    texts = [chunk.choices[0].text for chunk in api.completions.create(model=MODEL, prompt="x", stream=True)]
    assert "".join(texts) == WORDS
    with api.responses.create(model=MODEL, input="Say words.", stream=True) as events:
        said = list(events)
    assert "".join(each.delta for each in said if each.type == "response.output_text.delta") == WORDS
    assert said[-1].type == "response.completed"
    assert api.responses.create(model=MODEL, input="Say words.").output_text == WORDS
    vectors = api.embeddings.create(model="all-minilm:22m", input="The sea is deep.").data
    assert vectors[0].embedding == [0.5, -0.25, 0.125]
    assert "words:latest" in [model.id for model in api.models.list()]
    assert api.models.retrieve("words").id == "words"
    said_aloud = api.audio.transcriptions.create(model=MODEL, file=("a.wav", b"RIFF", "audio/wav"))
    assert said_aloud.text == WORDS.strip()


def anthropic_python(base: str) -> None:
    api = anthropic.Anthropic(base_url=base, api_key="unused")
    with api.messages.stream(model=MODEL, messages=ASKED, max_tokens=100) as stream:
        assert "".join(stream.text_stream) == WORDS
        assert stream.get_final_message().stop_reason == "end_turn"
    (block,) = api.messages.create(model=MODEL, messages=ASKED, max_tokens=100).content
    assert block.type == "text"
    assert block.text == WORDS
    with pytest.raises(anthropic.NotFoundError):  # Ollama does not have it; Claude Code then counts by itself
        api.messages.count_tokens(model=MODEL, messages=ASKED)


def langchain_ollama(base: str) -> None:
    chat = ChatOllama(base_url=base, model=MODEL, validate_model_on_init=True)
    assert chat.invoke("Say words.").text == GREETING
    assert "".join(chunk.text for chunk in chat.stream("Say words.")) == GREETING
    assert len(OllamaEmbeddings(base_url=base, model="all-minilm:22m").embed_documents(["a", "b"])) == 2


def langchain_openai(base: str) -> None:
    chat = ChatOpenAI(base_url=f"{base}/v1", api_key=SecretStr("unused"), model=MODEL)
    assert chat.invoke("Say words.").text == WORDS
    assert "".join(chunk.text for chunk in chat.stream("Say words.")) == WORDS


CLIENTS = [ollama_python, openai_python, anthropic_python, langchain_ollama, langchain_openai]


@pytest.mark.parametrize("use", CLIENTS)
async def test_clients_work_as_with_ollama(use: Callable[[str], None], client: Client) -> None:
    await asyncio.to_thread(use, client.base)


async def test_asynchronous_clients(client: Client) -> None:
    async with ollama.AsyncClient(client.base) as llama:
        chat = await llama.chat(MODEL, ASKED, stream=True)
        assert "".join([part.message.content or "" async for part in chat]) == GREETING
    async with openai.AsyncOpenAI(base_url=f"{client.base}/v1", api_key="unused") as api:
        stream = await api.chat.completions.create(model=MODEL, messages=ASKED, stream=True)
        assert (
            "".join([each.choices[0].delta.content or "" async for each in stream if each.choices]) == WORDS
        )
    async with (
        anthropic.AsyncAnthropic(base_url=client.base, api_key="unused") as claude,
        claude.messages.stream(model=MODEL, messages=ASKED, max_tokens=100) as messages,
    ):
        assert "".join([text async for text in messages.text_stream]) == WORDS


def first_things_that_people_try(base: str) -> None:
    api = openai.OpenAI(base_url=f"{base}/v1", api_key="unused", max_retries=0)
    assert [model.id for model in api.models.list()] == ["demo:latest", "thinking-demo:latest"]
    with api.chat.completions.create(
        model="demo:latest",
        messages=ASKED,
        max_tokens=4,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        *said, counts = stream
    assert "".join(each.choices[0].delta.content or "" for each in said) == "You wrote about **Say**,"
    assert said[-1].choices[0].finish_reason == "length"
    assert counts.usage
    assert counts.usage.completion_tokens == 4
    whole = api.chat.completions.create(model="demo", messages=ASKED, max_tokens=4)
    assert whole.choices[0].message.content == "You wrote about **Say**,"
    with pytest.raises(openai.NotFoundError, match=r"model 'llama3\.2' not found"):
        api.chat.completions.create(model="llama3.2", messages=ASKED)
    with pytest.raises(openai.NotFoundError, match="answers chats only"):
        api.responses.create(model="demo", input="Say words.")
    with pytest.raises(openai.APIError, match=CUT):
        list(api.chat.completions.create(model="demo", messages=FAILING, stream=True))
    generated = ollama.Client(base).generate("demo", "Say words.", options={"num_predict": 4})
    assert generated.response == "You wrote about **Say**,"


async def test_clients_work_with_the_demo(tmp_path: Path) -> None:
    async with Process.running(tmp_path, "--demo") as process:
        await asyncio.to_thread(first_things_that_people_try, process.client.base)


def ollama_chat(base: str) -> None:
    said: list[str] = []
    stream = ollama.Client(base).chat(MODEL, ASKED, stream=True)
    with pytest.raises(ollama.ResponseError, match=KILLED):
        said.extend(part.message.content or "" for part in stream)
    assert "".join(said) == texts("runner_killed")[1]


def ollama_generate(base: str) -> None:
    with pytest.raises(ollama.ResponseError, match=KILLED):
        list(ollama.Client(base).generate(MODEL, "Say words.", stream=True))


def openai_chat(base: str) -> None:
    api = openai.OpenAI(base_url=f"{base}/v1", api_key="unused")
    with pytest.raises(openai.APIError, match=CUT) as error:
        list(api.chat.completions.create(model=MODEL, messages=ASKED, stream=True))
    assert error.value.code == "upstream_incomplete"


def openai_completions(base: str) -> None:
    api = openai.OpenAI(base_url=f"{base}/v1", api_key="unused")
    with pytest.raises(openai.APIError, match=CUT):
        list(api.completions.create(model=MODEL, prompt="Say words.", stream=True))


def openai_responses(base: str) -> None:
    api = openai.OpenAI(base_url=f"{base}/v1", api_key="unused")
    with pytest.raises(openai.APIError, match=CUT):
        list(api.responses.create(model=MODEL, input="Say words.", stream=True))


def anthropic_messages(base: str) -> None:
    api = anthropic.Anthropic(base_url=base, api_key="unused")
    with (
        pytest.raises(anthropic.APIStatusError, match=CUT),
        api.messages.stream(model=MODEL, messages=ASKED, max_tokens=100) as stream,
    ):
        list(stream.text_stream)


def langchain_of_ollama(base: str) -> None:
    with pytest.raises(ollama.ResponseError, match=KILLED):
        list(ChatOllama(base_url=base, model=MODEL).stream("Say words."))


def langchain_of_openai(base: str) -> None:
    with pytest.raises(openai.APIError, match=CUT):
        list(ChatOpenAI(base_url=f"{base}/v1", api_key=SecretStr("unused"), model=MODEL).stream("Say words."))


FAILURES = [
    *(ollama_chat, ollama_generate, openai_chat, openai_completions, openai_responses, anthropic_messages),
    *(langchain_of_ollama, langchain_of_openai),
]


@pytest.mark.parametrize("use", FAILURES)
async def test_clients_learn_of_a_runner_that_died(
    use: Callable[[str], None], client: Client, broken: FakeOllama
) -> None:
    """Ollama itself ends its OpenAI and Anthropic streams as if all were well."""
    await asyncio.to_thread(use, client.base)


# Without the certificates, which nothing here needs, each client is made in a hundredth of the time.
def openai_of(base: str) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(verify=False)
    return openai.OpenAI(base_url=f"{base}/v1", api_key="unused", max_retries=0, http_client=http)


def anthropic_of(base: str) -> anthropic.Anthropic:
    http = anthropic.DefaultHttpxClient(verify=False)
    return anthropic.Anthropic(base_url=base, api_key="unused", max_retries=0, http_client=http)


# By path, how a client asks for a stream.
STREAMS: dict[str, Callable[[str], Iterable[object]]] = {
    "/api/chat": lambda base: ollama.Client(base, verify=False).chat(MODEL, ASKED, stream=True),
    "/api/generate": lambda base: ollama.Client(base, verify=False).generate(MODEL, "x", stream=True),
    "/v1/chat/completions": lambda base: openai_of(base).chat.completions.create(
        model=MODEL, messages=ASKED, stream=True
    ),
    "/v1/completions": lambda base: openai_of(base).completions.create(model=MODEL, prompt="x", stream=True),
    "/v1/responses": lambda base: openai_of(base).responses.create(model=MODEL, input="x", stream=True),
    "/v1/messages": lambda base: anthropic_of(base).messages.create(
        model=MODEL, messages=ASKED, max_tokens=100, stream=True
    ),
}


def raised(base: str, path: str) -> str:
    """Return the name of what a client raises while it reads a stream, or nothing."""
    try:
        for _ in STREAMS[path](base):
            pass
    except Exception as error:
        return type(error).__name__
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("path", SHORT)
async def test_no_client_takes_a_part_for_the_whole(path: str, client: Client, fake: FakeOllama) -> None:
    """Cut at every byte, a stream raises, except where its end can be told without a newline."""
    data = SHORT[path]
    with matrix() as cases:
        for size in range(len(data) + 1):
            fake.script = fake.instead[path] = Script(
                [data[:size]] if size else [], content_type=NDJSON if path.startswith("/api/") else SSE
            )
            error = await asyncio.to_thread(raised, client.base, path)
            if size == len(data):
                cases.expect("", error, "the whole")
            elif ending(path, data[:size] + b"\n\n") != COMPLETE:
                cases.check(error != "", "nothing raised", data[:size][-40:])
