"""What a send and a list cost does not grow with what is stored, counted in steps of SQLite's."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from chat_client import serving
from waiting import until

from chatproxy import Config

CONNECT: Final = sqlite3.connect
SESSION: Final = "long-1"  # the one with the messages
TEXT: Final = "so many words that ten such messages fill the window of two thousand tokens " * 7
SHORT, LONG = 100, 1_000  # sessions, and messages in one of them
_COUNT: Final = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
_SESSIONS: Final = f"""
    {_COUNT} INSERT INTO session (key, id, owner, title, created_at, updated_at, activity)
    SELECT i, 'long-' || i, '', 'Conversation number ' || i, at, at, i
    FROM (
        SELECT i, strftime('%Y-%m-%dT%H:%M:%S', 1700000000 + i, 'unixepoch') || '.000Z' AS at FROM n
    )
"""
_MESSAGES: Final = f"""
    {_COUNT} INSERT INTO message (
        session, place, role, status, content, sources, warnings, image_count, created_at, updated_at
    )
    SELECT 1, i, CASE i % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'complete', ?, '[]', '[]', 0, at, at
    FROM (SELECT i, '2026-01-01T00:00:00.000Z' AS at FROM n)
"""


def fill(path: Path, number: int) -> None:
    """Add sessions and messages to a database that chatproxy has created and that is not open."""
    with closing(CONNECT(path)) as database, database:
        database.execute(_SESSIONS, (number,))
        database.execute(_MESSAGES, (number, TEXT))
        database.execute("UPDATE session SET message_count = ? WHERE key = 1", (number,))
        database.execute("DELETE FROM unindexed")  # nothing searches them


def is_indexed(path: Path) -> bool:
    with closing(CONNECT(path)) as database:
        (number,) = database.execute("SELECT count(*) FROM unindexed").fetchone()
        return int(number) == 0


async def taken(config: Config, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the steps of a send and of a list, neither of them the first one."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = CONNECT(*args, **options)
        connection.set_progress_handler(count, 1)
        return connection

    found = []
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", connect)
        async with serving(config) as client:
            for _ in range(2):
                steps = 0
                assert (await client.ask(SESSION)).kinds()[-1] == "done"
                await until(lambda: is_indexed(config.database_path))
                found.append(steps)
                steps = 0
                assert len((await client.call("GET", "/api/chat/sessions?limit=10"))["sessions"]) == 10
                found.append(steps)
    return found[2:]


async def test_a_send_and_a_list_take_as_many_steps_however_much_is_stored(
    config: Config, quick_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for number in (SHORT, LONG):
        path = quick_disk / f"{number}.db"
        settings = replace(config, database_url=f"sqlite:///{path}", context_window=2048)
        async with serving(settings):
            pass  # creates the tables
        fill(path, number)
        found.append(await taken(settings, monkeypatch))
    # Not quite the same: what follows a send may fall into the list.
    assert all(long < 2 * short for short, long in zip(*found, strict=True)), found
