"""A Dockerfile's steps, run in a folder, for machines without a container engine.

    stage = build(ROOT / "Dockerfile", context_of(ROOT, tmp_path / "context"), tmp_path / "stages", path)
    run(exec_form(stage.words["ENTRYPOINT"]), env=stage.env)

Each stage gets a folder that stands for its `/`. Base images are not there: what is on this machine is
used in their place, and `USER` is not changed.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    root: Path
    folder: str = "/"  # where its steps run
    env: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)  # what else is said, by instruction

    def place(self, path: str) -> Path:
        """Return where a path of the stage is on this machine."""
        return self.root / os.path.join(self.folder, path).lstrip("/")

    def here(self, text: str) -> str:
        """Make the absolute paths in a command lead into the stage."""
        return re.sub(r"(?<![\w/.:$)}])/(?=[a-z])", f"{self.root}/", text)


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            instruction, _, rest = line.strip().partition(" ")
            yield instruction, rest.strip()


def build(dockerfile: Path, context: Path, to: Path, path: str) -> Stage:
    """Run all steps and return the last stage; `path` is the PATH in place of the base images' programs."""
    stages: dict[str, Stage] = {}
    stage = Stage(to)
    for instruction, rest in instructions(dockerfile):
        match instruction:
            case "FROM":
                name = rest.split()[-1] if " AS " in rest else "last"
                stage = stages[name] = Stage(to / name, env={"PATH": path})
                stage.root.mkdir(parents=True)
            case "WORKDIR":
                stage.folder = rest
                stage.place(".").mkdir(parents=True, exist_ok=True)
            case "ENV":
                for pair in shlex.split(rest):
                    name, _, value = pair.partition("=")
                    stage.env[name] = stage.here(value).replace("$PATH", stage.env["PATH"])
            case "COPY":
                _copy(stage, stages, context, rest.split())
            case "RUN":
                _run(stage, rest)
            case _:
                stage.words[instruction] = rest
    return stage


def _copy(stage: Stage, stages: dict[str, Stage], context: Path, words: list[str]) -> None:
    source = stages[words.pop(0).removeprefix("--from=")].root if words[0].startswith("--") else context
    *names, target = words
    for name in names:
        into = stage.place(target)
        if target.endswith("/"):
            into = into / Path(name).name
        into.parent.mkdir(parents=True, exist_ok=True)
        found = source / name.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(found, into)


def _run(stage: Stage, command: str) -> None:
    if os.geteuid() != 0:
        command = command.replace("chown ", "true ")
    subprocess.run(
        ["sh", "-euc", stage.here(command)],
        cwd=stage.place("."),
        env={"HOME": os.environ.get("HOME", "/"), **stage.env},
        check=True,
        timeout=600,
    )


def context_of(checkout: Path, to: Path) -> Path:
    """Copy what `.dockerignore` lets through; it lists everything that it does."""
    lines = (checkout / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    ignored = [line for line in lines[1:] if not line.startswith("!")]

    def left_out(folder: str, names: list[str]) -> list[str]:
        within = Path(folder).relative_to(checkout)
        return [name for name in names if {f"**/{name}", f"{within / name}"} & set(ignored)]

    to.mkdir()
    for line in lines:
        if line.startswith("!"):
            source = checkout / line[1:]
            if source.is_dir():
                shutil.copytree(source, to / line[1:], ignore=left_out)
            else:
                shutil.copy(source, to)
    return to


def exec_form(words: str) -> list[str]:
    """Return the list of an instruction in exec form, which may follow options and `CMD`."""
    found: list[str] = json.loads(words[words.index("[") :])
    return found
