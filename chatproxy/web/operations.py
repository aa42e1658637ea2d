"""For whoever runs it: is it alive, is it ready, what is this address."""

import asyncio
from typing import Final

from aiohttp import web

from chatproxy import __version__
from chatproxy.errors import ChatError
from chatproxy.web.keys import CONVERSATION, OLLAMA, STORE
from chatproxy.web.responses import json_response

routes: Final = web.RouteTableDef()
OLLAMA_MAY_TAKE: Final = 1.0  # seconds of a readiness probe


@routes.get("/healthz")
async def alive(request: web.Request) -> web.StreamResponse:
    return json_response({"status": "alive", "version": __version__})


@routes.get("/readyz")
async def ready(request: web.Request) -> web.StreamResponse:
    """Ollama's state is told, and decides nothing: what is stored can be read without it."""
    if request.app[CONVERSATION].closing:
        raise ChatError("shutting_down", "The server is shutting down; ask another one.")
    await request.app[STORE].ping()
    return json_response({"status": "ready", "ollama": await _ollama(request)})


async def _ollama(request: web.Request) -> dict[str, object]:
    try:
        async with asyncio.timeout(OLLAMA_MAY_TAKE):
            return {"reachable": True, "version": await request.app[OLLAMA].version()}
    except TimeoutError:
        return {"reachable": False, "error": f"Ollama did not answer within {OLLAMA_MAY_TAKE:g} s."}
    except ChatError as error:
        return {"reachable": False, "error": error.sentence}
