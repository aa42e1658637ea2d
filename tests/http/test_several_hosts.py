"""Several Ollamas behind one chatproxy: which one is asked, and what becomes of an answer when one fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import pytest
from chat_client import Client, serving
from fake_ollama import MODEL, FakeOllama, Gate, Script, Scripted, answer, error, html, refused, token
from pytest_aiohttp import AiohttpServer
from waiting import until

from chatproxy import Config
from chatproxy.embedding import embedder
from chatproxy.generation import upstream
from chatproxy.models import hosts
from chatproxy.ollama import client as ollama_client
from chatproxy.web.faces.passing import passage

GOOD = Script(answer("Hello.", prompt_eval_count=12))
BUSY = refused(503, "server busy, please try again.  maximum pending requests exceeded")


@pytest.fixture
async def other(aiohttp_server: AiohttpServer) -> FakeOllama:
    return await FakeOllama(aiohttp_server).start()


@pytest.fixture
async def fakes(fake: FakeOllama, other: FakeOllama) -> list[FakeOllama]:
    """Both hosts, in the order in which they are asked if nothing else counts."""
    fake.script = other.script = GOOD
    return sorted((fake, other), key=name)


@pytest.fixture
async def client(config: Config, fakes: list[FakeOllama]) -> AsyncIterator[Client]:
    async with serving(several(config, fakes)) as client:
        yield client


def several(config: Config, fakes: list[FakeOllama], **settings: Any) -> Config:
    return replace(config, ollama_host=",".join(fake.url for fake in fakes), **settings)


def name(fake: FakeOllama) -> str:
    return fake.url.removeprefix("http://")


def asked(fakes: list[FakeOllama]) -> list[int]:
    return [len(fake.requests) for fake in fakes]


def metric(page: str, line: str) -> bool:
    return line in page.splitlines()


async def metrics(client: Client) -> str:
    async with client.http.get(client.url("/metrics")) as response:
        return await response.text()


async def is_up(client: Client, fake: FakeOllama) -> bool:
    return metric(await metrics(client), f'chatproxy_host_up{{host="{name(fake)}"}} 1.0')


# -- failover


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(Script(end="reset"), id="the connection is reset"),
        pytest.param(Script(end="cut"), id="it ends before its first token"),
        pytest.param(BUSY, id="its queue is full"),
        pytest.param(refused(503, "no"), id="503"),
        pytest.param(html(502), id="a proxy does not reach it"),
        pytest.param(html(504), id="a proxy does not wait for it"),
        pytest.param(refused(500, "llama runner process has terminated: exit status 2"), id="it crashed"),
        pytest.param(Script([error("llama runner process no longer running")]), id="it crashed later"),
        pytest.param(refused(404, f"model '{MODEL}' not found"), id="the model is gone"),
    ],
)
async def test_what_fails_before_its_first_token_is_asked_of_the_other(
    fakes: list[FakeOllama], client: Client, failing: Scripted
) -> None:
    fakes[0].script = failing
    session = await client.new_session()
    stream = await client.ask(session)
    assert (stream.text(), stream.last["type"]) == ("Hello.", "done")
    assert "warning" not in stream.kinds()
    assert stream.last["modelReason"] == f"{name(fakes[0])} failed, so on {name(fakes[1])}"
    assert asked(fakes) == [1, 1]
    (_, message) = await client.messages(session)
    assert (message["model"], message["warnings"]) == (MODEL, [])
    await client.ask(await client.new_session())  # what fails at once does not seem idle
    assert asked(fakes) == [1, 2]


async def test_failures_are_counted_by_host(fakes: list[FakeOllama], client: Client) -> None:
    fakes[0].script = Script([token("Hel")], end="reset")
    await client.ask(await client.new_session())
    await passed_on(client, stream=True)
    page = await metrics(client)
    for fake, number in zip(fakes, (2, 0), strict=True):
        labels = f'code="upstream_incomplete",host="{name(fake)}"'
        assert metric(page, f"chatproxy_upstream_errors_total{{{labels}}} {number}.0")
        assert metric(page, f'chatproxy_host_failures_total{{host="{name(fake)}"}} 0.0')


async def test_what_has_said_something_is_not_asked_again(fakes: list[FakeOllama], client: Client) -> None:
    fakes[0].script = Script([token("Hel")], end="reset")
    stream = await client.ask(await client.new_session())
    assert (stream.text(), stream.last["code"]) == ("Hel", "upstream_incomplete")
    assert asked(fakes) == [1, 0]


async def test_what_the_request_is_at_fault_for_is_not_asked_again(
    fakes: list[FakeOllama], client: Client
) -> None:
    fakes[0].script = refused(400, "invalid options")
    stream = await client.ask(await client.new_session())
    assert stream.last["code"] == "upstream_error"
    assert asked(fakes) == [1, 0]


async def test_a_host_that_is_killed_is_left_alone_until_it_is_back(
    fakes: list[FakeOllama], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "RESTS", (0.1,))
    gate = Gate()
    fakes[0].script = Script(answer("Never."), head=gate)
    session = await client.new_session()
    async with client.sending(session) as stream:
        await fakes[0].arrived()
        await fakes[0].stop()
        await stream.rest()
    assert stream.text() == "Hello."
    await client.ask(session)
    assert asked(fakes)[1] == 2
    fakes[0].script = GOOD
    await fakes[0].start()

    async def is_asked_again() -> bool:
        await client.ask(await client.new_session())
        return len(fakes[0].requests) > 1

    await until(is_asked_again)


async def test_all_hosts_are_tried_and_the_last_error_is_told(
    fakes: list[FakeOllama], client: Client
) -> None:
    for fake in fakes:
        fake.script = refused(500, "llama runner process has terminated")
    stream = await client.ask(await client.new_session())
    assert stream.last["code"] == "upstream_error"
    assert asked(fakes) == [1, 1]


async def test_a_host_that_hangs_is_left_for_the_other(
    fakes: list[FakeOllama], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "LOADING_POLL", 0.05)
    monkeypatch.setattr(ollama_client, "RESPONSE_TIMEOUT", 0.3)
    shut = Gate()
    async with serving(several(config, fakes, connect_timeout=0.2)) as client:
        await client.call("GET", "/api/models")
        fakes[0].script = Script(head=shut)
        async with client.sending(await client.new_session()) as stream:
            await fakes[0].arrived()
            await until(lambda: fakes[0].calls["/api/ps"] > 2)  # it hangs after it was seen to be well
            fakes[0].instead["/api/ps"] = fakes[0].instead["/api/tags"] = Script(head=shut)
            await stream.rest()
        assert stream.text() == "Hello."
        assert metric(await metrics(client), f'chatproxy_host_up{{host="{name(fakes[0])}"}} 0.0')
    shut.open()


async def test_those_behind_one_at_a_host_that_hangs_do_not_ask_it(
    fakes: list[FakeOllama], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "LOADING_POLL", 0.05)
    monkeypatch.setattr(ollama_client, "RESPONSE_TIMEOUT", 0.3)
    shut, gate = Gate(), Gate()
    limits = {"max_concurrent_generations": 2, "ollama_num_parallel": "1", "connect_timeout": 0.2}
    async with serving(several(config, fakes, **limits)) as client, AsyncExitStack() as stack:
        await client.call("GET", "/api/models")
        fakes[0].script = fakes[0].instead["/api/ps"] = fakes[0].instead["/api/tags"] = Script(head=shut)
        fakes[1].script = Script(GOOD.pieces, gate=gate)
        sessions = [await client.new_session() for _ in range(4)]
        streams = [await stack.enter_async_context(client.sending(session)) for session in sessions]
        assert asked(fakes) == [1, 1]
        gate.open()
        for stream in streams:
            await stream.rest()
        assert [stream.text() for stream in streams] == ["Hello."] * 4
    assert asked(fakes) == [1, 4]


async def test_a_host_that_says_nothing_in_time_is_left_for_the_other(
    fakes: list[FakeOllama], config: Config
) -> None:
    shut = Gate()
    fakes[0].script = Script(head=shut)
    async with serving(several(config, fakes, first_token_timeout=0.5)) as client:
        stream = await client.ask(await client.new_session())
    assert stream.text() == "Hello."
    shut.open()


@pytest.fixture
async def returned(fakes: list[FakeOllama], config: Config) -> AsyncIterator[Client]:
    """A chatproxy that leaves the first host alone, which is back already."""
    await fakes[0].stop()
    async with serving(several(config, fakes, connect_timeout=0.2, first_token_timeout=1.0)) as client:
        await client.ask(await client.new_session())
        await fakes[0].start()
        yield client


@pytest.mark.parametrize("failing", [Script(end="reset"), html(502), Script(head=Gate())])
async def test_a_host_that_is_back_is_asked_before_an_answer_fails(
    fakes: list[FakeOllama], returned: Client, failing: Scripted
) -> None:
    fakes[1].script = failing
    stream = await returned.ask(await returned.new_session())
    assert (stream.text(), "warning" in stream.kinds()) == ("Hello.", False)
    assert stream.last["modelReason"] == f"{name(fakes[1])} failed, so on {name(fakes[0])}"
    assert asked(fakes) == [1, 2]


async def test_a_host_that_is_back_is_asked_in_place_of_one_that_hangs(
    fakes: list[FakeOllama], returned: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "LOADING_POLL", 0.05)
    monkeypatch.setattr(ollama_client, "RESPONSE_TIMEOUT", 0.3)
    fakes[1].script = fakes[1].instead["/api/ps"] = fakes[1].instead["/api/tags"] = Script(head=Gate())
    stream = await returned.ask(await returned.new_session())
    assert stream.text() == "Hello."


async def test_hosts_that_are_still_away_are_not_asked_again(
    fakes: list[FakeOllama], returned: Client
) -> None:
    await fakes[0].stop()
    fakes[1].script = Script(end="reset")
    stream = await returned.ask(await returned.new_session())
    assert stream.last["code"] == "upstream_incomplete"
    assert asked(fakes) == [0, 2]


# -- which host


async def test_whoever_would_wait_goes_to_the_other(fakes: list[FakeOllama], config: Config) -> None:
    gate = Gate()
    for fake in fakes:
        fake.script = Script(GOOD.pieces, gate=gate)
    async with serving(several(config, fakes, ollama_num_parallel="1")) as client:
        first, second = await client.new_session(), await client.new_session()
        async with client.sending(first) as one, client.sending(second) as two:
            await until(lambda: asked(fakes) == [1, 1])
            gate.open()
            await one.rest()
            await two.rest()


async def test_a_conversation_stays_where_it_is(
    fakes: list[FakeOllama], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "RESTS", (0.05,))
    fakes[0].script = BUSY
    session = await client.new_session()
    await client.ask(session)
    fakes[0].script = GOOD
    await until(partial(is_up, client, fakes[0]))
    for number in range(3):
        await client.ask(session, f"And {number}?")
    assert asked(fakes) == [1, 4]
    await client.ask(await client.new_session())
    assert asked(fakes) == [2, 4]


async def test_a_host_that_refuses_everything_at_once_attracts_nothing(
    fakes: list[FakeOllama], client: Client
) -> None:
    fakes[0].script = BUSY
    for _ in range(5):
        await client.ask(await client.new_session())
    assert asked(fakes) == [1, 5]


@pytest.mark.parametrize("writes", [False, True])
async def test_a_host_rests_longer_each_time_until_it_writes(
    fakes: list[FakeOllama], client: Client, monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    monkeypatch.setattr(hosts, "RESTS", (0.1, 600.0))

    async def is_asked(before: int) -> bool:
        await client.ask(await client.new_session())
        return len(fakes[0].requests) > before

    fakes[0].script = html(502)
    await client.ask(await client.new_session())
    await until(partial(is_up, client, fakes[0]))
    if writes:
        fakes[0].script = GOOD
        await until(partial(is_asked, 1))
        fakes[0].script = html(502)
    await until(partial(is_asked, len(fakes[0].requests)))
    if not writes:  # it rests for longer than the other one, which fails later
        fakes[1].script = html(502)
        await client.ask(await client.new_session())
    await until(partial(is_up, client, fakes[not writes]))
    assert await is_up(client, fakes[0]) is writes


async def test_a_model_is_asked_where_it_is(fakes: list[FakeOllama], client: Client) -> None:
    fakes[0].models = [model for model in fakes[0].models if model["name"] != MODEL]
    stream = await client.ask(await client.new_session())
    assert stream.text() == "Hello."
    assert stream.last["modelReason"].endswith(f", on {name(fakes[1])}")
    assert asked(fakes) == [0, 1]


async def test_a_host_is_asked_by_its_own_name_for_the_model(fakes: list[FakeOllama], client: Client) -> None:
    alias = "my-gemma:latest"
    fakes[1].models = [
        {**model, "name": alias, "model": alias} if model["name"] == MODEL else model
        for model in fakes[1].models
    ]
    fakes[1].shows[alias] = fakes[1].shows[MODEL]
    fakes[0].script = BUSY
    stream = await client.ask(await client.new_session())
    assert (stream.text(), "warning" in stream.kinds()) == ("Hello.", False)
    assert [request["model"] for request in fakes[1].requests] == [alias]


# -- what is said


async def test_models_are_listed_once_with_their_hosts(fakes: list[FakeOllama], client: Client) -> None:
    fakes[1].models = [model for model in fakes[1].models if model["name"] == MODEL]
    listed = await client.call("GET", "/api/models")
    by_name = {model["name"]: model["hosts"] for model in listed["models"]}
    assert len(by_name) == len(listed["models"]) == len(fakes[0].models)
    assert sorted(by_name.pop(MODEL)) == sorted(map(name, fakes))
    assert all(found == [name(fakes[0])] for found in by_name.values())
    assert listed["selected"]["reason"] == f"the default here, on {name(fakes[0])}"


async def test_a_host_that_is_away_at_the_start_is_not_waited_for(
    fakes: list[FakeOllama], config: Config
) -> None:
    await fakes[0].stop()
    async with serving(several(config, fakes)) as client:
        stream = await client.ask(await client.new_session())
        assert stream.text() == "Hello."
        assert len((await client.call("GET", "/api/models"))["models"]) == len(fakes[1].models)
        ready = await client.call("GET", "/readyz")
        assert (ready["ollama"]["hosts"], ready["ollama"]["reachableHosts"]) == (2, 1)
        assert ready["ollama"]["reachable"] is True
        page = await metrics(client)
    assert metric(page, f'chatproxy_host_up{{host="{name(fakes[0])}"}} 0.0')
    assert metric(page, f'chatproxy_host_failures_total{{host="{name(fakes[0])}"}} 1.0')


async def test_it_is_told_if_all_are_away(fakes: list[FakeOllama], config: Config) -> None:
    for fake in fakes:
        await fake.stop()
    async with serving(several(config, fakes)) as client:
        stream = await client.ask(await client.new_session())
        assert stream.last["code"] == "upstream_unavailable"
        await client.call("GET", "/api/models", status=502)
        assert (await client.call("GET", "/readyz"))["ollama"] == {
            "reachable": False,
            "code": "upstream_unavailable",
            "hosts": 2,
            "reachableHosts": 0,
        }


async def test_a_model_that_no_host_has_is_told(fakes: list[FakeOllama], client: Client) -> None:
    found = await client.refused(await client.new_session(), 422, json={"message": "Hi", "model": "none"})
    assert found["code"] == "model_not_found"
    assert MODEL in found["installed"]


# -- what is passed on

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": False}


async def passed_on(client: Client, **fields: Any) -> tuple[int, str]:
    async with client.http.post(client.url("/api/chat"), json=CHAT | fields) as response:
        return response.status, await response.text()


@pytest.mark.parametrize("failing", [Script(end="reset", raw=True), BUSY, html(502)])
async def test_what_is_passed_on_goes_to_the_other_host(
    fakes: list[FakeOllama], client: Client, failing: Scripted
) -> None:
    fakes[0].script = failing
    status, body = await passed_on(client)
    assert (status, "Hello." in body) == (200, True)
    assert asked(fakes) == [1, 1]
    await passed_on(client)
    assert asked(fakes) == [1, 2]


@pytest.mark.parametrize("failing", [Script(end="reset", raw=True), html(502), Script(head=Gate())])
async def test_what_is_passed_on_goes_to_a_host_that_is_back_before_it_fails(
    fakes: list[FakeOllama], returned: Client, failing: Scripted
) -> None:
    fakes[1].script = failing
    status, body = await passed_on(returned, stream=True)
    assert (status, "Hello." in body) == (200, True)
    assert asked(fakes) == [1, 2]


async def test_what_is_passed_on_leaves_a_host_that_hangs(
    fakes: list[FakeOllama], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "LOOK", 0.05)
    monkeypatch.setattr(passage, "LOOK", 0.05)
    monkeypatch.setattr(ollama_client, "RESPONSE_TIMEOUT", 0.3)
    shut = Gate()
    limits = {"max_concurrent_generations": 2, "ollama_num_parallel": "1", "connect_timeout": 0.2}
    async with serving(several(config, fakes, **limits)) as client:
        await client.call("GET", "/api/models")
        fakes[0].script = fakes[0].instead["/api/ps"] = fakes[0].instead["/api/tags"] = Script(head=shut)
        passed = await asyncio.gather(*[passed_on(client) for _ in range(4)])
        assert all("Hello." in body for _, body in passed)
    assert asked(fakes) == [1, 4]


async def test_the_last_refusal_is_passed_on(fakes: list[FakeOllama], client: Client) -> None:
    for fake in fakes:
        fake.script = BUSY
    status, body = await passed_on(client)
    assert (status, "pending requests" in body) == (503, True)
    assert asked(fakes) == [1, 1]


async def test_lists_are_those_of_all_hosts(fakes: list[FakeOllama], client: Client) -> None:
    fakes[0].models = [model for model in fakes[0].models if model["name"] != MODEL]
    fakes[1].models = [model for model in fakes[1].models if model["name"] == MODEL]
    listed = (await client.call("GET", "/api/tags"))["models"]
    assert {model["name"] for model in listed} == {
        model["name"] for model in chain(fakes[0].models, fakes[1].models)
    }


async def test_a_model_is_shown_by_a_host_that_has_it(fakes: list[FakeOllama], client: Client) -> None:
    fakes[0].models = [model for model in fakes[0].models if model["name"] != MODEL]
    del fakes[0].shows[MODEL]
    assert "capabilities" in await client.call("POST", "/api/show", json={"model": MODEL})


# -- vectors, and probes


async def embedded(client: Client, text: str = "The rent is 900 a month.") -> Callable[[], Awaitable[bool]]:
    """Upload a document, and return what tells whether it has vectors."""
    form = {"title": "Lease", "text": text}
    document = await client.call("POST", "/api/documents", status=201, json=form)

    async def is_embedded() -> bool:
        found = await client.call("GET", f"/api/documents/{document['id']}")
        return bool(found["embedded"] == found["chunks"] > 0)

    return is_embedded


async def test_vectors_are_made_by_a_host_that_answers(fakes: list[FakeOllama], config: Config) -> None:
    pytest.importorskip("numpy")
    async with serving(several(config, fakes, embedding_model="all-minilm:22m")) as client:
        fakes[0].instead["/api/embed"] = html(502)
        await until(await embedded(client))
    assert [len(fake.embeds) for fake in fakes] == [1, 1]


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_host_that_is_away_changes_no_model_for_vectors(
    fakes: list[FakeOllama],
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    restarts: bool,
) -> None:
    pytest.importorskip("numpy")
    monkeypatch.setattr(embedder, "RETRY", 0.05)
    monkeypatch.setattr(hosts, "RESTS", (0.1,))
    better = "bge-m3:latest"
    (minilm,) = [model for model in fakes[0].models if model["name"] == "all-minilm:22m"]
    fakes[0].models = [{**minilm, "name": better, "model": better, "digest": "better"}]
    fakes[0].shows[better] = fakes[0].shows["all-minilm:22m"]
    several_hosts = several(config, fakes, embedding_model="auto")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(serving(several_hosts))
        await until(await embedded(client))
        if restarts:
            await stack.aclose()
        await fakes[0].stop()
        if restarts:
            client = await stack.enter_async_context(serving(several_hosts))
        else:
            await client.ask(await client.new_session())
        is_embedded = await embedded(client, "Cats may stay.")
        await until(lambda: "with the model for vectors of documents does not answer" in caplog.text)
        await fakes[0].start()
        await until(is_embedded)
    assert [request["model"] for request in chain(fakes[0].embeds, fakes[1].embeds)] == [better] * 2


async def test_a_probe_waits_for_no_host_that_hangs(fakes: list[FakeOllama], config: Config) -> None:
    shut = Gate()
    fakes[0].instead["/api/version"] = Script(head=shut)
    async with serving(several(config, fakes)) as client:
        state = (await client.call("GET", "/readyz"))["ollama"]
        assert (state["reachable"], state["hosts"], state["reachableHosts"]) == (True, 2, 1)
    shut.open()
