"""The profile of a long season."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tidecast.arrays import Float, Float32
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.season_profile import (
    MOST_BINS,
    NEWEST,
    UNCHANGED,
    add_reading,
    new_bins,
    new_profile,
    profile_value,
)

DAY = 1440


def learned(y: Float, season: int) -> tuple[np.recarray, Float32, list[int]]:
    """Return the profile, its bins and the changed bins after all readings, the first at the season's begin."""
    profile = new_profile()
    bins = new_bins(season)
    changed = [add_reading(address_of(profile), bins, row % season / season, value) for row, value in enumerate(y)]
    return profile, bins, changed


def test_bins_average_the_seasons() -> None:
    """A bin is its readings' mean, averaged by exponential smoothing, and is learned when the next one has closed."""
    y = np.random.default_rng(0).normal(size=3 * DAY) + 50
    profile, bins, changed = learned(y, DAY)
    means = y.reshape(3, MOST_BINS, -1).mean(axis=2)
    expected = means[0]
    for mean in means[1:]:
        expected = expected + NEWEST * (mean - expected)
    known = bins + profile.reference[0]
    np.testing.assert_allclose(known[:-2], expected[:-2], rtol=1e-6)
    np.testing.assert_allclose(known[-2:], means[0, -2:] + NEWEST * (means[1, -2:] - means[0, -2:]), rtol=1e-6)
    assert sum(bin_ != UNCHANGED for bin_ in changed) == 3 * MOST_BINS - 2


def test_values_are_interpolated_between_the_middles_of_bins() -> None:
    """A smooth season is met to half a row, much better than by its bins, also around midnight."""
    y = np.sin(2 * np.pi * np.arange(2 * DAY) / DAY)
    profile, bins, _ = learned(y, DAY)
    values = [profile_value(address_of(profile), bins, row / DAY) for row in range(DAY)]
    np.testing.assert_allclose(values, y[:DAY], atol=3e-3)


def test_both_values_of_a_change_date_from_the_season_before() -> None:
    """While a new level replaces the old one, the profile jumps at the one place where the series did."""
    y = 0.01 * np.random.default_rng(1).normal(size=4 * DAY)
    y[2 * DAY :] += 100.0
    profile = new_profile()
    bins = new_bins(DAY)
    changes = []
    for row, value in enumerate(y):
        add_reading(address_of(profile), bins, row % DAY / DAY, value)
        if row > DAY + 20:
            now, after = (profile_value(address_of(profile), bins, (row + i) % DAY / DAY) for i in range(2))
            changes.append(abs(after - now))
    jumps = np.flatnonzero(np.array(changes) > 0.05) + DAY + 21
    assert len(jumps)
    assert set(jumps % DAY) <= {*range(DAY - 3, DAY), *range(3)}


def test_an_unknown_bin_has_no_value() -> None:
    """In the first season, and where readings were missing."""
    profile, bins, _ = learned(np.ones(DAY // 2), DAY)
    assert profile_value(address_of(profile), bins, 0.2) == 1.0
    assert math.isnan(profile_value(address_of(profile), bins, 0.8))


@pytest.mark.parametrize("season", [2, 100, 10_080, 604_800])
def test_memory_is_bounded(season: int) -> None:
    """A season of any length has 288 bins at most."""
    assert len(new_bins(season)) == min(season, MOST_BINS)


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.floats(allow_nan=False, allow_infinity=False)), min_size=1
    ),
    st.integers(1, 5),
)
def test_bins_stay_finite_whatever_was_read(readings: list[tuple[float, float]], season: int) -> None:
    """The largest floats, and readings at any place of the season."""
    profile = new_profile()
    bins = new_bins(season)
    for phase, y in readings:
        add_reading(address_of(profile), bins, phase, y)
    assert not np.isinf(bins).any()
