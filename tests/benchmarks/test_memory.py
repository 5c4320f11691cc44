"""The memory's figures are complete, and its yardstick is the size of the models and windows."""

import pytest
from redis import Redis

from benchmarks.harness.models import bytes_of_weights, bytes_of_windows, own_model
from benchmarks.harness.readings import Readings
from tests.benchmarks.measuring import figures_of
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.online.series.state import decode_all
from tidecast.tools.sizing.trial_models import FIRST_MS


def test_every_figure_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """A worker with five models weighs more than they do."""
    figures = figures_of(capsys, "memory", "--series", "5", "--rounds", "1")
    assert {"ratio", "rss_mb", "bytes_mb"} == set(figures)
    assert figures["rss_mb"] > 20 > figures["bytes_mb"]


def test_the_yardstick_counts_weights_and_rows() -> None:
    """As a model and a state hold them; the window ends where the readings begin."""
    assert bytes_of_weights(3) == 3 * sum(weight.nbytes for weight in own_model(0).weights.values())
    with EmbeddedRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        Readings(3).fill(redis, "state", rows=400)
        states = decode_all({name.decode(): raw for name, raw in redis.hgetall("state").items()}).values()
    assert bytes_of_windows(3) == sum(state.window.rows.nbytes for state in states)
    assert [400] * 3 == [state.window.length for state in states]
    assert all(state.window.last_ts < FIRST_MS for state in states)
