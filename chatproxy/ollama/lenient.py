"""Another program's JSON, read leniently: a value of the wrong type is unknown, and spoils nothing else."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Final, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, ValidationError
from msgspec.structs import fields

S = TypeVar("S")
T = TypeVar("T", bound=Struct)

# A character beyond U+FFFF is two escapes in JSON. Programs that cut texts by UTF-16 write one alone.
_HALF: Final = re.compile(rb"(\\(?<!\\\\)(?:\\\\)*+u)(?:[dD][89abAB]..\\u[dD][c-fC-F]..|([dD][89a-fA-F]..))")
MAX_ESCAPES: Final = 250_000  # of JSON that is mended, as the event loop may have to wait for it

STRICT: Final = "strict"  # marks a field without which the rest is worthless: `Annotated[str, STRICT]`

# What another program counts, as far as it is plausible.
Tokens = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Size = Annotated[int, Meta(ge=0, le=2**53)]  # bytes
Nanoseconds = Annotated[int, Meta(ge=0, le=86_400 * 10**9)]  # up to a day

# What msgspec raises for bytes that are not the expected JSON.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def decode(data: bytes | Raw, kind: type[T]) -> T:
    """Decode an object. A field whose value is not of its type gets its default.

    Objects in fields are decoded in the same way. Raises what is in `DECODE_ERRORS` if `data` is not a JSON
    object, or if the value of a field that is required or marked as STRICT is missing or of another type.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except ValidationError:
        return decode_fields(data, kind)


def decode_fields(data: bytes | Raw, kind: type[T]) -> T:
    """Decode an object that is known not to be of its type, field by field; see `decode`."""
    found = msgspec.json.decode(data, type=with_raw_fields(kind))
    values: dict[str, object] = {}
    for field in fields(kind):
        raw: Raw | UnsetType = getattr(found, field.name)
        try:
            if raw is not UNSET:
                values[field.name] = _decode_value(raw, field.type)
        except DECODE_ERRORS:
            if field.required or STRICT in get_args(field.type):
                raise
    if missing := [field.name for field in fields(kind) if field.required and field.name not in values]:
        raise ValidationError(f"Object missing required field `{missing[0]}`")
    return kind(**values)


def _decode_value(raw: Raw, kind: Any) -> object:
    try:
        return msgspec.json.decode(raw, type=kind)
    except ValidationError:
        inner = [each for each in _parts(kind) if isinstance(each, type) and issubclass(each, Struct)]
        if not inner:
            raise
        return decode_fields(raw, inner[0])


def _parts(kind: Any) -> Iterator[Any]:
    """Yield the types within `Annotated` and a union."""
    yield kind
    for part in get_args(kind):
        yield from _parts(part)


@cache
def with_raw_fields(kind: type[Struct]) -> type[Struct]:
    """Return a type with the same fields, each of which keeps the JSON that was sent, if any was."""
    raw = [(each.name, Raw | UnsetType, UNSET) for each in fields(kind)]
    names = {each.name: each.encode_name for each in fields(kind)}
    return msgspec.defstruct(kind.__name__, raw, rename=names)


def decode_halves(data: bytes | bytearray | Raw, kind: type[S]) -> S:
    """Decode JSON as Ollama reads it, in which half a character is U+FFFD.

    Raises what is in `DECODE_ERRORS`.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:
        return msgspec.json.decode(mended(data), type=kind)


def mended(data: bytes | bytearray | Raw) -> bytes:
    """Return JSON with U+FFFD for each half of a character, which msgspec refuses and others read.

    Nothing is changed beyond MAX_ESCAPES.
    """
    given = bytes(data)
    if given.count(b"\\") > MAX_ESCAPES:
        return given
    return _HALF.sub(lambda found: found[1] + b"fffd" if found[2] else found[0], given)
