"""The index of words as one row for each part of a text, with its words in a `tsvector`.

PostgreSQL does not cut them, so that they are the same for every language, and as in SQLite.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from chatproxy.store.database import Connection, Edit
from chatproxy.store.postgres.errors import FAILURES

MAX_BYTES: Final = 900_000  # of words in a part, as no tsvector may have 1 MiB

_WORDS: Final = "array_to_tsvector(string_to_array(:terms, ' '))"
_CURRENT: Final = "WHERE id = :id AND version = :version RETURNING key"
_ADD: Final = (
    f"INSERT INTO word (key, part, terms) SELECT key, :part, {_WORDS} FROM edited WHERE :terms <> ''"
    " ON CONFLICT (key, part) DO NOTHING"  # another replica follows the same text
)
_ADVANCE: Final = (
    f"WITH edited AS (UPDATE unindexed SET indexed = greatest(indexed, :indexed) {_CURRENT}) {_ADD}"
)
_FINISH: Final = f"WITH edited AS (DELETE FROM unindexed {_CURRENT}) {_ADD}"


class TextSearch:
    """An `Index` in PostgreSQL."""

    found: Final = """
        SELECT word.key FROM unnest(CAST(:words AS text[])) AS begun
        JOIN word ON word.terms @@ CAST(begun AS tsquery)
        GROUP BY word.key HAVING count(DISTINCT begun) = cardinality(CAST(:words AS text[]))
    """
    unindexed: Final = """
        SELECT id, owner, key, version, indexed, FALSE AS removing
        FROM unindexed WHERE owner = :owner ORDER BY id LIMIT :limit
    """
    removed: Final = ""  # triggers remove it
    obsolete: Final[Sequence[Callable[..., Coroutine[Any, Any, None]]]] = ()

    def query(self, terms: Sequence[str]) -> list[str]:
        """See `Index`."""
        return [f"'{term}':*" for term in terms]

    def may_pass(self, error: Exception) -> bool:
        """See `Index`."""
        return isinstance(error, FAILURES)

    def is_damaged(self) -> bool:
        """Leave it to PostgreSQL to notice."""
        return False

    async def create(self, connection: Connection, *, damaged: bool) -> None:
        """See `Index`."""
        await connection.execute("DELETE FROM word")

    async def apply(self, connection: Connection, edits: Sequence[Edit]) -> None:
        """See `Index`."""
        await connection.lock("words")  # replicas may follow the same texts
        fitting = [{**edit, "terms": _fitting(edit["terms"])} for edit in edits]
        await connection.executemany(_ADVANCE, [edit for edit in fitting if not edit["finished"]])
        await connection.executemany(_FINISH, [edit for edit in fitting if edit["finished"]])

    async def forget_some(self, connection: Connection) -> bool:
        """Do nothing: triggers forget."""
        return False


def _fitting(terms: str) -> str:
    """Return as many of the words as one `tsvector` may have."""
    encoded = terms.encode()
    return (
        terms if len(encoded) <= MAX_BYTES else encoded[:MAX_BYTES].decode(errors="ignore").rpartition(" ")[0]
    )
