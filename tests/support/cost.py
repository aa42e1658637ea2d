"""What work costs, as far as a test may depend on it: for ratios, never for limits in seconds."""

import gc
from collections.abc import Callable
from time import process_time
from typing import Final

ROUNDS: Final = 5


def seconds(work: Callable[[], object], enough: float = 0.0) -> float:
    """Return the least processor time that the work took in a few rounds; one below `enough` is the last.

    Others on the machine only ever add to it, and so does the garbage of earlier tests.
    """
    best = float("inf")
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            began = process_time()
            work()
            best = min(best, process_time() - began)
            if best < enough:
                break
    finally:
        if was_enabled:
            gc.enable()
    return best
