"""The benchmark runs, in seconds and without limits: each figure is measured, and nothing is lost."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from processes import ROOT, environment

from benchmarks.measure import LoadResult, Sample
from benchmarks.tables import Round, Rounds, _growth, comparison, overload, ratio

pytestmark: Final = pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux for CPU times")

AROUND: Final = "Before.\n\n<!-- make bench: begin -->\nan earlier run\n<!-- make bench: end -->\n\nAfter.\n"


def rows(report: str, first: str) -> list[list[str]]:
    """Return the other cells of each row that begins with `first`."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines()]
    return [cells[1:] for cells in found if cells[0] == first]


def test_a_run_measures_all_contestants_and_replaces_the_earlier_report(tmp_path: Path) -> None:
    file = tmp_path / "BENCHMARKS.md"
    file.write_text(AROUND)
    command = [sys.executable, "-m", "benchmarks.run", "--tiny", "--file", str(file)]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=400)
    assert run.returncode == 0, run.stderr
    report = file.read_text()
    assert "an earlier run" not in report
    assert report.startswith("Before.\n\n<!-- make bench: begin -->\n## Speed\n")
    assert report.endswith("\n<!-- make bench: end -->\n\nAfter.\n")
    for contestant in ("direct", "chatproxy", "chatproxy, passed on", "aiohttp"):
        compared = [cells for cells in rows(report, contestant) if len(cells) == 7]
        assert compared
        assert all(cells[3] != "-" for cells in compared)
    for peer in ("nginx", "FastAPI + httpx", "Flask + requests"):
        assert rows(report, peer) or f"{peer} (" in report
    assert rows(report, "tokens lost or doubled by that") == [["0", "0", "met"]]


def test_an_overload_of_everything_is_said_instead_of_compared() -> None:
    sample = Sample(tokens=1, share=1, cpu=0, median=30, p99=62)
    direct = Round(first=1, idle=0, loaded=LoadResult(sample, memory=0))
    rounds: Rounds = {"direct": [direct], "chatproxy": [None]}
    assert "1,000 streams overloaded the fake Ollama" in str(overload(rounds, 1000))
    assert "late by more than 62 ms" in str(overload(rounds, 1000))
    assert "not all streams started" in str(overload({"direct": [None]}, 1000))


def test_a_contestant_that_is_overloaded_says_so_in_its_row() -> None:
    sample = Sample(tokens=1, share=1, cpu=0, median=1, p99=2)
    direct = Round(first=1, idle=0, loaded=LoadResult(sample, memory=0))
    rounds: Rounds = {"direct": [direct], "chatproxy": [None]}
    assert overload(rounds, 1000) is None
    assert "| chatproxy | overloaded: not all streams started within 15 s |" in comparison(rounds)


def test_a_cost_too_small_to_be_counted_gives_no_ratio() -> None:
    assert _growth("CPU", [0.0, 3.0])[1] == "not measured"
    assert _growth("CPU", [2.0, 3.0])[1] == "1.50"
    load = LoadResult(Sample(tokens=1, share=1, cpu=0, median=1, p99=2), memory=0)
    rounds: Rounds = {name: [Round(first=1, idle=0, loaded=load)] for name in ("chatproxy", "nginx")}
    assert ratio(rounds, "chatproxy", "nginx") is None
