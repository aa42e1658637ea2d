"""The settings: one table, read from flags, then the environment, then `.env`, then the defaults.

Only `command` reads them; everything else gets a finished `Config` and never looks at the environment.
"""

import os
import re
from argparse import ArgumentParser
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_type_hints

from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from chatproxy import values
from chatproxy.errors import StartError
from chatproxy.system.files import is_exposed
from chatproxy.values import Token

# Options of a message that make Ollama reload the model, for everyone who uses it. Those of the second line
# are older Ollamas'.
RELOADING: Final = (
    *("main_gpu", "num_batch", "num_ctx", "num_gpu", "num_thread", "use_mmap"),
    *("embedding_only", "f16_kv", "logits_all", "low_vram", "num_gqa", "numa", "rope_frequency_base"),
    *("rope_frequency_scale", "use_mlock", "vocab_only"),
)
# What a message may say only if the operator allows it, because it reaches beyond its own answer.
OPERATORS_OPTIONS: Final = ("keep_alive", *RELOADING)
# Settings that are a secret, which another one may name a file for.
WITH_FILE: Final = ("API_TOKEN", "JWT_SECRET")
# What OpenSSL reads from the environment itself, and chatproxy takes quotes off.
FOR_OPENSSL: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
# What other servers read, and some set here for nothing: uvicorn's name for trusted proxies.
NOT_READ: Final = ("FORWARDED_ALLOW_IPS",)
ENVIRONMENT: Final = "environment"
UNQUOTED: Final = f"{ENVIRONMENT}, unquoted"  # a value that had quotes around it
T = TypeVar("T")
_PASSWORD: Final = re.compile(r"(?<=//)[^/]*@")
_PARAMETER: Final = re.compile(r"(?<=[?&]password=)[^&]+")


