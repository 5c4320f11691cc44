"""The inputs of the pretrained network, which a cohort's network reads too.

The worker prepares them in `online/kernels/networks/inputs.py`; this is the definition in NumPy, by which the network
was trained.
"""

from typing import NamedTuple

import numpy as np

from tidecast.arrays import Bools, Float, Int64
from tidecast.models.inputs import Inputs
from tidecast.models.pretrained.shape import BEFORE, CHANNELS, SEASONS, USUAL, WINDOW
from tidecast.models.time_grid import CLIP

LONGEST_SECOND = 7  # times the first season: the training has no longer second one
REPEATS = 7  # past seasons in the usual ones, at most
OUTLYING = 5.0  # a change counts in the scale at most as this many usual ones
ROUNDS = 2  # of limiting the changes
SMALLEST = 1e-9  # of the newest value: a smaller scale counts as 0
UNCHANGED = 1e-300  # the scale of a window that does not change, whose forecast is its newest value
LONGEST = 8.0  # the season length is read as its logarithm to the base 2 over this


class _Window(NamedTuple):
    """The differences that the network reads, in the series' unit, and the places where they exist."""

    change: Float  # (n, WINDOW) from the row before
    level: Float  # (n, WINDOW) above the mean of the window's rows up to this one
    real: Bools  # (n, WINDOW) rows of the series, not padding
    naive: Float  # (n, WINDOW, SEASONS) the value one season before the next row, above this row
    repeated: Float  # (n, WINDOW, SEASONS) the change one season before the next row's
    has_naive: Bools
    has_repeated: Bools
    far_level: Float  # (n, WINDOW) as `level`, but up to `BEFORE` rows before the window count too
    usual_naive: Float  # (n, WINDOW) as `naive` of the first season, the mean over past seasons
    usual_repeated: Float  # (n, WINDOW) as `repeated`, the same


class _Usual(NamedTuple):
    """Means over past first seasons."""

    naive: Float  # (n, WINDOW) of the values one, two and more seasons before the next row, less the newest value
    repeated: Float  # (n, WINDOW) of the changes at those times


def lags(seasons: Int64, held: Int64) -> Int64:
    """Return how many rows back the network looks for each season, `(n, SEASONS)`; 0: the season is not known.

    Twice the first season stands for a second one that is not known, as in the training. It also does so while a series
    has no row from a second season ago that is much longer than the first, such as a year above a week.

    Args:
        seasons: `(n, SEASONS)` season lengths in rows; 0: not known.
        held: `(n,)` how many rows the series has.
    """
    first = seasons[:, 0]
    second = seasons[:, 1]
    is_known = (second > 0) & ((second < held) | (second <= LONGEST_SECOND * first))
    return np.stack([first, np.where(is_known, second, 2 * first)], axis=1)


def inputs(values: Float, ends: Int64, held: Int64, seasons: Int64) -> Inputs:
    """Prepare the newest rows of windows for the network.

    Args:
        values: the rows of all series one after another.
        ends: `(n,)` the place after each window's newest row.
        held: `(n,)` how many rows before that place belong to the series, at least 1.
        seasons: `(n, SEASONS)` season lengths in rows; 0: not known.

    Returns:
        `x` of `(n, WINDOW, CHANNELS)`, 0 in rows before the series; the newest values; and the scales.
    """
    window = _window(values, ends, held, seasons)
    base = values[ends - 1]
    scale = _scale(window)
    size = np.where(scale > SMALLEST * np.abs(base), scale, UNCHANGED)
    logarithm = np.log2(np.maximum(seasons[:, :1], 1)) / LONGEST
    x = np.empty((len(ends), WINDOW, CHANNELS), np.float32)
    x[:, :, 0] = _scaled(window.change, size)
    x[:, :, 1] = _scaled(window.level, size)
    x[:, :, 2] = window.real
    for season in range(SEASONS):
        x[:, :, 3 + 3 * season] = _scaled(window.naive[:, :, season], size)
        x[:, :, 4 + 3 * season] = _scaled(window.repeated[:, :, season], size)
        x[:, :, 5 + 3 * season] = window.has_naive[:, :, season]
    x[:, :, USUAL - 1] = window.real * logarithm
    x[:, :, USUAL] = _scaled(window.far_level, size)
    x[:, :, USUAL + 1] = _scaled(window.usual_naive, size)
    x[:, :, USUAL + 2] = _scaled(window.usual_repeated, size)
    return Inputs(x, base, size)


