"""Backtests of frames, without files."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tidecast.errors import HistoryError, MissingAnswers, SettingsError
from tidecast.files.history import History
from tidecast.settings import load_settings
from tidecast.tools.backtest import backtest
from tidecast.tools.frames import COLUMNS, backtest_frame

QUICK = {"train": {"epochs": 1, "shared_epochs": 0}}


def wave(series: str = "wave") -> pd.DataFrame:
    """Return an hourly wave with noise, as a forecasting library would take it."""
    t = np.arange(120)
    y = np.sin(t / 4) + 0.1 * np.random.default_rng(0).normal(size=len(t))
    return pd.DataFrame({"unique_id": series, "ds": pd.date_range("2024-01-01", periods=len(t), freq="h"), "y": y})


@pytest.mark.keras
def test_a_backtest_of_a_frame_is_that_of_its_history() -> None:
    """Row by row it equals the backtest of files, beside the frame's own values."""
    frame = wave()
    answers = backtest_frame(frame, **QUICK)
    ts = frame["ds"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    history = History("wave", ("value",), ts, frame["y"].to_numpy()[:, None])
    rows = backtest([history], 0.2, load_settings(**QUICK)).settled["wave"]
    assert [*COLUMNS, "kind"] == list(answers.columns)
    assert [row.forecast.yhat for row in rows] == answers["yhat"].tolist()
    assert frame["y"].tolist()[96:] == answers["y"].tolist()
    assert frame["ds"].tolist()[96:] == answers["ds"].dt.tz_localize(None).tolist()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (lambda frame: frame[["unique_id", "y"]].astype(str), "the frame has no time column among"),
        (lambda frame: frame.head(2), "no series is long enough to be split"),
        (lambda frame: frame.assign(y=frame["y"].where(frame.index != 3, np.inf)), "series 'wave': row 4 of the frame"),
        (lambda frame: frame.to_dict("list"), "the frame is of type dict"),
    ],
)
def test_a_frame_that_cannot_be_read_is_one_sentence(broken: Callable[[pd.DataFrame], Any], sentence: str) -> None:
    """The message names the frame, not a file."""
    with pytest.raises(HistoryError) as caught:
        backtest_frame(broken(wave()))
    assert sentence in str(caught.value)


@pytest.mark.keras
def test_a_series_without_answers_is_warned_of_by_name() -> None:
    """It names the refused and the short series, with the reason; it points at the caller, and the others are
    answered.
    """
    frame = pd.concat([wave("good"), wave("bad"), wave("short").head(3)], ignore_index=True)
    frame.loc[150, "y"] = np.inf
    with pytest.warns(MissingAnswers) as caught:
        answered_by = backtest_frame(frame, **QUICK)
    assert {"good"} == set(answered_by["unique_id"])
    (warning,) = caught
    assert __file__ == warning.filename
    message = str(warning.message)
    assert message.startswith("2 of 3 series were left out or answered in part: 'bad': row 151 of the frame: y 'inf' ")
    assert "'short': 3 readings are too few for a test part of 20%" in message


@pytest.mark.keras
def test_readings_of_one_time_are_warned_of() -> None:
    """Of each only the last is answered: the frame has more rows than the answer is made of."""
    frame = pd.concat([wave(), wave().tail(2)], ignore_index=True)
    with pytest.warns(MissingAnswers, match="1 of 1 series .* 'wave': 2 duplicate times: the last kept"):
        assert len(backtest_frame(wave(), **QUICK)) == len(backtest_frame(frame, **QUICK))


@pytest.mark.keras
def test_two_series_in_the_index_are_two_in_the_answer() -> None:
    """As they are in columns."""
    frame = pd.concat([wave("a"), wave("b").assign(y=lambda b: -b["y"])], ignore_index=True)
    expected = backtest_frame(frame, **QUICK)
    assert ["a", "b"] == sorted(set(expected["unique_id"]))
    pd.testing.assert_frame_equal(expected, backtest_frame(frame.set_index(["ds", "unique_id"]), **QUICK))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        *(({"test_size": wrong}, "test_size is") for wrong in (1.5, 1.0, 0, -0.2, np.nan, np.inf, "0.2", None, True)),
        *(({"preset": wrong}, "preset") for wrong in ("defualt", 5, ["residual"])),
        *(({"target": wrong}, "target is") for wrong in ("", 5, ["y"])),
        *(({"features": wrong}, "features is") for wrong in (5, [5], [""], None)),
        ({"train": {"epochs": 0}}, "train.epochs"),
        ({"train": {"epoch": 1}}, "train.epoch"),
        ({"seed": 1}, "seed"),
    ],
)
def test_an_argument_of_a_backtest_is_checked_before_the_frame(given: dict[str, Any], sentence: str) -> None:
    """No reading is read, no model is trained, and the message names the argument."""
    with pytest.raises(SettingsError, match=sentence):
        backtest_frame(None, **given)  # type: ignore[arg-type] # it is not looked at
