"""The installed models, with what was measured here, and the one that would answer now."""

from typing import Final

from aiohttp import web
from msgspec import UNSET, UnsetType

from chatproxy.errors import ChatError
from chatproxy.models import selection
from chatproxy.models.catalog import FRESH, KnownModel
from chatproxy.models.selection import Choice, Need, by_host, by_name
from chatproxy.store.records import Record
from chatproxy.web.json import json_response
from chatproxy.web.keys import CONFIG, MODELS
from chatproxy.web.operation import GATEWAY_ERRORS, operation

routes: Final = web.RouteTableDef()


class ModelInfo(Record, frozen=True, kw_only=True):
    """An installed model. `contextLength` is in tokens: the window in force, else the trained one.

    `hosts` are those that have it, where there are several; all else is of the first, where it is fastest.
    """

    name: str
    parameter_size: str | None
    quantization: str | None
    size_bytes: int | None
    context_length: int | None
    capabilities: list[str]
    loaded: bool
    tokens_per_second: float | None
    load_ms: int | None
    hosts: list[str] | UnsetType = UNSET


class Selected(Record, frozen=True, kw_only=True):
    """The model that would answer a short message in a new session.

    If it is the default here, it answers in every session that has no model of its own.
    """

    model: str
    reason: str
    is_default: bool


class ModelList(Record, frozen=True, kw_only=True):
    """The installed models, and the one selected; null if none could answer."""

    models: list[ModelInfo]
    selected: Selected | None


@routes.get("/api/models")
@operation(
    "listModels",
    "List the installed models.",
    tag="models",
    answers={200: ModelList},
    errors=GATEWAY_ERRORS,
)
async def list_models(request: web.Request) -> web.StreamResponse:
    models = await request.app[MODELS].all(usable=FRESH)  # people look at it, perhaps for what is new
    default = selection.named(None, None, request.app[CONFIG].default_model)
    choice = await _selected(request, models, default)
    return json_response(
        ModelList(
            models=[_model_info(*by_host(each, Need())) for each in by_name(models)],
            selected=None
            if choice is None
            else Selected(model=choice.model.name, reason=choice.reason, is_default=default is not None),
        )
    )


async def _selected(
    request: web.Request, models: list[KnownModel], default: tuple[str, str] | None
) -> Choice | None:
    """Return the choice for a short message in a new session; None if no model could answer it."""
    try:
        if default is None:
            return selection.rank(models, Need())[0]
        name, reason = default
        model, *_ = by_host(await request.app[MODELS].found(name), Need())
        await selection.check_named(model, Need(), request.app[MODELS])
        return Choice.of(model, reason)
    except ChatError:
        return None


def _model_info(model: KnownModel, *others: KnownModel) -> ModelInfo:
    tags = model.tags
    details = None if tags is None else tags.details
    rate, load = model.tokens_per_second, model.measured.load_ms
    return ModelInfo(
        name=model.name,
        parameter_size=None if details is None else details.parameter_size,
        quantization=None if details is None else details.quantization_level,
        size_bytes=None if tags is None else tags.size,
        context_length=model.window or model.expected_window,
        capabilities=sorted(model.capabilities),
        loaded=any(each.warm for each in (model, *others)),
        tokens_per_second=None if rate is None else round(rate, 1),
        load_ms=None if load is None else round(load),
        hosts=[each.host for each in (model, *others)] if model.host else UNSET,
    )
