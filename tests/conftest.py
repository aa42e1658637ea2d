"""The fixtures that most tests use: a fake Ollama, a configuration that points at it, chatproxy and a client.

pytest-aiohttp starts the servers, and stops them when the test is over.
"""

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import postgres
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

TESTS: Final = Path(__file__).parent
PROCESSES: Final = TESTS / "process"
SQLITE: Final = "sqlite"
POSTGRES: Final = "postgresql"
# Modules whose tests run on both databases: of what is stored and read again. A test that takes `path` or
# `tmp_path`, or is marked, is SQLite's alone: it looks into the file.
ON_BOTH: Final = {
    *(f"unit/store/test_{name}.py" for name in ("documents", "imports", "store", "visitors")),
    *(
        f"http/test_{name}.py"
        for name in (
            *(
                "cancel",
                "delete_message",
                "documents",
                "export",
                "idempotency",
                "import",
                "replaces",
                "resume",
            ),
            *("search", "sending", "sessions", "users", "versions"),
            *("ai_sdk", "embeddings", "images", "order_of_steps", "visitors"),
        )
    ),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of the modules above with either database."""
    module = Path(metafunc.module.__file__ or "").relative_to(TESTS).as_posix()
    own = metafunc.function.__code__.co_varnames[: metafunc.function.__code__.co_argcount]
    if (
        module in ON_BOTH
        and "database_url" in metafunc.fixturenames
        and not {"path", "tmp_path"} & {*own}
        and not [*metafunc.definition.iter_markers("sqlite")]
    ):
        metafunc.parametrize("database_url", [SQLITE, POSTGRES], indirect=True)


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


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[postgres.Server]:
    """A server of PostgreSQL, which all processes of this test run share."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL's server is not installed")
    run = getattr(request.config, "workerinput", {}).get("testrunuid", f"tests-{os.getpid()}")
    with postgres.shared_server(run) as server:
        yield server


@pytest.fixture
def own_postgres(quick_disk: Path) -> Iterator[postgres.Server]:
    """A server of PostgreSQL that no other test uses."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL's server is not installed")
    quick_disk.chmod(0o755)
    server = postgres.Server(quick_disk / "server")
    server.create()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: postgres.Server) -> str:
    """The URL of a database of this process; see `empty`."""
    name = f"tests_{os.getpid()}"
    postgres_server.psql(f"CREATE DATABASE {name}")
    return postgres_server.url(name)


@pytest.fixture
def new_postgres(postgres_server: postgres.Server) -> Iterator[Callable[[], str]]:
    """Makes databases without tables for a test, and returns their URLs."""
    names: list[str] = []

    def new() -> str:
        names.append(f"new_{os.getpid()}_{len(names)}")
        postgres_server.psql(f"CREATE DATABASE {names[-1]}")
        return postgres_server.url(names[-1])

    yield new
    for name in names:
        postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(request: pytest.FixtureRequest, quick_disk: Path) -> str:
    """The URL of an empty database: SQLite's or, in modules of ON_BOTH, each in turn."""
    if getattr(request, "param", SQLITE) == SQLITE:
        return f"sqlite:///{quick_disk}/chat.db"
    url: str = request.getfixturevalue("postgres_url")
    await postgres.empty(url)
    return url


@pytest.fixture
def config(fake: FakeOllama, database_url: str) -> Config:
    return Config(
        ollama_host=fake.url,
        database_url=database_url,
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
