"""What was not used for long, as SQL: for what visitors leave, and for `chatproxy prune`.

A session is used by its messages and by changes of its settings, a document by the sessions that answer from
it. All statements take `before`, a time; UPDATEs also take `keys`, a JSON array.
"""

from typing import Final

PER_UNIT: Final = 500  # sessions or documents

_ANSWERED: Final = "SELECT session FROM message WHERE status = 'streaming'"
_THESE: Final = "IN (SELECT CAST(value AS BIGINT) FROM json_each(:keys))"


def unused_sessions(which: str) -> str:
    """Return a condition for sessions not used since then, among `which`; none that is being answered."""
    return f"{which} AND updated_at < :before AND deleted = 0 AND session.key NOT IN ({_ANSWERED})"


def unused_documents(which: str, kept: str = "TRUE") -> str:
    """Return a condition for documents from before then of no session; `which` is a condition for owners.

    Only sessions that are `kept` count.
    """
    using = f"{which} AND deleted = 0 AND {kept}"
    return f"""
        {which} AND created_at < :before AND complete AND id NOT IN (
            SELECT document_id FROM session WHERE document_id IS NOT NULL AND {using}
            UNION SELECT CAST(json_extract(value, '$[0]') AS BIGINT) FROM session, json_each(documents)
            WHERE {using}
        )
    """


def find_sessions(which: str) -> str:
    """Return a query for the keys of some sessions to delete."""
    return f"SELECT key FROM session WHERE {unused_sessions(which)} LIMIT {PER_UNIT}"


def find_documents(which: str) -> str:
    """Return a query for the keys of some documents to delete."""
    return f"SELECT id AS key FROM document WHERE {unused_documents(which)} LIMIT {PER_UNIT}"


def delete_sessions(which: str) -> str:
    """Return the UPDATE that deletes those of the sessions that are still not used."""
    return f"UPDATE session SET deleted = 1 WHERE session.key {_THESE} AND {unused_sessions(which)}"


def delete_documents(which: str) -> str:
    """Return the UPDATE that deletes those of the documents that are still not used."""
    these = f"id {_THESE} AND {unused_documents(which)}"
    return f"UPDATE document SET complete = FALSE, deleted = TRUE WHERE {these}"
