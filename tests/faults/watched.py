"""The chatproxy command, which on SIGUSR1 says what it holds: a line of JSON on stdout.

`tasks` of its event loop; `answers` that it has in memory; `waiting`: the most bytes that one of its
connections keeps for a reader.
"""

import asyncio
import gc
import json
import runpy
import signal
from pathlib import Path
from types import FrameType

from aiohttp import web

from chatproxy.chat.answer import Answer


def tell(number: int, frame: FrameType | None) -> None:
    gc.collect()
    found = gc.get_objects()
    transports = [each.transport for each in found if isinstance(each, web.Request)]
    held = {
        "tasks": len(asyncio.all_tasks()),
        "answers": sum(isinstance(each, Answer) for each in found),
        "waiting": max((each.get_write_buffer_size() for each in transports if each), default=0),
    }
    print(json.dumps(held), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    runpy.run_path(str(Path(__file__).parents[2] / "proxy.py"), run_name="__main__")
