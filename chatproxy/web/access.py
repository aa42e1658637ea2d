"""Who may ask: whoever has the token, for a user where one has to be named. And the paths that are spared."""

import hmac
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.web.keys import owner

HOST: Final = "host"
CREDENTIALS: Final = "credentials"  # token and user

# What is not asked of reads, by their paths, relative to where the application is mounted.
SPARED: Final[Mapping[str, frozenset[str]]] = {
    "/healthz": frozenset({HOST, CREDENTIALS}),
    "/readyz": frozenset({HOST, CREDENTIALS}),
    "/metrics": frozenset({HOST}),
    "/": frozenset({CREDENTIALS}),
    "": frozenset({CREDENTIALS}),  # the mount, which leads to the page
    "/static/{path}": frozenset({CREDENTIALS}),
    "/docs": frozenset({CREDENTIALS}),
    "/openapi.json": frozenset({CREDENTIALS}),
}


def spared(app: web.Application) -> Mapping[web.AbstractRoute, frozenset[str]]:
    """By route, because a mounted application's paths change. To be called when all routes are there."""
    return {
        route: SPARED[route.resource.canonical]
        for route in app.router.routes()
        if route.resource is not None and route.method in {"GET", "HEAD"}
        if route.resource.canonical in SPARED
    }


class Access:
    def __init__(self, config: Config) -> None:
        self._token = config.token

    def check(self, request: web.Request) -> None:
        """Raises `unauthorized`. Browsers send preflights without credentials, whatever follows."""
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return
        if self._token is not None and not _has(request, self._token):
            raise ChatError(
                "unauthorized", "This server asks for its token; send it as `Authorization: Bearer <token>`."
            )
        owner(request)


def _has(request: web.Request, token: str) -> bool:
    """In a time that says nothing about how much of it is right."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    sent = given.strip().encode(errors="surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent, token.encode())
