"""Fixtures of the tests with existing clients: Node with the packages of this folder, and failing models."""

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import node as nodes
import pytest
from fake_ollama import FakeOllama, replay, replayed

# By path, the recording of an answer whose runner dies in mid-stream.
BROKEN = {
    "/api/generate": "generate_failed",
    "/v1/chat/completions": "chat_completions_failed",
    "/v1/completions": "completions_failed",
    "/v1/responses": "responses_failed",
    "/v1/messages": "messages_failed",
}


@pytest.fixture
def node() -> str:
    """The path of Node, with the packages of this folder installed."""
    return nodes.node(Path(__file__).parent)


@pytest.fixture
def broken(fake: FakeOllama) -> FakeOllama:
    """An Ollama whose runners die in mid-stream."""
    fake.script = replay("runner_killed")
    fake.instead.update({path: replayed(name) for path, name in BROKEN.items()})
    return fake


@pytest.fixture
def clients_that_close_nothing() -> Iterator[None]:
    """Let clients leave connections to the garbage collector, which would warn of them."""
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        yield
        gc.collect()
