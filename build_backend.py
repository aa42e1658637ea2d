"""Build backend: setuptools, plus what npm makes for the browser side: libraries, and bundles.

- static/vendor/ has the libraries. bundle/package-lock.json pins their versions and the SHA-512 hashes of
  their archives, bundle/vendor.sha512 the hashes of the files that are made of them. Others are never packed.
- static/dist/ has the page and the element in few files, which are served in place of the sources. Its
  sources.sha512 has the hashes of what they were made of. If that is not what is there, they are not packed.

An sdist, which gets released, has both, or is not built. A wheel is built with what is there, as it is in an
sdist; what is not, npm makes; and if that fails, the wheel is built without it, with a warning. An editable
install does the same, but only for the libraries: it serves the sources.

With an older Python, nothing is built, and a sentence says so.

`python build_backend.py` only makes the libraries, and fails if it cannot. `python build_backend.py pin` does
so after a change in bundle/, and writes the hashes of the files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent
BUNDLE = ROOT / "bundle"
HASHES = BUNDLE / "vendor.sha512"  # as `sha512sum` writes them
STATIC = ROOT / "chatproxy" / "static"
VENDOR = STATIC / "vendor"  # git ignores all in it but declarations
DIST = STATIC / "dist"
NPM_TIMEOUT = 120  # seconds
OLDEST_PYTHON = (3, 11)  # as python_requires in setup.cfg

ConfigSettings = dict[str, Any] | None


class BundleError(Exception):
    """Why npm could not make the files: cause; remedy."""


def build_sdist(sdist_directory: str, config_settings: ConfigSettings = None) -> str:
    """Build an sdist with all files in it, or exit with one sentence."""
    with _dist_for_the_build():
        bundle_or_exit(dist=True)
        return str(_setuptools().build_sdist(sdist_directory, config_settings))


def build_wheel(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel, without the files that cannot be made."""
    with _dist_for_the_build():
        bundle_or_warn(dist=True)
        shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # else it would pack what was removed
        return str(_setuptools().build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build an editable install, without the libraries if they cannot be made."""
    bundle_or_warn()
    shutil.rmtree(DIST, ignore_errors=True)
    return str(_setuptools().build_editable(wheel_directory, config_settings, metadata_directory))


def __getattr__(name: str) -> Any:
    """Leave all other hooks to setuptools."""
    if name.startswith(("get_requires_for_", "prepare_metadata_for_")):
        _check_python()
        return getattr(_setuptools(), name)
    raise AttributeError(name)


def _check_python() -> None:
    """Exit with a sentence if this Python is too old: installers call nothing before the hooks that check."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            "chatproxy: Python {}.{} or newer is needed, and this is {}.{}; type `python3.12 -m "
            "pip install .`, or name another, or `uv tool install .`, which fetches one.".format(
                *OLDEST_PYTHON, *sys.version_info
            )
        )


def _setuptools() -> Any:
    """Import setuptools late: `python build_backend.py` works without it."""
    from setuptools import build_meta

    return build_meta


@contextmanager
def _dist_for_the_build() -> Iterator[None]:
    """Remove static/dist/ afterwards if it was not there before: a checkout serves its sources."""
    was_there = DIST.exists()
    try:
        yield
    finally:
        if not was_there:
            shutil.rmtree(DIST, ignore_errors=True)


def bundle_or_exit(dist: bool = False, new: bool = False) -> None:
    """Make the libraries, and `dist`, even if they are there, or exit with a sentence; pin what is `new`."""
    try:
        bundle(dist, new)
    except BundleError as error:
        sys.exit(f"chatproxy: cannot bundle its page and the libraries of that: {error}.")


