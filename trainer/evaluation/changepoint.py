"""Detection of a change within the tail of a series, and of the reading at which its effect ends.

After a level or a season shifts, every reading differs from the one a season before, for one season. Then the series
is like itself again, and the experts that read so far back work again. Their errors in between do not show how good
they are. So a version is judged on the readings after the change, and its error records begin there. Without a season
a jump ends at once. A sensor that stays broken does not settle. The outlier guard bounds the cost of one that recovers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.time_grid import Grid

SHOCK = 5.0  # times the usual largest move: a reading with a larger one belongs to a change
UNUSUAL = 2.0  # times the usual largest mean distance from a season before: likewise
SMOOTHED = 24  # readings over which distances are averaged at most, so that an outlier does not count as a change
FEWEST = 30  # readings needed after a change to judge a model


@dataclass(frozen=True, slots=True)
class Change:
    """The readings of a history that a change affects."""

    first: int  # the first reading that may be compared with one before the change
    over: int  # the first reading after its effect


def change_of(y: Float, tail: int, season: int | None) -> Change | None:
    """Return the change in a tail whose effect has ended; None without a change, or with too few readings after it.

    Args:
        y: `(readings,)`.
        tail: the reading at which the tail begins.
        season: in readings; None: the series has no season.
    """
    shocks = _unusual(np.abs(np.diff(y)), 1, len(y), tail, SHOCK)
    affected = shocks + (season or 0)  # until then experts look back across the change
    width = 1
    if season and season + SMOOTHED < tail:
        width = min(season, SMOOTHED)
        mean = np.convolve(np.abs(y[season:] - y[:-season]), np.full(width, 1 / width), "valid")
        affected = np.concatenate([affected, _unusual(mean, season + width - 1, len(y), tail, UNUSUAL)])
    if not len(affected) or len(y) - affected.max() - 1 < FEWEST:
        return None
    return Change(max(0, int(min([*affected, *shocks])) - width), int(affected.max()) + 1)


def _unusual(sizes: Float, first: int, readings: int, tail: int, most: float) -> Int64:
    """Return the readings of the tail whose size is more than `most` times the usual maximum before the tail.

    The usual maximum is the median over the maxima of earlier parts of the tail's length.

    Args:
        sizes: `(readings - first,)`.
        first: the reading that the first size belongs to.
        readings: the number of readings.
        tail: the reading at which the tail begins.
        most: the factor.
    """
    before = sizes[: tail - first]
    newest = sizes[tail - first :]
    size = min(readings - tail, len(before))
    usual = np.median(before[len(before) % size :].reshape(-1, size).max(axis=1))
    return tail + np.flatnonzero(newest > most * usual)


def parted(grid: Grid, change: Change | None) -> Grid:
    """Return the grid with a gap before and after each reading of a change, so that no example compares old with new.

    The readings of the change itself are old and new ones: a window within them would compare them too.
    """
    if change is None:
        return grid
    rows = np.flatnonzero(~grid.filled)  # of the readings
    first = rows[change.first]
    over = rows[change.over]
    apart = np.clip(np.arange(len(grid)) - first + 1, 0, over - first + 1)
    return replace(grid, segment=grid.segment + apart)


def seasons_after(
    seasons: Sequence[int], former: Sequence[int], change: Change | None, readings: int
) -> tuple[int, ...]:
    """Return the seasons of a model that replaces one with the seasons `former`.

    A season that is new to the series is added once the readings since the change hold it. Until then its experts would
    look back across the change, and be worse than those that they replace.

    Args:
        seasons: the seasons found, in rows.
        former: those of the present model.
        change: in the tail of the history.
        readings: the number of readings.
    """
    if change is None:
        return tuple(seasons)
    return tuple(season for season in seasons if season in former or season <= readings - change.over)
