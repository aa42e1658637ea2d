"""`/openapi.json`: the contract as OpenAPI 3.1, made of the types that check requests and write answers."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from chatproxy import __version__
from chatproxy.errors import RETRYABLE, STATUS, ErrorBody
from chatproxy.prompt.request import RowId
from chatproxy.web.json import json_response
from chatproxy.web.keys import CONFIG
from chatproxy.web.operation import JSON, Operation, by_media_type, operation, operation_of
from chatproxy.web.security import CREDENTIALS, EXEMPT, HOST

routes: Final = web.RouteTableDef()
PATH: Final = "/openapi.json"

Schema = dict[str, Any]

ABOUT: Final = (
    "chatproxy keeps conversations with Ollama's models and streams the answers. JSON is UTF-8, times are "
    "ISO 8601 UTC with milliseconds. Unknown request fields are ignored; clients must ignore unknown event "
    "types. A GET can be asked as HEAD, but for streams and exports. Behind TRUSTED_USER_HEADER, the proxy "
    "in front names the user, and everybody has their own sessions and documents."
)
# By the names that paths have in braces.
NAMED: Final[Mapping[str, Any]] = {
    "sid": Annotated[str, Meta(min_length=1, description="A session's id.")],
    "mid": Annotated[RowId, Meta(description="A message's id.")],
    "id": Annotated[RowId, Meta(description="A document's id.")],
    "path": Annotated[str, Meta(min_length=1, description="A file's name.")],
}
# Of every call; of those that ask who is there; of those that change something; of those with a body.
ALWAYS: Final = ("malformed", "unsupported_media_type", "internal", "overloaded")
ASKED: Final = ("unauthorized", "storage_full")
CHANGING: Final = ("origin_not_allowed",)
WITH_BODY: Final = ("too_large", "unsupported_media_type", "invalid")
NAMING: Final = ("not_found",)

MEANING: Final = {200: "Here it is.", 201: "It is made.", 204: "There is nothing to say."}
# Where waiting helps: seconds.
RETRY_AFTER: Final = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}


class OpenAPIDocument:
    """Of one application: made when it is first asked for, when the host has mounted it."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._schemas: dict[str, Schema] = {}

    @cached_property
    def content(self) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(self._made()))

    def _made(self) -> Schema:
        prefix = self._prefix
        paths: dict[str, Schema] = defaultdict(dict)
        for method, place, each in self._declared():
            path = place.removeprefix(prefix)
            paths[path][method.lower()] = self._operation(method, path, each)
        return {
            "openapi": "3.1.0",
            "info": {"title": "chatproxy", "version": __version__, "description": ABOUT},
            "servers": [{"url": prefix or "/"}],
            "security": [{"bearer": []}] if self._asks_for_token else [],
            "paths": paths,
            "components": {
                "schemas": self._schemas | {"Code": _codes()},
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "description": "Where API_TOKEN is set."}
                },
            },
        }

    @property
    def _prefix(self) -> str:
        """Where a host application mounted this one."""
        return next(
            route.resource.canonical.removesuffix(PATH)
            for route in self._app.router.routes()
            if route.handler is openapi and route.resource is not None
        )

    @property
    def _asks_for_token(self) -> bool:
        config = self._app[CONFIG]
        return config.api_token is not None or config.api_token_file is not None

    def _declared(self) -> Iterator[tuple[str, str, Operation]]:
        for route in self._app.router.routes():
            if route.resource is None or route.method in {"HEAD", "OPTIONS"}:
                continue
            if found := operation_of(route.handler):
                yield route.method, route.resource.canonical, found

    def _operation(self, method: str, path: str, each: Operation) -> Schema:
        named = {name: NAMED[name] for name in re.findall(r"{(\w+)}", path)}
        parts = {"path": named, "query": each.query, "header": each.headers}
        described: Schema = {
            "operationId": each.id,
            "tags": [each.tag],
            "summary": each.summary,
            "parameters": [
                self._parameter(place, name, kind)
                for place, kinds in parts.items()
                for name, kind in kinds.items()
            ],
            "responses": {
                str(status): {"description": MEANING[status], "content": self._content(kind)}
                for status, kind in each.answers.items()
            }
            | self._errors(_codes_of(method, path, each)),
        }
        if CREDENTIALS in EXEMPT.get(path, ()):
            described["security"] = []
        if each.body is not None:
            content = self._content(each.body, sent=True)
            if each.example:
                content[JSON]["example"] = each.example
            described["requestBody"] = {"required": not each.body_optional, "content": content}
        return described

    def _parameter(self, place: str, name: str, kind: Any) -> Schema:
        schema = self._schema(kind, sent=True)
        described = {"description": text} if (text := schema.pop("description", "")) else {}
        return {"name": name, "in": place, "required": place == "path", "schema": schema, **described}

    def _content(self, kind: Any, *, sent: bool = False) -> Schema:
        return {
            media_type: {"schema": self._schema(each, sent=sent)}
            for media_type, each in by_media_type(kind).items()
        }

    def _errors(self, codes: Iterable[str]) -> Schema:
        by_status: dict[int, list[str]] = defaultdict(list)
        for code in STATUS:
            if code in codes:
                by_status[STATUS[code]].append(code)
        body = self._schema(ErrorBody)
        return {
            str(status): {
                "description": ", ".join(those),
                "content": {JSON: {"schema": {**body, "properties": {"code": {"enum": those}}}}},
                "headers": RETRY_AFTER if status in {429, 503} else {},
            }
            for status, those in by_status.items()
        }

    def _schema(self, kind: Any, *, sent: bool = False) -> Schema:
        """`sent` by clients, who may leave out what has a default; chatproxy itself writes it always."""
        (schema,), named = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
        for name, each in named.items():
            self._schemas[name] = _told(each, sent=sent)
        told: Schema = _told(schema, sent=sent)
        if "discriminator" in told:  # of the one union that is told apart by a field
            self._schemas["Event"] = told
            return {"$ref": "#/components/schemas/Event"}
        return told


