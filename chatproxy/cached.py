"""A stale-while-revalidate cache of one value."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

from chatproxy.errors import ChatError

T = TypeVar("T")


class Cached(Generic[T]):
    """A value that is slow to fetch. Concurrent callers share one fetch."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, fresh: float, usable: float) -> None:
        """Cache what `fetch` returns.

        For `fresh` seconds, the value is returned as it is. Until `usable` seconds, it is still returned,
        while a new one is fetched in the background. After that, callers wait for the new one.
        """
        self._function = fetch
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
        """Return the value; wait for a fetch only if it is not usable. Raises what the fetch raises."""
        age = monotonic() - self._since
        if self._value is None or age >= self._usable:
            return await self.fetch()
        if age >= self._fresh:
            self.refresh()
        return self._value

    async def fetch(self) -> T:
        """Fetch and return a new value. Raises what the fetch raises."""
        return await asyncio.shield(self.refresh())

    def refresh(self) -> asyncio.Task[T]:
        """Start a fetch, unless one is under way; return its task."""
        if self._fetch is None or self._fetch.done():
            self._fetch = asyncio.create_task(self._run())
            self._fetch.add_done_callback(lambda fetch: fetch.cancelled() or fetch.exception())
        return self._fetch

    async def _run(self) -> T:
        try:
            self._value = await self._function()
        except ChatError as error:
            if error.code != "upstream_timeout":  # a slow upstream's last value still holds
                self._value = None
            raise
        finally:
            self._since = monotonic()
        return self._value

    async def close(self) -> None:
        """Cancel a fetch that is under way, and wait until it has ended."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait({self._fetch})
