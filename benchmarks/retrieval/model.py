"""A stand-in for Ollama with one model, which makes vectors of texts in a hundred languages.

The vectors are real. Models that people install for Ollama are larger, and better.
"""

import asyncio
from typing import Final

from aiohttp import web

from benchmarks.retrieval.vectors import NAME, Vectors

_SHOWN: Final = {
    "capabilities": ["embedding"],
    "details": {"family": "bert", "parameter_size": "118M"},
    "model_info": {"bert.context_length": 512, "bert.embedding_length": 384},
}
_LISTED: Final = {"name": NAME, "model": NAME, "size": 72_000_000, "digest": "1"}


def ollama(vectors: Vectors) -> web.Application:
    """Return the server."""

    async def embed(request: web.Request) -> web.Response:
        asked = await request.json()
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        return web.json_response({"model": NAME, "embeddings": await asyncio.to_thread(vectors.of, texts)})

    async def tags(_: web.Request) -> web.Response:
        return web.json_response({"models": [_LISTED]})

    async def show(_: web.Request) -> web.Response:
        return web.json_response(_SHOWN)

    async def ps(_: web.Request) -> web.Response:
        return web.json_response({"models": []})

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": "0.13.0"})

    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_post("/api/embed", embed)
    app.router.add_get("/api/tags", tags)
    app.router.add_post("/api/show", show)
    app.router.add_get("/api/ps", ps)
    app.router.add_get("/api/version", version)
    return app
