"""Cross-origin requests, through aiohttp-cors: pages from CORS_ORIGINS may call, by default none."""

from typing import Final

import aiohttp_cors
from aiohttp import web

from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.web.keys import CONFIG

# Those that pages may send.
HEADERS: Final = ("Authorization", "Content-Type", "Last-Event-ID", "X-Request-Id")


def set_up(app: web.Application, config: Config) -> None:
    """Allow the origins on every route. Call it after all routes have been added."""
    options = {
        origin: aiohttp_cors.ResourceOptions(
            allow_credentials=origin != "*",
            allow_headers=HEADERS,
            expose_headers=("Content-Type", "X-Request-Id", "Retry-After"),
            max_age=600,  # seconds
        )
        for origin in config.cors_origins
    }
    if options:
        app.on_response_prepare.append(_vary_by_origin)
    cors = aiohttp_cors.setup(app, defaults=options)
    for route in list(app.router.routes()):
        cors.add(route)


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
    wanted = request.headers.get("Access-Control-Request-Headers", "").split(",")
    known = {name.lower() for name in HEADERS}
    if other := [name.strip() for name in wanted if name.strip(" \t").lower() not in known | {""}]:
        return (
            f"Pages elsewhere may not send {', '.join(other)[:200]}; send no more than {', '.join(HEADERS)}."
        )
    return (
        f"Pages elsewhere may not use {method[:20]} here; use a method that docs/api.md has for this address."
    )


async def _vary_by_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Keep caches from giving one origin's headers to another."""
    response.headers.add("Vary", "Origin")
