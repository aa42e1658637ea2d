"""Random orders of what can happen to answers, the same in every run; `make faults` draws others."""

import pytest
from hypothesis import HealthCheck, settings
from interleavings import Interleavings

pytestmark = pytest.mark.slow

TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=20,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
