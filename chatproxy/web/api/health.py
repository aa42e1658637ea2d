"""Health for the operator: liveness, readiness, metrics."""

import asyncio
from typing import Final, Literal

from aiohttp import web
from msgspec import UNSET, UnsetType

from chatproxy import __version__
from chatproxy.errors import ChatError, shutting_down
from chatproxy.ollama.cached import Cached
from chatproxy.ollama.client import Ollama
from chatproxy.store.records import Record
from chatproxy.web.json import json_response
from chatproxy.web.keys import CHAT, METRICS, OLLAMA, QUEUE, REGISTRY, STORE
from chatproxy.web.metrics import Load
from chatproxy.web.operation import operation

routes: Final = web.RouteTableDef()
OLLAMA_TIMEOUT: Final = 1.0  # seconds; short, because whatever probes has a timeout of its own
KNOWN_FOR: Final = 1.0  # seconds until Ollama is asked again, however many probes come


class Alive(Record, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["alive"] = "alive"
    version: str = __version__


class OllamaState(Record, frozen=True, kw_only=True):
    """Ollama's version, or the code of what is wrong. It is public, so it does not say where Ollama is."""

    reachable: bool
    version: str | UnsetType = UNSET
    code: str | UnsetType = UNSET


class Ready(Record, frozen=True, kw_only=True):
    """The process can serve, whatever Ollama's state: stored conversations can be read without it."""

    status: Literal["ready"] = "ready"
    ollama: OllamaState


async def _state(ollama: Ollama) -> OllamaState:
    try:
        async with asyncio.timeout(OLLAMA_TIMEOUT):
            return OllamaState(reachable=True, version=await ollama.version())
    except TimeoutError:
        return OllamaState(reachable=False, code="upstream_timeout")
    except ChatError as error:
        return OllamaState(reachable=False, code=error.code)


STATE: Final = web.AppKey("STATE", Cached[OllamaState])


def set_up(app: web.Application) -> None:
    """Add the routes and the cache of Ollama's state."""
    app[STATE] = Cached(lambda: _state(app[OLLAMA]), fresh=KNOWN_FOR, usable=KNOWN_FOR)
    app.on_cleanup.append(_close)
    app.add_routes(routes)


async def _close(app: web.Application) -> None:
    await app[STATE].close()


@routes.get("/healthz")
@operation(
    "getHealth",
    "Liveness probe.",
    tag="operations",
    answers={200: Alive},
)
async def get_health(request: web.Request) -> web.StreamResponse:
    return json_response(Alive())


@routes.get("/readyz")
@operation(
    "getReadiness",
    "Readiness probe, with the state of Ollama.",
    tag="operations",
    answers={200: Ready},
    errors=("shutting_down", "storage_full"),
)
async def get_readiness(request: web.Request) -> web.StreamResponse:
    if request.app[CHAT].closing:
        raise shutting_down("ask another one")
    await request.app[STORE].database.ping()
    return json_response(Ready(ollama=await request.app[STATE].get()))


@routes.get("/metrics")
@operation(
    "getMetrics",
    "Metrics in Prometheus text format.",
    tag="operations",
    answers={200: {"text/plain": str}},
)
async def get_metrics(request: web.Request) -> web.StreamResponse:
    app = request.app
    queue = app[QUEUE]
    load = Load(queue.active, queue.queued, app[REGISTRY].subscribers, queue.eta)
    page = app[METRICS].page(load)
    return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
