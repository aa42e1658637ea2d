"""Ollama's bytes pass untouched, and no stream whose own end is missing ends as if it were whole."""

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import aiohttp
import pytest
from chat_client import Client, Serve
from endings import COMPLETE, CUT, ERROR, SHORT, ending, sentence
from fake_ollama import JSON, NDJSON, SSE, FakeOllama, Request, Script, last, token
from matrix import matrix
from recordings import DATA, about, at_random, by_byte, reads, recorded
from yarl import URL

MODEL: Final = "gemma3:270m"
# All recordings of what is asked at a path that passes.
RECORDINGS: Final = [
    name
    for name in sorted(path.relative_to(DATA).with_suffix("").as_posix() for path in DATA.glob("**/*.json"))
    if about(name)["request"]["path"] not in ("/", "/api/nope")
]
# The streams among them that end without their own end, as Ollama sent them.
INCOMPLETE: Final = {
    *("ends_without_done", "closed_by_client"),
    *(f"faces/{name}_failed" for name in ("chat_completions", "completions", "responses", "messages")),
}


@dataclass(frozen=True)
class Answer:
    """A response as a client got it. `whole` is false if it ended otherwise than its framing says."""

    status: int
    content_type: str | None
    body: bytes
    whole: bool


async def ask(http: aiohttp.ClientSession, base: str, method: str, path: str, body: Any = None) -> Answer:
    data = body.encode("latin-1") if isinstance(body, str) else None if body is None else json.dumps(body)
    async with http.request(method, base + path, data=data) as response:
        read, whole = bytearray(), True
        try:
            async for piece in response.content.iter_any():
                read += piece
        except aiohttp.ClientPayloadError:
            whole = False
        return Answer(response.status, response.headers.get("Content-Type"), bytes(read), whole)


def type_of(path: str) -> str:
    return NDJSON if path.startswith("/api/") else SSE


def script_of(name: str, pieces: Sequence[bytes]) -> Script:
    headers = dict(about(name)["headers"])
    return Script(pieces, status=about(name)["status"], content_type=headers["Content-Type"])


@pytest.mark.parametrize("name", RECORDINGS)
async def test_recordings_pass_to_the_byte(name: str, client: Client, fake: FakeOllama) -> None:
    """Through chatproxy, a response differs from Ollama's own by the last frame of one that is incomplete."""
    method, path, body = (about(name)["request"][key] for key in ("method", "path", "body"))
    data = recorded(name)
    cuts = [reads(name)[0], [data], at_random(data, seed=zlib.crc32(name.encode()))]
    if len(data) < 2_000:
        cuts.append(by_byte(data))
    for pieces in cuts:
        fake.script = fake.instead[path.partition("?")[0]] = script_of(name, pieces)
        direct = await ask(client.http, fake.url, method, path, body)
        through = await ask(client.http, client.base, method, path, body)
        assert direct.body == data
        if name in INCOMPLETE:
            assert through.body.startswith(data)
            assert (ending(path, through.body), ending(path, data)) == (ERROR, CUT)
            through = Answer(through.status, through.content_type, data, through.whole)
        assert through == direct


FRAMINGS: Final[dict[str, Callable[[bytes, str], Script]]] = {
    "chunked": lambda data, kind: Script([data], content_type=kind),
    "a length": lambda data, kind: Script(
        at_random(data), content_type=kind, headers={"Content-Length": str(len(data))}
    ),
    "until the connection is closed": lambda data, kind: Script(
        [f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode(), *at_random(data)],
        raw=True,
    ),
    "until the connection of HTTP/1.0 is closed": lambda data, kind: Script(
        [f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode() + data], raw=True
    ),
}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_every_framing_passes(framing: str, client: Client, fake: FakeOllama) -> None:
    for path, data in SHORT.items():
        fake.script = fake.instead[path] = FRAMINGS[framing](data, type_of(path))
        through = await ask(client.http, client.base, "POST", path, {"model": MODEL, "stream": True})
        assert through == Answer(200, type_of(path), data, True)


