"""The embedded stand-in for Ollama (`--demo`): the same NDJSON on a loopback port, from no language model.

It answers out of the message itself, at the pace of a small model on a laptop, so that a first run shows
everything that chatproxy does without anything to install.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

PACE: Final = 30.0
"""Words per second."""

_STEPS_TO_LOAD: Final = 30  # a second at the usual pace
_TRAINED_FOR: Final = 32_768
_WINDOW: Final = 8_192
_SIZE: Final = 4_096
_KEPT_FOR: Final = 300  # seconds, as Ollama keeps a model
_DETAILS: Final = {
    "parent_model": "",
    "format": "none",
    "family": "demo",
    "families": ["demo"],
    "parameter_size": "0",
    "quantization_level": "none",
}
_BODY_LIMIT: Final = 64 * 1024 * 1024
_WORD: Final = re.compile(r"[^\W_]+")
_TOKEN: Final = re.compile(r"\s*\S+")
_CODE: Final = re.compile(r"\b(code|python|program|script|function|snippet)\b", re.IGNORECASE)

TOUR: Final = """\
Some things to try while I write:

- open this conversation in a **second tab**: both show the same text
- **reload** the page: the answer goes on where it is
- **stop** it: what was written so far is kept"""
SOME_CODE: Final = """\
And some code, since you asked for it:

```python
def greet(name: str) -> str:
    return f"Hello, {name}!"

print(greet("world"))
```"""
CONFESSION: Final = (
    "I am a stand-in for Ollama, **not a language model**: these words are put together from yours. "
    "For real answers, install [Ollama](https://ollama.com), type `ollama pull llama3.2`, "
    "and start chatproxy without `--demo`."
)

T = TypeVar("T")


class Model(Struct, frozen=True):
    name: str
    capabilities: tuple[str, ...]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def thinks(self) -> bool:
        return "thinking" in self.capabilities


MODELS: Final = (
    Model("demo:latest", ("completion", "vision")),
    Model("thinking-demo:latest", ("completion", "vision", "thinking")),
)


class Turn(Struct):
    role: str = "user"
    content: str = ""
    images: list[str] | None = None


class Options(Struct):
    num_predict: int = -1


class ChatRequest(Struct):
    model: str = ""
    messages: list[Turn] = []
    stream: bool = True
    think: bool | str | None = None
    options: Options | None = None


class ShowRequest(Struct):
    model: str = ""


class Said(Struct, omit_defaults=True):
    role: str
    content: str
    thinking: str = ""


class Line(Struct, omit_defaults=True):
    """A line of the answer, its fields in Ollama's order; durations in nanoseconds."""

    model: str
    created_at: str
    message: Said
    done: bool
    done_reason: str = ""
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


def script(asked: ChatRequest, *, thinks: bool) -> list[Said]:
    """What there is to say, a word at a time: the reasoning, then the answer."""
    *before, last = asked.messages
    earlier = sum(turn.role == "user" for turn in before)
    reasoning = reason_about(last.content) if thinks else ""
    answer = answer_to(last.content, earlier, len(last.images or ()))
    thoughts = [Said("assistant", "", word) for word in _TOKEN.findall(reasoning)]
    return thoughts + [Said("assistant", word) for word in _TOKEN.findall(answer)]


def topics(question: str) -> list[str]:
    """Up to four words of the question, the longer ones, in its order."""
    words = list(dict.fromkeys(_WORD.findall(question)))
    chosen = sorted(words, key=len, reverse=True)[:4]
    return [word for word in words if word in chosen]


def reason_about(question: str) -> str:
    words = topics(question)
    standing_out = f" What stands out: {', '.join(words)}." if words else ""
    return f"The message has {len(question.split())} words.{standing_out} A short answer with a list will do."


def answer_to(question: str, earlier: int, images: int) -> str:
    code = SOME_CODE if _CODE.search(question) else ""
    parts = [_opening(question, earlier), _seen(images), TOUR, code, CONFESSION]
    return "\n\n".join(part for part in parts if part)


def _opening(question: str, earlier: int) -> str:
    words = topics(question)
    about = f"You wrote about **{'**, **'.join(words)}**." if words else "You wrote something without words."
    if not earlier:
        return f"{about} It is the first message of this conversation."
    return f"{about} Before it came {_count(earlier, 'message')} of yours, and I was given the conversation."


