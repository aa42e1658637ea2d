"""Each client raises its own typed error, with chatproxy's sentence, whatever chatproxy refuses and why."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anthropic
import ollama
import openai
import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Gate, Script, answer
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from matrix import matrix
from node import run
from pydantic import SecretStr

HERE: Final = Path(__file__).parent
MODEL: Final = "gemma3:270m"
TOKEN: Final = "correct-horse-battery"
TOO_LARGE: Final = 33 * 1024**2  # bytes of a prompt
pytestmark = pytest.mark.usefixtures("clients_that_close_nothing")


@dataclass(frozen=True)
class Refused:
    """A call that is refused: how it differs from one that is not, and what is said."""

    status: int
    sentence: str
    base: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int = 5  # bytes of the prompt
    key: str = TOKEN


@pytest.fixture
async def refusals(serve: Serve, fake: FakeOllama, tmp_path: Path) -> AsyncIterator[list[Refused]]:
    """A refusal of each status, on servers that run."""

    async def server(name: str, **settings: Any) -> Client:
        return await serve(api_token=TOKEN, database_url=f"sqlite:///{tmp_path}/{name}.db", **settings)

    client = await server("impatient", first_token_timeout=0.5)
    full = await server("full", max_concurrent_generations=1, max_queued_generations=0)
    off = await server("off", passthrough=False)
    held = Script(answer("Hello"), head=Gate())
    fake.instead = dict.fromkeys(("/api/chat", "/v1/chat/completions", "/v1/messages"), held)
    first = asyncio.create_task(holding(full))
    await fake.arrived()
    yield [
        Refused(401, "The token is missing or wrong", client.base, key="wrong"),
        Refused(
            403, "Pages from https://evil.example", client.base, headers={"Origin": "https://evil.example"}
        ),
        Refused(404, "Nothing is passed on to Ollama here", off.base),
        Refused(405, "PUT is not possible here", client.base, method="PUT"),
        Refused(413, "32 MiB", client.base, size=TOO_LARGE),
        Refused(415, "Send the body uncompressed", client.base, headers={"Content-Encoding": "zstd"}),
        Refused(503, "try again", full.base),
        Refused(504, "Ollama sent nothing for 0.5 s", client.base),
    ]
    first.cancel()


async def holding(client: Client) -> None:
    """Hold the only place that there is."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with client.http.post(client.url("/api/chat"), json={"model": MODEL}, headers=headers):
        pass


def changed(refused: Refused) -> dict[str, Any]:
    """Return what makes an HTTP client send requests as `refused` has them."""

    def change(request: Any) -> None:
        request.method = refused.method
        request.headers.update(refused.headers)

    return {"event_hooks": {"request": [change]}}


def of_ollama(refused: Refused) -> None:
    api = ollama.Client(refused.base, headers={"Authorization": f"Bearer {refused.key}"}, **changed(refused))
    list(api.chat(MODEL, [{"role": "user", "content": "x" * refused.size}], stream=True))


def of_openai(refused: Refused) -> None:
    http = openai.DefaultHttpxClient(**changed(refused))
    with openai.OpenAI(
        base_url=f"{refused.base}/v1", api_key=refused.key, max_retries=0, http_client=http
    ) as api:
        content = "x" * refused.size
        api.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}], stream=True)


def of_anthropic(refused: Refused) -> None:
    http = anthropic.DefaultHttpxClient(**changed(refused))
    with anthropic.Anthropic(
        base_url=refused.base, api_key=refused.key, max_retries=0, http_client=http
    ) as api:
        content = "x" * refused.size
        messages: list[Any] = [{"role": "user", "content": content}]
        api.messages.create(model=MODEL, messages=messages, max_tokens=9, stream=True)


def of_langchain_ollama(refused: Refused) -> None:
    client = {"headers": {"Authorization": f"Bearer {refused.key}"}, **changed(refused)}
    chat = ChatOllama(base_url=refused.base, model=MODEL, sync_client_kwargs=client)
    list(chat.stream("x" * refused.size))


def of_langchain_openai(refused: Refused) -> None:
    with openai.DefaultHttpxClient(**changed(refused)) as http:
        chat = ChatOpenAI(
            base_url=f"{refused.base}/v1",
            api_key=SecretStr(refused.key),
            model=MODEL,
            max_retries=0,
            http_client=http,
        )
        list(chat.stream("x" * refused.size))


def outcome(use: Callable[[Refused], None], refused: Refused) -> Exception | None:
    """Return the error that a client raises."""
    try:
        use(refused)
    except Exception as error:
        return error
    return None


