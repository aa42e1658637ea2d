"""The `chatproxy` command: read the settings and serve the application until a signal.

The first line of output is the address of the page. The exit code is 0 after SIGTERM, SIGINT or SIGHUP, and
2, with one sentence on stderr, if the command is mistyped, or cannot start or print. `chatproxy doctor`
serves nothing. It checks what a start depends on, and its exit code is 1 if something is wrong.
"""

import asyncio
import gc
import logging
import os
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace as replaced

from chatproxy import log
from chatproxy.app import create_app, drain
from chatproxy.background import background
from chatproxy.command.output import CLOSED_PIPE, ReaderLeft, complain, say
from chatproxy.command.parser import PROGRAM, Parser, split
from chatproxy.command.server import listening
from chatproxy.command.token import SECRET_BYTES, load_or_create_token, secret_path, token_path
from chatproxy.config import Config, LoadedConfig, add_flags, load
from chatproxy.errors import StartError
from chatproxy.ollama.authorities import set_variables
from chatproxy.store.sqlite.file import of_the_demo
from chatproxy.system.process import loop_factory, on_end, return_large_blocks
from chatproxy.values import SQLITE, without_password
from chatproxy.web.api import pages
from chatproxy.web.api.login import CODE_LIFETIME, LOGIN_CODES
from chatproxy.web.keys import READINESS
from chatproxy.web.security import GATE

logger: Final = logging.getLogger(__name__)

DOTENV: Final = Path(".env")
OF_EVERY_START: Final = (".env", "default")  # sources of a database that other starts in the folder use
EXPOSED: Final = "every user of this machine can read a secret in a file: make it readable for its owner only"
UNUSED: Final = "{0} is set, so what {0}_FILE holds does not count: unset one of the two"
COPY_NEEDS: Final = (
    "name both databases: chatproxy copy --from sqlite:///chatproxy.db --to postgresql://user@host/database"
)
OPEN_TO_ALL: Final = "requests need no token, as set: everyone who can connect can read and change everything"


class Command(Struct, frozen=True):
    """What the first word of a command line stands for.

    `run` returns the exit code. `add_flags` adds what the command has beside the settings, and `needs` says
    what to do about those that are left out.
    """

    help: str
    run: Callable[[Namespace], int]
    add_flags: Callable[[ArgumentParser], None] = lambda parser: None
    needs: Mapping[str, str] = {}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default the process's arguments; return its exit code."""
    try:
        command, options = parsed(sys.argv[1:] if argv is None else argv)
        return command.run(options)
    except StartError as error:
        complain(f"{PROGRAM}: {error}")
        return 2
    except ReaderLeft:
        return CLOSED_PIPE


def parsed(argv: Sequence[str]) -> tuple[Command, Namespace]:
    """Return what a command line says, or exit. Raises StartError if something is left out."""
    helps = {name: command.help for name, command in COMMANDS.items()}
    name, arguments = split(argv, helps, "serve")
    command, parser = COMMANDS[name], Parser(name, helps)
    command.add_flags(parser)
    add_flags(parser)
    options = parser.parse_all(arguments)
    for needed, sentence in command.needs.items():
        if getattr(options, needed) is None:
            raise StartError(sentence)
    return command, options


def _add_flags_of_serve(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--print-config", action="store_true", help="print the settings in force and their sources, and exit"
    )
    parser.add_argument(
        "--demo", action="store_true", help="use an embedded stand-in for Ollama, which needs no installation"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def _serve(options: Namespace) -> int:
    loaded = load(vars(options), os.environ, DOTENV)
    set_variables(loaded.for_openssl)
    if options.demo:
        loaded = _with_its_own_database(loaded)
    if options.print_config:
        say(loaded.table())
        return 0
    log.configure(loaded.config.log_format, loaded.config.log_level)
    return_large_blocks()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(loaded, demo=options.demo, open_page=options.open))
    return 0


def _examine(options: Namespace) -> int:
    from chatproxy.command.doctor import examine

    environ = dict(os.environ)
    with suppress(StartError):  # which is a finding
        set_variables(load(vars(options), environ, DOTENV).for_openssl)
    return asyncio.run(examine(vars(options), environ, DOTENV))


def _upkeep(name: str) -> Callable[..., Any]:
    """Return a function of `command.upkeep`, which is imported when that is called."""
    return lambda argument: getattr(import_module("chatproxy.command.upkeep"), name)(argument)


_SERVE: Final = Command("serve the page and the API until a signal; the default", _serve, _add_flags_of_serve)
COMMANDS: Final[Mapping[str, Command]] = {
    "serve": _SERVE,
    "run": replaced(_SERVE, help="the same"),
    "doctor": Command("check the setup, and say what to do about each finding", _examine),
    "backup": Command(
        "write a backup to a file, also while it serves",
        _upkeep("backup"),
        _upkeep("add_backup_flags"),
        {"file": "name the file: chatproxy backup backup.db"},
    ),
    "check": Command("check the database, and count what is in it", _upkeep("check")),
    "prune": Command(
        "remove what was not used for long",
        _upkeep("prune"),
        _upkeep("add_prune_flags"),
        {"older_than": "say for how long it was not used: chatproxy prune --older-than 90d"},
    ),
    "copy": Command(
        "copy everything to an empty database: a file, or PostgreSQL's",
        _upkeep("copy"),
        _upkeep("add_copy_flags"),
        {"source": COPY_NEEDS, "target": COPY_NEEDS},
    ),
}


