"""One parser for each kind of setting, from text to a checked value.

A parser takes text, or a value that already has the right type, and returns it in the form that the rest of
the program uses. It raises a ValueError whose message says what to use instead.

msgspec's lax conversion is not used: it would accept `1e3` as an integer and reject `.5` as a number.
"""

import math
import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final
from unicodedata import normalize

import msgspec
from msgspec import Struct
from yarl import URL

SQLITE: Final = "sqlite:///"
POSTGRES: Final = ("postgresql://", "postgres://")
MIN_CREDENTIAL: Final = 16  # characters, of a token that strangers may try to guess
MIN_SECRET: Final = 32  # bytes of an HMAC key with SHA-256 (RFC 7518, §3.2)
MAX_SECRETS: Final = 8  # each is tried for a token that none has signed
MAX_USER: Final = 256  # characters of a user's name, which is stored with each session and document
MOST_OLLAMAS: Final = 64
YEAR: Final = 31_536_000  # seconds; event loops overflow somewhere above it
_INTEGER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_HOST_NAME: Final = re.compile(r"[a-z0-9._-]+", re.ASCII | re.IGNORECASE)
_HOST_PORT: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([^:@\s]*))?")
_OWN_HEADERS: Final = re.compile(  # which belong to one request, or to its connection
    "(accept|content)-encoding|connection|content-length|content-type|expect|host|keep-alive|te|trailer"
    "|transfer-encoding|upgrade",
    re.IGNORECASE,
)
_USER: Final = re.compile(r"[^\s\x00-\x1f\x7f]+")
_COMMA_IN_PASSWORD: Final = re.compile(r"(?:[a-z]+://)?[^/@,]*,[^/@]*@[^@,]*", re.ASCII | re.IGNORECASE)
_PATH: Final = re.compile(r"[!-~]*", re.ASCII)
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*\\]+", re.IGNORECASE)
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+", re.ASCII | re.IGNORECASE)


def unquoted(value: str) -> str:
    """Return a value of the environment without the quotes around it, which `docker --env-file` leaves there.

    Quotes that are part of the value stay: those of `"yes" or "no"`, or of a word that has one at one end.
    """
    given = value.strip()
    quote = given[:1]
    is_quoted = quote in {'"', "'"} and len(given) > 1 and given.find(quote, 1) == len(given) - 1
    return given[1:-1] if is_quoted else value


def text(value: object) -> str:
    """Return text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("use some text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("use text in UTF-8")
    return value


def token(value: object) -> str:
    """Return one word, without the spaces around it."""
    trimmed = text(value).strip()
    if not trimmed.isprintable() or " " in trimmed:
        raise ValueError("use one word, without spaces and control characters")
    return trimmed


def credential(value: object) -> str:
    """Return a token or key in printable ASCII, because it travels in a header."""
    if not token(value).isascii():
        raise ValueError("use the key as it was issued, in printable ASCII")
    return token(value)


def is_easy_to_guess(credential: str) -> bool:
    """Return whether a program would find it by trying: it is short, or made of up to three characters."""
    return len(credential) < MIN_CREDENTIAL or len(set(credential)) < 4


def user_name(value: object) -> str:
    """Return the name of a user, without the spaces around it."""
    name = str(value).strip()
    if not name or not name.isprintable():
        raise ValueError("use a name of printable characters")
    if len(name) > MAX_USER:
        raise ValueError(f"use a name of at most {MAX_USER} characters")
    return name


def folded(name: str) -> str:
    """Return what is equal for canonical caseless matches of a name (Unicode, D145), in NFC."""
    return normalize("NFC", normalize("NFD", name).casefold())


# Begins the name of a visitor, as what belongs to them is stored. No user's name begins so (`user_name`).
VISITOR: Final = "\tvisitor:"


def is_visitor(owner: str) -> bool:
    """Return whether an owner's name is that of a visitor."""
    return owner.startswith(VISITOR)


class Token(Struct, frozen=True):
    """What a request may send for access: the user is "" if it names none; `line` is its line in a file."""

    secret: str
    user: str = ""
    line: int = 1


