"""The newest forecast of all steps, and the weights of the experts."""

import numpy as np
import pytest
from redis import Redis

from dashboard.data.outlook import OutlookReader, weights_of
from dashboard.pages import charts
from dashboard.pages.stream_card import scores_html
from tests.dashboard.streams import entry
from tests.harness.processes import forked_worker
from tidecast.client import Client
from tidecast.models.experts import EXPERTS, PROVEN
from tidecast.online.series.state import SeriesState
from tidecast.online.window import Window
from tidecast.settings import Settings
from tidecast.wire import Step


def test_all_steps_of_a_forecast_are_returned_with_their_times(settings: Settings, redis: Redis) -> None:
    """A bound that is not known is left out; the entry may be gone."""
    more = {
        "yhat_lower": 1.0,
        "yhat_upper": 3.0,
        "ts_2": 1_700_000_002_000,
        "yhat_2": 5.0,
        "yhat_2_lower": 4.0,
        "yhat_2_upper": 6.0,
        "yhat_3": 7.0,
    }
    entry_id, fields = entry("a", 0, 1.0, 2.0, **more)
    redis.xadd("forecasts", dict(fields), id=entry_id)
    at = int(fields[b"ts"])
    reader = OutlookReader(settings)
    due = (Step(1, at, 2.0, 1.0, 3.0), Step(2, at + 1000, 5.0, 4.0, 6.0), Step(3, None, 7.0, None, None))
    assert due == reader.read("a", entry_id.decode()).steps
    assert () == reader.read("a", "1-1").steps


def test_the_newest_forecasts_are_scored_by_step(settings: Settings, redis: Redis) -> None:
    """Those of the series alone; an entry that is not a forecast is left out."""
    for turn, y in enumerate((1.0, 2.0, 4.0)):
        for name in ("a", "other"):
            entry_id, fields = entry(name, turn, y, y, yhat_2=y + 2)
            redis.xadd("forecasts", dict(fields), id=entry_id.replace(b"-0", b"-%d" % ord(name[0])))
    redis.xadd("forecasts", {"series": "a"})
    first, second = OutlookReader(settings).scores("a")
    assert (2, 1.5, 1, 1.0) == (first.readings, first.mae, second.readings, second.mae)
    assert "last value" in scores_html([first, second])
    assert "MASE" not in scores_html([first, second])
    options = charts.steps_chart()
    charts.put_steps(options, [first, second])
    assert ["1", "2"] == options["xAxis"]["data"]
    assert [[1.5, 1.0], [1.5, 3.0], [None, None]] == [series["data"] for series in options["series"]]


def test_weights_follow_the_errors_with_the_best_first() -> None:
    """As the blend computes them; negligible ones are left out."""
    state = SeriesState(("value",), Window(10, 1))
    for expert, error in (("naive", 2.0), ("linear", 1.0), ("lstm", 1.05)):
        state.errors[:, EXPERTS.index(expert)] = error
        state.answers[EXPERTS.index(expert)] = 1.0
    state.fields.evidence[:] = PROVEN
    weights, guarded = weights_of(dict(state.changes("a"))["a"])
    assert ["linear", "lstm"] == list(weights)
    assert pytest.approx(np.exp(-1.0), rel=1e-3) == weights["lstm"] / weights["linear"]
    assert not guarded
    assert ({}, False) == weights_of(None) == weights_of(b"\x00")


def test_the_weights_are_those_of_a_workers_newest_forecast(settings: Settings, redis: Redis) -> None:
    """The first of them is the expert that the forecast names."""
    url = settings.redis_url.get_secret_value()
    noise = np.random.default_rng(3)
    with Client(url) as client:
        client.push_many([("a", float(20 + noise.normal()), 1_700_000_000_000 + 1000 * i) for i in range(60)])
        with forked_worker(url, settings.store, "--burst") as worker:
            worker.communicate()
    entry_id, fields = redis.xrevrange("forecasts", count=1)[0]
    outlook = OutlookReader(settings).read("a", entry_id.decode())
    assert fields[b"kind"].decode() == next(iter(outlook.weights))
    assert 1 == len(outlook.steps)
