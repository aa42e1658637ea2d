"""Check what `make dist` built: `python .ci/check_dist.py dist`.

The folder must hold one sdist and one wheel. Both must contain the package's files as git has them, plus
what npm makes; the wheel must install into a fresh environment, and its command must start.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
STATIC: Final = "chatproxy/static"
BUNDLED: Final = re.compile(rf"{STATIC}/(chat-[\w-]+\.js|(docs|page)/\w+\.html)")
HASHED: Final = re.compile(rf"{STATIC}/dist/[\w-]+-[A-Z0-9]{{8}}\.(js|css)(\.br|\.gz)?$")
BUILD_FILES: Final = {"LICENSE", "README.md", "build_backend.py", "pyproject.toml", "setup.cfg"}


def main(folder: Path) -> None:
    """Run all checks on the files in `folder`."""
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    version = json.loads((ROOT / STATIC / "package.json").read_text(encoding="utf-8"))["version"]
    expected = git_files("chatproxy") | libraries() | bundles()
    check_names(sdist, sdist_names(sdist, version), expected | BUILD_FILES | git_files("bundle"))
    check_names(wheel, wheel_names(wheel, version), expected)
    check_command(wheel, version)
    print(f"{sdist.name} and {wheel.name} are fit for release.")


def git_files(folder: str) -> set[str]:
    """Return the files below a folder that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", folder], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(listed.stdout.split("\0")) - {""}


def libraries() -> set[str]:
    """Return the files that the build makes of npm packages."""
    lines = (ROOT / "bundle" / "vendor.sha512").read_text(encoding="utf-8").splitlines()
    return {f"{STATIC}/vendor/{line.split()[1]}" for line in lines}


def bundles() -> set[str]:
    """Return the files that are served in place of sources, in all encodings, and the list of hashes."""
    names = [name.removeprefix(STATIC) for name in git_files(STATIC) if BUNDLED.fullmatch(name)]
    files = {f"{STATIC}/dist{name}{encoded}" for name in names for encoded in ("", ".br", ".gz")}
    return files | {f"{STATIC}/dist/sources.sha512"}


def sdist_names(sdist: Path, version: str) -> set[str]:
    """Return the names in the sdist, without its top folder."""
    top = f"ollama_chatproxy-{version}/"
    with tarfile.open(sdist) as packed:
        return {member.name.removeprefix(top) for member in packed if member.isfile()}


def wheel_names(wheel: Path, version: str) -> set[str]:
    """Return the names in the wheel; it must carry chatproxy's own licence in its metadata."""
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    licence = f"ollama_chatproxy-{version}.dist-info/licenses/LICENSE"
    if licence not in names:
        sys.exit(f"{wheel.name} lacks {licence}")
    return names


def check_names(archive: Path, names: set[str], expected: set[str]) -> None:
    """Exit if a name is missing, or if the package has a file that it should not have."""
    packaged = {name for name in names if name.startswith("chatproxy/") and not HASHED.search(name)}
    for wrong, files in (("lacks", expected - names), ("should not contain", packaged - expected)):
        if files:
            sys.exit(f"{archive.name} {wrong} {', '.join(sorted(files))}")


def check_command(wheel: Path, version: str) -> None:
    """Install the wheel into a fresh environment, away from the checkout, and ask the command its version."""
    with TemporaryDirectory() as folder:
        away = partial(subprocess.run, cwd=folder, env=os.environ | {"PYTHONPATH": ""}, check=True)
        away([sys.executable, "-m", "venv", "."])
        bin = Path(folder) / ("Scripts" if os.name == "nt" else "bin")
        away([bin / "python", "-m", "pip", "install", "--quiet", wheel.resolve()])
        shown = away([bin / "chatproxy", "--version"], capture_output=True, text=True)
    if shown.stdout != f"chatproxy {version}\n":
        sys.exit(f"chatproxy --version from {wheel.name} prints {shown.stdout!r}, not {version}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
