"""Tries all scenarios, prints the table and writes it into BENCHMARKS.md. Exit code 1 where one failed.

`python -m faults "one against all"` tries those that are named, and writes only the tables of their own.
"""

import asyncio
import logging
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from benchmarks import report
from faults.scenarios import SCENARIOS, Scenario
from faults.tally import ABOUT, HEAD, Tally, measured, total

RESULTS: Final = Path(__file__).parents[3] / "BENCHMARKS.md"
LIMIT: Final = 1080  # seconds for all


async def attempt(scenario: Scenario, deadline: float) -> Tally | None:
    tally, began = Tally(scenario.name), monotonic()
    print(f"{scenario.name} ...", flush=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            async with asyncio.timeout(deadline - monotonic()):
                await scenario.run(Path(folder), tally, scenario.whole)
    except Exception:
        traceback.print_exc()
        print(f"FAILED: {tally}", flush=True)
        return None
    tally.seconds = monotonic() - began
    return tally


async def main(names: Sequence[str]) -> int:
    deadline = monotonic() + LIMIT
    chosen = [scenario for scenario in SCENARIOS if not names or scenario.name in names]
    tallies = [await attempt(scenario, deadline) for scenario in chosen]
    whole = [tally for tally in tallies if tally is not None]
    table = report.table(HEAD, [tally.row() for tally in (*whole, total(whole))])
    print(table)
    if len(whole) < len(tallies):
        return 1
    for tally in whole:
        if tally.details:
            report.write(RESULTS, f"make faults, {tally.name}", f"{tally.details}\n\n{measured()}")
    if not names:
        report.write(RESULTS, "make faults", f"{ABOUT}\n{measured()}\n\n{table}")
    return 0


if __name__ == "__main__":
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # the fake Ollama's, of who was killed
    signal.alarm(LIMIT + 8)  # the end of it, should a thread not come to its own
    sys.exit(asyncio.run(main(sys.argv[1:])))
