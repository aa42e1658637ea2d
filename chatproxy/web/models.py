"""Which models there are, how they did here, and which one would answer now."""

from typing import Final

from aiohttp import web

from chatproxy.chat import selection
from chatproxy.chat.models import Known
from chatproxy.chat.selection import Choice, Need
from chatproxy.errors import ChatError
from chatproxy.web.keys import CONFIG, MODELS, owner
from chatproxy.web.responses import json_response

routes: Final = web.RouteTableDef()


@routes.get("/api/models")
async def list_models(request: web.Request) -> web.StreamResponse:
    owner(request)  # the list is everybody's, but for who is nobody
    models = await request.app[MODELS].all()
    choice = await _selected(request, models)
    return json_response(
        {
            "models": [_shown(model) for model in models],
            "selected": choice and {"model": choice.model.name, "reason": choice.reason},
        }
    )


async def _selected(request: web.Request, models: list[Known]) -> Choice | None:
    """What a short message in a new session would get; None where nothing could answer it."""
    try:
        named = selection.named(None, None, request.app[CONFIG].default_model)
        if named is None:
            return selection.rank(models, Need())[0]
        name, reason = named
        return Choice(await request.app[MODELS].find(name), reason)
    except ChatError:
        return None


def _shown(model: Known) -> dict[str, object]:
    details = model.tags and model.tags.details
    rate, load = model.tokens_per_second, model.measured.load_ms
    return {
        "name": model.name,
        "parameterSize": details and details.parameter_size,
        "quantization": details and details.quantization_level,
        "sizeBytes": model.tags and model.tags.size,
        "contextLength": model.window or model.trained_window,
        "capabilities": sorted(model.capabilities),
        "loaded": model.warm,
        "tokensPerSecond": None if rate is None else round(rate, 1),
        "loadMs": None if load is None else round(load),
    }
