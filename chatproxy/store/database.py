"""What a database has to do for the repositories beside this module; `sqlite` and `postgres` do it.

A unit of work is a coroutine function that takes a `Connection`. It must do nothing but what that offers, and
may run more than once: only the last time counts.

The statements are one text for both databases: `:name` stands for an argument, and flags other than
`session.deleted` are tested as they are (`WHERE complete`). What each needs in other words is in `sql`.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal, Protocol, TypedDict, TypeVar

import msgspec

from chatproxy.errors import ChatError
from chatproxy.fair import FairSlots

MAX_ID: Final = 2**63 - 1  # the largest integer
LIGHT: Final = 32 * 1024  # bytes that a light unit writes at most
STEP: Final = 1024 * 1024  # bytes that a step of long work writes, about
SLOW_READS: Final = 2  # at once; a user has one of them at most
WAITING_READS: Final = 1024  # for the slow lane
WAITING_READS_PER_USER: Final = 256  # all people together, where users are not told apart

T = TypeVar("T")
Arguments = Mapping[str, object]


class Row(Protocol):
    """A row: its values by name or by place, and in their order; `dict` makes one of it."""

    def __getitem__(self, key: Any) -> Any: ...
    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...
    def keys(self) -> Any:
        """Return the names."""


class Lane(Enum):
    """Where a heavy unit waits."""

    ENDINGS = "endings"
    REQUESTS = "requests"
    STEPS = "steps"  # of work that nobody waits for, and of uploads


class Connection(Protocol):
    """What a unit can do: SQL, within one transaction."""

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        """Run a statement and return all rows.

        There are none if an argument is an integer beyond MAX_ID: no row has such an id.
        """

    async def execute(self, sql: str, **arguments: object) -> int:
        """Run a statement and return how many rows it has changed."""

    async def insert(self, sql: str, **arguments: object) -> int | None:
        """Run an INSERT of one row and return its id; None if a row that is there was in its way."""

    async def executemany(self, sql: str, arguments: Iterable[Arguments]) -> None:
        """Run a statement for each set of arguments."""

    async def lock(self, *names: str) -> None:
        """Let no other unit go on that locks one of these names, before this one is committed.

        A unit does so once, before anything else, if what it writes follows from what it reads.
        """

    async def apart(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that takes long, and return its result; not in the thread of the event loop."""


Unit = Callable[[Connection], Coroutine[Any, Any, T]]


class Reader(Protocol):
    """A connection that only reads, for what reads much."""

    async def run(self, unit: Unit[T]) -> T:
        """Run a unit that only reads."""


class Edit(TypedDict):
    """One step towards an index that holds what a row has: `terms` to add or to delete, if any.

    `indexed` is how many parts of the text it has then. If `finished`, there is nothing more to do.
    """

    id: int
    version: int
    owner: str
    command: Literal["delete"] | None
    part: int
    terms: str
    indexed: int
    finished: bool


class Index(Protocol):
    """Where the words of titles and messages are; see `search/words`, which keeps it."""

    @property
    def found(self) -> str:
        """A query for the `key` of each text that has all `:words`."""

    @property
    def unindexed(self) -> str:
        """A query for the next `:limit` texts of an `:owner` that are not in the index as they are."""

    @property
    def removed(self) -> str:
        """A query for the text of one that was replaced or deleted, by the `:id` of its note."""

    @property
    def obsolete(self) -> Sequence[Callable[..., Coroutine[Any, Any, None]]]:
        """Units that remove what earlier versions had in its place."""

    def query(self, terms: Sequence[str]) -> object:
        """Return the argument `words` for texts whose terms begin with each of these."""

    def may_pass(self, error: Exception) -> bool:
        """Return whether it is the database that failed, and not the text that cannot be read."""

    def is_damaged(self) -> bool:
        """Return whether it has to be built again. It is read as a whole, in a thread."""

    async def create(self, connection: Connection, *, damaged: bool) -> None:
        """Put an empty one in place of the old one, which may be too damaged to be removed as usual."""

    async def apply(self, connection: Connection, edits: Sequence[Edit]) -> None:
        """Edit it. A text that has changed since the edits were made is left to later ones."""

    async def forget_some(self, connection: Connection) -> bool:
        """Forget some texts that were removed, once all others are noted; return whether there were any."""


