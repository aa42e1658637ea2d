"""Metrics for Prometheus: counted as plain numbers, and written in its text format on request.

`prometheus_client` is imported on the first request, because its import would delay the start. Label values
come from bounded sets, never from users' text.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from chatproxy import __version__
from chatproxy.errors import STATUS
from chatproxy.generation.generation import Figures

if TYPE_CHECKING:
    from prometheus_client.core import Metric

MOST_MODELS: Final = 50  # label values
OTHER: Final = "other"  # the label of all other models
UPSTREAM_CODES: Final = tuple(code for code in STATUS if code.startswith("upstream_"))


class Load(Struct, frozen=True):
    """How many answers are produced, how many wait for others, and how many subscribers there are.

    `eta` is the seconds until it is probably the turn of all who wait.
    """

    active: int
    queued: int
    subscribers: int
    eta: float = 0.0
    hosts: Mapping[str, bool] = {}  # whether each answers, where there are several
    replicas: int = 1
    followed: int = 0  # answers of other replicas that are read here


class Histogram:
    """Counts of observed values by upper bound, and their sum."""

    def __init__(self, *bounds: float) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> Sequence[tuple[str, float]]:
        """Return each bound as text, with the number of values up to it."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


class Metrics:
    """The metrics of one application."""

    def __init__(self, hosts: Sequence[str] = ("",)) -> None:
        """Count for the hosts that run Ollama; the only one has an empty name, which is no label."""
        self._of_upstream = ("code", "host") if len(hosts) > 1 else ("code",)
        self._models: set[str] = set()
        self._generations: Counter[tuple[str, ...]] = Counter()
        self._passed: Counter[tuple[str, ...]] = Counter()
        self._tokens: Counter[tuple[str, ...]] = Counter()
        # What is missing until it is first counted would hide that first time from rate().
        self._errors: Counter[tuple[str, ...]] = Counter({(code,): 0 for code in STATUS})
        self._upstream_errors: Counter[tuple[str, ...]] = Counter(
            {self._upstream(code, host): 0 for code in UPSTREAM_CODES for host in hosts}
        )
        self._failures: Counter[tuple[str, ...]] = Counter({(host,): 0 for host in hosts if host})
        self._time_to_first_token = Histogram(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 360)
        self._tokens_per_second = Histogram(1, 2, 5, 10, 20, 50, 100, 200, 500)
        self._inter_token_gap = Histogram(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
        self._commit = Histogram(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)

    def committed(self, seconds: float) -> None:
        """Count a commit of the database and how long it took."""
        self._commit.observe(seconds)

    def host_failed(self, host: str) -> None:
        """Count that a host is left alone from now on, because it has failed."""
        self._failures[host,] += 1

    def refused(self, code: str) -> None:
        """Count a request that was answered with an error."""
        self._errors[code,] += 1

    def ended(self, figures: Figures) -> None:
        """Count an answer that ended."""
        outcome = figures.outcome
        model = self._label(outcome.model or OTHER, figures.installed or outcome.status == "complete")
        self._generations[outcome.status, model] += 1
        self._tokens[model,] += figures.tokens
        if outcome.error is not None:
            self._errors[outcome.error.code,] += 1
            if outcome.error.code in UPSTREAM_CODES:
                self._upstream_errors[self._upstream(outcome.error.code, figures.host)] += 1
        if figures.to_first_text is not None:
            self._time_to_first_token.observe(figures.to_first_text)
        if outcome.usage is not None and outcome.usage.tokens_per_second is not None:
            self._tokens_per_second.observe(outcome.usage.tokens_per_second)
        if figures.text_duration is not None and figures.tokens > 1:
            self._inter_token_gap.observe(figures.text_duration / (figures.tokens - 1))

    def passed(
        self, *, api: str, model: str, installed: bool, outcome: str, tokens: int, code: str, host: str
    ) -> None:
        """Count a request that was passed on; `code` is that of the error that ended it, or empty."""
        label = self._label(model, installed)
        self._passed[api, label, outcome] += 1
        self._tokens[label,] += tokens
        if code in UPSTREAM_CODES:
            self._upstream_errors[self._upstream(code, host)] += 1

    def _upstream(self, code: str, host: str) -> tuple[str, ...]:
        return (code, host)[: len(self._of_upstream)]

    def _label(self, model: str, real: bool) -> str:
        """Return the model's name if it was ever `real`, else OTHER, because clients can send any name."""
        if real and len(self._models) < MOST_MODELS:
            self._models.add(model)
        return model if model in self._models else OTHER

    def page(self, load: Load) -> bytes:
        """Return all metrics in the text format, version 0.0.4; `load` has the current values."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)  # has nothing outside Linux
        registry.register(_Families([*self._counters(), *_gauges(load), *self._histograms()]))
        return generate_latest(registry)

    def _counters(self) -> "Iterator[Metric]":
        yield _counter("generations", "Answers that ended.", ("outcome", "model"), self._generations)
        yield _counter("passed", "Requests passed on to Ollama.", ("api", "model", "outcome"), self._passed)
        yield _counter("tokens", "Tokens of answers.", ("model",), self._tokens)
        yield _counter("errors", "Refused requests and failed answers.", ("code",), self._errors)
        help = "Answers that failed because of Ollama."
        yield _counter("upstream_errors", help, self._of_upstream, self._upstream_errors)
        yield _counter("host_failures", "How often a host was left alone.", ("host",), self._failures)

    def _histograms(self) -> "Iterator[Metric]":
        from prometheus_client.core import HistogramMetricFamily

        for name, help, histogram in (
            ("time_to_first_token_seconds", "From a request to its first text.", self._time_to_first_token),
            ("tokens_per_second", "Speed of each answer, as Ollama reports it.", self._tokens_per_second),
            ("inter_token_gap_seconds", "Mean of each answer.", self._inter_token_gap),
            ("commit_seconds", "Duration of database commits.", self._commit),
        ):
            yield HistogramMetricFamily(f"chatproxy_{name}", help, histogram.buckets(), histogram.sum)


def _counter(
    name: str, help: str, labels: Sequence[str], numbers: Mapping[tuple[str, ...], float]
) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"chatproxy_{name}", help, labels=labels)
    for values, number in sorted(numbers.items()):
        family.add_metric(values, number)
    return family


def _gauges(load: Load) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    yield GaugeMetricFamily("chatproxy_active_generations", "Answers being generated.", load.active)
    yield GaugeMetricFamily("chatproxy_queued_generations", "Answers waiting in the queue.", load.queued)
    yield GaugeMetricFamily("chatproxy_queue_eta_seconds", "Until all that wait have their turn.", load.eta)
    yield GaugeMetricFamily("chatproxy_subscribers", "Readers of unfinished answers.", load.subscribers)
    yield GaugeMetricFamily("chatproxy_replicas", "Replicas that share the database.", load.replicas)
    yield GaugeMetricFamily("chatproxy_followed", "Answers of other replicas that are read.", load.followed)
    hosts = GaugeMetricFamily("chatproxy_host_up", "1 if a host answers, else 0.", labels=("host",))
    for name, is_up in load.hosts.items():
        hosts.add_metric((name,), is_up)
    yield hosts
    build = GaugeMetricFamily("chatproxy_build_info", "Version of chatproxy.", labels=("version",))
    build.add_metric((__version__,), 1)
    yield build


class _Families:
    """A collector of finished families, for `CollectorRegistry.register`."""

    def __init__(self, families: "Sequence[Metric]") -> None:
        self._families = families

    def collect(self) -> "Sequence[Metric]":
        return self._families
