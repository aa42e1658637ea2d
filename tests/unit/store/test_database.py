import re
from collections.abc import AsyncIterator

import aiosqlite
import pytest

from chatproxy.store.database import fetch, now, to_json
from chatproxy.store.records import Usage


@pytest.fixture
async def connection() -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(":memory:") as connection:
        yield connection


def test_now() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())


def test_json() -> None:
    assert to_json(None) is None
    assert to_json([]) == "[]"
    assert to_json(Usage(load_ms=3)) == (
        '{"promptTokens":null,"completionTokens":null,"tokensPerSecond":null,'
        '"timeToFirstTokenMs":null,"loadMs":3,"totalMs":null}'
    )


async def test_no_row_has_a_number_that_does_not_fit(connection: aiosqlite.Connection) -> None:
    assert list(await fetch(connection, "SELECT :id", id=2**63 - 1)) == [(2**63 - 1,)]
    assert list(await fetch(connection, "SELECT :id", id=2**63)) == []
