"""Health for the operator: liveness, readiness, metrics."""

import asyncio
from typing import Final, Literal

from aiohttp import web
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from chatproxy import __version__, clock
from chatproxy.background import background
from chatproxy.errors import ChatError
from chatproxy.models.hosts import Host
from chatproxy.ollama.cached import Cached
from chatproxy.ollama.client import Ollama
from chatproxy.ollama.wire import RefusalError
from chatproxy.store.records import Record
from chatproxy.web.json import json_response
from chatproxy.web.keys import CHAT, METRICS, MODELS, PEERS, QUEUE, READINESS, REGISTRY, STORE
from chatproxy.web.metrics import Load
from chatproxy.web.operation import operation

routes: Final = web.RouteTableDef()
# The page promises how soon it shows what these allow: see static/page/ollama-banner.js, which adds them up.
KNOWN_FOR: Final = 1.0  # seconds until Ollama is asked again, however many probes come
PATIENCE: Final = 1.0  # seconds; short, because whatever probes has a timeout of its own
FIRST_PATIENCE: Final = 2.0  # seconds, as long as nothing is known
SILENCE: Final = 3.5  # seconds without a byte of Ollama's, while it is asked, after which it is not reachable


class Alive(Record, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["alive"] = "alive"
    version: str = __version__


class OllamaState(Record, frozen=True, kw_only=True):
    """Ollama's version, or the code of what is wrong. It is public, so it does not say where Ollama is.

    Where there are several `hosts`, this is of one that is reachable, if any is.
    """

    reachable: bool
    version: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    hosts: int | UnsetType = UNSET
    reachable_hosts: int | UnsetType = UNSET


class Ready(Record, frozen=True, kw_only=True):
    """The process can serve, whatever Ollama's state: stored conversations can be read without it."""

    status: Literal["ready"] = "ready"
    ollama: OllamaState


STATE: Final = web.AppKey("STATE", Cached[OllamaState])
_SILENT: Final = ChatError(
    "upstream_timeout", f"Ollama has been silent for {SILENCE:g} s; look into its log, and whether it runs."
)


def set_up(app: web.Application) -> None:
    """Add the routes and the cache of Ollama's state."""
    app[STATE] = Cached(lambda: _find_out(app), fresh=KNOWN_FOR, usable=KNOWN_FOR)
    app.on_cleanup.append(_close)
    app.add_routes(routes)


async def _close(app: web.Application) -> None:
    await app[STATE].close()


async def _find_out(app: web.Application) -> OllamaState:
    """Return Ollama's state as it is now; if it has returned, what is known of its models counts no more."""
    before, models = app[STATE].last, app[MODELS]
    hosts = models.all_hosts
    found = await asyncio.gather(*[_version(app, host) for host in hosts])
    versions = [each for each in found if not isinstance(each, ChatError)]
    state = OllamaState(
        reachable=bool(versions),
        hosts=len(hosts) if models.are_several else UNSET,
        reachable_hosts=len(versions) if models.are_several else UNSET,
    )
    if isinstance(error := found[0], ChatError) and not versions:
        app[READINESS].failed(error)
        return replace(state, code=error.code)
    if before is not None and not before.reachable:
        models.expire()
    app[READINESS].answered()
    return replace(state, version=versions[0])


async def _version(app: web.Application, host: Host) -> str | UnsetType | ChatError:
    """Return the version of a host's Ollama, or why there is none; of several, none is waited for long."""
    try:
        async with asyncio.timeout(PATIENCE if host.name else None):
            return await _ask(host.ollama)
    except TimeoutError:
        return _SILENT
    except ChatError as error:
        app[MODELS].note_failure(host, error)
        return error


async def _ask(ollama: Ollama) -> str | UnsetType:
    """Return Ollama's version; where the machine is busy, this may take long, and so may a model's load.

    It is waited for as long as other bytes come from Ollama, such as those of answers. Raises `upstream_…`
    errors.
    """
    asked_at = clock.now()
    async with background(ollama.version(), name="asking for Ollama's version") as version:
        while not version.done():
            left = max(asked_at, ollama.heard_at) + SILENCE - clock.now()
            if left <= 0:
                raise _SILENT.with_traceback(None)
            await clock.wait(version, left)
    try:
        return version.result() or UNSET
    except ChatError as error:
        # Of the call itself, which is longer: bytes came all the while. A proxy's may be shorter.
        is_late = error.code == "upstream_timeout"
        if is_late and (not isinstance(error, RefusalError) or clock.now() - ollama.heard_at < SILENCE):
            return UNSET
        raise


async def _known_state(app: web.Application) -> OllamaState:
    """Return Ollama's state; the last one, if it is asked and does not answer soon.

    If there is none, it is reachable if it sends anything else.
    """
    state = app[STATE]
    try:
        async with asyncio.timeout(FIRST_PATIENCE if state.last is None else PATIENCE):
            return await state.get()
    except TimeoutError:
        is_heard = clock.now() - app[MODELS].heard_at < SILENCE
        return state.last or OllamaState(reachable=is_heard, code=UNSET if is_heard else _SILENT.code)


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
    """Return whether the process can serve, and Ollama's state."""
    return await _readiness(request)


@routes.post("/readyz")
@operation(
    "checkReadiness",
    "The same for a page: what would refuse its messages for their origin refuses this.",
    tag="operations",
    answers={200: Ready},
    errors=("shutting_down", "storage_full"),
)
async def check_readiness(request: web.Request) -> web.StreamResponse:
    """Return the same. Browsers name the origin of a POST, and not that of a GET from a page of its own."""
    return await _readiness(request)


async def _readiness(request: web.Request) -> web.StreamResponse:
    request.app[CHAT].check_begins("ask another one")
    await request.app[STORE].database.ping()
    return json_response(Ready(ollama=await _known_state(request.app)))


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
    hosts = {host.name: not host.is_away for host in app[MODELS].all_hosts if host.name}
    peers = app[PEERS]
    subscribers = app[REGISTRY].subscribers + peers.subscribers
    load = Load(queue.active, queue.queued, subscribers, queue.eta, hosts, peers.replicas, peers.followed)
    page = app[METRICS].page(load)
    return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
