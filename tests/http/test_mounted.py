"""chatproxy in another application: under a prefix, and whatever that application has set for itself."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from chat_client import Client, Server, Start
from fake_ollama import FakeOllama, Gate, Script, answer, refused
from matrix import matrix
from waiting import until

from chatproxy import Config, create_app

PREFIX: Final = "/x/y"
ORIGIN: Final = "https://chat.example"
SESSIONS: Final = "/api/chat/sessions"


@web.middleware
async def of_the_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.headers.get("X-Banned"):
        return web.Response(status=418, text="go away")
    return await handler(request)


@pytest.fixture(params=[False, True], ids=["keeps handlers", "cancels handlers"])
async def server(start: Start, config: Config, request: pytest.FixtureRequest) -> Server:
    """A host with narrow limits and a middleware, and with chatproxy under the prefix."""
    host = web.Application(client_max_size=1024, middlewares=[of_the_host])
    host.add_subapp(PREFIX, create_app(replace(config, cors_origins=(ORIGIN,), context_window=1_000_000)))
    return await start(host, PREFIX, handler_cancellation=request.param, auto_decompress=True)


@pytest.fixture
def client(server: Server) -> Client:
    return server.client


async def test_both_calls_answer_a_message(client: Client) -> None:
    session = await client.new_session()
    stream = await client.ask(session)
    assert stream.kinds() == ["start", "chunk", "done"]
    assert stream.text() == "Hello from a fake."
    assert (await client.send(session))["fullResponse"] == "Hello from a fake."
    assert [message["status"] for message in await client.messages(session)] == ["complete"] * 4


async def test_an_answer_outlives_its_reader_and_is_resumed(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello again world"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        gate.let(1)
        await stream.until("chunk")
    answer_id = stream.events[0]["assistantMessageId"]
    async with client.resuming(session, answer_id, stream.cursor) as rest:
        await rest.until("start")
        gate.open()
        await rest.rest()
    assert rest.last["type"] == "done"
    assert stream.text() + rest.text() == "Hello again world"
    async with client.resuming(session, answer_id) as again:
        await again.rest()
    assert again.text() == "Hello again world"


@pytest.mark.parametrize("server", [False], indirect=True, ids=["keeps handlers"])
async def test_a_sender_who_leaves_early_has_sent_the_message(client: Client, fake: FakeOllama) -> None:
    """If the host cancels handlers, that is so once the rows are being committed: test_idempotency.py."""
    fake.instead["/api/tags"] = Script([b'{"models": [{"name": "gemma3:270m"}]}'], head=(head := Gate()))
    session = await client.new_session()
    sending = asyncio.create_task(client.ask(session))
    await until(lambda: fake.calls["/api/tags"] > 0)
    sending.cancel()
    await asyncio.wait({sending})
    head.open()
    await (await fake.arrived()).closed.wait()
    async with client.resuming(session, 2) as stream:
        await stream.rest()
    assert stream.last["fullResponse"] == "Hello from a fake."


async def test_an_answer_can_be_cancelled(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        gate.let(1)
        message = (await stream.until("start"))["assistantMessageId"]
        await stream.until("chunk")
        assert (await client.cancel(session, message))["status"] == "cancelled"
        await stream.rest()
    assert stream.last["finishReason"] == "cancelled"


@pytest.mark.usefixtures("sees")
async def test_the_hosts_limit_on_bodies_does_not_apply(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    image = "YWJj" * 200_000
    await client.send(session, "x" * 200_000, images=[image])
    assert fake.requests[0]["messages"][0]["images"] == [image]


async def test_errors_are_json_under_the_prefix(client: Client) -> None:
    with matrix() as cases:
        for method, path, status, code in (
            ("GET", "/nothing", 404, "not_found"),
            ("GET", f"{SESSIONS}/none", 404, "not_found"),
            ("PUT", SESSIONS, 405, "method_not_allowed"),
            ("TRACE", SESSIONS, 405, "method_not_allowed"),
            ("POST", "/healthz", 405, "method_not_allowed"),
            ("GET", f"{SESSIONS}?limit=0", 422, "invalid"),
        ):
            async with client.http.request(method, client.url(path), headers={"Origin": ORIGIN}) as response:
                told, headers = await response.json(), response.headers
            cases.expect((status, code), (response.status, told["code"]), method, path)
            if method != "TRACE":  # which no page can send
                cases.expect(ORIGIN, headers.get("Access-Control-Allow-Origin"), method, path)
            cases.check("X-Request-Id" in headers, "no X-Request-Id", method, path)
            if status == 405:
                allowed = {"OPTIONS", "GET", "HEAD"} | ({"POST"} if path == SESSIONS else set())
                cases.expect(allowed, set(headers.get("Allow", "").split(", ")), method, path)


async def test_a_failure_of_ollama_keeps_its_status(client: Client, fake: FakeOllama) -> None:
    fake.script = refused(500, "out of memory")
    told = await client.send(await client.new_session(), status=502)
    assert (told["code"], told["fullResponse"]) == ("upstream_error", "")


async def test_only_pages_that_are_named_may_call(client: Client) -> None:
    for origin, status in ((ORIGIN, 200), ("https://evil.example", 403)):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        url = client.url(f"{SESSIONS}/none/messages/stream")
        async with client.http.options(url, headers=headers) as response:
            assert response.status == status
            assert response.headers.get("Access-Control-Allow-Origin") == (ORIGIN if status == 200 else None)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
async def test_probes_are_under_the_prefix(client: Client, path: str) -> None:
    async with client.http.get(client.url(path)) as response:
        assert response.status == 200


async def test_the_hosts_own_responses_carry_no_other_requests_id(client: Client) -> None:
    """The requests of one connection share a task."""
    url = client.url("/healthz")
    async with client.http.get(url, headers={"X-Request-Id": "r-1"}) as response:
        assert response.headers["X-Request-Id"] == "r-1"
    async with client.http.get(url, headers={"X-Request-Id": "r-2", "X-Banned": "1"}) as response:
        assert response.status == 418
        assert response.headers.get("X-Request-Id", "r-2") == "r-2"


async def test_a_shutdown_ends_live_streams(server: Server, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    client = server.client
    async with client.sending(await client.new_session()) as stream:
        gate.let(1)
        await stream.until("chunk")
        async with asyncio.timeout(10):
            await asyncio.gather(server.stop(), stream.rest())
    assert (stream.last["type"], stream.last["code"]) == ("error", "shutting_down")
    assert stream.last["fullResponse"] == stream.text() == "Hello"


async def test_two_applications_in_one_host_share_nothing(
    start: Start, fake: FakeOllama, tmp_path: Path
) -> None:
    host = web.Application()
    for name in ("a", "b"):
        database = f"sqlite:///{tmp_path}/{name}.db"
        config = Config(ollama_host=fake.url, database_url=database, default_model="gemma3:270m")
        host.add_subapp(f"/{name}", create_app(config))
    client = (await start(host)).client
    a, b = (Client(client.http, f"{client.base}/{name}") for name in ("a", "b"))
    session = await a.new_session(title="Of a")
    assert (await a.ask(session)).last["type"] == "done"
    assert (await b.call("GET", f"{SESSIONS}/{session}", status=404))["code"] == "not_found"
    assert (await b.call("GET", SESSIONS))["sessions"] == []
    own = await b.new_session()
    assert (await b.ask(own)).last["type"] == "done"
    assert [each["id"] for each in (await a.call("GET", SESSIONS))["sessions"]] == [session]