def cuts(path: str) -> Iterator[tuple[int, str]]:
    return ((size, end) for size in range(len(SHORT[path]) + 1) for end in ("clean", "cut"))


@pytest.mark.slow
@pytest.mark.parametrize("path", SHORT)
async def test_no_stream_ends_cleanly_where_ollamas_end_is_missing(
    path: str, serve: Serve, fake: FakeOllama
) -> None:
    """Cut at every byte, by a lost connection and by an end that looks right."""
    data = SHORT[path]

    def script(request: Request) -> Script:
        size, end = request["cut"]
        return Script([data[:size]] if size else [], content_type=type_of(path), end=end)

    client = await serve()
    fake.script = fake.instead[path] = script
    with matrix() as cases:
        for size, end in cuts(path):
            body = {"model": MODEL, "stream": True, "cut": [size, end]}
            through = await ask(client.http, client.base, "POST", path, body)
            complete = ending(path, data[:size] + b"\n\n") == COMPLETE  # but for a newline
            if through.status != 200:
                cases.check(size == 0 and through.whole, through, size, end)
            elif complete:
                cases.check(through.body.startswith(data[:size]) and through.whole, through, size, end)
                cases.check(ending(path, through.body + b"\n\n") in (COMPLETE, ERROR), through, size, end)
            else:
                cases.expect(ERROR, ending(path, through.body), size, end)
                cases.check(through.body.startswith(data[:size]) and through.whole, through, size, end)


# Answers that contain what ends one, and are cut after it. Arguments of tools are JSON in Ollama's own API.
MISLEADING: Final = {
    "done, in an answer": ("/api/chat", token('"done":true}\n{"error":"x"}')),
    "done, in a tool's arguments": (
        "/api/chat",
        b'{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f",'
        b'"arguments":{"done":true}}}]},"done":false}\n',
    ),
    "error, in a tool's arguments": (
        "/api/chat",
        b'{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f",'
        b'"arguments":{"error":"x"}}}]},"done":false}\n',
    ),
    "done, in a line that is cut": ("/api/chat", last("")[:-20]),
    "an error, in a line that is cut": ("/api/generate", b'{"error":"an error was encoun'),
    "[DONE], in an answer": (
        "/v1/chat/completions",
        b'data: {"choices":[{"index":0,"delta":{"content":"data: [DONE]"},"finish_reason":null}]}\n\n',
    ),
    "[DONE] and newlines, in an answer": (
        "/v1/chat/completions",
        b'data: {"choices":[{"index":0,"delta":{"content":"\\n\\ndata: [DONE]\\n\\n"}}]}\n\n',
    ),
    "[DONE], in a line that is cut": ("/v1/completions", b'data: {"choices":[{"text":"data: [DONE]'),
    "an error, in an answer": (
        "/v1/chat/completions",
        b'data: {"choices":[{"index":0,"delta":{"content":"data: {\\"error\\":"},"finish_reason":null}]}\n\n',
    ),
    "response.completed, in an answer": (
        "/v1/responses",
        b"event: response.output_text.delta\n"
        b'data: {"delta":"\\"type\\":\\"response.completed\\"}","type":"response.output_text.delta"}\n\n',
    ),
    "message_stop, in an answer": (
        "/v1/messages",
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"message_stop"}}\n\n',
    ),
    "message_stop and its quotes, in an answer": (
        "/v1/messages",
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","delta":{"text":"event: message_stop\\ndata: '
        b'{\\"type\\":\\"message_stop\\"}"}}\n\n',
    ),
    "the name of the last event alone": ("/v1/messages", b"event: message_stop\n"),
}


@pytest.mark.parametrize("end", ["clean", "cut"])
@pytest.mark.parametrize("case", MISLEADING)
async def test_words_that_look_like_an_end_are_none(
    case: str, end: Any, client: Client, fake: FakeOllama
) -> None:
    path, data = MISLEADING[case]
    for pieces in ([data], by_byte(data)):
        fake.script = fake.instead[path] = Script(pieces, content_type=type_of(path), end=end)
        through = await ask(client.http, client.base, "POST", path, {"model": MODEL, "stream": True})
        assert through.body.startswith(data)
        assert through.whole
        assert ending(path, through.body) == ERROR
        assert "Ollama" in sentence(path, through.body)


