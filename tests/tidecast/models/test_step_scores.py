"""Scores by step compare each step with the reading that came then."""

import numpy as np
import pytest

from tidecast.models.step_scores import COLUMNS, mean_scores, step_scores
from tidecast.wire import Forecast

READINGS = np.array([0.0, 1.0, 3.0, 6.0, 10.0])


def forecast_of(i: int) -> Forecast:
    """Return the forecast of two steps made at a reading, one more for each; only the second has an interval."""
    y = float(READINGS[i])
    more = (("yhat_2", y + 2), ("yhat_2_lower", y), ("yhat_2_upper", y + 5.5))
    return Forecast(f"{i}-0", "a", i + 1, y + 1, None, None, 0.9, i, None, "naive", y, more=more)


def test_each_step_is_scored_by_the_reading_that_came_so_many_later() -> None:
    """Errors by hand: the steps of the readings are 1, 2, 3, 4, so those of two steps are 3, 5, 7."""
    first, second = step_scores([forecast_of(i) for i in range(4)], READINGS[1:], mean_change=2.0)
    assert (1, 4, 1.5, 2.5, 0.75, None, None) == (
        first.step,
        first.readings,
        first.mae,
        first.mae_last_value,
        first.mase,
        first.coverage,
        first.width,
    )
    assert (2, 3, 3.0, 5.0, 1.5) == (second.step, second.readings, second.mae, second.mae_last_value, second.mase)
    assert (0.4, 2 / 3, 5.5) == pytest.approx((second.skill, second.coverage, second.width))
    assert len(COLUMNS) == len(second.cells())


def test_several_series_have_the_mean_of_each_step() -> None:
    """Of those that have the step; readings are summed."""
    made = [forecast_of(i) for i in range(4)]
    both = step_scores(made, READINGS[1:])
    nearest = step_scores(made[:1], READINGS[1:2], mean_change=1.0)
    first, second = mean_scores([both, nearest])
    assert (5, 0.75, 0.0) == (first.readings, first.mae, first.mase)
    assert second == both[1]
    assert [] == mean_scores([[], []]) == step_scores([], np.zeros(0))
