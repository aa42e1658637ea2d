"""Requests and responses: JSON bodies within limits, ids in paths, numbers in queries, values as JSON.

The limits are chatproxy's own, so that they also hold in a host application with different ones.
"""

import codecs
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Raw, Struct

from chatproxy.errors import ChatError, unusable
from chatproxy.ollama.lenient import with_raw_fields
from chatproxy.prompt.images import without_prefixes
from chatproxy.web.held import HELD, PIECE, Hold

MAX_BODY: Final = 32 * 1024 * 1024  # bytes
MAX_IMPORT: Final = 512 * 1024 * 1024  # bytes of a file of conversations, which is never held as a whole
MAX_PAGE: Final = 500  # items
MAX_QUERY: Final = 500  # characters; percent-encoded, they still fit into a request line

# The query parameters of lists.
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Maximum number of items to return.")]
Before = Annotated[
    int, Meta(ge=1, le=2**63 - 1, description="The `next` of the previous page; omit for the first page.")
]

T = TypeVar("T", bound=Struct)

# What msgspec says in words that do not tell what to do.
_IN_WORDS: Final = {
    "Invalid base64 encoded string": "send an image in base64 without spaces, alone or in a data URL, which"
    " begins with `data:image/…;base64,`"
}
_ID: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


async def read_json(request: web.Request, kind: type[T], *, most: int = MAX_BODY) -> T:
    """Return the request body; see `json_body`."""
    async with json_body(request, kind, most=most) as value:
        return value


@asynccontextmanager
async def json_body(request: web.Request, kind: type[T], *, most: int = MAX_BODY) -> AsyncIterator[T]:
    """Give the block the request body, of at most `most` bytes, as a value of type `kind`.

    It counts as held for the client until the block ends. Fields may declare a limit in bytes with
    `prompt.request.at_most`. Nothing is unfolded before its size is known: unknown fields and all but the
    last of equal names never are. Raises `too_large`, `unsupported_media_type`, `malformed` or `invalid`
    (with `field`).
    """
    check_is_json(request)
    async with request.app[HELD].holding(request) as hold:
        yield await _read_value(request, hold, kind, most)


def check_is_json(request: web.Request) -> None:
    """Raise `unsupported_media_type` unless the body is declared as JSON in UTF-8."""
    # A page elsewhere can send `text/plain` without a preflight, but not `application/json`.
    if request.content_type != "application/json":
        raise ChatError(
            "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json."
        )
    if request.charset is not None and not _is_utf8(request.charset):
        raise ChatError("unsupported_media_type", "Send the body in UTF-8.")


async def _read_value(request: web.Request, hold: Hold, kind: type[T], most: int) -> T:
    body = await read_body(request, hold, most)
    async with request.app[HELD].turn_for(len(body)):
        return decoded(body, kind)


def decoded(body: bytes | bytearray, kind: type[T]) -> T:
    """Return a body as a value of type `kind`; see `json_body`."""
    with reading_json():
        as_sent = msgspec.json.decode(body, type=with_raw_fields(kind))
        for bound in _bounds(kind):
            raw = getattr(as_sent, bound.name)
            if raw is not UNSET:
                setattr(as_sent, bound.name, Raw(_within(bound, bytes(raw))))
        return msgspec.json.decode(msgspec.json.encode(as_sent), type=kind)


@contextmanager
def reading_json(field: str = "") -> Iterator[None]:
    """Raise what msgspec finds wrong in a body as `invalid` (with `field`) or `malformed`.

    What is decoded is the body, or a field of it.
    """
    try:
        yield
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        problem = _IN_WORDS.get(problem) or problem[:1].lower() + problem[1:]
        field = (field + path.rstrip("`")).lstrip(".") or "body"
        raise unusable(field, problem) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChatError(
            "malformed", "The body is not valid JSON in UTF-8; check how it is encoded."
        ) from error


