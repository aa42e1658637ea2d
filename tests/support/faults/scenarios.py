"""All scenarios, how much of each `make faults` tries, and how much each run of the tests."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from faults import crashes, machine, network, orders, readers, traffic
from faults.attacks import one_against_all
from faults.cluster.scenario import three_replicas
from faults.tally import Tally


class Scenario(NamedTuple):
    """`whole` and `short` are the last argument of `run`: how many, how far apart, how long. 0: none."""

    name: str
    run: Callable[[Path, Tally, int], Awaitable[None]]
    whole: int
    short: int


SCENARIOS: Final[Sequence[Scenario]] = (
    Scenario("Ollama's response cut at every byte", network.cut_from_ollama, 1, 13),
    Scenario("Ollama behind a slow line", network.slow_from_ollama, 6, 1),
    Scenario("chatproxy's response cut at every byte", network.cut_from_chatproxy, 1, 67),
    Scenario("chatproxy behind a slow line", network.slow_from_chatproxy, 6, 1),
    Scenario("chatproxy killed (-9)", crashes.kill_9, 100, 3),
    Scenario("chatproxy terminated", crashes.sigterm, 10, 1),
    Scenario("Ollama killed (-9)", crashes.ollama_killed, 10, 1),
    Scenario("a full disk", machine.full_disk, 3, 1),
    Scenario("the database locked for 4 s", machine.locked, 4, 1),
    Scenario("the database locked for more than 10 s", machine.locked, 11, 0),
    Scenario("the clock moved by an hour", machine.set_clock, 6, 2),
    Scenario("256 descriptors, 400 connections", machine.few_descriptors, 400, 300),
    Scenario("readers who never read", readers.never_read, 100, 0),
    Scenario("an hour of traffic", traffic.an_hour, 1200, 60),
    Scenario("one against all", one_against_all.one_against_all, 25, 0),
    Scenario("three replicas", three_replicas, 90, 5),
    Scenario("all faults in random order", orders.random_orders, 120, 0),
)
