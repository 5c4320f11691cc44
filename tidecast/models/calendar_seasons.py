"""The seasons that a calendar suggests for a series, by the time between its rows."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tidecast.durations import DAY_MS

# The longest step, in days, and the calendar seasons, in days, that a series with such a step may have; 0: none.
CALENDARS = ((1 / 24, 1.0, 7.0), (1.0, 7.0, 365.25), (7.0, 364.0, 0.0), (31.0, 365.25, 0.0))
NEAR_STEP = 0.15  # of a calendar step: the largest difference between a series' step and that step
SHORTEST = 4  # rows: fewer do not hold two seasons of two rows


def calendar_days(step_ms: float) -> tuple[float, float]:
    """Return the calendar seasons of a series, in days, the shorter first; 0 for a missing one. It may be compiled.

    Args:
        step_ms: the time between two rows, in milliseconds, above 0.
    """
    days = step_ms / DAY_MS
    shortest = CALENDARS[0]
    if days <= shortest[0] * (1 + NEAR_STEP):
        return shortest[1], shortest[2]
    for step, first, second in CALENDARS:
        if abs(days / step - 1) <= NEAR_STEP:
            return first, second
    return 0.0, 0.0


def season_ms(season: int, step_ms: float) -> float:
    """Return the length of a season of so many rows: a calendar season if it has as many. It may be compiled."""
    for _, first, second in CALENDARS:
        for days in (first, second):
            if days > 0 and np.rint(days * DAY_MS / step_ms) == season:
                return days * DAY_MS
    return season * step_ms


@lru_cache(maxsize=4096)
def calendar_seasons(step_ms: float, longest: float) -> tuple[int, ...]:
    """Return the candidate seasons, in rows, the shortest first; at most two.

    Whether a candidate is a season of the series is decided by the errors of the experts that use it.

    Args:
        step_ms: the time between two rows, in milliseconds, above 0.
        longest: the longest season to return, in rows.
    """
    seasons = (round(days * DAY_MS / step_ms) for days in calendar_days(step_ms))
    return tuple(season for season in seasons if SHORTEST <= season <= longest)


def two_seasons(seasons: Sequence[int]) -> tuple[int, int]:
    """Return the first two seasons as the loops of a batch read them; 0: the series has no such season."""
    first, second, *_ = *seasons, 0, 0
    return first, second
