"""What clients send, read within bounds and checked: JSON bodies, ids in paths, numbers in queries.

The limits are chatproxy's own, so that they hold in a host application with other ones.
"""

import codecs
import re
from typing import Annotated, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from chatproxy.errors import ChatError

MAX_BODY: Final = 16 * 1024 * 1024  # bytes
MOST: Final = 500  # things in a page

# The parameters of lists.
Limit = Annotated[int, Meta(ge=1, le=MOST, description="At most so many.")]
Before = Annotated[int, Meta(ge=1, description="What `next` said in the page before; absent: the first.")]

T = TypeVar("T")


async def read_json(request: web.Request, kind: type[T]) -> T:
    """The body as a value of that type. Raises `too_large`, `unsupported_media_type`, `malformed`,
    `invalid` (with `field`)."""
    _check_type(request)
    return decode(await _read(request), kind)


def decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".") or "body"
        raise ChatError("invalid", f"{field} cannot be used: {_told(what)}.", field=field) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChatError(
            "malformed", "The body is not valid JSON in UTF-8; check how it is encoded."
        ) from error


def _told(what: str) -> str:
    return what[:1].lower() + what[1:]


def _check_type(request: web.Request) -> None:
    """`application/json` it must say: a page elsewhere can send `text/plain` without being asked."""
    if request.content_type != "application/json":
        raise ChatError(
            "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json."
        )
    if request.charset is not None and not _is_utf8(request.charset):
        raise ChatError("unsupported_media_type", "Send the body in UTF-8.")


def _is_utf8(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name == "utf-8"
    except (LookupError, ValueError):
        return False


async def _read(request: web.Request) -> bytes:
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


_ID: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def row_id(request: web.Request, name: str, noun: str) -> int:
    """That of the message or document that the path names; what cannot be an id names none."""
    text = request.match_info[name]
    if not _ID.fullmatch(text):
        raise ChatError("not_found", f"There is no {noun} {text[:40]}; {noun} ids are whole numbers.")
    return int(text)


def limit(request: web.Request, default: int) -> int:
    """`?limit=`, a Limit."""
    text = request.query.get("limit", "")
    if not text:
        return default
    if not _ID.fullmatch(text) or int(text) > MOST:
        raise ChatError("invalid", f"limit must be a whole number from 1 to {MOST}.", field="limit")
    return int(text)


def before_message(request: web.Request) -> int | None:
    """`?before=`, the id of a message."""
    text = request.query.get("before", "")
    if not text:
        return None
    if not _ID.fullmatch(text):
        raise ChatError("invalid_cursor", "before must be what `next` said in the page before.")
    return int(text)
