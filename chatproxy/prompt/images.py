"""Images of messages: what kind they are, and as data URLs (RFC 2397), as other APIs send and show them."""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final

# How images of each kind begin (WHATWG MIME Sniffing, 6.1). Nothing in any of these can run.
KINDS: Final[Mapping[str, re.Pattern[bytes]]] = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
# What the others are called in data URLs, which have to name a kind of image: browsers look at the bytes.
UNKNOWN: Final = "image/png"
# How a data URL of an image begins as a text in JSON, where `/` may be written as `\/`. With the quote first,
# base64 is passed over quickly. A quote within a text may be found as well, but that is no base64 either way.
_BEGIN: Final = re.compile(rb'"data:image\\?/[^,"]{0,200};base64,', re.IGNORECASE)


def image_in(url: str) -> bytes | None:
    """Return the image in a data URL, None for any other address.

    Raises ValueError if it is not in base64.
    """
    head, comma, data = url.partition(",")
    is_image = _BEGIN.fullmatch(f'"{head}{comma}'.encode())
    return b64decode(data, validate=True) if is_image else None


def without_prefixes(images: bytes) -> bytes:
    """Return the JSON of a list of images in base64, with what is a data URL of an image as base64 alone."""
    return _BEGIN.sub(b'"', images)


def kind_of(image: bytes) -> str | None:
    """Return the media type of an image by its first bytes, None if it is none of KINDS."""
    return next((kind for kind, begin in KINDS.items() if begin.match(image)), None)


def data_url(image: bytes) -> str:
    """Return a data URL for an image."""
    return f"data:{kind_of(image) or UNKNOWN};base64,{b64encode(image).decode()}"