def _window(values: Float, ends: Int64, held: Int64, seasons: Int64) -> _Window:
    """Cut windows and compute their differences."""
    at = ends[:, None] + np.arange(-WINDOW, 0)
    start = (ends - held)[:, None]
    first = np.maximum(start, at[:, :1])
    real = at >= first
    last = values[ends - 1][:, None]
    row = np.where(real, values[np.maximum(at, 0)] - last, 0.0)
    before = np.concatenate([row[:, :1], row[:, :-1]], axis=1)
    lag = np.maximum(seasons, 0)[:, None, :]
    then = at[:, :, None] + 1 - lag
    has_naive = (lag > 0) & (then >= start[:, :, None]) & real[:, :, None]
    has_repeated = has_naive & (then > start[:, :, None])
    season = values[np.where(has_naive, then, 0)]
    usual = _usual(values, then[:, :, 0], lag[:, :, 0], start, last)
    return _Window(
        change=np.where(at > first, row - before, 0.0),
        level=np.where(real, row - _means(row, real), 0.0),
        real=real,
        naive=np.where(has_naive, season - last[:, :, None] - row[:, :, None], 0.0),
        repeated=np.where(has_repeated, season - values[np.where(has_repeated, then - 1, 0)], 0.0),
        has_naive=has_naive,
        has_repeated=has_repeated,
        far_level=np.where(real, row - _far_means(values, ends, start, last), 0.0),
        usual_naive=np.where(has_naive[:, :, 0], usual.naive - row, 0.0),
        usual_repeated=np.where(has_repeated[:, :, 0], usual.repeated, 0.0),
    )


def _means(rows: Float, real: Bools) -> Float:
    """Return the mean of the rows up to each one, `(n, rows)`."""
    means: Float = np.cumsum(rows, axis=1) / np.maximum(np.cumsum(real, axis=1), 1)
    return means


def _far_means(values: Float, ends: Int64, start: Int64, last: Float) -> Float:
    """Return the mean of the rows up to each one of the window, with those before the window, less the newest value."""
    at = ends[:, None] + np.arange(-BEFORE - WINDOW, 0)
    real = at >= start
    return _means(np.where(real, values[np.maximum(at, 0)] - last, 0.0), real)[:, BEFORE:]


def _usual(values: Float, then: Int64, lag: Int64, start: Int64, last: Float) -> _Usual:
    """Return the means over up to `REPEATS` past seasons.

    Args:
        values: the rows of all series.
        then: `(n, WINDOW)` the place one season before the next row.
        lag: `(n, 1)` the season; 0: none.
        start: `(n, 1)` the place of the series' first row.
        last: `(n, 1)` the newest value.
    """
    value_sum = np.zeros(then.shape)
    change_sum = np.zeros(then.shape)
    known_count = np.zeros(then.shape)
    changed_count = np.zeros(then.shape)
    for _ in range(REPEATS):
        known = (lag > 0) & (then >= start)
        changed = known & (then > start)
        value = values[np.where(known, then, 0)]
        value_sum += np.where(known, value - last, 0.0)
        change_sum += np.where(changed, value - values[np.where(changed, then - 1, 0)], 0.0)
        known_count += known
        changed_count += changed
        then = then - lag
    return _Usual(value_sum / np.maximum(known_count, 1), change_sum / np.maximum(changed_count, 1))


def _scale(window: _Window) -> Float:
    """Return the mean size of the changes in the window and one season before, `(n,)`; outlying ones are limited."""
    sizes = np.abs(np.concatenate([window.change, window.repeated[:, :, 0]], axis=1))
    changes = np.maximum(window.real.sum(axis=1) - 1, 0) + window.has_repeated[:, :, 0].sum(axis=1)
    count = np.maximum(changes, 1)
    scale: Float = sizes.sum(axis=1) / count
    for _ in range(ROUNDS):
        scale = np.minimum(sizes, OUTLYING * scale[:, None]).sum(axis=1) / count
    return scale


def _scaled(difference: Float, size: Float) -> Float:
    return np.clip(difference / size[:, None], -CLIP, CLIP)