def tokens(content: str, user_form: Callable[[str], str] = str) -> tuple[Token, ...]:
    """Return what a file of tokens holds: a single word, or lines of a user's name and a token.

    Blank lines do not count, nor do those that begin with `#`. One line may have a token alone. Names are
    compared in the form that `user_form` returns. The message of the ValueError quotes nothing, because it
    may be a token.
    """
    lines = enumerate((line.split() for line in content.split("\n")), start=1)
    is_single = len(content.split()) == 1
    found: dict[str, Token] = {}  # by user
    secrets: dict[str, Token] = {}
    for number, words in lines:
        if words and (is_single or not words[0].startswith("#")):
            try:
                token = _token(words, number, user_form)
                if (other := found.setdefault(token.user, token)) is not token:
                    raise ValueError(
                        f"name another user than on line {other.line}"
                        if token.user
                        else f"name a user, as only one line may have none, such as line {other.line}"
                    )
                if (other := secrets.setdefault(token.secret, token)) is not token:
                    raise ValueError(f"use another token than on line {other.line}")
            except ValueError as remedy:
                raise ValueError(f"on line {number}, {remedy}") from None
    if not found:
        raise ValueError("write a token to it, or lines of a user's name and a token")
    return tuple(found.values())


def _token(words: Sequence[str], line: int, user_form: Callable[[str], str]) -> Token:
    if len(words) > 2:
        raise ValueError("write one name and one token, without spaces in them")
    user = user_form(user_name(words[0])) if len(words) == 2 else ""
    return Token(credential(words[-1]), user, line)


def signing_secret(value: object) -> str:
    """Return a secret to sign tokens with: one word of 32 bytes or more, which cannot be guessed."""
    secret = credential(value)
    if len(secret) < MIN_SECRET or is_easy_to_guess(secret):
        raise ValueError(
            f"use {MIN_SECRET} random characters or more, such as `openssl rand -base64 48` prints"
        )
    return secret


def signing_secrets(content: str) -> tuple[str, ...]:
    """Return what a file of secrets holds, one on each line; blank lines and `#` comments do not count.

    The message of the ValueError quotes nothing, because it may be a secret.
    """
    found: dict[str, None] = {}
    for number, line in enumerate(content.split("\n"), start=1):
        if (secret := line.strip()) and not secret.startswith("#"):
            try:
                found[signing_secret(secret)] = None
            except ValueError as remedy:
                raise ValueError(f"on line {number}, {remedy}") from None
    if not found:
        raise ValueError(f"write a secret of {MIN_SECRET} characters or more to it")
    if len(found) > MAX_SECRETS:
        raise ValueError(f"keep the newest {MAX_SECRETS} secrets, the first of which signs")
    return tuple(found)


def header_name(value: object) -> str:
    """Return the name of an HTTP header (RFC 9110 §5.1)."""
    if not _HEADER_NAME.fullmatch(token(value)):
        raise ValueError("use the name of a header, as X-Forwarded-User")
    return token(value)


def ollama_headers(value: object) -> tuple[tuple[str, str], ...]:
    """Return headers to send: JSON, `{"X-Key": "…"}`, or a line `X-Key: …` for each."""
    if isinstance(value, tuple):
        return value
    given = text(value).strip()
    remedy = 'use lines such as `X-Key: value`, or JSON such as {"X-Key": "value"}'
    if given.startswith("{"):
        try:
            pairs = list(msgspec.json.decode(given, type=dict[str, str]).items())
        except msgspec.DecodeError:
            raise ValueError(remedy) from None
    else:
        lines = [line.partition(":") for line in given.splitlines() if line.strip()]
        if not all(colon for _, colon, _ in lines):
            raise ValueError(remedy)
        pairs = [(name, value) for name, _, value in lines]
    for name, _ in pairs:
        if _OWN_HEADERS.fullmatch(name.strip()):
            raise ValueError(f"leave out {name.strip()}, which belongs to the connection")
    return tuple([(header_name(name), _header_value(value)) for name, value in pairs])


