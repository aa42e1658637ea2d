"""Requests and responses: JSON bodies within limits, ids in paths, numbers in queries, values as JSON.

The limits are chatproxy's own, so that they also hold in a host application with different ones.
"""

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from chatproxy.errors import ChatError

MAX_BODY: Final = 16 * 1024 * 1024  # bytes
MAX_PAGE: Final = 500  # items

# The query parameters of lists.
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Maximum number of items to return.")]
Before = Annotated[int, Meta(ge=1, description="The `next` of the previous page; omit for the first page.")]

T = TypeVar("T")

_ID: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


async def read_json(request: web.Request, kind: type[T]) -> T:
    """Return the request body as a value of type `kind`.

    Raises `too_large`, `unsupported_media_type`, `malformed` or `invalid` (with `field`).
    """
    # A page elsewhere can send `text/plain` without a preflight, but not `application/json`.
    if request.content_type != "application/json":
        raise ChatError(
            "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json."
        )
    if request.charset is not None and not _is_utf8(request.charset):
        raise ChatError("unsupported_media_type", "Send the body in UTF-8.")
    body = await _read_body(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        problem = problem[:1].lower() + problem[1:]
        field = path.rstrip("`").lstrip(".") or "body"
        raise ChatError("invalid", f"{field} cannot be used: {problem}.", field=field) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChatError(
            "malformed", "The body is not valid JSON in UTF-8; check how it is encoded."
        ) from error


def _is_utf8(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name == "utf-8"
    except (LookupError, ValueError):
        return False


async def _read_body(request: web.Request) -> bytes:
    """Return the body, and stop reading at MAX_BODY bytes. Raises `too_large`."""
    too_large = ChatError(
        "too_large", f"The body is larger than {MAX_BODY // 1024**2} MiB; send less, or smaller images."
    )
    if (request.content_length or 0) > MAX_BODY:
        raise too_large
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BODY:
            raise too_large
    return bytes(body)


def row_id(request: web.Request, name: str, noun: str) -> int:
    """Return the id in path segment `name`, of a message or document (`noun`).

    Raises `not_found` for text that cannot be an id, as if it were an id that does not exist.
    """
    text = request.match_info[name]
    if not _ID.fullmatch(text):
        raise ChatError("not_found", f"There is no {noun} {text[:40]}; {noun} ids are whole numbers.")
    return int(text)


def limit(request: web.Request, default: int) -> int:
    """Return `?limit=`, or `default` if it is absent or empty. Raises `invalid`."""
    text = request.query.get("limit", "")
    if not text:
        return default
    if not _ID.fullmatch(text) or int(text) > MAX_PAGE:
        raise ChatError("invalid", f"limit must be a whole number from 1 to {MAX_PAGE}.", field="limit")
    return int(text)


def before_message(request: web.Request) -> int | None:
    """Return `?before=`, a message id; None if it is absent or empty. Raises `invalid_cursor`."""
    text = request.query.get("before", "")
    if not text:
        return None
    if not _ID.fullmatch(text):
        raise ChatError("invalid_cursor", "before must be what `next` said in the page before.")
    return int(text)


def json_response(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return `value`, encoded by msgspec, as a JSON response."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def error_response(error: ChatError) -> web.Response:
    """Return an error as its JSON response (docs/api.md, Errors)."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(error.body, status=error.status, headers=headers)
