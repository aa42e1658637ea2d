"""Which pages elsewhere may call: those of `CORS_ORIGINS`, through aiohttp-cors, and none by default."""

import aiohttp_cors
from aiohttp import web

from chatproxy.config import Config


def set_up(app: web.Application, config: Config) -> None:
    """To be called when all routes are there."""
    options = {
        origin: aiohttp_cors.ResourceOptions(
            allow_credentials=origin != "*",
            allow_headers=("Authorization", "Content-Type", "Last-Event-ID", "X-Request-Id"),
            expose_headers=("Content-Type", "X-Request-Id", "Retry-After"),
            max_age=600,
        )
        for origin in config.cors_origins
    }
    if options:
        app.on_response_prepare.append(_vary)
    cors = aiohttp_cors.setup(app, defaults=options)
    for route in list(app.router.routes()):
        cors.add(route)


async def _vary(request: web.Request, response: web.StreamResponse) -> None:
    """A cache must not give one origin's headers to another."""
    response.headers.add("Vary", "Origin")
