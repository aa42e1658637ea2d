"""The benchmarks run, in seconds: everything is measured, and what is missing says why."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

import postgres
import pytest
from processes import ROOT, environment

from benchmarks.speed.figures import FIGURES, Column, Figure
from benchmarks.speed.measure import start
from benchmarks.speed.replicas import ALL_FOLLOWED, NONE_FOLLOWED
from benchmarks.speed.rounds import Sample, Unmeasured, by_turns
from benchmarks.speed.tables import figure, targets

EACH_WAY: Final = ("tokens", "answers", "sends", "overload", "readers", "memory", "start")
AROUND: Final = "Before.\n\n<!-- {0}: begin -->\nan earlier run\n<!-- {0}: end -->\n\nAfter.\n"


def run(tmp_path: Path, module: str, name: str, *options: str) -> str:
    """Return what a tiny run made of a report that has a section of an earlier one."""
    file = tmp_path / "BENCHMARKS.md"
    file.write_text(AROUND.format(name))
    command = [sys.executable, "-m", f"benchmarks.{module}", "--tiny", "--file", str(file), *options]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    report = file.read_text()
    assert "an earlier run" not in report
    assert report.startswith(f"Before.\n\n<!-- {name}: begin -->\n## ")
    assert report.endswith(f"\n<!-- {name}: end -->\n\nAfter.\n")
    return report


@pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux for CPU times")
def test_a_run_measures_each_way_and_replaces_the_earlier_report(tmp_path: Path) -> None:
    report = run(tmp_path, "speed", "make bench", "--rounds", "1", "--only", ",".join(EACH_WAY))
    for each in FIGURES:
        if each.name in EACH_WAY:
            _, found, rest = report.partition(f"### {each.heading}\n")
            assert found
            assert "\n| chatproxy | " in rest.partition("###")[0]


@pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux for CPU times")
def test_replicas_are_measured(tmp_path: Path) -> None:
    if postgres.programs() is None:
        pytest.skip("PostgreSQL's server is not installed")
    report = run(tmp_path, "speed", "make bench, replicas", "--rounds", "1", "--only", "replicas")
    for heading, names in {
        "100 streams of 30 tokens a second": ("SQLite", "PostgreSQL", NONE_FOLLOWED, ALL_FOLLOWED),
        "A send and its answer of one token, one at a time": ("direct", "SQLite", "PostgreSQL"),
    }.items():
        rows = report.partition(f"### {heading}\n")[2].partition("###")[0]
        assert all(f"\n| {name} | " in rows for name in names)
    assert f" ({ALL_FOLLOWED}): ms later at B, median | " in report


def test_documents_are_measured(tmp_path: Path) -> None:
    report = run(tmp_path, "documents", "documents")
    assert "| 0.02 MB |" in report
    assert "| XLSX |" in report


async def test_figures_are_compared_within_a_round_and_a_missing_one_says_why() -> None:
    costs = {"direct": [0.0, 0.0, 0.0], "nginx": [10.0, 20.0, 40.0], "chatproxy": [20.0, 60.0, 80.0]}
    turns: list[str] = []

    async def turn(name: str) -> Sample:
        turns.append(name)
        if not (cost := costs[name].pop(0)):
            raise Unmeasured("no tokens")
        return {"cpu": cost}

    found = await by_turns(3, {name: partial(turn, name) for name in costs})
    assert "".join(name[0] for name in turns) == "dnccnddnc"
    shown = Figure("tokens", "Tokens", start, [Column("CPU", "cpu", 0, "nginx", 2.5)])
    table = figure(shown, found, []).splitlines()
    assert table[4:] == [
        "| direct | no tokens | no tokens |",
        "| nginx | 20 (15 to 30) | 1.00 (1.00 to 1.00) |",
        "| chatproxy | 60 (40 to 70) | 2.00 (2.00 to 2.50) |",
    ]
    assert targets([(shown, found)]).splitlines()[-1] == (
        "| Tokens: CPU, times nginx | 2.00 (2.00 to 2.50) | 2.5 | met |"
    )
    once = Figure("", "", start, [*shown.columns, Column("CPU", "cpu", 0, "direct"), Column("B", "b")])
    assert figure(once, {"nginx": found["nginx"]}, []).splitlines()[2::2] == [
        "|  | CPU | times nginx | later than direct | B |",
        "| nginx | 20 (15 to 30) | 1.00 (1.00 to 1.00) | direct is not installed | - |",
    ]
    absent = figure(shown, {"chatproxy": found["chatproxy"]}, [])
    assert absent.splitlines()[-1] == "| chatproxy | 60 (40 to 70) | nginx is not installed |"
