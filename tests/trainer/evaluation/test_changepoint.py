"""A change within the tail is found once it is over; a broken sensor or an ordinary series has none."""

import numpy as np
import pytest

from tidecast.arrays import Float
from tidecast.models.time_grid import to_grid
from trainer.evaluation.changepoint import FEWEST, SMOOTHED, Change, change_of, parted, seasons_after

SEASON, AT, TAIL = 24, 500, 480


def days(readings: int = 600, seed: int = 0) -> Float:
    """Hours with a day and noise."""
    noise = np.random.default_rng(seed).normal(0, 1, readings)
    waves: Float = 10 * np.sin(2 * np.pi * np.arange(readings) / SEASON) + noise
    return waves


def moved(kind: str) -> Float:
    """Return the same with another level, or half a season later, from a reading on."""
    y = days()
    after = np.arange(600) >= AT
    return y + 30 * after if kind == "level" else np.where(after, np.roll(y, SEASON // 2), y)


@pytest.mark.parametrize("kind", ["level", "season"])
def test_a_change_is_over_once_a_season_has_come_since(kind: str) -> None:
    """It begins no later than the real change, and ends when readings are compared with new ones alone."""
    change = change_of(moved(kind), TAIL, SEASON)
    assert change
    assert AT - 2 * SMOOTHED <= change.first <= AT
    assert AT + SEASON <= change.over <= AT + SEASON + SMOOTHED


def test_a_jump_without_a_season_is_over_at_once() -> None:
    """The next reading moves as all before."""
    y = np.random.default_rng(0).normal(size=600)
    y[AT:] += 100
    change = change_of(y, TAIL, None)
    assert change
    assert (AT - 1, AT + 1) == (change.first, change.over)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("season", [SEASON, 550, None])
def test_a_series_as_usual_has_not_changed(seed: int, season: int | None) -> None:
    """A season as long as the history does not make it a change either."""
    assert change_of(days(seed=seed), TAIL, season) is None


def test_what_has_not_settled_is_no_change_yet() -> None:
    """Noise goes on, or too few readings have come since the change: the usual care is due."""
    y = days()
    y[AT:] = np.random.default_rng(1).normal(0, 300, 100)
    assert change_of(y, TAIL, SEASON) is None
    assert change_of(moved("level")[: AT + SEASON + FEWEST - 1], TAIL, SEASON) is None


def test_no_example_compares_old_with_new() -> None:
    """Gaps stand on either side of a change and between its readings; without one the grid is as it was."""
    y = moved("level")
    grid = to_grid(np.arange(600) * 1000, y[:, None], 1000, 0)
    change = change_of(y, TAIL, SEASON)
    assert change
    segment = parted(grid, change).segment
    assert list(range(change.first, change.over + 1)) == (np.flatnonzero(np.diff(segment)) + 1).tolist()
    assert parted(grid, None) is grid


def test_a_new_season_waits_until_the_readings_since_a_change_hold_it() -> None:
    """A week of hours would look back across it; the seasons of the present model stay."""
    change = Change(first=480, over=520)
    assert (24,) == seasons_after((24, 168), (24,), change, readings=600)
    assert (24, 168) == seasons_after((24, 168), (24,), change, readings=520 + 168)
    assert (24, 168) == seasons_after((24, 168), (168,), change, readings=600)
    assert (24, 168) == seasons_after((24, 168), (24,), None, readings=600)
