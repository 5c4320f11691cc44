"""The metrics of notifications."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge

RESULTS = ("delivered", "refused")


class NotifyMetrics:
    """The metrics of posted events.

    Args:
        registry: the registry that the metrics are added to.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "tidecast_notifications", "Events posted, or refused by the receiver.", ["result"], registry=registry
        )
        self._failures = Counter(
            "tidecast_notification_failures", "Messages that were not delivered at once.", registry=registry
        )
        self._gaps = Counter(
            "tidecast_notification_gaps", "Times that events may have been trimmed unread.", registry=registry
        )
        lag = Gauge(
            "tidecast_notification_lag_seconds", "Age of the oldest event that is to be posted.", registry=registry
        )
        lag.set_function(self._lag_s)
        for result in RESULTS:
            self._events.labels(result)
        self.oldest_ms: int | None = None  # of the events that are to be posted, epoch milliseconds; None: none waits

    def ended(self, result: str, events: int) -> None:
        """Count events by their result."""
        self._events.labels(result).inc(events)

    def gap(self) -> None:
        """Count that events may have been trimmed before they were posted."""
        self._gaps.inc()

    def failed(self) -> None:
        """Count a message that was not delivered, and will be sent again."""
        self._failures.inc()

    def _lag_s(self) -> float:
        oldest_ms = self.oldest_ms
        return 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)
