"""What Ollama has installed and loaded, asked seldom and known always.

A list is used as it is for a few seconds, then used once more while a new one is fetched beside it;
only one that is too old to believe is waited for. What a model can do hangs on its digest and is asked
once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, Generic, TypeVar

from chatproxy.errors import ChatError
from chatproxy.ollama.client import Details, Model, Ollama, Running

FRESH: Final = 3.0  # seconds that a list is not asked for again
USABLE: Final = 60.0  # seconds after which it is waited for

T = TypeVar("T")


class Cached(Generic[T]):
    """One answer of Ollama's. Whoever asks at the same time shares one request."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._value: T | None = None
        self._since = -USABLE
        self._fetch: asyncio.Task[T] | None = None

    @property
    def last(self) -> T | None:
        """What was known last, however old."""
        return self._value

    async def get(self, usable: float | None = None) -> T:
        """Raises what Ollama said when there is nothing to go by; never waits when there is, and it is not
        older than `usable` seconds."""
        age = monotonic() - self._since
        if self._value is None or age >= (USABLE if usable is None else usable):
            return await self.fetch()
        if age >= FRESH:
            self.refresh()
        return self._value

    async def fetch(self) -> T:
        """Asks now."""
        self.refresh()
        assert self._fetch is not None
        return await asyncio.shield(self._fetch)

    def refresh(self) -> None:
        """Asks beside everything else, unless that is under way."""
        if self._fetch is None or self._fetch.done():
            self._fetch = asyncio.create_task(self._fetched())
            self._fetch.add_done_callback(_retrieved)

    async def _fetched(self) -> T:
        try:
            self._value = await self._ask()
        except ChatError as error:
            if error.code != "upstream_timeout":  # a busy Ollama still has what it had
                self._value = None
            raise
        finally:
            self._since = monotonic()
        return self._value

    async def close(self) -> None:
        if self._fetch is not None:
            self._fetch.cancel()
            with suppress(asyncio.CancelledError, ChatError):
                await self._fetch


def _retrieved(fetch: asyncio.Task[T]) -> None:
    if not fetch.cancelled():
        fetch.exception()


class Catalog:
    def __init__(self, ollama: Ollama) -> None:
        self.installed: Cached[Sequence[Model]] = Cached(ollama.tags)
        self.running: Cached[Sequence[Running]] = Cached(self._running)
        self._ollama = ollama
        self._details: dict[str, Details] = {}

    async def _running(self) -> Sequence[Running]:
        """A list that cannot be read is as good as empty."""
        try:
            return await self._ollama.ps()
        except ChatError:
            return ()

    async def details(self, name: str, digest: str | None) -> Details:
        """What the model can do; nothing at all where Ollama does not say."""
        key = digest or name
        if key not in self._details:
            try:
                self._details[key] = await self._ollama.show(name)
            except ChatError:
                return Details()
        return self._details[key]

    async def close(self) -> None:
        await self.installed.close()
        await self.running.close()