class Setting(Struct, frozen=True):
    """A row of the table: how to read a value, and what it means, for `--help`."""

    read: Callable[[object], object]
    help: str
    aliases: tuple[str, ...] = ()
    secret: bool = False

    def masked(self, value: object) -> str:
        """Return a value as people see it: on one line, without secrets."""
        if value is None or value == ():
            return "-"
        if self.secret:
            return "****"
        if isinstance(value, bool):
            return str(value).lower()
        joined = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        joined = _PARAMETER.sub("****", _PASSWORD.sub("****@", joined))
        return on_one_line(joined)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings in force, checked and normalized on construction.

    Each field is a setting. Its name in capitals is the environment variable, its name with dashes the flag.
    Raises StartError, which names the setting, the value and what to use instead.
    """

    host: Annotated[str, Setting(values.address, "address to listen on")] = "127.0.0.1"
    port: Annotated[int, Setting(values.integer(0, 65535), "port to listen on; 0 picks a free one")] = 11435
    ollama_host: Annotated[
        str,
        Setting(
            values.ollama_urls,
            "address of Ollama, in Ollama's own syntax, or with name:password@; or several: a:11434,b:11434",
            aliases=("OLLAMA_BASE_URL",),
        ),
    ] = "http://127.0.0.1:11434"
    ollama_api_key: Annotated[
        str | None, Setting(values.credential, "bearer token to send to Ollama", secret=True)
    ] = field(default=None, repr=False)
    ollama_headers: Annotated[
        tuple[tuple[str, str], ...],
        Setting(
            values.ollama_headers,
            'headers to send to Ollama, for a proxy in front of it: JSON such as {"X-Key": "value"}',
            secret=True,
        ),
    ] = field(default=(), repr=False)
    database_url: Annotated[
        str,
        Setting(
            values.database_url,
            "database file, sqlite:///relative/path or sqlite:////absolute/path, or PostgreSQL's"
            " postgresql://user:password@host/database",
        ),
    ] = "sqlite:///chatproxy.db"
    enable_streaming: Annotated[
        bool, Setting(values.boolean, "false: the streaming endpoint returns one JSON object")
    ] = True
    default_model: Annotated[
        str, Setting(values.token, "name of the default model, or auto to choose one for each message")
    ] = "auto"
    embedding_model: Annotated[
        str,
        Setting(
            values.token,
            "name of the model that documents are searched by meaning with, auto to choose an installed one,"
            " or none to search by words alone",
        ),
    ] = "auto"
    passthrough: Annotated[
        bool,
        Setting(values.boolean, "off: Ollama's, OpenAI's and Anthropic's APIs are not passed on to Ollama"),
    ] = True
    system_prompt: Annotated[
        str | None, Setting(values.text, "system prompt of sessions that have none of their own")
    ] = None
    allowed_options: Annotated[
        tuple[str, ...],
        Setting(
            values.comma_separated(values.one_of(*OPERATORS_OPTIONS)),
            "options of messages that concern all users of a model, separated by commas, such as keep_alive"
            " and num_ctx; * allows all",
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Setting(
            values.comma_separated(values.origin),
            "origins whose pages may call the API, separated by commas; * allows all, without credentials",
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Setting(
            values.comma_separated(values.address),
            "host names that requests may use for this server, separated by commas; * allows all",
        ),
    ] = ()
    api_token: Annotated[
        str | None, Setting(values.credential, "token that requests must send", secret=True)
    ] = field(default=None, repr=False)
    api_token_file: Annotated[
        str | None,
        Setting(values.file_name, "file that contains the token, or lines `name token`, each a user's"),
    ] = None
    insecure_no_token: Annotated[
        bool, Setting(values.boolean, "allow listening beyond loopback without a token")
    ] = False
    trusted_user_header: Annotated[
        str | None, Setting(values.header_name, "header with the user's name, set by a trusted proxy")
    ] = None
    fold_user_names: Annotated[
        bool,
        Setting(
            values.boolean, "true: forms of a user's name that differ in case or Unicode only are one user"
        ),
    ] = False
    trusted_address_header: Annotated[
        str | None, Setting(values.header_name, "header with the client's address, set by a trusted proxy")
    ] = None
    jwt_secret: Annotated[
        str | None,
        Setting(
            values.signing_secret, "secret with which your own server signs its users' tokens", secret=True
        ),
    ] = field(default=None, repr=False)
    jwt_secret_file: Annotated[
        str | None,
        Setting(values.file_name, "file that contains the secret; several lines: the first one signs"),
    ] = None
    visitors: Annotated[
        bool, Setting(values.boolean, "true: pages that may call the API may ask for a visitor's token")
    ] = False
    visitors_per_minute: Annotated[
        int, Setting(values.integer(1), "new visitors a minute; more are rejected (429)")
    ] = 60
    visitors_per_address: Annotated[
        int,
        Setting(
            values.integer(1), "visitors that one address counts for at most: new ones a minute, and sends"
        ),
    ] = 10
    visitor_answers: Annotated[
        int, Setting(values.integer(1), "answers of a visitor at once; more are rejected (429)")
    ] = 2
    visitor_sends_per_minute: Annotated[
        int,
        Setting(values.integer(1), "what a visitor may send or change a minute; more is rejected (429)"),
    ] = 20
    visitor_sessions: Annotated[
        int, Setting(values.integer(1), "sessions of a visitor; more are rejected (429)")
    ] = 50
    visitor_bytes: Annotated[
        int,
        Setting(
            values.integer(1, 900 * 1024**2),
            "bytes of all that a visitor has; more are rejected (429)",
        ),
    ] = 20 * 1024**2
    visitor_days: Annotated[
        int,
        Setting(values.integer(1, 365), "days after its last use until what a visitor has is deleted"),
    ] = 30
    max_concurrent_generations: Annotated[
        int, Setting(values.integer(1), "answers generated at once; more wait in a queue")
    ] = 64
    max_queued_generations: Annotated[
        int, Setting(values.integer(0), "answers waiting in the queue; more are rejected (503)")
    ] = 512
    ollama_num_parallel: Annotated[
        int | None,
        Setting(
            values.ollama_parallel,
            "requests that Ollama runs at once for each model, as in its environment; unset: learned",
        ),
    ] = None
    max_subscribers: Annotated[
        int, Setting(values.integer(1), "subscribers of one answer; more are rejected (429)")
    ] = 256
    max_connections: Annotated[
        int,
        Setting(
            values.integer(1),
            "open connections to this server; more replace idle ones, or are rejected (503)",
        ),
    ] = 4096
    max_document_bytes: Annotated[
        int,
        Setting(values.integer(1, 100 * 1024**2), "bytes in an uploaded document; more are rejected (413)"),
    ] = 10 * 1024**2
    reader_timeout: Annotated[
        float, Setting(values.seconds, "seconds until a client that takes no data is disconnected")
    ] = 30.0
    disconnect_grace_seconds: Annotated[
        float | None,
        Setting(
            values.non_negative_seconds,
            "seconds without a subscriber until an answer is cancelled; unset: it goes on",
        ),
    ] = None
    connect_timeout: Annotated[float, Setting(values.seconds, "seconds to connect to Ollama")] = 5.0
    first_token_timeout: Annotated[
        float, Setting(values.seconds, "seconds until Ollama's first token, including loading the model")
    ] = 360.0
    token_timeout: Annotated[float, Setting(values.seconds, "seconds between two tokens from Ollama")] = 60.0
    heartbeat_seconds: Annotated[
        float, Setting(values.seconds, "maximum seconds between two frames of a stream")
    ] = 10.0
    drain_seconds: Annotated[
        float,
        Setting(
            values.non_negative_seconds,
            "seconds after a signal in which answers under way go on, and no others begin",
        ),
    ] = 0.0
    max_answer_bytes: Annotated[
        int,
        Setting(values.integer(1, 100 * 1024**2), "bytes of an answer and its reasoning; it ends there"),
    ] = 4 * 1024**2
    max_answer_seconds: Annotated[
        float, Setting(values.seconds, "seconds that Ollama may take for an answer; it ends then")
    ] = 3600.0
    context_window: Annotated[
        int | None,
        Setting(
            values.integer(256, 100_000_000),
            "context window in tokens, for prompt and answer; unset: learned from Ollama",
        ),
    ] = None
    log_format: Annotated[str, Setting(values.one_of("text", "json"), "text or json")] = "text"
    log_level: Annotated[
        str, Setting(values.one_of("debug", "info", "warning", "error"), "debug, info, warning or error")
    ] = "info"

    def __post_init__(self) -> None:
        for spec in fields(self):
            name, given = spec.name.upper(), getattr(self, spec.name)
            if given is spec.default:
                continue
            setting = SETTINGS[name]
            try:
                object.__setattr__(self, spec.name, setting.read(given))
            except ValueError as remedy:
                raise StartError(
                    f"{name} is {setting.masked(given)!r}, which cannot be used: {remedy}."
                ) from None
        if len(self.per_ollama()) > 1:
            return  # each was checked as the only one
        if len(self._authorizations) > 1:
            *others, last = self._authorizations
            raise StartError(
                f"{', '.join(others)} and {last} each set Authorization in requests to Ollama; keep one."
            )

    @property
    def _authorizations(self) -> Mapping[str, str]:
        """What each setting would have sent as `Authorization` to Ollama."""
        url = URL(self.ollama_host)
        found = {}
        if url.user is not None:
            name_and_password = f"{url.user}:{url.password or ''}".encode()
            found["OLLAMA_HOST"] = f"Basic {b64encode(name_and_password).decode()}"
        if self.ollama_api_key is not None:
            found["OLLAMA_API_KEY"] = f"Bearer {self.ollama_api_key}"
        for name, value in self.ollama_headers:
            if name.lower() == "authorization":
                found["OLLAMA_HEADERS"] = value
        return found

    def per_ollama(self) -> "Sequence[Config]":
        """Return the settings for each Ollama that `ollama_host` names, as if it were the only one."""
        if values.is_one_url(self.ollama_host):
            return [self]
        return [replace(self, ollama_host=url) for url in self.ollama_host.split(",")]

    @property
    def ollama_url(self) -> str:
        """The address of the only Ollama, without a password."""
        return str(URL(self.ollama_host).with_user(None))

    @property
    def headers_for_ollama(self) -> Mapping[str, str]:
        """What every request to Ollama carries for those in front of it."""
        headers = CIMultiDict(self.ollama_headers)
        for value in self._authorizations.values():
            headers["Authorization"] = value
        return headers

    @property
    def credentials_for_ollama(self) -> Sequence[str]:
        """The settings that any of these headers come from."""
        names = dict.fromkeys(self._authorizations)
        if self.ollama_headers:
            names["OLLAMA_HEADERS"] = None
        return tuple(names)

    @property
    def database(self) -> Path | str:
        """The file that `database_url` names, or the URL itself where it is PostgreSQL's."""
        if self.database_url.startswith(values.SQLITE):
            return Path(self.database_url.removeprefix(values.SQLITE))
        return self.database_url

    @property
    def database_path(self) -> Path:
        """The file that `database_url` names, which has to be one."""
        assert isinstance(self.database, Path), "it is PostgreSQL's"
        return self.database

    @property
    def beyond_loopback(self) -> bool:
        """Whether programs on other machines may reach this server."""
        if values.is_ip(self.host):
            return not ip_address(self.host).is_loopback
        return self.host != "localhost"

    @property
    def is_open_to_all(self) -> bool:
        """Whether other machines may reach this server, and need no token there."""
        return self.beyond_loopback and self.insecure_no_token and not self.tokens

    def user(self, name: str) -> str:
        """Return a user's name in the form in which names are compared and stored."""
        return values.folded(name) if self.fold_user_names else name

    @property
    def tokens(self) -> Sequence[Token]:
        """`api_token`, or else what `api_token_file` holds; requests need none if there are none.

        Raises StartError if the file cannot be used, or holds beyond loopback what is easy to guess.
        """
        tokens = self._read_tokens()
        for token in tokens if self.beyond_loopback else ():
            if values.is_easy_to_guess(token.secret):
                which = (
                    f"The token on line {token.line} of {self.api_token_file}" if token.user else "The token"
                )
                raise StartError(
                    f"{which} is too easy to guess for a server at {self.host}, where others can connect: "
                    f"use {values.MIN_CREDENTIAL} characters or more, such as "
                    "`openssl rand -base64 24` prints."
                )
        return tokens

    def _read_tokens(self) -> Sequence[Token]:
        if self.api_token is not None:
            return (Token(self.api_token),)
        if self.api_token_file is None:
            return ()
        return _read_secrets(
            "API_TOKEN_FILE", self.api_token_file, lambda content: values.tokens(content, self.user)
        )

    @property
    def jwt_secrets(self) -> Sequence[str]:
        """`jwt_secret`, or else what `jwt_secret_file` holds; without any, no signed token counts.

        Raises StartError if the file cannot be used.
        """
        if self.jwt_secret is not None:
            return (self.jwt_secret,)
        if self.jwt_secret_file is not None:
            return _read_secrets("JWT_SECRET_FILE", self.jwt_secret_file, values.signing_secrets)
        return ()


