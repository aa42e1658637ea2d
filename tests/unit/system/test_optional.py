"""How missing packages are got: by their own names, which are in an index, and never by chatproxy's."""

import re
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Final

import pytest
from matrix import matrix

import chatproxy
from chatproxy.documents.parts import missing_package
from chatproxy.system import optional
from chatproxy.system.optional import DOCUMENTS, install_documents

ROOT: Final = Path(chatproxy.__file__).parents[1]
PRINTED: Final = ("*.py", "*.js", "*.html", "*.md", "Dockerfile")
FOLDERS: Final = tuple(ROOT / name for name in ("chatproxy", "docs", "deploy", "examples"))
# From an index, under a name that nobody has yet: a path or a file is another thing.
FROM_INDEX: Final = re.compile(r"\b(?:install|uvx|run|add)(?: --?[\w-]+)* ['\"]?ollama[-_]chatproxy\b")


def test_all_of_the_extra_is_named() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options.extras_require"]["documents"].split()
    assert [re.split("[<>=]", each)[0] for each in wanted] == list(DOCUMENTS)


@pytest.mark.parametrize(
    ("executable", "python"),
    [("/opt/python3", "/opt/python3"), (r"C:\My Own\python.exe", r'"C:\My Own\python.exe"')],
)
def test_the_line_can_be_typed(monkeypatch: pytest.MonkeyPatch, executable: str, python: str) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(optional, "find_spec", lambda name: name)
    assert f"`{python} -m pip install numpy pypdfium2 xlrd`" in install_documents()


def test_no_line_is_named_where_there_is_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    assert install_documents() == (
        "install chatproxy again with its `documents` extra, as README.md says in *Ask a document*"
    )


def test_readers_of_the_page_see_no_path_of_the_server() -> None:
    error = missing_package(ImportError(name="xlrd"))
    assert error.sentence == (
        "Files of this type are not read here (xlrd is missing); "
        "whoever runs this server can install chatproxy's `documents` extra."
    )


def test_nothing_is_to_be_installed_from_an_index_by_a_name_that_is_free() -> None:
    assert FROM_INDEX.search("pip install 'ollama-chatproxy[documents]'")
    assert FROM_INDEX.search("pipx install --force ollama_chatproxy")
    with matrix() as cases:
        for pattern in PRINTED:
            for path in (*ROOT.glob(pattern), *(path for each in FOLDERS for path in each.rglob(pattern))):
                found = FROM_INDEX.search(path.read_text(encoding="utf-8"))
                cases.check(found is None, found, path.relative_to(ROOT))
