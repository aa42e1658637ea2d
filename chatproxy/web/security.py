"""What a request must pass before its handler is called: host, origin, token and user, in this order.

A page elsewhere can make its visitor's browser send requests here. It cannot choose their Host, unless its
own name resolves to this server (DNS rebinding). It cannot hide its Origin from what changes something
(cross-site request forgery), nor `Sec-Fetch-Site` from what it only loads and times (cross-site leaks).
"""

import hmac
import re
import secrets
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web

from chatproxy.config import Config
from chatproxy.errors import ChatError, Details, StartError
from chatproxy.values import is_ip, is_visitor, user_name
from chatproxy.web.access.signed import SignedTokens
from chatproxy.web.access.visitors import NOTHING, Visitors, refusal

HOST: Final = "host"
ORIGIN: Final = "origin"
CREDENTIALS: Final = "credentials"  # token and user

# The checks that requests skip, except for preflights, by path relative to where the application is mounted.
# What skips the origin is the same for everyone, and takes the same time whatever is stored.
EXEMPT: Final[Mapping[str, frozenset[str]]] = {
    "/healthz": frozenset({HOST, ORIGIN, CREDENTIALS}),
    "/readyz": frozenset({HOST, CREDENTIALS}),
    "/metrics": frozenset({HOST}),
    "/": frozenset({ORIGIN, CREDENTIALS}),
    "": frozenset({ORIGIN, CREDENTIALS}),  # the mount point, which redirects to the page
    "/static/{path}": frozenset({ORIGIN, CREDENTIALS}),
    "/docs": frozenset({ORIGIN, CREDENTIALS}),
    "/docs/element": frozenset({ORIGIN, CREDENTIALS}),
    "/openapi.json": frozenset({ORIGIN, CREDENTIALS}),
    "/api/login": frozenset({CREDENTIALS}),
    "/api/chat/visitors": frozenset({CREDENTIALS}),
}

