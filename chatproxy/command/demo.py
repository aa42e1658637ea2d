"""The embedded stand-in for Ollama (`--demo`): its APIs on a loopback port, without a language model.

Its answers are made of the message itself, at the pace of a small model on a laptop, so that everything
chatproxy does can be seen without installing anything else. `demo_answers` has what it says.
"""

import asyncio
import hashlib
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from chatproxy.command.demo_answers import (
    Trick,
    answer_to,
    asks_for_the_rest,
    reason_about,
    split_material,
    tricks_of,
)
from chatproxy.ollama.wire import ChatMessage

PACE: Final = 30.0  # words per second
LOADING: Final = 30  # words that could be written while a model is loaded: a second at the default pace
TRAINED_WINDOW: Final = 32_768  # tokens
WINDOW: Final = 8_192  # tokens
SIZE: Final = 4_096  # bytes of a model
KEEP_ALIVE: Final = 300  # seconds, Ollama's default
MAX_BODY: Final = 64 * 1024 * 1024  # bytes
DETAILS: Final = {
    "parent_model": "",
    "format": "none",
    "family": "demo",
    "families": ["demo"],
    "parameter_size": "0",
    "quantization_level": "none",
}
_TOKEN: Final = re.compile(r"(?<!\s)\s*\S+")
SLOWNESS: Final = 6  # how many times longer the slow model takes, for each word and to be loaded
ONLY_CHATS: Final = (
    "the stand-in of --demo answers chats only, in Ollama's API and at /v1/chat/completions; "
    "install Ollama, and start chatproxy without --demo"
)
FAILURE: Final = "the stand-in of --demo was asked to fail here"

ERROR_TYPES: Final = {400: "invalid_request_error", 404: "not_found_error", 500: "api_error"}

# A line of an answer and its `message`, as JSON objects.
Line = dict[str, Any]
Message = dict[str, str]
Body = TypeVar("Body")


class Model(Struct, frozen=True):
    """A model that is installed here."""

    name: str
    capabilities: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A SHA-256 in hex, made from the name."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def thinks(self) -> bool:
        """Whether it has the capability `thinking`."""
        return "thinking" in self.capabilities


MODELS: Final = (
    Model("demo:latest", ("completion", "vision")),
    Model("thinking-demo:latest", ("completion", "vision", "thinking")),
)


class Options(Struct):
    """The only option that has an effect here: the maximum number of words, or -1."""

    num_predict: int = -1


class DemoRequest(Struct):
    """The body of a `POST` of Ollama's API; only the fields that have an effect here."""

    model: str = ""
    messages: list[ChatMessage] = []
    prompt: str = ""
    images: list[bytes] = []
    stream: bool = True
    think: bool | str | None = None
    options: Options | None = None


class Part(Struct):
    """A part of a message of OpenAI's API: a text, or an image, at which nothing here looks."""

    type: str
    text: str = ""


class OpenAIMessage(Struct):
    """A message of OpenAI's API."""

    role: str
    content: str | list[Part] | None = None

    def for_ollama(self) -> ChatMessage:
        """Return the same as a message of Ollama's API."""
        parts = [Part("text", self.content)] if isinstance(self.content, str) else self.content or []
        text = "\n".join(part.text for part in parts if part.text)
        return ChatMessage(self.role, text, [b"" for part in parts if part.type == "image_url"])


class StreamOptions(Struct):
    """Whether a stream of OpenAI's API ends with the number of tokens."""

    include_usage: bool = False


class CompletionRequest(Struct):
    """The body of `POST /v1/chat/completions`; only the fields that have an effect here."""

    model: str = ""
    messages: list[OpenAIMessage] = []
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None

    def for_ollama(self) -> DemoRequest:
        """Return the same as a request of Ollama's API."""
        messages = [message.for_ollama() for message in self.messages]
        options = Options(self.max_tokens or -1)
        return DemoRequest(self.model, messages, stream=bool(self.stream), options=options)


