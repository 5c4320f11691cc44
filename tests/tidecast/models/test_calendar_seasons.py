"""The seasons of the calendar."""

import math

import pytest

from tidecast.models.calendar_seasons import calendar_seasons


@pytest.mark.parametrize(
    ("step_s", "expected"),
    [
        (60, [1440, 10_080]),
        (300, [288, 2016]),
        (1800, [48, 336]),
        (3600, [24, 168]),
        (86_400, [7, 365]),
        (7 * 86_400, [52]),
        (30.4 * 86_400, [12]),
        (31 * 86_400, [12]),
        (3 * 3600, []),
        (1, [86_400, 604_800]),
    ],
)
def test_the_calendar_names_the_seasons_of_a_step(step_s: float, expected: list[int]) -> None:
    """Days and weeks of short steps, weeks and years of days, years of weeks and months."""
    assert calendar_seasons(step_s * 1000, math.inf) == tuple(expected)


def test_a_season_longer_than_the_limit_is_left_out() -> None:
    """A week of five minutes exceeds what a trained model's window holds."""
    assert calendar_seasons(300_000, 1024) == (288,)