class Database(Protocol):
    """An open database. Reads and writes raise its errors as ChatErrors."""

    @property
    def index(self) -> Index:
        """The index of words."""

    @property
    def replica(self) -> int | None:
        """This process's id among those that use the database; None if it is the only one."""

    async def close(self) -> None:
        """Commit all pending units, and close it."""

    async def ping(self) -> None:
        """Raise ChatError unless it can be read: the newest rows, and the indexes that lead to them."""

    def reader(self) -> AbstractAsyncContextManager[Reader]:
        """Open another connection that only reads, for the time of a block."""

    async def fetch(self, sql: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a short query, as of the last commit."""

    async def fetch_slow(self, sql: str, *, owner: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query that may take long. It ends with its caller.

        Owners take turns; the owner is an argument of the query, too. Raises `overloaded` if it takes too
        long, or if too many wait.
        """

    async def search(self, sql: str, *, owner: str, **arguments: object) -> Sequence[Row]:
        """Return the rows of a query of the index, as `fetch_slow` does. Raises DamagedError, too."""

    async def write(self, sql: str, **arguments: object) -> Sequence[Row]:
        """Run one statement as a unit of its own and return its rows, once committed."""

    async def run(self, unit: Unit[T], *, size: int = 0, lane: Lane = Lane.REQUESTS) -> T:
        """Run a unit, even if the caller is cancelled, and return its result once it is committed.

        `size` is how many bytes it writes, without what is always small; beyond LIGHT, it waits in `lane`.
        A unit that changes hundreds of rows counts as STEP. Raises `shutting_down` after `close`, and what
        the unit raises.
        """

    async def step(self, unit: Unit[T]) -> T:
        """Run one of the units that long work is cut into."""

    async def steps(self, unit: Unit[bool]) -> None:
        """Run a step again for as long as it returns True."""


class Units:
    """What follows from `run`, in both databases."""

    async def run(self, unit: Unit[T], *, size: int = 0, lane: Lane = Lane.REQUESTS) -> T:
        """See `Database`."""
        raise NotImplementedError

    async def write(self, sql: str, **arguments: object) -> Sequence[Row]:
        """See `Database`."""
        size = size_of(*arguments.values())
        return await self.run(lambda connection: connection.fetch(sql, **arguments), size=size)

    async def step(self, unit: Unit[T]) -> T:
        """See `Database`."""
        return await self.run(unit, size=STEP, lane=Lane.STEPS)

    async def steps(self, unit: Unit[bool]) -> None:
        """See `Database`."""
        while await self.step(unit):
            pass


class DamagedError(Exception):
    """What was read or written is damaged. Only what is derived from other data can be made again."""


# The newest rows, and the indexes that lead to them.
PING: Final = (
    "SELECT (SELECT max(activity) FROM session WHERE owner = last.owner) AS activity, last.title, status FROM"
    " (SELECT owner, title, key FROM session ORDER BY key DESC LIMIT 1) AS last"
    " LEFT JOIN message ON message.id = (SELECT max(id) FROM message WHERE session = last.key)"
)


def slow_reads() -> FairSlots:
    """Return the slots of the slow lane."""
    return FairSlots(
        SLOW_READS,
        WAITING_READS,
        slots_per_user=1,
        places_per_user=WAITING_READS_PER_USER,
        refusal=lambda: ChatError(
            "overloaded", "Too many searches and exports are waiting; try again in a moment.", retry_after=1
        ),
    )


def one_row(rows: Sequence[Row], what: str) -> Row:
    """Return the row that was asked for; raise `not_found` if there is none.

    `what` continues "There is no": the thing, its id, and what to do instead.
    """
    if not rows:
        raise ChatError("not_found", f"There is no {what}.")
    return rows[0]


def split_page(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], int | None]:
    """Split `limit + 1` rows into a page and the id to continue from, None on the last page."""
    shown = rows[:limit]
    return shown, shown[-1]["id"] if len(rows) > limit else None


def now(later: timedelta = timedelta()) -> str:
    """Return the time, `later` than now, as the HTTP API has it: ISO 8601, UTC, milliseconds, `Z`."""
    return (datetime.now(UTC) + later).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(value: object) -> str | None:
    """Return a value as JSON for a column; None, which becomes NULL, for None."""
    return None if value is None else msgspec.json.encode(value).decode()


def size_of(*values: object) -> int:
    """Return how many bytes the texts and blobs among some values have."""
    return sum(
        len(value.encode()) if isinstance(value, str) else len(value)
        for value in values
        if isinstance(value, str | bytes)
    )
