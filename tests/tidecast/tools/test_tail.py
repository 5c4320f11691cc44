"""Forecasts as lines."""

import json
from dataclasses import replace

import pytest

from tidecast.tools import tail
from tidecast.wire import Forecast

FIRST = Forecast("5-0", "boiler-7", None, 42.125, None, None, 0.9, 1_700_000_000_000, None, "naive", 42.125)
LATER = replace(FIRST, ts=1_700_000_060_000, yhat_lower=41.0, yhat_upper=43.25, model=3, kind="lstm", yhat=1234567.891)
AHEAD = replace(LATER, more=(("yhat_lower_50", 41.5), ("yhat_2", 42.0000001)))


def test_a_line_says_series_time_reading_forecast_and_who_made_it() -> None:
    """Unknown values are left out."""
    assert "boiler-7  2023-11-14T22:13:20Z  42.125 -> 42.125  naive" == tail.line(FIRST)
    assert "boiler-7  2023-11-14T22:13:20Z  42.125 -> 1.23457e+06 [41, 43.25]  lstm v3" == tail.line(LATER)


def test_following_ends_after_the_count(capsys: pytest.CaptureFixture[str]) -> None:
    """There is one line each, and no further forecast is read."""
    endless = iter([FIRST, LATER, FIRST])
    tail.follow(endless, 2, as_json=False)
    assert f"{tail.line(FIRST)}\n{tail.line(LATER)}\n" == capsys.readouterr().out
    assert FIRST == next(endless)


def test_json_lines_hold_the_whole_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    """No number is rounded."""
    tail.follow(iter([FIRST, AHEAD]), None, as_json=True)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = [{name: getattr(f, name) for name in Forecast.__slots__ if name != "more"} for f in (FIRST, AHEAD)]
    assert [fields | dict(f.more) for fields, f in zip(expected, (FIRST, AHEAD), strict=True)] == printed
