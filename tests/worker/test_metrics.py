"""The metrics for an operator, read over HTTP."""

import math
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.patience import PATIENCE_S
from tidecast.connection.lag import Lag
from tidecast.listening import ListenAddress
from tidecast.online.drift import Drift
from tidecast.wire import Event
from worker.metrics import CHANGES, FAILURES, STAGES, Health
from worker.retraining.metrics import RESULTS


@pytest.fixture
def health() -> Health:
    """A worker's metrics."""
    return Health()


@pytest.fixture
def served(health: Health) -> Iterator[HTTPConnection]:
    """A connection to its port."""
    server = health.serve(ListenAddress("127.0.0.1", 0, "worker.health_host", "worker.health_port"))
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    yield connection
    connection.close()
    server.close()


def ask(served: HTTPConnection, path: str) -> tuple[int, str]:
    """Status and text of an answer."""
    served.request("GET", path)
    answer = served.getresponse()
    return answer.status, answer.read().decode()


def test_a_live_worker_is_healthy_but_ready_only_with_its_partition(health: Health, served: HTTPConnection) -> None:
    """Two probes for two questions."""
    assert (200, "200 OK\n") == ask(served, "/healthz")
    assert 503 == ask(served, "/readyz")[0]
    health.holding(1)
    assert (200, "200 OK\n") == ask(served, "/readyz")
    health.holding(0)
    assert 503 == ask(served, "/readyz")[0]
    assert 200 == ask(served, "/healthz")[0]


def test_a_worker_that_compiles_is_healthy_and_says_why_it_is_not_ready(health: Health, served: HTTPConnection) -> None:
    """A first start takes some seconds: a program that waits for it can show the reason."""
    health.compiling.set()
    assert (200, "200 OK\n") == ask(served, "/healthz")
    assert (503, "503 Service Unavailable: compiling, once on this machine\n") == ask(served, "/readyz")
    health.compiling.clear()
    assert (503, "503 Service Unavailable\n") == ask(served, "/readyz")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz2", "/../metrics"])
def test_nothing_else_is_served(served: HTTPConnection, path: str) -> None:
    """Any other path is not found."""
    assert 404 == ask(served, path)[0]


def test_metrics_are_in_prometheus_form(health: Health, served: HTTPConnection) -> None:
    """Counts by disposition, drifts, losses, failures, stages; no label for each series."""
    health.committed({"forecast": 3, "dead": 1}, 2, {"inside": 2})
    drifts = [
        Drift(*drift, 1.5) for drift in (("a", "1-0", 1, "level"), ("b", "1-1", 1, "level"), ("a", "2-0", 2, "errors"))
    ]
    events = [Event("anomaly", "", "a", facts={"phase": phase}) for phase in ("ends", "begins")]
    health.committed({"forecast": 1}, 0, {"inside": 4, "outside": 1}, drifts, events)
    health.holding(1)
    health.series({"ok": 5, "stuck": 1})
    health.failed("redis")
    health.lease_changed("acquired")
    for stage in STAGES:
        with health.stage(stage):
            pass
    status, text = ask(served, "/metrics")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert 200 == status
    assert {
        ("tidecast_readings_total", "forecast"): 4.0,
        ("tidecast_readings_total", "dead"): 1.0,
        ("tidecast_readings_lost_total",): 2.0,
        ("tidecast_intervals_total", "inside"): 6.0,
        ("tidecast_intervals_total", "outside"): 1.0,
        ("tidecast_drifts_total", "level"): 2.0,
        ("tidecast_drifts_total", "errors"): 1.0,
        ("tidecast_failures_total", "redis"): 1.0,
        ("tidecast_series", "ok"): 5.0,
        ("tidecast_series", "stuck"): 1.0,
        ("tidecast_series", "silent"): 0.0,
        ("tidecast_anomalies_total",): 1.0,
        ("tidecast_partitions_held",): 1.0,
        ("tidecast_lease_changes_total", "acquired"): 1.0,
        ("tidecast_batch_readings_sum",): 5.0,
        ("tidecast_batch_readings_count",): 2.0,
        **{("tidecast_stage_seconds_count", stage): 1.0 for stage in STAGES},
    }.items() <= samples.items()


def test_probes_leave_no_trace_on_standard_error(served: HTTPConnection, capfd: pytest.CaptureFixture[str]) -> None:
    """Every few seconds a line would be no news."""
    ask(served, "/healthz")
    assert ("", "") == capfd.readouterr()


def test_the_lag_is_that_of_all_partitions_held() -> None:
    """A partition given up is forgotten; where a server does not count, the lag is NaN, and no alert takes it for 0."""
    health = Health()

    def lag() -> tuple[float | None, float | None]:
        read = health.registry.get_sample_value
        return read("tidecast_lag_readings"), read("tidecast_lag_seconds")

    assert (0.0, 0.0) == lag()
    health.lag(0, Lag(unread=7, behind_s=2.5))
    health.lag(1, Lag(unread=5, behind_s=9.0))
    assert (12.0, 9.0) == lag()
    health.lag(1, None)
    assert (7.0, 2.5) == lag()
    health.lag(0, Lag(unread=None, behind_s=1.0))
    waiting, behind_s = lag()
    assert (True, 1.0) == (waiting is not None and math.isnan(waiting), behind_s)


def test_models_grow_older_between_two_looks() -> None:
    """Their age is computed at each request."""
    health = Health()
    now_ms = round(time.time() * 1000)
    health.serving([now_ms - 9_000_000, now_ms - 6_000_000, now_ms - 3_000_000])

    def age(which: str) -> float:
        return health.registry.get_sample_value("tidecast_model_age_seconds", {"which": which}) or 0.0

    assert [9000, 6000, 3000] == [pytest.approx(age(which), abs=PATIENCE_S) for which in ("oldest", "median", "newest")]
    before = age("newest")
    time.sleep(0.02)
    assert age("newest") > before
    assert 3.0 == health.registry.get_sample_value("tidecast_models")


def test_what_is_rare_is_shown_before_it_happens() -> None:
    """Prometheus sees no increase of a counter that appears at 1, so no alert would report the first time."""
    read = Health().registry.get_sample_value
    assert {0.0} == {read("tidecast_failures_total", {"kind": kind}) for kind in FAILURES}
    assert {0.0} == {read("tidecast_lease_changes_total", {"change": change}) for change in CHANGES}
    assert {0.0} == {read("tidecast_retrain_runs_total", {"result": outcome}) for outcome in RESULTS}
    assert {0.0} == {read("tidecast_retrain_last_timestamp_seconds", {"result": outcome}) for outcome in RESULTS}


def test_how_the_last_run_of_the_schedule_ended_can_be_told() -> None:
    """The latest of the times is that of the last outcome."""
    health = Health()

    def ended(outcome: str) -> float:
        return health.registry.get_sample_value("tidecast_retrain_last_timestamp_seconds", {"result": outcome}) or 0.0

    health.retraining.ended("finished", 1.0)
    assert ended("finished") > ended("failed")
    health.retraining.ended("failed", 1.0)
    assert ended("failed") > ended("finished")
    assert time.time() == pytest.approx(ended("failed"), abs=PATIENCE_S)
