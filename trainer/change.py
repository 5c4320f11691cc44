"""Whether a series has changed within its tail and stayed so, and from which reading on that is over.

A level or a season that moves makes every reading differ from the one a season before, for one season; then the series
is like itself again, and so are the experts that read so far back. What they erred meanwhile tells nothing of them: a
version is judged, and its records begin, with the readings after it. A broken sensor does not settle.
"""

from dataclasses import dataclass, replace

import numpy as np

from tidecast.windows import Float, Grid

UNUSUAL = 2.0  # times the usual largest distance: beyond, a reading belongs to a change
SMOOTHED = 24  # readings over which distances are averaged at most: an outlier is no change
FEWEST = 30  # readings after a change: fewer tell nothing of what comes


@dataclass(frozen=True, slots=True)
class Change:
    """Where in a history a change lies: readings from `first` on, until `over`, compare old with new."""

    first: int
    over: int


def change_of(y: Float, tail: int, season: int | None) -> Change | None:
    """Find the change of a tail that is over; None: there is none, or too little came since.

    The distances from the readings a season before are averaged over a season, and the largest of them compared with
    those of parts of the tail's length before it, of which the median counts. Without a season nothing is told.

    Args:
        y: `(readings,)`.
        tail: the reading at which the tail begins.
        season: in readings.
    """
    size = len(y) - tail
    if season is None or season + SMOOTHED > tail or size < FEWEST:
        return None
    width = min(season, SMOOTHED)
    apart = np.abs(y[season:] - y[:-season])
    mean = np.convolve(apart, np.full(width, 1 / width), "valid")  # entry i ends with reading i + shift
    shift = season + width - 1
    before, newest = mean[: tail - shift], mean[max(0, tail - shift) :]
    size = min(size, len(before))
    if size < 1:
        return None
    usual = float(np.median(before[len(before) % size :].reshape(-1, size).max(axis=1)))
    found = len(y) - len(newest) + np.flatnonzero(newest > UNUSUAL * usual)
    if not len(found) or len(y) - found[-1] - 1 < FEWEST:
        return None
    return Change(max(0, int(found[0]) - width), int(found[-1]) + 1)


def parted(grid: Grid, change: Change | None) -> Grid:
    """The grid with a gap on either side of a change, so that no example compares old with new."""
    if change is None:
        return grid
    ends = np.flatnonzero(~grid.filled)[[change.first, change.over]]
    segment = grid.segment + (np.arange(len(grid))[:, None] >= ends).sum(axis=1)
    return replace(grid, segment=segment)
