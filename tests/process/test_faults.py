"""A few of the faults of `make faults`: what is acknowledged is kept, and what readers get is true."""

import sys
from pathlib import Path
from typing import Final

import postgres
import pytest
from faults import machine
from faults.attacks.attackers import ATTACKS
from faults.attacks.child import started
from faults.attacks.one_against_all import measured
from faults.cluster.scenario import three_replicas
from faults.place import DATABASE
from faults.scenarios import SCENARIOS, Scenario
from faults.tally import HEAD, Tally, total
from proxies import need

pytestmark: Final = [
    pytest.mark.fault,
    pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux about processes"),
]


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each.short], ids=lambda scenario: scenario.name
)
async def test_faults(scenario: Scenario, quick_disk: Path) -> None:
    if scenario.run is machine.set_clock and not machine.LIBRARIES:
        pytest.skip("needs Debian's package faketime")
    if scenario.run is three_replicas:
        need("nginx")
        if postgres.programs() is None:
            pytest.skip("PostgreSQL's server is not installed")
    tally = Tally(scenario.name)
    await scenario.run(quick_disk, tally, scenario.short)
    assert tally.acknowledged > 0
    assert tally.streams > 0
    assert tally.lost == 0


async def test_attackers_attack_and_victims_are_measured(quick_disk: Path) -> None:
    """How long they may be kept waiting is up to `make faults`, on a machine that does nothing else."""
    async with started("faults.attacks.database", quick_disk / DATABASE, 0.02):
        pass
    found = await measured(quick_disk, "all", list(ATTACKS), 0, 8)
    assert found.sends > 0
    assert found.memory > 0
    assert found.sender > 0
    assert 0 < found.reader <= found.pause
    assert [name for name, seen in found.seen.items() if not seen] == []


def test_the_table() -> None:
    tallies = [Tally("one", faults=1200, seconds=1.6, seen=["this", "that"]), Tally("two", faults=34, lost=5)]
    assert dict(zip(HEAD, tallies[0].row(), strict=True)) == {
        "": "one",
        "faults": "1,200",
        "acknowledged": "0",
        "lost": "0",
        "streams": "0",
        "resumes": "0",
        "resets": "0",
        "refused": "0",
        "seconds": "2",
        "seen": "this; that",
    }
    assert total(tallies) == Tally("all", faults=1234, lost=5, seconds=1.6)
