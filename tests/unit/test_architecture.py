"""The structure that ARCHITECTURE.md describes: who may import what, and where SQL may be.

The rules for imports are in setup.cfg, and `lint-imports` checks them too. They name the layers in one list.
"""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import grimp
from matrix import matrix

import chatproxy

PACKAGE: Final = Path(chatproxy.__file__).parent
MODULES: Final = sorted(PACKAGE.rglob("*.py"))
MOST_FILES: Final = 10  # in one folder; more of them want to be sorted
# aiohttp's parts for a server, and those that either side may use. Everything else is for a client.
SERVER: Final = ("web", "typedefs", "multipart")
EITHER: Final = ("http_exceptions",)
SQL: Final = re.compile(
    r"\b(SELECT\b.+\bFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+\w*\s*TABLE|PRAGMA)\b",
    re.DOTALL,
)


def package_of(path: Path) -> str:
    """Return `store` for chatproxy/store/writer.py, and `app` for chatproxy/app.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_modules_import_only_what_they_may() -> None:
    """In a process of its own, because import-linter configures the logging of the one that it is in."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    run = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_two_modules_import_each_other() -> None:
    graph = grimp.build_graph("chatproxy", cache_dir=None)
    modules = graph.modules - {"chatproxy"}
    imports = {module: graph.find_modules_directly_imported_by(module) & modules for module in modules}
    TopologicalSorter(imports).prepare()  # its error names the circle


def test_http_servers_are_for_the_web_and_http_clients_for_ollama() -> None:
    with matrix() as cases:
        for path in MODULES:
            names = [
                f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            ]
            parts = [name.split(".") for name in names if f"{name}.".startswith("aiohttp.")]
            server = [part for part in parts if part[1:2] and part[1] in SERVER]
            client = [part for part in parts if not part[1:2] or part[1] not in (*SERVER, *EITHER)]
            where = path.relative_to(PACKAGE)
            cases.check(not server or package_of(path) in {"web", "app", "command"}, server, where)
            cases.check(not client or package_of(path) == "ollama", client, where)


def test_only_the_store_has_sql() -> None:
    found = {
        package_of(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    }
    assert found == {"store"}


def test_no_folder_has_more_files_than_fit_on_a_page() -> None:
    with matrix() as cases:
        for folder in {path.parent for path in MODULES}:
            names = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
            cases.check(len(names) <= MOST_FILES, f"{len(names)} files", folder.relative_to(PACKAGE.parent))


def test_every_module_has_a_docstring() -> None:
    with matrix() as cases:
        for path in MODULES:
            summary = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            cases.check(summary.endswith((".", ":")), repr(summary), path.relative_to(PACKAGE))
