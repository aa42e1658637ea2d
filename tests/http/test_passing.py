"""Requests that are passed on to Ollama: what goes there, what comes back, and how it ends."""

import asyncio
import json
import re
from dataclasses import replace
from typing import Any, Final

import aiohttp
import pytest
from chat_client import Client, Serve, Start
from fake_ollama import JSON, MODEL, NDJSON, SSE, FakeOllama, Gate, Script, answer, last, token
from matrix import matrix
from recordings import recorded
from sockets import exchange, opened, request, unread
from waiting import until

from chatproxy import Config, create_app

CHAT: Final = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
STREAM: Final = {**CHAT, "stream": True}
# Each path whose stream has an end of its own, and what a real Ollama sent there.
STREAMS: Final = {
    "/api/generate": "generate",
    "/v1/chat/completions": "chat_completions",
    "/v1/completions": "completions",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
}
MANAGED: Final = [
    *("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs/sha256:1"),
    *("/api/me", "/api/signout", "/api/user/keys/1", "/api/experimental/web_search"),
]
CLOSE: Final = {"Connection": "close"}
STOPPED: Final = b"Ollama's answer stopped before its end; please try again."


class Got:
    """One response, read to its end."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body


async def call(client: Client, method: str, path: str, **more: Any) -> Got:
    async with client.http.request(method, client.url(path), **more) as response:
        return Got(response, await response.read())


async def metrics(client: Client, name: str) -> list[str]:
    text = (await call(client, "GET", "/metrics")).body.decode()
    return re.findall(rf"^{name}{{.*$", text, re.MULTILINE)


def media_type(path: str) -> str:
    return NDJSON if path.startswith("/api/") else SSE


# -- what passes


async def test_every_answer_passes_byte_for_byte(client: Client, fake: FakeOllama) -> None:
    for path, name in STREAMS.items():
        got = await call(client, "POST", path, json=STREAM)
        assert (got.status, got.body) == (200, recorded(f"faces/{name}"))
        assert got.headers["Content-Type"] == media_type(path)
        got = await call(client, "POST", path, json={**CHAT, "stream": False})
        assert (got.status, got.body) == (200, recorded(f"faces/{name}_not_streamed"))
    fake.script = Script(lines := answer("Hello again"))
    assert (await call(client, "POST", "/api/chat", json=CHAT)).body == b"".join(lines)
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/embeddings"), ("POST", "/api/embed")):
        assert (await call(client, method, path, json=CHAT)).status == 200


async def test_what_ollama_refuses_passes_untouched(client: Client, fake: FakeOllama) -> None:
    fake.instead["/v1/chat/completions"] = Script([b"{not json"], status=418, content_type=JSON)
    got = await call(client, "POST", "/v1/chat/completions", json=CHAT)
    assert (got.status, got.body) == (418, b"{not json")
    got = await call(client, "POST", "/v1/none?beta=%26&x", json=CHAT)
    assert (got.status, got.body) == (404, recorded("no_such_path"))
    assert fake.chats[-1].target == "/v1/none?beta=%26&x"
    assert (await call(client, "HEAD", "/api/tags")).body == b""
    fake.instead["/v1/chat/completions"] = Script([b"data: [DONE]\n\n"], content_type=SSE)
    head = await exchange(client, request("HEAD", "/v1/chat/completions", CLOSE))
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("prefix", ["", "/x/y"], ids=["root", "mounted"])
async def test_headers_that_pass_and_those_that_never_do(serve: Serve, fake: FakeOllama, prefix: str) -> None:
    client = await serve(prefix, ollama_api_key="upstream", api_token="correct-horse-battery")
    passed = {
        "Accept": "text/event-stream",
        "Content-Type": "text/plain",
        "User-Agent": "someone/1",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "tools",
    }
    own = {
        "Origin": client.base.removesuffix(prefix),
        "Authorization": "Bearer correct-horse-battery",
        "x-api-key": "wrong",
        "Cookie": "a=b",
        "Accept-Encoding": "gzip",
        "X-Stainless-Lang": "js",
        "X-Request-Id": "mine",
    }
    fake.instead["/v1/messages"] = Script(
        [b"{}"], content_type=JSON, headers={"Retry-After": "7", "Set-Cookie": "c=d", "X-Other": "1"}
    )
    got = await call(client, "POST", "/v1/messages", headers=passed | own, data=json.dumps(CHAT))
    sent = {name.lower(): value for name, value in fake.chats[-1].headers.items()}
    assert {name: sent.pop(name.lower()) for name in passed} == passed
    assert sent.pop("authorization") == "Bearer upstream"
    assert sent.pop("accept-encoding") == "identity"
    assert set(sent) == {"host", "content-length", "connection"}
    assert fake.chats[-1].target == "/v1/messages"
    assert got.headers["Retry-After"] == "7"
    assert got.headers["X-Request-Id"] == "mine"
    assert got.headers["X-Accel-Buffering"] == "no"
    assert re.fullmatch(r"queue;dur=\d+", got.headers["Server-Timing"])
    assert not {"Set-Cookie", "X-Other"} & set(got.headers)


async def test_bodies_of_any_kind_arrive_as_they_are(client: Client, fake: FakeOllama) -> None:
    form = (
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\0--B--\xff\r\n'
        b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + MODEL.encode() + b"\r\n--B--\r\n"
    )
    bodies = [(b"", ""), (b"{", JSON), (b"\xff\xfe", "text/plain"), (b'{"model":5,"stream":"x"}', JSON)]
    for body, kind in (*bodies, (form, "multipart/form-data; boundary=B")):
        path = "/v1/audio/transcriptions" if body is form else "/v1/completions"
        assert (await call(client, "POST", path, data=body, headers={"Content-Type": kind})).status == 200
        assert fake.chats[-1].body == body
    named = [line for line in await metrics(client, "chatproxy_passed_total") if f'model="{MODEL}"' in line]
    assert named == [f'chatproxy_passed_total{{api="openai",model="{MODEL}",outcome="complete"}} 1.0']


# -- what does not pass


async def test_models_are_managed_elsewhere(client: Client, fake: FakeOllama) -> None:
    with matrix() as cases:
        for path in MANAGED:
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                # A body that never comes: the refusal does not wait for it.
                async with opened(client) as (reader, writer), asyncio.timeout(10):
                    writer.write(request(method, path, {"Content-Length": "9"}))
                    head = await reader.readuntil(b"\r\n\r\n")
                    body = await reader.readuntil(b"}")
                cases.expect(b"HTTP/1.1 403 Forbidden", head.partition(b"\r\n")[0], method, path)
                cases.check(b'"code":"managed_elsewhere"' in body, repr(body), method, path)
            for method in ("HEAD", "OPTIONS", "PROPFIND"):
                got = await exchange(client, request(method, path, CLOSE))
                cases.expect(403, got.status, method, path)
        for path in (
            "/v1/../api/delete",
            "/v1/%2e%2e/api/delete",
            "/v1/x%2f..%2fdelete",
            "/v1//models",
            "/v1/x%5c..",
            "/v1/%252e%252e/api/delete",
            "/v1/..;/api/delete",
        ):
            got = await exchange(client, request("POST", path, CLOSE))
            cases.expect(404, got.status, path)
    assert fake.chats == []


async def test_pages_elsewhere_are_refused(client: Client, fake: FakeOllama) -> None:
    asked = json.dumps(CHAT).encode()
    size = {"Content-Length": str(len(asked)), **CLOSE}
    with matrix() as cases:
        for path in ("/api/chat", "/v1/chat/completions"):
            for headers in (
                {"Origin": "https://evil.example", "Content-Type": "text/plain"},
                {"Origin": "https://evil.example"},
                {"Origin": "null", "Content-Type": "application/x-www-form-urlencoded"},
                {"Host": "evil.example"},
            ):
                got = await exchange(client, request("POST", path, size | headers) + asked)
                cases.expect(403, got.status, path, headers)
        image = {"Sec-Fetch-Site": "cross-site", **CLOSE}
        cases.expect(403, (await exchange(client, request("GET", "/v1/models", image))).status)
    assert fake.chats == []


async def test_a_switch_turns_it_off(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(passthrough=False)
    for method, path in (("POST", "/api/chat"), ("GET", "/v1/models")):
        got = await call(client, method, path)
        assert got.status == 404
        assert b"PASSTHROUGH=on" in got.body
    got = await call(client, "DELETE", "/api/delete")
    assert got.status == 403  # nor would it be possible with PASSTHROUGH=on
    assert b"Models are managed where Ollama runs" in got.body
    assert b"<!doctype html>" in (await call(client, "GET", "/")).body
    assert fake.chats == []


async def test_clients_of_ollama_see_that_it_is_running(client: Client) -> None:
    for accept in ("*/*", "application/json"):
        got = await call(client, "GET", "/", headers={"Accept": accept})
        assert (got.status, got.body) == (200, b"Ollama is running")
        assert "Accept" in got.headers["Vary"]
    got = await call(client, "GET", "/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert got.body.startswith(b"<!doctype html>")
    assert "Accept" in got.headers["Vary"]
    assert (await call(client, "HEAD", "/")).status == 200


# -- how it ends


@pytest.mark.parametrize("end", ["clean", "cut", "reset"])
@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_without_its_own_end_gets_one(
    client: Client, fake: FakeOllama, path: str, end: Any
) -> None:
    whole = recorded(f"faces/{STREAMS[path]}")
    frame = whole.index(b"\n" if media_type(path) == NDJSON else b"\n\n") + (
        1 if media_type(path) == NDJSON else 2
    )
    for cut in (0, 1, frame - 1, frame, len(whole) // 2, len(whole) - 3):
        fake.instead[path] = Script([whole[:cut]] if cut else [], content_type=media_type(path), end=end)
        got = await call(client, "POST", path, json=STREAM)
        assert got.body[:cut] == whole[:cut]
        added = got.body[cut:]
        assert STOPPED in added
        if media_type(path) == SSE:
            assert (
                (whole[:cut] + added.partition(b"data: {")[0])
                .rpartition(b"event:")[0]
                .endswith((b"\n\n", b""))
            )
            assert added.endswith(b"}}\n\n") or added.endswith(b"}\n\n")
        else:
            assert json.loads(got.body.split(b"\n")[-2])["code"] == "upstream_incomplete"
    fake.instead[path] = Script([whole], content_type=media_type(path), end=end)
    assert (await call(client, "POST", path, json=STREAM)).body == whole


async def test_what_is_no_stream_breaks_off(client: Client, fake: FakeOllama) -> None:
    for headers in ({}, {"Content-Length": "100"}):
        fake.instead["/v1/chat/completions"] = Script(
            [b'{"id":'], content_type=JSON, headers=headers, end="cut"
        )
        with pytest.raises(aiohttp.ClientPayloadError):
            await call(client, "POST", "/v1/chat/completions", json=CHAT)
    assert [line for line in await metrics(client, "chatproxy_passed_total") if 'outcome="failed"' in line]


async def test_an_ollama_that_is_silent_is_given_up(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(first_token_timeout=0.4)
    path = "/v1/chat/completions"
    fake.instead[path] = Script(content_type=SSE, head=Gate())
    got = await call(client, "POST", path, json=STREAM)
    assert (got.status, got.headers["x-should-retry"]) == (504, "false")
    gate = Gate()
    gate.let()
    fake.instead[path] = Script([b"data: {}\n\n", b"data: {}\n\n"], content_type=SSE, gate=gate)
    got = await call(client, "POST", path, json=STREAM)
    assert got.body.startswith(b'data: {}\n\ndata: {"error":')
    assert b"upstream_timeout" in got.body
    fake.instead["/api/tags"] = Script(head=Gate())
    assert (await call(client, "GET", "/api/tags")).status == 504


async def test_an_ollama_that_is_not_there_is_named_in_each_dialect(serve: Serve, fake: FakeOllama) -> None:
    client = await serve()
    await fake.stop()
    for path in (*STREAMS, "/api/chat"):
        got = await call(client, "POST", path, json=CHAT)
        assert got.status == 502
        assert b"ollama serve" in got.body
    counted = await metrics(client, "chatproxy_passed_total")
    assert all('outcome="failed"' in line for line in counted)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("when", ["before the head", "in the middle"])
async def test_a_client_that_leaves_stops_its_answer(
    client: Client, fake: FakeOllama, when: str, stream: bool
) -> None:
    gate, head = Gate(), Gate()
    if when == "in the middle":
        head.open()
    fake.script = Script(answer("Hello you there"), gate=gate, head=head)
    task = asyncio.create_task(call(client, "POST", "/api/chat", json={**CHAT, "stream": stream}))
    chat = await fake.arrived()
    gate.let(2)
    task.cancel()
    await asyncio.wait_for(chat.closed.wait(), 5)
    assert not chat.served
    fake.script = Script(answer("Next"))
    assert (await call(client, "POST", "/api/chat", json=CHAT)).status == 200


async def test_a_client_that_leaves_the_line_is_never_asked_for(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(ollama_num_parallel="2")
    gate = Gate()
    fake.script = Script(answer("Hello"), gate=gate)
    first = [asyncio.create_task(call(client, "POST", "/api/chat", json=CHAT)) for _ in range(2)]
    await fake.arrived(2)
    waits = asyncio.create_task(call(client, "POST", "/api/generate", json=CHAT))
    await until(lambda: is_queued(client, 1))
    waits.cancel()
    await until(lambda: is_queued(client, 0))
    gate.open()
    assert [(await each).status for each in first] == [200, 200]
    assert len(fake.chats) == 2


async def is_queued(client: Client, number: int) -> bool:
    page = (await call(client, "GET", "/metrics")).body
    return b"\nchatproxy_queued_generations %d.0\n" % number in page


async def test_names_that_are_not_installed_share_a_line(serve: Serve, fake: FakeOllama) -> None:
    """Also one that Ollama takes for another: it reads the last `model`, in any case of its letters."""
    client = await serve(ollama_num_parallel="1")
    fake.script = Script(answer("Hello"), head=(head := Gate()))
    bodies = [b'{"model": "%b", "MODEL": "%b"}' % (name, MODEL.encode()) for name in (b"a", b"b", b"c")]
    calls = [
        asyncio.create_task(call(client, "POST", "/api/chat", data=body)) for body in [*bodies, b"{", b""]
    ]
    await until(lambda: is_queued(client, 4))
    assert len(fake.requests) == 1
    head.open()
    assert [(await each).status for each in calls].count(200) >= 3


async def test_a_full_line_says_when_to_come_again(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(max_queued_generations=0)
    gate = Gate()
    fake.script = Script(answer("Hello"), gate=gate)
    first = [asyncio.create_task(call(client, "POST", "/api/chat", json=CHAT)) for _ in range(2)]
    await fake.arrived(2)
    got = await call(client, "POST", "/v1/messages", json=CHAT)
    assert (got.status, got.headers["Retry-After"]) == (503, "5")
    assert json.loads(got.body)["error"]["type"] == "overloaded_error"
    gate.open()
    await asyncio.gather(*first)


async def test_a_shutdown_has_a_last_word_for_everyone(
    start: Start, config: Config, fake: FakeOllama
) -> None:
    server = await start(create_app(replace(config, ollama_num_parallel=2)))
    gate = Gate()
    fake.script = Script(answer("Hello you there"), gate=gate)
    asked = [asyncio.create_task(call(server.client, "POST", "/api/chat", json=CHAT)) for _ in range(3)]
    await fake.arrived(2)
    gate.let(2)
    await until(lambda: sum(chat.sent for chat in fake.chats) == 2)
    await until(lambda: is_queued(server.client, 1))
    await server.stop()
    got = [await each for each in asked]
    assert {each.status for each in got} == {200, 503}
    assert all(json.loads(each.body.splitlines()[-1])["code"] == "shutting_down" for each in got)


async def test_a_client_that_takes_nothing_is_left(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(reader_timeout=0.5)
    fake.script = Script([*(token("x" * 60_000) for _ in range(500)), last()])
    asked = json.dumps(CHAT).encode()
    with unread(client, request("POST", "/api/chat", {"Content-Length": str(len(asked))}) + asked):
        chat = await fake.arrived()
        await asyncio.wait_for(chat.closed.wait(), 20)
    assert chat.sent < 400  # what the sockets hold; all of it would have been 30 MB
    got = await call(client, "POST", "/api/chat", json=CHAT)
    assert len(got.body) > 500 * 60_000


# -- what is counted


async def test_passed_requests_and_their_tokens_are_counted(client: Client, fake: FakeOllama) -> None:
    fake.instead["/api/generate"] = Script(status=500, content_type=JSON)
    for path in STREAMS:
        await call(client, "POST", path, json=STREAM)
    assert await metrics(client, "chatproxy_passed_total") == [
        f'chatproxy_passed_total{{api="anthropic",model="{MODEL}",outcome="complete"}} 1.0',
        f'chatproxy_passed_total{{api="ollama",model="{MODEL}",outcome="refused"}} 1.0',
        f'chatproxy_passed_total{{api="openai",model="{MODEL}",outcome="complete"}} 3.0',
    ]
    assert await metrics(client, "chatproxy_tokens_total") == [
        f'chatproxy_tokens_total{{model="{MODEL}"}} 60.0'
    ]


async def test_a_stream_that_says_that_it_failed_is_left_as_it_is(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(lines := [token("Hello"), b'{"error":"unexpected EOF"}'])
    assert (await call(client, "POST", "/api/chat", json=CHAT)).body == b"".join(lines)
    (counted,) = await metrics(client, "chatproxy_passed_total")
    assert 'outcome="failed"' in counted


async def test_the_log_has_no_text(
    client: Client, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="chatproxy")
    fake.script = Script(answer("the-answer"))
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "the-question"}]}
    got = await call(client, "POST", "/api/chat?the-query", json=asked)
    (record,) = [each for each in caplog.records if each.getMessage() == "request passed on"]
    fields = vars(record)["fields"]
    assert {name: fields[name] for name in ("api", "model", "status", "bytes")} == {
        "api": "ollama",
        "model": MODEL,
        "status": 200,
        "bytes": len(got.body),
    }
    assert not re.search("the-(answer|question|query)", str([vars(each) for each in caplog.records]))
