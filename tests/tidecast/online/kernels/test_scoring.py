"""Scores, records that learn, and the blend."""

import math
from dataclasses import astuple

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.harness.oracles.blending import OutlierGuard, blend, farthest, learn, shares
from tidecast.arrays import Float
from tidecast.models.experts import CHANGED_READINGS, EXPERTS, HALF_LIVES, NAIVE, PROVEN
from tidecast.online.kernels.detection.drift_sums import SILENCE
from tidecast.online.kernels.interval_widths import MOST_SCORE
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.readings import Readings
from tidecast.online.kernels.scoring import BatchScores, score_batch
from tidecast.online.kernels.series_record import named, new_record, trackers_of
from tidecast.online.kernels.series_rows import series_rows
from tidecast.online.outlier_guard import ALERT, REGRET_MOST

COUNT = len(EXPERTS)
none = st.just(float("nan"))
answer = st.floats(-1e6, 1e6) | none | st.sampled_from([0.0, 1e38, -1e38, float("inf")])
error = st.floats(0, 1e6) | none | st.sampled_from([0.0, 1e-300, 1e38])
answers_ = arrays(np.float64, COUNT, elements=answer)
evidence_ = arrays(np.int64, COUNT, elements=st.sampled_from([0, 1, 30, PROVEN - 1, PROVEN]))


@st.composite
def records(draw: st.DrawFn) -> Float:
    """Errors as they come about: known in all records or in none."""
    record = draw(arrays(np.float64, (len(HALF_LIVES), COUNT), elements=error)).astype(np.float32).astype(np.float64)
    record[:, np.isnan(record).any(axis=0)] = np.nan
    return record


@st.composite
def guards(draw: st.DrawFn) -> OutlierGuard:
    """Any that readings can lead to, many of them at a threshold."""
    alert = draw(st.sampled_from([0.0, 1.0, ALERT]) | st.integers(0, int(ALERT)))
    return OutlierGuard(float(alert), draw(st.floats(0, REGRET_MOST)))


usual_moves = st.floats(0, 1e6) | st.sampled_from([0.0, 1e-300, 1.0, 1e300])


def score_one(
    record: Float, y: float, answers: Float, ts: int = 1, *, doubted: int = 0, usual: float = 0.0, **champion: float
) -> BatchScores:
    """Settle one reading of a record with one level, of a series without a model unless one is described."""
    errors = np.full((len(HALF_LIVES), COUNT), 7.0)
    series = series_rows(1, record=address_of(record), first_errors=address_of(errors), **champion)
    none = np.zeros(1, np.int64)
    reading = Readings.of(none, np.array([ts]), none)._replace(
        y=np.array([y]), doubted=np.array([doubted]), moves=np.array([usual])
    )
    everywhere = (-math.inf, math.inf)
    return score_batch(series, reading, answers[None], np.array([0.9]), everywhere)


