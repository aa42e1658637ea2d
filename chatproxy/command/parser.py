"""The command line: which command it names, and what to say of a word or a flag that is mistyped."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn

from chatproxy import __version__
from chatproxy.command.output import complain, say

PROGRAM: Final = "chatproxy"
USAGE: Final = f"{PROGRAM} [COMMAND] [--FLAG VALUE ...]\n       {PROGRAM} --help lists commands and flags"
EXIT_CODES: Final = (
    "exit code: 0 after a signal, or if nothing is wrong; 1 if what a command checks is wrong; "
    "2 if the command is mistyped, or cannot start or print; 141 if nobody reads what it prints"
)


class Parser(ArgumentParser):
    """A parser for one of the `commands`, which are given with a line of help each."""

    def __init__(self, command: str, commands: Mapping[str, str]) -> None:
        width = max(map(len, commands))
        listed = "\n".join(f"  {name:{width}}  {line}" for name, line in commands.items())
        super().__init__(
            f"{PROGRAM} {command}",
            usage=USAGE,
            description=f"A streaming chat sidecar for Ollama.\n\ncommands:\n{listed}",
            epilog=EXIT_CODES,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._commands = commands
        self.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")

    def parse_all(self, arguments: Sequence[str]) -> Namespace:
        """Return what the arguments say, or exit with code 2 and the nearest flag to one that is unknown."""
        options, unknown = self.parse_known_args(arguments)
        for argument in unknown:
            flag, _, _ = argument.partition("=")  # what follows may be a secret
            if flag.startswith("-"):
                self.error(f"unknown flag {flag}{_nearest(flag, self._option_string_actions)}")
            if flag in self._commands:
                self.error(f"{flag} is a command, which comes first: {PROGRAM} {flag}")
            self.error(f"unknown argument {flag}{_nearest(flag, self._commands)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Exit with code 2: first what is wrong, then the usage."""
        complain(f"{PROGRAM}: {message}\n{self.format_usage().rstrip()}")
        self.exit(2)

    def _print_message(self, message: str, file: object = None) -> None:
        """Print help or the version. ArgumentParser's own may hide that nobody reads them."""
        say(message, end="")


def split(arguments: Sequence[str], commands: Mapping[str, str], default: str) -> tuple[str, Sequence[str]]:
    """Return the command that the first word names, or the default, and the rest; exit if it is unknown."""
    if not arguments or arguments[0].startswith("-"):
        return default, arguments
    name, *rest = arguments
    if name not in commands:
        nearest = _nearest(name, commands) or f"; use one of {', '.join(commands)}"
        Parser(default, commands).error(f"unknown command {name}{nearest}")
    return name, rest


def _nearest(given: str, known: Iterable[str]) -> str:
    """Return a question that names what was probably meant, if anything is near."""
    from difflib import get_close_matches

    by_word = {_word(each): each for each in known}
    found = get_close_matches(_word(given), by_word, n=1)
    return f"; did you mean {by_word[found[0]]}?" if found else ""


def _word(name: str) -> str:
    return name.strip("-").lower().replace("_", "-")
