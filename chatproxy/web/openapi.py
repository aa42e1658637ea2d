"""`/openapi.json`: the HTTP API as OpenAPI 3.1, from the types that decode and encode the bodies."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from chatproxy import __version__
from chatproxy.errors import RETRYABLE, STATUS, ErrorBody
from chatproxy.models.selection import SUGGESTED
from chatproxy.prompt.request import RowId
from chatproxy.web.access.visitors import is_sending, is_theirs
from chatproxy.web.examples import ERRORS, answers
from chatproxy.web.faces.dialects import Dialect, dialect_at
from chatproxy.web.json import json_response
from chatproxy.web.keys import CONFIG
from chatproxy.web.operation import JSON, Operation, by_media_type, operation, operation_of
from chatproxy.web.security import CREDENTIALS, EXEMPT, HOST, ORIGIN

routes: Final = web.RouteTableDef()
PATH: Final = "/openapi.json"

Schema = dict[str, Any]

DESCRIPTION: Final = (
    "chatproxy keeps conversations with Ollama's models and streams their answers. JSON is UTF-8; times are "
    "ISO 8601 in UTC with milliseconds. The server ignores unknown request fields; clients must ignore "
    "unknown event types. Every GET also answers HEAD, except streams and exports. The token or a "
    "proxy may name a user, and each user has their own sessions and documents."
)
PATH_PARAMETERS: Final[Mapping[str, Any]] = {
    "sid": Annotated[str, Meta(min_length=1, max_length=64, description="The session's id.")],
    "mid": Annotated[RowId, Meta(description="The message's id.")],
    "n": Annotated[
        int,
        Meta(ge=0, le=2**63 - 1, description="The number of the image in its message, from 0.", examples=[0]),
    ],
    "id": Annotated[RowId, Meta(description="The document's id.")],
    "model": Annotated[
        str,
        Meta(min_length=1, max_length=512, description="The model's name in Ollama.", examples=[SUGGESTED]),
    ],
    "rest": Annotated[
        str, Meta(min_length=1, max_length=1024, description="The rest of the path.", examples=["models"])
    ],
    "rid": Annotated[str, Meta(min_length=1, max_length=128, description="The Response's id.")],
    "path": Annotated[
        str, Meta(min_length=1, max_length=1024, description="The file's path.", examples=["sse.js"])
    ],
}
# Error codes that follow from an operation's method, path and body.
EVERY_OPERATION: Final = ("malformed", "unsupported_media_type", "internal", "overloaded")
WITH_CREDENTIALS: Final = ("unauthorized", "storage_full")
NOT_FOR_VISITORS: Final = ("not_for_visitors",)
WITH_LIMIT: Final = ("visitor_limit",)
WITH_HOST: Final = ("host_not_allowed",)
WITH_ORIGIN: Final = ("origin_not_allowed",)
WITH_BODY: Final = ("too_large", "unsupported_media_type", "invalid")
WITH_PATH_PARAMETER: Final = ("not_found",)

# The ways to send the token, any of which will do.
SECURITY_SCHEMES: Final[Mapping[str, Schema]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token, or one that is signed."},
    "basic": {"type": "http", "scheme": "basic", "description": "The password is the token; any user name."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The token."},
}

RESPONSES: Final = {200: "OK", 201: "Created", 204: "No content"}
# The statuses that may have the header below.
RETRY_STATUSES: Final = frozenset({429, 503})
RETRY_AFTER: Final = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait before trying again."}
}


class OpenAPIDocument:
    """The document of one application, made on first use, because a host may mount the application first."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._schemas: dict[str, Schema] = {}
        self._examples: dict[str, Schema] = {}  # of errors; many operations share each

    @cached_property
    def content(self) -> msgspec.Raw:
        """The document as JSON."""
        config = self._app[CONFIG]
        needs_token = any(
            (config.api_token, config.api_token_file, config.jwt_secret, config.jwt_secret_file)
        )
        # A host application's prefix is in front of every path.
        prefix = next(path for _, path, handler in self._routes() if handler is openapi).removesuffix(PATH)
        paths: dict[str, Schema] = defaultdict(dict)
        for method, mounted_path, handler in self._routes():
            if declared := operation_of(handler):
                path = mounted_path.removeprefix(prefix)
                paths[path][method.lower()] = self._operation(method, path, declared)
        retryable = ", ".join(code for code in STATUS if code in RETRYABLE)
        codes = {"enum": list(STATUS), "description": f"A later attempt may succeed after {retryable}."}
        document = {
            "openapi": "3.1.0",
            "info": {"title": "chatproxy", "version": __version__, "description": DESCRIPTION},
            "servers": [{"url": prefix or "/"}],
            "security": [{name: []} for name in SECURITY_SCHEMES] if needs_token else [],
            "paths": paths,
            "components": {
                "schemas": self._schemas | {"Code": codes},
                "examples": self._examples,
                "securitySchemes": SECURITY_SCHEMES,
            },
        }
        return msgspec.Raw(msgspec.json.encode(document))

    def _routes(self) -> Iterator[tuple[str, str, Any]]:
        """Yield method, path and handler of each route, without those of HEAD and OPTIONS."""
        for route in self._app.router.routes():
            if route.resource is not None and route.method not in {"HEAD", "OPTIONS"}:
                yield route.method, route.resource.canonical, route.handler

    def _operation(self, method: str, path: str, declared: Operation) -> Schema:
        in_path = {name: PATH_PARAMETERS[name] for name in re.findall(r"{(\w+)}", path)}
        parameters = {"path": in_path, "query": declared.query, "header": declared.headers}
        described: Schema = {
            "operationId": declared.id,
            "tags": [declared.tag],
            "summary": declared.summary,
            "parameters": [
                self._parameter(place, name, kind, required=place == "path" or name in declared.required)
                for place, kinds in parameters.items()
                for name, kind in kinds.items()
            ],
            "responses": {
                str(status): {
                    "description": RESPONSES[status],
                    "content": self._with_examples(
                        self._content(kind), answers().get(declared.id, {}).get(str(status), {})
                    ),
                }
                for status, kind in declared.answers.items()
            }
            | self._errors(_error_codes(method, path, declared), dialect_at(path)),
        }
        if CREDENTIALS in EXEMPT.get(path, ()):
            described["security"] = []
        if declared.body is not None:
            content = self._content(declared.body, sent=True)
            if declared.example:
                content[JSON]["example"] = declared.example
            described["requestBody"] = {"required": not declared.body_optional, "content": content}
        return described

    def _parameter(self, place: str, name: str, kind: Any, *, required: bool) -> Schema:
        schema = self._schema(kind, sent=True)
        described = {"description": text} if (text := schema.pop("description", "")) else {}
        return {"name": name, "in": place, "required": required, "schema": schema, **described}

    def _content(self, kind: Any, *, sent: bool = False) -> Schema:
        return {
            media_type: {"schema": self._schema(each, sent=sent)}
            for media_type, each in by_media_type(kind).items()
        }

    @staticmethod
    def _with_examples(content: Schema, examples: Mapping[str, Mapping[str, Any]]) -> Schema:
        """Add examples, by media type and name, to a content."""
        for media_type, named in examples.items():
            content[media_type]["examples"] = {name: {"value": value} for name, value in named.items()}
        return content

    def _errors(self, codes: Iterable[str], dialect: Dialect) -> Schema:
        """Return one response per status, with the codes that it can have, in the form of the path's API."""
        by_status: dict[int, list[str]] = defaultdict(list)
        for code in STATUS:
            if code in codes:
                by_status[STATUS[code]].append(code)
        media_type = dialect.media_type.partition(";")[0]
        body = self._schema(dialect.body)
        return {
            str(status): {
                "description": ", ".join(those),
                "content": {
                    media_type: {
                        "schema": {**body, **self._with_codes(dialect, those)},
                        "examples": {code: self._error_example(dialect, code) for code in those},
                    }
                },
                "headers": RETRY_AFTER if status in RETRY_STATUSES else {},
            }
            for status, those in by_status.items()
        }

    def _error_example(self, dialect: Dialect, code: str) -> Schema:
        """Return a reference to the example of an error, which is added to the document."""
        name, encoded = f"{dialect.name}.{code}", dialect.encode(ERRORS[code])
        self._examples[name] = {"value": encoded.decode() if dialect.body is str else msgspec.Raw(encoded)}
        return {"$ref": f"#/components/examples/{name}"}

    @staticmethod
    def _with_codes(dialect: Dialect, codes: Sequence[str]) -> Schema:
        return {"properties": {"code": {"enum": codes}}} if dialect.body is ErrorBody else {}

    def _schema(self, kind: Any, *, sent: bool = False) -> Schema:
        """Return the schema of a type; add those of the types that it names to the document.

        In requests (`sent`), a field with a default may be omitted; in responses, it is always there.
        """
        (schema,), named = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
        for name, each in named.items():
            self._schemas[name] = _normalize_schema(each, sent=sent)
        normalized: Schema = _normalize_schema(schema, sent=sent)
        if "discriminator" in normalized:  # the union of the events, which has no name in Python
            self._schemas["Event"] = normalized
            return {"$ref": "#/components/schemas/Event"}
        return normalized


