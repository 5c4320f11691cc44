"""Scores, records that learn, and the blend."""

import math
from dataclasses import astuple

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.harness.oracles import OutlierGuard, blend, farthest, learn, shares
from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS, HALF_LIVES, NAIVE
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.scoring import (
    ALERTED,
    ANSWERS,
    BLENDED,
    DRIFT,
    ERRORS,
    GUARD,
    HALF,
    HEARD,
    MOST_SCORE,
    STANDING,
    TRACKERS,
    BatchScores,
    Champions,
    Readings,
    new_record,
    settle,
)
from tidecast.online.outlier_guard import ALERT, REGRET_MOST

COUNT = len(EXPERTS)
none = st.just(float("nan"))
answer = st.floats(-1e6, 1e6) | none | st.sampled_from([0.0, 1e38, -1e38, float("inf")])
error = st.floats(0, 1e6) | none | st.sampled_from([0.0, 1e-300, 1e38])
answers_ = arrays(np.float64, COUNT, elements=answer)


@st.composite
def records(draw: st.DrawFn) -> Float:
    """Errors as they come about: known in all records or in none."""
    record = draw(arrays(np.float64, (len(HALF_LIVES), COUNT), elements=error))
    record[:, np.isnan(record).any(axis=0)] = np.nan
    return record


@st.composite
def guards(draw: st.DrawFn) -> OutlierGuard:
    """Any that readings can lead to, many of them at a threshold."""
    alert = draw(st.sampled_from([0.0, 1.0, ALERT]) | st.integers(0, int(ALERT)))
    return OutlierGuard(float(alert), draw(st.floats(0, REGRET_MOST)))


usual_moves = st.floats(0, 1e6) | st.sampled_from([0.0, 1e-300, 1.0, 1e300])


def told(
    record: Float, y: float, answers: Float, ts: int = 1, *, doubted: int = 0, usual: float = 0.0, **champion: float
) -> BatchScores:
    """Settle one reading of a record with one level, of a series without a model unless one is described."""
    errors = np.full((len(HALF_LIVES), COUNT), 7.0)
    number = {"version": 0, "half_width": 0.0, "trained_until": 0} | champion
    champions = Champions(
        np.array([number["version"]], np.int64),
        np.array([address_of(errors)]),
        np.array([number["half_width"]]),
        np.array([number["trained_until"]], np.int64),
    )
    none_skipped = np.zeros(1, np.int64)
    reading = Readings(np.array([ts]), np.array([y]), none_skipped, np.array([doubted]), np.array([usual]))
    at = np.array([address_of(record)])
    everywhere = (-math.inf, math.inf)
    return settle(at, reading, answers[None], champions, np.array([0.9]), everywhere)


