"""A few of all the faults that `make faults` tries: what is acknowledged stays, what is told is true."""

from pathlib import Path

import pytest
from faults.scenarios import SCENARIOS, Scenario
from faults.tally import Tally, table, written


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_faults(scenario: Scenario, tmp_path: Path) -> None:
    tally = Tally(scenario.name)
    await scenario.run(tmp_path, tally, scenario.short)
    assert (tally.faults > 0 or scenario.whole == 1200, tally.acknowledged > 0, tally.lost) == (True, True, 0)


def test_the_table_replaces_itself_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "BENCHMARKS.md"
    file.write_text("# Measured\n\nOf other things.\n")
    written(file, [Tally("before", faults=1)])
    file.write_text(file.read_text() + "\nAfter it.\n")
    written(file, [tally := Tally("a fault", faults=1200, seen=["this", "that"])])
    text = file.read_text()
    assert text.startswith("# Measured\n\nOf other things.\n\n<!--")
    assert text.endswith("-->\n\nAfter it.\n")
    assert "before" not in text
    assert text.count(table([tally])) == 1
    assert "| a fault | 1,200 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | this; that |" in text
