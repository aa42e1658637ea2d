"""The composition root: adds the routes, and creates the parts in the order of their dependencies.

A host application can mount the application under any prefix (`host.add_subapp("/chat",
create_app(config))`). Nothing here relies on the host's settings.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Final

from aiohttp import web

from chatproxy import log
from chatproxy.answers.peers import Alone
from chatproxy.chat import ChatService
from chatproxy.clock import Looks
from chatproxy.config import Config, on_one_line
from chatproxy.embedding.embedder import Embedder, is_possible
from chatproxy.generation.queue import Queue
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.models.hosts import Hosts, names_of
from chatproxy.models.readiness import Readiness
from chatproxy.store.owners.visitors import Quota
from chatproxy.store.store import Store
from chatproxy.values import is_visitor
from chatproxy.web import cors, middleware, openapi
from chatproxy.web.api import (
    documents,
    export,
    health,
    imports,
    login,
    messages,
    models,
    pages,
    sessions,
    visitors,
)
from chatproxy.web.faces import ai_sdk, responses
from chatproxy.web.faces.passing import routes as passing
from chatproxy.web.faces.passing.passage import PASSAGES, Passages
from chatproxy.web.keys import CHAT, CONFIG, LOOKS, METRICS, MODELS, PEERS, QUEUE, READINESS, REGISTRY, STORE
from chatproxy.web.metrics import Metrics

logger: Final = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def create_app(config: Config) -> web.Application:
    """Return the application, which opens its database on startup.

    Raises StartError if a secret's file cannot be read; startup does if the database cannot be used.
    """
    app = web.Application(middlewares=[middleware.guard])
    app[CONFIG] = config
    for module in (sessions, messages, models, export, pages, visitors, responses, passing):
        app.add_routes(module.routes)
    health.set_up(app)
    documents.set_up(app)
    imports.set_up(app)
    login.set_up(app)
    ai_sdk.set_up(app)
    openapi.set_up(app)
    for method in METHODS:
        app.router.add_route(method, "/{path:.*}", middleware.unknown)
    cors.set_up(app, config)
    middleware.set_up(app, config)
    app.cleanup_ctx.append(_lifespan)
    app.on_shutdown.append(_end_answers)
    return app


async def _lifespan(app: web.Application) -> AsyncIterator[None]:
    config = app[CONFIG]
    metrics = app[METRICS] = Metrics(names_of(config))
    looks = app[LOOKS] = Looks()
    async with AsyncExitStack() as stack:
        owner_form = config.user if config.fold_user_names else None
        quota = (
            Quota(config.visitor_sessions, config.visitor_bytes, config.visitor_days)
            if config.visitors
            else None
        )
        store = app[STORE] = await Store.open(config.database, metrics.committed, owner_form, quota)
        stack.push_async_callback(store.close)
        models = app[MODELS] = Hosts.of(config, await store.messages.measurements())
        stack.push_async_callback(models.close)
        models.on_failure = metrics.host_failed
        for fault in models.faults:
            log.event(logger, logging.WARNING, str(fault), value=on_one_line(fault.value))
        app[READINESS] = await stack.enter_async_context(Readiness.running(models, config.default_model))
        registry = app[REGISTRY] = await stack.enter_async_context(
            GenerationRegistry.running(config, store.messages, looks, metrics.ended)
        )

        def new_queue() -> Queue:
            return Queue(
                config.max_concurrent_generations,
                config.max_queued_generations,
                config.ollama_num_parallel,
                lambda asker: config.visitor_answers if is_visitor(asker) else None,
            )

        if store.database.replica is None:
            app[PEERS] = Alone()
            queue = await stack.enter_async_context(new_queue().looked_after(looks))
            app[QUEUE], idle = queue, queue.idle
        else:
            from chatproxy.cluster.replica import Replica

            heartbeat = config.heartbeat_seconds
            replica = await stack.enter_async_context(
                Replica.running(store, registry, new_queue, looks, heartbeat=heartbeat)
            )
            app[PEERS], app[QUEUE], idle = replica, replica.queue, replica.queue.idle
        app[CHAT] = ChatService(config, store, models, registry, app[QUEUE], app[PEERS])
        if is_possible(config.embedding_model):
            vectors, delegate = store.documents.vectors, app[PEERS].delegate
            embedder = Embedder(models, vectors, config.embedding_model, idle, delegate)
            await stack.enter_async_context(embedder.running())
        app[PASSAGES] = await stack.enter_async_context(Passages.running(looks))
        yield


async def drain(app: web.Application) -> None:
    """Begin no more answers, and return once none is under way and all readers have the end of theirs.

    Everything else is served on. It takes DRAIN_SECONDS at most. What is under way then ends when the
    application shuts down. Call it before that, in the event loop that serves it, with what `create_app`
    returned.
    """
    chat, passages, looks, seconds = app[CHAT], app[PASSAGES], app[LOOKS], app[CONFIG].drain_seconds
    chat.draining = passages.draining = True
    log.event(logger, logging.INFO, "no more answers begin, and those under way go on", seconds=seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while chat.is_busy or passages.is_busy:
                looks.want()
                await looks.next()


async def _end_answers(app: web.Application) -> None:
    """Send every stream its end while the clients are still connected."""
    app[PASSAGES].close()
    app[PEERS].drop_readers()
    await app[CHAT].close()
