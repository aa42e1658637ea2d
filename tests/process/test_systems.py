"""A system without what POSIX has, as Windows is: what Python lacks there is hidden from the command.

`sitecustomize` hides it in the processes that read documents, too. The real systems run in CI's workflow,
with tests that take nothing for granted that only POSIX has.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from pkgutil import walk_packages
from typing import Final

import pytest
import yaml
from matrix import matrix
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


WORKFLOW: Final = ROOT / ".github" / "workflows" / "ci.yml"
# What fails on Windows, as far as the text of a test shows it, with an example of each.
POSIX_ONLY: Final = {
    r"\bSIG(?!INT|TERM|BREAK)[A-Z]+[12]?\b": "process.send_signal(signal.SIGKILL)",
    r"\bos\.(kill|killpg|fork|mkfifo|chown|nice|uname|umask|gete?uid|O_NOFOLLOW)\b": "os.kill(pid, 0)",
    r"^ *(import|from) (fcntl|grp|pty|pwd|resource|termios|uvloop)\b": "import resource",
    r"\bst_mode & |S_IMODE": "assert path.stat().st_mode & 0o777 == 0o600",
    r"\b(parent|folder|path)\}/": 'f"{path.parent}/"',
    r"""["']/(tmp|dev|proc|etc|bin|usr)\b""": 'Path("/tmp")',
    r"""/ f?"[^"\n]*[?*<>|:]""": 'tmp_path / "a b%20?#" / "x.db"',
    r"\.(symlink_to|hardlink_to)\(": '(tmp_path / "link.db").symlink_to(tmp_path / "x.db")',
    r"\.(read_text|write_text)\((?!.*(encoding|utf-8))": 'path.write_text("Grüße")',
    r"\btext=True": "subprocess.run(run, capture_output=True, text=True)",
    r"""\bopen\(("[rwa]\+?")?\)""": 'path.open("w")',
}
MARKS: Final = {"links", "modes"}  # of support/systems.py: what is skipped elsewhere


def files_elsewhere() -> list[Path]:
    """Return the files of tests that the workflow runs on other systems."""
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["elsewhere"]["steps"]
    (line,) = [step["run"] for step in steps if "pytest" in step.get("run", "")]
    assert line.startswith("env -u CI ")
    words = line.split()
    left_out = {word.removeprefix("--ignore=") for word in words if word.startswith("--ignore=")}
    named = [ROOT / word for word in words if word.startswith("tests/")]
    found = [path for each in named for path in (each.rglob("test_*.py") if each.is_dir() else [each])]
    return [path for path in found if str(path.relative_to(ROOT)) not in left_out]


def run_elsewhere(source: str) -> str:
    """Return the source without the tests that are skipped where there are no links or modes."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        marks = {each.id for each in getattr(node, "decorator_list", []) if isinstance(each, ast.Name)}
        if marks & MARKS:
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or 0) - node.lineno + 1)
    return "\n".join(lines)


def test_tests_that_run_elsewhere_need_no_posix() -> None:
    files = files_elsewhere()
    assert len(files) > 40
    assert {"system", "command"} <= {path.parent.name for path in files}
    with matrix() as cases:
        for pattern, sample in POSIX_ONLY.items():
            cases.check(re.search(pattern, sample) is not None, "finds nothing", pattern, sample)
        for path in files:
            for number, line in enumerate(run_elsewhere(path.read_text()).splitlines(), 1):
                for pattern in POSIX_ONLY:
                    found = re.search(pattern, line)
                    cases.check(found is None, pattern, f"{path.relative_to(ROOT)}:{number}", line.strip())


def test_every_file_is_opened_with_an_encoding() -> None:
    """Windows' own is another than UTF-8."""
    with matrix() as cases:
        for path in Path(chatproxy.__file__).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    cases.check(not is_undecided(node), "no encoding", f"{path.name}:{node.lineno}")


def is_undecided(call: ast.Call) -> bool:
    """Return whether the call reads or writes text in an encoding that it does not name."""
    if {keyword.arg for keyword in call.keywords} & {"encoding", "opener"}:
        return not any(keyword.arg == "encoding" for keyword in call.keywords)
    match call.func:
        case ast.Attribute(attr="read_text"):
            return not call.args
        case ast.Attribute(attr="write_text"):
            return len(call.args) < 2
        case ast.Name(id="open"):
            return len(call.args) < 2 or "b" not in ast.unparse(call.args[1])
        case ast.Attribute(attr="run" | "Popen" | "check_output"):
            return any(keyword.arg == "text" for keyword in call.keywords)
    return False
