"""The build: a release contains marked or fails; an installation from a checkout does without it if it must.

Each test builds a copy of the checkout in a temporary folder, with a PATH on which there is no npm, or one
that this module writes.
"""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = (
    *("build_backend.py", "MANIFEST.in", "pyproject.toml", "setup.cfg"),
    *("CHANGES.md", "LICENSE", "README.md", "chatproxy", ".ci"),
)
STATIC: Final = "chatproxy/static"
MODULE: Final = f"{STATIC}/vendor/marked.esm.js"
LICENCE: Final = f"{STATIC}/vendor/marked.LICENSE"

RELEASE: Final = ["build_backend.py"]
INSTALL: Final = ["-c", "import build_backend; build_backend.fetch_or_warn()"]

# Runs a command on a terminal of its own, and shows what is written to it.
ON_A_TERMINAL: Final = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The only folder on the PATH; nothing is in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What git has, and a lock that pins the archive of `release("1.2.3")`."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
        else:
            shutil.copy(source, folder)
    pin(folder, "1.2.3")
    return folder


def release(version: str) -> bytes:
    """Return an archive of marked, with a file in it that would escape from the folder it is unpacked in."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        for name, content in (
            ("package/lib/marked.esm.js", f"/**\n * marked v{version} - a markdown parser\n */\n"),
            ("package/LICENSE", f"Licence of {version}"),
            ("package/../../escaped", ""),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content.encode()))
    return file.getvalue()


def pin(checkout: Path, version: str) -> None:
    """Pin that version and the hashes of `release(version)`."""
    lock_archive(checkout, version, release(version))
    with tarfile.open(fileobj=io.BytesIO(release(version))) as packed:
        lines = [
            f"{hashlib.sha512(packed.extractfile(member).read()).hexdigest()}  vendor/{name}\n"  # type: ignore[union-attr]
            for name, member in (
                ("marked.esm.js", "package/lib/marked.esm.js"),
                ("marked.LICENSE", "package/LICENSE"),
            )
        ]
    (checkout / STATIC / "vendor.sha512").write_text("".join(lines))


def lock_archive(checkout: Path, version: str, archive: bytes) -> None:
    """Put the version and its archive's hash into the lock, as npm does."""
    path = checkout / STATIC / "package-lock.json"
    lock = json.loads(path.read_text())
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    lock["packages"]["node_modules/marked"] |= {"version": version, "integrity": f"sha512-{digest}"}
    path.write_text(json.dumps(lock))


def npm(path: Path, archive: bytes | None = None, says: str = "", status: int = 0) -> None:
    """Put an npm on the PATH that packs this archive, whatever it is asked for."""
    if archive is not None:
        (path / "archive").write_bytes(archive)
    script = path / "npm"
    script.write_text(
        f"#!{sys.executable}\n"
        "import shutil, sys\n"
        f"{archive is not None} and shutil.copy({str(path / 'archive')!r}, 'marked.tgz')\n"
        f"print({says!r})\n"
        f"sys.exit({status})\n"
    )
    script.chmod(0o755)


