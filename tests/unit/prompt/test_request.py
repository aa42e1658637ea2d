"""The message as it is kept: what is encoded, and when two are the same."""

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from chatproxy.errors import ChatError
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
        ('"documentIds": [3, 4]', '"document_ids": [3, 4, 3]', True),
        ('"document_ids": [3]', '"documentId": 3', True),
        ('"document_ids": []', '"document_id": null', True),
        ('"document_ids": [3, 4]', '"document_ids": [3, 4], "document_id": 3', True),
        ('"document_ids": [3, 4]', '"document_ids": [4, 3]', False),
        ('"document_ids": [3, 4]', '"document_id": 3', False),
        ('"images": ["YQ=="]', '"images": ["Yg=="]', False),
    ],
)
async def test_sends_with_one_id_are_compared_by_what_they_say(one: str, other: str, same: bool) -> None:
    sends: list[Any] = [
        await checked(f'{{"message": "a", "clientMessageId": "i", {fields}}}') for fields in (one, other)
    ]
    assert sends[0].fingerprint
    assert (sends[0].fingerprint == sends[1].fingerprint) is same


@pytest.mark.parametrize(
    ("fields", "documents"),
    [
        ('"model": null', UNSET),
        ('"document_id": 3', (3,)),
        ('"documentId": null', ()),
        ('"document_ids": [3, 1, 3, 2]', [3, 1, 2]),
        ('"documentIds": [3, 1], "documentId": 3', [3, 1]),
        ('"document_ids": null, "document_id": null', []),
        ('"document_ids": [5, 4], "documentIds": [6]', [5, 4]),
        (f'"document_ids": {[*range(1, 17), *range(1, 17)]}', [*range(1, 17)]),
    ],
)
async def test_documents_are_named_in_several_ways(fields: str, documents: Any) -> None:
    assert (await checked(f'{{"message": "a", {fields}}}')).documents == documents


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ('"document_ids": [3, 1], "document_id": 1', "document_id"),
        ('"document_ids": [], "documentId": 1', "document_id"),
        ('"documentIds": [1], "document_id": null', "document_id"),
        (f'"document_ids": {[*range(1, 18)]}', "document_ids"),
    ],
)
async def test_documents_that_contradict_each_other_are_refused(fields: str, field: str) -> None:
    with pytest.raises(ChatError) as refused:
        await checked(f'{{"message": "a", {fields}}}')
    assert (refused.value.code, refused.value.details["field"]) == ("invalid", field)


async def test_a_send_without_an_id_is_not_hashed() -> None:
    assert (await checked('{"message": "a"}')).fingerprint is None
