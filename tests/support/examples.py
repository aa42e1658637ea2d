"""Record the examples of `/openapi.json`: what a real server answers to each operation.

    python tests/support/examples.py        # writes chatproxy/web/examples/answers.json

Long texts and lists are cut. `shape` says what two recordings have in common, whatever their ids and times.
"""

import asyncio
import json
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from chat_client import Client, Server
from fake_ollama import JSON, FakeOllama, Gate, Request, Script, answer, error, last, token

from chatproxy import Config, create_app
from chatproxy.models.selection import SUGGESTED
from chatproxy.web.api.login import HEADER, LOGIN_CODES

FILE: Final = Path(__file__).parents[2] / "chatproxy" / "web" / "examples" / "answers.json"
TEXT: Final = "Drops of water bend sunlight, and each colour a little differently."
CHUNKS: Final = (b'data: {"type":"chunk"', b'data: {"type":"text-delta"')
MOST_TEXT: Final = 400  # characters of one that is not streamed
MOST_ITEMS: Final = 4  # of a list
SETTINGS: Final[dict[str, Any]] = {
    "default_model": SUGGESTED,
    "embedding_model": "none",
    "visitors": True,
    "jwt_secret": "a-secret-that-is-long-enough-for-examples",
    "api_token": "the-token",
}
TOKEN: Final = {"Authorization": "Bearer the-token"}

Answers = dict[str, Any]


class Recorder:
    """Calls operations by their ids, and keeps what they answer."""

    def __init__(self, client: Client, api: Any) -> None:
        self.answers: Answers = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
        self._client = client
        self._operations = {
            operation["operationId"]: (method, path, operation)
            for path, methods in api["paths"].items()
            for method, operation in methods.items()
        }

    async def call(
        self,
        id: str,
        /,
        *,
        name: str = "answer",
        headers: Any = TOKEN,
        on_chunk: Callable[[Any], Awaitable[None]] | None = None,
        **more: Any,
    ) -> Any:
        """Call an operation with what is in its path and its request; its own example is its body.

        `on_chunk` is called with the events so far at each chunk of a stream.
        """
        method, path, operation = self._operations[id]
        names = {key: more.pop(key) for key in list(more) if f"{{{key}}}" in path}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in body and "data" not in more:
            more["json"] = body["example"] | more.pop("json", {})
        address = self._client.url(path.format_map(names))
        async with self._client.http.request(method, address, headers=headers, **more) as response:
            lines: list[str] = []
            async for line in response.content:
                lines.append(line.decode())
                if on_chunk and line.startswith(CHUNKS):
                    await on_chunk(events("".join(lines)))
            text = "".join(lines)
            assert response.ok, f"{id}: {response.status} {text}"
            kind = response.content_type
            value = json.loads(text) if kind == "application/json" else text
            if text:
                kept = cut(value) if kind == "application/json" else cut_text(text, kind)
                self.answers[id][str(response.status)][kind][name] = kept
            else:
                self.answers[id][str(response.status)] = {}
            return value


def cut(value: Any) -> Any:
    """Cut the long texts and lists in a JSON value."""
    match value:
        case str() if len(value) > MOST_TEXT:
            return f"{value[:MOST_TEXT]}…"
        case list():
            return [cut(each) for each in value[:MOST_ITEMS]]
        case dict():
            return {name: cut(each) for name, each in value.items()}
    return value


def cut_text(text: str, kind: str) -> str:
    """Cut a text after one of its lines; a stream is kept as it is."""
    if kind in {"text/event-stream", "application/x-ndjson"} or len(text) <= MOST_TEXT:
        return text
    return text[:MOST_TEXT].rpartition("\n")[0] + "\n…\n"


def shape(value: Any) -> Any:
    """Return what a recorded value has in common with one that is recorded at another time."""
    match value:
        case dict():
            return {name: shape(each) for name, each in value.items()}
        case list():
            return [shape(each) for each in value]
        case bool() | None:
            return type(value).__name__
        case int() | float():
            return "number"
        case str() if "\n\n" in value and value.startswith(("data:", "event:")):
            return frames(value)
    return "text"


