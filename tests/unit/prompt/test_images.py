"""Images in data URLs: which are, and what it costs to look for them."""

import binascii
import json
from base64 import b64decode, b64encode
from random import Random
from typing import Final

import pytest
from cost import seconds

from chatproxy.prompt.images import image_in, without_prefixes

IMAGE: Final = b64encode(b"GIF89a" + bytes(range(256))).decode()


@pytest.mark.parametrize("head", ["image/gif", "IMAGE/GIF", "image/svg+xml;charset=utf-8", "image/"])
def test_a_data_url_is_its_image(head: str) -> None:
    url = f"data:{head};base64,{IMAGE}"
    assert image_in(url) == b64decode(IMAGE)
    for sent in (json.dumps([url, IMAGE, url]), json.dumps([url, IMAGE, url], indent=2)):
        assert json.loads(without_prefixes(sent.replace("/", r"\/").encode())) == [IMAGE] * 3


@pytest.mark.parametrize(
    "other",
    [
        IMAGE,
        "https://host.example/a.gif?b=c,d",
        f"data:text/html;base64,{IMAGE}",
        f"data:image/svg+xml,{IMAGE}",
        f" data:image/gif;base64,{IMAGE}",
        f"data:image/{'x' * 201};base64,{IMAGE}",
    ],
)
def test_other_text_is_left_as_it_is(other: str) -> None:
    assert image_in(other) is None
    assert json.loads(without_prefixes(json.dumps([other]).encode())) == [other]


@pytest.mark.parametrize(
    "wrong",
    [
        f'"data:image/gif;base64,{IMAGE}',
        f'{IMAGE}"data:image/gif;base64,{IMAGE}',
        f"data:image/gif;base64,data:image/gif;base64,{IMAGE}",
    ],
)
def test_no_image_is_made_of_what_is_none(wrong: str) -> None:
    (left,) = json.loads(without_prefixes(json.dumps([wrong]).encode()))
    with pytest.raises(binascii.Error):
        b64decode(left, validate=True)


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
@pytest.mark.parametrize("number", [1, 16])
def test_looking_for_data_urls_costs_less_than_the_decoding(prefix: str, number: int) -> None:
    image = b64encode(Random(1).randbytes(8 * 1024**2 // number))
    sent = json.dumps([prefix + image.decode()] * number).encode()
    decoding = seconds(lambda: [b64decode(image, validate=True) for _ in range(number)])
    assert seconds(lambda: without_prefixes(sent)) < decoding
