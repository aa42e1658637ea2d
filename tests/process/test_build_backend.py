"""The build: marked comes along where npm exists, and nothing fails where it does not."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ("build_backend.py", "MANIFEST.in", "pyproject.toml", "setup.cfg", "README.md", "chatproxy")
MODULE: Final = "chatproxy/static/vendor/marked.esm.js"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As git has it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
        else:
            shutil.copy(source, folder)
    return folder


@pytest.fixture
def bin(tmp_path: Path) -> Path:
    """The only folder on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def npm(bin: Path, script: str) -> None:
    """An npm of our own; it says which version it was asked for."""
    path = bin / "npm"
    path.write_text(f"#!{sys.executable}\nimport io, sys, tarfile\n{script}\n")
    path.chmod(0o755)


PACKS: Final = """
with tarfile.open("marked.tgz", "w:gz") as packed:
    for name in ("package/lib/marked.esm.js", "package/LICENSE", "package/../../escaped"):
        content = f"{name} of {sys.argv[2]}".encode()
        member = tarfile.TarInfo(name)
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
"""


def build(checkout: Path, bin: Path) -> str:
    """What `python build_backend.py` says."""
    ended = subprocess.run(
        [sys.executable, checkout / "build_backend.py"],
        env={"PATH": str(bin)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout == ""
    return ended.stderr


def test_with_npm_the_module_and_its_licence_are_copied(checkout: Path, bin: Path) -> None:
    npm(bin, PACKS)
    assert build(checkout, bin) == ""
    vendor = checkout / "chatproxy/static/vendor"
    assert {path.name for path in vendor.iterdir()} == {"marked.esm.js", "marked.LICENSE"}
    assert (vendor / "marked.esm.js").read_text() == "package/lib/marked.esm.js of marked@^18.0.0"


def test_without_npm_one_line_says_so(checkout: Path, bin: Path) -> None:
    said = build(checkout, bin)
    assert said.count("\n") == 1
    assert "npm is not installed" in said
    assert not (checkout / MODULE).exists()


@pytest.mark.parametrize("fails", ["sys.exit('no network\\nat all')", "sys.exit(3)", "pass"])
def test_when_npm_fails_one_line_says_so_and_what_was_there_stays(
    checkout: Path, bin: Path, fails: str
) -> None:
    npm(bin, PACKS)
    build(checkout, bin)
    npm(bin, fails)
    said = build(checkout, bin)
    assert said.count("\n") == 1
    assert "as it was" in said
    assert (checkout / MODULE).exists()


def test_the_wheel_carries_the_browser_side(checkout: Path, bin: Path, tmp_path: Path) -> None:
    """Through pip, in its isolation."""
    npm(bin, PACKS)
    environment = {**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"}
    wheel = pip_wheel(checkout, tmp_path / "first", environment)
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    static = {name for name in names if name.startswith("chatproxy/static/")}
    assert {MODULE, "chatproxy/static/vendor/marked.LICENSE", "chatproxy/static/chat-client.js"} <= static
    assert {"chatproxy/static/package.json", "chatproxy/static/types.d.ts"} <= static
    assert "build_backend.py" not in names


def pip_wheel(source: Path, folder: Path, environment: dict[str, str]) -> Path:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source],
        env=environment,
        capture_output=True,
        check=True,
        timeout=300,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel
