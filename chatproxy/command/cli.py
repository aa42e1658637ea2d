"""The `chatproxy` command: flags and environment to a Config, and the application run until a signal.

Exit code 0 after SIGTERM or SIGINT; 2, with one sentence on stderr, if it cannot start. `chatproxy doctor`
serves nothing: it looks at what the start would find, and says what to do; exit code 1 if something is wrong.
"""

import asyncio
import logging
import os
import signal
import sys
import webbrowser
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from chatproxy import __version__, log
from chatproxy.command.demo import demo_server
from chatproxy.command.server import listening
from chatproxy.command.token import kept_token
from chatproxy.config import Config, add_flags, load
from chatproxy.errors import StartError

logger: Final = logging.getLogger(__name__)

_NO_MODEL: Final = "answers come from the embedded stand-in for Ollama, which is not a language model"


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    doctor = words[:1] == ["doctor"]
    options = _parser().parse_args(words[doctor:])
    try:
        if doctor:
            return _doctor(vars(options))
        loaded = load(vars(options), os.environ, Path(".env"))
        if options.print_config:
            print(loaded.table())
            return 0
        log.configure(loaded.config.log_format, loaded.config.log_level)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(loaded.config, demo=options.demo, open_page=options.open))
    except StartError as error:
        print(f"chatproxy: {error}", file=sys.stderr)
        return 2
    return 0


async def serve(config: Config, *, demo: bool, open_page: bool) -> None:
    """Until SIGTERM or SIGINT; a second one, while it ends, changes nothing."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    made = config.beyond_loopback and config.token is None and not config.insecure_no_token
    if made:
        config = replace(config, api_token=kept_token(config.database_path))
    async with AsyncExitStack() as stack:
        if demo:
            config = replace(config, ollama_host=await stack.enter_async_context(demo_server()))
            log.event(logger, logging.WARNING, _NO_MODEL)
        url = await stack.enter_async_context(listening(config))
        print(f"chatproxy is listening on {url}", flush=True)
        url = _reachable(url)
        if made:
            print(f"Open {url}/#token={config.token}", flush=True)
        if demo:
            print(_invitation(url, config.token), flush=True)
        if open_page:
            await asyncio.to_thread(webbrowser.open, url)
        await stop.wait()


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "chatproxy",
        description="Streams chat answers from Ollama. `chatproxy doctor` looks at what is wrong, and exits.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chatproxy {__version__}")
    parser.add_argument(
        "--print-config", action="store_true", help="show what is in force and where it came from, and exit"
    )
    parser.add_argument(
        "--demo", action="store_true", help="use an embedded stand-in for Ollama: nothing to install"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    add_flags(parser)
    return parser


def _doctor(flags: Mapping[str, object]) -> int:
    from chatproxy.command.doctor import examine

    return asyncio.run(examine(flags, os.environ, Path(".env")))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _reachable(url: str) -> str:
    """From this machine; the unspecified address means every one that it has."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _invitation(url: str, token: str | None) -> str:
    sessions = f"{url}/api/chat/sessions"
    auth = f" -H 'Authorization: Bearer {token}'" if token else ""
    return f"""{_NO_MODEL[0].upper()}{_NO_MODEL[1:]}. Try it:

SESSION=$(curl -s{auth} -X POST {sessions} | sed 's/.*"id": *"\\([^"]*\\)".*/\\1/')
curl -N{auth} -H 'Content-Type: application/json' -d '{{"message": "Show me some code"}}' \
{sessions}/$SESSION/messages/stream
"""
