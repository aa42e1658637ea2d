"""The lists of models that Ollama and OpenAI have, of all hosts together."""

from collections.abc import Mapping
from itertools import chain
from typing import Final

import msgspec
from aiohttp import web
from msgspec import Raw, Struct

from chatproxy.ollama.lenient import decode
from chatproxy.web.keys import MODELS

# The paths, with the key of the list in the response.
LISTS: Final[Mapping[str, str]] = {"/api/tags": "models", "/api/ps": "models", "/v1/models": "data"}


class _Entry(Struct, frozen=True):
    name: str = ""  # Ollama's
    id: str = ""  # OpenAI's


async def merged(request: web.Request, path: str) -> web.StreamResponse:
    """Return what all hosts list; what several have is there once, as the first of them lists it.

    Hosts that are away are left out. Raises the error of the first one if all are.
    """
    lists = await request.app[MODELS].of_each(lambda host: host.ollama.entries(path))
    entries: dict[str, Raw] = {}
    for entry in chain.from_iterable(lists):
        shown = decode(entry, _Entry)
        entries.setdefault(shown.name or shown.id, entry)
    body = {LISTS[path]: list(entries.values())}
    return web.Response(
        body=msgspec.json.encode({"object": "list", **body} if path.startswith("/v1") else body),
        content_type="application/json",
    )