class Refusal(Exception):
    """What is answered with a status and a sentence, in the form of the API that is asked."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Form:
    """How an API writes an answer: this one is `/api/chat`, which sends the lines as they are."""

    content_type = "application/x-ndjson"

    def whole(self, line: Line) -> Line:
        """Return the JSON of an answer that is one line."""
        return line

    def piece(self, line: Line) -> bytes:
        """Return what a stream has for a line."""
        return msgspec.json.encode(self.whole(line)) + b"\n"


class Generated(Form):
    """How `/api/generate` writes it: the text is not in a message."""

    def whole(self, line: Line) -> Line:
        """Return the line with its text instead of the message."""
        message = line.get("message", {})
        rest = {name: value for name, value in line.items() if name != "message"}
        names = {"content": "response", "thinking": "thinking"}
        return rest | {names[name]: text for name, text in message.items() if name in names}


class Completion(Form):
    """How `/v1/chat/completions` writes it, as Ollama does: a failure has no end, and says nothing."""

    content_type = "text/event-stream"

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._id = f"chatcmpl-{random.randrange(1000)}"
        self._begun = False

    def whole(self, line: Line) -> Line:
        """Return a `chat.completion`."""
        choice = {"index": 0, "message": _openai_message(line), "finish_reason": line["done_reason"]}
        return self._object("chat.completion", line, choice) | {"usage": _usage(line)}

    def piece(self, line: Line) -> bytes:
        """Return a `chat.completion.chunk`, or those that end a stream."""
        delta = {} if line.get("done") else _openai_message(line)
        if self._begun:
            delta.pop("role", None)
        self._begun = True
        choice = {"index": 0, "delta": delta, "finish_reason": line.get("done_reason")}
        event = _event(self._object("chat.completion.chunk", line, choice))
        if not line.get("done"):
            return event
        if self._include_usage:
            event += _event(self._object("chat.completion.chunk", line) | {"usage": _usage(line)})
        return event + b"data: [DONE]\n\n"

    def _object(self, kind: str, line: Line, *choices: Line) -> Line:
        return {
            "id": self._id,
            "object": kind,
            "created": int(time.time()),
            "model": line.get("model", ""),
            "system_fingerprint": "fp_ollama",
            "choices": choices,
        }


def script(body: DemoRequest, *, thinks: bool) -> list[Message]:
    """Return the messages of an answer, one word each: first the thinking, then the content."""
    question = split_material(body.messages[-1].content)[1]
    answer = _answer_to_last(body.messages)
    thinking = reason_about(question) if thinks else ""
    if not thinks and Trick.THINK in tricks_of(question) and body.think is not False:
        # As models write it that Ollama does not know as thinking.
        answer = f"<think>\n{reason_about(question)}\n</think>\n\n{answer}"
    words = [_message(thinking=word) for word in _TOKEN.findall(thinking)]
    return words + [_message(word) for word in _TOKEN.findall(answer)]


def _answer_to_last(messages: Sequence[ChatMessage]) -> str:
    """Return the answer to the last message, or what is left of the one before it, if that is wanted."""
    *before, last = messages
    passages, question = split_material(last.content)
    if asks_for_the_rest(question) and [message.role for message in before[-2:]] == ["user", "assistant"]:
        whole, said = _answer_to_last(before[:-1]), before[-1].content
        if whole.startswith(said) and whole != said:
            return whole[len(said) :]
    earlier = sum(message.role == "user" for message in before)
    return answer_to(question, earlier, len(last.images), passages)


class DemoOllama:
    """The handlers, and what they share: the pace in words per second, and the models that are loaded."""

    def __init__(self, pace: float) -> None:
        self._pause = 1 / pace  # seconds per word
        self._loaded: set[Model] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of what chatproxy uses, and of what else chats."""
        return [
            web.get("/", self.root),
            web.get("/api/version", self.version),
            web.get("/api/tags", self.tags),
            web.get("/api/ps", self.ps),
            web.post("/api/show", self.show),
            web.post("/api/chat", self.chat),
            web.post("/api/generate", self.generate),
            web.get("/v1/models", self.models),
            web.get("/v1/models/{model}", self.model),
            web.post("/v1/chat/completions", self.completions),
            web.route("*", "/{path:.*}", self.unknown),
        ]

    async def unknown(self, request: web.Request) -> web.Response:
        """Say what is missing."""
        raise Refusal(404, ONLY_CHATS)

    async def root(self, request: web.Request) -> web.Response:
        """Report that it is running, in Ollama's words."""
        return web.Response(text="Ollama is running")

    async def version(self, request: web.Request) -> web.Response:
        """Return the version."""
        return _json({"version": "0.0.0-demo"})

    async def tags(self, request: web.Request) -> web.Response:
        """List the models."""
        details = DETAILS | {"context_length": TRAINED_WINDOW, "embedding_length": 1}
        models = [
            _entry(model)
            | {"modified_at": _timestamp(), "details": details, "capabilities": model.capabilities}
            for model in MODELS
        ]
        return _json({"models": models})

    async def ps(self, request: web.Request) -> web.Response:
        """List the models that are loaded."""
        loaded = {"expires_at": _timestamp(KEEP_ALIVE), "size_vram": 0, "context_length": WINDOW}
        return _json({"models": [_entry(model) | loaded for model in MODELS if model in self._loaded]})

    async def show(self, request: web.Request) -> web.Response:
        """Describe a model."""
        model = _find_model((await _read(request, DemoRequest)).model)
        return _json(
            {
                "modelfile": f"FROM /demo/blobs/sha256-{model.digest}\nPARAMETER num_ctx {WINDOW}\n",
                "parameters": f"num_ctx                        {WINDOW}",
                "template": "{{ .Prompt }}",
                "details": DETAILS,
                "model_info": {"general.architecture": "demo", "demo.context_length": TRAINED_WINDOW},
                "capabilities": model.capabilities,
                "modified_at": _timestamp(),
            }
        )

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer the last message; without messages, only load the model."""
        return await self._answer(request, await _read(request, DemoRequest), Form())

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """Answer the prompt as a message; without one, only load the model."""
        body = await _read(request, DemoRequest)
        body.messages = [ChatMessage("user", body.prompt, body.images)] if body.prompt else []
        return await self._answer(request, body, Generated())

    async def models(self, request: web.Request) -> web.Response:
        """List the models, as OpenAI does."""
        return _json({"object": "list", "data": [_openai_model(model) for model in MODELS]})

    async def model(self, request: web.Request) -> web.Response:
        """Describe a model, as OpenAI does."""
        return _json(_openai_model(_find_model(request.match_info["model"])))

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Answer the last message, as OpenAI does."""
        body = await _read(request, CompletionRequest)
        if not body.messages:
            raise Refusal(400, "[] is too short - 'messages'")
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        return await self._answer(request, body.for_ollama(), Completion(include_usage=include_usage))

    async def _answer(self, request: web.Request, body: DemoRequest, form: Form) -> web.StreamResponse:
        """Answer the last message, as a stream or as one object."""
        model = _find_model(body.model)
        if body.think and not model.thinks:
            raise Refusal(400, f'"{body.model}" does not support thinking')
        if not body.messages:
            await self._load(model)
            return _json(form.whole(_line(model, _message(), done=True, done_reason="load")))
        async with aclosing(self._lines(model, body)) as lines:
            if not body.stream:
                whole = [line async for line in lines]
                if "error" in whole[-1]:
                    raise Refusal(500, FAILURE)
                return _json(form.whole(_merge(whole)))
            response = web.StreamResponse(headers={"Content-Type": form.content_type})
            async for line in lines:
                await response.prepare(request)  # with the first line, as Ollama does
                await response.write(form.piece(line))
            return response

    async def _load(self, model: Model) -> None:
        if model not in self._loaded:
            await asyncio.sleep(self._pause * LOADING)
            self._loaded.add(model)

    async def _lines(self, model: Model, body: DemoRequest) -> AsyncGenerator[Line, None]:
        """Load the model, read the prompt, and yield the lines of an answer."""
        received_at = time.perf_counter_ns()
        tricks = tricks_of(split_material(body.messages[-1].content)[1])
        pause = self._pause * (SLOWNESS if Trick.SLOW in tricks else 1)
        await self._load(model)
        if Trick.SLOW in tricks:
            await asyncio.sleep(pause * LOADING)
        loaded_at = time.perf_counter_ns()
        await asyncio.sleep(pause)
        begun_at = time.perf_counter_ns()
        words = script(body, thinks=model.thinks and body.think is not False)
        limit = body.options.num_predict if body.options else -1
        sent = words[:limit] if limit > 0 else words
        for word in sent[: len(sent) // 2] if Trick.FAIL in tricks else sent:
            yield _line(model, word)
            await asyncio.sleep(pause)
        if Trick.FAIL in tricks:
            yield {"error": FAILURE}
            return
        now = time.perf_counter_ns()
        yield _line(
            model,
            _message(),
            done=True,
            done_reason="stop" if len(sent) == len(words) else "length",
            total_duration=now - received_at,
            load_duration=loaded_at - received_at,
            prompt_eval_count=1 + sum(len(message.content.split()) for message in body.messages),
            prompt_eval_duration=begun_at - loaded_at,
            eval_count=len(sent),
            eval_duration=now - begun_at,
        )


def create_demo_app(pace: float = PACE) -> web.Application:
    """Return the stand-in as an application. `pace` is in words per second."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_refuse])
    app.add_routes(DemoOllama(pace).routes())
    return app


@asynccontextmanager
async def demo_server(pace: float = PACE) -> AsyncIterator[str]:
    """Serve the stand-in on a free loopback port; yield its URL."""
    app = create_demo_app(pace)
    async with on_loopback(app, handler_cancellation=True, shutdown_timeout=0.1) as url:
        yield url


@asynccontextmanager
async def on_loopback(app: web.Application, **options: Any) -> AsyncIterator[str]:
    """Serve an application on a free loopback port; yield its URL. The options are of `AppRunner`."""
    runner = web.AppRunner(app, access_log=None, **options)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _message(content: str = "", *, thinking: str = "") -> Message:
    message = {"role": "assistant", "content": content}
    return message | {"thinking": thinking} if thinking else message


def _line(model: Model, message: Message, *, done: bool = False, **figures: str | int) -> Line:
    """Return a line in Ollama's order of fields; durations are in nanoseconds."""
    line = {"model": model.name, "created_at": _timestamp(), "message": message, "done": done}
    return line | figures


def _merge(lines: Sequence[Line]) -> Line:
    """Return the last line, with the text of all of them."""
    content, thinking = (
        "".join([line["message"].get(field, "") for line in lines]) for field in ("content", "thinking")
    )
    return lines[-1] | {"message": _message(content, thinking=thinking)}


def _openai_message(line: Line) -> Message:
    """Return the message in OpenAI's form, in which a failure has no words."""
    message = line.get("message", _message())
    return {"reasoning" if name == "thinking" else name: text for name, text in message.items()}


def _usage(line: Line) -> dict[str, int]:
    read, written = line["prompt_eval_count"], line["eval_count"]
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _openai_model(model: Model) -> Line:
    return {"id": model.name, "object": "model", "created": int(time.time()), "owned_by": "library"}


def _event(value: Line) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


async def _read(request: web.Request, kind: type[Body]) -> Body:
    """Return the request body. Raises Refusal in Ollama's words."""
    body = await request.read()
    if not body:
        raise Refusal(400, "missing request body")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Refusal(400, str(error)) from None


def _find_model(name: str) -> Model:
    """Return the model of that name, in any case and with `:latest` implied. Raises Refusal."""
    if not name:
        raise Refusal(400, "model is required")
    full = name.lower() if ":" in name else f"{name.lower()}:latest"
    for model in MODELS:
        if model.name == full:
            return model
    raise Refusal(404, f"model '{name}' not found")


def _entry(model: Model) -> dict[str, Any]:
    """Return the fields that `/api/tags` and `/api/ps` share."""
    return {
        "name": model.name,
        "model": model.name,
        "size": SIZE,
        "digest": model.digest,
        "details": DETAILS,
    }


def _timestamp(after: int = 0) -> str:
    """Return the time `after` seconds from now as Ollama writes it: with nanoseconds."""
    whole, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole + after))}.{nanoseconds:09d}Z"


@web.middleware
async def _refuse(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse in the form of the API that is asked; that of `/v1/` is OpenAI's and Anthropic's in one."""
    try:
        return await handler(request)
    except Refusal as refusal:
        if not request.path.startswith("/v1/"):
            return _json({"error": str(refusal)}, refusal.status)
        kind = ERROR_TYPES[refusal.status]
        error = {"message": str(refusal), "type": kind, "param": None, "code": None}
        return _json({"type": "error", "error": error}, refusal.status)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", charset="utf-8"
    )
