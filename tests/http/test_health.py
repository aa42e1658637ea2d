"""Probes, unknown paths and methods, and request ids."""

import asyncio
import re
from dataclasses import replace
from typing import Any, Final

import pytest
from chat_client import Client, Start, serving
from fake_ollama import FakeOllama, Gate, Script, answer, html, refused
from matrix import matrix
from waiting import until

from chatproxy import Config, __version__, create_app
from chatproxy.models import catalog
from chatproxy.ollama import client as ollama_client
from chatproxy.web.api import health, models
from chatproxy.web.keys import CHAT

SESSIONS: Final = "/api/chat/sessions"
REQUEST_ID: Final = "X-Request-Id"
NEW: Final = re.compile(r"[0-9a-f]{16,}")


async def headers_of(client: Client, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with client.http.request(method, client.url(path), **more) as response:
        await response.read()
        return response.status, response.headers


# -- probes


async def test_healthz_asks_nothing_of_ollama(client: Client, fake: FakeOllama) -> None:
    assert await client.call("GET", "/healthz") == {"status": "alive", "version": __version__}
    assert not fake.calls


async def test_readyz_reports_ollama(client: Client, fake: FakeOllama) -> None:
    fake.version = "1.2.3"
    told = await client.call("GET", "/readyz")
    assert told == {"status": "ready", "ollama": {"reachable": True, "version": "1.2.3"}}


async def test_readyz_succeeds_without_ollama_and_sees_it_come_back(client: Client, fake: FakeOllama) -> None:
    await fake.stop()
    for _ in range(2):
        told = await client.call("GET", "/readyz")
        assert told == {"status": "ready", "ollama": {"reachable": False, "code": "upstream_unavailable"}}
    await fake.start()

    async def is_seen() -> bool:
        return bool((await client.call("GET", "/readyz"))["ollama"]["reachable"])

    await until(is_seen)


async def test_probes_ask_ollama_at_most_once_a_second(client: Client, fake: FakeOllama) -> None:
    probes = [client.call("GET", "/readyz") for _ in range(20)]
    told = await asyncio.gather(*probes)
    assert told == [told[0]] * 20
    assert fake.calls["/api/version"] <= 3  # on a machine that takes so long for the twenty
    await asyncio.sleep(health.KNOWN_FOR)
    asked = fake.calls["/api/version"]
    await client.call("GET", "/readyz")
    assert fake.calls["/api/version"] == asked + 1


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (refused(500, "broken at 10.0.0.1"), "upstream_error"),
        (Script([b"<html>"]), "upstream_invalid"),
        (Script([b"[]"]), "upstream_invalid"),
        (Script([b'{"version"'], end="cut"), "upstream_incomplete"),
        (html(502), "upstream_unavailable"),
        (Script(status=503), "upstream_unavailable"),
        (html(504), "upstream_timeout"),
    ],
    ids=["error", "no JSON", "no object", "cut", "502", "503", "504"],
)
async def test_readyz_succeeds_if_ollama_fails(
    client: Client, fake: FakeOllama, script: Script, code: str
) -> None:
    fake.instead["/api/version"] = script
    told = await client.call("GET", "/readyz")
    assert told == {"status": "ready", "ollama": {"reachable": False, "code": code}}


async def test_readyz_does_not_wait_for_a_hanging_ollama(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "FIRST_PATIENCE", 0.1)
    fake.instead["/api/version"] = Script(head=Gate())
    async with asyncio.timeout(8):  # probes are given a second or a few
        told = await client.call("GET", "/readyz")
    assert told == {"status": "ready", "ollama": {"reachable": False, "code": "upstream_timeout"}}


async def readiness(client: Client) -> dict[str, Any]:
    state: dict[str, Any] = (await client.call("GET", "/readyz"))["ollama"]
    return state


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ollama's state be known for a moment only, and Ollama be silent for a second."""
    monkeypatch.setattr(health, "KNOWN_FOR", 0.01)
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    monkeypatch.setattr(health, "SILENCE", 1.0)


def hang(fake: FakeOllama, *paths: str) -> None:
    """Have Ollama accept connections and never answer; its `restart` ends that."""
    for path in paths or ("/api/version", "/api/tags", "/api/ps", "/api/show"):
        fake.instead[path] = Script(head=Gate())


async def restart(fake: FakeOllama) -> None:
    await fake.stop()
    fake.instead.clear()
    await fake.start()


@pytest.mark.usefixtures("quick")
async def test_a_late_answer_of_ollama_is_one(client: Client, fake: FakeOllama) -> None:
    """A machine that loads a model or swaps may take a second or two."""
    assert (await readiness(client))["reachable"]
    await asyncio.sleep(0.02)
    gate = Gate()
    fake.instead["/api/version"] = Script([b'{"version":"1.2.3"}'], head=gate)
    asked = fake.calls["/api/version"]
    for _ in range(5):
        assert (await readiness(client))["reachable"]  # as was known before
    assert fake.calls["/api/version"] == asked + 1
    gate.open()

    async def is_seen() -> bool:
        state = await readiness(client)
        assert state["reachable"]
        return bool(state["version"] == "1.2.3")

    await until(is_seen)


