"""What a body asks for: the name of a model, and whether the answer is to be streamed.

Nothing else of it is unfolded, and nothing is judged: Ollama itself says what is wrong with a request.
"""

from email import message_from_bytes
from email.message import Message
from typing import Final

import msgspec
from msgspec import Raw, Struct

from chatproxy.ollama.lenient import DECODE_ERRORS, decode_halves

FORM: Final = "multipart/form-data"
MAX_NAME: Final = 1024  # bytes; what is longer is no model's name
MAX_HEAD: Final = 4096  # bytes of the headers of a form's field, with a name
MOST_FIELDS: Final = 64  # of a form, among which the model is looked for


class Asked(Struct, frozen=True):
    """What a body asks for. `model` is empty, and `stream` None, if it does not say."""

    model: str = ""
    stream: bool | None = None


class _Fields(Struct, frozen=True):
    model: Raw = Raw()
    stream: Raw = Raw()


def asked(body: bytes | bytearray, content_type: str) -> Asked:
    """Return what a body asks for; `content_type` is the header, with its parameters.

    As in Ollama, anything but a form is JSON, whatever its type says.
    """
    described = Message()
    described["Content-Type"] = content_type
    if described.get_content_type() == FORM:
        return Asked(model=_model_of_form(body, described.get_boundary("")))
    try:
        fields = decode_halves(body, _Fields)
    except DECODE_ERRORS:
        return Asked()
    stream = {b"true": True, b"false": False}.get(bytes(memoryview(fields.stream)[:5]))
    return Asked(model=_text(fields.model), stream=stream)


def _text(raw: Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=str) if len(memoryview(raw)) <= MAX_NAME else ""
    except DECODE_ERRORS:
        return ""


def _model_of_form(body: bytes | bytearray, boundary: str) -> str:
    """Return the field `model` of a form (RFC 7578)."""
    separator = b"--" + boundary.encode(errors="surrogateescape")
    place = body.find(separator) if boundary else -1
    for _ in range(MOST_FIELDS):
        if place < 0:
            break
        start = place + len(separator)
        rest, _, field = bytes(body[start : start + MAX_HEAD]).partition(b"\n")
        if place == 0 or body[place - 1 : place] == b"\n":  # elsewhere it is part of a field
            if rest.rstrip() == b"--":
                break
            head, _, value = field.partition(b"\r\n\r\n")
            described = message_from_bytes(head)
            name = described.get_param("name", header="content-disposition")
            if not rest.strip() and name == "model" and described.get_filename() is None:
                return value.partition(b"\r\n")[0][:MAX_NAME].decode(errors="replace")
        place = body.find(separator, start)
    return ""