async def serve(loaded: LoadedConfig, *, demo: bool, open_page: bool) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, and drain; a second one ends that. Raises StartError."""
    signals = asyncio.Semaphore(0)  # with one more for each that comes
    on_end(signals.release)
    config = loaded.config
    token_file = config.api_token_file if config.api_token is None else None
    generates_token = config.beyond_loopback and not config.tokens and not config.insecure_no_token
    if generates_token:
        path = token_path(_file_for("API_TOKEN", config))
        token_file = str(path)
        config = replace(config, api_token=load_or_create_token(path))
    if config.visitors and config.jwt_secret is None and config.jwt_secret_file is None:
        path = secret_path(_file_for("JWT_SECRET", config))
        secret = load_or_create_token(path, SECRET_BYTES, "JWT_SECRET")
        config = replace(config, jwt_secret=secret)
    async with AsyncExitStack() as stack:
        release_log = stack.enter_context(log.held())
        if demo:
            from chatproxy.command.demo import demo_server

            config = replace(config, ollama_host=await stack.enter_async_context(demo_server()))
        app = create_app(config)
        url = await stack.enter_async_context(listening(app))
        gc.freeze()  # the collector would look at all that is imported again and again, and stop the loop
        # The unspecified address means every address of this machine; loopback is one of them.
        local = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        tokens, page, about_code = app[GATE].tokens, local, ""
        if tokens and (open_page or not tokens[0].user):
            page = f"{local}/#code={app[LOGIN_CODES].create()}"
            about_code = f", to log in once and within {CODE_LIFETIME // 60} minutes"
        lines = [f"Open {page} in a browser{about_code}"]
        if url != local:
            lines.append(f"chatproxy listens on {url}, which other machines may reach")
        if generates_token:
            lines.append(f"The token is in {token_file}")
        if demo:
            token = _token_in_shell(token_file, tokens[0].line) if tokens else None
            can_try = tokens or not app[GATE].needs_credential
            lines += [_about_demo(config.database), *(_instructions(local, token) if can_try else ())]
        say(*lines)
        _log_warnings(loaded)
        release_log()
        if not demo:
            app[READINESS].look()
        if open_page:
            import webbrowser

            await asyncio.to_thread(webbrowser.open, page)
        await signals.acquire()
        if config.drain_seconds:
            async with (
                background(drain(app), name="drain") as drained,
                background(signals.acquire(), name="second signal") as second,
            ):
                await asyncio.wait({drained, second}, return_when=asyncio.FIRST_COMPLETED)


def _file_for(setting: str, config: Config) -> Path:
    """Return the database's file, beside which what `setting` would say is kept. Raises StartError."""
    if isinstance(config.database, Path):
        return config.database
    raise StartError(
        f"{setting} is not set, and beside a database of PostgreSQL there is no file to keep one in; set it, "
        "the same for every start."
    )


def _with_its_own_database(loaded: LoadedConfig) -> LoadedConfig:
    """Return settings by which a demo keeps its talk in a file beside the database of other starts."""
    if loaded.sources["DATABASE_URL"] not in OF_EVERY_START:
        return loaded
    database = loaded.config.database
    path = database if isinstance(database, Path) else Config().database_path
    url = f"{SQLITE}{of_the_demo(path)}"
    sources = {**loaded.sources, "DATABASE_URL": "--demo"}
    return replaced(loaded, config=replace(loaded.config, database_url=url), sources=sources)


def _log_warnings(loaded: LoadedConfig) -> None:
    """Log what can be used although something is wrong with it, and what was asked for and is a risk."""
    for path in loaded.exposed_files():
        log.event(logger, logging.WARNING, EXPOSED, file=path)
    for name, unused in loaded.unused_files().items():
        log.event(logger, logging.WARNING, UNUSED.format(name), file=unused)
    if not pages.has_markdown():
        log.event(logger, logging.WARNING, pages.NO_MARKDOWN)
    if loaded.config.is_open_to_all:
        log.event(logger, logging.INFO, OPEN_TO_ALL, host=loaded.config.host)


def _token_in_shell(file: str | None, line: int) -> str:
    """Return what the shell expands to the token between double quotes. The token itself is never printed."""
    if file is None:
        return "$API_TOKEN"
    return f"$(awk 'NR == {line} {{print $NF}}' {shlex.quote(os.path.abspath(file))})"


def _about_demo(database: Path | str) -> str:
    name = database if isinstance(database, Path) else without_password(database)
    return (
        "Answers come from a stand-in for Ollama, which is not a language model. "
        f"They are kept in {name}, apart from other conversations."
    )


def _instructions(url: str, token: str | None) -> Sequence[str]:
    """Return shell commands that stream an answer of the demo's."""
    sessions = f"{url}/api/chat/sessions"
    auth = f' -H "Authorization: Bearer {token}"' if token else ""
    return (
        "In another terminal:",
        "",
        f"""SESSION=$(curl -s{auth} -X POST {sessions} | sed 's/.*"id": *"\\([^"]*\\)".*/\\1/')""",
        f"""curl -N{auth} -H 'Content-Type: application/json' -d '{{"message": "Hello"}}' """
        f"{sessions}/$SESSION/messages/stream",
        "",
    )
