"""The season length of a series, found from its data.

A season is a lag at which a series differs from itself less than at the lags around it. The measure is the average
magnitude difference function (Ross et al. 1974), the mean of |y[t] - y[t - lag]|: it is the seasonal naive's own
error on the part learned from, unlike autocorrelation it is not ruled by spikes, and a trend only tilts it.
"""

import numpy as np
from numpy.typing import NDArray

from tidecast.windows import Float

SHORTEST = 4  # rows: fewer hold no two seasons of two
LONGEST = 1024  # lags looked at: more rows than that no window holds
DIP = 0.85  # of the error at the lags around: what a season must reach on the whole,
DIP_IN_HALVES = 0.9  # and what in the older and in the newer half, so that one event makes no season
SHORTER_WINS = 1.25  # times the smallest error: of a day and a week that are nearly as good, the day
ROUNDING = 1e-9  # of the largest error: below, a season is perfect


def season_length(values: Float, segment: NDArray[np.int64]) -> int | None:
    """Find the season of rows on a grid, in rows; None when the data bear none.

    Args:
        values: `(rows,)`, of the part learned from.
        segment: `(rows,)`, as in `windows.Grid`; differences across a gap do not count.
    """
    if len(values) < SHORTEST:
        return None
    errors = lag_errors(np.clip(values, *np.quantile(values, [0.01, 0.99])), segment)
    seasons = [lag for lag in range(2, errors.shape[1] * 2 // 3) if _is_season(errors, lag)]
    smallest = min((errors[0, lag] for lag in seasons), default=0.0)
    enough = SHORTER_WINS * smallest + ROUNDING * errors.max()
    return next((lag for lag in seasons if errors[0, lag] <= enough), None)


def lag_errors(values: Float, segment: NDArray[np.int64]) -> Float:
    """The mean of |y[t] - y[t - lag]| overall, in the older and in the newer half of the pairs: `(3, lags)`.

    Lag 0 comes first; the last lag is the longest that at least half of the rows can look back.
    """
    found = [np.zeros(3)]
    for lag in range(1, min(len(values) // 2, LONGEST) + 1):
        same = segment[lag:] == segment[:-lag]
        error = np.abs(values[lag:] - values[:-lag])[same]
        if len(error) < len(values) / 2:
            break
        half = len(error) // 2
        found.append(np.array([error.mean(), error[:half].mean(), error[half:].mean()]))
    return np.stack(found, axis=1)


def _is_season(errors: Float, lag: int) -> bool:
    nearest = errors[0, lag - lag // 4 : lag + lag // 4 + 1]
    if errors[0, lag] > nearest.min():
        return False
    shorter, longer = errors[:, (lag + 1) // 2 : lag], errors[:, lag + 1 : lag + lag // 2 + 1]
    around = np.minimum(np.median(shorter, axis=1), np.median(longer, axis=1))
    return bool((errors[:, lag] < around * [DIP, DIP_IN_HALVES, DIP_IN_HALVES]).all())
