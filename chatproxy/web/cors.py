"""Cross-origin requests, through aiohttp-cors: pages from CORS_ORIGINS may call, by default none."""

import aiohttp_cors
from aiohttp import web

from chatproxy.config import Config


def set_up(app: web.Application, config: Config) -> None:
    """Allow the origins on every route. Call it after all routes have been added."""
    options = {
        origin: aiohttp_cors.ResourceOptions(
            allow_credentials=origin != "*",
            allow_headers=("Authorization", "Content-Type", "Last-Event-ID", "X-Request-Id"),
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


async def _vary_by_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Keep caches from giving one origin's headers to another."""
    response.headers.add("Vary", "Origin")
