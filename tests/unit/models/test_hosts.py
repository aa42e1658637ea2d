"""Which of several hosts is asked: the rule by itself, and against others in a simulation of a day."""

import random
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from statistics import mean
from typing import Final, NamedTuple

import pytest
from msgspec import Struct
from msgspec.structs import replace

from chatproxy.models.catalog import KnownModel, Runner
from chatproxy.models.selection import PROMPT_SPEED, Need, by_host, rank
from chatproxy.ollama.client import Model
from chatproxy.store.records import Measurement, PromptCount

DIGEST: Final = "abcdefabcdef0123"
CHATS: Final = frozenset({"completion"})
SESSIONS: Final = 200
TURNS: Final = 5
ANSWER: Final = 200  # tokens


def known(host: str, rate: float | None = None, *, warm: bool = True, **fields: object) -> KnownModel:
    model = KnownModel(
        name="m:1b",
        host=host,
        digest=DIGEST,
        weights="w",
        size=1e9,
        capabilities=CHATS,
        warm=warm,
        measured=Measurement(digest=DIGEST, tokens_per_second=rate),
        tags=Model(name="m:1b", digest=DIGEST, size=10**9),
    )
    return replace(model, **fields)


def hosts(models: Sequence[KnownModel]) -> list[str]:
    return [model.host for model in models]


def waiting(**seconds: float) -> Callable[[Runner], float]:
    return lambda runner: seconds.get(runner.host, 0.0)


def test_the_fastest_is_asked_until_others_wait_there() -> None:
    models = [known("a", 20), known("b", 100)]
    assert hosts(by_host(models, Need())) == ["b", "a"]
    assert hosts(by_host(models, Need(wait=waiting(b=7)))) == ["b", "a"]  # 2 and 7 s are less than 10
    assert hosts(by_host(models, Need(wait=waiting(b=9)))) == ["a", "b"]


def test_a_host_that_was_not_measured_is_taken_for_as_fast_as_the_others() -> None:
    assert hosts(by_host([known("b", 100), known("a")], Need())) == ["a", "b"]
    assert hosts(by_host([known("b", 100), known("a", warm=False)], Need())) == ["b", "a"]


def test_a_conversation_stays_where_its_prompt_was_evaluated() -> None:
    models = [known("a", 50), known("b", 50)]
    last = PromptCount(answer=1, model=models[0].id, size=(), tokens=4000, host="b")
    need = Need(prompt=lambda model: 4000, last=last)
    assert hosts(by_host(models, need)) == ["b", "a"]
    assert hosts(by_host(models, replace(need, wait=waiting(b=7)))) == ["b", "a"]  # the prompt takes 8 s
    assert hosts(by_host(models, replace(need, wait=waiting(b=9)))) == ["a", "b"]


def test_the_weights_of_the_last_answer_come_first() -> None:
    models = [known("a", 100, digest="other"), known("b", 10)]
    last = PromptCount(answer=1, model=models[1].id, size=(), tokens=10, host="b")
    assert hosts(by_host(models, Need())) == ["a", "b"]
    assert hosts(by_host(models, Need(last=last))) == ["b", "a"]


def test_a_host_whose_window_is_too_small_comes_last() -> None:
    models = [known("a", 100, window=2048), known("b", 10, window=4096), known("c", 10, window=8192)]
    need = Need(least=lambda model, window: 5000, surely=3000)
    assert hosts(by_host(models, need)) == ["c", "b", "a"]
    assert [choice.model.host for choice in rank(models, need)] == ["c", "b", "a"]
    assert hosts(by_host(models, Need(least=lambda model, window: 1000))) == ["a", "b", "c"]


def test_what_fails_at_once_does_not_seem_idle() -> None:
    models = [known("a", 100, is_failing=True), known("b", 10)]
    assert hosts(by_host(models, Need(wait=waiting(b=60)))) == ["b", "a"]


