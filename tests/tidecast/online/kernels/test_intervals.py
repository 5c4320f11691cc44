"""The adaptive interval."""

import math
from collections.abc import Sequence

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.oracles.tracker import Tracker
from tests.tidecast.online.harness import answers_to, outcome_of
from tidecast.arrays import Bools, Float
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.interval_widths import FIRST_ERRORS, FIRST_WIDENING, LEAST, RATE
from tidecast.settings import SeriesSettings
from tidecast.wire import Forecast, Forecasts


def test_nothing_is_known_before_the_first_error() -> None:
    """No interval is better than an invented one."""
    assert Tracker().known is None


def test_a_models_own_residuals_begin_its_interval() -> None:
    """The errors of another expert are not a guide to a new model's."""
    tracker = Tracker(errors=50, half_width=9.0, mean_error=4.0)
    tracker.begin(2.0)
    assert 2.0 == tracker.known
    tracker.update(1.0, 0.9)
    assert 1.9 < tracker.half_width < 2.0


def test_one_error_gives_a_cautious_interval() -> None:
    """Several times the only error known, narrowed once for the hit."""
    tracker = Tracker()
    tracker.update(-2.0, 0.9)
    assert FIRST_WIDENING * 2.0 * math.exp(-RATE * 0.1) == pytest.approx(tracker.known)


def test_a_miss_widens_and_a_hit_narrows() -> None:
    """Nine hits undo one miss, at 90 %, in any unit."""
    for unit in (1e-9, 1.0, 1e9):
        tracker = Tracker(100, 5.0 * unit, 1.0 * unit)
        tracker.update(6.0 * unit, 0.9)
        assert 5.0 * unit * math.exp(RATE * 0.9) == pytest.approx(tracker.half_width)
        for _ in range(9):
            assert tracker.half_width > 5.0 * unit
            tracker.update(0.1 * unit, 0.9)
        assert 5.0 * unit == pytest.approx(tracker.half_width)


def test_an_interval_never_falls_far_below_the_errors() -> None:
    """After any number of forecasts without error the next bad ones still find it within reach."""
    tracker = Tracker(100, 5.0, 1.0)
    for _ in range(200):
        tracker.update(0.0, 0.5)
    assert LEAST * tracker.mean_error == tracker.half_width > 0
    for _ in range(3000):
        tracker.update(0.0, 0.5, still=True)
    assert 1e-3 * LEAST < tracker.half_width


def test_a_reading_that_stands_still_unexpectedly_counts_fully() -> None:
    """Only errors below the mean are spared: one above it raises the mean as any other does."""
    still = Tracker(100, 5.0, 1.0)
    moving = Tracker(100, 5.0, 1.0)
    still.update(3.0, 0.9, still=True)
    moving.update(3.0, 0.9)
    assert still.mean_error == moving.mean_error > 1.0


def test_a_tracker_shows_the_numbers_that_it_lies_on() -> None:
    """The half-width that stands included, known or not."""
    for pending in (None, 1.25, 0.0):
        tracker = Tracker.on(Tracker(3, 1.5, 0.5, pending).numbers)
        assert (3, 1.5, 0.5, pending) == (tracker.errors, tracker.half_width, tracker.mean_error, tracker.pending)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["normal", "cauchy", "tenfold"])
def test_in_the_long_run_the_level_is_covered(level: float, kind: str) -> None:
    """Whatever the errors' distribution does, also when it changes midway."""
    rng = np.random.default_rng(7)
    errors = rng.standard_cauchy(6000).clip(-1000, 1000) if kind == "cauchy" else rng.normal(size=6000)
    if kind == "tenfold":
        errors[3000:] *= 10
    tracker = Tracker()
    covered = 0
    for error in errors.tolist():
        covered += abs(error) <= (tracker.known or 0.0)
        tracker.update(error, level)
    assert level == pytest.approx(covered / len(errors), abs=0.02)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(st.floats(-1e38, 1e38), max_size=50), st.floats(0.01, 0.99))
