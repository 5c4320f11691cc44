"""The metrics of experts of the users' own: their cost shows whether they are worth it."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


@dataclass(slots=True, eq=False)  # the registry needs a hash
class Usage(Collector):
    """The cost of own experts so far.

    Attributes:
        calls: the number of forecasts.
        seconds: the time they took in the child process.
        failures: how often an expert failed.
        skipped: calls that were left out because the time for the batch was up.
    """

    calls: int = 0
    seconds: float = 0.0
    failures: int = 0
    skipped: int = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters."""
        for name, text, value in (
            ("forecasts", "Forecasts of own experts.", self.calls),
            ("seconds", "Seconds that own experts took.", self.seconds),
            ("failures", "Failures of own experts.", self.failures),
            ("skipped", "Calls of own experts for which a batch had no time.", self.skipped),
        ):
            yield CounterMetricFamily(f"tidecast_own_expert_{name}", text, value)

    describe = collect
