"""The application: its parts put together, in the order in which they depend on each other.

It mounts under any prefix of a host application (`host.add_subapp("/chat", create_app(config))`), and
relies on none of the host's settings.
"""

from collections.abc import AsyncIterator

from aiohttp import web

from chatproxy.chat import ChatService
from chatproxy.config import Config
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.models.catalog import Models
from chatproxy.ollama.catalog import Catalog
from chatproxy.ollama.client import Ollama
from chatproxy.store.store import Store
from chatproxy.web import cors, middleware, openapi, pages
from chatproxy.web.api import documents, export, health, messages, models, sessions
from chatproxy.web.keys import CHAT, CONFIG, METRICS, MODELS, OLLAMA, REGISTRY, STORE
from chatproxy.web.metrics import Metrics

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def create_app(config: Config) -> web.Application:
    """Opens the database and the way to Ollama when it starts; raises StartError then, if it cannot."""
    app = web.Application(middlewares=[middleware.guard])
    app[CONFIG] = config
    for module in (sessions, messages, models, export, pages):
        app.add_routes(module.routes)
    health.set_up(app)
    documents.set_up(app)
    openapi.set_up(app)
    for method in METHODS:
        app.router.add_route(method, "/{path:.*}", middleware.unknown)
    cors.set_up(app, config)
    middleware.set_up(app, config)
    app.cleanup_ctx.append(_parts)
    app.on_shutdown.append(_end_answers)
    return app


async def _parts(app: web.Application) -> AsyncIterator[None]:
    config = app[CONFIG]
    metrics = app[METRICS] = Metrics()
    store = app[STORE] = await Store.open(config.database_path, metrics.committed)
    ollama = app[OLLAMA] = Ollama(
        config.ollama_host, api_key=config.ollama_api_key, connect_timeout=config.connect_timeout
    )
    catalog = Catalog(ollama)
    try:
        known = app[MODELS] = Models(catalog, await store.measurements(), config.context_window)
        async with GenerationRegistry.running(config, store, metrics.ended) as generations:
            app[REGISTRY] = generations
            app[CHAT] = ChatService(config, store, ollama, known, generations)
            yield
    finally:
        await catalog.close()
        await ollama.close()
        await store.close()


async def _end_answers(app: web.Application) -> None:
    """While the readers are still connected: each gets the terminal event."""
    await app[CHAT].close()
