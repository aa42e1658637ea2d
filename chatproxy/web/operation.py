"""Operations, in OpenAPI's sense: what each handler declares beside it, for `/openapi.json` and `/docs`."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from aiohttp.typedefs import Handler
from msgspec import Struct

from chatproxy.errors import STATUS

JSON: Final = "application/json"
# The errors of an operation that calls Ollama: 502 Bad Gateway and 504 Gateway Timeout.
GATEWAY_ERRORS: Final = tuple(code for code, status in STATUS.items() if status in {502, 504})

H = TypeVar("H", bound=Handler)


class Operation(Struct, frozen=True, kw_only=True):
    """One operation of the API. Types are annotated for msgspec, with limits and descriptions in `Meta`.

    `body` and the values of `answers` (by status) are a type, sent as JSON, a mapping from media types to
    types, or None for no content. `errors` are the codes specific to this operation; those that follow from
    its method, path and body are added by `openapi`. `id` and `tag` are public: generated clients are named
    after them, so they never change when code moves.
    """

    id: str
    summary: str
    tag: str
    body: Any = None
    body_optional: bool = False
    example: Mapping[str, Any] = {}  # of a JSON body
    query: Mapping[str, Any] = {}
    headers: Mapping[str, Any] = {}
    required: tuple[str, ...] = ()  # of these parameters
    answers: Mapping[int, Any] = {}
    errors: tuple[str, ...] = ()


def operation(id: str, summary: str, *, tag: str, **more: Any) -> Callable[[H], H]:
    """Declare a handler's operation: `@operation("getSession", "Get a session.", tag="sessions", ...)`."""

    def declare(handler: H) -> H:
        vars(handler)["operation"] = Operation(id=id, summary=summary, tag=tag, **more)
        return handler

    return declare


def operation_of(handler: Handler) -> Operation | None:
    """Return what a handler declared; None for the catch-all route and for preflights."""
    return vars(handler).get("operation")


def by_media_type(kind: Any) -> Mapping[str, Any]:
    """Return the types of a body or an answer by media type."""
    if kind is None:
        return {}
    return kind if isinstance(kind, Mapping) else {JSON: kind}
