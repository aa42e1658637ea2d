"""What each handler says of itself, beside it: `/openapi.json` and the page at `/docs` are made of that."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from aiohttp.typedefs import Handler
from msgspec import Struct

from chatproxy.errors import STATUS

JSON: Final = "application/json"
UPSTREAM: Final = tuple(code for code, status in STATUS.items() if status in {502, 504})

H = TypeVar("H", bound=Handler)


class Call(Struct, frozen=True, kw_only=True):
    """Types are given as msgspec reads them, with limits and descriptions in `Meta`.

    One alone is that of JSON, a mapping has one for each media type, None stands for no content.
    `errors` are the codes that are this call's own; those of every call, of every body and of every
    name in a path are known.
    """

    summary: str
    body: Any = None
    body_optional: bool = False
    example: Mapping[str, Any] = {}  # of a JSON body
    query: Mapping[str, Any] = {}
    headers: Mapping[str, Any] = {}
    answers: Mapping[int, Any] = {}
    errors: tuple[str, ...] = ()


def call(summary: str, **more: Any) -> Callable[[H], H]:
    """`@call("Reads a session.", answers={200: Session})`"""

    def describe(handler: H) -> H:
        vars(handler)["call"] = Call(summary=summary, **more)
        return handler

    return describe


def call_of(handler: Handler) -> Call | None:
    """None for what is no call: the route of last resort, preflights."""
    return vars(handler).get("call")


def by_media_type(kind: Any) -> Mapping[str, Any]:
    """The types of a body or an answer, by what it may be sent as."""
    if kind is None:
        return {}
    return kind if isinstance(kind, Mapping) else {JSON: kind}
