"""The embedded stand-in for Ollama (`--demo`): Ollama's API on a loopback port, without a language model.

Its answers are made of the message itself, at the pace of a small model on a laptop, so that everything
chatproxy does can be seen without installing anything else. `demo_answers` has what it says.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from chatproxy.command.demo_answers import Trick, answer_to, reason_about, split_material, tricks_of
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
ONLY_CHAT: Final = (
    "the stand-in of --demo answers /api/chat only; install Ollama, and start chatproxy without --demo"
)
FAILURE: Final = "the stand-in of --demo was asked to fail here"

# A line of an answer and its `message`, as JSON objects.
Line = dict[str, Any]
Message = dict[str, str]


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
    """The body of `POST /api/chat` and `POST /api/show`; only the fields that have an effect here."""

    model: str = ""
    messages: list[ChatMessage] = []
    stream: bool = True
    think: bool | str | None = None
    options: Options | None = None


def script(body: DemoRequest, *, thinks: bool) -> list[Message]:
    """Return the messages of an answer, one word each: first the thinking, then the content."""
    *before, last = body.messages
    earlier = sum(message.role == "user" for message in before)
    passages, question = split_material(last.content)
    answer = answer_to(question, earlier, len(last.images), passages)
    thinking = reason_about(question) if thinks else ""
    if not thinks and Trick.THINK in tricks_of(question) and body.think is not False:
        # As models write it that Ollama does not know as thinking.
        answer = f"<think>\n{reason_about(question)}\n</think>\n\n{answer}"
    words = [_message(thinking=word) for word in _TOKEN.findall(thinking)]
    return words + [_message(word) for word in _TOKEN.findall(answer)]


class DemoOllama:
    """The handlers, and what they share: the pace in words per second, and the models that are loaded."""

    def __init__(self, pace: float) -> None:
        self._pause = 1 / pace  # seconds per word
        self._loaded: set[Model] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of Ollama's API that chatproxy uses."""
        return [
            web.get("/", self.root),
            web.get("/api/version", self.version),
            web.get("/api/tags", self.tags),
            web.get("/api/ps", self.ps),
            web.post("/api/show", self.show),
            web.post("/api/chat", self.chat),
            web.route("*", "/{path:.*}", self.unknown),
        ]

    async def unknown(self, request: web.Request) -> web.Response:
        """Say what is missing, in the form of the API that is asked for."""
        if request.path.startswith("/v1/"):  # OpenAI's form and Anthropic's in one
            error = {"type": "not_found_error", "message": ONLY_CHAT}
            text = msgspec.json.encode({"type": "error", "error": error}).decode()
            raise web.HTTPNotFound(text=text, content_type="application/json")
        raise _error(web.HTTPNotFound, ONLY_CHAT)

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
        model = _find_model((await _read(request)).model)
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
        """Answer the last message, as lines or as one object; without messages, only load the model."""
        body = await _read(request)
        model = _find_model(body.model)
        if body.think and not model.thinks:
            raise _error(web.HTTPBadRequest, f'"{body.model}" does not support thinking')
        if not body.messages:
            await self._load(model)
            return _json(_line(model, _message(), done=True, done_reason="load"))
        async with aclosing(self._lines(model, body)) as lines:
            if not body.stream:
                whole = [line async for line in lines]
                if "error" in whole[-1]:
                    raise _error(web.HTTPInternalServerError, FAILURE)
                return _json(_merge(whole))
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            async for line in lines:
                await response.prepare(request)  # with the first line, as Ollama does
                await response.write(msgspec.json.encode(line) + b"\n")
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
    app = web.Application(client_max_size=MAX_BODY)
    app.add_routes(DemoOllama(pace).routes())
    return app


@asynccontextmanager
async def demo_server(pace: float = PACE) -> AsyncIterator[str]:
    """Serve the stand-in on a free loopback port; yield its URL."""
    runner = web.AppRunner(
        create_demo_app(pace), handler_cancellation=True, access_log=None, shutdown_timeout=0.1
    )
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


async def _read(request: web.Request) -> DemoRequest:
    """Return the request body. Raises HTTPBadRequest in Ollama's words."""
    body = await request.read()
    if not body:
        raise _error(web.HTTPBadRequest, "missing request body")
    try:
        return msgspec.json.decode(body, type=DemoRequest)
    except msgspec.DecodeError as error:
        raise _error(web.HTTPBadRequest, str(error)) from None


def _find_model(name: str) -> Model:
    """Return the model of that name, in any case and with `:latest` implied. Raises an HTTPError."""
    if not name:
        raise _error(web.HTTPBadRequest, "model is required")
    full = name.lower() if ":" in name else f"{name.lower()}:latest"
    for model in MODELS:
        if model.name == full:
            return model
    raise _error(web.HTTPNotFound, f"model '{name}' not found")


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


def _error(kind: type[web.HTTPError], sentence: str) -> web.HTTPError:
    return kind(text=msgspec.json.encode({"error": sentence}).decode(), content_type="application/json")


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", charset="utf-8")