def python(
    checkout: Path, path: Path, *arguments: str | Path, on_terminal: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run Python in the checkout, without a terminal unless it gets one here."""
    command: list[str | Path] = [sys.executable, *arguments]
    if on_terminal:
        command = [sys.executable, "-c", ON_A_TERMINAL, *command]
    return subprocess.run(
        command,
        cwd=checkout,
        env=os.environ | {"PATH": str(path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
        check=False,
    )


def vendor(checkout: Path) -> dict[str, str]:
    """Return the content of each file in the vendor folder."""
    return {path.name: path.read_text() for path in (checkout / STATIC / "vendor").glob("*")}


def banner(checkout: Path) -> str:
    """Return the line of the bundled module that says its version."""
    return vendor(checkout)["marked.esm.js"].splitlines()[1]


# -- what the build takes from npm


def test_the_lock_pins_the_version_that_the_package_names() -> None:
    package = json.loads((ROOT / STATIC / "package.json").read_text())
    lock = json.loads((ROOT / STATIC / "package-lock.json").read_text())
    pinned = lock["packages"]["node_modules/marked"]
    assert package["devDependencies"] == {"marked": pinned["version"]}
    assert len(base64.b64decode(pinned["integrity"].removeprefix("sha512-"))) == 64
    assert (lock["name"], lock["version"]) == (package["name"], package["version"])


@pytest.mark.parametrize("command", [RELEASE, INSTALL])
def test_the_module_and_its_licence_are_unpacked(checkout: Path, path: Path, command: list[str]) -> None:
    npm(path, release("1.2.3"))
    done = python(checkout, path, *command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert vendor(checkout).keys() == {"marked.esm.js", "marked.LICENSE"}
    assert banner(checkout) == " * marked v1.2.3 - a markdown parser"
    assert vendor(checkout)["marked.LICENSE"] == "Licence of 1.2.3"


SUMMARY: Final = json.dumps({"error": {"code": "E", "summary": "no network\nat all.", "detail": ""}})
FAULTS: Final[dict[str, dict[str, Any]]] = {
    "npm is not installed; install it": {},
    "npm failed (no network at all); repeat": {"says": SUMMARY, "status": 1},
    "npm failed (exit status 3); repeat": {"says": "what?", "status": 3},
    "npm failed (exit status 0); repeat": {},
    "the hash of what npm downloaded is not the one in": {"archive": release("6.6.6")},
}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, path: Path) -> str:
    """The beginning of what is said where npm is missing, fails, or brings something else."""
    cause: str = request.param
    if "not installed" not in cause:
        npm(path, **FAULTS[cause])
    return cause


def test_a_release_without_marked_fails_with_one_sentence(checkout: Path, path: Path, fault: str) -> None:
    done = python(checkout, path, *RELEASE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"chatproxy: cannot bundle marked 1.2.3: {fault}")
    assert done.stderr.endswith(".\n")
    assert done.stderr.count("\n") == 1
    assert vendor(checkout) == {}


def test_an_installation_without_marked_warns_with_one_sentence(
    checkout: Path, path: Path, fault: str
) -> None:
    done = python(checkout, path, *INSTALL)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("chatproxy: building without marked 1.2.3, so that messages show as plain ")
    assert fault in done.stderr
    assert done.stderr.count("\n") == 1
    assert vendor(checkout) == {}


def test_an_installation_uses_the_pinned_version_that_is_there(checkout: Path, path: Path) -> None:
    npm(path, release("1.2.3"))
    python(checkout, path, *RELEASE)
    npm(path, status=1)
    done = python(checkout, path, *INSTALL)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_installation_never_takes_another_version(checkout: Path, path: Path) -> None:
    npm(path, release("1.2.3"))
    python(checkout, path, *RELEASE)
    pin(checkout, "2.0.0")
    done = python(checkout, path, *INSTALL)  # npm still packs 1.2.3
    assert done.returncode == 0
    assert "building without marked 2.0.0" in done.stderr
    assert vendor(checkout) == {}
    npm(path, release("2.0.0"))
    assert python(checkout, path, *INSTALL).stderr == ""
    assert "v2.0.0" in banner(checkout)


@pytest.mark.parametrize("name", ["marked.esm.js", "marked.LICENSE"])
def test_an_installation_never_takes_a_changed_file(checkout: Path, path: Path, name: str) -> None:
    npm(path, release("1.2.3"))
    python(checkout, path, *RELEASE)
    untouched = vendor(checkout)
    changed = checkout / STATIC / "vendor" / name
    changed.write_text(untouched[name] + "alert(1)")
    assert python(checkout, path, *INSTALL).stderr == ""
    assert vendor(checkout) == untouched
    (path / "npm").unlink()
    changed.write_text(untouched[name] + "alert(1)")
    assert "building without marked" in python(checkout, path, *INSTALL).stderr
    assert vendor(checkout) == {}


def test_a_new_version_is_taken_once_its_files_are_pinned(checkout: Path, path: Path) -> None:
    npm(path, release("2.0.0"))
    lock_archive(checkout, "2.0.0", release("2.0.0"))
    done = python(checkout, path, *RELEASE)
    assert (done.returncode, vendor(checkout)) == (1, {})
    assert "type `python build_backend.py pin`" in done.stderr
    assert python(checkout, path, *RELEASE, "pin").returncode == 0
    assert python(checkout, path, *RELEASE).returncode == 0
    assert "v2.0.0" in banner(checkout)


def test_a_release_replaces_what_is_there(checkout: Path, path: Path) -> None:
    npm(path, release("1.2.3"))
    python(checkout, path, *RELEASE)
    untouched = vendor(checkout)
    (checkout / MODULE).write_text(untouched["marked.esm.js"] + "alert(1)")
    python(checkout, path, *RELEASE)
    assert vendor(checkout) == untouched


# -- with real pip and build


def wheel(checkout: Path, path: Path, source: Path, **options: Any) -> tuple[set[str], str]:
    """Have pip build a wheel; return the names in it, and what pip says."""
    folder = path.parent / "wheels"
    command = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir")
    done = python(checkout, path, *command, folder, source, **options)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("ollama_chatproxy-*.whl")
    with zipfile.ZipFile(built) as packed:
        return set(packed.namelist()), done.stdout + done.stderr


@pytest.mark.slow
def test_pip_installs_a_checkout_without_npm_and_the_terminal_shows_the_warning(
    checkout: Path, path: Path
) -> None:
    left_over = checkout / "build/lib/chatproxy/moved.py"  # by an earlier build
    left_over.parent.mkdir(parents=True)
    left_over.touch()
    names, said = wheel(checkout, path, checkout, on_terminal=True)
    assert f"{STATIC}/chat-client.js" in names
    assert not {MODULE, "chatproxy/moved.py"} & names
    assert said.count("chatproxy: building without marked 1.2.3") == 1


@pytest.mark.slow
def test_the_sdist_is_not_built_without_npm(checkout: Path, path: Path) -> None:
    done = python(checkout, path, "-m", "build", "--sdist")
    assert done.returncode == 1
    assert done.stderr.count("chatproxy: cannot bundle marked 1.2.3: npm is not installed") == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(checkout.glob("dist/*"))


@pytest.mark.slow
def test_the_sdist_brings_marked_to_those_without_npm(checkout: Path, path: Path) -> None:
    npm(path, release("1.2.3"))
    done = python(checkout, path, "-m", "build", "--sdist")
    assert done.returncode == 0, done.stderr
    (path / "npm").unlink()
    (sdist,) = checkout.glob("dist/*.tar.gz")
    names, said = wheel(checkout, path, sdist, on_terminal=True)
    assert {MODULE, LICENCE, f"{STATIC}/package.json", f"{STATIC}/types.d.ts"} <= names
    assert not {f"{STATIC}/package-lock.json", f"{STATIC}/vendor.sha512"} & names
    assert "build_backend.py" not in names
    assert "marked" not in said


@pytest.mark.slow
def test_an_sdist_with_a_changed_file_installs_without_it(checkout: Path, path: Path) -> None:
    npm(path, release("1.2.3"))
    assert python(checkout, path, "-m", "build", "--sdist").returncode == 0
    (sdist,) = checkout.glob("dist/*.tar.gz")
    (path / "npm").unlink()
    with tarfile.open(sdist) as packed:
        packed.extractall(checkout / "unpacked", filter="data")
    (source,) = (checkout / "unpacked").iterdir()
    (source / MODULE).write_text("alert(1)")
    names, said = wheel(checkout, path, source, on_terminal=True)
    assert MODULE not in names
    assert said.count("chatproxy: building without marked 1.2.3") == 1


@pytest.mark.slow
def test_an_editable_installation_takes_no_changed_file(checkout: Path, path: Path) -> None:
    npm(path, release("6.6.6"))
    (checkout / STATIC / "vendor").mkdir()
    for name in (MODULE, LICENCE):
        (checkout / name).write_text("/** marked v1.2.3 */ alert(1)")
    command = (
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--ignore-installed",  # else pip removes chatproxy from where these tests run
        "--prefix",
        path.parent / "prefix",
        "--editable",
        checkout,
    )
    done = python(checkout, path, *command, on_terminal=True)
    assert done.returncode == 0, done.stderr
    assert "building without marked 1.2.3" in done.stdout
    assert vendor(checkout) == {}


@pytest.mark.slow
def test_what_is_built_is_checked(checkout: Path, path: Path) -> None:
    """The check that nothing is wrong installs the wheel; `make dist` does that, and CI runs it."""
    git = str(shutil.which("git"))
    (path / "git").symlink_to(git)
    for command in (["init", "--quiet"], ["add", "--all", "chatproxy"]):
        subprocess.run([git, *command], cwd=checkout, check=True)
    npm(path, release("1.2.3"))
    scratch = checkout / STATIC / "scratch.js"
    scratch.touch()
    done = python(checkout, path, "-m", "build")
    assert done.returncode == 0, done.stderr
    done = python(checkout, path, ".ci/check_dist.py", "dist")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ollama_chatproxy-0.1.0.tar.gz should not contain {STATIC}/scratch.js\n"
    subprocess.run([git, "add", scratch], cwd=checkout, check=True)
    (built,) = checkout.glob("dist/*.whl")
    without(built, MODULE)
    done = python(checkout, path, ".ci/check_dist.py", "dist")
    assert (done.returncode, done.stderr) == (1, f"{built.name} lacks {MODULE}\n")


def without(archive: Path, name: str) -> None:
    """Take a file out of the wheel."""
    with zipfile.ZipFile(archive) as packed:
        contents = {each: packed.read(each) for each in packed.namelist() if each != name}
    with zipfile.ZipFile(archive, "w") as packed:
        for each, content in contents.items():
            packed.writestr(each, content)
