"""The season found from the data: there when it is there, and not otherwise."""

import math
from typing import Any

import numpy as np
import pytest

from tidecast.errors import SettingsError
from trainer.fit.seasonality import (
    check_season,
    check_season_fits,
    cycles,
    lag_errors,
    season_length,
    seasons,
)

DAY = 24


def whole(values: np.ndarray) -> np.ndarray:
    """Return the segments of a history without a gap."""
    return np.zeros(len(values), np.int64)


def seasonal(rows: int, season: int, noise: float) -> np.ndarray:
    """Return a season with two harmonics, and noise."""
    phase = 2 * np.pi * np.arange(rows) / season
    return np.sin(phase) + 0.5 * np.cos(2 * phase) + np.random.default_rng(0).normal(0, noise, rows)


@pytest.mark.parametrize("season", [4, 7, 12, 24, 52, 96])
@pytest.mark.parametrize("noise", [0.0, 0.3, 0.9])
def test_a_season_is_found(season: int, noise: float) -> None:
    """Under noise too, from eight seasons on."""
    values = seasonal(8 * season + 3, season, noise)
    length = season_length(values, whole(values))
    assert length is not None
    assert abs(length - season) <= (0 if noise == 0 or season < 20 else 2)


def test_a_trend_and_spikes_do_not_hide_a_season() -> None:
    """Real series have them besides a season."""
    values = seasonal(600, DAY, 0.1) + np.arange(600) / 100
    values[np.random.default_rng(1).integers(0, 600, 5)] += 5000
    assert season_length(values, whole(values)) == DAY


@pytest.mark.parametrize("rows", [60, 300, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_a_random_walk_has_no_season(rows: int, seed: int) -> None:
    """The last value is its best forecast, so no season is invented."""
    values = np.random.default_rng(seed).normal(size=rows).cumsum()
    assert season_length(values, whole(values)) is None


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_season(seed: int) -> None:
    """Chance dips are not deep enough."""
    values = np.random.default_rng(seed).normal(size=1000)
    assert season_length(values, whole(values)) is None


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [5.0] * 200, list(range(200))])
def test_a_series_too_short_too_flat_or_too_plain_has_no_season(values: list[float]) -> None:
    """Such a series raises no error either."""
    array = np.array(values, float)
    assert season_length(array, whole(array)) is None


def test_a_day_wins_over_a_week_that_is_hardly_better_and_loses_to_one_that_is() -> None:
    """The shorter of two seasons, unless the longer one explains much more."""
    values = seasonal(DAY * 7 * 6, DAY, 0.2)
    weekend = np.arange(len(values)) // DAY % 7 >= 5
    assert season_length(values + 0.05 * weekend, whole(values)) == DAY
    assert season_length(values * np.where(weekend, 0.2, 1), whole(values)) == DAY * 7


def test_one_event_makes_no_season() -> None:
    """A dip that only one half of the history shows does not count."""
    values = np.random.default_rng(0).normal(size=900).cumsum() / 30
    values[700:] += 3 * seasonal(200, DAY, 0)
    assert season_length(values, whole(values)) is None


def test_the_phase_may_shift_at_a_gap() -> None:
    """Differences across a gap are left out, so that a gap of half a day hides nothing."""
    values = np.concatenate([seasonal(300, DAY, 0.1), seasonal(312, DAY, 0.1)[12:]])
    segment = np.repeat([0, 1], 300)
    assert season_length(values, segment) == DAY


def test_the_errors_are_those_of_the_seasonal_naive() -> None:
    """Lag by lag, against the plain sum over the pairs within a segment."""
    values, segment = np.random.default_rng(3).normal(size=40), np.repeat([0, 1], [28, 12])
    errors = lag_errors(values, segment)
    for lag in range(1, errors.shape[1]):
        pairs = [abs(values[t] - values[t - lag]) for t in range(lag, 40) if segment[t] == segment[t - lag]]
        half = len(pairs) // 2
        assert errors[:, lag].tolist() == pytest.approx([np.mean(pairs[:half]), np.mean(pairs[half:])])


@pytest.mark.parametrize("season", [None, 1, 2, 1440, np.int64(24)])
def test_a_season_that_a_model_may_have_is_taken(season: int | None) -> None:
    """These include None and 1: to be found, and no season."""
    check_season(season)
    check_season_fits(season, 2000)


@pytest.mark.parametrize("season", [0, -3, 1_000_001, 10**30, 24.0, math.nan, math.inf, "24", True, [24]])
def test_a_season_out_of_range_is_one_sentence_with_the_limit(season: Any) -> None:
    """Before any training."""
    with pytest.raises(SettingsError, match=r"^--season is .*: give the rows of a season, 1 \(none\) to 1,000,000"):
        check_season(season, "--season")


@pytest.mark.parametrize(("season", "readings"), [(100, 100), (24, 20), (2, 1)])
def test_a_season_that_no_history_holds_is_one_sentence(season: int, readings: int) -> None:
    """It could never be used."""
    with pytest.raises(SettingsError, match=f"season is {season}, but the longest history has {readings} readings"):
        check_season_fits(season, readings)
    check_season_fits(1, readings)
    check_season_fits(season, 0)


def test_the_season_found_comes_before_those_of_the_calendar() -> None:
    """Each is listed once, and only if the history holds it a few times."""
    values = seasonal(300, 24, 0.1)
    assert seasons(values, whole(values), 3_600_000, gridded=True) == (24,)
    longer = seasonal(600, 24, 0.1)
    assert seasons(longer, whole(longer), 3_600_000, gridded=True) == (24, 168)
    odd = seasonal(600, 12, 0.1)
    assert seasons(odd, whole(odd), 3_600_000, gridded=True) == (12, 24, 168)
    assert seasons(odd, whole(odd), 3_600_000, gridded=False) == (12,)


@pytest.mark.parametrize(
    ("days", "step_h", "expected"),
    [
        (4.9, 1, ()),
        (5, 1, ("day",)),
        (28, 6, ("day", "week")),
        (28, 7, ("week",)),  # four readings do not fit into a day
        (800, 24, ("week", "year")),
        (800, 24 * 30.4, ("year",)),
        (800, 24 * 100, ()),
    ],
)
def test_a_cycle_is_learned_where_the_history_saw_it_often_enough(
    days: float, step_h: float, expected: tuple[str, ...]
) -> None:
    """The day in 5 days, the week in 4 weeks, the year in 2 years; with at least four readings in each."""
    assert expected == cycles(round(days * 86_400_000), step_h * 3_600_000)