def test_the_half_width_is_never_negative_nor_infinite(errors: list[float], level: float) -> None:
    """Zeros, huge errors and any order of them."""
    tracker = Tracker()
    for error in errors:
        tracker.update(error, level)
        assert 0 <= tracker.half_width < 1e40
    assert len(errors) == tracker.errors


HOURS = np.arange(420)
SHAPES = {
    "noise": lambda rng: 50 + rng.normal(size=len(HOURS)),
    "wave": lambda rng: 50 + 10 * np.sin(2 * np.pi * HOURS / 24) + rng.normal(size=len(HOURS)),
    "walk": lambda rng: 100 + rng.normal(size=len(HOURS)).cumsum(),
    "counts": lambda rng: rng.poisson(3, len(HOURS)).astype(np.float64),
}
WIDE = SeriesSettings(more_levels=(0.5, 0.99), horizon=3)
SPIKE = 200  # the reading that is off
SOON = 20  # readings after it


def _shape(name: str) -> np.ndarray:
    return SHAPES[name](np.random.default_rng(3))


def _made(values: Sequence[float]) -> Forecasts:
    """Return the forecasts as columns: most tests look at few of them."""
    return outcome_of(Forecaster(WIDE), values).forecasts


def _covered(made: Forecasts, values: Float) -> Bools:
    """Return whether the interval of each forecast holds the next reading, `(readings - 1,)`."""
    lower, upper = (np.array(ends, float)[:-1] for ends in (made.yhat_lower, made.yhat_upper))
    covered: Bools = (lower <= values[1:]) & (values[1:] <= upper)
    return covered


def _widths(forecast: Forecast) -> np.ndarray:
    """Return the widths for the levels .9, .5 and .99, and for the second and the third step."""
    more = dict(forecast.more)
    ends = (("yhat_lower_50", "yhat_upper_50"), ("yhat_lower_99", "yhat_upper_99"))
    ends += (("yhat_2_lower", "yhat_2_upper"), ("yhat_3_lower", "yhat_3_upper"))
    return np.array([forecast.yhat_upper - forecast.yhat_lower, *(more[high] - more[low] for low, high in ends)])


@pytest.mark.parametrize("size", [10.0, 1e3, 1e6, 1e9, 1e12, -1e12])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_isolated_spike_of_any_size_is_soon_forgotten(shape: str, size: float) -> None:
    """Within 20 readings every interval is at most twice as wide as it was, and sees the next anomaly."""
    values = _shape(shape)
    values[SPIKE] += size * values.std()
    values[SPIKE + 3 * SOON] += 20 * values[:SPIKE].std()
    made = _made(values[: SPIKE + 3 * SOON + 1])
    assert (_widths(made[SPIKE + SOON]) <= 2 * _widths(made[SPIKE - 1])).all()
    assert made[SPIKE].anomaly_score > 1
    assert made[SPIKE + 3 * SOON].anomaly_score > 2


@pytest.mark.parametrize("second", [201, 206, 230])
@pytest.mark.parametrize("shape", SHAPES)
def test_two_spikes_widen_no_more_than_four_misses_do(shape: str, second: int) -> None:
    """One after the other, or a little later.

    While the last value answers after the shock, further steps do not see the wave, so they miss as often as it moves.
    """
    values = _shape(shape)
    most = [0.0] * 3 + [4 * values.std()] * 2
    values[[SPIKE, second]] += 1e9
    made = _made(values[: second + SOON + 1])
    assert (_widths(made[second + SOON]) <= np.maximum(most, math.exp(4 * RATE) * _widths(made[SPIKE - 1]))).all()


