"""The linear experts against plain loops; how errors become shares, and how they fade."""

import math
from dataclasses import fields

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.models import random_panel
from tests.harness.oracles.blending import learn, shares
from tidecast.arrays import Float
from tidecast.models import experts
from tidecast.models.experts import EXPERTS, HALF_LIVES, LINEAR, LSTM, NAIVE, LinearExperts
from tidecast.online.offline import linear_forecasts

unhurried = hypothesis.settings(deadline=None)
size = st.just(0.0) | st.floats(1e-300, 1e300)  # of an error
PARTS = ("lags", "columns", "coefficients", "bias", "needs")


def some_rows(seed: int, count: int, reach: int, features: int) -> Float:
    """Random rows, a few of the further features' values unknown."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(20, 4, (count, reach, features))
    rows[..., 1:][rng.random((count, reach, features - 1)) < 0.1] = np.nan
    return rows


def test_longer_padding_moves_no_answer() -> None:
    """Rows before those that the experts read may be there or not, and be anything."""
    panel = random_panel(2)
    rows = some_rows(0, 5, 30, 1)
    held = np.array([30, 20, 10, 3, 1])
    rows[:, :10] = 1e30
    expected = linear_forecasts(panel, rows[:, -20:], np.minimum(held, 20))
    np.testing.assert_array_equal(expected, linear_forecasts(panel, rows, held))


def test_an_expert_that_sees_too_few_rows_says_nothing() -> None:
    """Exactly from the row on that it needs; one that the series lacks never does."""
    panel = random_panel(0)
    rows = some_rows(0, panel.rows, panel.rows, 1)
    known = np.isfinite(linear_forecasts(panel, rows, np.arange(1, panel.rows + 1)))
    assert panel.rows == panel.needs.max()
    assert [panel.rows, *((panel.rows - n + 1) * (n > 0) for n in panel.needs.tolist())] == known.sum(axis=0).tolist()


def test_a_panel_of_which_nothing_was_learned_is_the_last_value_alone() -> None:
    """One row is all it reads, and no other expert has a record."""
    panel = LinearExperts.naive(2.5)
    assert 1 == panel.rows
    np.testing.assert_array_equal(
        [[7.0] + [np.nan] * len(LINEAR)], linear_forecasts(panel, np.full((1, 1, 1), 7.0), np.array([1]))
    )
    np.testing.assert_array_equal([[2.5] + [np.nan] * (len(EXPERTS) - 1)] * len(HALF_LIVES), panel.errors)
    assert {*PARTS, "errors"} == {part.name for part in fields(panel)}


@unhurried
@hypothesis.given(st.lists(st.tuples(size | st.just(math.nan), size, st.booleans()), min_size=10, max_size=10))
def test_shares_sum_to_one_and_only_those_who_can_answer_have_any(known: list[tuple[float, float, bool]]) -> None:
    """Whatever the errors are, zero and huge ones included, every share is a number and at least 0."""
    errors = np.array([[long, short if math.isfinite(long) else math.nan] for long, short, _ in known]).T
    answers = np.array([1.0 if answers else math.nan for _, _, answers in known])
    weights = shares(errors, answers)
    can = np.isfinite(errors[0]) & np.isfinite(answers)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights[~can].sum() == (0 if can.any() else 1)
    if not can.any():
        assert weights[NAIVE] == 1


@unhurried
@hypothesis.given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=10, max_size=10))
def test_an_expert_weighs_what_the_worse_of_its_two_records_allows(records: list[tuple[float, float]]) -> None:
    """`exp(-20 (E / E_min - 1))`, each record over the least of its own."""
    best = [min(pair[record] for pair in records) for record in (0, 1)]
    weights = [math.exp(-20 * max(pair[0] / best[0] - 1, pair[1] / best[1] - 1)) for pair in records]
    hypothesis.assume(sum(weights) > 1e-200)
    expected = [weight / sum(weights) for weight in weights]
    np.testing.assert_allclose(expected, shares(np.array(records).T, np.ones(10)), rtol=1e-6, atol=1e-12)


def test_an_expert_without_any_error_silences_the_others() -> None:
    """Several of them share alike; the smallest number differs from 0."""
    errors = np.full((2, 10), 1.0)
    errors[:, LSTM] = 0.0
    assert (np.arange(10) == LSTM).tolist() == shares(errors, np.ones(10)).tolist()
    errors[:, NAIVE] = 0.0
    assert 0.5 == shares(errors, np.ones(10))[NAIVE]
    errors[:, NAIVE] = 5e-324
    assert (np.arange(10) == LSTM).tolist() == shares(errors, np.ones(10)).tolist()


def test_experts_that_are_each_without_error_in_one_record_share_alike() -> None:
    """No one is better in both: the forecast lies between them, and is a number."""
    errors = np.full((2, 10), np.nan)
    errors[:, NAIVE], errors[:, LSTM] = (0.0, 1.0), (1.0, 0.0)
    weights = shares(errors, np.ones(10))
    assert [0.5, 0.5] == weights[[NAIVE, LSTM]].tolist()


@unhurried
@hypothesis.given(st.lists(st.tuples(st.floats(-100, 100), st.none() | st.floats(-100, 100)), max_size=60))
def test_what_is_learned_is_an_exponential_smoothing_of_the_errors(history: list[tuple[float, float | None]]) -> None:
    """The half-lives are 100 and 25 readings; it starts with the first error, and is held where there was no answer."""
    errors = np.full((2, 2), np.nan)
    expected: list[float | None] = [None, None]
    for actual, answer in history:
        errors = learn(errors, np.array([0.0, math.nan if answer is None else answer]), actual)[0]
        if answer is not None:
            size = abs(answer - actual)
            for record, half_life in enumerate(HALF_LIVES):
                forget = 1 - 0.5 ** (1 / half_life)
                before = expected[record]
                expected[record] = size if before is None else before + forget * (size - before)
    np.testing.assert_allclose([math.nan if e is None else e for e in expected], errors[:, 1], rtol=1e-5, atol=1e-5)


def test_the_experts_stand_in_their_fixed_order() -> None:
    """Panels in files and states in Redis rely on it."""
    assert ("naive", "lstm", "shared_lstm") == (EXPERTS[NAIVE], EXPERTS[LSTM], EXPERTS[experts.SHARED])
    simple = "seasonal_naive long_seasonal_naive smoothing"
    assert f"{simple} linear linear_robust linear_season linear_recent linear_known" == " ".join(
        EXPERTS[i] for i in LINEAR
    )
