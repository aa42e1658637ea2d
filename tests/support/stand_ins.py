"""The programs that README and docs/ have readers type: what each accepts, and stand-ins for some.

    call = read("docker compose exec ollama ollama pull llama3.2".split())   # ValueError if it is mistyped
    assert call.rest == ["ollama", "pull", "llama3.2"]

    path = installed(folder)                                  # a PATH on which stand-ins come first
    await typed("docker build --tag chatproxy .", PATH=path)  # refused as the program would
    assert noted(folder)[0].command == "docker build"

A stand-in notes how it was called, and does nothing; `uvx` and `pipx run` run what they would install.
"""

import os
import re
import shlex
import sys
from argparse import REMAINDER, ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import Final

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from chatproxy.command.cli import parsed
from chatproxy.config import SETTINGS
from chatproxy.errors import StartError

ROOT: Final = Path(__file__).parents[2]
# Of each command the part that the pages use, in the words of its own --help. What ends in "=" takes a value,
# and "..." is another command line.
USAGES: Final = {
    "apt install": "PACKAGE",
    "curl": "-N -s -X= -H= -d= -F= -T= -o= URL",
    "docker build": "--tag= PATH",
    "docker logs": "CONTAINER",
    "docker rm": "CONTAINER",
    "docker run": "--detach --name= --network= --env= --publish= --add-host= --volume= IMAGE",
    "docker stop": "CONTAINER",
    "docker compose --file": "FILE ...",
    "docker compose build": "",
    "docker compose cp": "SOURCE TARGET",
    "docker compose exec": "-T SERVICE ...",
    "docker compose logs": "SERVICE",
    "docker compose ps": "--quiet SERVICE",
    "docker compose restart": "SERVICE",
    "docker compose run": "--rm --no-deps -T --entrypoint= SERVICE ...",
    "docker compose start": "SERVICE",
    "docker compose stop": "SERVICE",
    "docker compose up": "--build --detach --no-recreate --wait",
    "npm pack": "",
    "ollama pull": "MODEL",
    "ollama run": "MODEL",
    "ollama serve": "",
    "pip install": "PACKAGE",
    "pipx install": "--force PACKAGE",
    "pipx run": "--spec= ...",
    "uv tool install": "--force PACKAGE",
    "uvx": "--from= ...",
}
STAND_INS: Final = ("docker", "ollama", "pipx", "uv", "uvx")
PROGRAMS: Final = {usage.partition(" ")[0] for usage in USAGES} | {"chatproxy", "make", "python"}
TARGETS: Final = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
_VARIABLE: Final = re.compile(r"([A-Z_]+)=.*")
_NOTES: Final = "called.jsonl"
_STAND_IN: Final = """#!{python}
import sys
sys.path[:0] = {paths}
from stand_ins import play
play({name!r}, {notes!r})
"""


class Call(Struct, frozen=True, kw_only=True):
    """How a command was called: `rest` is the command line that it was given, if it takes one."""

    command: str
    files: list[str] = []
    options: dict[str, list[str] | bool]
    words: list[str]
    rest: list[str]


def read(line: Sequence[str]) -> Call:
    """Read the words of a command line. Raises ValueError if the command does not accept them."""
    words = list(line[2:] if line[:2] == ["python", "-m"] else line)
    command = next((name for size in (3, 2, 1) if (name := " ".join(words[:size])) in USAGES), None)
    if command is None:
        raise ValueError(f"unknown command: {shlex.join(line)}")
    parser = ArgumentParser(command, add_help=False, allow_abbrev=False)
    for part in USAGES[command].split():
        if part == "...":
            parser.add_argument("rest", nargs=REMAINDER)
        elif part.startswith("-"):
            flag, takes, _ = part.partition("=")
            parser.add_argument(flag, dest=flag, action="append" if takes else "store_true")
        else:
            parser.add_argument(part)
    with _refusals():
        given = vars(parser.parse_args(words[len(command.split()) :]))
        if (rest := given.pop("rest", None)) == []:
            parser.error("name what it is to run")
    if command == "docker compose --file":
        call = read([*words[:2], *rest])
        return replace(call, files=[given["FILE"], *call.files])
    options = {name: value for name, value in given.items() if name.startswith("-") and value}
    named = [value for name, value in given.items() if not name.startswith("-")]
    return Call(command=command, options=options, words=named, rest=rest or [])


@contextmanager
def _refusals() -> Iterator[None]:
    """Raise ValueError for what a parser refuses within the block."""
    said = StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            yield
    except StartError as error:
        raise ValueError(str(error)) from None
    except SystemExit as end:
        if end.code:
            raise ValueError(said.getvalue()) from None


def check(line: Sequence[str]) -> Call | None:
    """Return how a program of USAGES is called, None for any other.

    Raises ValueError unless that can be typed: flags, targets, settings, services and files must exist.
    """
    variables = list(takewhile(_VARIABLE.fullmatch, line))
    program, *arguments = line[len(variables) :]
    if program == "chatproxy":
        if unknown := {word.partition("=")[0] for word in variables} - set(SETTINGS):
            raise ValueError(f"no settings: {unknown}")
        with _refusals():
            parsed(arguments)
    elif program == "make":
        if missing := {word for word in arguments if not _VARIABLE.fullmatch(word)} - TARGETS:
            raise ValueError(f"no targets: {missing}")
    elif program in PROGRAMS:
        call = read([program, *arguments])
        if call.command.startswith("docker compose"):
            _check_services(call)
        if call.rest and call.rest[0] in PROGRAMS:
            check(call.rest)
        return call
    return None


def _check_services(call: Call) -> None:
    """Every service that is named must be one of the files."""
    services = set[str]()
    for name in call.files or ["compose.yaml"]:
        if not (ROOT / name).is_file():
            raise ValueError(f"no such file: {name}")
        services |= set(yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["services"])
    if call.command.endswith(" cp"):
        named = {word.partition(":")[0] for word in call.words if ":" in word}
    else:
        named = set(call.words)
    if missing := named - services:
        raise ValueError(f"no such services: {missing}")


def installed(folder: Path) -> str:
    """Put the stand-ins into a folder, and return a PATH on which they come first."""
    paths = [str(Path(__file__).parent), str(ROOT)]
    for name in STAND_INS:
        script = _STAND_IN.format(python=sys.executable, paths=paths, name=name, notes=str(folder / _NOTES))
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def noted(folder: Path) -> list[Call]:
    """Return how the stand-ins of that folder were called, in order."""
    return [msgspec.json.decode(line, type=Call) for line in (folder / _NOTES).read_bytes().splitlines()]


def play(name: str, notes: str) -> None:
    """Do what the stand-in of that name does."""
    try:
        call = check([name, *sys.argv[1:]])
    except ValueError as error:
        sys.exit(str(error))
    assert call is not None
    with open(notes, "ab") as file:
        file.write(msgspec.json.encode(call) + b"\n")
    if call.command in ("uvx", "pipx run"):
        os.execvp(call.rest[0], call.rest)
