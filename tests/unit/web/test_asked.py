"""The model and `stream` of a body, whatever else is in it."""

import json
from typing import Final

import pytest

from chatproxy.web.faces.passing.asked import MAX_NAME, Asked, asked

FORM: Final = "multipart/form-data; boundary=x-1"


@pytest.mark.parametrize(
    "content_type", ["application/json", "", "text/plain", "application/x-www-form-urlencoded"]
)
def test_json_is_read_whatever_its_type_says(content_type: str) -> None:
    body = json.dumps({"messages": [{"model": "no", "stream": True}], "model": "m:1b", "stream": False})
    assert asked(body.encode(), content_type) == Asked("m:1b", False)
    assert asked(bytearray(b'{"model": "m", "stream": true}'), content_type) == Asked("m", True)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", Asked()),
        (b"{", Asked()),
        (b"[]", Asked()),
        (b"\xff", Asked()),
        (b'{"model": 7, "stream": "true"}', Asked()),
        (b'{"model": null, "stream": null}', Asked()),
        (b'{"model": "\\ud800"}', Asked("\ufffd")),
        (b'{"prompt": "\\ud83d", "model": "m", "stream": true}', Asked("m", True)),
        (b'{"model": "' + b"m" * MAX_NAME + b'"}', Asked()),
        (b'{"model":"a","model":"b"}', Asked("b")),
        (b"[" * 100_000, Asked()),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Asked()),
    ],
)
def test_what_cannot_be_read_asks_for_nothing(body: bytes, expected: Asked) -> None:
    assert asked(body, "application/json") == expected


def form(*fields: bytes) -> bytes:
    return b"".join(b"--x-1\r\n" + field + b"\r\n" for field in fields) + b"--x-1--\r\n"


def test_the_model_of_a_form_is_read() -> None:
    file = (
        b'Content-Disposition: form-data; name="file"; filename="model"\r\n\r\n' + b"\0name=model\r\n" * 100
    )
    for name in (b'name="model"', b"name=model", b'x="a"; name="model"'):
        field = b"content-disposition: form-data; " + name + b"\r\nContent-Type: text/plain\r\n\r\nwhisper:1"
        assert asked(form(file, field), FORM) == Asked("whisper:1")
    assert asked(form(file), FORM) == Asked()
    assert asked(form(file), "multipart/form-data") == Asked()
    assert asked(form(file), "multipart/form-data; boundary=\udcff") == Asked()
    assert asked(form(*[file] * 1000, field), FORM) == Asked()


def test_what_only_looks_like_the_model_of_a_form_is_not() -> None:
    disposition = b'Content-Disposition: form-data; name="model"'
    other, model = disposition + b"\r\n\r\nother", disposition + b"\r\n\r\nwhisper:1"
    content = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    for before in (
        content + b"--x-10\r\n" + other,
        content + b"a--x-1\r\n" + other,
        disposition + b'; filename="a"\r\n\r\nother',
    ):
        assert asked(form(before, model), FORM) == Asked("whisper:1")
    assert asked(b"before --x-1\r\n" + other + b"\r\n" + form(model), FORM) == Asked("whisper:1")
    assert asked(form(content) + form(other), FORM) == Asked()
