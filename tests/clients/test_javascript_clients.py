"""JavaScript clients under `node --test`: those that work, and how they fail when Ollama does."""

from pathlib import Path

from chat_client import Client
from fake_ollama import FakeOllama, Gate, Request, Script, answer, greet
from node import run

HERE = Path(__file__).parent


async def run_tests(node: str, name: str, client: Client) -> None:
    report = await run(node, "--test", "--test-timeout=30000", name, cwd=HERE, env={"CHATPROXY": client.base})
    assert "fail 0" in report
    assert "pass 0" not in report


def hold_slow_ones(request: Request) -> Script:
    """Answer at once, or with a first word and no more."""
    if request["model"] != "slow:latest":
        return greet(request)
    gate = Gate()
    gate.let(1)
    return Script(answer("Hello world"), gate=gate)


async def test_clients_work_as_with_ollama(node: str, client: Client, fake: FakeOllama) -> None:
    fake.script = hold_slow_ones
    await run_tests(node, "clients.test.js", client)
    (stopped,) = [chat for chat in fake.chats if chat.request.get("model") == "slow:latest"]
    await stopped.closed.wait()
    assert not stopped.served


async def test_clients_learn_of_a_runner_that_died(node: str, client: Client, broken: FakeOllama) -> None:
    """Ollama itself ends its OpenAI streams as if all were well."""
    await run_tests(node, "broken.test.js", client)
