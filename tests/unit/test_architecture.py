"""The rooms of ARCHITECTURE.md and what may know what, read off the imports themselves."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

import chatproxy

ROOT: Final = Path(chatproxy.__file__).parent
# From the bottom up: a module imports from lower layers and its own, never from above.
LAYERS: Final = (
    {"background", "errors", "log", "values"},
    {"cached", "config", "cursor"},
    {"store.records"},
    {"documents", "ollama", "store"},
    {"answers", "models.tokens"},
    {"models"},
    {"prompt.request"},
    {"prompt"},
    {"generation"},
    {"chat"},
    {"web"},
    {"app"},
    {""},
    {"command.token", "command.demo", "command.doctor", "command.server"},
    {"command.cli", "command"},
)
# The rooms next to each other: none may know another, but for what lies below them all.
APART: Final = {"documents", "ollama", "store"}


def name_of(path: Path) -> str:
    """`chat.answer` for `chatproxy/chat/answer.py`; a package is named as its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: Final = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def imported(module: str) -> Iterator[str]:
    """The full names of all that it imports, as `aiohttp.web` and `chatproxy.store.records.Message`."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(module: str) -> set[str]:
    """The modules of chatproxy that it imports."""
    found = set()
    for name in imported(module):
        if name == "chatproxy" or name.startswith("chatproxy."):
            inner = name.removeprefix("chatproxy").removeprefix(".")
            while inner not in MODULES:
                inner = inner.rpartition(".")[0]
            found.add(inner)
    return found


def layer(module: str) -> int:
    """The most exact name counts: `store.records` before `store`."""
    name = module
    while not any(name in names for names in LAYERS):
        assert "." in name, f"{module} is in no layer; give it a place in LAYERS"
        name = name.rpartition(".")[0]
    return next(number for number, names in enumerate(LAYERS) if name in names)


def room(module: str) -> str:
    return module.partition(".")[0]


def test_the_modules_are_found() -> None:
    assert {
        "",
        "app",
        "command.cli",
        "answers.answer",
        "store.store",
        "ollama.stream",
        "web.api.messages",
    } <= set(MODULES)
    assert {"chat", "config", "web.middleware"} <= own("app")


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down_only(module: str) -> None:
    # `from chatproxy import __version__` is of the package itself, which is above its modules.
    names = [name for name in imported(module) if name != "chatproxy.__version__"]
    upward = {
        name
        for name in names
        for other in own(module) - {""}
        if f"{name}.".startswith(f"chatproxy.{other}.") and layer(other) > layer(module)
    }
    assert upward == set()
    if room(module) not in {"", "command"}:
        assert not {
            name for name in names if name in {"chatproxy", "chatproxy.create_app", "chatproxy.Config"}
        }


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) in APART])
def test_rooms_next_to_each_other_do_not_know_each_other(module: str) -> None:
    neighbours = {room(other) for other in own(module) if layer(other) >= layer(module)}
    assert neighbours & APART <= {room(module)}


def test_no_two_modules_import_each_other() -> None:
    graph = {module: own(module) - {module, ""} for module in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def importers(*names: str) -> set[str]:
    """The rooms that import one of these, or from one of these."""
    return {
        room(module)
        for module in MODULES
        for each in imported(module)
        if any(f"{each}.".startswith(f"{name}.") for name in names)
    }


def test_aiohttps_server_is_for_the_web_and_what_starts_it() -> None:
    server = importers("aiohttp.web", "aiohttp.web_exceptions", "aiohttp.typedefs", "aiohttp_cors")
    assert {"web", "app"} <= server <= {"web", "app", "command"}


def test_aiohttps_client_and_httptools_are_for_ollama() -> None:
    assert importers("httptools") == {"ollama"}
    server = {"web", "typedefs", "http_exceptions", "multipart"}
    allowed = {f"aiohttp.{name}" for name in server}
    for module in MODULES:
        names = [name for name in imported(module) if name.partition(".")[0] == "aiohttp"]
        client = [name for name in names if not any(f"{name}.".startswith(f"{each}.") for each in allowed)]
        assert not client or room(module) == "ollama", (module, client)


def test_sqlite_is_for_the_store() -> None:
    assert importers("sqlite3", "aiosqlite") == {"store"}


SQL: Final = re.compile(
    r"\b(SELECT\b.+\bFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+\w*\s*TABLE|PRAGMA)\b",
    re.DOTALL,
)


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) != "store"])
def test_sql_is_written_in_the_store_alone(module: str) -> None:
    texts = [node.value for node in ast.walk(tree(module)) if isinstance(node, ast.Constant)]
    assert not [text for text in texts if isinstance(text, str) and SQL.search(text)]


def test_sql_is_recognised_where_it_is() -> None:
    texts = [
        node.value
        for module in MODULES
        if room(module) == "store"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant)
    ]
    assert [text for text in texts if isinstance(text, str) and SQL.search(text)]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_its_place(module: str) -> None:
    docstring = ast.get_docstring(tree(module))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))