NUMBERS: Final = ",".join(str(number) for number in range(30_000)).encode()
# Ends that are right, and do not look like it at first.
UNUSUAL: Final = {
    "a context of thousands of numbers": (
        "/api/generate",
        b'{"model":"m","response":"","done":true,"done_reason":"stop","context":['
        + NUMBERS
        + b'],"eval_count":1}\n',
    ),
    "no newline at the end": ("/api/chat", token("Hi") + last("").removesuffix(b"\n")),
    "an error without a newline": ("/api/generate", b'{"error":"out of memory"}'),
    "usage after the finish": ("/v1/chat/completions", recorded("faces/chat_completions")),
    "a long error": ("/api/chat", token("Hi") + b'{"error":"' + b"very " * 500 + b'long"}\n'),
    "a line of 8 MiB": ("/api/chat", token("x" * 8 * 1024**2) + last("")),
    "a last line of 8 MiB": (
        "/v1/responses",
        b'event: response.completed\ndata: {"response":{"output":"'
        + b"x" * 8 * 1024**2
        + b'"},"type":"response.completed"}\n\n',
    ),
    "log probabilities in the last line": ("/api/chat", recorded("answer_logprobs")),
}


@pytest.mark.parametrize("case", UNUSUAL)
async def test_nothing_follows_an_end_that_is_right(case: str, client: Client, fake: FakeOllama) -> None:
    path, data = UNUSUAL[case]
    for pieces in ([data], at_random(data, most=9_000 if len(data) > 100_000 else 300)):
        fake.script = fake.instead[path] = Script(pieces, content_type=type_of(path))
        through = await ask(client.http, client.base, "POST", path, {"model": MODEL, "stream": True})
        assert through.body == data
        assert through.whole


@pytest.mark.parametrize("framing", ["chunked", "a length"])
async def test_an_answer_in_one_piece_that_is_cut_is_not_whole(
    framing: str, client: Client, fake: FakeOllama
) -> None:
    data = recorded("faces/messages_not_streamed")
    headers = {} if framing == "chunked" else {"Content-Length": str(len(data))}
    for path in SHORT:
        for size in range(0, len(data), 7):
            fake.script = fake.instead[path] = Script(
                [data[:size]] if size else [], content_type=JSON, headers=headers, end="cut"
            )
            through = await ask(client.http, client.base, "POST", path, {"model": MODEL, "stream": False})
            assert through.status >= 500 or not through.whole, (path, size)


async def test_a_request_passes_to_the_byte(client: Client, fake: FakeOllama) -> None:
    """What is not looked at may be anything: spaces, other orders, unknown fields, other encodings."""
    random = Random(1)
    bodies = [
        b'{ "stream" :false,\n"model": "m", "unknown": [1.50, 1e3, "\\u00fc"], "model2": null}',
        b'{"model":"m","stream":false,"options":{"num_ctx":8192},"keep_alive":-1}',
        '{"model":"m","stream":false,"messages":[{"content":"\u00fc\U0001f44b"}]}'.encode(),
    ]
    for path in SHORT:
        for body in bodies:
            target = f"{path}?beta=true&x=%2F%20+&;"
            async with client.http.post(URL(client.base + target, encoded=True), data=body) as response:
                await response.read()
            assert (fake.chats[-1].body, fake.chats[-1].target) == (body, target)
    sound = random.randbytes(200_000)
    form = aiohttp.FormData({"model": "words", "language": "de"})
    form.add_field("file", sound, filename="a.wav", content_type="audio/wav")
    async with client.http.post(f"{client.base}/v1/audio/transcriptions", data=form) as response:
        assert response.status == 200
    assert sound in fake.chats[-1].body