def events(stream: str) -> list[Any]:
    """Return the events of a stream."""
    return [
        json.loads(line.removeprefix("data: ")) for line in stream.split("\n") if line.startswith("data: {")
    ]


def frames(stream: str) -> list[Any]:
    """Return the shapes of a stream's events, each run of equal ones once, without statuses."""
    shapes: list[Any] = []
    for event in events(stream):
        if event.get("type") == "status" or event.get("transient"):
            continue
        if (seen := {**shape(event), "type": event.get("type")}) not in shapes[-1:]:
            shapes.append(seen)
    return shapes


async def record(client: Client, fake: FakeOllama, api: Any, code: Callable[[], str]) -> Answers:
    """Call every operation; `code` returns one for the login."""
    fake.models.append({**fake.models[2], "name": f"{SUGGESTED}:latest", "model": f"{SUGGESTED}:latest"})
    fake.shows[SUGGESTED] = fake.shows[fake.models[0]["name"]]
    fake.script = _rainbows
    fake.instead["/api/status"] = Script([b'{"cloud":{"disabled":false,"source":"none"}}'], content_type=JSON)
    recorder = Recorder(client, api)
    call = recorder.call
    await _conversation(call, fake)
    await _sessions(call)
    await _documents(call)
    await _faces(call, fake)
    await _responses(call)
    await _others(call, code)
    return json.loads(json.dumps(recorder.answers))  # type: ignore[no-any-return]


def _rainbows(request: Request) -> Script:
    """Answer any question."""
    if request.get("stream") is False:
        return Script([last(TEXT, model=request["model"])], content_type=JSON)
    return Script(
        answer(TEXT, thinking="Water, light." if request.get("think") else "", model=request["model"])
    )


async def _conversation(call: Any, fake: FakeOllama) -> None:
    """Send, stream, resume and cancel, as the start of the page at `/docs` does."""
    session = (await call("createSession"))["id"]
    gate = Gate()

    async def let(_: object) -> None:
        gate.let()

    gate.let()
    fake.script = Script(answer(TEXT, model=SUGGESTED), gate=gate)
    sent = events(await call("sendMessageStream", sid=session, on_chunk=let))
    first = next(event["assistantMessageId"] for event in sent if event["type"] == "start")
    cursor = next(event["cursor"] for event in sent if "cursor" in event)
    await call("resumeMessageStream", sid=session, mid=first, params={"after": cursor})
    await call("resumeMessageStream", sid=session, mid=first, params={"after": sent[-1]["cursor"]})
    fake.script = _rainbows
    await call("sendMessage", sid=session)
    # One with a warning, since no passage of the document has a word of the question, and one that fails.
    bread = (await call("createDocument", json={"title": "Bread", "text": "Flour, water and salt."}))["id"]
    other = (await call("createSession"))["id"]
    asked = {"documentIds": [bread], "think": True}
    await call("sendMessageStream", sid=other, name="warning", json=asked)
    await call("deleteDocument", id=bread)
    fake.script = Script([token("Drops", model=SUGGESTED), error("out of memory")])
    await call("sendMessageStream", sid=session, name="error")
    # One that is stopped while it is written.
    gate = Gate()
    gate.let(4)
    fake.script = Script(answer(TEXT, model=SUGGESTED), gate=gate)

    async def cancel(sent: Any) -> None:
        if len([event for event in sent if event["type"] == "chunk"]) == 1:
            started = next(event for event in sent if event["type"] == "start")
            stopped.append(started["assistantMessageId"])
            await call("cancelMessage", sid=session, mid=stopped[0])

    stopped: list[int] = []
    await call("sendMessageStream", sid=session, name="cancelled", on_chunk=cancel)
    fake.script = _rainbows
    await call("listMessages", sid=session, params={"limit": 2})
    await call("listVersions", sid=session, mid=first)
    await call("deleteMessage", sid=session, mid=stopped[0])


