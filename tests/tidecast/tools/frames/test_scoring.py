"""Scores of forecasts."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tidecast.errors import HistoryError, SettingsError
from tidecast.tools.frames import scores
from tidecast.tools.frames.scoring import MEASURES

FRAME = pd.DataFrame(
    {
        "unique_id": ["a", "a", "a", "a", "b"],
        "ds": pd.to_datetime([1, 2, 2, 3, 1], unit="h"),
        "cutoff": pd.to_datetime([0, 0, 1, 1, 0], unit="h"),
        "y": [1.0, 2.0, 2.0, 4.0, 10.0],
        "yhat": [1.0, 1.0, 3.0, 1.0, 14.0],
        "yhat_lower": [0.0, 0.0, 2.5, np.nan, 9.0],
        "yhat_upper": [2.0, 2.0, 3.5, np.nan, 19.0],
        "last_value": [0.0, 0.0, 1.0, 1.0, 2.0],
        "mean_change": [0.5, 0.5, 0.5, 0.5, 2.0],
        "rms_change": [1.0, 1.0, 1.0, 1.0, 0.0],
    }
)


def test_each_series_has_its_own_scores() -> None:
    """Worked out by hand: errors 0, 1, 1 and 3 beside the last value's 1, 2, 1 and 3."""
    by_series = scores(FRAME, by="unique_id").set_index("unique_id")
    a = by_series.loc["a"]
    assert [4, 1.25, 2.5] == a[["rows", "mae", "mase"]].tolist()
    assert np.sqrt(11 / 4) == pytest.approx(a["rmse"])
    assert a["rmse"] == a["rmsse"]
    assert 1 - 5 / 7 == pytest.approx(a["skill"])
    assert [2 / 3, 5 / 3] == pytest.approx(a[["coverage", "width"]].tolist())
    assert 2 == by_series.loc["b", "mase"]
    assert np.isnan(by_series.loc["b", "rmsse"])


def test_steps_are_counted_from_the_cutoff_and_series_count_alike() -> None:
    """The row of a step has the mean over the series, however many forecasts each has."""
    by_step = scores(FRAME, by="step").set_index("step")
    assert [1, 2] == by_step.index.tolist()
    assert (0.5 + 4) / 2 == by_step.loc[1, "mae"]
    assert 2.0 == by_step.loc[2, "mae"]
    assert [3, 2] == by_step["rows"].tolist()
    overall = scores(FRAME)
    assert list(MEASURES) == list(overall.columns)
    assert [(1.25 + 4) / 2, 5] == overall.loc[0, ["mae", "rows"]].tolist()
    assert 3 == len(scores(FRAME, by=["step", "unique_id"]))


def test_the_probability_score_is_that_of_a_normal_distribution() -> None:
    """Against the mean of |x - y| - |x - x'| / 2 over draws (Gneiting & Raftery 2007)."""
    draws = np.random.default_rng(0).normal(3, 2, (2, 400_000))
    ends = 3 + 2 * np.array([-1.6448536, 1.6448536])
    frame = pd.DataFrame({"y": [5.0], "yhat": [3.0], "yhat_lower": ends[:1], "yhat_upper": ends[1:]})
    sampled = np.abs(draws[0] - 5).mean() - np.abs(draws[0] - draws[1]).mean() / 2
    assert sampled == pytest.approx(scores(frame).loc[0, "crps"], abs=0.01)
    losses = 0.05 * (5 - ends[0]), 0.5 * 2, 0.05 * (ends[1] - 5)
    assert sum(losses) / 3 == pytest.approx(scores(frame).loc[0, "pinball"])


def test_without_the_columns_that_a_measure_needs_it_is_not_known() -> None:
    """The forecasts of another program are scored as far as possible; rows without a reading do not count."""
    bare = pd.DataFrame({"y": [1.0, np.nan], "yhat": [2.0, 5.0]})
    (row,) = scores(bare).to_dict("records")
    assert {"rows": 1, "mae": 1, "rmse": 1} == {name: value for name, value in row.items() if not np.isnan(value)}


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: scores(FRAME.drop(columns="yhat")), HistoryError, "no column 'yhat'"),
        (lambda: scores(FRAME, by="unique_ids"), SettingsError, "did you mean 'unique_id'"),
        (lambda: scores(FRAME, by=None), SettingsError, "by is None: use one of"),  # type: ignore[arg-type] # wrong
        (lambda: scores(FRAME, level=90), SettingsError, "level is 90"),
    ],
)
def test_a_wrong_argument_of_scores_is_one_sentence(
    call: Callable[[], pd.DataFrame], error: type[Exception], sentence: str
) -> None:
    """The message names the argument, and the remedy."""
    with pytest.raises(error, match=sentence):
        call()
