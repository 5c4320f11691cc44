"""Prometheus metrics and two probes, served on their own port."""

import math
import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from statistics import median

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from tidecast import __version__
from tidecast.connection.lag import Lag
from tidecast.connection.partitions import total
from tidecast.listening import ListenAddress, listen
from tidecast.log import lines_lost
from tidecast.online.drift import KINDS, Drift
from tidecast.online.series.condition_names import SERIES_STATES
from tidecast.wire import DISPOSITIONS, Event
from worker.notify.metrics import NotifyMetrics
from worker.own_experts.metrics import Usage
from worker.probes import ProbeServer
from worker.retraining.metrics import RetrainMetrics

STAGES = ("read", "handle", "commit")
FAILURES = ("redis", "refused", "step", "model", "fenced", "conflict", "bucket")
CHANGES = ("acquired", "released", "lost")
BATCH_BUCKETS = (1, 10, 100, 1000, 10_000)


class Health:
    """The worker's metrics, none of them labelled by series.

    Attributes:
        registry: the registry with all metrics.
        models: the number of loaded models.
        partitions: the number of partitions, by the settings.
        retraining: the metrics of scheduled runs.
        notify: the metrics of notifications.
        own_experts: what experts of the users' own cost.
        ready: set while a partition is held and served.
        compiling: set while functions compile: some seconds, once on a machine.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ready = threading.Event()
        self.compiling = threading.Event()
        self._failing = ""
        self._add_batches()
        self._add_partitions()
        self.models = self._gauge("models", "Models loaded.")
        self._series = self._gauge("series", "Series by their condition.", "state")
        self.series({})
        self._known = self._counter("known_values", "Entries of known values.", "result", begin=("taken", "rejected"))
        self.without_known = self._gauge("series_without_known", "Series whose known inputs have run out.")
        build = self._gauge("build_info", "The version of Tidecast and of Python; always 1.", "version", "python")
        build.labels(__version__, platform.python_version()).set(1)
        self._age = self._gauge("model_age_seconds", "Age of the models.", "which")
        self.retraining = RetrainMetrics(self.registry)
        self.notify = NotifyMetrics(self.registry)
        self.own_experts = Usage()
        self.registry.register(self.own_experts)
        self.registry.register(_LinesLost())

    def _add_batches(self) -> None:
        """Add the metrics of batches; children are looked up once, since a lookup takes as long as counting."""
        readings = self._counter("readings", "Readings by disposition.", "disposition")
        intervals = self._counter("intervals", "Readings inside or outside their interval.", "reading")
        drifts = self._counter("drifts", "Series that have changed.", "kind")
        self._anomalies = self._counter("anomalies", "Anomalies that have begun.")
        stages = Histogram("tidecast_stage_seconds", "Duration of a batch's stages.", ["stage"], registry=self.registry)
        self._readings = {name: readings.labels(name) for name in DISPOSITIONS}
        self._intervals = {name: intervals.labels(name) for name in ("inside", "outside")}
        self._drifts = {kind: drifts.labels(kind) for kind in KINDS}
        self._stages = {name: stages.labels(name) for name in STAGES}
        self._routed = self._counter("routed", "Readings routed from the common stream to their partitions.")
        self._lost = self._counter("readings_lost", "Readings trimmed before they were read.")
        self._failures = self._counter("failures", "Steps that failed.", "kind", begin=FAILURES)
        self._retries = self._counter("commits_retried", "Commits sent again.")
        self._batch = Histogram(
            "tidecast_batch_readings", "Readings in a commit.", buckets=BATCH_BUCKETS, registry=self.registry
        )

    def _add_partitions(self) -> None:
        self.partitions = self._gauge("partitions", "Partitions that there are.")
        self._held = self._gauge("partitions_held", "Partitions that this worker holds.")
        self._leases = self._counter("lease_changes", "Partitions acquired, released or lost.", "change", begin=CHANGES)
        self._unread = self._gauge("lag_readings", "Readings pushed and not yet answered.")
        self._behind = self._gauge("lag_seconds", "Age of the last reading read, before the newest one.")
        self._ids_ahead = self._gauge("ids_ahead_seconds", "How far entry ids are ahead of the clock.")
        self._stuck = self._gauge(
            "partitions_stuck", "Partitions held whose stream was recreated with ids that cannot be answered."
        )
        self._recreated = self._counter("streams_recreated", "Streams of readings that were recreated.")
        self._lags: dict[int, Lag] = {}
        self._ahead_s: dict[int, float] = {}
        self._stuck_in: set[int] = set()

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"tidecast_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str, begin: Sequence[str] = ()) -> Counter:
        """Add a counter; those of rare labels begin at 0: Prometheus detects no increase in one that appears at 1."""
        counter = Counter(f"tidecast_{name}", text, labels, registry=self.registry)
        for label in begin:
            counter.labels(label)
        return counter

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Return a context manager that times a stage."""
        return self._stages[name].time()

    def took(self, name: str, seconds: float) -> None:
        """Record the duration of a stage."""
        self._stages[name].observe(seconds)

    def committed(
        self,
        counts: Mapping[str, int],
        lost: int,
        intervals: Mapping[str, int],
        drifts: Iterable[Drift] = (),
        events: Iterable[Event] = (),
    ) -> None:
        """Count a committed batch."""
        for disposition, number in counts.items():
            self._readings[disposition].inc(number)
        for place, number in intervals.items():
            self._intervals[place].inc(number)
        for drift in drifts:
            self._drifts[drift.kind].inc()
        self._anomalies.inc(sum(event.facts.get("phase") == "begins" for event in events))
        self._lost.inc(lost)
        self._batch.observe(sum(counts.values()))

    def failed(self, kind: str) -> None:
        """Count a failure of a kind: redis, refused, step, model, fenced, conflict or bucket."""
        self._failures.labels(kind).inc()

    def lease_changed(self, change: str) -> None:
        """Count a partition that was acquired, released or lost."""
        self._leases.labels(change).inc()

    def routed(self, readings: int) -> None:
        """Count readings of the common stream that were routed to their partitions."""
        self._routed.inc(readings)

    def retried(self) -> None:
        """Count a commit that was sent again."""
        self._retries.inc()

    def lag(self, partition: int, lag: Lag | None) -> None:
        """Record a partition's lag; None: this worker does not hold it any more."""
        if lag is None:
            self._lags.pop(partition, None)
        else:
            self._lags[partition] = lag
        unread = total(each.unread for each in self._lags.values())
        self._unread.set(math.nan if unread is None else unread)
        self._behind.set(max((each.behind_s for each in self._lags.values()), default=0.0))

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

    def recreated(self) -> None:
        """Count a stream of readings that was deleted and recreated, and is read from its start."""
        self._recreated.inc()

    def serving(self, created_ms: Sequence[int]) -> None:
        """Record when the active models were made, in epoch milliseconds; their age is computed at each scrape."""
        self.models.set(len(created_ms))
        if created_ms:
            for which, ms in (("oldest", min(created_ms)), ("median", median(created_ms)), ("newest", max(created_ms))):
                self._age.labels(which).set_function(partial(_age_s, ms))

    def series(self, counts: Mapping[str, int]) -> None:
        """Record how many series of the held partitions are in which condition, by `SERIES_STATES`."""
        for state in SERIES_STATES:
            self._series.labels(state).set(counts.get(state, 0))

    def known(self, taken: int, rejected: int) -> None:
        """Count entries of values that are known ahead."""
        self._known.labels("taken").inc(taken)
        self._known.labels("rejected").inc(rejected)

    def holding(self, partitions: int, failing: str = "") -> None:
        """Record how many partitions are held, and why none of them is served; empty: they are."""
        self._held.set(partitions)
        self.show_ready(ready=partitions > 0 and not failing, failing=failing)

    def show_ready(self, *, ready: bool, failing: str = "") -> None:
        """Set the response of `/readyz`; `failing` is the reason why it is not ready, if it is known."""
        self._failing = failing
        if ready:
            self.ready.set()
        else:
            self.ready.clear()

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
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        reason = ""
        if status.startswith("503"):
            reason = "compiling, once on this machine" if self.compiling.is_set() else self._failing
        return [f"{status}: {reason}\n".encode() if reason else f"{status}\n".encode()]


class _LinesLost(Collector):
    """A collector for the number of log lines that could not be written."""

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Yield the current count."""
        yield CounterMetricFamily("tidecast_log_lines_lost", "Log lines that could not be written.", lines_lost())

    describe = collect


def _age_s(created_ms: float) -> float:
    return time.time() - created_ms / 1000
