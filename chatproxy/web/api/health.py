"""For whoever runs it: is it alive, is it ready, how does it do."""

import asyncio
from typing import Final, Literal

from aiohttp import web
from msgspec import UNSET, UnsetType

from chatproxy import __version__
from chatproxy.errors import ChatError, shutting_down
from chatproxy.ollama.catalog import Cached
from chatproxy.ollama.client import Ollama
from chatproxy.store.records import Record
from chatproxy.web.keys import CHAT, METRICS, OLLAMA, REGISTRY, STORE
from chatproxy.web.operation import operation
from chatproxy.web.responses import json_response

routes: Final = web.RouteTableDef()
OLLAMA_MAY_TAKE: Final = 1.0  # seconds of a readiness probe
KNOWN_FOR: Final = 1.0  # seconds that Ollama is not asked again, however many probe


class Alive(Record, frozen=True, kw_only=True):
    status: Literal["alive"] = "alive"
    version: str = __version__


class OllamaState(Record, frozen=True, kw_only=True):
    """With its version, or with the code of what is wrong: everybody may read it, so it says not where."""

    reachable: bool
    version: str | UnsetType = UNSET
    code: str | UnsetType = UNSET


class Ready(Record, frozen=True, kw_only=True):
    status: Literal["ready"] = "ready"
    ollama: OllamaState


async def _state(ollama: Ollama) -> OllamaState:
    try:
        async with asyncio.timeout(OLLAMA_MAY_TAKE):
            return OllamaState(reachable=True, version=await ollama.version())
    except TimeoutError:
        return OllamaState(reachable=False, code="upstream_timeout")
    except ChatError as error:
        return OllamaState(reachable=False, code=error.code)


STATE: Final = web.AppKey("STATE", Cached[OllamaState])


def set_up(app: web.Application) -> None:
    app[STATE] = Cached(lambda: _state(app[OLLAMA]))
    app.add_routes(routes)


@routes.get("/healthz")
@operation(
    "getHealth",
    "Liveness probe.",
    tag="operations",
    answers={200: Alive},
)
async def alive(request: web.Request) -> web.StreamResponse:
    return json_response(Alive())


@routes.get("/readyz")
@operation(
    "getReadiness",
    "Readiness probe, with the state of Ollama.",
    tag="operations",
    answers={200: Ready},
    errors=("shutting_down", "storage_full"),
)
async def ready(request: web.Request) -> web.StreamResponse:
    """Ollama's state is told, and decides nothing: what is stored can be read without it."""
    if request.app[CHAT].closing:
        raise shutting_down("ask another one")
    await request.app[STORE].ping()
    return json_response(Ready(ollama=await request.app[STATE].get(usable=KNOWN_FOR)))


@routes.get("/metrics")
@operation(
    "getMetrics",
    "Metrics in Prometheus text format.",
    tag="operations",
    answers={200: {"text/plain": str}},
)
async def metrics(request: web.Request) -> web.StreamResponse:
    page = request.app[METRICS].page(request.app[REGISTRY].load())
    return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
