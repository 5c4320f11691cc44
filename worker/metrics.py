"""Prometheus metrics and two probes, served on their own port."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from statistics import median

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from tidecast.listening import ListenAddress, listen
from tidecast.log import lines_lost
from tidecast.online.drift import KINDS, Drift
from tidecast.wire import DISPOSITIONS
from worker.partition.backlog import Backlog
from worker.probes import ProbeServer

STAGES = ("read", "handle", "commit")
FAILURES = ("redis", "refused", "step", "model", "fenced", "conflict")
CHANGES = ("acquired", "released", "lost")
OUTCOMES = ("finished", "retried", "failed", "cancelled")


class Health:
    """The worker's metrics, none of them labelled by series."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._readings = Counter(
            "tidecast_readings", "Readings by disposition.", ["disposition"], registry=self.registry
        )
        self._intervals = Counter(
            "tidecast_intervals", "Readings inside or outside their interval.", ["reading"], registry=self.registry
        )
        self._drifts = Counter("tidecast_drifts", "Series that have changed.", ["kind"], registry=self.registry)
        self._lost = Counter(
            "tidecast_readings_lost", "Readings trimmed before they were read.", registry=self.registry
        )
        self._failures = Counter("tidecast_failures", "Steps that failed.", ["kind"], registry=self.registry)
        self._stages = Histogram(
            "tidecast_stage_seconds", "Duration of a batch's stages.", ["stage"], registry=self.registry
        )
        self._batch = Histogram(
            "tidecast_batch_readings",
            "Readings in a commit.",
            buckets=(1, 10, 100, 1000, 10_000),
            registry=self.registry,
        )
        self.models = Gauge("tidecast_models", "Models loaded.", registry=self.registry)
        self._series = Gauge("tidecast_series", "Series known.", registry=self.registry)
        self.partitions = Gauge("tidecast_partitions", "Partitions that there are.", registry=self.registry)
        self._held = Gauge("tidecast_partitions_held", "Partitions that this worker holds.", registry=self.registry)
        self._leases = Counter(
            "tidecast_lease_changes", "Partitions acquired, released or lost.", ["change"], registry=self.registry
        )
        self._retries = Counter("tidecast_commits_retried", "Commits sent again.", registry=self.registry)
        self._lag = Gauge("tidecast_lag_readings", "Readings pushed and not yet answered.", registry=self.registry)
        self._behind = Gauge(
            "tidecast_behind_seconds", "Age of the last reading read, before the newest one.", registry=self.registry
        )
        self._ids_ahead = Gauge(
            "tidecast_ids_ahead_seconds", "How far entry ids are ahead of the clock.", registry=self.registry
        )
        self._stuck = Gauge(
            "tidecast_partitions_stuck",
            "Partitions held whose readings were begun anew with ids that cannot be answered.",
            registry=self.registry,
        )
        self._anew = Counter(
            "tidecast_partitions_begun_anew", "Streams of readings that were begun anew.", registry=self.registry
        )
        self._age = Gauge("tidecast_model_age_seconds", "Age of the models.", ["which"], registry=self.registry)
        # The children for each batch are looked up once: a lookup takes as long as counting.
        self._timed = {name: self._stages.labels(name) for name in STAGES}
        self._counted = {name: self._readings.labels(name) for name in DISPOSITIONS}
        self._placed = {name: self._intervals.labels(name) for name in ("inside", "outside")}
        self._drifted = {kind: self._drifts.labels(kind) for kind in KINDS}
        self._retrained = Counter(
            "tidecast_retrain_runs", "Runs of the schedule, by how they ended.", ["outcome"], registry=self.registry
        )
        self._retrain_seconds = Histogram(
            "tidecast_retrain_seconds",
            "Duration of a run of the schedule.",
            buckets=(1, 10, 60, 300, 900, 3600, 14_400),
            registry=self.registry,
        )
        self._retrain_at = Gauge(
            "tidecast_retrain_next_timestamp_seconds",
            "When the next run of the schedule is due.",
            registry=self.registry,
        )
        self._retrain_at.set(math.nan)
        self._retrain_last = Gauge(
            "tidecast_retrain_last_timestamp_seconds",
            "When a run of the schedule last ended so; 0: not since the worker began.",
            ["outcome"],
            registry=self.registry,
        )
        self.registry.register(_LinesLost())
        self._begin_at_zero()
        self._runs_at: dict[int, float] = {}
        self._backlogs: dict[int, Backlog] = {}
        self._ahead_s: dict[int, float] = {}
        self._stuck_in: set[int] = set()
        self.ready = threading.Event()  # set while a partition is held and its state is loaded
        self.compiling = threading.Event()  # set while functions compile: some seconds, once on a machine

    def _begin_at_zero(self) -> None:
        """Create rare counters at 0: Prometheus detects no increase in a counter that appears at 1."""
        for kind in FAILURES:
            self._failures.labels(kind)
        for change in CHANGES:
            self._leases.labels(change)
        for outcome in OUTCOMES:
            self._retrained.labels(outcome)
            self._retrain_last.labels(outcome)

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Return a context manager that times a stage."""
        return self._timed[name].time()

    def took(self, name: str, seconds: float) -> None:
        """Record the duration of a stage."""
        self._timed[name].observe(seconds)

    def committed(
        self, counts: Mapping[str, int], lost: int, intervals: Mapping[str, int], drifts: Iterable[Drift] = ()
    ) -> None:
        """Count a committed batch."""
        for disposition, number in counts.items():
            self._counted[disposition].inc(number)
        for place, number in intervals.items():
            self._placed[place].inc(number)
        for drift in drifts:
            self._drifted[drift.kind].inc()
        self._lost.inc(lost)
        self._batch.observe(sum(counts.values()))

    def failed(self, kind: str) -> None:
        """Count a failure of a kind: redis, refused, step, model, fenced or conflict."""
        self._failures.labels(kind).inc()

    def lease_changed(self, change: str) -> None:
        """Count a partition that was acquired, released or lost."""
        self._leases.labels(change).inc()

    def retried(self) -> None:
        """Count a commit that was sent again."""
        self._retries.inc()

    def behind(self, partition: int, backlog: Backlog | None) -> None:
        """Record a partition's backlog; None: this worker does not hold it any more."""
        if backlog is None:
            self._backlogs.pop(partition, None)
        else:
            self._backlogs[partition] = backlog
        backlogs = self._backlogs.values()
        unknown = any(each.waiting is None for each in backlogs)
        self._lag.set(math.nan if unknown else sum(each.waiting or 0 for each in backlogs))
        self._behind.set(max((each.behind_s for each in backlogs), default=0.0))

    def ids_ahead(self, partition: int, ahead_s: float | None) -> None:
        """Record how far a partition's entry ids are ahead of the clock; None: the partition is not held any more."""
        if ahead_s is None:
            self._ahead_s.pop(partition, None)
        else:
            self._ahead_s[partition] = ahead_s
        self._ids_ahead.set(max(self._ahead_s.values(), default=0.0))

    def stuck(self, partition: int, *, stuck: bool) -> None:
        """Record whether a partition's readings have ids that cannot be answered."""
        if stuck:
            self._stuck_in.add(partition)
        else:
            self._stuck_in.discard(partition)
        self._stuck.set(len(self._stuck_in))

    def begun_anew(self) -> None:
        """Count a stream of readings that was deleted and recreated, and is read from its start."""
        self._anew.inc()

    def serving(self, created_ms: Sequence[int]) -> None:
        """Record when the active models were made, in epoch milliseconds; their age is computed at each scrape."""
        self.models.set(len(created_ms))
        if created_ms:
            for which, ms in (("oldest", min(created_ms)), ("median", median(created_ms)), ("newest", max(created_ms))):
                self._age.labels(which).set_function(partial(_age_s, ms))

    def holding(self, partitions: int, series: int) -> None:
        """Record how many partitions are held, and how many series they have."""
        self._held.set(partitions)
        self._series.set(series)
        if partitions:
            self.ready.set()
        else:
            self.ready.clear()

    def retrained(self, outcome: str, seconds: float) -> None:
        """Record a scheduled run that finished, failed, was cancelled or is to be retried."""
        self._retrained.labels(outcome).inc()
        self._retrain_last.labels(outcome).set_to_current_time()
        self._retrain_seconds.observe(seconds)

    def retrain_at(self, partition: int, at: float | None) -> None:
        """Record when a partition's next run is due, in epoch seconds; None: the partition is not held any more."""
        if at is None:
            self._runs_at.pop(partition, None)
        else:
            self._runs_at[partition] = at
        self._retrain_at.set(min(list(self._runs_at.values()), default=math.nan))

    def serve(self, requested: ListenAddress) -> ProbeServer:
        """Serve /metrics, /healthz and /readyz on a separate thread; return the server.

        Raises:
            SettingsError: the host does not belong to this machine, or the port is not available.
        """
        return ProbeServer(self._answer, listen(requested))

    def _answer(self, environ: dict[str, object], start: Callable[..., object]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            metrics: Iterable[bytes] = make_wsgi_app(self.registry)(environ, start)
            return metrics
        statuses = {"/healthz": "200 OK", "/readyz": "200 OK" if self.ready.is_set() else "503 Service Unavailable"}
        status = statuses.get(str(path), "404 Not Found")
        start(status, [("Content-Type", "text/plain")])
        reason = ": compiling, once on this machine" if status.startswith("503") and self.compiling.is_set() else ""
        return [f"{status}{reason}\n".encode()]


class _LinesLost(Collector):
    """A collector for the number of log lines that could not be written."""

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Yield the current count."""
        yield CounterMetricFamily("tidecast_log_lines_lost", "Log lines that could not be written.", lines_lost())

    describe = collect


def _age_s(created_ms: float) -> float:
    return time.time() - created_ms / 1000
