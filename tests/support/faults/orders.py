"""Everything that can happen, in random orders that differ from run to run."""

import asyncio
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from interleavings import Interleavings

from faults.tally import Tally


async def random_orders(folder: Path, tally: Tally, examples: int) -> None:
    drawn = settings(
        max_examples=examples,
        stateful_step_count=15,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    Interleavings.tally = tally
    # It has an event loop of its own.
    await asyncio.to_thread(partial(run_state_machine_as_test, Interleavings, settings=drawn))
    tally.seen.append(f"{examples} sequences of 15 steps")
