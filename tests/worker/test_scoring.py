"""Scores and the adaptive interval."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tidecast import experts
from tidecast.experts import EXPERTS, HALF_LIVES, NAIVE
from tidecast.windows import Float
from worker.memory import address_of
from worker.scoring import (
    ANSWERS,
    ERRORS,
    FIRST_WIDENING,
    LEAST,
    RATE,
    STANDING,
    TRACKERS,
    Champions,
    Scores,
    Tracker,
    new_record,
    settle,
)

COUNT = len(EXPERTS)
none = st.just(float("nan"))
answer = st.floats(-1e6, 1e6) | none | st.sampled_from([0.0, 1e38, -1e38, float("inf")])
error = st.floats(0, 1e6) | none | st.sampled_from([0.0, 1e-300, 1e38])
answers_ = arrays(np.float64, COUNT, elements=answer)


@st.composite
def records(draw: st.DrawFn) -> Float:
    """Errors as they come about: known in all records or in none."""
    found = draw(arrays(np.float64, (len(HALF_LIVES), COUNT), elements=error))
    found[:, np.isnan(found).any(axis=0)] = np.nan
    return found


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


def told(record: Float, y: float, answers: Float, ts: int = 1, **champion: float) -> Scores:
    """Settle one reading of a record with one level, of a series without a model unless one is described."""
    errors = np.full((len(HALF_LIVES), COUNT), 7.0)
    number = {"version": 0, "half_width": 0.0, "trained_until": 0} | champion
    champions = Champions(
        np.array([number["version"]], np.int64),
        np.array([address_of(errors)]),
        np.array([number["half_width"]]),
        np.array([number["trained_until"]], np.int64),
    )
    everywhere = (-math.inf, math.inf)
    at = np.array([address_of(record)])
    return settle(at, np.array([ts]), np.array([y]), answers[None], champions, np.array([0.9]), everywhere)


@pytest.mark.parametrize(
    ("error", "half_width", "score"),
    [(-3.0, 2.0, 1.5), (2.0, 2.0, 1.0), (0.0, 2.0, 0.0), (1.0, None, None), (1.0, 0.0, None)],
)
def test_an_anomaly_lies_outside_its_interval(error: float, half_width: float | None, score: float | None) -> None:
    """Above 1 is outside; without an interval there is no score."""
    record = new_record(1)
    record[STANDING], record[TRACKERS] = 10.0, math.nan if half_width is None else half_width
    found = told(record, 10.0 + error, np.ones(COUNT))
    assert error == found.error[0]
    np.testing.assert_equal(math.nan if score is None else score, found.score[0])


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(records(), answers_)
def test_shares_and_forecast_are_those_of_the_definition(errors: Float, answers: Float) -> None:
    """Whatever is unknown, perfect, hopeless or equal."""
    hypothesis.assume(np.isfinite(answers[NAIVE]))
    answers = np.where(np.isfinite(answers), answers, np.nan)
    record = new_record(1)
    record[ERRORS:TRACKERS] = errors.ravel()
    found = told(record, 0.0, answers)  # no answer stands, so nothing is learned
    expected = experts.shares(errors, answers)
    np.testing.assert_allclose(found.says[0], expected, rtol=1e-9, atol=1e-300)
    assert found.leader[0] == found.says[0].argmax()
    scale = np.abs(answers[expected > 0]).max()
    assert abs(experts.blend(expected, answers) - found.yhat[0]) <= 1e-12 * scale
    np.testing.assert_array_equal(answers, record[ANSWERS:ERRORS])


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(records(), answers_, st.floats(-1e6, 1e6))
def test_a_record_learns_as_the_definition_says(errors: Float, answers: Float, actual: float) -> None:
    """In place, bit for bit."""
    record = new_record(1)
    record[ANSWERS:ERRORS], record[ERRORS:TRACKERS] = answers, errors.ravel()
    told(record, actual, np.zeros(COUNT))
    np.testing.assert_array_equal(experts.learn(errors, answers, actual).ravel(), record[ERRORS:TRACKERS])


def test_a_model_that_answers_for_the_first_time_begins_with_its_own_errors() -> None:
    """And learns from readings that it was not trained on only."""
    record, answers = new_record(1), np.arange(COUNT, dtype=np.float64)
    told(record, 1.0, answers)
    found = told(record, 2.0, answers, ts=5, version=3, half_width=4.0, trained_until=9)
    assert (1, 4.0, {7.0}) == (found.begun[0], found.half_widths[0, 0], set(record[ERRORS:TRACKERS]))
    found = told(record, 3.0, answers, ts=9, version=3, half_width=4.0, trained_until=9)
    assert (0, {7.0}) == (found.begun[0], set(record[ERRORS:TRACKERS]))
    told(record, 3.0, answers, ts=10, version=3, half_width=4.0, trained_until=9)
    assert {7.0} != set(record[ERRORS:TRACKERS])


def test_a_forecast_stays_within_its_bounds() -> None:
    """What stands is what was said."""
    record, one = new_record(1), np.zeros(1, np.int64)
    champions = Champions(one, one, np.zeros(1), one)
    at, levels = np.array([address_of(record)]), np.array([0.9])
    found = settle(at, one, np.zeros(1), np.full((1, COUNT), 5.0), champions, levels, (0.0, 3.0))
    assert (3.0, 3.0) == (found.yhat[0], record[STANDING])
