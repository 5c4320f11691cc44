"""The times of series by the month, the quarter and the year."""

import numpy as np
import pandas as pd
import pytest

from tidecast.durations import DAY_MS
from tidecast.models.calendar_steps import MONTH_END, calendar_day, day_of_month, months_in, times_after


def times(first: str, months: int, count: int, zone: str = "UTC") -> pd.DatetimeIndex:
    """Return so many times whole months apart, as pandas computes them."""
    offset = pd.DateOffset(months=months)
    return pd.DatetimeIndex([pd.Timestamp(first, tz=zone) + k * offset for k in range(count)])


def milliseconds(moments: pd.DatetimeIndex) -> np.ndarray:
    """Return times as epoch milliseconds."""
    return moments.tz_convert("UTC").tz_localize(None).as_unit("ms").astype(np.int64).to_numpy()


def step_of(ts: np.ndarray) -> float:
    """Return the median step."""
    return float(np.median(np.diff(ts)))


def test_the_day_of_the_month_is_that_of_the_calendar() -> None:
    """Over the years that a reading may have, a day at a time; days begin at 15:00 UTC."""
    days = pd.date_range("1678-01-01", "2261-12-30", freq="37D")
    assert [day_of_month(ms) for ms in milliseconds(days.tz_localize("UTC")).tolist()] == days.day.tolist()


@pytest.mark.parametrize("months", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("first", ["2019-01-01", "1903-01-15 08:30", "2023-01-30", "1969-01-31"])
def test_the_next_time_is_that_of_the_calendar(months: int, first: str) -> None:
    """A day that a month lacks is its last one, and that of a month's end stays the end."""
    expected = milliseconds(times(first, months, 60))
    for count in (30, 41, 59):
        ts = expected[:count]
        assert times_after(ts, ts, step_of(ts), gridded=True)[-1] == expected[count]


@pytest.mark.parametrize("freq", ["ME", "QE", "YE"])
def test_ends_of_months_stay_ends(freq: str) -> None:
    """June's 30th is followed by July's 31st if the readings before lie at the ends of their months too."""
    expected = milliseconds(pd.date_range("1990-01-31", periods=60, freq=freq, tz="UTC"))
    ts = expected[:-1]
    assert (times_after(ts, ts, step_of(ts), gridded=True) == expected[1:]).all()


@pytest.mark.parametrize(
    "zone", ["Europe/London", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "Asia/Tokyo"]
)
def test_local_midnights_keep_their_day(zone: str) -> None:
    """The day is right; the hour is that of the reading before, which differs where the clock changes."""
    expected = milliseconds(times("2021-01-01", 1, 40, zone))
    ts = expected[:-1]
    assert np.abs(times_after(ts, ts, step_of(ts), gridded=True) - expected[1:]).max() <= DAY_MS / 24


@pytest.mark.parametrize("days", [1, 7, 28, 30, 31, 91, 365])
def test_steps_of_so_many_days_are_not_of_the_calendar(days: int) -> None:
    """A series of every 30 days comes on another day in each month."""
    ts = milliseconds(pd.date_range("2021-01-05", periods=30, freq=f"{days}D", tz="UTC"))
    assert (times_after(ts, ts, step_of(ts), gridded=True) == ts + days * DAY_MS).all()


def test_a_missing_month_does_not_change_the_day() -> None:
    """The readings around it lie on the same day."""
    expected = np.delete(milliseconds(times("2021-01-01", 1, 20)), 15)
    ts = expected[:-1]
    assert times_after(ts, ts, step_of(ts), gridded=True)[-1] == expected[-1]


def test_one_step_is_enough() -> None:
    """A worker knows a new series' second reading only; a month's end is recognised from it too."""
    ts = milliseconds(times("2023-03-31", 1, 2))
    assert calendar_day(int(ts[-1]), np.diff(ts), 1, step_of(ts)) == MONTH_END
    assert calendar_day(int(ts[-1]), np.diff(ts), 0, step_of(ts)) == 0


def test_only_steps_near_whole_months_count() -> None:
    """Four weeks, 45 days and steps below a month do not."""
    assert [months_in(days * DAY_MS) for days in (31, 30.5, 61, 91.5, 365, 28, 45, 1, 0)] == [
        1,
        1,
        2,
        3,
        12,
        0,
        0,
        0,
        0,
    ]
