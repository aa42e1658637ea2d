"""What most tests stand on: a fake Ollama, a configuration that points at it, a client of chatproxy."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chat_client import Client, serving
from fake_ollama import FakeOllama
from hypothesis import settings

from chatproxy import Config

settings.register_profile("on a busy machine", settings(), deadline=None)
settings.load_profile("on a busy machine")


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


@pytest.fixture
def quick_disk() -> Iterator[Path]:
    """A folder in memory, where the system has such: a busy disk takes seconds for a commit, and what is
    lost or late by them is no fault of chatproxy's."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def config(fake: FakeOllama, quick_disk: Path) -> Config:
    return Config(
        ollama_host=fake.url, database_url=f"sqlite:///{quick_disk}/chat.db", default_model="gemma3:270m"
    )


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    async with serving(config) as client:
        yield client
