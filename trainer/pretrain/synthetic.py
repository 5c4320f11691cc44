"""Draw synthetic series: the families in equal parts, and then accidents that any series may have."""

import numpy as np

from tidecast.arrays import Float, Int64
from trainer.pretrain import noise, shapes
from trainer.pretrain.families import FAMILIES, Synthetic
from trainer.pretrain.noise import chosen, log_uniform, standardised

OFFSETS = (0.1, 1000.0)  # the range of the mean over the standard deviation
LARGEST_GAP = 12  # missing rows in a stretch, which are interpolated as the worker does


def draw(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Draw so many series of each family in a random order, with accidents.

    Returns:
        `len(FAMILIES) * series` series; their seasons are those that the network is given: some are left out, some are
        wrong.
    """
    made = [family(rng, series, rows) for family in FAMILIES]
    values = standardised(np.concatenate([one_family.values for one_family in made]))
    seasons = np.concatenate([one_family.seasons for one_family in made])
    values = _mixed(rng, values)
    values = _with_accidents(rng, values)
    values = np.where(chosen(rng, 0.15, len(values)) > 0, _rounded(rng, values), values)
    offset = log_uniform(rng, *OFFSETS, len(values)) * chosen(rng, 0.5, len(values))
    order = rng.permutation(len(values))
    return Synthetic((values + offset)[order], known_seasons(rng, seasons)[order])


def known_seasons(rng: np.random.Generator, seasons: Int64) -> Int64:
    """Return the season lengths that the network is given, `(series, 2)`.

    A fifth of the series get none. Of series without a season a half get the usual lengths of some step. Of series with
    one season a half get the usual second one too, as in service, where both follow from the step alone. The others get
    twice the length of the first as the second.
    """
    series = len(seasons)
    usual = shapes.periods(rng, series)
    given = np.where(seasons[:, :1] > 0, seasons, usual * (rng.random((series, 1)) < 0.5))
    is_suggested = (given[:, 1] == 0) & (rng.random(series) < 0.5)
    second = np.where(is_suggested, shapes.longer(given[:, 0]), given[:, 1])
    given = np.stack([given[:, 0], second], axis=1) * (rng.random((series, 1)) > 0.2)
    return with_second(given)


def with_second(seasons: Int64) -> Int64:
    """Return season lengths, `(series, 2)`, where twice the first stands for a second one that is not known."""
    second = np.where(seasons[:, 1] > 0, seasons[:, 1], 2 * seasons[:, 0])
    return np.stack([seasons[:, 0], second], axis=1)


def _mixed(rng: np.random.Generator, values: Float) -> Float:
    """Add to a quarter of the series another one, at random, with less weight."""
    series = len(values)
    other = values[rng.permutation(series)]
    mixed: Float = values + other * rng.uniform(0, 0.6, (series, 1)) * chosen(rng, 0.25, series)
    return mixed


def _with_accidents(rng: np.random.Generator, values: Float) -> Float:
    """Add level shifts, spikes and missing stretches to some of the series."""
    series, rows = values.shape
    values = values + shapes.shifts(rng, series, rows) * chosen(rng, 0.15, series) * log_uniform(rng, 0.3, 4, series)
    values = values + shapes.spikes(rng, series, rows) * chosen(rng, 0.1, series) * log_uniform(rng, 0.5, 8, series)
    blur = noise.innovations(rng, series, rows) * log_uniform(rng, 0.005, 0.3, series)
    return _interpolated(rng, values + blur * chosen(rng, 0.3, series))


def _interpolated(rng: np.random.Generator, values: Float) -> Float:
    """Replace stretches of a tenth of the series by straight lines."""
    result = values.copy()
    for i in np.flatnonzero(rng.random(len(values)) < 0.1):
        for first in rng.integers(1, values.shape[1] - LARGEST_GAP - 1, 8):
            count = int(rng.integers(1, LARGEST_GAP + 1))
            result[i, first : first + count] = np.interp(
                np.arange(count) + 1.0, [0, count + 1], [result[i, first - 1], result[i, first + count]]
            )
    return result


def _rounded(rng: np.random.Generator, values: Float) -> Float:
    """Round to a grid of two to a hundred steps per standard deviation, as coarse sensors do."""
    step = 1 / log_uniform(rng, 2, 100, len(values))
    rounded: Float = np.round(values / step) * step
    return rounded