# aiohttp-cors copies these into response headers and error texts.
ECHOED: Final = ("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
# What browsers say of requests from pages of this origin, and of those that no page has made.
OWN_SITE: Final = frozenset({"same-origin", "none"})
CONTINUE: Final = "100-continue"
USER: Final = web.RequestKey("USER", str)  # who asks, as the gate has found
# Where a request may have a token; each at most once.
AUTHORIZATION: Final = "Authorization"
API_KEY: Final = "x-api-key"
KNOWN: Final = 64  # hosts, and addresses, that are not read again with each request
PREFIX: Final = 64  # bits of an IPv6 address that are one client's, as providers give them out
_HOST: Final = re.compile(r"(\[[^\s\[\]@/]+\]|[^\s:\[\]@/]+)(?::[0-9]*)?")
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443"}


def names_of(config: Config) -> Sequence[str]:
    """Return the names by which requests may call the server.

    Among them are those of loopback where it listens on nothing else: no other site can have them, and the
    address that is printed at the start has one.
    """
    always = () if config.allowed_hosts and config.beyond_loopback else LOOPBACK
    return tuple(dict.fromkeys((*(config.allowed_hosts or (config.host,)), *always)))


class Gate:
    """The checks for one application. Create it after all routes have been added.

    `tokens` are those of which requests must send one, if there are any; `signed` are further ones, which
    other servers sign, or this one for visitors. Raises StartError if a token or a secret cannot be read, or
    is too easy to guess.
    """

    def __init__(self, app: web.Application, config: Config) -> None:
        # By route, because the paths of a mounted application change.
        self._paths = {
            route: route.resource.canonical for route in app.router.routes() if route.resource is not None
        }
        self._exempt = {
            route: EXEMPT[path]
            for route, path in self._paths.items()
            if route.method != "OPTIONS" and path in EXEMPT
        }
        self._any_host = config.allowed_hosts == ("*",)
        self._hosts = frozenset(map(_normalize_host, names_of(config)))
        self._any_address = config.beyond_loopback  # only names can be rebound
        self._origins = frozenset(config.cors_origins)
        self._user_header = config.trusted_user_header
        self._user_form = config.user
        self._address_header = config.trusted_address_header
        self.tokens = config.tokens
        keys = config.jwt_secrets
        if config.visitors and not keys:
            raise StartError(
                "VISITORS needs a secret to sign tokens with; set JWT_SECRET_FILE or JWT_SECRET."
            )
        self.signed = SignedTokens(keys, config.user, visitors=config.visitors) if keys else None
        self.visitors = Visitors(config) if config.visitors else None
        # Digests of one length, which clients cannot foresee, are compared instead of the tokens.
        self._key = secrets.token_bytes(32)
        self._users = [(self._digest_of(token.secret.encode()), token.user) for token in self.tokens]

    def check(self, request: web.Request) -> None:
        """Raise an error unless the request may go on to its handler.

        It is `malformed`, `host_not_allowed`, `origin_not_allowed`, `unauthorized`, `not_for_visitors`,
        `visitor_limit` or `unsupported_media_type`.
        """
        for name in ECHOED:
            if not request.headers.get(name, "").isascii():  # a response could not repeat it
                raise ChatError("malformed", f"{name} has to be plain ASCII; send it as browsers do.")
        exempt = self._exempt.get(request.match_info.route, frozenset())
        if HOST not in exempt:
            self._check_host(request)
        if ORIGIN not in exempt:
            self._check_origin(request)
        # Browsers send preflights without credentials.
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if CREDENTIALS not in exempt and not is_preflight:
            user = request[USER] = self._user_of_token(request) or self._user_of_proxy(request)
            if self.visitors is not None and is_visitor(user):
                path = self._paths.get(request.match_info.route, NOTHING)
                self.visitors.admit(user, self.address(request), request.method, path)
        if request.headers.get("Expect", CONTINUE).lower() != CONTINUE:
            raise ChatError("malformed", f"Nothing but {CONTINUE} can be expected; send no other Expect.")
        if any(each.lower() != "identity" for each in request.headers.getall("Content-Encoding", ())):
            raise ChatError("unsupported_media_type", "Send the body uncompressed, without Content-Encoding.")

    def _check_host(self, request: web.Request) -> None:
        given = request.headers.get("Host", "")
        match = _HOST.fullmatch(given)
        host = _normalize_host(match[1]) if match else ""
        if not (self._any_host or host in self._hosts or (self._any_address and is_ip(host))):
            raise ChatError(
                "host_not_allowed",
                f"This server does not go by the name {_printable(given)!r}; to use it, set"
                f" ALLOWED_HOSTS={_printable(host) or 'a name'}, or add it there.",
            )

    def _check_origin(self, request: web.Request) -> None:
        if "*" in self._origins:
            return
        origins = request.headers.getall("Origin", ())
        for origin in origins:
            if origin not in self._origins and not _is_own(request, origin):
                raise ChatError(
                    "origin_not_allowed",
                    f"Pages from {_printable(origin)} may not call this server, which goes by the name"
                    f" {_printable(request.headers.get('Host', ''))!r} here; to let them, name the origin in"
                    " CORS_ORIGINS or, if it is this server's, have the proxy in front pass on the Host.",
                )
        # Browsers leave out the Origin of images, scripts and links. Pages that may call need none of them.
        if not origins and not OWN_SITE.issuperset(request.headers.getall("Sec-Fetch-Site", ())):
            raise ChatError(
                "origin_not_allowed",
                "Pages elsewhere may not load or open this; to let them fetch it, name their origin in "
                "CORS_ORIGINS.",
            )

    @property
    def needs_credential(self) -> bool:
        """Whether a request needs a token, unless a proxy names its user."""
        return bool(self.tokens) or self.signed is not None

    def address(self, request: web.Request) -> str:
        """Return the address of the client, as the proxy in front names it if there is one.

        All addresses that one client of IPv6 has are the same.
        """
        given = request.headers.getall(self._address_header, ()) if self._address_header else ()
        # Each proxy appends the address that it has seen.
        named = given[-1].rpartition(",")[2].strip() if given else ""
        return _client(named if named and is_ip(named) else request.remote or "")

    def visitor(self, request: web.Request) -> str | None:
        """Return the visitor whose token a request has; None if it has no signed token.

        Raises `unauthorized` if it is no visitor's, or is good no more.
        """
        users, problem = self._signed_users(_credentials(request))
        user = next(iter(users), "")
        if len(users) == 1 and is_visitor(user):
            return user
        if users or problem:
            problem = problem or "it is no visitor's; send none for a new visitor"
            raise ChatError("unauthorized", f"The token cannot be renewed: {problem}.")
        return None

    def _user_of_token(self, request: web.Request) -> str:
        """Return the user whom the token names, "" if it names none, or none is needed."""
        if not self.needs_credential:
            return ""
        offered = _credentials(request)
        # Each is compared with all, so that the time does not show which one was right.
        users = {
            user
            for each in map(self._digest_of, offered)
            for digest, user in self._users
            if hmac.compare_digest(each, digest)
        }
        signed, problem = self._signed_users(offered)
        users |= signed
        if len(users) > 1:
            raise ChatError("unauthorized", "The request has the tokens of two users; send one.")
        if users:
            return users.pop()
        if not self.tokens and self._user_header is not None and not problem:
            return ""  # the proxy in front says who it is
        if problem:
            raise ChatError("unauthorized", f"The token cannot be used: {problem}.", **self._welcome)
        raise ChatError(
            "unauthorized",
            "The token is missing or wrong; send this server's as `Authorization: Bearer <token>`, as the"
            f" password of Basic, or as `{API_KEY}`.",
            **self._welcome,
        )

    @property
    def _welcome(self) -> Details:
        """What a refusal says besides to those who may become visitors."""
        return {} if self.visitors is None else {"visitors": True}

    def _signed_users(self, offered: Sequence[bytes]) -> tuple[set[str], str]:
        """Return whom signed tokens name, and what is wrong with one of them, "" if nothing is."""
        users: set[str] = set()
        problem = ""
        if self.signed is not None:
            for each in offered:
                try:
                    user = self.signed.owner(each, self._digest_of(each))
                except ValueError as error:
                    problem = str(error)
                else:
                    users |= set() if user is None else {user}
        return users, problem

    def _digest_of(self, credential: bytes) -> bytes:
        return blake2b(credential, key=self._key).digest()

    def _user_of_proxy(self, request: web.Request) -> str:
        """Return the user, from the header that TRUSTED_USER_HEADER names.

        Without that setting there is one nameless user, "". Raises `unauthorized` unless the header occurs
        exactly once, with a name in UTF-8.
        """
        header = self._user_header
        if header is None:
            return ""
        users = request.headers.getall(header, [])
        try:
            return self._user_form(user_name(users[0] if len(users) == 1 else ""))
        except ValueError as remedy:
            raise ChatError(
                "unauthorized",
                f"The request names no user; have the proxy in front set {header} once: {remedy}.",
                **self._welcome,
            ) from None


GATE: Final = web.AppKey("GATE", Gate)


def owner(request: web.Request) -> str:
    """Return the user who asks, and who owns sessions and documents; "" is the nameless one.

    Raises KeyError where the gate has asked for none: on exempt routes.
    """
    return request[USER]


def _credentials(request: web.Request) -> Sequence[bytes]:
    """Return what a request offers as the token.

    There may be several: a proxy's login may be in one header while the token is in the other. Raises
    `unauthorized` if one of them occurs twice, because proxies differ in which one counts.
    """
    offered: list[bytes] = []
    for name, read in ((AUTHORIZATION, _token_in), (API_KEY, bytes)):
        values = request.headers.getall(name, ())
        if len(values) > 1:
            raise ChatError("unauthorized", f"The request has several {name} headers; send one.")
        offered += [read(value.encode(errors="surrogateescape")) for value in values]
    return offered


def _token_in(authorization: bytes) -> bytes:
    """Return the token of Bearer (RFC 6750) or the password of Basic (RFC 7617), b"" of anything else."""
    scheme, _, given = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return given.strip()
    if scheme.lower() == b"basic":
        with suppress(ValueError):
            return b64decode(given.strip(), validate=True).partition(b":")[2]
    return b""


def asker(request: web.Request) -> str:
    """Return who is served in turn with others: the user, or for the nameless one the client's address."""
    return owner(request) or request.app[GATE].address(request)


def check_is_no_visitor(request: web.Request) -> None:
    """Raise `not_for_visitors` for what a call does only in some cases; the gate checks all others."""
    if is_visitor(owner(request)):
        raise refusal()


@lru_cache(KNOWN)
def _client(address: str) -> str:
    """Return the address, or the network of IPv6, that is one client's."""
    if not is_ip(address) or not isinstance(ip := ip_address(address), IPv6Address):
        return address
    return str(ip.ipv4_mapped or IPv6Network((int(ip), PREFIX), strict=False))


@lru_cache(KNOWN)
def _normalize_host(host: str) -> str:
    """Return a host name or address in the one form in which hosts are compared."""
    name = host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
    return str(ip_address(name)) if is_ip(name) else name


def _is_own(request: web.Request, origin: str) -> bool:
    """Return whether a request comes from a page of this server, also if a proxy in front changes the Host.

    Browsers say so in `Sec-Fetch-Site` (Fetch Metadata, 2.3) over TLS and to loopback. Pages elsewhere can
    send neither that nor `X-Forwarded-Host`, for which browsers would ask first.
    """
    headers = request.headers
    if headers.getall("Sec-Fetch-Site", ()) == ["same-origin"]:
        return True
    names = [headers.get("Host", ""), *headers.get("X-Forwarded-Host", "").split(",")]
    return any(_is_same_origin(origin, name.strip()) for name in names)


def _is_same_origin(origin: str, host: str) -> bool:
    """Compare the host and port of an Origin with a Host header.

    The schemes may differ, because a proxy may terminate TLS. The scheme's default port is implied.
    """
    scheme, _, place = origin.lower().partition("://")
    port = _DEFAULT_PORT.get(scheme, "")
    return place != "" and place.removesuffix(port) == host.lower().removesuffix(port)


def _printable(header: str) -> str:
    """Return a header's value for an error sentence; aiohttp decodes what is not UTF-8 as lone surrogates."""
    return header[:200].encode(errors="replace").decode()