OPENAPI: Final = web.AppKey("DOCUMENT", OpenAPIDocument)


def set_up(app: web.Application) -> None:
    app[OPENAPI] = OpenAPIDocument(app)
    app.add_routes(routes)


@routes.get(PATH)
@operation(
    "getOpenAPI",
    "This API as an OpenAPI 3.1 document.",
    tag="pages",
    answers={200: dict[str, Any]},
)
async def openapi(request: web.Request) -> web.StreamResponse:
    return json_response(request.app[OPENAPI].content, headers={"Cache-Control": "no-cache"})


def _codes_of(method: str, path: str, each: Operation) -> set[str]:
    exempt = EXEMPT.get(path, frozenset())
    return {
        *ALWAYS,
        *each.errors,
        *(("host_not_allowed",) if HOST not in exempt else ()),
        *(ASKED if CREDENTIALS not in exempt else ()),
        *(CHANGING if method != "GET" else ()),
        *(WITH_BODY if each.body is not None else ()),
        *(NAMING if "{" in path else ()),
    }


def _codes() -> Schema:
    retryable = ", ".join(code for code in STATUS if code in RETRYABLE)
    return {"enum": list(STATUS), "description": f"Worth trying again as it is: {retryable}."}


def _told(schema: Any, *, sent: bool) -> Any:
    """As JSON Schema has it: patterns in ECMAScript's words, text on one line, what is always written
    required, a code one of the known ones."""
    if isinstance(schema, list):
        return [_told(each, sent=sent) for each in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: _told(each, sent=sent) for name, each in schema.items()}
    if isinstance(pattern := told.get("pattern"), str):
        told["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    if isinstance(text := told.get("description"), str):
        told["description"] = " ".join(text.split())
    if isinstance(fields := told.get("properties"), dict) and not sent:
        told["required"] = [
            name for name in fields if "default" in fields[name] or name in told.get("required", ())
        ]
        for field in fields.values():
            field.pop("default", None)
        if told.get("title") in {"Error", "ErrorBody", "Failure"}:
            fields["code"] = {"$ref": "#/components/schemas/Code"}
    return told
