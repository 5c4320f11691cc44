"""Backtests of frames, without files."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.tidecast.tools.frames.harness import QUICK, wave
from tidecast.errors import HistoryError, MissingAnswers, SettingsError
from tidecast.files.history import History
from tidecast.settings import load_settings
from tidecast.tools import backtest as of_histories
from tidecast.tools.frames import backtest

FIFTH: dict[str, Any] = {"step_size": 1, "test_size": 0.2, **QUICK}


@pytest.mark.keras
def test_a_backtest_of_a_frame_is_that_of_its_history() -> None:
    """Row by row it equals the backtest of files, beside the frame's own values."""
    frame = wave()
    answers = backtest(frame, **FIFTH)
    ts = frame["ds"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    history = History("wave", ("value",), ts, frame["y"].to_numpy()[:, None])
    rows = of_histories.backtest([history], 0.2, load_settings(**QUICK)).settled["wave"]
    assert ["unique_id", "ds", "cutoff", "y", "yhat", "yhat_lower", "yhat_upper"] == list(answers.columns)[:7]
    assert [row.forecast.yhat for row in rows] == answers["yhat"].tolist()
    assert frame["y"].tolist()[96:] == answers["y"].tolist()
    assert frame["ds"].tolist()[96:] == answers["ds"].dt.tz_localize(None).tolist()
    assert frame["y"].tolist()[95:-1] == answers["last_value"].tolist()
    pd.testing.assert_frame_equal(answers, backtest(frame, n_windows=24, **QUICK))


@pytest.mark.keras
def test_windows_have_their_steps_and_end_with_the_series() -> None:
    """The cutoffs lie `step_size` readings apart, each with h readings; a refit knows the readings before its own."""
    frame = wave()
    once = backtest(frame, 3, 4, step_size=2, **QUICK)
    cutoffs = [110, 112, 114, 116]
    at = [(cutoff, cutoff + step) for cutoff in cutoffs for step in (1, 2, 3)]
    hours = frame["ds"].dt.tz_localize("UTC").dt.as_unit("ms")
    assert [(hours[cutoff], hours[row]) for cutoff, row in at] == list(zip(once["cutoff"], once["ds"], strict=True))
    assert [frame["y"][row] for _, row in at] == once["y"].tolist()
    assert np.isfinite(once["yhat"]).all()
    refitted = backtest(frame, 3, 2, refit=True, **QUICK)
    first = backtest(frame.head(117), 3, 1, **QUICK)
    assert first["yhat"].tolist() == refitted["yhat"].tolist()[:3]
    assert first["mean_change"].tolist() == refitted["mean_change"].tolist()[:3]


@pytest.mark.keras
def test_gross_errors_are_not_in_the_scale_of_mase() -> None:
    """The scale is that of the changes between believed readings, as in the training."""
    frame = wave()
    broken = frame.assign(y=frame["y"].where(~frame.index.isin([50, 90]), -9999.0))
    clean, damaged = (backtest(each, 1, 2, **QUICK)["mean_change"].iloc[0] for each in (frame, broken))
    assert damaged == pytest.approx(clean, rel=0.05)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (lambda frame: frame[["unique_id", "y"]].astype(str), "the frame has no time column among"),
        (lambda frame: frame.head(2), "the longest has 2 readings, too few for the windows: add"),
        (lambda frame: frame.assign(y=frame["y"].where(frame.index != 3, np.inf)), "series 'wave': row 4 of the frame"),
        (lambda frame: frame.to_dict("list"), "the frame is of type dict"),
    ],
)
def test_a_frame_that_cannot_be_read_is_one_sentence(broken: Callable[[pd.DataFrame], Any], sentence: str) -> None:
    """The message names the frame, not a file."""
    with pytest.raises(HistoryError) as caught:
        backtest(broken(wave()))
    assert sentence in str(caught.value)