def _header_value(value: str) -> str:
    if not value.strip().isprintable() or not value.isascii():
        raise ValueError("use printable ASCII in the values of headers")
    return text(value).strip()


def address(value: object) -> str:
    """Return a host name or IP address in lower case, without brackets."""
    host = token(value).removeprefix("[").removesuffix("]")
    if not is_ip(host) and not _HOST_NAME.fullmatch(host):
        raise ValueError("use an IP address or a host name of this machine, as 127.0.0.1")
    return host.lower()


def boolean(value: object) -> bool:
    """Return true, 1, yes and on as True; false, 0, no and off as False."""
    word = str(value).strip().lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"false", "0", "no", "off"}:
        return False
    raise ValueError("use true or false")


def integer(minimum: int, maximum: int = 1_000_000) -> Callable[[object], int]:
    """Return a parser of decimal digits within these bounds."""

    def read(value: object) -> int:
        digits = str(value).strip()
        if not _INTEGER.fullmatch(digits) or not minimum <= int(digits) <= maximum:
            raise ValueError(f"use a whole number from {minimum} to {maximum}")
        return int(digits)

    return read


def seconds(value: object) -> float:
    """Return a duration of more than 0 and at most a year."""
    number = _number(value)
    if not 0 < number <= YEAR:
        raise ValueError(f"use a number of seconds above 0, up to {YEAR}")
    return number


def non_negative_seconds(value: object) -> float:
    """Return a duration from 0 to a year, for a setting that can also be unset."""
    number = _number(value)
    if not 0 <= number <= YEAR:
        raise ValueError(f"use a number of seconds from 0 to {YEAR}, or leave it unset")
    return number


