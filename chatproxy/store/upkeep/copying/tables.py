"""Which tables are copied, and why others, and some columns, are not.

Which columns they have is read from the databases.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct


class Table(Struct, frozen=True):
    """A table with its primary key. PostgreSQL has a sequence for the `numbered` column."""

    name: str
    key: tuple[str, ...]
    numbered: str | None = None


# Parents come before their children.
COPIED: Final[Sequence[Table]] = (
    Table("session", ("key",), "key"),
    Table("message", ("id",), "id"),
    Table("piece", ("key",), "key"),
    Table("image", ("message", "position")),
    Table("measurement", ("digest",)),
    Table("document", ("id",), "id"),
    Table("chunk", ("key",)),
    Table("vectors", ("key",)),
)

_DERIVED: Final = "of the index of words, which is built again from the texts"
_PROCESSES: Final = "of the processes that use the database now"
# By name, with the reason.
LEFT_OUT: Final[Mapping[str, str]] = {
    "schema_version": "each database counts its own migrations",
    "unindexed": _DERIVED,
    "word_index": _DERIVED,
    # In a file only.
    "removed": _DERIVED,
    "words": _DERIVED,
    "words_config": _DERIVED,
    "words_data": _DERIVED,
    "words_idx": _DERIVED,
    "sqlite_sequence": "has the highest ids, which either database keeps in its own way",
    # In PostgreSQL only.
    "word": _DERIVED,
    "replica": _PROCESSES,
    "message.replica": _PROCESSES,
    "session.gathered_by": _PROCESSES,
}