OPENAPI: Final = web.AppKey("OPENAPI", OpenAPIDocument)


def set_up(app: web.Application) -> None:
    """Add the route and the document."""
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
    """Return the document."""
    return json_response(request.app[OPENAPI].content, headers={"Cache-Control": "no-cache"})


def _error_codes(method: str, path: str, declared: Operation) -> set[str]:
    exempt = EXEMPT.get(path, frozenset())
    by_visitors = is_theirs(path)
    return {
        *EVERY_OPERATION,
        *declared.errors,
        *(WITH_HOST if HOST not in exempt else ()),
        *(WITH_CREDENTIALS if CREDENTIALS not in exempt else ()),
        *(NOT_FOR_VISITORS if CREDENTIALS not in exempt and not by_visitors else ()),
        *(WITH_LIMIT if by_visitors and is_sending(method, path) else ()),
        *(WITH_ORIGIN if ORIGIN not in exempt else ()),
        *(WITH_BODY if declared.body is not None else ()),
        *(WITH_PATH_PARAMETER if "{" in path else ()),
    }


def _normalize_schema(schema: Any, *, sent: bool) -> Any:
    """Return msgspec's schema as clients should read it.

    Patterns are ECMAScript's, descriptions are on one line, an error code is one of the known codes, and
    fields that chatproxy always writes are required.
    """
    if isinstance(schema, list):
        return [_normalize_schema(each, sent=sent) for each in schema]
    if not isinstance(schema, dict):
        return schema
    normalized = {name: _normalize_schema(each, sent=sent) for name, each in schema.items()}
    if isinstance(pattern := normalized.get("pattern"), str):
        normalized["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    if isinstance(text := normalized.get("description"), str):
        normalized["description"] = " ".join(text.split())
    if isinstance(fields := normalized.get("properties"), dict) and not sent:
        normalized["required"] = [
            name for name in fields if "default" in fields[name] or name in normalized.get("required", ())
        ]
        for field in fields.values():
            field.pop("default", None)
        if normalized.get("title") in {"Error", "ErrorBody", "Failure"}:
            fields["code"] = {"$ref": "#/components/schemas/Code"}
    return normalized