def _read_secrets(setting: str, path: str, read: Callable[[str], Sequence[T]]) -> Sequence[T]:
    """Return what a file with secrets holds. Raises StartError, which quotes none of them."""
    name = f"The file {path} of {setting}"
    try:
        content = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StartError(f"{name} cannot be read ({error.strerror}); make it readable.") from error
    except UnicodeError as error:
        raise StartError(f"{name} cannot be read; write it in UTF-8.") from error
    try:
        return read(content)
    except ValueError as remedy:
        raise StartError(f"{name} cannot be used: {remedy}.") from None


SETTINGS: Final[Mapping[str, Setting]] = {
    name.upper(): hint.__metadata__[0] for name, hint in get_type_hints(Config, include_extras=True).items()
}

DEFAULTS: Final[Mapping[str, object]] = {spec.name.upper(): spec.default for spec in fields(Config)}


class LoadedConfig(Struct, frozen=True):
    """A Config, and the source of each setting: flag, environment (perhaps unquoted), .env or default.

    `for_openssl` has those variables of FOR_OPENSSL that are set; their sources are among the others.
    `not_read` has those names of NOT_READ that are set.
    """

    config: Config
    sources: Mapping[str, str]
    dotenv: Path
    for_openssl: Mapping[str, str]
    not_read: Sequence[str]

    def exposed_files(self) -> list[Path]:
        """Return the files with a secret that every user of this machine can read or write."""
        secrets = [name for name, setting in SETTINGS.items() if setting.secret]
        files = [self.dotenv] if any(self.sources[name] == ".env" for name in secrets) else []
        for name in WITH_FILE:
            file = getattr(self.config, f"{name}_FILE".lower())
            if file is not None and getattr(self.config, name.lower()) is None:
                files.append(Path(file))
        return [path for path in files if _is_exposed(path)]

    def unused_files(self) -> Mapping[str, str]:
        """Return the files of secrets that do not count because the secret itself is set, by its setting."""
        return {
            name: file
            for name in WITH_FILE
            if (file := getattr(self.config, f"{name}_FILE".lower())) is not None
            and getattr(self.config, name.lower()) is not None
        }

    def table(self) -> str:
        """Return one line `NAME value source` per setting or variable of OpenSSL, with secrets masked."""
        rows = [
            (name, setting.masked(getattr(self.config, name.lower())), self.sources[name])
            for name, setting in SETTINGS.items()
        ]
        for name, value in self.for_openssl.items():
            rows.append((name, on_one_line(value), self.sources[name]))
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "\n".join(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}" for row in rows)


