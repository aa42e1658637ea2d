"""The settings: one table, read from flags, then the environment, then `.env`, then the defaults.

Everything below `cli` gets a finished `Config` and never looks at the environment.
"""

import math
import re
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

from dotenv import dotenv_values
from msgspec import Struct
from yarl import URL

from chatproxy.errors import StartError

_SQLITE: Final = "sqlite:///"
_YEAR: Final = 31_536_000  # no wait is longer: event loops overflow somewhere above it
_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_HOST_NAME: Final = re.compile(r"[a-z0-9._-]+", re.ASCII | re.IGNORECASE)
_HOST_PORT: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([^:@\s]*))?")
_PATH: Final = re.compile(r"[!-~]*", re.ASCII)
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*\\]+", re.IGNORECASE)
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+", re.ASCII | re.IGNORECASE)
_PASSWORD: Final = re.compile(r"(?<=//)[^/]*@")

# Kinds of settings. Each takes what was given, text or already typed, and returns it as the rest of the
# program knows it; a ValueError says what would do.


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("use some text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("use text in UTF-8")
    return value


def word(value: object) -> str:
    trimmed = text(value).strip()
    if not trimmed.isprintable() or " " in trimmed:
        raise ValueError("use one word, without spaces and control characters")
    return trimmed


def credential(value: object) -> str:
    # It travels in a header, where anything else would be refused, or worse, sent.
    if not word(value).isascii():
        raise ValueError("use the key as it was issued, in printable ASCII")
    return word(value)


def header_name(value: object) -> str:
    if not _HEADER_NAME.fullmatch(word(value)):
        raise ValueError("use the name of a header, as X-Forwarded-User")
    return word(value)


def address(value: object) -> str:
    """In lower case, without brackets."""
    host = word(value).removeprefix("[").removesuffix("]")
    if not is_ip(host) and not _HOST_NAME.fullmatch(host):
        raise ValueError("use an IP address or a host name of this machine, as 127.0.0.1")
    return host.lower()


def truth(value: object) -> bool:
    said = {"true": True, "1": True, "yes": True, "on": True}
    said |= {"false": False, "0": False, "no": False, "off": False}
    try:
        return said[str(value).strip().lower()]
    except KeyError:
        raise ValueError("use true or false") from None


def whole(least: int, most: int = 1_000_000) -> Callable[[object], int]:
    def read(value: object) -> int:
        digits = str(value).strip()
        if not _WHOLE.fullmatch(digits) or not least <= int(digits) <= most:
            raise ValueError(f"use a whole number from {least} to {most}")
        return int(digits)

    return read


def seconds(value: object) -> float:
    number = _number(value)
    if not 0 < number <= _YEAR:
        raise ValueError(f"use a number of seconds above 0, up to {_YEAR}")
    return number


def seconds_or_none_at_all(value: object) -> float:
    number = _number(value)
    if not 0 <= number <= _YEAR:
        raise ValueError(f"use a number of seconds from 0 to {_YEAR}, or leave it unset")
    return number


def several(one: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    """From `"a, b"`, or a sequence; `*` alone stands for all."""

    def read(value: object) -> tuple[str, ...]:
        given = value.split(",") if isinstance(value, str) else value
        if not isinstance(given, list | tuple):
            raise ValueError("use names separated by commas, or *")
        found = tuple(str(each).strip() for each in given if str(each).strip())
        return found if found == ("*",) else tuple(map(one, found))

    return read


def file_name(value: object) -> str:
    if "\0" in str(value):
        raise ValueError("use the name of a file")
    return text(str(value)).strip()


def one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        choice = str(value).strip().lower()
        if choice not in choices:
            raise ValueError(f"use one of {', '.join(choices)}")
        return choice

    return read


def sqlite_url(value: object) -> str:
    url = text(value).strip()
    name = url.removeprefix(_SQLITE)
    if name == url or not name or name.endswith("/") or ":memory:" in name or "?" in name:
        raise ValueError(f"use a file, as {_SQLITE}chatproxy.db, or with four slashes an absolute path")
    return url


def origin(value: object) -> str:
    """As browsers write it."""
    wish = "use exact origins, scheme://host or scheme://host:port without a slash at the end, or * alone"
    if not _ORIGIN.fullmatch(given := text(value)):
        raise ValueError(wish)
    try:
        return str(URL(given).origin())
    except ValueError:
        raise ValueError(wish) from None


def ollama_url(value: object) -> str:
    """A URL without a trailing slash, read as Ollama reads OLLAMA_HOST (its `envconfig.Host`).

    Without a scheme it is http at port 11434, with one the scheme's own port; a port that is none counts
    as absent, as it does there. The unspecified address, where a server listens, means loopback here.
    """
    given = text(value).strip().strip("\"'").strip()
    scheme, separator, rest = ("https://ollama.com" if given == "ollama.com" else given).rpartition("://")
    default = {"http": 80, "https": 443}.get(scheme.lower()) if separator else 11434
    host_port, _, path = rest.partition("/")
    parts = _split_host(host_port)
    if default is None or parts is None or not _PATH.fullmatch(path) or "?" in path or "#" in path:
        raise ValueError("use the address of Ollama, as 127.0.0.1:11434 or https://ollama.example/path")
    host, digits = parts
    port = int(digits) if _WHOLE.fullmatch(digits) and int(digits) <= 65535 else default
    if port == 0:
        raise ValueError("use the port that Ollama listens on, by default 11434")
    return f"{scheme.lower() if separator else 'http'}://{host}:{port}/{path}".rstrip("/")


def _number(value: object) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return math.nan
    return math.nan if isinstance(value, bool) else number


def is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _split_host(host_port: str) -> tuple[str, str] | None:
    """The host as it stands in a URL and the port's text; None if it is no address."""
    bare = host_port.removeprefix("[").removesuffix("]")
    if is_ip(bare):
        return _reachable(bare), ""
    parts = _HOST_PORT.fullmatch(host_port)
    if parts is None:
        return None
    host, port = parts[1] or parts[2] or "127.0.0.1", parts[3] or ""
    if is_ip(host):
        return _reachable(host), port
    return (host, port) if parts[1] is None and _HOST_NAME.fullmatch(host) else None


def _reachable(host: str) -> str:
    ip = ip_address(host)
    if ip.version == 4:
        return "127.0.0.1" if ip.is_unspecified else str(ip)
    return "[::1]" if ip.is_unspecified else f"[{ip}]"


class Setting(Struct, frozen=True):
    """A row of the table: how a value is read, and what it means, for `--help`."""

    read: Callable[[object], object]
    help: str
    aliases: tuple[str, ...] = ()
    secret: bool = False

    def shown(self, value: object) -> str:
        """For people: on one line, without what must stay secret."""
        if value is None or value == ():
            return "-"
        if self.secret:
            return "****"
        if isinstance(value, bool):
            return str(value).lower()
        joined = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        joined = _PASSWORD.sub("****@", joined)
        return joined if joined.isprintable() else repr(joined)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What is in force. Values are checked, and brought into their one form, however it is made.

    Raises StartError, whose sentence names the setting, the value and what would do. A setting is one
    field here: its name in capitals is that of the environment, with dashes that of the flag.
    """

    host: Annotated[str, Setting(address, "the address to listen on")] = "127.0.0.1"
    port: Annotated[int, Setting(whole(0, 65535), "the port to listen on; 0 picks a free one")] = 11435
    ollama_host: Annotated[
        str, Setting(ollama_url, "where Ollama is, as Ollama itself reads it", aliases=("OLLAMA_BASE_URL",))
    ] = "http://127.0.0.1:11434"
    ollama_api_key: Annotated[
        str | None, Setting(credential, "sent to Ollama as a bearer token", secret=True)
    ] = field(default=None, repr=False)
    database_url: Annotated[
        str, Setting(sqlite_url, "the database file; three slashes relative, four absolute")
    ] = "sqlite:///chatproxy.db"
    enable_streaming: Annotated[
        bool, Setting(truth, "false: the stream endpoint answers as the JSON one does")
    ] = True
    default_model: Annotated[str, Setting(word, "a model's name, or auto for the smart choice")] = "auto"
    system_prompt: Annotated[str | None, Setting(text, "for sessions that have none")] = None
    cors_origins: Annotated[
        tuple[str, ...],
        Setting(several(origin), "exact origins separated by commas, or * without credentials"),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Setting(several(address), "names that requests may call this server by, separated by commas, or *"),
    ] = ()
    api_token: Annotated[
        str | None, Setting(credential, "asked of every request, as a bearer token", secret=True)
    ] = field(default=None, repr=False)
    api_token_file: Annotated[str | None, Setting(file_name, "a file that holds API_TOKEN")] = None
    insecure_no_token: Annotated[bool, Setting(truth, "listen beyond loopback without a token")] = False
    trusted_user_header: Annotated[
        str | None, Setting(header_name, "names the user; only behind a proxy that sets it")
    ] = None
    max_concurrent_generations: Annotated[
        int, Setting(whole(1), "answers produced at once; past it they wait in a queue")
    ] = 64
    max_queued_generations: Annotated[int, Setting(whole(0), "answers waiting; past it 503")] = 512
    max_subscribers: Annotated[int, Setting(whole(1), "readers of one answer; past it 429")] = 256
    max_connections: Annotated[int, Setting(whole(1), "of the server at once; past it 503")] = 4096
    max_document_bytes: Annotated[
        int, Setting(whole(1, 100 * 1024**2), "bytes of an uploaded document; past it 413")
    ] = 10 * 1024**2
    reader_timeout: Annotated[
        float, Setting(seconds, "seconds until a reader that takes nothing is dropped")
    ] = 30.0
    disconnect_grace_seconds: Annotated[
        float | None, Setting(seconds_or_none_at_all, "cancel an answer that nobody has watched for so long")
    ] = None
    connect_timeout: Annotated[float, Setting(seconds, "seconds to reach Ollama")] = 5.0
    first_token_timeout: Annotated[
        float, Setting(seconds, "seconds until Ollama's first token, loading the model included")
    ] = 360.0
    token_timeout: Annotated[float, Setting(seconds, "seconds between two tokens of Ollama's")] = 60.0
    heartbeat_seconds: Annotated[float, Setting(seconds, "at most this long without a frame")] = 10.0
    context_window: Annotated[
        int | None,
        Setting(whole(256, 100_000_000), "tokens the prompt and the answer share; learned where it is unset"),
    ] = None
    log_format: Annotated[str, Setting(one_of("text", "json"), "text, or json for machines")] = "text"
    log_level: Annotated[
        str, Setting(one_of("debug", "info", "warning", "error"), "debug, info, warning or error")
    ] = "info"

    def __post_init__(self) -> None:
        for spec in fields(self):
            given = getattr(self, spec.name)
            if given is not spec.default:
                object.__setattr__(self, spec.name, _read(spec.name.upper(), given))

    @property
    def database_path(self) -> Path:
        return Path(self.database_url.removeprefix(_SQLITE))

    @property
    def beyond_loopback(self) -> bool:
        """Whether others than this machine's own programs may reach it."""
        if is_ip(self.host):
            return not ip_address(self.host).is_loopback
        return self.host != "localhost"

    @property
    def token(self) -> str | None:
        """API_TOKEN, or else what its file holds. Raises StartError where that is no token."""
        if self.api_token is not None or self.api_token_file is None:
            return self.api_token
        name = f"The file {self.api_token_file} of API_TOKEN_FILE"
        try:
            return credential(Path(self.api_token_file).read_text(encoding="utf-8"))
        except OSError as error:
            raise StartError(f"{name} cannot be read ({error.strerror}); make it readable.") from error
        except ValueError as error:
            raise StartError(f"{name} holds no token; write one word of printable ASCII to it.") from error


SETTINGS: Final[Mapping[str, Setting]] = {
    name.upper(): hint.__metadata__[0] for name, hint in get_type_hints(Config, include_extras=True).items()
}


def _read(name: str, given: object) -> object:
    setting = SETTINGS[name]
    try:
        return setting.read(given)
    except ValueError as remedy:
        raise StartError(f"{name} is {setting.shown(given)!r}, which cannot be used: {remedy}.") from None


class LoadedConfig(Struct, frozen=True):
    """`sources` says for each setting where its value came from: flag, environment, .env or default."""

    config: Config
    sources: Mapping[str, str]

    def table(self) -> str:
        """One line `NAME value source` per setting, secrets masked."""
        rows = [
            (name, setting.shown(getattr(self.config, name.lower())), self.sources[name])
            for name, setting in SETTINGS.items()
        ]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "\n".join(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}" for row in rows)


def add_flags(parser: ArgumentParser) -> None:
    """One flag per setting; what it was given is found under the setting's name."""
    group = parser.add_argument_group("settings (also as environment variables and in .env)")
    for name, setting in SETTINGS.items():
        flags = [f"--{each.lower().replace('_', '-')}" for each in (name, *setting.aliases)]
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if setting.read is truth else {}
        group.add_argument(*flags, dest=name, metavar="VALUE", help=f"{name}: {setting.help}", **bare)


def load(flags: Mapping[str, Any], environ: Mapping[str, str], dotenv: Path) -> LoadedConfig:
    """Flags win over the environment, that over the file `dotenv`, that over the defaults.

    An empty value counts as unset, and so does an API_TOKEN where a file for it is named in a place that
    wins over the token's. Raises StartError.
    """
    places = {"flag": flags, "environment": environ, ".env": _values(dotenv)}
    found = {name: _find((name, *setting.aliases), places) for name, setting in SETTINGS.items()}
    order = [*places, "default"]
    if order.index(found["API_TOKEN_FILE"][1]) < order.index(found["API_TOKEN"][1]):
        found["API_TOKEN"] = None, "default"
    given: dict[str, Any] = {name.lower(): value for name, (value, _) in found.items() if value is not None}
    return LoadedConfig(Config(**given), {name: place for name, (_, place) in found.items()})


def _values(dotenv: Path) -> Mapping[str, str | None]:
    try:
        return dotenv_values(dotenv)
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"{dotenv} cannot be read ({error}): make it a readable UTF-8 file, or remove it."
        ) from error


def _find(names: tuple[str, ...], places: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, str]:
    for place, values in places.items():
        for name in names:
            value = values.get(name)
            if value and value.strip():
                return value, place
    return None, "default"
