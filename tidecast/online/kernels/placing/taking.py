"""Append a batch's readings to the windows of their series, and read what the experts need."""

from typing import NamedTuple

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.durations import DAY_MS
from tidecast.models import calendar_seasons, calendar_steps
from tidecast.models.calendar_seasons import SHORTEST
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.placing.profiles import begin_profile, learn_rows, write_terms
from tidecast.online.kernels.pointers import bytes_at, carray, floats_at
from tidecast.online.kernels.window_loops import HistoryLimits, count_doubted, early_move, grid_step, push, window_at
from tidecast.wire.state_format import BLOCK, SEASONS

WITHOUT_MODEL = -1.0  # in place of the usual largest move of a model's history
CALENDAR = -1  # in place of a model's season: the series has no model
DUPLICATE, LATE = -1, -2  # in place of a number of missing steps: the reading was not accepted

calendar_days = part_exactly(calendar_seasons.calendar_days)
season_ms = part_exactly(calendar_seasons.season_ms)
months_in = part_exactly(calendar_steps.months_in)
day_of_month = part_exactly(calendar_steps.day_of_month)
calendar_day = part_exactly(calendar_steps.calendar_day)


class Taken(NamedTuple):
    """The results of adding readings to their windows.

    Attributes:
        missing: `(n,)` how many missing steps were filled before each, `DUPLICATE` or `LATE`.
        rows: `(numbers or more,)` the requested rows, row after row.
        lengths: `(n,)` how many rows the window has then, 0 for a reading that was not accepted.
        filled: `(n,)` how many requested rows hold no reading: interpolated, or in place of a doubted reading.
        steps: `(n,)` milliseconds, 0 where it is not known.
        days: `(n,)` the days of the month on which the readings lie, as `calendar_day` returns them.
        doubted: `(n,)` how many readings in a row, this one last, are doubted.
        moves: `(n,)` the usual largest move then; 0: not known; below 0: without a model, a guess from the newest
            rows, with its sign changed.
        seasons: `(n, SEASONS)` in rows; 0: the series has no such season.
        profiles: `(n, SEASONS, PROFILE_TERMS)`, the terms of `profiles.py`; NaN where a season has no known profile.
    """

    missing: Int64
    rows: Float
    lengths: Int64
    filled: Int64
    steps: Float
    days: Int64
    doubted: Int64
    moves: Float
    seasons: Int64
    profiles: Float


@compiled_exactly
def take(
    windows: Int64,
    readings: tuple[Int64, Int64, Float],
    reads: Int64,
    max_gap: int,
    known: tuple[Float, Float, Float],
    taken: Taken,
    at: Int64,
) -> bool:
    """Append many readings, each to its window, and write the results; return whether all are appended.

    If not, the window of the last one needs memory for bins. Give it some, and call again.

    Args:
        windows: `(n,)` addresses; a window may occur many times.
        readings: `(n,)` epoch milliseconds, `(n,)` 0 where that is the time of arrival, `(n, width or more)` values.
        reads: `(n,)` how many of the newest rows to return at most.
        max_gap: see `Window.push`.
        known: `(n,)` each, the fields of `HistoryLimits`.
        taken: the results; `seasons` holds those of the models or `CALENDAR`, `profiles` is NaN, and `lengths`,
            `filled`, `steps`, `days`, `doubted` and `moves` are zero so far.
        at: `(2,)` the next reading and the place of its rows in `taken.rows`, at first 0; changed in place.
    """
    ts, has_ts, values = readings
    largest_move, lowest, highest = known
    if at[0] > 0:
        _follow_seasons(windows[at[0] - 1], at[0] - 1, reads[at[0] - 1], taken)
    for i in range(at[0], len(windows)):
        at[0] = i + 1
        w = window_at(windows[i])
        if has_ts[i] == 0 and ts[i] <= w.last_ts:
            ts[i] = w.last_ts + 1
        if ts[i] <= w.last_ts:
            taken.missing[i] = DUPLICATE if ts[i] == w.last_ts else LATE
            continue
        if w.bins != 0 and ts[i] - w.last_ts > max_gap * grid_step(windows[i]):
            learn_rows(windows[i], grid_step(windows[i]), w.appended)  # the window may be cleared
        limits = HistoryLimits(largest_move[i], lowest[i], highest[i])
        missing = push(windows[i], ts[i], values[i], max_gap, limits)
        taken.missing[i] = missing
        count = min(w.length, reads[i])
        taken.filled[i] = _copy_newest(windows[i], count, taken.rows, at[1])
        at[1] += count * w.width
        taken.lengths[i] = w.length
        taken.steps[i] = grid_step(windows[i])
        if w.gridded != 0:
            taken.days[i] = calendar_day(w.last_ts, w.steps, w.steps_seen, taken.steps[i])
        # Without the rows that were filled just before the reading.
        taken.doubted[i] = max(0, count_doubted(windows[i]) - missing)
        taken.moves[i] = max(largest_move[i], w.largest_move)
        if w.largest_move == 0.0 and largest_move[i] == WITHOUT_MODEL:
            taken.moves[i] = -early_move(windows[i])
        if not _follow_seasons(windows[i], i, reads[i], taken):
            return False
    return True


@part_exactly
def _copy_newest(window: int, count: int, rows: Float, at: int) -> int:
    """Copy the newest rows to `rows[at:]`; return how many of them hold no reading."""
    w = window_at(window)
    width = w.width
    buffer = carray(floats_at(w.buffer), (w.room * width,))
    marks = carray(bytes_at(w.filled), (w.room,))
    for j in range(count * width):
        rows[at + j] = buffer[(w.end - count) * width + j]
    filled = 0
    for row in range(w.end - count, w.end):
        filled += marks[row]
    return filled


@part_exactly
def _follow_seasons(window: int, i: int, reads: int, taken: Taken) -> bool:
    """Write the seasons and the terms of those too long for the window; let their profiles learn.

    Return whether the window has the memory that they need.

    Args:
        window: an address.
        i: the place of its newest reading in the batch.
        reads: how many rows the experts read at most.
        taken: the results.
    """
    w = window_at(window)
    step = taken.steps[i]
    seasons = taken.seasons[i]
    if seasons[0] == CALENDAR:
        _write_calendar(step, seasons)
    if step == 0.0 or w.gridded == 0:
        return True
    for k in range(SEASONS):
        if seasons[k] >= reads:
            if w.bins == 0:
                return False
            begin_profile(window, k, season_ms(seasons[k], step), seasons[k])
            learn_rows(window, step, (w.appended // BLOCK - 1) * BLOCK)
            write_terms(window, k, step, taken.profiles[i, k])
    return True


@part_exactly
def _write_calendar(step: float, seasons: Int64) -> None:
    """Write the seasons, in rows, that the calendar suggests for a step in milliseconds; 0: none."""
    seasons[:] = 0
    if step == 0.0:
        return
    count = 0
    for days in calendar_days(step):
        rows = np.rint(days * DAY_MS / step)
        if rows >= SHORTEST:
            seasons[count] = int(rows)
            count += 1
