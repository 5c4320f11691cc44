"""The conditions of series that behave as machines do: counters, valves, shifts, sensors with a measuring range."""

import numpy as np
import pytest

from tidecast.arrays import Bools, Float
from tidecast.online.batch import BatchResult
from tidecast.online.forecaster import Forecaster
from tidecast.settings import SeriesSettings

BEGIN_MS = 1_699_941_600_000  # six o'clock
MINUTE_MS = 60_000
DAY = 1440  # minutes


def results_of(values: Float) -> list[BatchResult]:
    """Return the results of readings, one a minute."""
    forecaster = Forecaster(SeriesSettings())
    times = range(BEGIN_MS, BEGIN_MS + len(values) * MINUTE_MS, MINUTE_MS)
    entries = [
        (f"{ts}-0", {b"series": b"a", b"ts": b"%d" % ts, b"value": repr(y).encode()})
        for ts, y in zip(times, values.tolist(), strict=True)
    ]
    batches = [entries[i : i + 500] for i in range(0, len(entries), 500)]
    return [forecaster.handle(batch, int(batch[-1][1][b"ts"])) for batch in batches]


def reported(values: Float, *kinds: str) -> list[tuple[str, int]]:
    """Return the events of some kinds, each with its kind and its minute."""
    return [
        (event.kind, (int(event.facts["ts"]) - BEGIN_MS) // MINUTE_MS)
        for result in results_of(values)
        for event in result.events
        if event.kind in kinds
    ]


def by_shifts(days: int) -> Bools:
    """Return whether a machine runs, `(minutes,)`: for 16 hours of each day."""
    running: Bools = np.arange(days * DAY) % DAY < 960
    return running


def parts(days: int) -> Float:
    """Return the parts that a machine has made so far."""
    made = np.random.default_rng(0).poisson(7, days * DAY) * by_shifts(days)
    total: Float = np.cumsum(made).astype(np.float64)
    return total


def meter(minutes: int) -> Float:
    """Return the readings of a meter that never rests."""
    used: Float = 500 + np.cumsum(np.random.default_rng(0).uniform(3, 5, minutes))
    return used


def test_a_counter_has_no_season() -> None:
    """Each day lies above the one before, so every midnight, where the profile begins again, looked like a drift."""
    assert not [minute for _, minute in reported(meter(5 * DAY), "drift") if minute > DAY]


def test_the_event_of_a_drift_says_what_has_changed() -> None:
    """In words, not by the name of a sum."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=1000) * np.where(np.arange(1000) < 700, 1, 12)
    events = [event for result in results_of(y) for event in result.events if event.kind == "drift"]
    assert [True] == [event.detail.startswith("the forecasts err more than before: 1.") for event in events[:1]]


def test_the_forecasts_of_a_counter_do_not_turn_back() -> None:
    """They did at midnight; a machine that rests then had an anomaly each night."""
    made = parts(5)
    forecasts = [forecast for result in results_of(made) for forecast in result.forecasts]
    later = [forecast for forecast in forecasts if forecast.origin >= BEGIN_MS + DAY * MINUTE_MS]
    assert all(forecast.yhat >= forecast.y for forecast in later)
    assert not [minute for _, minute in reported(made, "anomaly") if minute % DAY > 960 and minute >= DAY]


def test_a_counter_that_begins_at_rest_is_one_from_its_first_parts_on() -> None:
    """Its share of rises was that of the readings at first, so it took thousands of parts."""
    made = np.r_[np.zeros(300), parts(5)]
    forecasts = [forecast for result in results_of(made) for forecast in result.forecasts]
    assert all(forecast.yhat >= forecast.y for forecast in forecasts[400:])


def test_a_counter_that_stops_is_stuck() -> None:
    """It is known after two thousand readings; from then on a stop is reported as that of any other value."""
    used = meter(2600)
    used[2500:2550] = used[2500]
    used[2550:] -= used[2550] - used[2500] - 4
    assert [("stuck", 2506), ("unstuck", 2550)] == reported(used, "stuck", "unstuck")


def test_a_counter_that_rests_every_night_is_not_stuck() -> None:
    """Its first nights are over before it is watched."""
    assert [] == reported(parts(5), "stuck")


def test_a_value_at_the_end_of_its_usual_range_is_not_stuck() -> None:
    """A valve stays closed or open, and humid air stays at 100 %, for longer than ever before."""
    rng = np.random.default_rng(0)
    wide = np.round(70 + 25 * np.sin(np.arange(3000) / 40) + rng.normal(size=3000), 1)
    wide[2000:2400] = 200
    assert [] == reported(np.minimum(wide, 90), "stuck")


def test_a_sensor_that_goes_to_its_limit_is_stuck_each_time() -> None:
    """A value that was stuck does not become part of the usual range."""
    y = np.round(70 + np.random.default_rng(0).normal(size=1500), 3)
    y[600:700] = y[1000:1100] = 120
    assert [600, 1000] == [minute // 100 * 100 for _, minute in reported(y, "stuck")]


def test_a_machine_that_runs_by_shifts_changes_its_level_as_usual() -> None:
    """The first changes are reported. The machine then ran for longer than it took to forget them."""
    y = np.where(by_shifts(8), 22, 2) + 0.3 * np.random.default_rng(0).normal(size=8 * DAY)
    assert 3 >= len(reported(y, "level_changed"))


def frozen(values: Float, first: int, stop: int) -> Float:
    """Return the readings of a sensor that freezes, but for a twentieth of its noise."""
    times = np.arange(len(values))
    calm: Float = np.where((times >= first) & (times < stop), values[first] + 0.05 * (values - values[first]), values)
    return calm


def test_a_sensor_that_freezes_but_for_its_noise_is_stuck_until_it_moves_again() -> None:
    """However long that takes: what is usual is not learned from a frozen value."""
    y = frozen(np.random.default_rng(0).normal(50, 1, 7 * DAY), 3 * DAY, 6 * DAY)
    events = [event for result in results_of(y) for event in result.events if event.kind in ("stuck", "unstuck")]
    minutes = [(int(event.facts["ts"]) - BEGIN_MS) // MINUTE_MS for event in events]
    assert ["stuck", "unstuck"] == [event.kind for event in events]
    assert 3 * DAY < minutes[0] < 3 * DAY + 60
    assert 6 * DAY <= minutes[1] < 6 * DAY + 10
    assert [minutes[0] - 3 * DAY, 3 * DAY] == pytest.approx(
        [float(e.facts["duration_ms"]) / MINUTE_MS for e in events], abs=10
    )
    assert "has not changed by more than 0.5" in events[0].detail


def test_a_machine_that_rests_each_night_with_a_little_noise_is_not_stuck() -> None:
    """Its first nights are over before it is watched."""
    noise = np.random.default_rng(0).normal(size=8 * DAY)
    assert not reported(np.where(by_shifts(8), 30 + 3 * noise, 0.5 + 0.02 * noise), "stuck")


@pytest.mark.parametrize("seed", [0, 5])
def test_a_level_that_two_rules_have_seen_change_is_reported_once(seed: int) -> None:
    """The watch and the test of drift wait for different numbers of readings, and the slow mean moves meanwhile."""
    y = np.random.default_rng(seed).normal(size=1800)
    for i in range(1, len(y)):
        y[i] += 0.7 * y[i - 1]
    assert 1 == len(reported(50 + y + 5 * (np.arange(len(y)) >= 1500), "level_changed"))