def test_the_model_is_chosen_as_it_is_where_it_is_fastest() -> None:
    """That others wait there makes no difference to the model, but to the host."""
    small = known("fast", 200, name="small:1b", size=1e8, digest="small")
    models = [known("slow", 2), known("fast", 50), small]
    choices = rank(models, Need(wait=waiting(fast=90)))
    assert [(each.model.name, each.model.host) for each in choices] == [
        ("m:1b", "fast"),
        ("m:1b", "slow"),
        ("small:1b", "fast"),
    ]
    choices = rank(models, Need(wait=waiting(fast=1000)))
    assert (choices[0].model.name, choices[0].model.host) == ("m:1b", "slow")
    assert choices[0].reason.endswith(", on slow")


# -- a day


class Machine(Struct):
    """A host: how fast it is, how many answers it writes at once, and when each of these has ended."""

    name: str
    rate: float
    free_at: list[float]
    started: int = 0
    ended: list[float] = []


class Turn(NamedTuple):
    at: float
    number: int
    session: int
    turn: int


Policy = Callable[[Sequence[Machine], float, str, int, random.Random], Machine]


def soonest(
    machines: Sequence[Machine], now: float, last: str, prompt: int, chance: random.Random
) -> Machine:
    """The rule of chatproxy, as it is."""
    wait = {each.name: max(0.0, min(each.free_at) - now) for each in machines}
    counted = PromptCount(answer=1, model=DIGEST[:12], size=(), tokens=prompt, host=last)
    need = Need(prompt=lambda model: prompt, last=counted, wait=lambda runner: wait[runner.host])
    first, *_ = by_host([known(each.name, each.rate) for each in machines], need)
    return next(each for each in machines if each.name == first.host)


def at_random(
    machines: Sequence[Machine], now: float, last: str, prompt: int, chance: random.Random
) -> Machine:
    return chance.choice(machines)


def least_connections(
    machines: Sequence[Machine], now: float, last: str, prompt: int, chance: random.Random
) -> Machine:
    return min(machines, key=lambda each: sum(end > now for end in each.ended))


def round_robin() -> Policy:
    numbers = count()
    return lambda machines, now, last, prompt, chance: machines[next(numbers) % len(machines)]


def first_text(policy: Policy, rates: Sequence[tuple[float, int]], people: int, seed: int) -> float:
    """Return how many seconds people wait for the first token, on average.

    A host evaluates the whole prompt, unless it wrote the session's last answer.
    """
    chance = random.Random(seed)
    machines = [Machine(f"h{n}", rate, [0.0] * places) for n, (rate, places) in enumerate(rates)]
    numbers = count()
    turns = [Turn(chance.uniform(0, 60), next(numbers), session, 0) for session in range(people)]
    turns.sort()
    last: dict[int, str] = {}
    waits: list[float] = []
    while turns:
        now, _, session, turn = heappop(turns)
        prompt = 200 + turn * 500
        machine = policy(machines, now, last.get(session, ""), prompt, chance)
        began = max(now, min(machine.free_at))
        read = 50 if last.get(session) == machine.name else prompt
        spoke = began + read / (PROMPT_SPEED * machine.rate)
        ended = spoke + chance.uniform(0.5, 1.5) * ANSWER / machine.rate
        machine.free_at[machine.free_at.index(min(machine.free_at))] = ended
        machine.ended = [*(end for end in machine.ended if end > now), ended]
        last[session] = machine.name
        waits.append(spoke - now)
        if turn + 1 < TURNS:
            heappush(turns, Turn(ended + chance.expovariate(1 / 20), next(numbers), session, turn + 1))
    return mean(waits)


@pytest.mark.parametrize("people", [5, 20, 40])
@pytest.mark.parametrize("rates", [[(100, 4), (5, 1)], [(50, 2)] * 3], ids=["fast and slow", "equal"])
def test_nobody_waits_longer_than_by_other_rules(rates: list[tuple[float, int]], people: int) -> None:
    seeds = range(8)
    ours = mean([first_text(soonest, rates, people, seed) for seed in seeds])
    others = {
        "random": mean([first_text(at_random, rates, people, seed) for seed in seeds]),
        "round robin": mean([first_text(round_robin(), rates, people, seed) for seed in seeds]),
        "least connections": mean([first_text(least_connections, rates, people, seed) for seed in seeds]),
    }
    assert ours <= min(others.values()), others
    assert ours < 0.8 * others["random"]
