"""The metrics of experts of the users' own: their cost shows whether they are worth it."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from worker.own_experts.pool import Usage


class ExpertMetrics(Collector):
    """Shows the usage of a pool."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters."""
        for name, text, value in (
            ("forecasts", "Forecasts of own experts.", self._usage.calls),
            ("seconds", "Seconds that own experts took.", self._usage.seconds),
            ("failures", "Failures of own experts.", self._usage.failures),
        ):
            yield CounterMetricFamily(f"tidecast_own_expert_{name}", text, value)
