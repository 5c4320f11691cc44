"""The latency's figures are there and no reading is lost; the time counts from when a reading was due."""

import time
from pathlib import Path

import pytest

from benchmarks.harness.contestants import serving
from benchmarks.harness.flow import flow
from benchmarks.harness.models import publish_models
from benchmarks.harness.readings import Readings
from tests.benchmarks.measuring import figures_of
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore

pytestmark = pytest.mark.usefixtures("forked_programs")


def test_every_figure_is_there_and_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """The worker's and the echo's."""
    figures = figures_of(capsys, "latency", "--series", "5", "--rate", "50", "--rounds", "1", "--seconds", "0.4")
    percentiles = {f"{of}p{share}_ms" for of in ("", "echo_") for share in (50, 95, 99)}
    assert percentiles | {f"{of}p99_ms_at_two_thirds" for of in ("", "echo_")} | {
        "lost",
        "most_per_s",
        "queue_growth",
    } == set(figures)
    assert 0 == figures["lost"]
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]


def test_a_worker_that_stands_still_shows_in_the_readings_that_were_due_meanwhile(tmp_path: Path) -> None:
    """Stopped for 0.4 s of 0.6: the first reading waits longest, each later one less; each of them is counted."""
    publish_models(ModelStore(tmp_path / "models"), 2)
    with EmbeddedRedis() as server, serving(server, tmp_path, Readings(2)) as worker:
        worker.warm_up(6)
        worker.stop()

        def wake() -> None:
            time.sleep(0.4)
            worker.go_on()

        measured = flow(worker, server, rate=50, seconds=0.6, meanwhile=wake)
    assert (30, 0) == (len(measured.ms), measured.lost)
    assert measured.ms[0] >= 400
    assert measured.ms[10] >= 200
