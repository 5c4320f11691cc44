"""Champions move while readings flow: no reading is lost, and the new versions answer."""

from pathlib import Path

import pytest
from redis import Redis

from benchmarks.harness.contestants import serving
from benchmarks.harness.models import publish_models
from benchmarks.harness.readings import Readings
from benchmarks.swap import _rate
from tests.benchmarks.measuring import figures_of
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore

pytestmark = pytest.mark.usefixtures("forked_programs")


def test_every_figure_is_there_and_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """A round fails where a series is not answered by the version that was moved to.

    The number of flows stays within the worker's capacity, whatever is requested, and the rate shows it.
    """
    figures = figures_of(capsys, "swap", "--series", "5", "--rate", "1e9", "--rounds", "1", "--seconds", "0.1")
    p99 = {"p99_ratio", "p99_ratio_to_moves_elsewhere", "p99_calm_ms", "p99_elsewhere_ms", "p99_swap_ms"}
    assert {*p99, "lost", "flow_per_s"} == set(figures)
    assert 0 == figures["lost"]
    assert 0 < figures["flow_per_s"] < 1e6


def test_what_the_worker_can_bear_flows_as_asked_for(redis_server: EmbeddedRedis, redis: Redis, tmp_path: Path) -> None:
    """The worker's own pace limits only higher rates."""
    redis.ping()
    publish_models(ModelStore(tmp_path / "models"), 5)
    with serving(redis_server, tmp_path, Readings(5)) as worker:
        assert 50 == _rate(worker, 50)
