"""The first state of a new model: its experts' records and its interval, and the usual moves behind them."""

from collections.abc import Callable

import numpy as np
import pytest

from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS, LSTM, NAIVE, SHARED
from trainer.evaluation.first_records import HANDICAP, MOST_MOVES, first_errors, half_width
from trainer.evaluation.moves import move_stats


def test_the_first_records_are_the_mean_errors_on_the_tail() -> None:
    """Each is over the readings that the expert answered; one without answers has no record."""
    answers = np.full((3, len(EXPERTS)), np.nan)
    answers[:, NAIVE] = [1.0, 2.0, 3.0]
    answers[2, LSTM] = 5.0
    errors = first_errors(answers, np.zeros(3), 1.0)
    assert errors[:, NAIVE].tolist() == [2.0] * len(errors)
    assert errors[:, LSTM].tolist() == [5.0] * len(errors)
    assert np.isnan(errors).sum() == len(errors) * (len(EXPERTS) - 2)


def test_the_last_value_leads_a_model_that_begins_with_care() -> None:
    """No expert begins with a better record; one that was worse keeps its own, and no error counts for too much."""
    answers = np.full((3, len(EXPERTS)), np.nan)
    answers[:, NAIVE] = [1.0, 2.0, 1e6]
    answers[:, LSTM] = 0.5
    answers[:, SHARED] = 1e9
    errors = first_errors(answers, np.zeros(3), 1.0, with_care=True)[0]
    naive = (1.0 + 2.0 + MOST_MOVES) / 3
    assert (naive, HANDICAP * naive, MOST_MOVES) == pytest.approx((errors[NAIVE], errors[LSTM], errors[SHARED]))


@pytest.mark.parametrize(
    ("tail", "broken"),
    [
        (lambda y: y, False),
        (lambda y: np.full_like(y, y[0]), False),
        (lambda y: np.where(np.arange(len(y))[::-1] == 30, 1000.0, y), True),
        (lambda y: y * 1000, True),
        (lambda y: np.random.default_rng(0).normal(0, 1, len(y)), True),
    ],
)
@pytest.mark.parametrize("also", [0, 100])
def test_a_tail_unlike_all_before_is_detected(tail: Callable[[Float], Float], broken: bool, also: int) -> None:
    """Also where the last readings before it are unusual as well; a sensor that is stuck does no harm."""
    y = np.sin(np.arange(600) / 4) + np.random.default_rng(0).normal(0, 0.1, 600)
    usual = float(np.abs(np.diff(y)).mean())
    y[500 - also :] = tail(y[500 - also :])
    moves = move_stats(y, 500)
    assert broken == moves.broken
    assert usual == pytest.approx(moves.move, rel=0.1)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_the_half_width_covers_the_next_error_as_often_as_promised(level: float) -> None:
    """Also from few errors, where the plain quantile would be too narrow."""
    errors = np.random.default_rng(0).normal(size=(4000, 20))
    covered = [abs(row[-1]) <= half_width(row[:-1], level) for row in errors]
    assert np.mean(covered) >= min(level, 19 / 20) - 0.02


def test_the_half_width_of_few_errors_is_at_most_the_largest() -> None:
    """Three errors cannot show a 99 % interval; the widest of them is the best estimate."""
    assert half_width(np.array([-3.0, 1.0, 2.0]), 0.99) == 3.0
    assert half_width(np.array([-3.0, 1.0, 2.0]), 0.5) == 2.0
    assert half_width(np.arange(1.0, 11.0), 0.9) == 10.0
