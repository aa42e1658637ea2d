"""Cross-origin requests, through aiohttp-cors: pages from CORS_ORIGINS may call, by default none."""

from collections.abc import Sequence
from typing import Final

import aiohttp_cors
from aiohttp import web

from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.web.faces.dialects import CHATPROXY, PAGES, dialect_at
from chatproxy.web.keys import CONFIG

# Those that pages may send to chatproxy's own routes. Clients of other APIs have more of their own.
HEADERS: Final = ("Authorization", "Content-Type", "Last-Event-ID", "X-Request-Id", "x-api-key")
# Those of responses that pages may read.
EXPOSED: Final = (
    "Content-Type",
    "X-Request-Id",
    "Retry-After",
    "Server-Timing",
    "X-Error-Code",
    "X-Resumable-Stream-Id",
)
# What takes any header.
LENIENT: Final = web.AppKey("LENIENT", frozenset[web.AbstractResource])


def set_up(app: web.Application, config: Config) -> None:
    """Allow the origins on every route. Call it after all routes have been added."""
    if config.cors_origins:
        app.on_response_prepare.append(_vary_by_origin)
    app[LENIENT] = frozenset(
        resource
        for resource in app.router.resources()
        if dialect_at(resource.canonical) not in (CHATPROXY, PAGES)
    )
    cors = aiohttp_cors.setup(app)
    if not config.cors_origins:
        app.on_response_prepare.pop()  # it has nothing to add to a response
    for route in list(app.router.routes()):
        cors.add(route, _options(config, "*" if route.resource in app[LENIENT] else HEADERS))


def _options(config: Config, headers: str | Sequence[str]) -> dict[str, aiohttp_cors.ResourceOptions]:
    return {
        origin: aiohttp_cors.ResourceOptions(
            allow_credentials=origin != "*",
            allow_headers=headers,
            expose_headers=EXPOSED,
            max_age=600,  # seconds
        )
        for origin in config.cors_origins
    }


def refusal(request: web.Request) -> ChatError:
    """Return the error of an OPTIONS request that aiohttp-cors has refused, by its cause."""
    return ChatError("origin_not_allowed", _cause(request))


def _cause(request: web.Request) -> str:
    origin = request.headers.get("Origin")
    method = request.headers.get("Access-Control-Request-Method")
    if origin is None or method is None:
        return "OPTIONS is for preflights only; send Origin and Access-Control-Request-Method as browsers do."
    if not {origin, "*"} & set(request.app[CONFIG].cors_origins):
        return f"Pages from {origin[:200]} may not call this server; to let them, name it in CORS_ORIGINS."
    if other := _refused_headers(request):
        return (
            f"Pages elsewhere may not send {', '.join(other)[:200]}; send no more than {', '.join(HEADERS)}."
        )
    return (
        f"Pages elsewhere may not use {method[:20]} here; use a method that docs/api.md has for this address."
    )


def _refused_headers(request: web.Request) -> Sequence[str]:
    if request.match_info.route.resource in request.app[LENIENT]:
        return ()
    known = {"", *(name.lower() for name in HEADERS)}
    wanted = request.headers.get("Access-Control-Request-Headers", "").split(",")
    return [name for name in map(str.strip, wanted) if name.lower() not in known]


async def _vary_by_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Keep caches from giving one origin's headers to another."""
    response.headers.add("Vary", "Origin")
