"""Work with an owner: the block that starts a task also ends it, and a block that waits can be ended."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

logger: Final = logging.getLogger(__name__)


@asynccontextmanager
async def background(coroutine: Coroutine[Any, Any, T], *, name: str) -> AsyncIterator[asyncio.Task[T]]:
    """Run a coroutine as a task while the block runs; then cancel it and wait until it has ended.

    The task's exception does not propagate to the block. asyncio logs it unless the block retrieves it.
    """
    task = asyncio.create_task(coroutine, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def later(
    seconds: float, start: Callable[[], Coroutine[Any, Any, None]], *, name: str
) -> AsyncIterator[None]:
    """Run what `start` returns as `background` does, unless the block ends within so many seconds."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    timer = loop.call_later(seconds, lambda: tasks.append(loop.create_task(start(), name=name)))
    try:
        yield
    finally:
        timer.cancel()
        for task in tasks:
            task.cancel()
            await asyncio.wait({task})


@asynccontextmanager
async def interruptible(error: Callable[[], Exception]) -> AsyncIterator[asyncio.Timeout]:
    """Let others end the block, wherever it waits: at the time for which they reschedule what it is given.

    The block is then left with what `error` returns. An error that is kept here would keep its traceback, and
    with it all that the block holds.
    """
    try:
        async with asyncio.timeout(None) as end:
            yield end
    except TimeoutError:
        if not end.expired():
            raise
        raise error() from None


async def repeat(
    pause: Callable[[], Awaitable[None]], function: Callable[[], Awaitable[None] | None]
) -> None:
    """Call `function` forever, each time after a `pause` that begins when the previous call has ended.

    An exception is logged and ends only that call.
    """
    while True:
        await pause()
        try:
            if (pending := function()) is not None:
                await pending
        except Exception:
            logger.exception("a periodic task failed by a fault of chatproxy's own")
