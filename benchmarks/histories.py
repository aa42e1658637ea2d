"""Databases with long histories: any number of sessions, and of messages in one of them."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

SESSION: Final = "bench-1"  # the one with the messages
TEXT: Final = "so many words that ten such messages fill the window of two thousand tokens " * 7

_COUNT: Final = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
_SESSIONS: Final = f"""
    {_COUNT} INSERT INTO session (key, id, owner, title, created_at, updated_at, activity)
    SELECT i, 'bench-' || i, '', 'Conversation number ' || i, at, at, i
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


def fill(path: Path, sessions: int, messages: int) -> None:
    """Add sessions and messages to a database that chatproxy has created and that is not open."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute(_SESSIONS, (sessions,))
        database.execute(_MESSAGES, (messages, TEXT))
        database.execute("UPDATE session SET message_count = ? WHERE key = 1", (messages,))