@pytest.mark.parametrize("at", [0, 1, 2, 5, 12, 30])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_spike_among_the_first_readings_is_forgotten_too(shape: str, at: int) -> None:
    """An interval that begins with a spike is at most as wide as a few misses make it, whatever the spike's size.

    Where the spike is one of the first two readings, the usual move is hardly known yet.
    """
    values = _shape(shape)[: at + SOON + 1]
    made = _made(values)
    several = range(at + SOON // 2, at + SOON)  # since the narrowest is so by chance
    clean = np.max([_widths(made[i]) for i in several], axis=0)
    for size in (1e3, 1e6, 1e12):
        spoiled = values.copy()
        spoiled[at] += size
        assert (_widths(_made(spoiled)[at + SOON]) <= (15 if at < 2 else 6) * clean).all()


@pytest.mark.parametrize("at", [0, 1, 2, 5, 12, 30, SPIKE])
def test_a_spike_of_a_series_that_never_moves_leaves_no_width(at: int) -> None:
    """At a level of 99 % too. The next move is an anomaly again.

    Forecasts of further steps are off by some millionths of the spike, and their intervals are as wide as these errors.
    """
    values = np.full(len(HOURS), 5.0)
    values[at], values[-1] = 1e6, 6.0
    made = _made(values)
    widths = _widths(made[at + SOON])
    assert [0.0] * 3 == widths[:3].tolist()
    assert (widths < 2e-5 * values[at]).all()
    assert made[-1].anomaly_score > 1


def test_a_series_that_begins_to_move_gets_a_width() -> None:
    """After any number of readings without an error."""
    values = np.concatenate([np.full(300, 5.0), 5 + np.random.default_rng(5).normal(size=100)])
    made = _made(values)
    assert 0 == made[299].yhat_upper - made[299].yhat_lower
    assert 1 < made[-1].yhat_upper - made[-1].yhat_lower < 10


@pytest.mark.parametrize("zeros", [0.8, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_intervals_of_sparse_demand_cover(zeros: float, seed: int) -> None:
    """Whatever its first readings are: most errors of such a series are 0, and the first of the others may be tiny."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(600) < zeros, 0.0, 1.0 + rng.poisson(5, 600))
    assert np.mean(_covered(_made(values), values)[100:]) > 0.85


@pytest.mark.parametrize("pause", [500, 3000, 10_000])
def test_the_interval_recovers_soon_after_a_pause(pause: int) -> None:
    """A machine that was off for a week of minutes is covered again after some twenty-five to forty misses."""
    values = 5 + np.random.default_rng(6).normal(size=600 + pause)
    values[300 : 300 + pause] = 0.0
    made = _made(values)
    at = 300 + pause
    assert np.mean(_covered(made, values)[at + 49 : at + 99]) > 0.7
    assert 2 < made[at + 100].yhat_upper - made[at + 100].yhat_lower < 8


@pytest.mark.parametrize("levels", [(), (0.99,)])
def test_intervals_of_the_largest_values_are_finite(levels: tuple[float, ...]) -> None:
    """Also those of further steps, whose numbers are stored in single precision."""
    values = np.where(np.arange(60) % 7 < 3, 3.4e38, -3.4e38) * np.random.default_rng(7).uniform(0.5, 1, 60)
    for forecast in answers_to(Forecaster(SeriesSettings(more_levels=levels, horizon=4, rows_kept=2)), values):
        assert np.isfinite([number for name, number in forecast.more]).all()


def test_errors_that_stay_large_widen_the_interval() -> None:
    """Only the number of misses separates a spike from a change: 25 of them make a hundredfold."""
    values = _shape("noise")
    values[SPIKE:] = 50 + 100 * (values[SPIKE:] - 50)
    made = _made(values[: SPIKE + 81])
    assert (_widths(made[SPIKE + 80]) > 30 * _widths(made[SPIKE - 1])).all()


def test_a_models_own_half_width_is_not_limited_by_its_first_errors() -> None:
    """It rests on the errors of a whole tail."""
    tracker = Tracker()
    tracker.begin(2.0)
    assert FIRST_ERRORS == tracker.errors
    for _ in range(FIRST_ERRORS):
        tracker.update(1e-6, 0.9)
    assert 2.0 * math.exp(-RATE * 0.1 * FIRST_ERRORS) == pytest.approx(tracker.half_width)
