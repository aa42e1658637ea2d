"""A stale-while-revalidate cache of one value."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Generic, TypeVar

from chatproxy.errors import ChatError

T = TypeVar("T")


class Cached(Generic[T]):
    """One value that is slow to get. Callers that ask at the same time share one fetch."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, fresh: float, usable: float) -> None:
        """Get the value with `fetch`.

        For `fresh` seconds it is used as it is. Then it is used while a new one is fetched beside it. After
        `usable` seconds the new one is waited for.
        """
        self._get = fetch
        self._fresh = fresh
        self._usable = usable
        self._value: T | None = None
        self._since = float("-inf")
        self._fetch: asyncio.Task[T] | None = None

    @property
    def last(self) -> T | None:
        """The last value, however old."""
        return self._value

    async def get(self) -> T:
        """Return the value; wait only if there is none that is usable. Raises what `fetch` raised."""
        age = monotonic() - self._since
        if self._value is None or age >= self._usable:
            return await self.fetch()
        if age >= self._fresh:
            self.refresh()
        return self._value

    async def fetch(self) -> T:
        """Get a new value now."""
        return await asyncio.shield(self.refresh())

    def refresh(self) -> asyncio.Task[T]:
        """Start to get a new value, unless that is under way."""
        if self._fetch is None or self._fetch.done():
            self._fetch = asyncio.create_task(self._fetched())
            self._fetch.add_done_callback(lambda fetch: fetch.cancelled() or fetch.exception())
        return self._fetch

    async def _fetched(self) -> T:
        try:
            self._value = await self._get()
        except ChatError as error:
            if error.code != "upstream_timeout":  # a slow upstream still has what it had
                self._value = None
            raise
        finally:
            self._since = monotonic()
        return self._value

    async def close(self) -> None:
        """Cancel a fetch that is under way, and wait until it has ended."""
        if self._fetch is not None:
            self._fetch.cancel()
            with suppress(asyncio.CancelledError, ChatError):
                await self._fetch
