"""A review has the readings newer than the training, with the forecasts that a worker would have made of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.harness.oracles.answers import own_answers
from tests.trainer.reports.harness import (
    ROWS,
    SIGNATURE,
    START,
    STEP_MS,
    TAIL,
    make_history,
    make_version,
    reviewed,
)
from tidecast.errors import HistoryError
from tidecast.files.history import History
from tidecast.models.experts import LSTM
from tidecast.settings import load_settings
from trainer.reports import canvas, figures
from trainer.reports.report import write_report as write_page
from trainer.reports.review import autocorrelation, review, rolling_mean, rolling_span
from trainer.reports.target import ReportTarget


def test_the_tail_is_forecast_window_by_window() -> None:
    """A review equals a loop that shows the model one window at a time."""
    model = make_version()
    history = make_history()
    result = reviewed(model, history)
    naive = [float(own_answers(model, history.values[None, i - 6 : i])[0]) for i in range(ROWS - TAIL, ROWS + 1)]
    np.testing.assert_allclose(result.answer, naive[:-1], rtol=1e-6)
    assert result.next_answer == pytest.approx(naive[-1], rel=1e-6)
    assert START + ROWS * STEP_MS == result.next_ts
    np.testing.assert_array_equal(history.values[-TAIL:, 0], result.actual)
    assert not result.trained_on


def test_the_bounds_of_the_settings_bound_the_forecasts() -> None:
    """As in the worker."""
    settings = load_settings(series={"minimum": -0.2, "maximum": 0.2})
    result = review(ReportTarget(1, make_version(), make_history()), settings)
    assert (-0.2, 0.2) == (result.answer.min(), result.answer.max())
    assert -0.2 <= result.next_answer <= 0.2
    assert (-0.2, 0.2) == tuple(result.interval(np.array(result.next_answer)))


def test_coverage_counts_the_readings_inside() -> None:
    """The share within the half-width, the border included."""
    result = replace(reviewed(make_version(), make_history()), actual=np.zeros(4), answer=np.array([0.0, 0.9, 1.0, -2]))
    assert [True, True, False, False] == result.inside.tolist()
    assert result.coverage == 0.5
    np.testing.assert_array_equal([0, -0.9, -1, 2], result.errors)


def test_skill_is_against_the_last_value_on_the_same_readings() -> None:
    """1 - MAE / MAE of the reading before."""
    history = make_history()
    result = reviewed(make_version(), history)
    naive = np.abs(np.diff(history.values[-TAIL - 1 :, 0])).mean()
    assert result.skill == pytest.approx(1 - np.abs(result.errors).mean() / naive)


@pytest.mark.parametrize("trained", [ROWS, ROWS - 3])
def test_readings_that_were_trained_on_are_shown_as_such(trained: int) -> None:
    """With hardly a new reading the newest share of the history is shown, and marked."""
    result = reviewed(make_version(trained=trained), make_history())
    assert result.trained_on
    assert int(load_settings().train.test * ROWS) == len(result)


def short_history(count: int) -> History:
    """Return the first readings of the history."""
    whole = make_history()
    return replace(whole, ts=whole.ts[:count], values=whole.values[:count])


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize(("trained", "learned"), [(ROWS, True), (1, False)])
def test_a_few_readings_are_enough_for_a_page(
    count: int, trained: int, learned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reading is reviewed at least, and marked as learned from only if it was."""
    monkeypatch.setattr(canvas, "png", lambda figure: figure.canvas.draw() or SIGNATURE)
    subject = ReportTarget(1, make_version(trained=trained), short_history(count))
    result = review(subject, load_settings())
    assert (len(result), result.trained_on) == (1, learned)
    assert write_page(subject, result, tmp_path).exists()


def test_a_broken_sensor_at_the_end_leaves_the_readings_before_it() -> None:
    """If all newer readings are gross errors, the newest share of the history is shown instead."""
    history = make_history()
    broken = replace(history, left_out=history.ts[-TAIL // 3 :])
    result = reviewed(make_version(trained=ROWS - TAIL // 3), broken)
    assert result.trained_on
    assert len(result) == int(load_settings().train.test * ROWS) - TAIL // 3


def test_a_history_that_ends_with_gross_errors_alone_is_refused_with_the_remedy() -> None:
    """There is nothing to draw; `report --all` notes it and goes on."""
    history = make_history()
    with pytest.raises(HistoryError, match=r"its newest readings \(13\) are gross errors, or follow one: bring"):
        reviewed(make_version(), replace(history, left_out=history.ts[-TAIL:]))


def test_after_a_gap_other_experts_answer_until_the_window_is_full() -> None:
    """Every reading has a forecast, the next one too; the drawn lines are broken at the gap."""
    history = make_history()
    ts = history.ts.copy()
    ts[70:] += 50 * STEP_MS
    ts[-2:] += 50 * STEP_MS
    result = reviewed(make_version(), replace(history, ts=ts))
    np.testing.assert_array_equal(ts[60:], result.ts)
    without_network = result.weights[:, LSTM] == 0
    assert [*range(71, 76), 89] == (60 + np.flatnonzero(without_network)).tolist()
    assert result.next_weights[LSTM] == 0
    assert np.isfinite(result.next_answer)
    broken, answers = figures._broken(result, result.ts, result.answer)
    assert len(result) + 2 == len(broken)
    assert [10, 29] == np.flatnonzero(np.isnan(answers)).tolist()


def test_rolling_mean_equals_a_loop() -> None:
    """Each value is the mean of its neighbours, and there is one for each full span."""
    values = np.random.default_rng(0).random(40) < 0.7
    naive = [values[i : i + 7].mean() for i in range(34)]
    np.testing.assert_allclose(rolling_mean(values, 7), naive)
    assert [1, 10, 10, 20, 100] == [rolling_span(rows) for rows in (1, 10, 40, 100, 5000)]


def test_autocorrelation_equals_its_definition() -> None:
    """It is the sums of products over the sum of squares, and absent for errors that are all the same."""
    errors = np.random.default_rng(1).normal(size=80).cumsum()
    correlations = autocorrelation(errors)
    centred = errors - errors.mean()
    naive = [sum(centred[i] * centred[i - lag] for i in range(lag, 80)) / sum(centred**2) for lag in range(1, 21)]
    np.testing.assert_allclose(correlations, naive)
    assert 48 == len(autocorrelation(np.arange(1000.0)))
    assert 0 == len(autocorrelation(np.ones(40)))