def bundle_or_warn(dist: bool = False) -> None:
    """Make the libraries, and `dist`, unless they are there; if that fails, remove wrong ones and warn."""
    has_libraries = _wrong_library(VENDOR) is None
    if has_libraries and not (dist and _is_outdated(DIST)):
        return
    try:
        bundle(dist)
    except BundleError as error:
        shutil.rmtree(DIST, ignore_errors=True)
        without = "bundles, so that its page loads in many small files"
        if not has_libraries:
            without = "the libraries of its page, so that messages show as plain text instead of Markdown"
            _remove_libraries()
        _warn(f"chatproxy: building without {without}: {error}.")


def bundle(dist: bool, new: bool = False) -> None:
    """Have npm make the files, and put them into place. Raises BundleError, and then changes nothing."""
    with TemporaryDirectory() as folder:
        static = _made(Path(folder), dist)
        if new:
            lines = [f"{_sha512(path)}  {path.name}\n" for path in _libraries(static / "vendor")]
            HASHES.write_text("".join(sorted(lines, key=lambda line: line.split()[1])), encoding="utf-8")
        if wrong := _wrong_library(static / "vendor"):
            raise BundleError(
                f"the hash of {wrong} is not the one in bundle/vendor.sha512; if you have changed something "
                "in bundle/, type `python build_backend.py pin`"
            )
        try:
            _remove_libraries()
            shutil.copytree(static / "vendor", VENDOR, dirs_exist_ok=True)
            if dist:
                shutil.rmtree(DIST, ignore_errors=True)
                shutil.copytree(static / "dist", DIST)
        except OSError as error:
            raise BundleError(f"{error}; make that folder writable and repeat this command") from error


def _made(folder: Path, dist: bool) -> Path:
    """Have npm install what is pinned, whose hashes it checks, and run it on a copy of static/."""
    npm = shutil.which("npm")
    if npm is None:
        raise BundleError("npm is not installed; install it and repeat this command")
    work = shutil.copytree(BUNDLE, folder / "bundle", ignore=shutil.ignore_patterns("node_modules"))
    static = shutil.copytree(STATIC, folder / "static", ignore=shutil.ignore_patterns("dist"))
    for path in _libraries(static / "vendor"):
        path.unlink()
    _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", cwd=work)
    _run(npm, "run", "vendor", "--", str(static / "vendor"), cwd=work)
    if dist:
        _run(npm, "run", "bundle", "--", str(static), cwd=work)
    return static


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


def _libraries(vendor: Path) -> list[Path]:
    """Return the files in a vendor folder that npm made: all but the declarations of types."""
    return [path for path in vendor.glob("*") if not path.name.endswith(".d.ts")]


def _remove_libraries() -> None:
    for path in _libraries(VENDOR):
        path.unlink()


def _wrong_library(vendor: Path) -> str | None:
    """Return the name of a file that is not the pinned one, is not pinned, or is missing."""
    found = {(path.name, _sha512(path)) for path in _libraries(vendor)}
    return min((name for name, _ in _listed(HASHES) ^ found), default=None)


def _is_outdated(dist: Path) -> bool:
    """Return whether the bundles are missing, or were made of other sources than those that are there."""
    try:
        return any(_sha512(STATIC / name) != digest for name, digest in _listed(dist / "sources.sha512"))
    except OSError:
        return True


def _listed(hashes: Path) -> set[tuple[str, str]]:
    """Return the names and hashes in a file as `sha512sum` writes it."""
    lines = hashes.read_text(encoding="utf-8").splitlines()
    return {(name, digest) for digest, _, name in (line.partition("  ") for line in lines)}


def _sha512(path: Path) -> str:
    return hashlib.sha512(path.read_bytes()).hexdigest()


def _warn(sentence: str) -> None:
    """Print to stderr and, as pip and uv hide a build's stderr, to the terminal if there is one."""
    print(sentence, file=sys.stderr)
    if not sys.stderr.isatty():
        with suppress(OSError), open("/dev/tty", "w") as terminal:
            terminal.write(f"\n{sentence}\n")


if __name__ == "__main__":
    bundle_or_exit(new=sys.argv[1:] == ["pin"])
