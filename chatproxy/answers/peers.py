"""Who else writes and reads the same conversations: other replicas of chatproxy, or nobody.

`chatproxy.cluster` is the one for replicas; `Alone` is that of a process with a database of its own.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from chatproxy.answers.answer import Answer
from chatproxy.cursor import Cursor
from chatproxy.store.records import Session, StoredAnswer


class Peers(Protocol):
    """What a conversation needs of the others."""

    @property
    def replicas(self) -> int:
        """How many processes there are."""

    @property
    def followed(self) -> int:
        """The number of answers that others write and that grow here."""

    @property
    def subscribers(self) -> int:
        """The number of their readers, less the replicas that read what is written here."""

    def copy(self, message_id: int) -> Answer | None:
        """Return the answer that another one writes, as it grows here, if it does and is up to date."""

    async def follow(self, session: Session, stored: StoredAnswer) -> Answer | None:
        """Let an answer that another one writes grow here, and return it once it is as it is there.

        Return None if there is no other one that writes it.
        """

    async def catch_up(self, message_id: int, after: Cursor) -> None:
        """Let the copy of an answer grow up to a cursor of a reader who has read there, or for a moment."""

    async def active(self, session_ids: Iterable[str]) -> Mapping[str, int]:
        """Return the answers that are being written in those sessions, by session, wherever."""

    async def cancel(self, session: Session, message_id: int, *, if_unwatched: bool = False) -> None:
        """Stop an answer that another one writes, and return once its session is free again.

        `if_unwatched` stops only one that nobody watches any more. Raises `overloaded` if the other one does
        not, and nobody takes its place.
        """

    def drop_readers(self) -> None:
        """Cut off those who read others' answers here, and go on elsewhere."""

    def delegate(self) -> bool:
        """Return whether documents are another one's work, and tell that one that there are some."""


class Alone:
    """There is nobody else."""

    replicas: Final = 1
    followed: Final = 0
    subscribers: Final = 0

    def copy(self, message_id: int) -> Answer | None:
        """See `Peers`."""

    async def follow(self, session: Session, stored: StoredAnswer) -> Answer | None:
        """See `Peers`."""

    async def catch_up(self, message_id: int, after: Cursor) -> None:
        """See `Peers`."""

    async def active(self, session_ids: Iterable[str]) -> Mapping[str, int]:
        """See `Peers`."""
        return {}

    async def cancel(self, session: Session, message_id: int, *, if_unwatched: bool = False) -> None:
        """See `Peers`."""

    def drop_readers(self) -> None:
        """See `Peers`."""

    def delegate(self) -> bool:
        """See `Peers`."""
        return False
