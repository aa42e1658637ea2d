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
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import Final

import msgspec
import yaml
from msgspec import Struct

from chatproxy.command.cli import COMMANDS
from chatproxy.command.parser import Parser, split
from chatproxy.config import SETTINGS, add_flags

ROOT: Final = Path(__file__).parents[2]
# Of each command the part that the pages use, in the words of its own --help; "..." is another command line.
USAGES: Final = {
    "apt install": "PACKAGE",
    "curl": "[-N] [-s] [-X METHOD] [-H HEADER] [-d DATA] [-F FIELD] [-T FILE] [-o FILE] URL",
    "docker build": "[--tag NAME] PATH",
    "docker logs": "CONTAINER",
    "docker run": (
        "[--detach] [--name NAME] [--network NETWORK] [--env NAME=VALUE] [--publish PORTS] [--add-host HOST]"
        " [--volume VOLUME] IMAGE"
    ),
    "docker compose cp": "SOURCE TARGET",
    "docker compose exec": "[-T] SERVICE ...",
    "docker compose logs": "SERVICE",
    "docker compose restart": "SERVICE",
    "docker compose run": "[--rm] [--no-deps] [-T] [--entrypoint COMMAND] SERVICE ...",
    "docker compose start": "SERVICE",
    "docker compose stop": "SERVICE",
    "docker compose up": "[--build] [--detach]",
    "npm pack": "",
    "ollama pull": "MODEL",
    "ollama run": "MODEL",
    "ollama serve": "",
    "pip install": "PACKAGE",
    "pipx install": "[--force] PACKAGE",
    "pipx run": "[--spec PACKAGE] ...",
    "uv tool install": "[--force] PACKAGE",
    "uvx": "[--from PACKAGE] ...",
}
STAND_INS: Final = ("docker", "ollama", "pipx", "uv", "uvx")
PROGRAMS: Final = {usage.partition(" ")[0] for usage in USAGES} | {"chatproxy", "make", "python"}
TARGETS: Final = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
_PART: Final = re.compile(r"\[(?P<option>--?[\w-]+)(?P<value> \S+)?\]|(?P<rest>\.\.\.)|(?P<word>\S+)")
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
    options: list[tuple[str, str | None]] = []
    words: list[str] = []
    rest: list[str] = []


def read(line: Sequence[str]) -> Call:
    """Read the words of a command line. Raises ValueError if the command does not accept them."""
    words, files = list(line), list[str]()
    if words[:2] == ["python", "-m"]:
        words = words[2:]
    while words[:3] == ["docker", "compose", "--file"]:
        files.append(words[3])
        del words[2:4]
    command = next((name for size in (3, 2, 1) if (name := " ".join(words[:size])) in USAGES), None)
    if command is None:
        raise ValueError(f"unknown command: {shlex.join(line)}")
    words = words[len(command.split()) :]
    parts = [part.groupdict() for part in _PART.finditer(USAGES[command])]
    takes = {part["option"]: part["value"] is not None for part in parts if part["option"]}
    options, given = list[tuple[str, str | None]](), list[str]()
    needed = sum(part["word"] is not None for part in parts)
    takes_rest = any(part["rest"] for part in parts)
    while words and not (takes_rest and len(given) == needed and words[0] not in takes):
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            given.append(word)
        elif word not in takes or (takes[word] and not words):
            raise ValueError(f"{command} takes no {word}, or it lacks a value")
        else:
            options.append((word, words.pop(0) if takes[word] else None))
        if takes_rest and len(given) == needed and needed:
            break
    if len(given) != needed or bool(words) != takes_rest:
        raise ValueError(f"{command} {USAGES[command]} is not called so: {shlex.join(line)}")
    return Call(command=command, files=files, options=options, words=given, rest=words)


def check(line: Sequence[str]) -> None:
    """Raise ValueError unless that can be typed: flags, targets, settings, services and files must exist."""
    variables = list(takewhile(_VARIABLE.fullmatch, line))
    program, *arguments = line[len(variables) :]
    if program == "chatproxy":
        if unknown := {word.partition("=")[0] for word in variables} - set(SETTINGS):
            raise ValueError(f"no settings: {unknown}")
        _check_own(arguments)
    elif program == "make":
        if missing := {word for word in arguments if not _VARIABLE.fullmatch(word)} - TARGETS:
            raise ValueError(f"no targets: {missing}")
    elif program in PROGRAMS:
        call = read([program, *arguments])
        if call.command.startswith("docker compose"):
            _check_services(call)
        if call.rest and call.rest[0] in PROGRAMS:
            check(call.rest)


def _check_own(arguments: Sequence[str]) -> None:
    """Have the command's own parser read them."""
    helps = {name: command.help for name, command in COMMANDS.items()}
    said = StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            name, rest = split(arguments, helps, "serve")
            parser = Parser(name, helps)
            COMMANDS[name].add_flags(parser)
            add_flags(parser)
            options = vars(parser.parse_all(rest))
    except SystemExit as end:
        if end.code:
            raise ValueError(said.getvalue()) from None
        return
    for needed in ("file", "older_than"):  # which the commands that take them check themselves
        if options.get(needed, True) is None:
            raise ValueError(f"{name} lacks its {needed}")


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
        call = read([name, *sys.argv[1:]])
        check([name, *sys.argv[1:]])
    except ValueError as error:
        sys.exit(str(error))
    with open(notes, "ab") as file:
        file.write(msgspec.json.encode(call) + b"\n")
    if call.command in ("uvx", "pipx run"):
        os.execvp(call.rest[0], call.rest)
