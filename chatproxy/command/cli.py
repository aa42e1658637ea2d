"""The `chatproxy` command: read the settings and serve the application until a signal.

The exit code is 0 after SIGTERM, SIGINT or SIGHUP, and 2, with one sentence on stderr, if it cannot start.
`chatproxy doctor` serves nothing. It checks what a start depends on, and its exit code is 1 if something is
wrong.
"""

import asyncio
import logging
import os
import shlex
import sys
import webbrowser
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from chatproxy import __version__, log
from chatproxy.app import create_app
from chatproxy.command.demo import demo_server
from chatproxy.command.server import listening
from chatproxy.command.token import SECRET_BYTES, load_or_create_token, secret_path, token_path
from chatproxy.config import Config, add_flags, load
from chatproxy.errors import StartError
from chatproxy.system.process import loop_factory, on_end, return_large_blocks
from chatproxy.web.api.login import CODE_LIFETIME, LOGIN_CODES
from chatproxy.web.security import GATE

logger: Final = logging.getLogger(__name__)

EXPOSED: Final = "every user of this machine can read a secret in a file: make it readable for its owner only"
UNUSED: Final = "{0} is set, so what {0}_FILE holds does not count: unset one of the two"
NO_MODEL: Final = "answers come from the embedded stand-in for Ollama, which is not a language model"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default the process's arguments; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    is_doctor = arguments[:1] == ["doctor"]
    options = _parser().parse_args(arguments[is_doctor:])
    try:
        if is_doctor:
            from chatproxy.command.doctor import examine

            return asyncio.run(examine(vars(options), os.environ, Path(".env")))
        loaded = load(vars(options), os.environ, Path(".env"))
        if options.print_config:
            print(loaded.table())
            return 0
        log.configure(loaded.config.log_format, loaded.config.log_level)
        for path in loaded.exposed_files():
            log.event(logger, logging.WARNING, EXPOSED, file=path)
        for name, unused in loaded.unused_files().items():
            log.event(logger, logging.WARNING, UNUSED.format(name), file=unused)
        return_large_blocks()
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(loaded.config, demo=options.demo, open_page=options.open))
    except StartError as error:
        print(f"chatproxy: {error}", file=sys.stderr)
        return 2
    return 0


async def serve(config: Config, *, demo: bool, open_page: bool) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; a second signal changes nothing. Raises StartError."""
    stop = asyncio.Event()
    on_end(stop.set)
    token_file = config.api_token_file if config.api_token is None else None
    generates_token = config.beyond_loopback and not config.tokens and not config.insecure_no_token
    if generates_token:
        path = token_path(config.database_path)
        token_file = str(path)
        config = replace(config, api_token=load_or_create_token(path))
    if config.visitors and config.jwt_secret is None and config.jwt_secret_file is None:
        secret = load_or_create_token(secret_path(config.database_path), SECRET_BYTES, "JWT_SECRET")
        config = replace(config, jwt_secret=secret)
    async with AsyncExitStack() as stack:
        if demo:
            config = replace(config, ollama_host=await stack.enter_async_context(demo_server()))
            log.event(logger, logging.WARNING, NO_MODEL)
        app = create_app(config)
        url = await stack.enter_async_context(listening(app))
        print(f"chatproxy is listening on {url}", flush=True)
        # The unspecified address means every address of this machine; loopback is one of them.
        url = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        has_token = bool(app[GATE].tokens)
        page = url
        if has_token and (generates_token or open_page):
            page = f"{url}/#code={app[LOGIN_CODES].create()}"
        if generates_token:
            print(f"Open {page} to log in, once and within {CODE_LIFETIME // 60} minutes", flush=True)
            print(f"The token is in {token_file}", flush=True)
        if demo and (has_token or not app[GATE].needs_credential):
            print(
                _instructions(
                    url, _token_in_shell(token_file, app[GATE].tokens[0].line) if has_token else None
                ),
                flush=True,
            )
        if open_page:
            await asyncio.to_thread(webbrowser.open, page)
        await stop.wait()


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "chatproxy",
        description="A streaming chat sidecar for Ollama. `chatproxy doctor` checks the setup and exits.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chatproxy {__version__}")
    parser.add_argument(
        "--print-config", action="store_true", help="print the settings in force and their sources, and exit"
    )
    parser.add_argument(
        "--demo", action="store_true", help="use an embedded stand-in for Ollama, which needs no installation"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    add_flags(parser)
    return parser


def _token_in_shell(file: str | None, line: int) -> str:
    """Return what the shell expands to the token between double quotes. The token itself is never printed."""
    if file is None:
        return "$API_TOKEN"
    return f"$(awk 'NR == {line} {{print $NF}}' {shlex.quote(os.path.abspath(file))})"


def _instructions(url: str, token: str | None) -> str:
    """Return what `--demo` prints: shell commands that stream an answer."""
    sessions = f"{url}/api/chat/sessions"
    auth = f' -H "Authorization: Bearer {token}"' if token else ""
    return f"""{NO_MODEL[0].upper()}{NO_MODEL[1:]}. Try it:

SESSION=$(curl -s{auth} -X POST {sessions} | sed 's/.*"id": *"\\([^"]*\\)".*/\\1/')
curl -N{auth} -H 'Content-Type: application/json' -d '{{"message": "Show me some code"}}' \
{sessions}/$SESSION/messages/stream
"""
