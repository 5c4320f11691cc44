"""The seasons that a calendar suggests for a series, by the time between its rows."""

from collections.abc import Sequence
from functools import lru_cache

from tidecast.durations import DAY_MS

# The longest step, in days, and the calendar seasons, in days, that a series with such a step may have.
CALENDARS = ((1 / 24, (1.0, 7.0)), (1.0, (7.0, 365.25)), (7.0, (364.0,)), (31.0, (365.25,)))
NEAR_STEP = 0.15  # of a calendar step: the largest difference between a series' step and that step
SHORTEST = 4  # rows: fewer do not hold two seasons of two rows


@lru_cache(maxsize=4096)
def calendar_seasons(step_ms: float, longest: float) -> tuple[int, ...]:
    """Return the candidate seasons, in rows, the shortest first; at most two.

    Whether a candidate is a season of the series is decided by the errors of the experts that use it.

    Args:
        step_ms: the time between two rows, in milliseconds, above 0.
        longest: the longest season to return, in rows.
    """
    days = step_ms / DAY_MS
    if days <= CALENDARS[0][0] * (1 + NEAR_STEP):
        lengths: tuple[float, ...] = CALENDARS[0][1]
    else:
        lengths = next((long for step, long in CALENDARS[1:] if abs(days / step - 1) <= NEAR_STEP), ())
    seasons = (round(long / days) for long in lengths)
    return tuple(season for season in seasons if SHORTEST <= season <= longest)


def two_seasons(seasons: Sequence[int]) -> tuple[int, int]:
    """Return the first two seasons as the loops of a batch read them; 0: the series has no such season."""
    first, second, *_ = *seasons, 0, 0
    return first, second
