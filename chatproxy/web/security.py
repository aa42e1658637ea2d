"""By which name a request may call this server, and from which pages: against DNS rebinding and forgery.

A page elsewhere can make its visitor's browser send requests here. It cannot choose their Host, unless its
own name leads here (rebinding), and it cannot hide its Origin.
"""

import re
from ipaddress import ip_address
from typing import Final

from aiohttp import web

from chatproxy.config import Config, is_ip
from chatproxy.errors import ChatError

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST: Final = re.compile(r"(\[[^\s\[\]@/]+\]|[^\s:\[\]@/]+)(?::[0-9]*)?")
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443"}


class Hosts:
    def __init__(self, config: Config) -> None:
        self._all = config.allowed_hosts == ("*",)
        self._names = frozenset(map(_plain, config.allowed_hosts or (*LOOPBACK, config.host)))
        self._addresses = config.beyond_loopback  # rebinding needs a name
        self._origins = frozenset(config.cors_origins)

    def check_host(self, request: web.Request) -> None:
        """Raises `host_not_allowed`."""
        given = request.headers.get("Host", "")
        found = _HOST.fullmatch(given)
        host = _plain(found[1]) if found else ""
        if not (self._all or host in self._names or (self._addresses and is_ip(host))):
            raise ChatError(
                "host_not_allowed",
                f"This server does not go by the name {shown(given)!r}; to use it, name it in ALLOWED_HOSTS.",
            )

    def check_origin(self, request: web.Request) -> None:
        """Raises `origin_not_allowed`, for what changes something."""
        if request.method in SAFE or "*" in self._origins:
            return
        host = request.headers.get("Host", "")
        for origin in request.headers.getall("Origin", ()):
            if origin not in self._origins and not _is_same(origin, host):
                raise ChatError(
                    "origin_not_allowed",
                    f"Pages from {shown(origin)} may not change anything here, unless CORS_ORIGINS names it.",
                )


def shown(header: str) -> str:
    """For people. Headers need not be UTF-8; what is not, aiohttp gives as lone surrogates."""
    return header[:200].encode(errors="replace").decode()


def _plain(host: str) -> str:
    """A name or an address in its one form."""
    name = host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
    return str(ip_address(name)) if is_ip(name) else name


def _is_same(origin: str, host: str) -> bool:
    """Whatever the scheme, because TLS ends in front; only the port that it implies is its own."""
    scheme, _, place = origin.lower().partition("://")
    port = _DEFAULT_PORT.get(scheme, "")
    return place != "" and place.removesuffix(port) == host.lower().removesuffix(port)
