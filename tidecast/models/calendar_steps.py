"""The times of series whose readings lie whole months apart: months, quarters and years differ in length."""

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.durations import DAY_MS, HOUR_MS

MONTH_MS = 365.25 / 12 * DAY_MS
NEAR_MS = 1.5 * DAY_MS  # the largest difference between a step and so many months of average length
# Days begin at 15:00 UTC, when it is midnight only where clocks never change. So the midnights of every place keep
# their day of the month in summer and winter.
SHIFT_MS = 9 * HOUR_MS
MONTH_END = 31  # the day of readings at the ends of months
MOST_TIMES = 16  # newest readings that determine the day


def months_in(step_ms: float) -> int:
    """Return how many months a step has, 0 if it is not close to a whole number of months. It may be compiled."""
    months = int(np.rint(step_ms / MONTH_MS))
    return months if abs(step_ms - months * MONTH_MS) <= NEAR_MS else 0


def day_of_month(ms: int) -> int:
    """Return the day of the month of a time, 1 to 31 (Hinnant, days_from_civil). It may be compiled."""
    days = (ms + SHIFT_MS) // DAY_MS + 719468  # since 1 March of the year 0
    of_era = days % 146097  # an era has 400 years
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    return int(of_year - (153 * month + 2) // 5 + 1)


def calendar_day(newest: int, steps: Int64, count: int, step_ms: float) -> int:
    """Return the day of the month on which a series' readings lie, 0 if it differs. It may be compiled.

    Args:
        newest: the time of the newest reading, epoch milliseconds.
        steps: the steps before it, oldest first, in milliseconds.
        count: how many of them are known, the first ones.
        step_ms: the series' step.

    Returns:
        1 to 30, or `MONTH_END`; 0 also if the step is not a number of months, or no step is known.
    """
    if count == 0 or months_in(step_ms) == 0:
        return 0
    day = 0  # of the readings that are not at a month's end
    latest_end = 0
    ms = newest
    for i in range(count + 1):
        its = day_of_month(ms)
        if day_of_month(ms + DAY_MS) == 1:
            latest_end = max(latest_end, its)
        elif day not in (0, its):
            return 0
        else:
            day = its
        if i < count:
            ms -= steps[count - 1 - i]
    if day == 0:
        return MONTH_END
    return day if latest_end <= day else 0


def months_after(ts: Int64, months: Int64, days: Int64) -> Int64:
    """Return the times that are so many months after others, at the same hour.

    Args:
        ts: `(n,)` epoch milliseconds.
        months: `(n,)`.
        days: `(n,)` the days of the month, as `calendar_day` returns them; in a shorter month its last day counts.
    """
    shifted = ts + SHIFT_MS
    hour = shifted % DAY_MS
    month = (shifted // DAY_MS).astype("datetime64[D]").astype("datetime64[M]") + months.astype("timedelta64[M]")
    first = month.astype("datetime64[D]").astype(np.int64)
    length = (month + 1).astype("datetime64[D]").astype(np.int64) - first
    later: Int64 = (first + np.minimum(days, length) - 1) * DAY_MS + hour - SHIFT_MS
    return later


def times_ahead(ts: Int64, step_ms: Float | Int64, days: Int64, steps: int = 1) -> Int64:
    """Return the times that are so many steps after others.

    Args:
        ts: `(n,)` epoch milliseconds.
        step_ms: `(n,)` the steps, in milliseconds; 0: not known, and the times stay.
        days: `(n,)` as `calendar_day` returns them.
        steps: at least 1.
    """
    later = ts + steps * np.rint(step_ms).astype(np.int64)
    calendar = np.flatnonzero(days)
    if len(calendar):
        months = np.rint(step_ms[calendar] / MONTH_MS).astype(np.int64)
        later[calendar] = months_after(ts[calendar], steps * months, days[calendar])
    return later


def times_after(grid: Int64, history: Int64, step_ms: float, *, gridded: bool) -> Int64:
    """Return the expected times of the readings after the rows of a series: `(rows,)`.

    Args:
        grid: `(rows,)` the times of the rows, epoch milliseconds.
        history: `(readings,)` the times of the readings.
        step_ms: the grid's step.
        gridded: whether the readings lie on the grid.
    """
    newest = history[-MOST_TIMES:]
    day = calendar_day(int(newest[-1]), np.diff(newest), len(newest) - 1, step_ms) if gridded else 0
    return times_ahead(grid, np.full(len(grid), max(1.0, step_ms)), np.full(len(grid), day))
