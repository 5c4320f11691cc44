"""Whether a series has changed within its tail, and from which reading on that is over.

A level or a season that moves makes every reading differ from the one a season before, for one season; then the series
is like itself again, and so are the experts that read so far back. What they erred meanwhile tells nothing of them: a
version is judged, and its records begin, with the readings after it. Without a season a jump is over at once. A sensor
that is broken to the end does not settle; what one that came back may cost is bounded by the guard.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tidecast.models.time_grid import Float, Grid

Int64 = NDArray[np.int64]

SHOCK = 5.0  # times the usual largest move: beyond, a reading belongs to a change
UNUSUAL = 2.0  # times the usual largest mean distance from a season before: the same
SMOOTHED = 24  # readings over which distances are averaged at most: an outlier is no change
FEWEST = 30  # readings after a change: fewer tell nothing of what comes


@dataclass(frozen=True, slots=True)
class Change:
    """Where in a history a change lies."""

    first: int  # the first reading that may be compared with one before the change
    over: int  # the first that no longer is


def change_of(y: Float, tail: int, season: int | None) -> Change | None:
    """Find the change of a tail that is over; None: there is none, or too little came since.

    Args:
        y: `(readings,)`.
        tail: the reading at which the tail begins.
        season: in readings; None: it has none.
    """
    shocks = _unusual(np.abs(np.diff(y)), 1, len(y), tail, SHOCK)
    told, width = shocks + (season or 0), 1  # until then experts look back across it
    if season and season + SMOOTHED < tail:
        width = min(season, SMOOTHED)
        mean = np.convolve(np.abs(y[season:] - y[:-season]), np.full(width, 1 / width), "valid")
        told = np.concatenate([told, _unusual(mean, season + width - 1, len(y), tail, UNUSUAL)])
    if not len(told) or len(y) - told.max() - 1 < FEWEST:
        return None
    return Change(max(0, int(min([*told, *shocks])) - width), int(told.max()) + 1)


def _unusual(sizes: Float, first: int, readings: int, tail: int, most: float) -> Int64:
    """The readings of the tail whose size is over `most` times the largest of parts before it, their median.

    Args:
        sizes: `(readings - first,)`.
        first: the reading that the first of them belongs to.
        readings: how many there are.
        tail: the reading at which the tail begins.
        most: as said.
    """
    before, newest = sizes[: tail - first], sizes[tail - first :]
    size = min(readings - tail, len(before))
    usual = np.median(before[len(before) % size :].reshape(-1, size).max(axis=1))
    return tail + np.flatnonzero(newest > most * usual)


def parted(grid: Grid, change: Change | None) -> Grid:
    """The grid with a gap on either side of a change, so that no example compares old with new."""
    if change is None:
        return grid
    ends = np.flatnonzero(~grid.filled)[[change.first, change.over]]
    segment = grid.segment + (np.arange(len(grid))[:, None] >= ends).sum(axis=1)
    return replace(grid, segment=segment)
