"""Build backend: setuptools, plus `marked`, the Markdown lexer that the package bundles from npm.

chatproxy/static/package-lock.json pins its version and the SHA-512 hash of its archive, and vendor.sha512
beside it the hashes of the files that are taken from it. Files with other hashes are never bundled.

- An sdist, which gets released, always fetches marked, and fails without it.
- A wheel or an editable install fetches marked only if the pinned files are not there, as they are in an
  sdist. If that fails, it builds without marked, and prints a warning.

`python build_backend.py` only fetches marked, and fails if it cannot. `python build_backend.py pin` does so
for a new version in the lock, and writes the hashes of its files.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent
STATIC = ROOT / "chatproxy" / "static"
LOCK = STATIC / "package-lock.json"
HASHES = STATIC / "vendor.sha512"  # as `sha512sum` writes them
VENDOR = STATIC / "vendor"  # git-ignored
MODULE = "marked.esm.js"
FILES = {"marked.LICENSE": "package/LICENSE", MODULE: "package/lib/marked.esm.js"}
NPM_TIMEOUT = 60  # seconds

ConfigSettings = dict[str, Any] | None


class MarkedError(Exception):
    """Why marked could not be fetched: cause; remedy."""


def build_sdist(sdist_directory: str, config_settings: ConfigSettings = None) -> str:
    """Build an sdist with marked in it, or exit with one sentence."""
    fetch_or_exit()
    return str(_setuptools().build_sdist(sdist_directory, config_settings))


def build_wheel(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel, without marked if it cannot be fetched."""
    fetch_or_warn()
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # else it would pack modules that were removed
    return str(_setuptools().build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build an editable install, without marked if it cannot be fetched."""
    fetch_or_warn()
    return str(_setuptools().build_editable(wheel_directory, config_settings, metadata_directory))


def __getattr__(name: str) -> Any:
    """Leave all other hooks to setuptools."""
    if name.startswith(("get_requires_for_", "prepare_metadata_for_")):
        return getattr(_setuptools(), name)
    raise AttributeError(name)


def _setuptools() -> Any:
    """Import setuptools late: `python build_backend.py` works without it."""
    from setuptools import build_meta

    return build_meta


def fetch_or_exit(new: bool = False) -> None:
    """Fetch marked, even if it is there; pin its files if it is new; exit with a sentence if that fails."""
    try:
        if new:
            pin()
        fetch_marked()
    except MarkedError as error:
        sys.exit(f"chatproxy: cannot bundle marked {pinned()[0]}: {error}.")


def fetch_or_warn() -> None:
    """Fetch marked unless the pinned files are there; remove others and warn if that fails."""
    there = {name: (VENDOR / name).read_bytes() for name in FILES if (VENDOR / name).exists()}
    if there.keys() == FILES.keys() and not _wrong(there):
        return
    try:
        fetch_marked()
    except MarkedError as error:
        for name in FILES:
            (VENDOR / name).unlink(missing_ok=True)
        _warn(
            f"chatproxy: building without marked {pinned()[0]}, so that messages show as plain text instead "
            f"of Markdown: {error}."
        )


def pinned() -> tuple[str, str]:
    """Return the pinned version of marked and its archive's integrity, `sha512-<base64>`."""
    package = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]["node_modules/marked"]
    return package["version"], package["integrity"]


def fetch_marked() -> None:
    """Download marked with npm, check the hashes and put its files into the vendor folder.

    Raises MarkedError. Nothing is written unless the hashes are right.
    """
    contents = _contents()
    if wrong := _wrong(contents):
        raise MarkedError(
            f"the hash of {wrong} is not the one in chatproxy/static/vendor.sha512; if you have put another "
            "version into package-lock.json, type `python build_backend.py pin`"
        )
    try:
        VENDOR.mkdir(exist_ok=True)
        for name, content in contents.items():
            (VENDOR / name).write_bytes(content)
    except OSError as error:
        raise MarkedError(f"{error}; make that folder writable and repeat this command") from error


def pin() -> None:
    """Write the hashes of the files of the version that the lock pins. Raises MarkedError."""
    hashes = {name: hashlib.sha512(content).hexdigest() for name, content in _contents().items()}
    lines = [f"{digest}  vendor/{name}\n" for name, digest in hashes.items()]
    HASHES.write_text("".join(lines), encoding="utf-8")


def _wrong(contents: dict[str, bytes]) -> str | None:
    """Return the name of a file whose hash is not the pinned one."""
    lines = [line.split() for line in HASHES.read_text(encoding="utf-8").splitlines()]
    hashes = {name.removeprefix("vendor/"): digest for digest, name in lines}
    for name, content in contents.items():
        if hashlib.sha512(content).hexdigest() != hashes.get(name):
            return name
    return None


def _contents() -> dict[str, bytes]:
    """Download the pinned archive, check its hash, and return the files to bundle."""
    version, integrity = pinned()
    archive = _download(version)
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if f"sha512-{digest}" != integrity:
        raise MarkedError(
            "the hash of what npm downloaded is not the one in chatproxy/static/package-lock.json; "
            "find out who changed it before you use it"
        )
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for name, member in FILES.items():
            file = packed.extractfile(member)
            assert file is not None, f"{member} is not a file"
            contents[name] = file.read()
    return contents


def _download(version: str) -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise MarkedError("npm is not installed; install it and repeat this command")
    command = [npm, "pack", f"marked@{version}", "--json", "--silent", "--logs-max=0", "--fetch-retries=0"]
    with TemporaryDirectory() as folder:
        try:
            done = subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=NPM_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise MarkedError(f"npm took longer than {NPM_TIMEOUT} seconds; repeat this command") from error
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            raise MarkedError(f"npm failed ({_reason(done)}); repeat this command when npm works")
        return archives[0].read_bytes()


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what npm's JSON says about the error, or else the exit status."""
    try:
        return " ".join(json.loads(done.stdout)["error"]["summary"].split()).rstrip(".")
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"exit status {done.returncode}"


def _warn(sentence: str) -> None:
    """Print to stderr and, as pip and uv hide a build's stderr, to the terminal if there is one."""
    print(sentence, file=sys.stderr)
    if not sys.stderr.isatty():
        with suppress(OSError), open("/dev/tty", "w") as terminal:
            terminal.write(f"\n{sentence}\n")


if __name__ == "__main__":
    fetch_or_exit(new=sys.argv[1:] == ["pin"])