def _is_utf8(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name == "utf-8"
    except (LookupError, ValueError):
        return False


class _Bound(Struct, frozen=True):
    """The most that a field may have, as it declares it: bytes, and items of a list; of images, or others."""

    name: str
    sent_name: str
    most_bytes: Sequence[int]
    most_items: Sequence[int]
    takes_data_urls: bool


def _within(bound: _Bound, sent: bytes) -> bytes:
    """Return the JSON of a field as it is read; raise `too_large` or `invalid` beyond what it declares."""
    if bound.takes_data_urls:
        sent = without_prefixes(sent)
    for limit in bound.most_bytes:
        if _size(sent) > limit:
            sentence = f"{bound.sent_name} is longer than {limit // 1024} KiB; shorten it."
            raise ChatError("too_large", sentence)
    for most in bound.most_items:
        if sent.count(b",") >= most:  # as there is none in base64
            raise unusable(bound.sent_name, f"expected `array` of length <= {most}")
    return sent


@cache  # reading the type takes longer than reading a message
def _bounds(kind: type[Struct]) -> Sequence[_Bound]:
    """Return the fields of a type that declare limits, or take data URLs."""
    bounds = [
        _Bound(
            field.name,
            field.encode_name,
            list(_extras(field.type, "max_bytes")),
            list(_lengths(field.type)),
            any(_extras(field.type, "data_urls")),
        )
        for field in msgspec.structs.fields(kind)
    ]
    return [bound for bound in bounds if bound.most_bytes or bound.most_items or bound.takes_data_urls]


def _extras(hint: Any, name: str) -> Iterator[Any]:
    """Yield what a field's type declares under that name in `Meta.extra`, at any place in it."""
    if isinstance(hint, Meta) and hint.extra and name in hint.extra:
        yield hint.extra[name]
    for part in get_args(hint):
        yield from _extras(part, name)


def _lengths(hint: Any) -> Iterator[int]:
    """Yield the most items that a field's type, at any place in it, declares for a list."""
    inner, *metas = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(inner) is list:
        yield from (meta.max_length for meta in metas if meta.max_length is not None)
    for part in get_args(inner):
        yield from _lengths(part)


def _size(sent: bytes) -> int:
    """Return the size of JSON in bytes; of a text, in UTF-8."""
    return len(msgspec.json.decode(sent, type=str).encode()) if sent.startswith(b'"') else len(sent)


async def read_body(request: web.Request, hold: Hold, most: int = MAX_BODY) -> bytearray:
    """Return the body, and stop reading at `most` bytes. Raises `too_large`."""
    too_large = ChatError("too_large", f"The body is larger than {most // 1024**2} MiB; send less.")
    if (request.content_length or 0) > most:
        raise too_large
    await hold.admit(most if request.content_length is None else request.content_length)
    body = bytearray()
    async for piece in request.content.iter_any():
        hold.grow(len(piece))
        body += piece
        if len(body) > most:
            raise too_large
        del piece
        if len(body) > PIECE:
            await request.app[HELD].give_way()
    return body


def row_id(request: web.Request, name: str, noun: str) -> int:
    """Return the id in path segment `name`, of a message or document (`noun`).

    Raises `not_found` for text that cannot be an id, as if it were an id that does not exist.
    """
    text = request.match_info[name]
    if not _ID.fullmatch(text):
        raise ChatError("not_found", f"There is no {noun} {text[:40]}; {noun} ids are whole numbers.")
    return int(text)


def position(request: web.Request, name: str, noun: str) -> int:
    """Return the number from 0 in path segment `name`; raise `not_found` as `row_id` does."""
    return 0 if request.match_info[name] == "0" else row_id(request, name, noun)


def limit(request: web.Request, default: int) -> int:
    """Return `?limit=`, or `default` if it is absent or empty. Raises `invalid`."""
    return whole_number(request, "limit", most=MAX_PAGE, default=default)


def whole_number(request: web.Request, name: str, *, most: int, default: int) -> int:
    """Return a number of the query from 1 to `most`, or `default` if it is absent or empty.

    Raises `invalid`.
    """
    text = request.query.get(name, "")
    if not text:
        return default
    if not _ID.fullmatch(text) or int(text) > most:
        raise ChatError("invalid", f"{name} must be a whole number from 1 to {most}.", field=name)
    return int(text)


def before_message(request: web.Request) -> int | None:
    """Return `?before=`, a message id; None if it is absent or empty. Raises `invalid_cursor`."""
    text = request.query.get("before", "")
    if not text:
        return None
    if not _ID.fullmatch(text):
        raise ChatError("invalid_cursor", "before must be what `next` said in the page before.")
    return int(text)


def search_text(request: web.Request) -> str:
    """Return `?q=`, or an empty text. Raises `invalid` beyond MAX_QUERY characters."""
    text = request.query.get("q", "")
    if len(text) > MAX_QUERY:
        raise ChatError(
            "invalid", f"q is longer than {MAX_QUERY} characters; search for fewer words.", field="q"
        )
    return text


def json_response(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return `value`, encoded by msgspec, as a JSON response."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )
