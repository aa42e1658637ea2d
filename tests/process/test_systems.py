"""A system without what POSIX has, as Windows is: what Python lacks there is hidden from the command.

`sitecustomize` hides it in the processes that read documents, too. The real systems run in CI's workflow.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from pkgutil import walk_packages
from typing import Final

import pytest
from processes import ROOT, environment, ran

import chatproxy

# Python's own modules, which begin with an import of these where they exist, come first.
HIDING: Final = """
import asyncio, concurrent.futures, ctypes, multiprocessing, os, signal, socket, subprocess, sys, tempfile
for name in ("fcntl", "resource", "pwd", "grp", "termios", "uvloop"):
    sys.modules[name] = None
for name in ("O_NOFOLLOW", "chown", "fchmod", "fork", "geteuid", "getuid", "killpg", "nice"):
    delattr(os, name)
del signal.SIGHUP
def no_handlers(*arguments):
    raise NotImplementedError
asyncio.SelectorEventLoop.add_signal_handler = no_handlers
class msvcrt:  # which locks bytes
    LK_LOCK = 1
    def locking(descriptor, mode, size):
        assert (mode, size) == (msvcrt.LK_LOCK, 1)
        os.lockf(descriptor, os.F_LOCK, size)
sys.modules["msvcrt"] = msvcrt
"""
ASKING: Final = re.compile(
    r"^ *(import|from) (fcntl|msvcrt|pwd|resource|signal|uvloop)\b|sys\.platform|os\.name\b", re.MULTILINE
)
MODULES: Final = [module.name for module in walk_packages(chatproxy.__path__, "chatproxy.")]


@pytest.fixture
def hidden(tmp_path: Path) -> str:
    """A PYTHONPATH that makes of this system another one."""
    folder = tmp_path / "another system"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDING)
    return f"{folder}{os.pathsep}{ROOT}"


@pytest.mark.slow
def test_it_answers_reads_a_document_and_ends(tmp_path: Path, hidden: str) -> None:
    """As CI tries it on the real systems; beyond loopback, a token is kept in a file."""
    command = [sys.executable, str(ROOT / ".ci" / "smoke.py")]
    variables = environment(pythonpath=hidden, host="0.0.0.0")
    run = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("ok: ") == 4


def test_every_module_can_be_imported(tmp_path: Path, hidden: str) -> None:
    code = f"import importlib\nfor name in {MODULES!r}:\n    importlib.import_module(name)"
    run = ran(tmp_path, environment(pythonpath=hidden), command=[sys.executable, "-c", code])
    assert run.stderr == ""


def test_only_one_folder_asks_which_system_it_is() -> None:
    for path in Path(chatproxy.__file__).parent.rglob("*.py"):
        asked = ASKING.search(path.read_text())
        assert asked is None or path.parent.name == "system", f"{asked} in {path}"
