"""Owners' names in the one form in which users' names are compared, also those stored under another one.

What several forms of a name own becomes one owner's. This runs before anything else reads the database, in
units that end with an owner, so that after a crash the next start goes on. Nothing can take it apart again.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from chatproxy.store.database import Connection, Unit, to_json
from chatproxy.store.sql import AFTER_TOP

SESSIONS_PER_UNIT: Final = 1000  # after which a unit takes no more owners

# Each owner is found by an index. Documents that are not complete are about to be removed.
_NEXT: Final = """
    SELECT min(owner) FROM (
        SELECT min(owner) AS owner FROM session WHERE owner > {name}
        UNION ALL SELECT min(owner) FROM document WHERE owner > {name} AND complete
    ) AS next
"""
# All but the nameless one.
_OWNERS: Final = f"""
    WITH RECURSIVE owners (name) AS (
        {_NEXT.format(name="''")}
        UNION ALL SELECT ({_NEXT.format(name="owners.name")}) FROM owners WHERE name IS NOT NULL
    )
    SELECT name FROM owners WHERE name IS NOT NULL
"""
# `forms` is a JSON array of all that are stored of one name.
_ITS: Final = "owner IN (SELECT value FROM json_each(:forms))"
# The sessions of each form stay in their order, and are merged by the time of their use. The numbers begin
# above those in use, because no two of one owner may be equal at any time.
_SESSIONS: Final = f"""
    UPDATE session SET owner = :name, activity = ranked.number FROM (
        SELECT key, {AFTER_TOP} AS number FROM (
            SELECT key, owner, activity, max(activity) OVER () AS top,
                max(updated_at) OVER (PARTITION BY owner ORDER BY activity) AS used
            FROM session WHERE {_ITS}
        ) AS own
    ) AS ranked WHERE session.key = ranked.key
"""
# Of documents with the same content, the first one stays what a further upload of it finds.
_SAME: Final = f"""
    UPDATE document SET hash = randomblob(length(hash)) WHERE {_ITS} AND complete AND EXISTS (
        SELECT 1 FROM document AS other
        WHERE other.{_ITS} AND other.hash = document.hash AND other.complete AND other.id < document.id
    )
"""
_DOCUMENTS: Final = f"UPDATE document SET owner = :name WHERE {_ITS} AND complete"
# Words are indexed behind a key of their owner. Without its row, the index is built again.
_WORDS: Final = (f"DELETE FROM unindexed WHERE {_ITS} AND owner <> :name", "DELETE FROM word_index")


def renaming(form: Callable[[str], str]) -> Unit[bool]:
    """Return the unit that gives some owners the form of their names; it returns whether to run it again."""
    names: list[tuple[str, Sequence[str]]] | None = None

    async def unit(connection: Connection) -> bool:
        nonlocal names
        if names is None:
            names = await _changing(connection, form)
        sessions = 0
        while names and sessions < SESSIONS_PER_UNIT:
            sessions += await _merge(connection, *names.pop())
        return bool(names)

    return unit


async def _changing(connection: Connection, form: Callable[[str], str]) -> list[tuple[str, Sequence[str]]]:
    """Return each name that is stored in another form than its own, and all the forms that are stored."""
    forms: dict[str, list[str]] = defaultdict(list)
    for row in await connection.fetch(_OWNERS):
        forms[form(row["name"])].append(row["name"])
    return [(name, stored) for name, stored in forms.items() if stored != [name]]


async def _merge(connection: Connection, name: str, forms: Sequence[str]) -> int:
    """Make one owner of all forms of a name; return how many sessions it has."""
    arguments = {"name": name, "forms": to_json(forms)}
    sessions = await connection.execute(_SESSIONS, **arguments)
    for sql in (_SAME, _DOCUMENTS, *_WORDS):
        await connection.execute(sql, **arguments)
    return sessions
