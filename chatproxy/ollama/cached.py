"""A stale-while-revalidate cache of one value."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, Generic, TypeVar

from chatproxy.errors import ChatError

T = TypeVar("T")

RETRY: Final = 60.0  # seconds
SOON: Final = 0.1  # seconds until a fetch for which nobody waits, so that callers are not slowed down by it


class Cached(Generic[T]):
    """A value that is slow to fetch. Concurrent callers share one fetch.

    A fetch that takes too long, as its `upstream_timeout` says, costs only those who waited for it. That a
    proxy did not wait for Ollama (504) is the same. The last value still holds then; if there is none, the
    next callers get the same error at once, while the value is fetched again in the background, once a
    minute.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[T]],
        *,
        fresh: float,
        usable: float,
        patience: float | None = None,
    ) -> None:
        """Cache what `fetch` returns.

        For `fresh` seconds, the value is returned as it is. Until `usable` seconds, it is still returned,
        while a new one is fetched in the background. After that, callers wait for the new one, but if they
        waited for `patience` seconds, they get the old one.
        """
        self._function = fetch
        self._fresh = fresh
        self._usable = usable
        self._patience = patience
        self._timeout: ChatError | None = None  # the last fetch took too long, and there is no value
        self._value: T | None = None
        self._since = float("-inf")
        self._fetch: asyncio.Task[T] | None = None
        self._due: asyncio.TimerHandle | None = None  # the next fetch for which nobody waits

    @property
    def last(self) -> T | None:
        """The last value, however old."""
        return self._value

    async def get(self, usable: float | None = None) -> T:
        """Return the value; wait for a fetch only if it is not usable. Raises what the fetch raises.

        `usable` replaces that of the cache, for a caller to whom a new value is worth more than time.
        """
        if (value := self.at_hand(usable)) is not None:
            return value
        if self._timeout is not None:
            if monotonic() - self._since >= RETRY:
                self.refresh()
            raise self._timeout.with_traceback(None)
        if (old := self._value) is None:
            return await self.fetch()
        fetch = self.refresh()
        return fetch.result() if (await asyncio.wait({fetch}, timeout=self._patience))[0] else old

    def at_hand(self, usable: float | None = None) -> T | None:
        """Return what `get` returns if it need not wait, else None."""
        age = monotonic() - self._since
        if self._value is None or age >= (self._usable if usable is None else usable):
            return None
        if age >= self._fresh and self._due is None:
            self._due = asyncio.get_running_loop().call_later(SOON, self._refresh_due)
        return self._value

    async def within(self, age: float) -> T:
        """Return a value that was fetched in the last `age` seconds. Raises what the fetch raises."""
        if self._value is not None and monotonic() - self._since < age:
            return self._value
        return await self.fetch()

    async def fetch(self) -> T:
        """Fetch and return a new value. Raises what the fetch raises."""
        return await asyncio.shield(self.refresh())

    def refresh(self) -> asyncio.Task[T]:
        """Start a fetch, unless one is under way; return its task."""
        if self._fetch is None or self._fetch.done():
            self._fetch = asyncio.create_task(self._run())
            self._fetch.add_done_callback(lambda fetch: fetch.cancelled() or fetch.exception())
        return self._fetch

    def _refresh_due(self) -> None:
        self._due = None
        self.refresh()

    async def _run(self) -> T:
        try:
            self._value = await self._function()
            self._timeout = None
        except ChatError as error:
            if error.code != "upstream_timeout":
                self._value = self._timeout = None
            elif self._value is None:
                self._timeout = error
            raise
        finally:
            self._since = monotonic()
        return self._value

    def expire(self) -> None:
        """Have the next caller wait for a new value, as for one past use, whatever came of the last fetch."""
        self._timeout = None
        self._since = float("-inf")

    async def close(self) -> None:
        """Cancel a fetch that is under way or due, and wait until it has ended."""
        if self._due is not None:
            self._due.cancel()
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait({self._fetch})