@pytest.mark.parametrize(
    ("error", "half_width", "score"),
    [(-3.0, 2.0, 1.5), (2.0, 2.0, 1.0), (0.0, 2.0, 0.0), (1.0, None, None), (1.0, 0.0, MOST_SCORE)],
)
def test_an_anomaly_lies_outside_its_interval(error: float, half_width: float | None, score: float | None) -> None:
    """Above 1 is outside; without an interval the score is absent, and without width it is the largest."""
    record = new_record(1)
    named(record).pending_forecast = 10.0
    trackers_of(record)[0, 0] = math.nan if half_width is None else half_width
    scores = score_one(record, 10.0 + error, np.ones(COUNT))
    assert error == scores.error[0]
    np.testing.assert_equal(math.nan if score is None else score, scores.score[0])


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(records(), evidence_, answers_)
def test_shares_and_forecast_are_those_of_the_definition(errors: Float, evidence: Float, answers: Float) -> None:
    """Whatever is unknown, perfect, hopeless or equal, and however little is known of an expert."""
    hypothesis.assume(np.isfinite(answers[NAIVE]))
    answers = np.where(np.isfinite(answers), answers, np.nan)
    record = new_record(1)
    named(record).errors[:] = errors
    evidence = np.where(np.isfinite(errors[0]), np.maximum(evidence, 1), 0)
    named(record).evidence[:COUNT] = evidence
    scores = score_one(record, 0.0, answers)  # no answer stands, so the record does not learn
    expected = shares(errors, answers, evidence)
    np.testing.assert_allclose(scores.weights[0], expected, rtol=1e-9, atol=1e-300)
    assert scores.leader[0] == scores.weights[0].argmax()
    scale = np.abs(answers[expected > 0]).max()
    assert abs(blend(expected, answers) - scores.yhat[0]) <= 1e-12 * scale
    np.testing.assert_array_equal(answers, named(record).answers)


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(records(), evidence_, answers_, st.floats(-1e6, 1e6), usual_moves, st.integers(-1, 1))
def test_a_record_learns_as_the_definition_says(
    errors: Float, evidence: Float, answers: Float, actual: float, usual: float, late: int
) -> None:
    """In place, bit for bit; for a time after a detected change both records forget as the short one."""
    record = new_record(1)
    named(record).answers[:] = answers
    named(record).errors[:] = errors
    named(record).evidence[:COUNT] = np.maximum(evidence, 1)
    named(record).drift.quiet = SILENCE
    named(record).drift.seen = CHANGED_READINGS + late
    score_one(record, actual, np.zeros(COUNT), usual=usual)
    learned, readings = learn(errors, answers, actual, farthest(usual), np.maximum(evidence, 1), changed=late < 0)
    np.testing.assert_array_equal(learned, named(record).errors)
    np.testing.assert_array_equal(readings, named(record).evidence[:COUNT])


def test_an_expert_of_the_users_own_leads_soon_if_it_is_far_better() -> None:
    """It has no similar expert, and the last value's record would hold it back for hundreds of readings."""
    record = new_record(1)
    own = EXPERTS.index("own")
    y = np.sin(np.arange(300.0)) * 10.0
    for t in range(299):
        answers = np.full(COUNT, np.nan)
        answers[NAIVE] = y[t]
        answers[EXPERTS.index("linear")] = y[t] + 0.5 * (y[t + 1] - y[t])
        if t >= 200:
            answers[own] = y[t + 1]
        weights = score_one(record, y[t], answers).weights[0]
        assert t < 230 or weights[own] > 0.9


@pytest.mark.parametrize(("error", "believed"), [(1.0, False), (0.2, True)])
def test_a_far_forecast_needs_a_record_that_allows_for_its_failure(error: float, believed: bool) -> None:
    """On a series that mostly stands still all records are alike, and one failure would cost more than they differ."""
    record = new_record(1)
    season = EXPERTS.index("seasonal_change")
    named(record).errors[:] = np.nan
    named(record).errors[:, NAIVE] = 1.0
    named(record).errors[:, season] = error
    named(record).evidence[:] = PROVEN
    answers = np.full(COUNT, np.nan)
    answers[NAIVE] = 0.0
    answers[season] = 30.0
    weight = score_one(record, 0.0, answers).weights[0, season]
    assert weight > 0.9 if believed else weight < 0.01