def _seen(images: int) -> str:
    return f"With it came {_count(images, 'image')}, which I cannot look at." if images else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Stage:
    """The handlers, and what they share: the pace and the models that are loaded."""

    def __init__(self, pace: float) -> None:
        self._step = 1 / pace
        self._loaded: set[Model] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.root),
            web.get("/api/version", self.version),
            web.get("/api/tags", self.tags),
            web.get("/api/ps", self.ps),
            web.post("/api/show", self.show),
            web.post("/api/chat", self.chat),
        ]

    async def root(self, request: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def version(self, request: web.Request) -> web.Response:
        return _json({"version": "0.0.0-demo"})

    async def tags(self, request: web.Request) -> web.Response:
        return _json({"models": [_listed(model) for model in MODELS]})

    async def ps(self, request: web.Request) -> web.Response:
        return _json({"models": [_running(model) for model in MODELS if model in self._loaded]})

    async def show(self, request: web.Request) -> web.Response:
        asked = await _body(request, ShowRequest)
        return _json(_shown(_installed(asked.model)))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = await _body(request, ChatRequest)
        model = _installed(asked.model)
        if asked.think and not model.thinks:
            raise _refusal(web.HTTPBadRequest, f'"{asked.model}" does not support thinking')
        if not asked.messages:
            await self._load(model)
            return _json(Line(model.name, _time(), Said("assistant", ""), True, "load"))
        async with aclosing(self._lines(model, asked)) as lines:
            if not asked.stream:
                return _json(_whole([line async for line in lines]))
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            async for line in lines:
                await response.prepare(request)  # not before there is something to say
                await response.write(msgspec.json.encode(line) + b"\n")
            return response

    async def _load(self, model: Model) -> None:
        if model not in self._loaded:
            await asyncio.sleep(self._step * _STEPS_TO_LOAD)
            self._loaded.add(model)

    async def _lines(self, model: Model, asked: ChatRequest) -> AsyncGenerator[Line, None]:
        """The first comes when the model is loaded and the prompt read, which takes a word's time."""
        asked_at = time.perf_counter_ns()
        await self._load(model)
        loaded_at = time.perf_counter_ns()
        await asyncio.sleep(self._step)
        begun_at = time.perf_counter_ns()
        words = script(asked, thinks=model.thinks and asked.think is not False)
        limit = asked.options.num_predict if asked.options else -1
        said = words[:limit] if limit > 0 else words
        for each in said:
            yield Line(model.name, _time(), each, False)
            await asyncio.sleep(self._step)
        now = time.perf_counter_ns()
        yield Line(
            model.name,
            _time(),
            Said("assistant", ""),
            True,
            done_reason="stop" if len(said) == len(words) else "length",
            total_duration=now - asked_at,
            load_duration=loaded_at - asked_at,
            prompt_eval_count=1 + sum(len(turn.content.split()) for turn in asked.messages),
            prompt_eval_duration=begun_at - loaded_at,
            eval_count=len(said),
            eval_duration=now - begun_at,
        )


def _whole(lines: Sequence[Line]) -> Line:
    """The last line, with what all of them say."""
    content = "".join([line.message.content for line in lines])
    thinking = "".join([line.message.thinking for line in lines])
    return replace(lines[-1], message=Said("assistant", content, thinking))


def create_demo_app(pace: float = PACE) -> web.Application:
    """`pace` is in words per second, and loading a model takes thirty words' time."""
    app = web.Application(client_max_size=_BODY_LIMIT)
    app.add_routes(Stage(pace).routes())
    return app


@asynccontextmanager
async def demo_server(pace: float = PACE) -> AsyncIterator[str]:
    """Serves the stand-in on a free loopback port and yields its URL."""
    runner = web.AppRunner(
        create_demo_app(pace), handler_cancellation=True, access_log=None, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _body(request: web.Request, form: type[T]) -> T:
    body = await request.read()
    if not body:
        raise _refusal(web.HTTPBadRequest, "missing request body")
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.DecodeError as error:
        raise _refusal(web.HTTPBadRequest, str(error)) from None


def _installed(name: str) -> Model:
    """By its name in any case, `:latest` implied, as Ollama takes it."""
    if not name:
        raise _refusal(web.HTTPBadRequest, "model is required")
    full = name.lower() if ":" in name else f"{name.lower()}:latest"
    for model in MODELS:
        if model.name == full:
            return model
    raise _refusal(web.HTTPNotFound, f"model '{name}' not found")


def _named(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.name,
        "size": _SIZE,
        "digest": model.digest,
        "details": _DETAILS,
    }


def _listed(model: Model) -> dict[str, Any]:
    return _named(model) | {
        "modified_at": _time(),
        "details": _DETAILS | {"context_length": _TRAINED_FOR, "embedding_length": 1},
        "capabilities": model.capabilities,
    }


def _running(model: Model) -> dict[str, Any]:
    return _named(model) | {"expires_at": _time(_KEPT_FOR), "size_vram": 0, "context_length": _WINDOW}


def _shown(model: Model) -> dict[str, Any]:
    return {
        "modelfile": f"FROM /demo/blobs/sha256-{model.digest}\nPARAMETER num_ctx {_WINDOW}\n",
        "parameters": f"num_ctx                        {_WINDOW}",
        "template": "{{ .Prompt }}",
        "details": _DETAILS,
        "model_info": {"general.architecture": "demo", "demo.context_length": _TRAINED_FOR},
        "capabilities": model.capabilities,
        "modified_at": _time(),
    }


def _time(after: int = 0) -> str:
    """Now, or so many seconds later, as Ollama writes it: with nanoseconds."""
    whole, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole + after))}.{nanoseconds:09d}Z"


def _refusal(kind: type[web.HTTPError], sentence: str) -> web.HTTPError:
    return kind(text=msgspec.json.encode({"error": sentence}).decode(), content_type="application/json")


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", charset="utf-8")
