"""A report shows at which times a model is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer.reports.harness import make_history, make_version
from tidecast.durations import DAY_MS, HOUR_MS
from tidecast.settings import load_settings
from trainer.reports.canvas import SHEETS
from trainer.reports.error_times import errors_by_time, has_hours, mean_by_group, stretch_rows, worst_stretches
from trainer.reports.report import moment
from trainer.reports.review import Review, review
from trainer.reports.target import ReportTarget

MONDAY_MS = 1_704_067_200_000  # 2024-01-01, a Monday


@pytest.fixture
def reviewed() -> Review:
    """Return a review of 96 hours from a Monday on, with an error of 1, and of 10 in each day's sixth hour."""
    short = review(ReportTarget(1, make_version(), make_history()), load_settings())
    hours = np.arange(96)
    errors = np.where(hours % 24 == 5, 10.0, 1.0)
    zeros = np.zeros(96)
    return replace(short, ts=MONDAY_MS + HOUR_MS * hours, actual=errors, answer=zeros, last=zeros)


def test_the_errors_of_an_hour_and_a_weekday_stand_over_its_name(reviewed: Review) -> None:
    """The hours are those of UTC, and the week begins on Monday."""
    figure = errors_by_time(reviewed, "load", SHEETS["light"])
    hour, weekday = figure.axes
    heights = [bar.get_height() for bar in hour.patches]
    assert heights[5] == 10.0
    assert set(heights[:5]) == {1.0}
    assert [bar.get_height() for bar in weekday.patches][:4] == [33 / 24] * 4
    assert weekday.get_xticklabels()[0].get_text() == "Mon"


def test_readings_of_one_hour_or_of_a_single_day_have_no_such_picture(reviewed: Review) -> None:
    """Daily readings fall on one hour."""
    assert has_hours(reviewed)
    assert not has_hours(replace(reviewed, ts=MONDAY_MS + DAY_MS * np.arange(96)))
    assert not has_hours(replace(reviewed, ts=MONDAY_MS + 60_000 * np.arange(96)))


def test_the_worst_stretches_do_not_overlap(reviewed: Review) -> None:
    """Four readings each: one twentieth of all."""
    actual = np.ones(96)
    actual[40:44] = 8.0
    actual[60:62] = 5.0
    worst = worst_stretches(replace(reviewed, actual=actual))
    assert (worst[0].first_ts, worst[0].mae) == (MONDAY_MS + 40 * HOUR_MS, 8.0)
    assert worst[1].mae == 3.0
    starts = sorted(each.first_ts for each in worst)
    assert min(np.diff(starts)) >= 4 * HOUR_MS
    assert stretch_rows(worst[:1], 2.0, moment) == [("2024-01-02 16:00 UTC", "2024-01-02 19:00 UTC", "8", "4.0")]


def test_a_group_without_values_has_no_mean() -> None:
    """It is drawn as no bar, not as one of height 0."""
    means = mean_by_group(np.array([1.0, 3.0]), np.array([0, 0]), 2)
    np.testing.assert_array_equal([2.0, np.nan], means)