def test_an_expert_that_joins_in_a_calm_stretch_leads_only_if_it_errs_less() -> None:
    """Its own errors are all small then. The others' records are longer, so they would lose against a worse expert."""
    record = new_record(1)
    season = EXPERTS.index("online_season")
    seasons = EXPERTS.index("online_seasons")
    y = np.sin(np.arange(300.0)) * np.where(np.arange(300) < 200, 10.0, 1.0)
    for t in range(299):
        answers = np.full(COUNT, np.nan)
        answers[NAIVE] = y[t]
        answers[season] = y[t] + 0.9 * (y[t + 1] - y[t])
        if t >= 210:
            answers[seasons] = y[t] + 0.5 * (y[t + 1] - y[t])
        weights = score_one(record, y[t], answers).weights[0]
        assert weights[season] >= weights[seasons]


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(guards(), answers_, answer, st.floats(-1e6, 1e6), st.integers(0, 9), usual_moves, st.integers(0, 1))
def test_a_guard_learns_as_the_definition_says(
    guard: OutlierGuard,
    answers: Float,
    blended: float,
    actual: float,
    trained_until: int,
    usual: float,
    version: int,
) -> None:
    """In place, bit for bit; readings that a model was trained on do not judge its blend. Version 0: none."""
    record = new_record(1)
    named(record).last_version = version
    named(record).answers[:] = answers
    named(record)["guard"] = (blended, *astuple(guard))
    score_one(record, actual, np.zeros(COUNT), ts=5, version=version, trained_until=trained_until, usual=usual)
    judged = blended if version == 0 or trained_until < 5 else math.nan
    expected = guard.learn(float(answers[NAIVE]), judged, actual, usual, trained=version != 0)
    assert astuple(expected) == named(record).guard.item()[1:]


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(guards(), records(), arrays(np.float64, COUNT, elements=st.floats(-1e6, 1e6)), usual_moves)
def test_only_what_is_believed_is_answered(guard: OutlierGuard, errors: Float, answers: Float, usual: float) -> None:
    """The answer equals the definition's, and the shares are those of the forecast."""
    record = new_record(1)
    named(record).errors[:] = errors
    named(record).evidence[:COUNT] = PROVEN
    named(record)["guard"] = (math.nan, *astuple(guard))
    scores = score_one(record, 0.0, answers, usual=usual)  # no answer stands, so the record does not learn
    assert guard.answer(float(answers[NAIVE]), float(named(record).guard.blended), usual) == scores.yhat[0]
    if guard.use_fallback:
        assert (np.arange(COUNT) == NAIVE).tolist() == scores.weights[0].tolist()
    else:
        np.testing.assert_allclose(
            scores.weights[0], shares(errors, answers, np.full(COUNT, PROVEN)), rtol=1e-9, atol=1e-300
        )


@pytest.mark.parametrize(("doubted", "widened"), [(0, True), (1, True), (2, False), (9, False)])
def test_no_record_learns_from_a_gross_error(doubted: int, *, widened: bool) -> None:
    """It neither judges an expert nor alarms the guard; of several in a row the first alone widens the interval."""
    record = new_record(1)
    score_one(record, 1.0, np.ones(COUNT))
    score_one(record, 2.0, np.ones(COUNT))
    before = record.copy()
    scores = score_one(record, 1e6, np.ones(COUNT), doubted=doubted, usual=1.0)
    learned = not np.array_equal(named(before).errors, named(record).errors, equal_nan=True)
    assert (doubted == 0, doubted == 0) == (learned, named(record).guard.alert > 0)
    assert widened == (trackers_of(record)[0] > trackers_of(before)[0])[2]
    assert scores.score[0] > 1


def test_a_model_that_answers_for_the_first_time_begins_with_its_own_errors() -> None:
    """It learns only from readings after its training."""
    record = new_record(1)
    answers = np.arange(COUNT, dtype=np.float64)
    score_one(record, 1.0, answers)
    scores = score_one(record, 2.0, answers, ts=5, version=3, half_width=4.0, trained_until=9)
    assert (1, 4.0, {7.0}) == (scores.new_model[0], scores.half_widths[0, 0], set(named(record).errors.flat))
    scores = score_one(record, 3.0, answers, ts=9, version=3, half_width=4.0, trained_until=9)
    assert (0, {7.0}) == (scores.new_model[0], set(named(record).errors.flat))
    score_one(record, 3.0, answers, ts=10, version=3, half_width=4.0, trained_until=9)
    assert {7.0} != set(named(record).errors.flat)


def test_a_forecast_stays_within_its_bounds() -> None:
    """The pending forecast is the published one."""
    record = new_record(1)
    nothing = np.zeros(1, np.int64)
    reading = Readings.of(nothing, nothing, nothing)
    series = series_rows(1, record=address_of(record))
    scores = score_batch(series, reading, np.full((1, COUNT), 5.0), np.array([0.9]), (0.0, 3.0))
    assert (3.0, 3.0) == (scores.yhat[0], named(record).pending_forecast)
