"""The parts of statements that the two databases need in different words, as SQLite has them.

`postgres/dialect` has PostgreSQL's words for each.
"""

from typing import Final

# At a start: an answer that nobody writes any more, and whether nobody else uses the database. SQLite has one
# process.
ABANDONED: Final = "status = 'streaming' AND TRUE IS TRUE"
# The replica that writes an answer; SQLite has no others.
REPLICA: Final = "NULL AS replica"
# At a start: nobody gathers a session any more.
UNGATHERED: Final = "TRUE IS NOT NULL"
ALONE: Final = "TRUE IS NOT FALSE"


def octets(text: str) -> str:
    """Return how many bytes a text has; length() would stop at NUL, and counts code points."""
    return f"length(CAST({text} AS BLOB))"


def as_bytes(text: str) -> str:
    """Return a text as bytes, where an earlier version or another program may have written no UTF-8."""
    return f"CAST({text} AS BLOB)"


# The next place among the sessions of an owner, before which all others were used, and the last one.
AFTER_ALL: Final = "(SELECT max(activity) + 1 FROM session AS own WHERE own.owner = session.owner)"
AFTER_ALL_OF_OWNER: Final = "(SELECT coalesce(max(activity), 0) + 1 FROM session WHERE owner = :owner)"
BEFORE_ALL_OF_OWNER: Final = "(SELECT coalesce(min(activity), 1) - 1 FROM session WHERE owner = :owner)"
# The same for several sessions, where `top` is the last place that any of them has.
AFTER_TOP: Final = "top + row_number() OVER (ORDER BY used, owner, activity)"
