"""What an operator sees: Prometheus metrics and two probes, on a port of their own."""

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app

STAGES = ("read", "handle", "commit")


class Health:
    """The worker's metrics; none has a label for each series."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._readings = Counter(
            "tidecast_readings", "Readings by disposition.", ["disposition"], registry=self.registry
        )
        self._intervals = Counter(
            "tidecast_intervals", "Readings inside or outside their interval.", ["reading"], registry=self.registry
        )
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
        self._held = Gauge("tidecast_partitions_held", "Partitions that this worker holds.", registry=self.registry)
        self._acquired = Counter("tidecast_leases_acquired", "Leases acquired.", registry=self.registry)
        self.ready = threading.Event()  # a partition is held, its state loaded

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Time a stage."""
        return self._stages.labels(name).time()

    def committed(self, counts: Mapping[str, int], lost: int, intervals: Mapping[str, int]) -> None:
        """Count a committed batch."""
        for disposition, number in counts.items():
            self._readings.labels(disposition).inc(number)
        for place, number in intervals.items():
            self._intervals.labels(place).inc(number)
        self._lost.inc(lost)
        self._batch.observe(sum(counts.values()))

    def failed(self, kind: str) -> None:
        """Count a failure of a kind: redis, step, model, fenced or conflict."""
        self._failures.labels(kind).inc()

    def acquired(self) -> None:
        """Count a partition that was taken and loaded."""
        self._acquired.inc()

    def holding(self, partitions: int, series: int) -> None:
        """Note how many partitions are ours, and how many series they have."""
        self._held.set(partitions)
        self._series.set(series)
        if partitions:
            self.ready.set()
        else:
            self.ready.clear()

    def serve(self, host: str, port: int) -> WSGIServer:
        """Answer /metrics, /healthz and /readyz from a thread of its own; the server knows its port."""
        server = make_server(host, port, self._answer, server_class=_Server, handler_class=_Quiet)
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        return server

    def _answer(self, environ: dict[str, object], start: Callable[..., object]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            metrics: Iterable[bytes] = make_wsgi_app(self.registry)(environ, start)
            return metrics
        found = {"/healthz": "200 OK", "/readyz": "200 OK" if self.ready.is_set() else "503 Service Unavailable"}
        status = found.get(str(path), "404 Not Found")
        start(status, [("Content-Type", "text/plain")])
        return [f"{status}\n".encode()]


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request: a client that connects and says nothing blocks no probe."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: probes every few seconds are no news."""