@pytest.mark.parametrize(
    ("error", "half_width", "score"),
    [(-3.0, 2.0, 1.5), (2.0, 2.0, 1.0), (0.0, 2.0, 0.0), (1.0, None, None), (1.0, 0.0, MOST_SCORE)],
)
def test_an_anomaly_lies_outside_its_interval(error: float, half_width: float | None, score: float | None) -> None:
    """Above 1 is outside; without an interval the score is absent, and without width it is the largest."""
    record = new_record(1)
    record[STANDING], record[TRACKERS] = 10.0, math.nan if half_width is None else half_width
    settled = told(record, 10.0 + error, np.ones(COUNT))
    assert error == settled.error[0]
    np.testing.assert_equal(math.nan if score is None else score, settled.score[0])


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(records(), answers_)
def test_shares_and_forecast_are_those_of_the_definition(errors: Float, answers: Float) -> None:
    """Whatever is unknown, perfect, hopeless or equal."""
    hypothesis.assume(np.isfinite(answers[NAIVE]))
    answers = np.where(np.isfinite(answers), answers, np.nan)
    record = new_record(1)
    record[ERRORS:GUARD] = errors.ravel()
    settled = told(record, 0.0, answers)  # no answer stands, so the record does not learn
    expected = shares(errors, answers)
    np.testing.assert_allclose(settled.weights[0], expected, rtol=1e-9, atol=1e-300)
    assert settled.leader[0] == settled.weights[0].argmax()
    scale = np.abs(answers[expected > 0]).max()
    assert abs(blend(expected, answers) - settled.yhat[0]) <= 1e-12 * scale
    np.testing.assert_array_equal(answers, record[ANSWERS:ERRORS])


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(records(), answers_, st.floats(-1e6, 1e6), usual_moves)
def test_a_record_learns_as_the_definition_says(errors: Float, answers: Float, actual: float, usual: float) -> None:
    """In place, bit for bit."""
    record = new_record(1)
    record[ANSWERS:ERRORS], record[ERRORS:GUARD] = answers, errors.ravel()
    told(record, actual, np.zeros(COUNT), usual=usual)
    learned = learn(errors, answers, actual, farthest(usual)).ravel()
    np.testing.assert_array_equal(learned, record[ERRORS:GUARD])


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(guards(), answers_, answer, st.floats(-1e6, 1e6), st.integers(0, 9), usual_moves)
def test_a_guard_learns_as_the_definition_says(
    guard: OutlierGuard, answers: Float, blended: float, actual: float, trained_until: int, usual: float
) -> None:
    """In place, bit for bit; readings that a model was trained on do not judge its blend."""
    record = new_record(1)
    record[HEARD], record[ANSWERS:ERRORS], record[GUARD + BLENDED] = 3, answers, blended
    record[GUARD + ALERTED : DRIFT] = astuple(guard)
    told(record, actual, np.zeros(COUNT), ts=5, version=3, trained_until=trained_until, usual=usual)
    judged = blended if trained_until < 5 else math.nan
    expected = guard.learn(float(answers[NAIVE]), judged, actual, usual)
    assert [*astuple(expected)] == record[GUARD + ALERTED : DRIFT].tolist()


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(guards(), records(), arrays(np.float64, COUNT, elements=st.floats(-1e6, 1e6)), usual_moves)
def test_only_what_is_believed_is_answered(guard: OutlierGuard, errors: Float, answers: Float, usual: float) -> None:
    """The answer equals the definition's, and the shares are those of the forecast."""
    record = new_record(1)
    record[ERRORS:GUARD], record[GUARD + ALERTED : DRIFT] = errors.ravel(), astuple(guard)
    settled = told(record, 0.0, answers, usual=usual)  # no answer stands, so the record does not learn
    assert guard.answer(float(answers[NAIVE]), float(record[GUARD + BLENDED]), usual) == settled.yhat[0]
    if guard.use_fallback:
        assert (np.arange(COUNT) == NAIVE).tolist() == settled.weights[0].tolist()
    else:
        np.testing.assert_allclose(settled.weights[0], shares(errors, answers), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(("doubted", "widened"), [(0, True), (1, True), (2, False), (9, False)])
def test_no_record_learns_from_a_gross_error(doubted: int, *, widened: bool) -> None:
    """It neither judges an expert nor alarms the guard; of several in a row the first alone widens the interval."""
    record = new_record(1)
    told(record, 1.0, np.ones(COUNT))
    told(record, 2.0, np.ones(COUNT))
    before = record.copy()
    settled = told(record, 1e6, np.ones(COUNT), doubted=doubted, usual=1.0)
    learned = not np.array_equal(before[ERRORS:GUARD], record[ERRORS:GUARD], equal_nan=True)
    assert (doubted == 0, doubted == 0) == (learned, record[GUARD + ALERTED] > 0)
    assert widened == (record[TRACKERS + HALF] > before[TRACKERS + HALF])
    assert settled.score[0] > 1


def test_a_model_that_answers_for_the_first_time_begins_with_its_own_errors() -> None:
    """It learns only from readings after its training."""
    record = new_record(1)
    answers = np.arange(COUNT, dtype=np.float64)
    told(record, 1.0, answers)
    settled = told(record, 2.0, answers, ts=5, version=3, half_width=4.0, trained_until=9)
    assert (1, 4.0, {7.0}) == (settled.begun[0], settled.half_widths[0, 0], set(record[ERRORS:GUARD]))
    settled = told(record, 3.0, answers, ts=9, version=3, half_width=4.0, trained_until=9)
    assert (0, {7.0}) == (settled.begun[0], set(record[ERRORS:GUARD]))
    told(record, 3.0, answers, ts=10, version=3, half_width=4.0, trained_until=9)
    assert {7.0} != set(record[ERRORS:GUARD])


def test_a_forecast_stays_within_its_bounds() -> None:
    """The pending forecast is the published one."""
    record = new_record(1)
    nothing = np.zeros(1, np.int64)
    champions = Champions(nothing, nothing, np.zeros(1), nothing)
    reading = Readings(nothing, np.zeros(1), nothing, nothing, np.zeros(1))
    at = np.array([address_of(record)])
    levels = np.array([0.9])
    settled = settle(at, reading, np.full((1, COUNT), 5.0), champions, levels, (0.0, 3.0))
    assert (3.0, 3.0) == (settled.yhat[0], record[STANDING])
