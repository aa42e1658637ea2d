"""Wait for a condition, never for a time.

    await until(lambda: fake.calls["/api/tags"] > 0)

The condition may be a coroutine function, such as one that asks the server.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Final

PATIENCE: Final = 30  # seconds; a busy machine may need many of them


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE) -> None:
    """Poll a condition for which there is no event to wait for."""
    async with asyncio.timeout(seconds):
        while True:
            met = condition()
            if await met if isawaitable(met) else met:
                return
            await asyncio.sleep(0.002)


def pause(seconds: float) -> None:
    """Hold up the event loop, as a stop of the process does."""
    time.sleep(seconds)
