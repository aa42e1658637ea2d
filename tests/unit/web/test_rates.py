"""A rate: so many times a minute, at once or one after the other, for each key."""

from typing import Final

from chatproxy.web.access import rates
from chatproxy.web.access.rates import Rate


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


KEY: Final = "a"


def taken(rate: Rate, key: str = KEY) -> int:
    """Take as many times as there are; return their number."""
    number = 0
    while not rate.wait(key):
        rate.take(key)
        number += 1
    return number


def test_all_may_be_taken_at_once_and_then_one_after_each_part_of_a_minute() -> None:
    clock = Clock()
    rate = Rate(6, clock)
    assert (taken(rate), taken(rate, "b")) == (6, 6)
    assert rate.wait(KEY) == 10
    clock.time += 9.5
    assert rate.wait(KEY) == 1
    clock.time += 0.5
    assert (taken(rate), rate.wait(KEY)) == (1, 10)
    clock.time += 60
    assert taken(rate) == 6


def test_in_any_minute_at_most_twice_as_many_are_taken() -> None:
    clock = Clock()
    rate = Rate(10, clock)
    times = []
    for _ in range(3000):
        clock.time += 0.1
        times += [clock.time] * taken(rate)
    most = max(sum(begin <= each < begin + 60 for each in times) for begin in times)
    assert most <= 20
    assert sum(each >= 1000 + 60 for each in times) <= 10 * 240 / 60 + 1


def test_what_makes_no_difference_is_forgotten() -> None:
    clock = Clock()
    rate = Rate(10, clock)
    for number in range(100 * rates.FORGOTTEN_FROM):
        clock.time += 0.1
        rate.take(str(number))
    assert len(rate._unused_from) < 2 * rates.FORGOTTEN_FROM
