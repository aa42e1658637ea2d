"""The build: a release contains what npm makes, or fails; an installation may do without.

Each test builds a copy of the checkout in a temporary folder, with a PATH on which there is no npm, or one
that this module writes.
"""

import base64
import hashlib
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

from chatproxy import __version__

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = (
    *("build_backend.py", "MANIFEST.in", "pyproject.toml", "setup.cfg"),
    *("CHANGES.md", "LICENSE", "README.md", "bundle", "chatproxy", ".ci"),
)
STATIC: Final = "chatproxy/static"
MODULE: Final = f"{STATIC}/vendor/marked.js"
LICENCE: Final = f"{STATIC}/vendor/THIRD-PARTY.txt"
DECLARATIONS: Final = f"{STATIC}/vendor/marked.d.ts"

RELEASE: Final = ["build_backend.py"]
INSTALL: Final = ["-c", "import build_backend; build_backend.bundle_or_warn()"]
FAILS: Final = "chatproxy: cannot bundle its page and the libraries of that: "
WARNS: Final = "chatproxy: building without the libraries of its page, so that messages show as plain text "

SLOWER: Final = "chatproxy: building without bundles, so that its page loads in many small files: npm is not"

# What `npm run` does in these tests: it writes libraries, or bundles that are made of one source.
SCRIPTS: Final = """
import hashlib, pathlib, sys
script, folder = sys.argv[-3], pathlib.Path(sys.argv[-1])
if script == "vendor":
    for name, content in FILES.items():
        (folder / name).write_text(content)
if script == "bundle":
    digest = hashlib.sha512((folder / SOURCE).read_bytes()).hexdigest()
    for name in BUNDLES:
        path = folder / "dist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{digest}  {SOURCE}\\n")
"""
SOURCE: Final = "chat-client.js"
MODULES: Final = tuple(path.name for path in (ROOT / STATIC).glob("chat-*.js"))
PAGES: Final = (*MODULES, "docs/element.html", "docs/index.html", "page/index.html")
BUNDLES: Final = (
    "sources.sha512",
    "chat-page-ABCD2345.js",
    *(f"{page}{encoded}" for page in PAGES for encoded in ("", ".br", ".gz")),
)
PAGE: Final = f"{STATIC}/dist/page/index.html"

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
    """What git has, with the files of `bundled("1.2.3")` pinned."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
            )
        else:
            shutil.copy(source, folder)
    shutil.rmtree(folder / STATIC / "dist", ignore_errors=True)
    for path in (folder / STATIC / "vendor").iterdir():
        if path.suffix != ".ts":
            path.unlink()
    pin(folder, "1.2.3")
    return folder


def bundled(version: str) -> dict[str, str]:
    """Return the files that the npm of these tests makes, by name."""
    return {"marked.js": f"/*! marked {version} */", "THIRD-PARTY.txt": f"Licence of {version}"}


def pin(checkout: Path, version: str) -> None:
    """Pin the hashes of `bundled(version)`."""
    lines = [
        f"{hashlib.sha512(content.encode()).hexdigest()}  {name}\n"
        for name, content in bundled(version).items()
    ]
    (checkout / "bundle" / "vendor.sha512").write_text("".join(lines))


def npm(path: Path, files: dict[str, str] | None = None, says: str = "", status: int = 0) -> None:
    """Put an npm on the PATH that installs nothing and makes these libraries."""
    script = path / "npm"
    script.write_text(
        f"#!{sys.executable}\n"
        f"FILES, SOURCE, BUNDLES = {files or {}}, {SOURCE!r}, {BUNDLES}\n"
        f"{SCRIPTS}\n"
        f"print({says!r})\n"
        f"sys.exit({status})\n"
    )
    script.chmod(0o755)


def python(
    checkout: Path, path: Path | str, *arguments: str | Path, on_terminal: bool = False
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
    """Return the content of each file in the vendor folder that the build wrote."""
    files = (checkout / STATIC / "vendor").glob("*")
    return {path.name: path.read_text() for path in files if path.suffix != ".ts"}


# -- what the build takes from npm


def test_the_lock_pins_the_versions_that_the_package_names() -> None:
    package = json.loads((ROOT / "bundle" / "package.json").read_text())
    lock = json.loads((ROOT / "bundle" / "package-lock.json").read_text())
    packages = lock["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in package["devDependencies"]} == (
        package["devDependencies"]
    )
    for name, pinned in packages.items():
        assert name == "" or len(base64.b64decode(pinned["integrity"].removeprefix("sha512-"))) == 64


def test_every_module_is_pinned_with_a_licence() -> None:
    lines = (ROOT / "bundle" / "vendor.sha512").read_text().splitlines()
    names = {line.split()[1] for line in lines}
    modules = {path.name for path in (ROOT / "bundle" / "vendor").iterdir()}
    assert {name for name in names if name.endswith(".js")} == modules
    assert {name.rpartition(".")[2] for name in names} == {"js", "json", "txt"}
    declarations = (ROOT / STATIC / "vendor").glob("*.d.ts")
    assert {path.name.replace(".d.ts", ".js") for path in declarations} == modules


@pytest.mark.parametrize("command", [RELEASE, INSTALL])
def test_the_module_and_its_licence_are_bundled(checkout: Path, path: Path, command: list[str]) -> None:
    npm(path, bundled("1.2.3"))
    done = python(checkout, path, *command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert vendor(checkout) == bundled("1.2.3")
    assert (checkout / DECLARATIONS).exists()


SUMMARY: Final = json.dumps({"error": {"code": "E", "summary": "no network\nat all.", "detail": ""}})
CHANGED: Final = json.dumps({"error": {"code": "EINTEGRITY", "summary": "checksum failed", "detail": ""}})
FAULTS: Final[dict[str, dict[str, Any]]] = {
    "npm is not installed; install it": {},
    "npm failed (no network at all); repeat": {"says": SUMMARY, "status": 1},
    "npm failed (checksum failed); find out who changed": {"says": CHANGED, "status": 1},
    "npm failed (exit status 3); repeat": {"says": "what?", "status": 3},
    "the hash of THIRD-PARTY.txt is not the one in": {"files": bundled("6.6.6")},
    "the hash of marked.js is not the one in": {"files": bundled("1.2.3") | {"marked.js": "alert(1)"}},
    "the hash of evil.js is not the one in": {"files": bundled("1.2.3") | {"evil.js": "alert(1)"}},
}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, path: Path) -> str:
    """The beginning of what is said where npm is missing, fails, or brings something else."""
    cause: str = request.param
    if "not installed" not in cause:
        npm(path, **FAULTS[cause])
    return cause


def test_a_release_without_the_libraries_fails_with_one_sentence(
    checkout: Path, path: Path, fault: str
) -> None:
    done = python(checkout, path, *RELEASE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(FAILS + fault)
    assert done.stderr.endswith(".\n")
    assert done.stderr.count("\n") == 1
    assert vendor(checkout) == {}


def test_an_installation_without_the_libraries_warns_with_one_sentence(
    checkout: Path, path: Path, fault: str
) -> None:
    done = python(checkout, path, *INSTALL)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(WARNS)
    assert fault in done.stderr
    assert done.stderr.count("\n") == 1
    assert vendor(checkout) == {}
    assert (checkout / DECLARATIONS).exists()


def test_an_installation_uses_the_pinned_files_that_are_there(checkout: Path, path: Path) -> None:
    npm(path, bundled("1.2.3"))
    python(checkout, path, *RELEASE)
    npm(path, status=1)
    done = python(checkout, path, *INSTALL)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_installation_never_takes_another_version(checkout: Path, path: Path) -> None:
    npm(path, bundled("1.2.3"))
    python(checkout, path, *RELEASE)
    pin(checkout, "2.0.0")
    done = python(checkout, path, *INSTALL)  # npm still makes 1.2.3
    assert done.returncode == 0
    assert done.stderr.startswith(WARNS)
    assert vendor(checkout) == {}
    npm(path, bundled("2.0.0"))
    assert python(checkout, path, *INSTALL).stderr == ""
    assert vendor(checkout) == bundled("2.0.0")


@pytest.mark.parametrize("name", ["marked.js", "THIRD-PARTY.txt", "evil.js"])
def test_an_installation_never_takes_a_changed_file(checkout: Path, path: Path, name: str) -> None:
    npm(path, bundled("1.2.3"))
    python(checkout, path, *RELEASE)
    changed = checkout / STATIC / "vendor" / name
    changed.write_text("alert(1)")
    assert python(checkout, path, *INSTALL).stderr == ""
    assert vendor(checkout) == bundled("1.2.3")
    (path / "npm").unlink()
    changed.write_text("alert(1)")
    assert python(checkout, path, *INSTALL).stderr.startswith(WARNS)
    assert vendor(checkout) == {}


def test_new_files_are_taken_once_they_are_pinned(checkout: Path, path: Path) -> None:
    npm(path, bundled("2.0.0"))
    done = python(checkout, path, *RELEASE)
    assert (done.returncode, vendor(checkout)) == (1, {})
    assert "type `python build_backend.py pin`" in done.stderr
    assert python(checkout, path, *RELEASE, "pin").returncode == 0
    assert vendor(checkout) == bundled("2.0.0")
    assert python(checkout, path, *RELEASE).returncode == 0


def test_a_release_replaces_what_is_there(checkout: Path, path: Path) -> None:
    npm(path, bundled("1.2.3"))
    python(checkout, path, *RELEASE)
    (checkout / MODULE).write_text("alert(1)")
    python(checkout, path, *RELEASE)
    assert vendor(checkout) == bundled("1.2.3")


# -- with real npm


@pytest.mark.slow
@pytest.mark.skipif("CI" not in os.environ, reason="asks package registries")
def test_npm_makes_the_pinned_files_of_the_pinned_archives_only(checkout: Path) -> None:
    shutil.copy(ROOT / "bundle" / "vendor.sha512", checkout / "bundle")
    done = python(checkout, os.environ["PATH"], *RELEASE)
    assert (done.returncode, done.stderr) == (0, "")
    lock = checkout / "bundle" / "package-lock.json"
    content = json.loads(lock.read_text())
    content["packages"]["node_modules/marked"]["integrity"] = f"sha512-{'A' * 86}=="
    lock.write_text(json.dumps(content))
    done = python(checkout, os.environ["PATH"], *RELEASE)
    assert done.returncode == 1
    assert "find out who changed bundle/package-lock.json" in done.stderr


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
    assert not {MODULE, PAGE, "chatproxy/moved.py"} & names
    assert said.count(WARNS) == 1


@pytest.mark.slow
def test_the_sdist_is_not_built_without_npm(checkout: Path, path: Path) -> None:
    done = python(checkout, path, "-m", "build", "--sdist")
    assert done.returncode == 1
    assert done.stderr.count(f"{FAILS}npm is not installed") == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(checkout.glob("dist/*"))


@pytest.mark.slow
def test_the_sdist_brings_all_to_those_without_npm(checkout: Path, path: Path) -> None:
    npm(path, bundled("1.2.3"))
    done = python(checkout, path, "-m", "build", "--sdist")
    assert done.returncode == 0, done.stderr
    (path / "npm").unlink()
    (sdist,) = checkout.glob("dist/*.tar.gz")
    names, said = wheel(checkout, path, sdist, on_terminal=True)
    assert {MODULE, LICENCE, PAGE, f"{STATIC}/package.json", f"{STATIC}/types.d.ts"} <= names
    assert not [name for name in names if name.startswith(("build_backend", "bundle/"))]
    assert "building without" not in said


@pytest.mark.slow
def test_a_checkout_is_bundled_for_the_wheel_only(checkout: Path, path: Path) -> None:
    npm(path, bundled("1.2.3"))
    names, _ = wheel(checkout, path, checkout)
    assert {MODULE, PAGE, f"{STATIC}/dist/chat-page-ABCD2345.js", f"{STATIC}/page/page.js"} <= names
    assert not (checkout / STATIC / "dist").exists()


@pytest.mark.slow
def test_bundles_of_other_sources_are_left_out(checkout: Path, path: Path) -> None:
    """As of an sdist that somebody has patched."""
    npm(path, bundled("1.2.3"))
    assert python(checkout, path, "-c", "import build_backend; build_backend.bundle(True)").returncode == 0
    (path / "npm").unlink()
    names, said = wheel(checkout, path, checkout, on_terminal=True)
    assert PAGE in names
    assert "building without" not in said
    with (checkout / STATIC / SOURCE).open("a") as source:
        source.write("// patched\n")
    shutil.rmtree(path.parent / "wheels")
    names, said = wheel(checkout, path, checkout, on_terminal=True)
    assert MODULE in names
    assert not [name for name in names if "/dist/" in name]
    assert said.count(SLOWER) == 1


@pytest.mark.slow
def test_an_sdist_with_a_changed_file_installs_without_it(checkout: Path, path: Path) -> None:
    npm(path, bundled("1.2.3"))
    assert python(checkout, path, "-m", "build", "--sdist").returncode == 0
    (sdist,) = checkout.glob("dist/*.tar.gz")
    (path / "npm").unlink()
    with tarfile.open(sdist) as packed:
        packed.extractall(checkout / "unpacked", filter="data")
    (source,) = (checkout / "unpacked").iterdir()
    (source / MODULE).write_text("alert(1)")
    names, said = wheel(checkout, path, source, on_terminal=True)
    assert not {MODULE, PAGE} & names
    assert said.count(WARNS) == 1


@pytest.mark.slow
def test_an_editable_installation_takes_no_changed_file(checkout: Path, path: Path) -> None:
    npm(path, bundled("6.6.6"))
    for name in (MODULE, LICENCE):
        (checkout / name).write_text("/*! marked 1.2.3 */ alert(1)")
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
    assert WARNS in done.stdout
    assert vendor(checkout) == {}


@pytest.mark.slow
def test_what_is_built_is_checked(checkout: Path, path: Path) -> None:
    """The check that nothing is wrong installs the wheel; `make dist` does that, and CI runs it."""
    git = str(shutil.which("git"))
    (path / "git").symlink_to(git)
    for command in (["init", "--quiet"], ["add", "--all", "bundle", "chatproxy"]):
        subprocess.run([git, *command], cwd=checkout, check=True)
    npm(path, bundled("1.2.3"))
    scratch = checkout / STATIC / "scratch.js"
    scratch.touch()
    done = python(checkout, path, "-m", "build")
    assert done.returncode == 0, done.stderr
    done = python(checkout, path, ".ci/check_dist.py", "dist")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ollama_chatproxy-{__version__}.tar.gz should not contain {STATIC}/scratch.js\n"
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
