"""What work costs, as far as a test may depend on it: for ratios, never for limits in seconds."""

import gc
import sys
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Final

ROUNDS: Final = 5
# Windows counts the time of a process in steps of 16 ms.
_clock: Final = perf_counter if sys.platform == "win32" else process_time


def seconds(work: Callable[[], object], enough: float = 0.0) -> float:
    """Return the least processor time that the work took in a few rounds; one below `enough` is the last.

    Others on the machine only ever add to it, and so does the garbage of earlier tests.
    """
    best = float("inf")
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            began = _clock()
            work()
            best = min(best, _clock() - began)
            if best < enough:
                break
    finally:
        if was_enabled:
            gc.enable()
    return best
