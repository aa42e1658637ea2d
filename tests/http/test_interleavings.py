"""Random orders of what can happen to answers, the same in every run; `make faults` draws others."""

from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from interleavings import Interleavings, OfReplicas

pytestmark = pytest.mark.slow

SAME: Final = settings(
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # each step of a shorter one would wait as long for what does not come
)


@pytest.fixture(autouse=True, scope="module")
def _database(postgres_url: str) -> None:
    OfReplicas.url = postgres_url


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(SAME, max_examples=20)

TestReplicas = OfReplicas.TestCase
TestReplicas.settings = settings(SAME, max_examples=6)