def comma_separated(read_one: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    """Return a parser of `"a, b"` or of a list or tuple; `*` alone stands for all."""

    def read(value: object) -> tuple[str, ...]:
        given = value.split(",") if isinstance(value, str) else value
        if not isinstance(given, list | tuple):
            raise ValueError("use names separated by commas, or *")
        found = tuple(str(each).strip() for each in given if str(each).strip())
        return found if found == ("*",) else tuple(map(read_one, found))

    return read


def file_name(value: object) -> str:
    """Return the name of a file, which need not exist."""
    if "\0" in str(value):
        raise ValueError("use the name of a file")
    return text(str(value)).strip()


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a parser of one of these words, in any case."""

    def read(value: object) -> str:
        choice = str(value).strip().lower()
        if choice not in choices:
            raise ValueError(f"use one of {', '.join(choices)}")
        return choice

    return read


def database_url(value: object) -> str:
    """Return the URL of a database: `sqlite:///` and a file's path, or PostgreSQL's."""
    url = text(value).strip()
    if url.startswith(POSTGRES):
        return url
    name = url.removeprefix(SQLITE)
    if name == url or not name or name.endswith("/") or ":memory:" in name or "?" in name:
        raise ValueError(
            f"use a file, as {SQLITE}chatproxy.db, or with four slashes an absolute path, or "
            f"{POSTGRES[0]}user:password@host/database"
        )
    return url


def without_password(url: str) -> str:
    """Return the URL of a database as people see it: without a password and further parameters."""
    start, _, parameters = url.partition("?")
    scheme, separator, rest = start.partition("://")
    user, at, hosts = rest.rpartition("@")
    if not at and "@" in parameters:  # the question mark may be the password's
        return f"{scheme}{separator}{rest.partition(':')[0]}"
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{hosts}"


def origin(value: object) -> str:
    """Return an origin as browsers serialize it (RFC 6454 §6.2)."""
    remedy = "use exact origins, scheme://host or scheme://host:port without a slash at the end, or * alone"
    if not _ORIGIN.fullmatch(given := text(value)):
        raise ValueError(remedy)
    try:
        return str(URL(given).origin())
    except ValueError:
        raise ValueError(remedy) from None


def ollama_url(value: object) -> str:
    """Return a URL without a trailing slash, read as Ollama reads OLLAMA_HOST (`envconfig.Host`).

    Without a scheme, it is http on port 11434; with one, the port defaults to the scheme's. A port that is
    not a valid number counts as absent, as in Ollama. The unspecified address (0.0.0.0 or ::), on which a
    server listens, means loopback here. What Ollama does not read: a name and a password before an `@`, for a
    proxy in front of it, in which other characters than letters and digits are percent-encoded if need be.
    """
    given = text(value).strip()
    scheme, separator, rest = ("https://ollama.com" if given == "ollama.com" else given).partition("://")
    if not separator:
        scheme, rest = "", scheme
    default = {"http": 80, "https": 443}.get(scheme.lower()) if separator else 11434
    before, _, path = rest.partition("/")
    user, at, host_port = before.rpartition("@")
    if at and not _USER.fullmatch(user):
        raise ValueError(
            "write the name and the password as http://name:password@host, with %40 for an @ in them, %2F for"
            " a slash and %3A for a colon"
        )
    parts = _split_host(host_port)
    if (
        default is None
        or parts is None
        or "://" in rest
        or not _PATH.fullmatch(path)
        or "?" in path
        or "#" in path
    ):
        raise ValueError("use the address of Ollama, as 127.0.0.1:11434 or https://ollama.example/path")
    host, digits = parts
    port = int(digits) if _INTEGER.fullmatch(digits) and int(digits) <= 65535 else default
    if port == 0:
        raise ValueError("use the port that Ollama listens on, by default 11434")
    return f"{scheme.lower() if separator else 'http'}://{user}{at}{host}:{port}/{path}".rstrip("/")


def is_one_url(given: str) -> bool:
    """Return whether this is no list of addresses."""
    return "," not in given or _COMMA_IN_PASSWORD.fullmatch(given) is not None


def ollama_urls(value: object) -> str:
    """Return the URLs of several Ollamas, joined by commas, each as `ollama_url` returns it.

    A comma before the `@` of a single one is part of its password.
    """
    given = text(value)
    if is_one_url(given):
        return ollama_url(given)
    urls = [ollama_url(each) for each in given.split(",")]
    if len({URL(each).with_user(None) for each in urls}) < len(urls):
        raise ValueError("name each Ollama once")
    if len(urls) > MOST_OLLAMAS:
        raise ValueError(f"use at most {MOST_OLLAMAS} addresses")
    return ",".join(urls)


def ollama_parallel(value: object) -> int | None:
    """Return how many requests Ollama runs at once, as OLLAMA_NUM_PARALLEL says to it, too.

    It is at least 1. As in Ollama (`envconfig.Uint`), what is no whole number counts as unset, None. Quotes
    are not read alike: Ollama takes off each one, also without its partner, and no spaces within them.
    """
    digits = re.fullmatch(r"0*([0-9]{1,20})", str(value).strip(), re.ASCII)
    return max(1, int(digits[1])) if digits and int(digits[1]) < 2**64 else None


def is_ip(host: str) -> bool:
    """Return whether this is an IPv4 or IPv6 address, without brackets."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _number(value: object) -> float:
    """Return a number or its text as a float; NaN for everything else."""
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return math.nan
    return math.nan if isinstance(value, bool) else number


def _split_host(host_port: str) -> tuple[str, str] | None:
    """Return the host, as written in a URL, and the text of the port; None if this is not an address."""
    bare = host_port.removeprefix("[").removesuffix("]")
    if is_ip(bare):
        return _connectable(bare), ""
    parts = _HOST_PORT.fullmatch(host_port)
    if parts is None:
        return None
    host, port = parts[1] or parts[2] or "127.0.0.1", parts[3] or ""
    if is_ip(host):
        return _connectable(host), port
    return (host, port) if parts[1] is None and _HOST_NAME.fullmatch(host) else None


def _connectable(host: str) -> str:
    """Return an IP address as written in a URL, with loopback in place of the unspecified address."""
    ip = ip_address(host)
    if ip.version == 4:
        return "127.0.0.1" if ip.is_unspecified else str(ip)
    return "[::1]" if ip.is_unspecified else f"[{ip}]"
