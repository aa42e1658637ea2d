"""The benchmark runs, in seconds and without limits: each figure is measured, and nothing is lost."""

import subprocess
import sys
from typing import Final

import pytest
from processes import ROOT, environment

from benchmarks.measure import LoadResult, Sample
from benchmarks.tables import Round, Rounds, comparison, overload

pytestmark: Final = pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux for CPU times")

AROUND: Final = "Before.\n\n<!-- make bench: begin -->\nan earlier run\n<!-- make bench: end -->\n\nAfter.\n"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file after a run; it had other text before and after the place of the report."""
    file = tmp_path_factory.mktemp("bench") / "BENCHMARKS.md"
    file.write_text(AROUND)
    command = [sys.executable, "-m", "benchmarks.run", "--tiny", "--file", str(file)]
    subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True, timeout=400)
    return file.read_text()


def rows(report: str, first: str) -> list[list[str]]:
    """Return the other cells of each row that begins with `first`."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines()]
    return [cells[1:] for cells in found if cells[0] == first]


@pytest.mark.parametrize("contestant", ["direct", "chatproxy", "aiohttp"])
def test_every_contestant_carries_the_load(report: str, contestant: str) -> None:
    compared = [cells for cells in rows(report, contestant) if len(cells) == 7]
    assert compared
    assert all(cells[3] != "-" for cells in compared)


def test_no_token_is_lost_if_all_readers_reconnect_at_once(report: str) -> None:
    assert rows(report, "tokens lost or doubled by that") == [["0", "0", "met"]]


def test_a_run_replaces_the_earlier_one_and_nothing_around_it(report: str) -> None:
    assert "an earlier run" not in report
    assert report.startswith("Before.\n\n<!-- make bench: begin -->\n## Speed\n")
    assert report.endswith("\n<!-- make bench: end -->\n\nAfter.\n")


def test_a_peer_is_measured_or_listed_as_left_out(report: str) -> None:
    for peer in ("nginx", "FastAPI + httpx", "Flask + requests"):
        assert rows(report, peer) or f"{peer} (" in report


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
