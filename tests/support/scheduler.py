"""Ollama's scheduler for a `FakeOllama`: who has to wait for what, for how long, and what is refused.

    scheduler = Scheduler(fake, parallel=2, token=0.004)
    fake.script = echo                                # what is said is the script's still
    ...
    one = scheduler.served[0]                         # a request, and when it came, began, spoke and ended

The rules are those of Ollama's source of August 2026: server/sched.go, server/routes.go, llm/llama_server.go.

- A request whose model is not loaded waits in a queue that has room for `max_queue`; beyond it, 503. One of
  them at a time is taken out. Its model is loaded, once for all who ask, unless its client leaves meanwhile:
  that ends the loading. A client that leaves the queue keeps its room until it is reached.
- A request whose model is loaded does not pass through that queue, so neither is it refused nor does it wait
  for others that do.
- If `max_loaded` models are loaded, an idle one is unloaded for another, or else one of them as soon as
  nobody uses it.
- A loaded model produces `parallel` answers at once, and some families only one. Its places are granted in
  the order in which requests got to it. Who waits is sent nothing, not even a response head.
- A place is held until the last line is written, or the client leaves. Refusals that come from the model's
  own process (images, a prompt over the window) wait for a place; those that the server knows of do not.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from time import monotonic
from typing import Any, Final

from fake_ollama import JSON, Chat, FakeOllama, Request, Script, count_tokens, line, refused, too_long
from recordings import recorded

# What is scheduled; the other paths answer at once.
CHAT: Final = {"/api/chat", "/v1/chat/completions", "/v1/responses", "/v1/messages"}
GENERATE: Final = {"/api/generate", "/v1/completions"}
# Families of which a model produces one answer at a time, whatever is set.
ONE_AT_A_TIME: Final = re.compile(
    "lfm2(moe)?|mllama|nemotron_h(_moe|_omni)?|qwen35(moe)?|qwen3next|qwen3vl(moe)?"
)
KEEP_ALIVE: Final = timedelta(minutes=5)
FINDING: Final = 946_099  # nanoseconds until a loaded model is found
QUEUE_FULL: Final = "server busy, please try again.  maximum pending requests exceeded"


@dataclass(eq=False)
class Served:
    """One request, and when it came, was granted a place, was sent its first piece, and its last.

    The times are on `monotonic`; None: not yet, or never.
    """

    chat: Chat
    came: float
    found: float | None = None  # its model, loaded
    began: float | None = None
    spoke: float | None = None
    ended: float | None = None

    @property
    def message(self) -> str:
        """The last message of the request."""
        return str(self.chat.request["messages"][-1]["content"])


@dataclass(eq=False)
class Runner:
    """A loaded model, and who uses or waits for it."""

    name: str
    free: int  # places
    users: int = 0
    to_unload: bool = False  # once nobody uses it
    waiting: deque[tuple[Served, asyncio.Future[None]]] = field(default_factory=deque)
    unloaded: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def place(self, served: Served) -> AsyncIterator[None]:
        """Wait for a place, first come first served, and hold it while the block runs."""
        granted = asyncio.get_running_loop().create_future()
        self.waiting.append((served, granted))
        self._grant()
        try:
            await granted
            yield
        finally:
            if not granted.cancelled():
                self.free += 1
                self._grant()

    def _grant(self) -> None:
        while self.free and self.waiting:
            served, granted = self.waiting.popleft()
            if not granted.cancelled():
                self.free -= 1
                served.began = monotonic()
                granted.set_result(None)


class Scheduler:
    """What decides when a fake Ollama answers. It replaces `schedule` and `running` of the fake."""

    def __init__(
        self,
        fake: FakeOllama,
        *,
        parallel: int = 1,
        max_queue: int = 512,
        max_loaded: int = 3,
        load: float = 0.02,
        prompt: float = 0.004,
        token: float = 0.002,
        window: int = 4096,
        loaded: Iterable[str] = (),
    ) -> None:
        """Take over from the fake; `load`, `prompt` and `token` are the seconds that each takes."""
        self.served: list[Served] = []  # in the order in which they came
        self.loads: list[str] = []  # the models that were loaded
        self.load = load
        self.prompt = prompt
        self.token = token
        self.window = window
        self._fake = fake
        self._parallel = parallel
        self._max_queue = max_queue
        self._max_loaded = max_loaded
        self._runners: dict[str, Runner] = {}  # by weights
        self._pending: deque[tuple[str, asyncio.Future[Runner]]] = deque()
        self._loader: asyncio.Task[None] | None = None
        fake.schedule = self._schedule
        fake.commit = 0.0  # which would be long beside the times here
        for name in loaded:
            self._add(name)
        self._list()

    @property
    def pending(self) -> int:
        """How many are in the queue of those whose model is not loaded."""
        return len(self._pending)

    @asynccontextmanager
    async def _schedule(self, chat: Chat) -> AsyncIterator[Script]:
        if chat.path not in CHAT | GENERATE:
            yield self._fake.script_for(chat.path, chat.request)
            return
        served = Served(chat, monotonic())
        self.served.append(served)
        if (script := self._at_the_door(chat)) is not None:
            yield script
            return
        found = self._find(chat.request["model"])
        if found is None:
            yield _refused(chat.path, 503, QUEUE_FULL)
            return
        try:
            runner = await found
            served.found = monotonic()
            if "keep_alive" in chat.request:
                runner.to_unload = chat.request["keep_alive"] == 0
            if not chat.request.get("messages", True):
                yield _done(chat.request, "load")
                return
            async with runner.place(served):
                script = self._by_the_model(chat) or await self._speak(served)
                yield script
        finally:
            if not found.cancelled():
                self._leave(found.result())

    def _at_the_door(self, chat: Chat) -> Script | None:
        """Return what the server answers without the model."""
        request, name = chat.request, chat.request["model"]
        if name not in self._fake.shows:
            return _refused(chat.path, 404, f"model '{name}' not found")
        if request.get("messages") == [] and request.get("keep_alive") == 0:
            if (runner := self._runners.get(self._weights(name))) is not None:
                runner.to_unload = True
                self._unload_if_idle(runner)
            return _done(request, "unload")
        able = self._fake.shows[name]["capabilities"]
        if request.get("think") and "thinking" not in able:
            return _refused(chat.path, 400, f'"{name}" does not support thinking')
        if "completion" not in able:
            what = "chat" if chat.path in CHAT else "generate"
            return _refused(chat.path, 400, f'"{name}" does not support {what}')
        if request.get("tools") and "tools" not in able:
            return _refused(chat.path, 400, f"registry.ollama.ai/library/{name} does not support tools")
        return None

    def _by_the_model(self, chat: Chat) -> Script | None:
        """Return what the model's process refuses, once the request has a place."""
        request = chat.request
        if chat.path != "/api/chat":
            return None
        able = self._fake.shows[request["model"]]["capabilities"]
        script = None
        if any(message.get("images") for message in request["messages"]) and "vision" not in able:
            script = Script([recorded("error_images_unsupported")], 400, "application/json")
        elif request.get("truncate") is False and count_tokens(request) >= self.window:
            script = too_long(count_tokens(request), self.window)
        if script is not None and request.get("stream") is False:
            script = replace(script, content_type=JSON)
        return script

    async def _speak(self, served: Served) -> Script:
        """Return what the fake's script says, at the pace and with the numbers of this model."""
        script = self._fake.script_for(served.chat.path, served.chat.request)
        await asyncio.sleep(self.prompt)
        if served.chat.request.get("stream") is False:
            await asyncio.sleep(self.token * len(b"".join(script.pieces).split()))
        return replace(
            script, pieces=self._pieces(script.pieces, served), delays=chain([0], repeat(self.token))
        )

    def _pieces(self, pieces: Iterable[bytes], served: Served) -> Iterator[bytes]:
        for number, piece in enumerate(pieces):
            is_last = served.chat.path == "/api/chat" and b'"done":true' in piece
            yield self._numbered(piece, served, number) if is_last else piece
            served.spoke = served.spoke or monotonic()
        served.ended = monotonic()

    def _numbered(self, piece: bytes, served: Served, tokens: int) -> bytes:
        """Return a last line with the numbers that are true here."""
        now, request = monotonic(), served.chat.request
        assert served.found is not None
        assert served.began is not None
        last = json.loads(piece)
        numbers = {
            "total_duration": FINDING + _nanoseconds(now - served.came),
            "load_duration": FINDING + _nanoseconds(served.found - served.came),
            "prompt_eval_count": min(count_tokens(request), self.window - 1),
            "prompt_eval_duration": _nanoseconds(self.prompt),
            "eval_count": tokens or last["eval_count"],
            "eval_duration": _nanoseconds(now - (served.spoke or served.began)),
        }
        return json.dumps(last | numbers, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _find(self, name: str) -> asyncio.Future[Runner] | None:
        """Return the model's runner, as soon as it is loaded; None if the queue is full."""
        found: asyncio.Future[Runner] = asyncio.get_running_loop().create_future()
        if (runner := self._runners.get(self._weights(name))) is not None:
            _use(runner, found)
        elif self._loader is None:
            self._loader = asyncio.create_task(self._process(name, found))
        elif len(self._pending) < self._max_queue:
            self._pending.append((name, found))
        else:
            return None
        return found

    async def _process(self, name: str, found: asyncio.Future[Runner]) -> None:
        """Find or load what the queue waits for, one after another, until it is empty."""
        await self._provide(name, found)
        while self._pending:
            await self._provide(*self._pending.popleft())
        self._loader = None

    async def _provide(self, name: str, found: asyncio.Future[Runner]) -> None:
        while not found.done():
            if (runner := self._runners.get(self._weights(name))) is not None:
                _use(runner, found)
            elif len(self._runners) >= self._max_loaded:
                runner = min(self._runners.values(), key=lambda each: each.users > 0)
                runner.to_unload = True
                self._unload_if_idle(runner)
                await runner.unloaded.wait()
            else:
                await asyncio.wait([found], timeout=self.load)
                if not found.done():
                    _use(self._add(name), found)
                    self._list()

    def _add(self, name: str) -> Runner:
        family = self._fake.shows[name]["details"]["family"]
        runner = Runner(name, 1 if ONE_AT_A_TIME.fullmatch(family) else self._parallel)
        self._runners[self._weights(name)] = runner
        self.loads.append(name)
        return runner

    def _leave(self, runner: Runner) -> None:
        runner.users -= 1
        self._unload_if_idle(runner)

    def _unload_if_idle(self, runner: Runner) -> None:
        if runner.to_unload and not runner.users and not runner.unloaded.is_set():
            runner.unloaded.set()
            del self._runners[self._weights(runner.name)]
            self._list()

    def _list(self) -> None:
        """Let `/api/ps` name what is loaded."""
        expires = (datetime.now(UTC) + KEEP_ALIVE).isoformat().replace("+00:00", "Z")
        tags = {model["name"]: model for model in self._fake.models}
        self._fake.running = [
            {
                **{key: tags[runner.name][key] for key in ("name", "model", "size", "digest")},
                "details": _without_lengths(tags[runner.name]["details"]),
                "expires_at": expires,
                "size_vram": 0,
                "context_length": self.window,
            }
            for runner in self._runners.values()
        ]

    def _weights(self, name: str) -> str:
        """Return what names with the same weights have in common."""
        found = re.search(r"^FROM (\S+)", self._fake.shows[name].get("modelfile", ""), re.MULTILINE)
        return found[1] if found else name


def _use(runner: Runner, found: asyncio.Future[Runner]) -> None:
    runner.users += 1
    found.set_result(runner)


def _refused(path: str, status: int, words: str) -> Script:
    """Refuse in the form of the path's API."""
    if path.startswith("/api/"):
        return refused(status, words)
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
    body: dict[str, Any] = {"error": {"message": words, "type": kind, "param": None, "code": None}}
    if path == "/v1/messages":
        kind = "overloaded_error" if status == 503 else kind
        body = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}
    whole = json.dumps(body, separators=(",", ":")).encode() + b"\n"
    return Script([whole], status, "application/json")


def _done(request: Request, reason: str) -> Script:
    """Return the answer to a request without messages."""
    message = {"role": "assistant", "content": ""}
    body = line(request["model"], message=message, done=True, done_reason=reason)
    return Script([body.rstrip()], content_type=JSON)


def _without_lengths(details: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if not key.endswith("_length")}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
