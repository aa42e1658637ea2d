"""What chatproxy keeps: one database, and a repository for each kind of thing in it."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

from chatproxy.background import background
from chatproxy.errors import ChatError
from chatproxy.store import documents, messages, sessions
from chatproxy.store.database import Database, Unit
from chatproxy.store.documents import Documents
from chatproxy.store.messages import Messages
from chatproxy.store.owners import names
from chatproxy.store.owners.visitors import LOOK_INTERVAL, Quota, delete_old
from chatproxy.store.search.words import Words
from chatproxy.store.sessions import Sessions
from chatproxy.store.sqlite.database import SQLiteDatabase


async def open_database(
    where: Path | str,
    reconcile: Sequence[Unit[bool]] = (),
    committed: Callable[[float], None] = lambda seconds: None,
) -> Database:
    """Open the file or, for a string, PostgreSQL's database of that URL. Raises StartError.

    The units of `reconcile` clean up what a crash left behind, before anything is read; each runs again, in a
    transaction of its own, for as long as it returns True. `committed` is called with the seconds that each
    commit took.
    """
    if isinstance(where, Path):
        return await SQLiteDatabase.open(where, reconcile, committed)
    from chatproxy.store.postgres import postgres_database

    return await postgres_database().open(where, reconcile, committed)


class Store:
    """The repositories over one open database, and the tasks that work on it in the background."""

    def __init__(self, database: Database, words: Words, quota: Quota | None = None) -> None:
        self.database = database
        self._deleted = asyncio.Event()
        self._deleted.set()  # an earlier process may have left something
        self.sessions = Sessions(database, words, self._deleted, quota)
        self.messages = Messages(database, self._deleted, quota)
        self.documents = Documents(database, self._deleted, quota)
        self._resources = AsyncExitStack()

    @classmethod
    async def open(
        cls,
        where: Path | str,
        committed: Callable[[float], None] = lambda seconds: None,
        owner_form: Callable[[str], str] | None = None,
        quota: Quota | None = None,
    ) -> Self:
        """Open the file or, for a string, PostgreSQL's database of that URL, and clean up after a crash.

        `committed` is called with the seconds that each commit took. `owner_form` returns the form of an
        owner's name that the database is to have; None keeps all. `quota` is
        what visitors may keep; None if there are none. Raises StartError.
        """
        written = asyncio.Event()

        def observe(seconds: float) -> None:
            committed(seconds)
            written.set()

        async with AsyncExitStack() as resources:
            reconcile = [messages.reconcile, documents.reconcile, sessions.reconcile]
            rename = [] if owner_form is None else [names.renaming(owner_form)]
            database = await open_database(where, [*reconcile, *rename], observe)
            resources.push_async_callback(database.close)
            words = Words(database, written)
            await resources.enter_async_context(words.following())
            store = cls(database, words, quota)
            removal = background(store._remove_deleted(), name="removal of what was deleted")
            await resources.enter_async_context(removal)
            if quota is not None:
                expiry = background(store._delete_old(quota.days), name="deletion of what visitors left")
                await resources.enter_async_context(expiry)
            store._resources = resources.pop_all()
            return store

    async def _remove_deleted(self) -> None:
        while True:
            await self._deleted.wait()
            self._deleted.clear()
            for remove in (self.sessions.remove_deleted, self.documents.remove_deleted):
                with suppress(ChatError):  # such as a full disk; the next deletion or start tries again
                    await remove()

    async def _delete_old(self, days: int) -> None:
        """Delete what visitors have not used for so many days, now and every hour."""
        while True:
            with suppress(ChatError):  # such as a full disk
                await delete_old(self.database, days, self._deleted)
            await asyncio.sleep(LOOK_INTERVAL)

    async def close(self) -> None:
        """Commit all pending units, and close the database."""
        await self._resources.aclose()
