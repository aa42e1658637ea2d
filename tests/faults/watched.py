"""The chatproxy command, which says on SIGUSR1 how many tasks its event loop has: a line of JSON on stdout."""

import asyncio
import json
import runpy
import signal
from pathlib import Path
from types import FrameType


def tell(number: int, frame: FrameType | None) -> None:
    print(json.dumps({"tasks": len(asyncio.all_tasks())}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    runpy.run_path(str(Path(__file__).parents[2] / "proxy.py"), run_name="__main__")
