"""Detection of the season length of a series.

A season is a lag at which a series differs from itself less than at the lags around it. The measure is the average
magnitude difference function (Ross et al. 1974), the mean of |y[t] - y[t - lag]|. It is the seasonal naive's error on
the training part. Unlike autocorrelation it is not dominated by spikes, and a trend only tilts it.
"""

from collections.abc import Mapping
from numbers import Integral
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float
from tidecast.durations import DAY_MS
from tidecast.errors import SettingsError
from tidecast.models.calendar_seasons import SHORTEST, calendar_seasons
from tidecast.models.model import LONGEST_SEASON, MAX_SEASON
from tidecast.models.spec import CYCLES, Cycle

PERIODS = 2.5  # periods of a season that a history must hold before an expert is fitted to it
# The days that a history must span before a network may learn a cycle of the calendar.
LEARNABLE: Mapping[Cycle, float] = MappingProxyType({"day": 5.0, "week": 28.0, "year": 2 * 365.25})
LONGEST = MAX_SEASON  # largest lag to try: a window holds as many rows
DIP = 0.88  # of the error at the lags around: a season's error is below this, in the older and in the newer half
SHORTER_WINS = 1.25  # times the smallest error: the shortest season below this wins, such as a day over a week
ROUNDING = 1e-9  # of the largest error: tolerance for rounding where a season is perfect


def check_season(season: Any, called: str = "season") -> None:
    """Check that a season length given by a user is one that a model may have.

    Args:
        season: in rows; None: detect it; 1: no season.
        called: the option's name, for the message.

    Raises:
        SettingsError: it is out of range.
    """
    is_whole = isinstance(season, Integral) and not isinstance(season, bool)
    if season is not None and not (is_whole and 1 <= season <= LONGEST_SEASON):
        raise SettingsError(
            f"{called} is {season!r}: give the rows of a season, 1 (none) to {LONGEST_SEASON:,}; "
            "for a longer one bring readings of a longer step"
        )


def check_season_fits(season: int | None, readings: int, called: str = "season") -> None:
    """Check that the longest history holds more than one season.

    Raises:
        SettingsError: it does not, so the given season would have no effect.
    """
    if season is not None and readings and season >= max(readings, 2):
        raise SettingsError(f"{called} is {season}, but the longest history has {readings} readings: bring more")


def season_length(values: Float, segment: NDArray[np.int64]) -> int | None:
    """Return the season of rows on a grid, in rows; or None if detection fails.

    Args:
        values: `(rows,)`, of the training part.
        segment: `(rows,)`, as in `time_grid.Grid`; differences across a gap do not count.
    """
    if len(values) < SHORTEST:
        return None
    halves = lag_errors(np.clip(values, *np.quantile(values, [0.01, 0.99])), segment)
    errors = halves.mean(axis=0)
    seasons = [lag for lag in range(2, len(errors) * 2 // 3) if _is_lowest(errors, lag) and _is_dip(halves, lag)]
    enough = SHORTER_WINS * min(errors[seasons], default=0.0) + ROUNDING * errors.max()
    return next((lag for lag in seasons if errors[lag] <= enough), None)


def seasons(values: Float, segment: NDArray[np.int64], step_ms: float, *, gridded: bool) -> tuple[int, ...]:
    """Return the season lengths for a panel's experts, in rows: the detected one, then those of the calendar.

    A calendar season costs little in a series without it, because its experts lose their share of the blend. Where
    detection misses a season, such as a week under a strong day, its experts gain much.

    Args:
        values: `(rows,)`, of the training part.
        segment: `(rows,)`, as in `time_grid.Grid`.
        step_ms: the grid's step.
        gridded: False: rows are not equally spaced in time, so calendar seasons are not used.
    """
    detected = season_length(values, segment)
    tried = [detected] if detected else []
    if gridded:
        tried += calendar_seasons(step_ms, LONGEST_SEASON)
    return tuple(season for season in dict.fromkeys(tried) if PERIODS * season < len(values))


def cycles(span_ms: int, step_ms: float) -> tuple[Cycle, ...]:
    """Return the calendar cycles that a history covers often enough (span) and finely enough (step) to learn."""
    days = span_ms / DAY_MS
    step = step_ms / DAY_MS
    return tuple(name for name, least in LEARNABLE.items() if days >= least and SHORTEST * step <= CYCLES[name])


def lag_errors(values: Float, segment: NDArray[np.int64]) -> Float:
    """Return the mean of |y[t] - y[t - lag]| in the older and the newer half of the pairs: `(2, lags)`, from lag 0.

    The last lag is the longest for which at least half of the rows have a partner.
    """
    errors = [np.zeros(2)]
    for lag in range(1, min(len(values) // 2, LONGEST) + 1):
        same = segment[lag:] == segment[:-lag]
        error = np.abs(values[lag:] - values[:-lag])[same]
        if len(error) < len(values) / 2:
            break
        half = len(error) // 2
        errors.append(np.array([error[:half].mean(), error[half:].mean()]))
    return np.stack(errors, axis=1)


def _is_lowest(errors: Float, lag: int) -> bool:
    reach = lag // 4
    return bool(errors[lag] == errors[lag - reach : lag + reach + 1].min())


def _is_dip(halves: Float, lag: int) -> bool:
    """Return whether a lag's error, in both halves, is below the usual one at shorter and at longer lags."""
    shorter = halves[:, (lag + 1) // 2 : lag]
    longer = halves[:, lag + 1 : lag + lag // 2 + 1]
    around = np.minimum(np.median(shorter, axis=1), np.median(longer, axis=1))
    return bool((halves[:, lag] < DIP * around).all())
