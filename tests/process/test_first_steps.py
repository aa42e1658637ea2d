"""What is typed first in a fresh checkout, where something is missing: a sentence with what to type."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from processes import ROOT
from readme import example

OLD: Final = "import sys; sys.version_info = (3, 10, 1)"
RUN: Final = f"{OLD}; import runpy; runpy.run_path('proxy.py', run_name='__main__')"
BUILD: Final = f"{OLD}; import build_backend; build_backend.get_requires_for_build_wheel()"
IS_OLD: Final = "Python 3.11 or newer is needed, and this is 3.10; "


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["-S", "proxy.py"], 2, "is not installed for this Python; type `make run`, which installs"),
        (["-c", RUN], 2, f"{IS_OLD}type `make run PYTHON=python3.12`"),
        (
            ["-c", BUILD],
            1,
            f"{IS_OLD}type `python3.12 -m pip install .`",
        ),
    ],
    ids=["no packages", "an old Python runs it", "an old Python builds it"],
)
def test_python_says_what_is_missing(arguments: list[str], code: int, sentence: str) -> None:
    run = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (code, "")
    (line,) = run.stderr.splitlines()
    assert line.startswith("chatproxy: ")
    assert sentence in line


INSTALLED_FROM: Final = ("setup.cfg", "pyproject.toml", "build_backend.py")
LOCKS: Final = tuple(
    f"tests/{folder}/{name}" for folder in ("js", "clients") for name in ("package.json", "package-lock.json")
)
# A Python that installs nothing: it makes a virtual environment of two scripts.
FAKE: Final = """#!/bin/sh
case "$1 $2" in
  "-c "*) exec {python} -c "{version}; exec(sys.argv[1])" "$2" ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" &&
    printf '#!/bin/sh\necho it runs "$@"' > "$3/bin/chatproxy" && chmod +x "$3/bin/chatproxy" ;;
  "-m pytest") echo "it tests $*" ;;
esac
"""


def checkout(folder: Path, version: str = "import sys") -> Path:
    """Put what make needs into a folder, and return a Python that is of that version."""
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("bundle/package-lock.json", "bundle/vendor.sha512", *INSTALLED_FROM, *LOCKS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    fake = folder / "python"
    fake.write_text(FAKE.format(python=sys.executable, version=version))
    fake.chmod(0o755)
    return fake


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_starts_and_tests_in_a_fresh_checkout(tmp_path: Path) -> None:
    """As the README says, with a Python and an npm that install nothing."""
    fake = checkout(tmp_path)
    (tmp_path / "npm").write_text("#!/bin/sh\n")
    (tmp_path / "npm").chmod(0o755)
    env = os.environ | {"PYTHON": str(fake), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    lines = ["sh", "-euc", example("sh", "make demo") + example("sh", "make test")]
    run = subprocess.run(lines, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    said = run.stdout.splitlines()
    assert "it runs --demo" in said
    (tested,) = [line for line in said if line.startswith("it tests ")]
    assert "-m not slow and not browser" in tested


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (OLD, [f"{IS_OLD}type `make demo PYTHON=python3.12`, or name another."]),
        (
            "import sys",
            ["Creating .venv ...", "Installing chatproxy and what it needs", "it runs"],
        ),
    ],
    ids=["an old Python", "a new one"],
)
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_says_what_is_missing_or_waited_for(tmp_path: Path, version: str, said: list[str]) -> None:
    fake = checkout(tmp_path, version)
    command = ["make", "--silent", "demo", f"PYTHON={fake}"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    lines = (run.stderr if run.returncode else run.stdout).splitlines()
    for expected, line in zip(said, lines, strict=False):
        assert line.startswith(expected)
    assert len(lines) >= len(said)
    assert (tmp_path / ".venv").exists() == (run.returncode == 0)
