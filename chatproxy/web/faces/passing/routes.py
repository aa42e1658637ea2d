"""What is passed on: the calls of Ollama, OpenAI and Anthropic that read, or ask a model. Nothing else is.

Calls that manage models, or spend the operator's account with Ollama, are refused by name.
"""

from typing import Annotated, Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import UNSET, Meta, Struct, UnsetType

from chatproxy.errors import ChatError
from chatproxy.models.selection import SUGGESTED
from chatproxy.web.faces.dialects import path_of
from chatproxy.web.faces.passing.asked import FORM, MAX_NAME
from chatproxy.web.faces.passing.lists import LISTS, merged
from chatproxy.web.faces.passing.passage import NDJSON, check_is_on, forward
from chatproxy.web.held import HELD
from chatproxy.web.json import MAX_BODY, read_body
from chatproxy.web.keys import CONFIG, MODELS
from chatproxy.web.operation import GATEWAY_ERRORS, JSON, operation
from chatproxy.web.security import check_is_no_visitor

# By the first segments of the path. Those below `experimental` spend the operator's account.
MANAGEMENT: Final = (
    *("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs"),
    *("/api/me", "/api/signout", "/api/user/keys", "/api/experimental"),
)
ANY: Final = {JSON: dict[str, Any]}
NDJSON_STREAM: Final = {**ANY, NDJSON: dict[str, Any]}
SSE_STREAM: Final = {**ANY, "text/event-stream": dict[str, Any]}
Name = Annotated[str, Meta(max_length=MAX_NAME, description="The model's name in Ollama.")]
HELLO: Final = [{"role": "user", "content": "Hello"}]


class ModelRequest(Struct, frozen=True):
    """The fields that chatproxy looks at; all others are Ollama's, too."""

    model: Name
    stream: Annotated[bool, Meta(description="Whether the answer is streamed.")] | UnsetType = UNSET


class ModelForm(Struct, frozen=True):
    """A recording. chatproxy looks at the model only; all other fields are Ollama's, too."""

    model: Name
    file: Annotated[
        str,
        Meta(
            max_length=MAX_BODY,
            description="The recording.",
            extra_json_schema={"contentMediaType": "application/octet-stream"},
        ),
    ]


async def pass_on(request: web.Request) -> web.StreamResponse:
    """Read the body, pass the request on, and return Ollama's response."""
    check_is_on(request.app[CONFIG])
    if request.app[MODELS].are_several and (path := path_of(request)) in LISTS:
        check_is_no_visitor(request)
        return await merged(request, path)
    async with request.app[HELD].holding(request) as hold:
        body = await read_body(request, hold)
    passing = forward(request, body)
    del body
    return await passing


def refusal_of_management(request: web.Request) -> ChatError | None:
    """Return the error of a request that manages models; None for any other. Its body need not be read."""
    path = path_of(request)
    if not any(path == each or path.startswith(f"{each}/") for each in MANAGEMENT):
        return None
    return ChatError(
        "managed_elsewhere",
        "Models are managed where Ollama runs, not through chatproxy; run `ollama` there.",
    )


def _passed(id: str, summary: str, *, tag: str, answer: Any = ANY, **more: Any) -> Handler:
    """Return a handler that passes requests on, with its operation."""

    @operation(id, summary, tag=tag, answers={200: answer}, errors=(*GATEWAY_ERRORS, "not_found"), **more)
    async def handler(request: web.Request) -> web.StreamResponse:
        return await pass_on(request)

    return handler


def _asking(id: str, summary: str, *, tag: str, answer: Any = ANY, **example: Any) -> Handler:
    """Return a handler of requests that ask a model."""
    example = {"model": SUGGESTED, **example}
    return _passed(id, summary, tag=tag, answer=answer, body=ModelRequest, example=example)


routes: Final = [
    web.post(
        "/api/chat",
        _asking("ollamaChat", "Ollama: chat.", tag="ollama", answer=NDJSON_STREAM, messages=HELLO),
    ),
    web.post(
        "/api/generate",
        _asking("ollamaGenerate", "Ollama: generate.", tag="ollama", answer=NDJSON_STREAM, prompt="Hello"),
    ),
    web.post("/api/embed", _asking("ollamaEmbed", "Ollama: embed.", tag="ollama", input="Hello")),
    web.post(
        "/api/embeddings", _asking("ollamaEmbeddings", "Ollama: embeddings.", tag="ollama", prompt="Hello")
    ),
    web.post("/api/show", _asking("ollamaShow", "Ollama: show a model.", tag="ollama")),
    web.get("/api/version", _passed("ollamaVersion", "Ollama: its version.", tag="ollama")),
    web.get("/api/tags", _passed("ollamaTags", "Ollama: list models.", tag="ollama")),
    web.get("/api/ps", _passed("ollamaPs", "Ollama: list loaded models.", tag="ollama")),
    web.get("/api/status", _passed("ollamaStatus", "Ollama: its status.", tag="ollama")),
    web.post(
        "/v1/chat/completions",
        _asking(
            "openaiChatCompletion",
            "OpenAI: chat completion.",
            tag="openai",
            answer=SSE_STREAM,
            messages=HELLO,
        ),
    ),
    web.post(
        "/v1/completions",
        _asking("openaiCompletion", "OpenAI: completion.", tag="openai", answer=SSE_STREAM, prompt="Hello"),
    ),
    web.post("/v1/embeddings", _asking("openaiEmbedding", "OpenAI: embedding.", tag="openai", input="Hello")),
    web.post(
        "/v1/audio/transcriptions",
        _passed(
            "openaiTranscription",
            "OpenAI: transcription.",
            tag="openai",
            answer=NDJSON_STREAM,  # of which Ollama sends one line
            body={FORM: ModelForm},
        ),
    ),
    web.get("/v1/models", _passed("openaiListModels", "OpenAI: list models.", tag="openai")),
    web.get("/v1/models/{model}", _passed("openaiGetModel", "OpenAI: get a model.", tag="openai")),
    web.post(
        "/v1/messages",
        _asking(
            "anthropicMessage",
            "Anthropic: message.",
            tag="anthropic",
            answer=SSE_STREAM,
            max_tokens=100,
            messages=HELLO,
        ),
    ),
    web.get("/v1/{rest:.+}", _passed("passGet", "Pass any other GET below /v1 on.", tag="openai")),
    web.post("/v1/{rest:.+}", _passed("passPost", "Pass any other POST below /v1 on.", tag="openai")),
]
