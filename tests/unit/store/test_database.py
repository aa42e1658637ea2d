import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiosqlite
import pytest

import chatproxy.store.sqlite.database
from chatproxy.errors import ChatError
from chatproxy.store.database import now, to_json
from chatproxy.store.records import Usage
from chatproxy.store.sqlite.database import SQLiteDatabase as Database
from chatproxy.store.sqlite.database import fetch

ENDLESS: Final = """
    WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted)
    SELECT count(*) FROM counted
"""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "chat.db")
    yield database
    await database.close()


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
        '"timeToFirstTokenMs":null,"thinkingMs":null,"loadMs":3,"totalMs":null}'
    )


async def test_no_row_has_a_number_that_does_not_fit(connection: aiosqlite.Connection) -> None:
    ((id,),) = await fetch(connection, "SELECT :id", id=2**63 - 1)
    assert id == 2**63 - 1
    assert list(await fetch(connection, "SELECT :id", id=2**63)) == []


async def found(database: Database, owner: str, sql: str) -> list[int]:
    return [number for (number,) in await database.search(sql, owner=owner)]


async def test_a_dozen_people_may_search_at_once_where_users_are_not_told_apart(
    database: Database,
) -> None:
    searches = [found(database, "", "SELECT 1") for _ in range(12)]
    assert await asyncio.gather(*searches) == [[1]] * 12


async def test_a_search_ends_at_its_deadline(database: Database) -> None:
    with pytest.raises(ChatError, match="longer or rarer words") as caught:
        await database.search(ENDLESS, owner="ann")
    assert (caught.value.code, caught.value.retry_after) == ("overloaded", 1)


async def test_searches_that_nobody_waits_for_delay_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would run for ever: what ends it is that its caller is cancelled."""
    monkeypatch.setattr(chatproxy.store.sqlite.database, "SLOW_READ_TIMEOUT", 1e9)
    searches = [
        asyncio.create_task(database.search(ENDLESS, owner=owner)) for owner in ["ann"] * 400 + ["bob"]
    ]
    await database.ping()  # beside those that run, in a lane of its own
    refused = [search for search in searches if search.done()]
    for search in searches:
        search.cancel()
    assert await found(database, "eve", "SELECT 1") == [1]
    await asyncio.wait(searches)
    assert 0 < len(refused) < 400
    assert {str(search.exception()) for search in refused} == {
        "Too many searches and exports are waiting; try again in a moment."
    }
    assert all(search.cancelled() for search in searches if search not in refused)


async def test_an_owner_leaves_room_for_others(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chatproxy.store.sqlite.database, "SLOW_READ_TIMEOUT", 1e9)
    searches = [asyncio.create_task(database.search(ENDLESS, owner="ann")) for _ in range(5)]
    await asyncio.sleep(0)  # they have asked
    assert await found(database, "bob", "SELECT 1") == [1]
    for search in searches:
        search.cancel()
    await asyncio.wait(searches)


async def test_an_interrupt_reaches_no_other_search(database: Database) -> None:
    """Whenever it comes: before the query has begun, while it runs, or when it has just ended."""
    chance = random.Random(1)
    rows = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 2000) SELECT sum(n) FROM n"
    for _ in range(200):
        search = asyncio.create_task(database.search(rows, owner="ann"))
        await asyncio.sleep(chance.random() / 1000)
        search.cancel()
        assert await found(database, "ann", rows) == [2001000]
