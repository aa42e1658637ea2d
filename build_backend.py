"""The build backend: setuptools, and before it `marked`, the Markdown lexer, brought in from npm.

`python build_backend.py` does that alone. Where npm is missing or fails, the build goes on: what an
earlier build brought in stays, and without it the browser shows text as it is. The version range is
that of `devDependencies` in chatproxy/static/package.json.
"""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

STATIC = Path(__file__).resolve().parent / "chatproxy" / "static"
VENDOR = STATIC / "vendor"  # git-ignored
FILES = {"package/lib/marked.esm.js": "marked.esm.js", "package/LICENSE": "marked.LICENSE"}
PATIENCE = 60  # seconds


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    bring_in_marked()
    return _setuptools().build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    bring_in_marked()
    return _setuptools().build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory, config_settings=None):
    bring_in_marked()
    return _setuptools().build_sdist(sdist_directory, config_settings)


def __getattr__(name):
    """The other hooks are setuptools' own."""
    if name.startswith(("get_requires_for_", "prepare_metadata_for_")):
        return getattr(_setuptools(), name)
    raise AttributeError(name)


def _setuptools():
    from setuptools import build_meta

    return build_meta


def bring_in_marked():
    try:
        _copy(_npm())
    except Exception as error:  # whatever it is, it does not stop the build
        state = "as it was" if (VENDOR / "marked.esm.js").exists() else "missing: text shows without Markdown"
        print(f"chatproxy: could not bring in marked ({_reason(error)}); it is {state}.", file=sys.stderr)


def _npm():
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    return npm


def _copy(npm):
    wanted = json.loads((STATIC / "package.json").read_text(encoding="utf-8"))["devDependencies"]["marked"]
    with TemporaryDirectory() as folder:
        subprocess.run(
            [npm, "pack", f"marked@{wanted}", "--silent", "--prefer-offline", "--fetch-retries=0"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            brought = {name: packed.extractfile(member).read() for member, name in FILES.items()}
    VENDOR.mkdir(exist_ok=True)
    for name, content in brought.items():
        (VENDOR / name).write_bytes(content)


def _reason(error):
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"npm ended with {error.returncode}"
    return " ".join(str(error).split())


if __name__ == "__main__":
    bring_in_marked()
