"""What chatproxy keeps: one database, and a repository for each kind of thing in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

from chatproxy.store import documents, messages
from chatproxy.store.database import Database
from chatproxy.store.documents import Documents
from chatproxy.store.messages import Messages
from chatproxy.store.sessions import Sessions


class Store:
    """The repositories over one open database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sessions = Sessions(database)
        self.messages = Messages(database)
        self.documents = Documents(database)

    @classmethod
    async def open(cls, path: Path, committed: Callable[[float], None] = lambda seconds: None) -> Self:
        """Open the file at `path`, and clean up after a crash; see `Database.open`."""
        reconcile = (messages.reconcile, documents.reconcile)
        return cls(await Database.open(path, reconcile, committed))

    async def close(self) -> None:
        """Commit all pending units, and close the file."""
        await self.database.close()
