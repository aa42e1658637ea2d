"""Text, JSON and CSV."""

from typing import BinaryIO

import msgspec

from chatproxy.documents.encodings import decode
from chatproxy.documents.parts import Part, Reading, wrong_type


def read(file: BinaryIO) -> Reading:
    """Return the text as it is."""
    return Reading([Part(decoded(file))])


def read_json(file: BinaryIO) -> Reading:
    """Return the JSON indented, so that there are lines to split it at."""
    text = decoded(file)
    try:
        return Reading([Part(msgspec.json.format(text, indent=1))])
    except (msgspec.DecodeError, RecursionError):
        raise wrong_type("JSON") from None


def decoded(file: BinaryIO) -> str:
    """Return the text of a file; raise `unsupported_media_type` for binary data."""
    data = file.read()
    if data.startswith((b"%PDF-", b"PK\x03\x04", b"{\\rtf")):
        raise wrong_type("text")
    found = decode(data)
    if found is None:
        raise wrong_type("text")
    return found.text
