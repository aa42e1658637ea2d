"""What the log says of an Ollama, or a model, that is missing: a line when it goes, and one when it comes."""

import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Script, html, refused
from waiting import until

from chatproxy.models import readiness
from chatproxy.web.api import health

MODELS = "/api/models"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith("readiness")]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Have each probe ask Ollama, and the log begin at info."""
    monkeypatch.setattr(health, "KNOWN_FOR", 0.0)
    caplog.set_level("INFO", "chatproxy")


async def test_an_ollama_that_goes_and_comes(
    client: Client, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    async def probe() -> None:
        for _ in range(3):
            await client.call("GET", "/readyz")

    await probe()
    assert lines(caplog) == []
    asked = fake.calls["/api/tags"]
    for _ in range(2):
        await fake.stop()
        await probe()
        await fake.start()
        await probe()
        await until(lambda: lines(caplog)[-1:] == ["messages can be answered"])
    unreachable = f"Ollama cannot be reached at {fake.url}; start it with `ollama serve` or set OLLAMA_HOST."
    assert lines(caplog) == [unreachable, "messages can be answered"] * 2
    assert fake.calls["/api/tags"] - asked <= 2  # once for each return


async def test_another_cause_under_the_same_code_has_a_line(
    client: Client, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    """The page says that the log has it."""
    for script in (html(401), html(407), html(401), refused(500, "broken")):
        fake.instead["/api/version"] = script
        for _ in range(2):
            assert (await client.call("GET", "/readyz"))["ollama"]["code"] == "upstream_error"
    assert [line.partition(";")[0] for line in lines(caplog)] == [
        "Ollama, or a proxy in front of it, wants to know who asks (401)",
        "Ollama, or a proxy in front of it, wants to know who asks (407)",
        "Ollama reports: broken",
    ]


async def test_a_cause_in_ever_other_words_does_not_fill_the_log(
    client: Client, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        fake.instead["/api/version"] = refused(500, f"no. {number}")
        await client.call("GET", "/readyz")
    assert len(lines(caplog)) == readiness.MOST_SAID
    await fake.stop()
    await client.call("GET", "/readyz")
    assert len(lines(caplog)) == readiness.MOST_SAID + 1


async def test_models_that_go_and_come(
    serve: Serve, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve(default_model="auto")
    fake.instead["/api/tags"] = Script([b'{"models": []}'])
    for _ in range(3):
        await client.call("GET", MODELS)
    await until(lambda: lines(caplog) != [])
    del fake.instead["/api/tags"]
    await client.call("GET", MODELS)
    await until(lambda: lines(caplog)[-1] == "messages can be answered")
    assert lines(caplog)[0].startswith("No model is installed; type `ollama pull llama3.2`")
    assert len(lines(caplog)) == 2


async def test_a_default_model_that_is_not_installed(
    serve: Serve, fake: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve(default_model="none:1b")
    for _ in range(3):
        await client.call("GET", MODELS)
    await until(lambda: lines(caplog) != [])
    (line,) = lines(caplog)
    assert "`ollama pull none:1b`" in line