def on_one_line(value: str) -> str:
    """Return a value as a line of output has it."""
    return value if value.isprintable() else repr(value)


def _is_exposed(path: Path) -> bool:
    try:
        return is_exposed(path.stat())
    except OSError:  # it is missing, or cannot be read by this user either; `Config.tokens` says so
        return False


def add_flags(parser: ArgumentParser) -> None:
    """Add one flag per setting; the parsed value is stored under the setting's name."""
    group = parser.add_argument_group("settings (also as environment variables and in .env)")
    for name, setting in SETTINGS.items():
        flags = [f"--{each.lower().replace('_', '-')}" for each in (name, *setting.aliases)]
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if setting.read is values.boolean else {}
        default = setting.masked(DEFAULTS[name]) if DEFAULTS[name] not in (None, ()) else "unset"
        text = f"{name}: {setting.help} (default: {default})".replace("%", "%%")
        group.add_argument(*flags, dest=name, metavar="VALUE", help=text, **bare)


def load(flags: Mapping[str, Any], environ: Mapping[str, str], dotenv: Path) -> LoadedConfig:
    """Return the settings: flags override the environment, which overrides `dotenv`, then the defaults.

    An empty value counts as unset. So does a secret, such as API_TOKEN, if its file's name (API_TOKEN_FILE)
    comes from a source that overrides the secret's. Raises StartError.
    """
    try:
        from_file = _read(dotenv) if os.path.exists(dotenv) else {}
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"{dotenv} cannot be read ({error}): make it a readable UTF-8 file, or remove it."
        ) from error
    places = {"flag": flags, ENVIRONMENT: environ, ".env": from_file}
    found = {name: _find((name, *setting.aliases), places) for name, setting in SETTINGS.items()}
    order = {"flag": 0, ENVIRONMENT: 1, UNQUOTED: 1, ".env": 2, "default": 3}
    for name in WITH_FILE:
        if order[found[f"{name}_FILE"][1]] < order[found[name][1]]:
            found[name] = None, "default"
    given: dict[str, Any] = {name.lower(): value for name, (value, _) in found.items() if value is not None}
    others = {name: _find((name,), places) for name in FOR_OPENSSL}
    for_openssl = {name: value for name, (value, _) in others.items() if value is not None}
    sources = {name: place for name, (_, place) in (*found.items(), *others.items())}
    not_read = [name for name in NOT_READ if _find((name,), places)[0] is not None]
    return LoadedConfig(Config(**given), sources, dotenv, for_openssl, not_read)


def _read(dotenv: Path) -> dict[str, str | None]:
    from dotenv import dotenv_values

    return dotenv_values(dotenv)


def _find(names: tuple[str, ...], places: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, str]:
    """Return the first value under one of these names, and its source.

    A value of the environment counts without the quotes around it, as Ollama reads its own.
    """
    for place, given in places.items():
        for name in names:
            value = given.get(name)
            source = place
            if value and place == ENVIRONMENT and (bare := values.unquoted(value)) != value:
                value, source = bare, UNQUOTED
            if value and value.strip():
                return value, source
    return None, "default"
