"""What the log says of an Ollama, or a model, that is missing: a line when it goes, and one when it comes."""

import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Script
from waiting import until

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