Types = Mapping[int, type[Exception]]
OPENAI: Final[Types] = {
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    405: openai.APIStatusError,
    413: openai.APIStatusError,
    415: openai.APIStatusError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
}
ANTHROPIC: Final[Types] = {
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    405: anthropic.APIStatusError,
    413: anthropic.APIStatusError,
    415: anthropic.APIStatusError,
    503: anthropic.InternalServerError,
    504: anthropic.InternalServerError,
}
OLLAMA: Final[Types] = dict.fromkeys(OPENAI, ollama.ResponseError)
PYTHON: Final[list[tuple[Callable[[Refused], None], Types]]] = [
    (of_ollama, OLLAMA),
    (of_openai, OPENAI),
    (of_anthropic, ANTHROPIC),
    (of_langchain_ollama, OLLAMA),
    (of_langchain_openai, dict.fromkeys(OPENAI, openai.APIStatusError)),
]


@pytest.mark.slow
async def test_python_clients_raise_their_own_errors(refusals: list[Refused]) -> None:
    with matrix() as cases:
        for use, types in PYTHON:
            for refused in refusals:
                error = await asyncio.to_thread(outcome, use, refused)
                case = use.__name__, refused.status
                cases.check(isinstance(error, types[refused.status]), repr(error), *case)
                cases.expect(refused.status, getattr(error, "status_code", None), *case)
                cases.check(refused.sentence in str(error), repr(error), *case)


@pytest.mark.slow
async def test_javascript_clients_raise_their_own_errors(node: str, refusals: list[Refused]) -> None:
    cases = json.dumps([vars(refused) for refused in refusals])
    report = await run(node, "--test", "refusals.test.js", cwd=HERE, env={"REFUSALS": cases})
    assert f"pass {3 * len(refusals)}" in report


def basic(token: str) -> str:
    return f"Basic {b64encode(f'anyone:{token}'.encode()).decode()}"


# By what is sent, whether it opens the server.
CREDENTIALS: Final[list[tuple[dict[str, str], bool]]] = [
    ({"Authorization": f"Bearer {TOKEN}"}, True),
    ({"Authorization": basic(TOKEN)}, True),
    ({"x-api-key": TOKEN}, True),
    ({"Authorization": "Bearer wrong"}, False),
    ({"Authorization": basic("wrong")}, False),
    ({"x-api-key": "wrong"}, False),
    ({}, False),
]
# By path, where the error of its API has the sentence.
SENTENCES: Final[dict[str, Callable[[Any], Any]]] = {
    "/api/chat": lambda said: said["error"],
    "/v1/chat/completions": lambda said: said["error"]["message"],
    "/v1/messages": lambda said: said["error"]["message"],
    "/api/chat/sessions": lambda said: said["error"],
}


async def test_every_api_takes_the_token_in_every_way(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(api_token=TOKEN)
    with matrix() as cases:
        for headers, opens in CREDENTIALS:
            for path, sentence in SENTENCES.items():
                async with client.http.post(
                    client.url(path), json={"model": MODEL}, headers=headers
                ) as response:
                    cases.expect(opens, response.status < 300, path, headers)
                    if not opens:
                        said = sentence(await response.json())
                        cases.check("The token is missing or wrong" in said, said, path, headers)
                        cases.expect(401, response.status, path, headers)
    assert len(fake.chats) == sum(opens for _, opens in CREDENTIALS) * 3


async def test_each_client_sends_the_token_in_its_own_way(serve: Serve) -> None:
    client = await serve(api_token=TOKEN)
    asked: list[Any] = [{"role": "user", "content": "Hello"}]
    openai_base = f"{client.base}/v1"
    ways: list[Callable[[str], Any]] = [
        lambda key: ollama.Client(client.base, headers={"Authorization": f"Bearer {key}"}).chat(MODEL, asked),
        lambda key: ollama.Client(client.base, auth=("anyone", key)).chat(MODEL, asked),
        lambda key: openai.OpenAI(base_url=openai_base, api_key=key).models.list(),
        lambda key: anthropic.Anthropic(base_url=client.base, api_key=key).messages.create(
            model=MODEL, messages=asked, max_tokens=9
        ),
        lambda key: anthropic.Anthropic(base_url=client.base, auth_token=key).messages.create(
            model=MODEL, messages=asked, max_tokens=9
        ),
    ]
    errors = (ollama.ResponseError, openai.AuthenticationError, anthropic.AuthenticationError)
    for way in ways:
        assert await asyncio.to_thread(way, TOKEN)
        with pytest.raises(errors, match="The token is missing or wrong"):
            await asyncio.to_thread(way, "wrong")
