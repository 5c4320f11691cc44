"""The forecaster reports each drift once, with its series, its kind and its time."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from tests.harness.models import make_model, random_panel
from tests.harness.states import all_whole
from tests.tidecast.online.harness import noise
from tidecast.arrays import Float
from tidecast.models.experts import LSTM
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.time_grid import Grid
from tidecast.online.batch import Entry
from tidecast.online.drift import KINDS, Drift
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.detection.drift_sums import (
    ERRORS_ROSE,
    LEVEL_MOVED,
    MODEL_DEGRADED,
    NOTHING,
    SEASON_CHANGED,
)
from tidecast.settings import SeriesSettings
from trainer.fit.linear import fit_panel

NOW_MS = 1_700_000_000_000
FIRST = 1_600_000_000  # the second of a first reading


def fitted(series: str, past: Float, step_ms: int, first: int = 1) -> Model:
    """Return a model without a network: the linear experts, fitted to a series' past from step `first` on."""
    whole = np.zeros(len(past), np.int64)
    grid = Grid(step_ms * np.arange(1, len(past) + 1), past[:, None], whole, whole.astype(np.bool_))
    panel = fit_panel(grid, (24,), len(past))
    panel.errors[:, :LSTM][:, np.r_[True, panel.needs > 0]] = 1.0
    return make_model(
        series,
        panel=panel,
        step_ms=step_ms,
        network=False,
        seasons=(24,),
        span=(step_ms * first, step_ms * (first + len(past) - 1)),
    )


@cache
def weather(seed: int) -> Float:
    """1,500 made-up hours: a day of two waves whose height wanders, a level that wanders and comes back, and noise."""
    rng = np.random.default_rng(seed)
    hour = np.arange(1500)
    wander = np.zeros((2, 1500))
    for i in range(1, 1500):
        wander[:, i] = 0.98 * wander[:, i - 1] + rng.normal(size=2) * [0.2, 0.02]
    day = 5 * np.sin(2 * np.pi * hour / 24) + 2 * np.sin(4 * np.pi * hour / 24 + 1)
    return 20 + day * (1 + wander[1]) + wander[0] + 0.4 * rng.normal(size=1500)


@cache
def model_of_weather(seed: int) -> Model:
    """Return a model that has learned from the first 800 hours."""
    return fitted(f"s{seed}", weather(seed)[:800], 1000, FIRST)


SPLICES: dict[str, Callable[[Float], Float]] = {  # the part after the reading 1,100
    "level": lambda y: np.r_[y[:1100], y[1100:] + 10],
    "phase": lambda y: np.r_[y[:1100], y[1112:]],
    "flat": lambda y: np.r_[y[:1100], y[1100:] - y[1076 - 24 * 40 : 1076].reshape(40, 24).mean(0)[np.arange(400) % 24]],
}


