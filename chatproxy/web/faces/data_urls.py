"""Images as data URLs (RFC 2397), as other APIs send and show them."""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final

# How images of each kind begin. What is none of them is called the first: browsers look at the bytes.
KINDS: Final[Mapping[str, bytes]] = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
_DATA_URL: Final = re.compile(r"data:image/[^,]{0,200};base64,", re.ASCII | re.IGNORECASE)


def image_in(url: str) -> bytes | None:
    """Return the image in a data URL, None for any other address.

    Raises ValueError if it is not in base64.
    """
    begin = _DATA_URL.match(url)
    return None if begin is None else b64decode(url[begin.end() :], validate=True)


def kind_of(image: bytes) -> str:
    """Return the media type of an image."""
    return next((kind for kind, begin in KINDS.items() if image.startswith(begin)), next(iter(KINDS)))


def data_url(image: bytes) -> str:
    """Return a data URL for an image."""
    return f"data:{kind_of(image)};base64,{b64encode(image).decode()}"
