"""Random orders of all that may happen to answers, always the same ones; `make faults` draws others."""

from hypothesis import HealthCheck, settings
from interleavings import Interleavings

TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=20,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
