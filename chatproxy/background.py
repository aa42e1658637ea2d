"""Tasks with an owner: a block that starts one in the background also ends it."""

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

    An exception of the task does not reach the block. asyncio logs it unless the block retrieves it.
    """
    task = asyncio.create_task(coroutine, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def repeat(every: float, look: Callable[[], Awaitable[None] | None]) -> None:
    """Call `look` forever, `every` seconds after the previous call returned.

    An exception is logged and ends only that call.
    """
    while True:
        await asyncio.sleep(every)
        try:
            if (looking := look()) is not None:
                await looking
        except Exception:
            logger.exception("a periodic task failed by a fault of chatproxy's own")
