"""The fixtures that most tests use: a fake Ollama, a configuration that points at it, chatproxy and a client.

pytest-aiohttp starts the servers, and stops them when the test is over.
"""

import os
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from chat_client import TIMEOUT, Client, Serve, Server, Start, mounted
from fake_ollama import MODEL, FakeOllama
from hypothesis import settings
from pytest_aiohttp import AiohttpClient, AiohttpServer

from chatproxy import Config, create_app
from chatproxy.store.search import words

settings.register_profile("on a busy machine", settings(), deadline=None)
settings.load_profile("on a busy machine")

PROCESSES: Final = Path(__file__).parent / "process"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail in CI that would be skipped because something is missing."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and "CI" in os.environ:
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be missing: {report.longrepr}"
    return report


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by them
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start processes as slow; all others are marked where they are.

    The coverage is that of the quick ones: to measure it costs almost as much as the tests do.
    """
    for item in items:
        if item.path.is_relative_to(PROCESSES):
            item.add_marker("slow")
        if item.get_closest_marker("slow"):
            item.add_marker("no_cover")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long bytes by their argument: a report with a whole picture or archive in it cannot be read."""
    return argname if isinstance(val, bytes) and len(val) > 40 else None


@pytest.fixture(autouse=True)
def unhurried_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a search wait for the index of words for as long as a busy machine may take to follow."""
    monkeypatch.setattr(words, "CATCH_UP", 20.0)


@pytest.fixture
async def fake(aiohttp_server: AiohttpServer) -> FakeOllama:
    return await FakeOllama(aiohttp_server).start()


@pytest.fixture
def sees(fake: FakeOllama) -> None:
    """The model that sessions get accepts images."""
    fake.shows[MODEL]["capabilities"].append("vision")


@pytest.fixture
def quick_disk() -> Iterator[Path]:
    """A folder in memory, if the system has one.

    A commit may take seconds on a busy disk. What is late or lost because of them says nothing of chatproxy.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def config(fake: FakeOllama, quick_disk: Path) -> Config:
    return Config(
        ollama_host=fake.url,
        database_url=f"sqlite:///{quick_disk}/chat.db",
        default_model="gemma3:270m",
        embedding_model="none",
    )


@pytest.fixture
def start(quick_disk: Path, aiohttp_client: AiohttpClient) -> Start:
    """Start an application; see chat_client.py. It is stopped before its disk is removed."""

    async def start(app: web.Application, prefix: str = "", **runner: Any) -> Server:
        server = Server(app, prefix, **runner)
        await server.start_server()
        http: TestClient[web.Request, None] = await aiohttp_client(server, timeout=TIMEOUT)
        server.connect(http.session)
        return server

    return start


@pytest.fixture
def serve(start: Start, config: Config) -> Serve:
    """Start chatproxy, with other settings than those of `config` where a test names them."""

    async def serve(prefix: str = "", **settings: Any) -> Client:
        app = create_app(replace(config, **settings))
        return (await start(mounted(app, prefix) if prefix else app, prefix)).client

    return serve


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve()
