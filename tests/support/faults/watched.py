"""The chatproxy command, which on SIGUSR1 says what it holds: a line of JSON on stdout.

`tasks` of its event loop; `answers` that it has in memory; `waiting`: the most bytes that one of its
connections keeps for a reader; `kept`: the bytes of what chatproxy itself made for readers since SIGUSR2, and
still has; that makes it slower.
"""

import asyncio
import gc
import json
import runpy
import signal
import tracemalloc
from pathlib import Path
from types import FrameType
from typing import Final

from aiohttp import web

import chatproxy
from chatproxy.answers.answer import Answer

FOR_READERS: Final = [
    tracemalloc.Filter(True, str(Path(chatproxy.__file__).parent / name))
    for name in ("web/*", "answers/events.py", "answers/subscription.py")
]


def tell(number: int, frame: FrameType | None) -> None:
    gc.collect()
    found = gc.get_objects()
    transports = [each.transport for each in found if isinstance(each, web.Request)]
    held = {
        "tasks": len(asyncio.all_tasks()),
        "answers": sum(isinstance(each, Answer) for each in found),
        "waiting": max((each.get_write_buffer_size() for each in transports if each), default=0),
        "kept": kept() if tracemalloc.is_tracing() else 0,
    }
    print(json.dumps(held), flush=True)


def kept() -> int:
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(FOR_READERS).traces)


def trace(number: int, frame: FrameType | None) -> None:
    tracemalloc.start()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    signal.signal(signal.SIGUSR2, trace)
    runpy.run_path(str(Path(__file__).parents[3] / "proxy.py"), run_name="__main__")
