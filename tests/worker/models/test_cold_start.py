"""A new, unannounced series: answered from its first reading, and by its own network after a while."""

from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from tests.harness.patience import until
from tests.harness.processes import forked_worker
from tests.worker.retraining.harness import events
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.experts import LSTM
from tidecast.models.store import ModelStore
from tidecast.online.series.state import SeriesState
from tidecast.wire import Forecast

ENOUGH = 200  # readings for a first model
HOUR = 3_600_000


def push(redis: Redis, first: int, stop: int) -> None:
    """Hours with a day and noise."""
    noise = np.random.default_rng(0).normal(size=stop)
    with redis.pipeline() as together:
        for n in range(first, stop):
            value = f"{50 + 10 * np.sin(2 * np.pi * n / 24) + noise[n]:.3f}"
            together.xadd("readings", {"series": "new", "ts": 1_600_000_000_000 + HOUR * n, "value": value})
        together.execute()


def newest(redis: Redis) -> Forecast:
    """Return the last forecast."""
    return Forecast.decode(*redis.xrevrange("forecasts", count=1)[0])


@pytest.mark.keras
def test_a_new_series_gets_its_own_network_without_an_operator(
    redis_server: EmbeddedRedis, redis: Redis, tmp_path: Path
) -> None:
    """The last value at once; after `min_history` readings and one run of the schedule its LSTM joins the blend."""
    variables = {
        "RETRAIN__EVERY": "2s",
        "RETRAIN__MIN_HISTORY": str(ENOUGH),
        "RETRAIN__LOW_PRIORITY": "false",  # the suite is in haste
        "TRAIN__EPOCHS": "2",
        "TRAIN__SHARED_EPOCHS": "0",
    }
    with forked_worker(redis_server.url, tmp_path / "models", **variables):
        push(redis, 0, 1)
        until(lambda: redis.xlen("forecasts") == 1)
        assert ("naive", None) == (newest(redis).kind, newest(redis).model)
        push(redis, 1, ENOUGH)
        until(lambda: redis.xlen("forecasts") == ENOUGH)
        until(lambda: ModelStore(tmp_path / "models").champion("new"))
        pushed = ENOUGH
        while newest(redis).model is None:
            push(redis, pushed, pushed + 1)
            pushed += 1
            until(lambda wanted=pushed: redis.xlen("forecasts") == wanted)  # type: ignore[misc] # its default
        assert ModelStore(tmp_path / "models").load("new")[1].header.network
        state = SeriesState.decode(redis.hget("state", "new") or b"")
    assert np.isfinite(state.answers[LSTM])
    kinds = [kind for kind, _ in events(redis)]
    assert "series_created" == kinds[0]
    assert "promoted" in kinds
