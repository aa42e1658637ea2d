"""The message as it is kept: what is encoded, and when two are the same."""

from typing import Any

import msgspec
import pytest

from chatproxy.prompt.request import Send, SendRequest


async def checked(body: str) -> Send:
    return await msgspec.json.decode(body, type=SendRequest).checked(("*",))


async def test_what_is_passed_on_is_kept_encoded() -> None:
    send = await checked(
        '{"message": "a", "options": {"num_predict": 5, "stop": ["b"]}, "format": {"a": 1.0}}'
    )
    assert send.num_predict == 5
    assert msgspec.json.encode([send.options, send.format]) == b'[{"num_predict":5,"stop":["b"]},{"a":1.0}]'
    assert (await checked('{"message": "a", "options": null}')).options is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('"options": {"a": 1, "b": {"c": 2, "d": 3}}', '"options": {"b": {"d": 3, "c": 2}, "a": 1}', True),
        ('"options": {"a": 1}', '"options": {"a": 2}', False),
        ('"format": {"a": 1, "b": 2}', '"format": {"b": 2, "a": 1}', True),
        ('"format": "json"', '"model": "m"', False),
        ('"documentId": 3', '"document_id": 3', True),
        ('"document_id": null', '"model": null', False),
        ('"images": ["YQ=="]', '"images": ["Yg=="]', False),
    ],
)
async def test_sends_with_one_id_are_compared_by_what_they_say(one: str, other: str, same: bool) -> None:
    sends: list[Any] = [
        await checked(f'{{"message": "a", "clientMessageId": "i", {fields}}}') for fields in (one, other)
    ]
    assert sends[0].fingerprint
    assert (sends[0].fingerprint == sends[1].fingerprint) is same


async def test_a_send_without_an_id_is_not_hashed() -> None:
    assert (await checked('{"message": "a"}')).fingerprint is None
