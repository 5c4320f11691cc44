"""The adaptive interval."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from worker.intervals import Tracker
from worker.scoring import FIRST_WIDENING, LEAST, RATE


def test_nothing_is_known_before_the_first_error() -> None:
    """No interval is better than an invented one."""
    assert Tracker().known is None


def test_a_models_own_residuals_begin_its_interval() -> None:
    """What was seen of another expert's errors is no guide to a new model's."""
    tracker = Tracker(errors=50, half_width=9.0, mean_error=4.0)
    tracker.begin(2.0)
    assert 2.0 == tracker.known
    tracker.settle(1.0, 0.9)
    assert 1.9 < tracker.half_width < 2.0


def test_one_error_gives_a_cautious_interval() -> None:
    """Several times the only error known, narrowed once for the hit."""
    tracker = Tracker()
    tracker.settle(-2.0, 0.9)
    assert FIRST_WIDENING * 2.0 * math.exp(-RATE * 0.1) == pytest.approx(tracker.known)


def test_a_miss_widens_and_a_hit_narrows() -> None:
    """Nine hits undo what one miss did, at 90 %, in any unit."""
    for unit in (1e-9, 1.0, 1e9):
        tracker = Tracker(100, 5.0 * unit, 1.0 * unit)
        tracker.settle(6.0 * unit, 0.9)
        assert 5.0 * unit * math.exp(RATE * 0.9) == pytest.approx(tracker.half_width)
        for _ in range(9):
            assert tracker.half_width > 5.0 * unit
            tracker.settle(0.1 * unit, 0.9)
        assert 5.0 * unit == pytest.approx(tracker.half_width)


def test_an_interval_never_falls_far_below_the_errors() -> None:
    """After any number of forecasts without error the next bad ones still find it within reach."""
    tracker = Tracker(100, 5.0, 1.0)
    for _ in range(200):
        tracker.settle(0.0, 0.5)
    assert LEAST * tracker.mean_error == tracker.half_width > 0


def test_a_tracker_shows_the_numbers_that_it_lies_on() -> None:
    """The half-width that stands included, known or not."""
    for standing in (None, 1.25, 0.0):
        tracker = Tracker.on(Tracker(3, 1.5, 0.5, standing).numbers)
        assert (3, 1.5, 0.5, standing) == (tracker.errors, tracker.half_width, tracker.mean_error, tracker.standing)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["normal", "cauchy", "tenfold"])
def test_in_the_long_run_the_level_is_covered(level: float, kind: str) -> None:
    """Whatever the errors' distribution does, also when it changes midway."""
    rng = np.random.default_rng(7)
    errors = rng.standard_cauchy(6000).clip(-1000, 1000) if kind == "cauchy" else rng.normal(size=6000)
    if kind == "tenfold":
        errors[3000:] *= 10
    tracker, covered = Tracker(), 0
    for error in errors.tolist():
        covered += abs(error) <= (tracker.known or 0.0)
        tracker.settle(error, level)
    assert level == pytest.approx(covered / len(errors), abs=0.02)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(st.floats(-1e38, 1e38), max_size=50), st.floats(0.01, 0.99))
def test_the_half_width_is_never_negative_nor_infinite(errors: list[float], level: float) -> None:
    """Zeros, huge errors and any order of them."""
    tracker = Tracker()
    for error in errors:
        tracker.settle(error, level)
        assert 0 <= tracker.half_width < 1e40
    assert len(errors) == tracker.errors