@pytest.mark.parametrize("splice", [*SPLICES, "unchanged"])
def test_spliced_changes_are_told_by_the_worker_within_a_hundred_readings(splice: str) -> None:
    """On nine of ten made-up series, by the errors of experts fitted before; unchanged ones stay all but silent."""
    forecaster = Forecaster(SeriesSettings())
    alarms_of = dict[str, list[int]]()
    for seed in range(20):
        series = f"s{seed}"
        y = weather(seed)
        forecaster.set_model(series, 1, model_of_weather(seed))
        made = entries(SPLICES[splice](y) if splice in SPLICES else y, FIRST - 1, series)[600:]
        drifts = [
            drift for i in range(0, len(made), 300) for drift in forecaster.handle(made[i : i + 300], NOW_MS).drifts
        ]
        alarms_of[series] = [drift.ts // 1000 - FIRST for drift in drifts]
    early = [at for alarms in alarms_of.values() for at in alarms if splice == "unchanged" or at < 1100]
    assert len(early) <= 20 * (700 if splice == "unchanged" else 300) / 5000
    if splice != "unchanged":
        assert sum(any(1100 <= at < 1200 for at in alarms) for alarms in alarms_of.values()) >= 18


def entries(values: Float, start: int = 0, series: str = "a") -> list[Entry]:
    """Return readings of one series, a second apart."""
    name = series.encode()
    return [
        (f"{1000 * n}-0", {b"series": name, b"ts": b"%d" % (1000 * n), b"value": repr(float(value)).encode()})
        for n, value in enumerate(values, start + 1)
    ]


def jump() -> Float:
    """Return a series whose level moves after 300 readings."""
    return noise(500) + 30 * (np.arange(500) >= 300)


def test_the_forecaster_tells_of_a_drift_once() -> None:
    """With the series, the time of the reading and the kind, and not again within a hundred readings."""
    forecaster = Forecaster(SeriesSettings())
    made = entries(jump())
    drifts = [drift for i in range(0, 500, 50) for drift in forecaster.handle(made[i : i + 50], NOW_MS).drifts]
    (drift,) = drifts
    assert isinstance(drift, Drift)
    assert ("a", "level", True, True) == (drift.series, drift.kind, 300_000 < drift.ts < 316_000, drift.statistic >= 1)
    assert f"{drift.ts}-0" == drift.id


def test_the_kinds_are_named_by_their_numbers() -> None:
    """A number without a name would stop a batch."""
    named = {"errors": ERRORS_ROSE, "level": LEVEL_MOVED, "season": SEASON_CHANGED, "model_degraded": MODEL_DEGRADED}
    assert named == {kind: number for number, kind in enumerate(KINDS)}
    assert NOTHING == len(KINDS)


def test_the_distance_is_that_from_what_stood_before_the_reading() -> None:
    """A season that repeats itself to the last bit, and the answers that stand are those about the next reading."""
    forecaster = Forecaster(SeriesSettings())
    y = np.tile(np.arange(24.0), 10)
    forecaster.set_model("a", 1, fitted("a", weather(0)[:800], 1000))
    forecaster.handle(entries(y, 800), NOW_MS)
    drift = forecaster.states["a"].fields.drift
    assert (True, 0.0) == (drift.pairs > 100, drift.shift)


def test_readings_behind_a_gap_are_not_looked_at() -> None:
    """An error over a gap is not an error of one step."""
    forecaster = Forecaster(SeriesSettings())
    forecaster.handle(entries(noise(100)), NOW_MS)
    drift = forecaster.states["a"].fields.drift
    before = drift.item()
    forecaster.handle(entries(noise(1), 102), NOW_MS)
    assert before == drift.item()
    forecaster.handle(entries(noise(1), 103), NOW_MS)
    assert before[0] + 1 == drift.seen


def test_a_restart_moves_no_alarm() -> None:
    """A worker that was restored after every batch has the same alarms, and stores the same bytes."""
    settings = SeriesSettings()
    made = entries(jump())
    steady = Forecaster(settings)
    stored = dict[str, bytes]()
    for i in range(0, 500, 50):
        restarted = Forecaster(settings)
        restarted.restore(stored)
        uninterrupted, resumed = (each.handle(made[i : i + 50], NOW_MS) for each in (steady, restarted))
        assert uninterrupted.drifts == resumed.drifts
        stored |= resumed.states
        assert all_whole(stored) == all_whole({**stored, **uninterrupted.states})


def test_a_new_version_begins_a_record_of_its_own() -> None:
    """The usual errors of another model are not a measure for it."""
    forecaster = Forecaster(SeriesSettings())
    forecaster.handle(entries(noise(100)), NOW_MS)
    assert any(forecaster.states["a"].fields.drift.item())
    forecaster.set_model("a", 1, make_model("a", Spec(window=4, units=3), panel=random_panel(2), span=(0, 0)))
    forecaster.handle(entries(noise(1), 100), NOW_MS)
    assert {0.0} == set(forecaster.states["a"].fields.drift.item())


def test_a_new_version_soon_after_a_change_goes_on_forgetting_quickly() -> None:
    """Its experts too read rows from before the change."""
    forecaster = Forecaster(SeriesSettings())
    forecaster.handle(entries(jump()[:400]), NOW_MS)
    forecaster.set_model("a", 1, make_model("a", Spec(window=4, units=3), panel=random_panel(2), span=(0, 0)))
    forecaster.handle(entries(noise(1), 400), NOW_MS)
    drift = forecaster.states["a"].fields.drift
    assert (True, 0.0, 0.0) == (drift.quiet > 0, drift.seen, drift.error)


def test_readings_that_a_model_has_learned_from_are_not_looked_at() -> None:
    """Their errors are smaller than those to come."""
    forecaster = Forecaster(SeriesSettings())
    forecaster.set_model("a", 1, make_model("a", Spec(window=4, units=3), panel=random_panel(2), span=(0, 100_000)))
    forecaster.handle(entries(noise(100)), NOW_MS)
    assert not any(forecaster.states["a"].fields.drift.item())
    forecaster.handle(entries(noise(1), 100), NOW_MS)
    assert any(forecaster.states["a"].fields.drift.item())


def test_set_points_and_random_walks_hardly_ever_change_their_level() -> None:
    """Set points change as far as usual, and random walks have no level; a rare step of a sensor is an event."""
    rng = np.random.default_rng(5)
    sensor = rng.normal(size=1000)
    sensor[800:] += 8
    made = {
        "set point": np.repeat(rng.integers(20, 25, 20), 120).astype(np.float64),
        "walk": np.cumsum(rng.standard_t(4, 2400)),
        "sensor": sensor,
    }
    levels = {series: [at for at, kind in drifts_of(y) if kind == "level"] for series, y in made.items()}
    assert len(levels["set point"]) <= 2
    assert levels["walk"] == []
    assert [800 < at < 815 for at in levels["sensor"]] == [True]


def test_the_reset_of_a_counter_is_no_change_of_level() -> None:
    """A count that begins again at 0 every few hundred readings has no level; a sensor that falls as far has one."""
    rng = np.random.default_rng(5)
    count = np.concatenate([np.cumsum(rng.poisson(3, 400)) for _ in range(4)]).astype(np.float64)
    sensor = np.where(np.arange(600) < 400, 1000, 0) + rng.normal(size=600)
    assert [kind for _, kind in drifts_of(count) if kind == "level"] == []
    assert [400 < at < 410 for at, kind in drifts_of(sensor) if kind == "level"] == [True]


@pytest.mark.parametrize("move", [1, -1])
def test_the_first_move_of_a_series_that_stood_still_is_a_change_of_level(move: int) -> None:
    """A single change upwards does not make a counter."""
    y = np.where(np.arange(500) < 400, 20.0, 20.0 + move)
    assert [400 < at < 480 for at, kind in drifts_of(y) if kind == "level"] == [True]


def test_a_set_point_is_an_anomaly_only_outside_of_the_values_at_which_it_has_stood() -> None:
    """A jump by hand to another known value is the usual use of a set point."""
    made = entries(np.repeat([20.0, 24, 21, 23, 20, 22, 24, 20, 30, 20, 30], 240))
    forecaster = Forecaster(SeriesSettings())
    results = [forecaster.handle(made[i : i + 300], NOW_MS) for i in range(0, len(made), 300)]
    begins = [event.facts["value"] for r in results for event in r.events if event.facts.get("phase") == "begins"]
    assert [30.0] == [value for value in begins if value not in (20.0, 24.0)]
    assert 2 >= len(begins) - 1  # the first jumps


def test_a_slowly_wearing_bearing_changes_its_level_slowly() -> None:
    """Six spreads within a thousand readings; the event has the level before and the one so far."""
    forecaster = Forecaster(SeriesSettings())
    made = entries(30 + noise(3500, 3) + 6 * np.clip((np.arange(3500) - 2500) / 1000, 0, 1))
    results = [forecaster.handle(made[i : i + 300], NOW_MS) for i in range(0, len(made), 300)]
    first, *_ = (event for r in results for event in r.events if event.kind == "level_changed")
    assert (True, True) == (first.detail.startswith("slowly from "), 2500 < int(first.facts["ts"]) // 1000 < 3300)
    assert (True, "slow") == (
        29.5 < float(first.facts["old"]) < 30.5 < float(first.facts["new"]) < 36,
        first.facts["pace"],
    )


def drifts_of(y: Float) -> list[tuple[int, str]]:
    """Return the readings at which a worker without a model detects a change, and its kind."""
    forecaster = Forecaster(SeriesSettings())
    made = entries(y)
    results = [forecaster.handle(made[i : i + 300], NOW_MS) for i in range(0, len(made), 300)]
    return [(drift.ts // 1000 - 1, drift.kind) for result in results for drift in result.drifts]
