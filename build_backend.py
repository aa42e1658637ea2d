"""Build backend: setuptools, plus the libraries that the browser side loads, bundled from npm.

bundle/package-lock.json pins their versions and the SHA-512 hashes of their archives, bundle/vendor.sha512
the hashes of the files that are made of them. Files with other hashes are never packed.

- An sdist, which gets released, always bundles the libraries, and fails without them.
- A wheel or an editable install bundles them only if the pinned files are not there, as they are in an
  sdist. If that fails, it builds without the libraries, and prints a warning.

`python build_backend.py` only bundles the libraries, and fails if it cannot. `python build_backend.py pin`
does so after a change in bundle/, and writes the hashes of the files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent
BUNDLE = ROOT / "bundle"
HASHES = BUNDLE / "vendor.sha512"  # as `sha512sum` writes them
VENDOR = ROOT / "chatproxy" / "static" / "vendor"  # git ignores all in it but declarations
NPM_TIMEOUT = 120  # seconds

ConfigSettings = dict[str, Any] | None


class BundleError(Exception):
    """Why the libraries could not be bundled: cause; remedy."""


def build_sdist(sdist_directory: str, config_settings: ConfigSettings = None) -> str:
    """Build an sdist with the libraries in it, or exit with one sentence."""
    bundle_or_exit()
    return str(_setuptools().build_sdist(sdist_directory, config_settings))


def build_wheel(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel, without the libraries if they cannot be bundled."""
    bundle_or_warn()
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # else it would pack modules that were removed
    return str(_setuptools().build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build an editable install, without the libraries if they cannot be bundled."""
    bundle_or_warn()
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


def bundle_or_exit(new: bool = False) -> None:
    """Bundle the libraries, even if they are there, or exit with a sentence; `new` pins their files."""
    try:
        contents = _bundled()
        if new:
            _pin(contents)
        _write(contents)
    except BundleError as error:
        sys.exit(f"chatproxy: cannot bundle the libraries of its page: {error}.")


def bundle_or_warn() -> None:
    """Bundle the libraries unless the pinned files are there; remove others and warn if that fails."""
    if not _wrong({path.name: path.read_bytes() for path in _written()}):
        return
    try:
        _write(_bundled())
    except BundleError as error:
        _remove()
        _warn(
            "chatproxy: building without the libraries of its page, so that messages show as plain text "
            f"instead of Markdown: {error}."
        )


def _bundled() -> dict[str, bytes]:
    """Have npm install what is pinned, whose hashes it checks, and bundle it in a temporary folder.

    Returns the contents of the files by name. Raises BundleError.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise BundleError("npm is not installed; install it and repeat this command")
    with TemporaryDirectory() as folder:
        work = Path(folder, "bundle")
        shutil.copytree(BUNDLE, work, ignore=shutil.ignore_patterns("node_modules"))
        vendor = Path(folder, "vendor")
        vendor.mkdir()
        _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", cwd=work)
        _run(npm, "run", "vendor", "--", str(vendor), cwd=work)
        return {path.name: path.read_bytes() for path in vendor.iterdir()}


def _run(npm: str, *arguments: str, cwd: Path) -> None:
    command = [npm, "--json", "--silent", "--logs-max=0", *arguments]
    try:
        done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, timeout=NPM_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"npm took longer than {NPM_TIMEOUT} seconds; repeat this command") from error
    if done.returncode:
        remedy = "repeat this command when npm works"
        if b"EINTEGRITY" in done.stdout:
            remedy = "find out who changed bundle/package-lock.json, or that package, before you use it"
        raise BundleError(f"npm failed ({_reason(done)}); {remedy}")


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what npm's JSON says about the error, or else the exit status."""
    try:
        return " ".join(json.loads(done.stdout)["error"]["summary"].split()).rstrip(".")
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"exit status {done.returncode}"


def _pin(contents: dict[str, bytes]) -> None:
    """Write the hashes of the files."""
    lines = [f"{hashlib.sha512(contents[name]).hexdigest()}  {name}\n" for name in sorted(contents)]
    HASHES.write_text("".join(lines), encoding="utf-8")


def _wrong(contents: dict[str, bytes]) -> str | None:
    """Return the name of a file that is not the pinned one, is not pinned, or is missing."""
    lines = [line.split() for line in HASHES.read_text(encoding="utf-8").splitlines()]
    pinned = {name: digest for digest, name in lines}
    found = {name: hashlib.sha512(content).hexdigest() for name, content in contents.items()}
    return min((name for name, _ in pinned.items() ^ found.items()), default=None)


def _write(contents: dict[str, bytes]) -> None:
    """Put the files into the vendor folder. Raises BundleError, before it writes, if a hash is wrong."""
    if wrong := _wrong(contents):
        raise BundleError(
            f"the hash of {wrong} is not the one in bundle/vendor.sha512; if you have changed something in "
            "bundle/, type `python build_backend.py pin`"
        )
    try:
        _remove()
        VENDOR.mkdir(exist_ok=True)
        for name, content in contents.items():
            (VENDOR / name).write_bytes(content)
    except OSError as error:
        raise BundleError(f"{error}; make that folder writable and repeat this command") from error


def _written() -> list[Path]:
    """Return the files in the vendor folder, but for the declarations of their types."""
    return [path for path in VENDOR.glob("*") if not path.name.endswith(".d.ts")]


def _remove() -> None:
    for path in _written():
        path.unlink()


def _warn(sentence: str) -> None:
    """Print to stderr and, as pip and uv hide a build's stderr, to the terminal if there is one."""
    print(sentence, file=sys.stderr)
    if not sys.stderr.isatty():
        with suppress(OSError), open("/dev/tty", "w") as terminal:
            terminal.write(f"\n{sentence}\n")


if __name__ == "__main__":
    bundle_or_exit(new=sys.argv[1:] == ["pin"])
