"""What chatproxy keeps: one database, and a repository for each kind of thing in it."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from chatproxy.background import background
from chatproxy.store import messages
from chatproxy.store.database import Database
from chatproxy.store.documents import Documents
from chatproxy.store.messages import Messages
from chatproxy.store.search.words import Words
from chatproxy.store.sessions import Sessions


class Store:
    """The repositories over one open database, and the task that removes what was deleted."""

    def __init__(self, database: Database, words: Words) -> None:
        self.database = database
        self._words = words
        self.sessions = Sessions(database, words)
        self.messages = Messages(database)
        self.documents = Documents(database)
        self._tasks = AsyncExitStack()

    @classmethod
    async def open(cls, path: Path, committed: Callable[[float], None] = lambda seconds: None) -> Self:
        """Open the file at `path`, and clean up after a crash; see `Database.open`."""
        index = Words()

        def observe(seconds: float) -> None:
            committed(seconds)
            index.wake()

        database = await Database.open(path, [messages.reconcile], observe)
        store = cls(database, await index.follow(database))
        removal = background(store.sessions.remove_deleted(), name="removal of sessions")
        await store._tasks.enter_async_context(removal)
        await store.documents.clean_up()
        return store

    async def close(self) -> None:
        """Commit all pending units, and close the file."""
        await self._tasks.aclose()
        await self.documents.close()
        await self._words.close()
        await self.database.close()