async def _sessions(call: Any) -> None:
    imported = await call("importSessions")
    session = imported["sessions"][0]["sessionId"]
    await call("getSession", sid=session)
    await call("updateSession", sid=session)
    await call("listSessions")
    await call("exportSession", sid=session)
    await call("exportSession", sid=session, params={"format": "markdown"})
    await call("exportAll")
    await call("deleteSession", sid=session)


async def _documents(call: Any) -> None:
    document = (await call("createDocument"))["id"]
    await call("createDocument")
    await call("listDocuments")
    await call("getDocument", id=document)
    await call("searchDocument", id=document, params={"q": "sunlight"})
    await call("deleteDocument", id=document)


async def _faces(call: Any, fake: FakeOllama) -> None:
    """What is passed on to Ollama, and the AI SDK's."""
    for id in (
        "ollamaChat",
        "ollamaGenerate",
        "openaiChatCompletion",
        "openaiCompletion",
        "anthropicMessage",
    ):
        await call(id, json={"stream": False})
        await call(id, json={"stream": True})
    for id in ("ollamaEmbed", "ollamaEmbeddings", "ollamaShow", "openaiEmbedding"):
        await call(id)
    for id in ("ollamaVersion", "ollamaTags", "ollamaPs", "ollamaStatus", "openaiListModels"):
        await call(id)
    await call("openaiGetModel", model="words")
    await call("passGet", rest="models/words")
    await call("openaiTranscription", data={"model": SUGGESTED, "file": BytesIO(b"RIFF")})
    # A reader joins at the first word; what comes after that waits for it.
    gate = Gate()
    gate.let()
    fake.script = Script(answer(TEXT, model=SUGGESTED), gate=gate)
    joined: list[asyncio.Task[Any]] = []

    async def join(_: object) -> None:
        if not joined:
            joined.append(asyncio.create_task(call("resumeUIMessageStream", sid="rainbows", on_chunk=go_on)))

    async def go_on(_: object) -> None:
        gate.open()

    await call("sendUIMessage", on_chunk=join)
    await joined[0]
    fake.script = _rainbows
    await call("listUIMessages", sid="rainbows")
    await call("resumeUIMessageStream", sid="rainbows")
    await call("stopUIMessage", sid="rainbows")


async def _responses(call: Any) -> None:
    response = (await call("createResponse"))["id"]
    await call("createResponse", json={"stream": True})
    await call("getResponse", rid=response)
    await call("getResponse", rid=response, params={"stream": "true"})
    await call("cancelResponse", rid=response)
    await call("listInputItems", rid=response)
    await call("deleteResponse", rid=response)


async def _others(call: Any, code: Callable[[], str]) -> None:
    for id in (
        "listModels",
        "getHealth",
        "getReadiness",
        "checkReadiness",
        "getMetrics",
        "getDocs",
        "getElementDocs",
    ):
        await call(id)
    await call("getPage", headers={"Accept": "text/html"})
    await call("getPage", headers={"Accept": "*/*"})
    await call("getStaticFile", path="sse.js")
    await call("logIn", headers={HEADER: code()})
    visitor = (await call("createVisitor", headers={}))["token"]
    await call("createVisitor", headers={"Authorization": f"Bearer {visitor}"})


async def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        async with FakeOllama() as fake:
            app = create_app(
                Config(ollama_host=fake.url, database_url=f"sqlite:///{folder}/chat.db", **SETTINGS)
            )
            async with Server(app) as server:
                api = await server.client.call("GET", "/openapi.json")
                answers = await record(server.client, fake, api, app[LOGIN_CODES].create)
    FILE.write_text(f"{json.dumps(answers, ensure_ascii=False, indent=1)}\n")


if __name__ == "__main__":
    asyncio.run(main())
