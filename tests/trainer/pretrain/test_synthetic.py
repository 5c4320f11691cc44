"""The synthetic series: finite, varied, and with the seasons that they claim."""

import numpy as np
import pytest

from trainer.pretrain import shapes, synthetic
from trainer.pretrain.families import FAMILIES, Family, sarima, seasonal, smoothing, walks, weekly


def rng() -> np.random.Generator:
    """Return the same random numbers each time."""
    return np.random.default_rng(5)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_every_family_makes_finite_series_that_change_and_differ(family: Family) -> None:
    """A constant or infinite series teaches nothing, and a repeated one no more than its first."""
    made = family(rng(), 40, 400)
    assert made.values.shape == (40, 400)
    assert made.seasons.shape == (40, 2)
    assert np.isfinite(made.values).all()
    assert (np.ptp(made.values, axis=1) > 0).mean() >= 0.95
    assert len(np.unique(made.values.round(9), axis=0)) == 40
    assert ((made.seasons[:, 1] == 0) | (made.seasons[:, 1] > made.seasons[:, 0])).all()


@pytest.mark.parametrize("family", [seasonal, weekly, smoothing, sarima], ids=lambda family: family.__name__)
def test_a_claimed_season_is_in_the_series(family: Family) -> None:
    """Rows a season apart are more alike than rows half a season apart, in nearly all series."""
    made = family(rng(), 60, 800)
    closer = []
    for values, (period, _) in zip(made.values, made.seasons, strict=True):
        whole, half = (np.diff(values[lag:]) - np.diff(values[:-lag]) for lag in (period, period // 2))
        closer.append(np.abs(whole).mean() < np.abs(half).mean())
    assert np.mean(closer) > 0.7


def test_the_bumps_of_a_day_return_every_day_and_differ_from_day_to_night() -> None:
    """A day has a few smooth rises and falls: its hours are more alike than those of noise with the same spread."""
    made = shapes.bumps(rng(), np.full(50, 24), 96)
    assert np.allclose(made[:, :24], made[:, 24:48])
    assert np.allclose(made.std(axis=1), 1)
    assert np.abs(np.diff(made, axis=1)).mean() < 0.5  # 1.1 in normal noise


def test_changes_of_random_walks_do_not_depend_on_the_past() -> None:
    """Here the last value is the best forecast, and the network must learn that."""
    changes = np.diff(walks(rng(), 100, 800).values, axis=1)
    correlation = [np.corrcoef(row[1:], row[:-1])[0, 1] for row in changes]
    assert abs(np.mean(correlation)) < 0.03


def test_some_series_are_given_wrong_seasons_and_some_none() -> None:
    """In service a season length comes from the step alone, and may be wrong."""
    true = np.repeat([[0, 0], [24, 168], [24, 0]], 500, axis=0)
    given = synthetic.known_seasons(rng(), true)
    assert 0.3 < (given[:500, 0] > 0).mean() < 0.5
    assert 0.7 < (given[500:1000] == [24, 168]).all(axis=1).mean() < 0.9
    assert {(24, 48), (24, 168), (0, 0)} == set(map(tuple, given[1000:].tolist()))
    assert 0.3 < (given[1000:] == [24, 168]).all(axis=1).mean() < 0.5


def test_a_draw_holds_all_families_in_equal_parts_and_repeats_by_its_seed() -> None:
    """The same seed draws the same series to the last bit, another seed others."""
    made = synthetic.draw(rng(), 3, 300)
    again = synthetic.draw(rng(), 3, 300)
    assert made.values.shape == (3 * len(FAMILIES), 300)
    assert np.array_equal(made.values, again.values)
    assert np.array_equal(made.seasons, again.seasons)
    assert not np.array_equal(made.values, synthetic.draw(np.random.default_rng(6), 3, 300).values)
