"""PostgreSQL's words for statements, and its texts.

Statements are written for SQLite. What differs here is in this module: how arguments are named, a few
expressions of `store/sql`, and NUL, which no text of PostgreSQL's can hold.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from chatproxy.store import sql as words
from chatproxy.store.database import MAX_ID

# Sequences order what several transactions do at once. They count over all owners.
_EXPRESSIONS: Final[Mapping[str, str]] = {
    words.AFTER_ALL: "nextval('activity')",
    words.AFTER_ALL_OF_OWNER: "nextval('activity')",
    words.BEFORE_ALL_OF_OWNER: "nextval('imported')",
    # Evaluated for one row after another, in the order of the window.
    words.ABANDONED: "status = 'streaming' AND coalesce(replica, 0) NOT IN (SELECT id FROM replica)",
    words.REPLICA: "replica",
    words.UNGATHERED: "coalesce(gathered_by, 0) NOT IN (SELECT id FROM replica)",
    words.ALONE: "(SELECT count(*) FROM replica) <= 1",
    words.AFTER_TOP: words.AFTER_TOP.replace("top + ", "nextval('activity') + 0 * "),
}
_OCTETS: Final = re.compile(r"length\(CAST\((.+?) AS BLOB\)\)", re.DOTALL)
_AS_BYTES: Final = re.compile(r"CAST\((\w+) AS BLOB\)")
_ARGUMENT: Final = re.compile(r"(?<![:\w]):([a-z_]+)")

_ESCAPE: Final = "\x1a"  # SUBSTITUTE, which is as rare in texts as NUL
_ESCAPED: Final = re.compile("\x1a([01])")


@cache
def spelled(sql: str) -> tuple[str, Sequence[str]]:
    """Return a statement in PostgreSQL's words, with `$1` and so on, and the names of these arguments."""
    for expression, other in _EXPRESSIONS.items():
        sql = sql.replace(expression, other)
    sql = _AS_BYTES.sub(r"\1", _OCTETS.sub(r"octet_length(\1)", sql))
    names = list(dict.fromkeys(_ARGUMENT.findall(sql)))
    return _ARGUMENT.sub(lambda found: f"${names.index(found[1]) + 1}", sql), names


def values_of(names: Sequence[str], arguments: Mapping[str, object]) -> list[Any] | None:
    """Return the arguments of a statement; None if an integer is too large for any column."""
    values = [arguments[name] for name in names]
    for value in values:
        if type(value) is int and not -MAX_ID <= value <= MAX_ID:
            return None
    return values


def encoded(text: str) -> str:
    """Return a text as it is stored: NUL as U+001A and 0, U+001A as U+001A and 1."""
    if "\0" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, f"{_ESCAPE}1").replace("\0", f"{_ESCAPE}0")


def decoded(text: str) -> str:
    """Return a text as it was before `encoded`."""
    if _ESCAPE not in text:
        return text
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "0" else _ESCAPE, text)
