"""The metrics of scheduled runs."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

RESULTS = ("finished", "retried", "failed", "cancelled")
RUN_BUCKETS = (1, 10, 60, 300, 900, 3600, 14_400)


class RetrainMetrics:
    """The metrics of scheduled runs.

    Args:
        registry: the registry that they are added to.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "tidecast_retrain_runs", "Runs of the schedule, by how they ended.", ["result"], registry=registry
        )
        self._seconds = Histogram(
            "tidecast_retrain_seconds", "Duration of a run of the schedule.", buckets=RUN_BUCKETS, registry=registry
        )
        self._next = Gauge(
            "tidecast_retrain_next_timestamp_seconds", "When the next run of the schedule is due.", registry=registry
        )
        self._last = Gauge(
            "tidecast_retrain_last_timestamp_seconds",
            "When a run of the schedule last ended so; 0: not since the worker began.",
            ["result"],
            registry=registry,
        )
        self._next.set(math.nan)
        for result in RESULTS:
            self._runs.labels(result)
            self._last.labels(result)
        self._due: dict[int, float] = {}

    def ended(self, result: str, seconds: float) -> None:
        """Record a run that finished, failed, was cancelled or is to be retried."""
        self._runs.labels(result).inc()
        self._last.labels(result).set_to_current_time()
        self._seconds.observe(seconds)

    def next_run(self, partition: int, at: float | None) -> None:
        """Record when a partition's next run is due, in epoch seconds; None: the partition is not held any more."""
        if at is None:
            self._due.pop(partition, None)
        else:
            self._due[partition] = at
        self._next.set(min(list(self._due.values()), default=math.nan))