@pytest.mark.keras
def test_a_series_without_answers_is_warned_of_by_name() -> None:
    """It names the refused and the short series, with the reason; it points at the caller, and the others are
    answered.
    """
    frame = pd.concat([wave("good"), wave("bad"), wave("short").head(3)], ignore_index=True)
    frame.loc[150, "y"] = np.inf
    with pytest.warns(MissingAnswers) as caught:
        answered_by = backtest(frame, n_windows=3, **QUICK)
    assert {"good"} == set(answered_by["unique_id"])
    (warning,) = caught
    assert __file__ == warning.filename
    message = str(warning.message)
    assert message.startswith("2 of 3 series were left out or answered in part: 'bad': row 151 of the frame: y 'inf' ")
    assert "'short': 3 readings, too few for the windows" in message


@pytest.mark.keras
def test_readings_of_one_time_are_warned_of() -> None:
    """Of each only the last is answered: the frame has more rows than the answer is made of."""
    frame = pd.concat([wave(), wave().tail(2)], ignore_index=True)
    with pytest.warns(
        MissingAnswers, match="1 of 1 series have repeated times: 'wave': 2 duplicate times: the last kept"
    ):
        assert len(backtest(wave(), **FIFTH)) == len(backtest(frame, **FIFTH))


@pytest.mark.keras
def test_two_series_in_the_index_or_under_other_names_are_two_in_the_answer() -> None:
    """As they are in columns with the usual names."""
    frame = pd.concat([wave("a"), wave("b").assign(y=lambda b: -b["y"])], ignore_index=True)
    expected = backtest(frame, **QUICK)
    assert ["a", "b"] == sorted(set(expected["unique_id"]))
    pd.testing.assert_frame_equal(expected, backtest(frame.set_index(["ds", "unique_id"]), **QUICK))
    renamed = frame.rename(columns={"unique_id": "machine", "ds": "seen", "y": "heat"})
    named: dict[str, Any] = {"series_column": "machine", "time_column": "seen", "target": "heat"}
    pd.testing.assert_frame_equal(expected, backtest(renamed, **named, **QUICK))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        *(({"test_size": wrong}, "test_size is") for wrong in (1.5, 1.0, 0, -0.2, np.nan, np.inf, "0.2", True)),
        *(({name: wrong}, name) for name in ("h", "n_windows", "step_size") for wrong in (0, -1, 1.5, "2", True)),
        ({"h": 49}, "series.horizon"),
        ({"n_windows": 2, "test_size": 0.2}, "give one of them"),
        ({"level": 1.5}, "series.level"),
        *(({"preset": wrong}, "preset") for wrong in ("defualt", 5, ["residual"])),
        ({"shape": {"unit": 5}}, "shape has the key 'unit', which does not exist: did you mean 'units'"),
        ({"shape": {"units": 0}}, "shape.units is 0: use"),
        ({"shape": {"pretrained": True}}, "shape has 'pretrained'"),
        ({"shape": 5}, "shape is 5"),
        *(({name: wrong}, f"{name} is") for name in ("target", "series_column") for wrong in ("", 5, ["y"])),
        *(({"features": wrong}, "features is") for wrong in (5, [5], [""], None)),
        ({"train": {"epochs": 0}}, "train.epochs"),
        ({"train": {"epoch": 1}}, "train.epoch"),
        ({"seed": -1}, "train.seed"),
        ({"sead": 1}, "sead"),
    ],
)
def test_an_argument_of_a_backtest_is_checked_before_the_frame(given: dict[str, Any], sentence: str) -> None:
    """No reading is read, no model is trained, and the message names the argument."""
    with pytest.raises(SettingsError, match=sentence):
        backtest(None, **given)  # type: ignore[arg-type] # it is not looked at


@pytest.mark.parametrize(("argument", "name"), [("series_column", "machin"), ("time_column", "seeen")])
def test_an_unknown_column_is_answered_with_the_most_similar_one(argument: str, name: str) -> None:
    """A typing mistake is corrected at the first reading of the message."""
    frame = wave().rename(columns={"unique_id": "machine", "ds": "seen"})
    columns: Any = {"series_column": "machine", "time_column": "seen", argument: name}
    with pytest.raises(HistoryError, match=f"{name!r}: did you mean"):
        backtest(frame, **columns)