async def test_the_first_probe_has_patience(client: Client, fake: FakeOllama) -> None:
    fake.instead["/api/version"] = Script([b'{"version":"1.2.3"}'], delays=[1.2])
    assert await readiness(client) == {"reachable": True, "version": "1.2.3"}


@pytest.mark.usefixtures("quick")
async def test_an_ollama_that_stops_answering_is_seen(client: Client, fake: FakeOllama) -> None:
    assert (await readiness(client))["reachable"]
    hang(fake)

    async def is_silent() -> bool:
        return bool((await readiness(client)).get("code") == "upstream_timeout")

    await until(is_silent)
    await restart(fake)

    async def is_back() -> bool:
        return bool((await readiness(client))["reachable"])

    await until(is_back)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("status", [None, 504, 524])
async def test_an_ollama_whose_answers_arrive_is_reachable(
    client: Client, fake: FakeOllama, known: bool, status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be too busy to say its version meanwhile, and a proxy may wait for that no longer."""
    monkeypatch.setattr(health, "FIRST_PATIENCE", 0.1)
    if known:
        assert (await readiness(client))["reachable"]
    if status is None:
        hang(fake, "/api/version")
    gate = Gate()
    fake.script = Script(answer("word " * 1000), gate=gate)
    asking = asyncio.create_task(client.ask(await client.new_session()))
    chat = await fake.arrived()
    gate.let()
    await until(lambda: chat.sent > 0)
    if status is not None:
        fake.instead["/api/version"] = html(status)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < 3.5:  # longer than three silences
        gate.let()
        assert (await readiness(client))["reachable"]
        await asyncio.sleep(0.02)

    async def is_silent() -> bool:
        return bool((await readiness(client)).get("code") == "upstream_timeout")

    await until(is_silent)  # the answer has stopped, too
    gate.open()
    await asking


@pytest.mark.usefixtures("quick")
async def test_probes_ask_a_silent_ollama_one_question_at_a_time(client: Client, fake: FakeOllama) -> None:
    hang(fake)
    probes = [client.call("GET", "/readyz") for _ in range(100)]
    await asyncio.gather(*probes)
    assert fake.calls["/api/version"] <= 3  # on a machine that takes so long for the hundred


async def models_of(client: Client) -> list[tuple[str, bool]]:
    """Return the names of the listed models, and whether they are described."""
    listed = (await client.call("GET", "/api/models"))["models"]
    return [(model["name"], bool(model["capabilities"])) for model in listed]


async def away_and_back(client: Client, fake: FakeOllama, models: list[Any]) -> None:
    """Let probes see that Ollama goes, and that it returns with these models."""
    await fake.stop()
    await asyncio.sleep(0.02)
    assert not (await readiness(client))["reachable"]
    fake.models = models
    await restart(fake)
    await asyncio.sleep(0.02)
    assert (await readiness(client))["reachable"]


@pytest.mark.usefixtures("quick")
async def test_the_models_are_read_again_when_ollama_returns(client: Client, fake: FakeOllama) -> None:
    first, *others = fake.models
    fake.models = others
    assert (await models_of(client))[0][0] != first["name"]
    await away_and_back(client, fake, [first, *others])
    assert (await models_of(client))[0] == (first["name"], True)


@pytest.mark.usefixtures("quick")
async def test_a_list_that_never_came_is_read_when_ollama_returns(
    fake: FakeOllama, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a timeout is believed for a minute otherwise, and fails every message to `auto`."""
    monkeypatch.setattr(ollama_client, "RESPONSE_TIMEOUT", 0.1)
    async with serving(replace(config, connect_timeout=0.1, default_model="auto")) as client:
        hang(fake)
        assert (await client.call("GET", "/api/models", status=504))["code"] == "upstream_timeout"
        await away_and_back(client, fake, fake.models)
        assert len(await models_of(client)) == len(fake.models)
        assert (await client.ask(await client.new_session())).last["type"] == "done"


@pytest.mark.usefixtures("quick")
async def test_descriptions_that_failed_are_read_when_ollama_returns(
    client: Client, fake: FakeOllama
) -> None:
    fake.instead["/api/show"] = refused(500, "no")
    assert not any(described for _, described in await models_of(client))
    await away_and_back(client, fake, fake.models)
    assert all(described for _, described in await models_of(client))


async def test_a_list_that_people_see_is_no_older_than_a_few_seconds(
    fake: FakeOllama, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may have seen that Ollama was away; and models are installed while it runs."""
    for module in (catalog, models):
        monkeypatch.setattr(module, "FRESH", 0.0)
    first, *fake.models = fake.models
    async with serving(config) as client:
        assert (await models_of(client))[0][0] != first["name"]
        fake.models.insert(0, first)
        assert (await models_of(client))[0][0] == first["name"]


async def test_a_server_that_shuts_down_is_alive_and_not_ready(start: Start, config: Config) -> None:
    app = create_app(config)
    client = (await start(app)).client
    session = await client.new_session()
    await app[CHAT].close()  # as a shutdown does first
    assert (await client.call("GET", "/readyz", status=503))["code"] == "shutting_down"
    await client.call("GET", "/healthz")
    assert (await client.send(session, status=503))["code"] == "shutting_down"
    assert await client.messages(session) == []


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
async def test_head_is_get_without_the_body(client: Client, path: str) -> None:
    status, headers = await headers_of(client, "HEAD", path)
    assert status == 200
    assert headers["Content-Type"] == (await headers_of(client, "GET", path))[1]["Content-Type"]


async def test_the_root_is_a_page(client: Client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with client.http.get(client.url("/"), headers=browser) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        assert response.headers["Vary"] == "Accept"
        assert "chatproxy" in await response.text()


async def test_clients_of_ollama_know_the_root(client: Client) -> None:
    async with client.http.get(client.url("/")) as response:
        assert (response.status, await response.text()) == (200, "Ollama is running")
        assert response.headers["Vary"] == "Accept"


# -- errors about addresses


UNKNOWN: Final = [
    "/nothing",
    "/api",
    "/api/chat/session",
    "/healthz/",
    "//",
    f"{SESSIONS}/",
    f"{SESSIONS}/x/y/z",
]


async def test_an_unknown_path_is_not_found(client: Client) -> None:
    with matrix() as cases:
        for path in (
            "/nothing",
            "/api",
            "/api/chat/session",
            "/healthz/",
            "//",
            f"{SESSIONS}/",
            f"{SESSIONS}/x/y/z",
        ):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
                async with client.http.request(method, client.url(path)) as response:
                    told = await response.json()
                    got = response.status, set(told), told["code"]
                    cases.expect((404, {"error", "code"}, "not_found"), got, method, path)
            cases.expect(404, (await headers_of(client, "HEAD", path))[0], "HEAD", path)


ALLOWED: Final = {
    "/healthz": {"GET", "HEAD"},
    "/": {"GET", "HEAD"},
    SESSIONS: {"GET", "HEAD", "POST"},
    f"{SESSIONS}/x": {"GET", "HEAD", "PATCH", "DELETE"},
    f"{SESSIONS}/x/messages": {"GET", "HEAD", "POST"},
    f"{SESSIONS}/x/messages/stream": {"POST"},
    f"{SESSIONS}/x/messages/1/stream": {"GET"},
    f"{SESSIONS}/x/messages/1/cancel": {"POST"},
    f"{SESSIONS}/x/export": {"GET"},
}
METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"}


async def test_a_wrong_method_is_refused_with_the_right_ones(client: Client) -> None:
    with matrix() as cases:
        for path, allowed in ALLOWED.items():
            for method in METHODS - allowed:
                async with client.http.request(method, client.url(path)) as response:
                    named = set(response.headers.get("Allow", "").split(", ")) - {"OPTIONS"}
                    cases.expect((405, allowed), (response.status, named), method, path)
                    if path == "/":
                        cases.expect("method_not_allowed", response.headers["X-Error-Code"], method)
                    elif method != "HEAD":
                        told = await response.json()
                        cases.expect(
                            ({"error", "code"}, "method_not_allowed"), (set(told), told["code"]), method
                        )


# -- request ids


async def test_the_request_id_of_the_client_comes_back(client: Client) -> None:
    with matrix() as cases:
        for given in ("r-1", "a" * 64, "0", "A.b_c:d-e"):
            for path in ("/healthz", SESSIONS, "/nothing", f"{SESSIONS}/none", f"{SESSIONS}?limit=0"):
                _, headers = await headers_of(client, "GET", path, headers={REQUEST_ID: given})
                cases.expect([given], headers.getall(REQUEST_ID), path)


async def test_a_missing_or_malformed_request_id_is_replaced(client: Client) -> None:
    seen: set[str] = set()
    with matrix() as cases:
        for given in (None, "", "a" * 65, "a b", "é", "a\tb", "<script>", 'a"b', "a,b"):
            for _ in range(3):
                sent = {} if given is None else {REQUEST_ID: given}
                _, headers = await headers_of(client, "GET", "/healthz", headers=sent)
                (made,) = headers.getall(REQUEST_ID)
                cases.check(NEW.fullmatch(made) is not None and made not in seen, made, repr(given))
                seen.add(made)


async def test_streams_and_failures_carry_the_request_id(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello"))
    session = await client.new_session()
    path = f"{SESSIONS}/{session}/messages"
    more: dict[str, Any] = {"json": {"message": "Hi"}, "headers": {REQUEST_ID: "r-2"}}
    for method, rest, status in (("POST", "", 200), ("POST", "/stream", 200), ("OPTIONS", "", 403)):
        told, headers = await headers_of(client, method, path + rest, **more)
        assert (told, headers.getall(REQUEST_ID)) == (status, ["r-2"])
    mid = (await client.messages(session))[1]["id"]
    _, headers = await headers_of(client, "GET", f"{path}/{mid}/stream", headers={REQUEST_ID: "r-3"})
    assert headers.getall(REQUEST_ID) == ["r-3"]
    fake.script = refused(500, "broken")
    told, headers = await headers_of(client, "POST", path, **more)
    assert (told, headers.getall(REQUEST_ID)) == (502, ["r-2"])
